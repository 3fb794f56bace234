//! The plane coloured by the class that a model gives its points.

use std::ops::Range;
use std::path::Path;

use plotters_backend::DrawingBackend;

use super::axis::{Axis, Scale};
use super::bar::{BAR, colour_bar};
use super::canvas::{Align, Canvas, Rect, Text, width};
use super::output::{Scene, Target};
use super::panel::axes;
use super::style::{self, BLACK, Colour, FRAME, MARGIN, MISSING, SMALL, TEXT, WHITE};
use crate::error::{Error, Result};

/// Steps along each axis between points that the model is asked for, and pixels of a step.
const STEPS: usize = 120;
const STEP: f64 = 4.0;
const NODES: usize = STEPS + 1;
/// How much of a class's colour its region has at most.
const TINT: f64 = 0.55;
/// A line of the legend.
const LEGEND: f64 = 22.0;

/// Colours a plane by the class that `classify` gives each of its points, draws the boundaries
/// between the classes and `points` with their true classes on top, into a file whose name ends in
/// `.svg` or `.png`.
///
/// `classify` is called once, with 121 x 121 points `[x, y]`, row by row from the least x and y. It
/// returns the same number of scores for every point, row-major: one, the probability of class 1,
/// with the boundary at 0.5; or one for each class, of which the largest wins. A trainer gives both by
/// [`predict_probabilities`](crate::train::Trainer::predict_probabilities). Where scores of all
/// classes are probabilities, the colour fades with that of the winner. A point whose scores are not
/// finite is light grey. Points outside the ranges are left out.
///
/// ```
/// let xor = |plane: &[[f32; 2]]| Ok(plane.iter().map(|[x, y]| 0.5 - 0.5 * x * y).collect());
/// let points = [([0.5, 0.5], 0), ([-0.5, 0.5], 1), ([-0.5, -0.5], 0), ([0.5, -0.5], 1)];
/// let path = std::env::temp_dir().join(format!("boundary-{}.png", std::process::id()));
/// retape::plot::decision_boundary(&path, -1.0..1.0, -1.0..1.0, xor, &points)?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// What `classify` returns; [`Error::Argument`] if a range is empty or not finite, if the scores are
/// not the same number for every point, or if a single one is outside `[0, 1]`, as logits are; [`Error::PictureFormat`] for another ending of the name,
/// [`Error::Io`] if the file cannot be written; its folder must exist.
pub fn decision_boundary(
    path: impl AsRef<Path>,
    x_range: Range<f32>,
    y_range: Range<f32>,
    mut classify: impl FnMut(&[[f32; 2]]) -> Result<Vec<f32>>,
    points: &[([f32; 2], u32)],
) -> Result<()> {
    let target = Target::new(path)?;
    let ranges = [checked("x_range", x_range)?, checked("y_range", y_range)?];
    let at = |axis: usize, node: usize| {
        let [low, high] = ranges[axis];
        (low + (high - low) * node as f64 / STEPS as f64) as f32
    };
    let plane: Vec<[f32; 2]> = (0..NODES * NODES).map(|i| [at(0, i % NODES), at(1, i / NODES)]).collect();
    let scores = classify(&plane)?;
    if scores.is_empty() || scores.len() % plane.len() != 0 {
        let value = format!("{} numbers for {} points", scores.len(), plane.len());
        let expected = "the same number of scores is needed for every point";
        return Err(Error::Argument { argument: "scores", value, expected });
    }
    let scores = Scores { each: scores.len() / plane.len(), numbers: scores };
    scores.check()?;
    target.save(&Plane { ranges, scores, points })
}

fn checked(argument: &'static str, range: Range<f32>) -> Result<[f64; 2]> {
    if range.start.is_finite() && range.end.is_finite() && range.start < range.end {
        return Ok([range.start.into(), range.end.into()]);
    }
    let expected = "it must be finite and not empty";
    Err(Error::Argument { argument, value: format!("{range:?}"), expected })
}

/// Scores of all nodes of the plane.
struct Scores {
    each: usize,
    numbers: Vec<f32>,
}

impl Scores {
    /// Refuses single scores that are numbers and no probabilities; infinite ones are of no class.
    fn check(&self) -> Result<()> {
        let no_probability = |score: &&f32| score.is_finite() && !(0.0..=1.0).contains(*score);
        match self.numbers.iter().find(no_probability) {
            Some(score) if self.each == 1 => {
                let expected = "a single score must be the probability of class 1, in [0, 1]: of a logit, its \
                                sigmoid, which `Trainer::predict_probabilities` gives";
                Err(Error::Argument { argument: "scores", value: score.to_string(), expected })
            }
            _ => Ok(()),
        }
    }

