//! Heat maps of true against predicted classes.

use std::path::Path;

use plotters::style::text_anchor::HPos;

use super::chart::{Frame, bar_width, colour_bar, image, text, upward};
use super::font::{fitting, widest, width};
use super::output::{Target, check_any};
use super::style::{self, AWAY, Colour, MARGIN, MISSING, SMALL, TEXT, TITLE, coloured, letters, px};
use crate::error::{Error, Result};

/// The most classes whose cells can still be told apart.
const MOST: usize = 256;
/// The longest name of a class, in pixels.
const NAME: f64 = 150.0;
/// The labels of the colours, which are shares of a true class.
const LABELS: [(f64, &str); 3] = [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")];
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
    check_any(!counts.is_empty(), "count")?;
    let side = if classes.is_empty() { counts.len().isqrt() } else { classes.len() };
    let wrong = |value: String, expected| Err(Error::argument("counts", value, expected));
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
    save(&target, &counts, &names)
}

fn save(target: &Target, counts: &[f64], names: &[String]) -> Result<()> {
    let side = names.len();
    let cell = (560.0 / side as f64).clamp(4.0, 90.0).floor();
    let extent = cell * side as f64;
    let (numbers, em) = readable(counts, cell - 4.0);
    let title = title(counts.iter().step_by(side + 1).sum(), counts.iter().sum());
    let beside = widest(names.iter().map(String::as_str), SMALL);
    let under = if beside + 4.0 <= cell { SMALL } else { beside };
    let frame = Frame { title: &title, names: ["predicted class", "true class"], labels: [beside, under] };
    let [top, right, below, left] = frame.around();
    let wide = (left + extent + right).max(width(&title, TITLE) + 2.0 * MARGIN).ceil();
    target.save([wide + bar_width(&LABELS) + MARGIN, top + extent + below], |page| {
        let (matrix, beside) = page.split_horizontally(px(wide));
        frame.write(&matrix)?;
        let colours: Vec<Colour> = counts.chunks_exact(side).flat_map(shades).collect();
        image(&matrix, [left, top], [cell; 2], side, &colours)?;
        let middle = |class: usize| (class as f64 + 0.5) * cell;
        for (at, number) in numbers.iter().enumerate() {
            let how = coloured(letters(em, HPos::Center), style::ink(colours[at]));
            text(&matrix, number, [left + middle(at % side), top + middle(at / side)], &how)?;
        }
        // Names that would touch are left out between others.
        let every = ((SMALL + 2.0) / cell).ceil() as usize;
        for (class, name) in names.iter().enumerate().step_by(every) {
            let before = letters(SMALL, HPos::Right);
            text(&matrix, name, [left - AWAY, top + middle(class)], &before)?;
            let (across, down) = (left + middle(class), top + extent + AWAY);
            if under > SMALL {
                text(&matrix, name, [across, down], &upward(before))?;
            } else {
                text(&matrix, name, [across, down + SMALL / 2.0], &letters(SMALL, HPos::Center))?;
            }
        }
        colour_bar(&beside, [0.0, top], extent, style::sequential, &LABELS)
    })
}

/// The colours of the counts of a true class, by their shares.
fn shades(counts: &[f64]) -> impl Iterator<Item = Colour> {
    let total: f64 = counts.iter().sum();
    counts.iter().map(move |count| if total > 0.0 { style::sequential(count / total) } else { MISSING })
}

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
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (share, letter, decimals) = match units.into_iter().find(|&(unit, _)| count >= unit) {
        Some((unit, letter)) => (count / unit, letter, usize::from(count / unit < 9.95)),
        None => (count, "", usize::from(count.fract() != 0.0)),
    };
    format!("{share:.decimals$}{letter}")
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
