//! The plane coloured by the class that a model gives its points.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use plotters::element::{Circle, PathElement};
use plotters::style::text_anchor::HPos;

use super::axis::{Axis, Scale};
use super::chart::{Chart, Frame, bar_width, colour_bar, image, text};
use super::font::width;
use super::legend::{LINE, Look, Mark, legend, legend_width};
use super::output::{Drawn, Target};
use super::style::{self, BLACK, Colour, MARGIN, MISSING, SMALL, WHITE, fill, letters, px, stroke};
use crate::error::{Error, Result};

/// Steps along each axis between points that the model is asked for, and pixels of a step.
const STEPS: usize = 120;
const STEP: f64 = 4.0;
const NODES: usize = STEPS + 1;
/// How much of a class's colour its region has at most.
const TINT: f64 = 0.55;
/// What the colour bar of a single score is about, and its labels.
const BAR: &str = "P(class 1)";
const LABELS: [(f64, &str); 3] = [(0.0, "0"), (0.5, "0.5"), (1.0, "1")];

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
    let at = |axis: usize, node: usize| along(ranges[axis], node as f64) as f32;
    let plane: Vec<[f32; 2]> = (0..NODES * NODES).map(|i| [at(0, i % NODES), at(1, i / NODES)]).collect();
    let scores = classify(&plane)?;
    let fits = !scores.is_empty() && scores.len().is_multiple_of(plane.len());
    let value = format!("{} numbers for {} points", scores.len(), plane.len());
    Error::expect(fits, "scores", value, "the same number of scores is needed for every point")?;
    let plane = Plane { ranges, each: scores.len() / plane.len(), scores, points };
    // Infinite ones are of no class.
    let no_probability = |score: &&f32| score.is_finite() && !(0.0..=1.0).contains(*score);
    if let Some(score) = plane.scores.iter().find(no_probability).filter(|_| plane.each == 1) {
        let expected = "a single score must be the probability of class 1, in [0, 1]: of a logit, its sigmoid, \
                        which `Trainer::predict_probabilities` gives";
        return Err(Error::argument("scores", score, expected));
    }
    plane.save(&target)
}

fn checked(argument: &'static str, range: Range<f32>) -> Result<[f64; 2]> {
    let fits = range.start.is_finite() && range.end.is_finite() && range.start < range.end;
    Error::expect(fits, argument, format!("{range:?}"), "it must be finite and not empty")?;
    Ok([range.start, range.end].map(f64::from))
}

/// The place of a node on an axis, counted from its lower end.
fn along([low, high]: [f64; 2], node: f64) -> f64 {
    low + (high - low) * node / STEPS as f64
}

struct Plane<'a> {
    ranges: [[f64; 2]; 2],
    /// How many scores each node has.
    each: usize,
    /// Those of all nodes.
    scores: Vec<f32>,
    points: &'a [([f32; 2], u32)],
}

