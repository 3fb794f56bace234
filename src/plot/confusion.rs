//! Heat maps of true against predicted classes.

use std::path::Path;

use plotters_backend::DrawingBackend;

use super::bar::{BAR, colour_bar};
use super::canvas::{Align, Canvas, Rect, Text, fitting, width};
use super::output::{Scene, Target};
use super::style::{self, FRAME, MARGIN, MISSING, SMALL, TEXT, TITLE};
use crate::error::{Error, Result};

/// The most classes whose cells can still be told apart.
const MOST: usize = 256;
/// The longest name of a class, in pixels.
const NAME: f64 = 150.0;
/// From the matrix to what is beside it.
const AWAY: f64 = 8.0;
/// The least height of an em that is readable.
const LEAST: f64 = 8.5;

/// A number of samples: `u32`, `u64`, `usize`, `f32` or `f64`.
pub trait Count: Copy {
    /// The number as f64.
    fn as_f64(self) -> f64;
}

macro_rules! counts {
    ($($number:ty),*) => {
        $(impl Count for $number {
            fn as_f64(self) -> f64 {
                self as f64
            }
        })*
    };
}

counts!(u32, u64, usize, f32, f64);

/// Draws a confusion matrix into a file whose name ends in `.svg` or `.png`. `counts` is row-major,
/// `[true class, predicted class]`; `classes` are the names, or empty to number the classes from 0. A
/// cell is coloured by its share of the samples of its true class, the row.
///
/// ```
/// let counts: [u64; 4] = [48, 2, 5, 45];
/// let path = std::env::temp_dir().join(format!("confusion-{}.svg", std::process::id()));
/// retape::plot::confusion_matrix(&path, &counts, &["cat", "dog"])?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] unless there is a count for every pair of classes, none negative or NaN, and
/// at most 256 classes; [`Error::NothingToDraw`] without counts; [`Error::PictureFormat`] for another
/// ending of the name, [`Error::Io`] if the file cannot be written; its folder must exist.
pub fn confusion_matrix<C: Count>(path: impl AsRef<Path>, counts: &[C], classes: &[&str]) -> Result<()> {
    let target = Target::new(path)?;
    if counts.is_empty() {
        return Err(Error::NothingToDraw { what: "count".to_owned() });
    }
    let side = if classes.is_empty() { counts.len().isqrt() } else { classes.len() };
    let wrong = |value, expected| Err(Error::Argument { argument: "counts", value, expected });
    if side * side != counts.len() {
        let names = if classes.is_empty() { String::new() } else { format!(" for {side} classes") };
        return wrong(format!("{} numbers{names}", counts.len()), "one for every pair of classes is needed");
    }
    if side > MOST {
        return wrong(format!("those of {side} classes"), "at most 256 classes can be drawn");
    }
    let counts: Vec<f64> = counts.iter().map(|count| count.as_f64()).collect();
    if let Some(count) = counts.iter().find(|count| !(**count >= 0.0 && count.is_finite())) {
        return wrong(count.to_string(), "counts are finite and at least 0");
    }
    let names: Vec<String> = match classes {
        [] => (0..side).map(|class| class.to_string()).collect(),
        names => names.iter().map(|name| fitting(name, SMALL, NAME)).collect(),
    };
    target.save(&Matrix::new(counts, names))
}

struct Matrix {
    side: usize,
    counts: Vec<f64>,
    names: Vec<String>,
    title: String,
    /// What the cells say, and the height of its em; empty where that would be too small to read.
    numbers: Vec<String>,
    em: f64,
    /// The side of a cell.
    cell: f64,
    /// The space of the names beside the rows and under the columns.
    beside: f64,
    under: f64,
}

impl Matrix {
    fn new(counts: Vec<f64>, names: Vec<String>) -> Matrix {
        let side = names.len();
        let cell = (560.0 / side as f64).clamp(4.0, 90.0).floor();
        let (numbers, em) = readable(&counts, cell - 4.0);
        let beside = names.iter().map(|name| width(name, SMALL)).fold(0.0, f64::max);
        let under = if beside + 4.0 <= cell { SMALL } else { beside };
        let right: f64 = (0..side).map(|class| counts[class * side + class]).sum();
        let total: f64 = counts.iter().sum();
        let title = title(right, total);
        Matrix { side, counts, names, title, numbers, em, cell, beside, under }
    }

    /// Where the cells are.
    fn frame(&self) -> Rect {
        let left = MARGIN + TEXT + AWAY + self.beside + AWAY;
        let top = MARGIN + TITLE + 2.0 * AWAY;
        let extent = self.cell * self.side as f64;
        Rect { left, top, right: left + extent, bottom: top + extent }
    }