    fn node(&self, node: usize) -> Option<&[f32]> {
        let scores = &self.numbers[node * self.each..][..self.each];
        scores.iter().all(|score| score.is_finite()).then_some(scores)
    }

    /// Classes that lines are drawn around: all but one, as each line has a class on either side.
    fn enclosed(&self) -> usize {
        (self.each - 1).max(1)
    }

    /// How far a class is ahead of all others; behind is negative.
    fn lead(&self, node: usize, class: usize) -> Option<f64> {
        let scores = self.node(node)?;
        if self.each == 1 {
            return Some(f64::from(scores[0]) - 0.5);
        }
        let others = scores.iter().enumerate().filter(|&(other, _)| other != class);
        let best = others.map(|(_, &score)| score).fold(f32::NEG_INFINITY, f32::max);
        Some(f64::from(scores[class]) - f64::from(best))
    }

    fn colour(&self, node: usize) -> Colour {
        let Some(scores) = self.node(node) else { return MISSING };
        if self.each == 1 {
            return binary(f64::from(scores[0]));
        }
        let best = (0..self.each).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        let best = best.unwrap_or(0);
        let sum: f32 = scores.iter().sum();
        let probabilities = scores.iter().all(|&score| score >= 0.0) && (sum - 1.0).abs() < 1e-3;
        let sure = if probabilities { f64::from(scores[best]) } else { 0.7 };
        // In few steps, as equal neighbours make one rectangle.
        style::mix(WHITE, style::colour(best), TINT * (sure * 24.0).round() / 24.0)
    }
}

/// The colour of a probability of class 1, in few steps: class 0's at 0, white at 0.5, class 1's at 1.
fn binary(probability: f64) -> Colour {
    let lead = ((2.0 * probability - 1.0).clamp(-1.0, 1.0) * 24.0).round() / 24.0;
    style::mix(WHITE, style::colour(usize::from(lead > 0.0)), TINT * lead.abs())
}

struct Plane<'a> {
    ranges: [[f64; 2]; 2],
    scores: Scores,
    points: &'a [([f32; 2], u32)],
}

impl Plane<'_> {
    fn axes(&self) -> [Axis; 2] {
        self.ranges.map(|[low, high]| Axis::between(low, high, Scale::Linear, 6))
    }

    fn frame(&self, y: &Axis) -> Rect {
        let labels = y.ticks.iter().map(|(_, label)| width(label, SMALL)).fold(0.0, f64::max);
        let left = (MARGIN + TEXT + 8.0 + labels + 8.0).ceil();
        let extent = STEPS as f64 * STEP;
        Rect { left, top: MARGIN, right: left + extent, bottom: MARGIN + extent }
    }

    /// The classes that the legend names.
    fn classes(&self) -> Vec<usize> {
        let known = 0..self.scores.each.max(2);
        let mut classes: Vec<usize> = known.chain(self.points.iter().map(|p| p.1 as usize)).collect();
        classes.sort_unstable();
        classes.dedup();
        // As many as there is space for.
        classes.truncate(20);
        classes
    }

    fn regions<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, frame: Rect) {
        let edge = |node: usize| (node as f64 - 0.5) * STEP;
        // From the top, and to under the next rectangle, so that no white shows between them.
        for row in (0..NODES).rev() {
            let top = (frame.bottom - edge(row + 1)).max(frame.top);
            let bottom = (frame.bottom - edge(row) + 0.5).min(frame.bottom);
            let colours: Vec<Colour> = (0..NODES).map(|x| self.scores.colour(row * NODES + x)).collect();
            let mut column = 0;
            for run in colours.chunk_by(|a, b| a == b) {
                let left = (frame.left + edge(column)).max(frame.left);
                column += run.len();
                let right = (frame.left + edge(column) + 0.5).min(frame.right);
                canvas.fill(Rect { left, top, right, bottom }, run[0]);
            }
        }
    }

    fn boundaries<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, frame: Rect) {
        for class in 0..self.scores.enclosed() {
            let leads: Vec<Option<f64>> =
                (0..NODES * NODES).map(|node| self.scores.lead(node, class)).collect();
            for square in 0..STEPS * STEPS {
                let (x, y) = (square % STEPS, square / STEPS);
                let corners = [(0, 0), (1, 0), (1, 1), (0, 1)];
                let leads = corners.map(|(dx, dy)| leads[(y + dy) * NODES + x + dx]);
                let [Some(a), Some(b), Some(c), Some(d)] = leads else { continue };
                for line in crossing([a, b, c, d]) {
                    let ends = line.map(|[dx, dy]| {
                        let right = frame.left + (x as f64 + dx) * STEP;
                        [right, frame.bottom - (y as f64 + dy) * STEP]
                    });
                    canvas.path(&ends, BLACK, 2.0);
                }
            }
        }
    }
}