impl Plane<'_> {
    fn node(&self, node: usize) -> Option<&[f32]> {
        let scores = &self.scores[node * self.each..][..self.each];
        scores.iter().all(|score| score.is_finite()).then_some(scores)
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
            return binary_colour(f64::from(scores[0]));
        }
        let best = (0..self.each).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
        let best = best.unwrap_or(0);
        let sum: f32 = scores.iter().sum();
        let probabilities = scores.iter().all(|&score| score >= 0.0) && (sum - 1.0).abs() < 1e-3;
        let sure = if probabilities { f64::from(scores[best]) } else { 0.7 };
        // In few steps, as equal neighbours make one rectangle.
        style::mix(WHITE, style::colour(best), TINT * (sure * 24.0).round() / 24.0)
    }

    fn save(&self, target: &Target) -> Result<()> {
        // Every node is in the middle of a square of its colour.
        let [x, y] = self.ranges.map(|[low, high]| {
            let half = 0.5 * (high - low) / STEPS as f64;
            Axis::between(low - half, high + half, Scale::Linear, 6)
        });
        let frame = Frame { title: "", names: ["x", "y"], labels: [y.width(), SMALL] };
        let [over, right, under, left] = frame.around();
        let extent = NODES as f64 * STEP;
        let plane = (left + extent + right).ceil();
        let names: Vec<String> = self.classes().map(|class| format!("class {class}")).collect();
        let looks = self.classes().map(|class| Look::new(Mark::Dots, class));
        let entries: Vec<(&str, Look)> = names.iter().map(String::as_str).zip(looks).collect();
        let binary = self.each == 1;
        let bar = if binary { bar_width(&LABELS).max(width(BAR, SMALL)) } else { 0.0 };
        let beside = legend_width(&entries).max(bar + MARGIN);
        target.save([plane + beside, over + extent + under], |page| {
            let (plane, beside) = page.split_horizontally(px(plane));
            let mut chart = frame.chart(&plane, [&x, &y], false)?;
            let nodes = (0..NODES).rev().flat_map(|row| (row * NODES..).take(NODES));
            let colours: Vec<Colour> = nodes.map(|node| self.colour(node)).collect();
            image(&plane, [left, over], [STEP; 2], NODES, &colours)?;
            self.boundaries(&mut chart)?;
            self.points(&mut chart)?;
            // Over the bar there is space for its name.
            let bar = over + extent - 140.0;
            let (names, _) = beside.split_vertically(px(if binary { bar - LINE } else { over + extent }));
            legend(&names, over, &entries)?;
            if binary {
                text(&beside, BAR, [0.0, bar - LINE / 2.0], &letters(SMALL, HPos::Left))?;
                colour_bar(&beside, [0.0, bar], 140.0, binary_colour, &LABELS)?;
            }
            Ok(())
        })
    }

    /// The classes of the scores and of the points.
    fn classes(&self) -> impl Iterator<Item = usize> {
        let known = (0..self.each.max(2)).chain(self.points.iter().map(|point| point.1 as usize));
        known.collect::<BTreeSet<_>>().into_iter()
    }

    fn boundaries(&self, chart: &mut Chart) -> Drawn {
        // All classes but one are enclosed, as each line has a class on either side.
        for class in 0..(self.each - 1).max(1) {
            let leads: Vec<Option<f64>> = (0..NODES * NODES).map(|node| self.lead(node, class)).collect();
            for square in 0..STEPS * STEPS {
                let (x, y) = (square % STEPS, square / STEPS);
                let corners = [(0, 0), (1, 0), (1, 1), (0, 1)];
                let leads = corners.map(|(dx, dy)| leads[(y + dy) * NODES + x + dx]);
                let [Some(a), Some(b), Some(c), Some(d)] = leads else { continue };
                let [across, up] = self.ranges;
                let place = |[dx, dy]: [f64; 2]| (along(across, x as f64 + dx), along(up, y as f64 + dy));
                let line = |ends: [[f64; 2]; 2]| PathElement::new(ends.map(place), stroke(BLACK, 2.0));
                chart.draw_series(crossing([a, b, c, d]).into_iter().map(line))?;
            }
        }
        Ok(())
    }

    fn points(&self, chart: &mut Chart) -> Drawn {
        for ([x, y], class) in self.points {
            let at = (f64::from(*x), f64::from(*y));
            let [within_x, within_y] = self.ranges.map(|[low, high]| low..=high);
            if within_x.contains(&at.0) && within_y.contains(&at.1) {
                let dot = |radius, colour| Circle::new(at, px(radius), fill(colour));
                chart.draw_series([dot(4.6, WHITE), dot(3.6, style::colour(*class as usize))])?;
            }
        }
        Ok(())
    }
}

/// The colour of a probability of class 1, in few steps: class 0's at 0, white at 0.5, class 1's at 1.
fn binary_colour(probability: f64) -> Colour {
    let lead = ((2.0 * probability - 1.0).clamp(-1.0, 1.0) * 24.0).round() / 24.0;
    style::mix(WHITE, style::colour(usize::from(lead > 0.0)), TINT * lead.abs())
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