    fn cells<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, frame: Rect) {
        let gap = if self.cell >= 16.0 { 1.0 } else { 0.0 };
        for (row, counts) in self.counts.chunks_exact(self.side).enumerate() {
            let total: f64 = counts.iter().sum();
            for (column, count) in counts.iter().enumerate() {
                let paper = if total > 0.0 { style::sequential(count / total) } else { MISSING };
                let left = frame.left + column as f64 * self.cell;
                let top = frame.top + row as f64 * self.cell;
                let cell = Rect { left, top, right: left + self.cell - gap, bottom: top + self.cell - gap };
                canvas.fill(cell, paper);
                if let Some(number) = self.numbers.get(row * self.side + column) {
                    let how = Text::new(Align::Centre).em(self.em).colour(style::ink(paper));
                    canvas.text(number, cell.centre(), how);
                }
            }
        }
        canvas.outline(frame, FRAME, 1.0);
    }

    fn names<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, frame: Rect) {
        // Names that would touch are left out between others.
        let every = ((SMALL + 2.0) / self.cell).ceil() as usize;
        for (class, name) in self.names.iter().enumerate().step_by(every) {
            let middle = (class as f64 + 0.5) * self.cell;
            let beside = [frame.left - AWAY, frame.top + middle];
            canvas.text(name, beside, Text::new(Align::Right).em(SMALL));
            let below = frame.bottom + AWAY;
            if self.under > SMALL {
                let how = Text::new(Align::Right).em(SMALL).upward();
                canvas.text(name, [frame.left + middle, below], how);
            } else {
                let how = Text::new(Align::Centre).em(SMALL);
                canvas.text(name, [frame.left + middle, below + SMALL / 2.0], how);
            }
        }
        let [x, y] = frame.centre();
        let below = frame.bottom + AWAY + self.under + AWAY + TEXT / 2.0;
        canvas.text("predicted class", [x, below], Text::new(Align::Centre));
        canvas.text("true class", [MARGIN + TEXT / 2.0, y], Text::new(Align::Centre).upward());
    }
}

impl Scene for Matrix {
    fn size(&self) -> (u32, u32) {
        let frame = self.frame();
        let wide = frame.right + 3.0 * AWAY + BAR + AWAY + width("100 %", SMALL) + MARGIN;
        let wide = wide.max(width(&self.title, TITLE) + 2.0 * MARGIN);
        let tall = frame.bottom.max(frame.top + SHORTEST) + AWAY + self.under + AWAY + TEXT + MARGIN;
        (wide.ceil() as u32, tall.ceil() as u32)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) {
        let whole = Rect::of_size(self.size());
        let at = [whole.centre()[0], MARGIN + TITLE / 2.0];
        canvas.text(&self.title, at, Text::new(Align::Centre).em(TITLE));
        let frame = self.frame();
        self.cells(canvas, frame);
        self.names(canvas, frame);
        let left = frame.right + 3.0 * AWAY;
        let bottom = frame.bottom.max(frame.top + SHORTEST);
        let bar = Rect { left, right: left + BAR, bottom, ..frame };
        let labels = [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")];
        colour_bar(canvas, bar, style::sequential, &labels);
    }
}

/// The least height of the colour bar.
const SHORTEST: f64 = 80.0;

/// How many are right, and their share: 100 % only where all are.
fn title(right: f64, total: f64) -> String {
    let share = if total > 0.0 { 100.0 * right / total } else { 0.0 };
    let share = if right < total { share.min(99.9) } else { share };
    format!("{} of {} right ({share:.1} %)", number(right), number(total))
}

/// A count in full: whole, or with two decimals.
fn number(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count:.0}") } else { format!("{count:.2}") }
}

/// A count in at most four characters or so.
fn rounded(count: f64) -> String {
    let scaled = |unit: f64, letter: &str| {
        let share = count / unit;
        if share < 9.95 { format!("{share:.1}{letter}") } else { format!("{share:.0}{letter}") }
    };
    match count {
        c if c >= 1e9 => scaled(1e9, "G"),
        c if c >= 1e6 => scaled(1e6, "M"),
        c if c >= 1e3 => scaled(1e3, "k"),
        c if c.fract() == 0.0 => format!("{c:.0}"),
        _ => format!("{count:.1}"),
    }
}

/// The counts as texts that fit a cell, and their em; rounded where they would be too small in full,
/// and none where that does not help.
fn readable(counts: &[f64], limit: f64) -> (Vec<String>, f64) {
    for write in [number, rounded] {
        let texts: Vec<String> = counts.iter().map(|&count| write(count)).collect();
        let widest = texts.iter().map(|text| width(text, 1.0)).fold(0.0, f64::max);
        let em = (limit / widest).min(0.8 * limit).min(TEXT);
        if em >= LEAST {
            return (texts, em);
        }
    }
    (Vec::new(), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_a_few_are_not_all() {
        assert_eq!(title(1_334_566.0, 1_334_591.0), "1334566 of 1334591 right (99.9 %)");
        assert_eq!(title(7.0, 7.0), "7 of 7 right (100.0 %)");
        assert_eq!(title(2.0, 3.0), "2 of 3 right (66.7 %)");
        assert_eq!(title(0.0, 0.0), "0 of 0 right (0.0 %)");
    }

    #[test]
    fn counts_are_written_as_space_allows() {
        assert_eq!(readable(&[980.0, 0.0], 44.0).0, ["980", "0"]);
        assert_eq!(readable(&[0.5], 44.0).0, ["0.50"]);
        let (texts, em) = readable(&[123_456_789.0, 12.0], 30.0);
        assert_eq!(texts, ["123M", "12"]);
        assert!(em >= LEAST && width("123M", em) <= 30.0);
        assert!(readable(&[1.0], 5.0).0.is_empty());
        assert_eq!([1234.0, 9960.0, 2e6].map(rounded), ["1.2k", "10k", "2.0M"]);
    }
}