/// The lines in a unit square along which a function is 0 that is linear along its edges, by its
/// values at the corners (0, 0), (1, 0), (1, 1), (0, 1): marching squares, a plane's case of Lorensen
/// and Cline, Marching Cubes (1987).
fn crossing(values: [f64; 4]) -> Vec<[[f64; 2]; 2]> {
    const CORNERS: [[f64; 2]; 4] = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
    let cut = |edge: usize| {
        let (from, to) = (edge, (edge + 1) % 4);
        let (a, b) = (values[from], values[to]);
        ((a < 0.0) != (b < 0.0)).then(|| {
            let share = a / (a - b);
            [0, 1].map(|axis| CORNERS[from][axis] + (CORNERS[to][axis] - CORNERS[from][axis]) * share)
        })
    };
    match (0..4).filter_map(cut).collect::<Vec<_>>()[..] {
        [a, b] => vec![[a, b]],
        // The middle tells which corners are on one side.
        [a, b, c, d] if (values.iter().sum::<f64>() < 0.0) == (values[0] < 0.0) => vec![[a, b], [c, d]],
        [a, b, c, d] => vec![[d, a], [b, c]],
        _ => Vec::new(),
    }
}

impl Scene for Plane<'_> {
    fn size(&self) -> (u32, u32) {
        let [_, y] = self.axes();
        let frame = self.frame(&y);
        let beside = self.classes().into_iter().map(|class| width(&format!("class {class}"), TEXT));
        let beside = beside.fold(width("P(class 1)", SMALL), f64::max) + 20.0;
        let right = frame.right + MARGIN + beside + MARGIN;
        (right.ceil() as u32, (frame.bottom + 2.0 * TEXT + 16.0 + MARGIN).ceil() as u32)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) {
        let [x, y] = self.axes();
        let frame = self.frame(&y);
        axes(canvas, frame, [&x, &y], ["x", "y"]);
        self.regions(canvas, frame);
        self.boundaries(canvas, frame);
        for ([px, py], class) in self.points {
            let (right, up) = (x.position((*px).into()), y.position((*py).into()));
            if (0.0..=1.0).contains(&right) && (0.0..=1.0).contains(&up) {
                let at = [frame.left + right * frame.width(), frame.bottom - up * frame.height()];
                canvas.dot(at, 4.6, WHITE);
                canvas.dot(at, 3.6, style::colour(*class as usize));
            }
        }
        canvas.outline(frame, FRAME, 1.0);
        let left = frame.right + MARGIN;
        let mut middle = frame.top + LEGEND / 2.0;
        for class in self.classes() {
            canvas.dot([left + 5.0, middle], 5.0, style::colour(class));
            canvas.text(&format!("class {class}"), [left + 20.0, middle], Text::new(Align::Left));
            middle += LEGEND;
        }
        if self.scores.each == 1 {
            let top = middle + LEGEND;
            canvas.text("P(class 1)", [left, top - TEXT], Text::new(Align::Left).em(SMALL));
            let bar = Rect { left, top, right: left + BAR, bottom: (top + 140.0).min(frame.bottom) };
            colour_bar(canvas, bar, binary, &[(0.0, "0"), (0.5, "0.5"), (1.0, "1")]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cross_where_the_function_is_zero() {
        assert!(crossing([1.0, 2.0, 3.0, 0.5]).is_empty() && crossing([-1.0; 4]).is_empty());
        // x - 0.25
        assert_eq!(crossing([-0.25, 0.75, 0.75, -0.25]), [[[0.25, 0.0], [0.25, 1.0]]]);
        // A saddle: each line parts one corner from the middle.
        for (values, corner) in [([3.0, -1.0, 3.0, -1.0], [1.0, 0.0]), ([1.0, -3.0, 1.0, -3.0], [0.0, 0.0])] {
            let lines = crossing(values);
            assert_eq!(lines.len(), 2);
            let near = |line: &[[f64; 2]; 2]| {
                line.iter().all(|p| (p[0] - corner[0]).abs() + (p[1] - corner[1]).abs() < 0.6)
            };
            assert!(lines.iter().any(near), "{lines:?}");
        }
    }
}
