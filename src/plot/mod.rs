//! Pictures: curves of training, confusion matrices, filters, decision boundaries.
//!
//! The ending of a file's name decides its format: `.svg` or `.png`. Its folder must exist. A
//! picture is drawn in memory and moved into place as a whole, so a failure leaves no part of it,
//! and the same numbers give the same bytes. A PNG is the SVG as pixels; its letters are Latin, Greek
//! and Cyrillic ones of DejaVu Sans, and a box stands for every other character.
//!
//! | picture | function |
//! |---|---|
//! | losses and metrics over the epochs | [`History::plot`](crate::train::History::plot) |
//! | one metric of several runs | [`compare`] |
//! | true against predicted classes | [`confusion_matrix`] |
//! | learned convolution filters | [`filters`] |
//! | samples with their captions | [`images`] |
//! | classes over a plane | [`decision_boundary`] |
//! | any curves and points | [`lines`], [`scatter`], [`panels`] |
//!
//! Series and classes take their colours in turn from six that stay apart for colour-blind readers.

mod axis;
mod boundary;
mod chart;
mod confusion;
mod font;
mod grid;
mod history;
mod legend;
mod output;
mod panel;
mod raster;
mod style;

use std::path::Path;

pub use boundary::decision_boundary;
pub use confusion::{Count, confusion_matrix};
pub use grid::{ColorMap, FilterOptions, FilterScale, filters, images};
pub use history::compare;
pub use panel::Panel;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use output::{Target, check_any};

/// Draws panels, two side by side if there are several, each 760 x 420 pixels.
///
/// # Errors
/// [`Error::NothingToDraw`] without panels, [`Error::PictureFormat`] for another ending than `.svg`
/// or `.png`, [`Error::Io`] if the file cannot be written; its folder must exist.
pub fn panels(path: impl AsRef<Path>, panels: &[Panel]) -> Result<()> {
    let target = Target::new(path)?;
    check_any(!panels.is_empty(), "panel")?;
    panel::save(&target, panels)
}

/// Draws curves `(name, points)` into one panel; `axes` are the names of x and y.
///
/// ```
/// let square: Vec<(f64, f64)> = (-10..=10).map(|x| (f64::from(x), f64::from(x * x))).collect();
/// let path = std::env::temp_dir().join(format!("lines-{}.svg", std::process::id()));
/// retape::plot::lines(&path, ["x", "y"], &[("square", &square)])?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::NothingToDraw`] without curves; otherwise as [`panels`](fn@panels).
pub fn lines(path: impl AsRef<Path>, axes: [&str; 2], series: &[(&str, &[(f64, f64)])]) -> Result<()> {
    one(path, axes, series, |panel, name, points| panel.line(name, points.iter().copied()))
}

/// Draws clouds of points `(name, points)` into one panel; `axes` are the names of x and y.
///
/// # Errors
/// [`Error::NothingToDraw`] without clouds; otherwise as [`panels`](fn@panels).
pub fn scatter(path: impl AsRef<Path>, axes: [&str; 2], series: &[(&str, &[(f64, f64)])]) -> Result<()> {
    one(path, axes, series, |panel, name, points| panel.dots(name, points.iter().copied()))
}

fn one(
    path: impl AsRef<Path>,
    [x, y]: [&str; 2],
    series: &[(&str, &[(f64, f64)])],
    add: impl Fn(Panel, &str, &[(f64, f64)]) -> Panel,
) -> Result<()> {
    let target = Target::new(path)?;
    check_any(!series.is_empty(), "series")?;
    let empty = Panel::new("").axes(x, y);
    panel::save(&target, &[series.iter().fold(empty, |panel, (name, points)| add(panel, name, points))])
}
