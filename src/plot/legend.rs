//! How series look, and legends that say so.

use std::vec::IntoIter;

use plotters::chart::{ChartBuilder, SeriesLabelPosition};
use plotters::element::{Circle, DashedPathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos};

use super::font::{fitting, widest};
use super::output::{Area, Drawn};
use super::style::{self, AWAY, BLACK, Colour, MARGIN, REFERENCE, TEXT, UNITS, fill, letters, px, stroke};

/// The length of a sample of a curve, and the longest name.
const SAMPLE: f64 = 24.0;
const NAME: f64 = 250.0;
/// The height of a line, as plotters has it.
pub(super) const LINE: f64 = 1.24 * 1.25 * TEXT;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Reference,
    Dots,
    Rings,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub mark: Mark,
    colour: Colour,
    dashed: bool,
}

impl Look {
    /// The look of a series before which `number` have taken a colour of the palette.
    pub fn new(mark: Mark, number: usize) -> Look {
        let colour = match mark {
            Mark::Reference => REFERENCE,
            Mark::Rings => BLACK,
            Mark::Line | Mark::Dots => style::colour(number),
        };
        Look { mark, colour, dashed: mark == Mark::Line && number >= style::PALETTE.len() }
    }

    /// Whether it takes a colour of the palette.
    pub fn is_coloured(self) -> bool {
        matches!(self.mark, Mark::Line | Mark::Dots)
    }

    pub fn is_line(self) -> bool {
        matches!(self.mark, Mark::Line | Mark::Reference)
    }

    /// One of its points.
    pub fn dot<P>(self, point: P) -> Circle<P, i32> {
        let (radius, style) = match self.mark {
            Mark::Rings => (6.0, stroke(self.colour, 2.0)),
            _ => (3.0, fill(self.colour)),
        };
        Circle::new(point, px(radius), style)
    }

    /// A line through points.
    pub fn line<P: Clone>(self, points: Vec<P>) -> DashedPathElement<IntoIter<P>, i32> {
        let width = if self.mark == Mark::Reference { 4.0 } else { 2.0 };
        let dash = if self.dashed { px(6.0) } else { i32::MAX };
        DashedPathElement::new(points, dash, px(6.0), stroke(self.colour, width))
    }
}

/// How wide a legend of these names is, with the space right of it.
pub(super) fn legend_width(entries: &[(&str, Look)]) -> f64 {
    // Where there is no space for all of them, that is said too.
    let more = if entries.len() > 10 { more(entries.len()) } else { String::new() };
    let widest = widest(entries.iter().map(|(name, _)| *name).chain([&*more]), TEXT).min(NAME);
    if entries.is_empty() { 0.0 } else { (SAMPLE + AWAY + widest + MARGIN).ceil() }
}

fn more(count: usize) -> String {
    format!("and {count} more")
}

/// A legend at the left of an area, so many pixels under its top, of as many lines as there is space
/// for.
pub(super) fn legend(area: &Area, top: f64, entries: &[(&str, Look)]) -> Drawn {
    let space = (f64::from(area.dim_in_pixel().1 / UNITS) - top - MARGIN) / LINE;
    let named = if entries.len() as f64 > space { space as usize - 1 } else { entries.len() };
    let mut chart = ChartBuilder::on(area).margin_top(px(top)).build_cartesian_2d(0..1, 0..1)?;
    let nothing = std::iter::empty::<Rectangle<(i32, i32)>>;
    for &(name, look) in &entries[..named] {
        let entry = chart.draw_series(nothing())?.label(fitting(name, TEXT, NAME));
        if look.is_line() {
            entry.legend(move |(x, y)| look.line([0.0, SAMPLE].map(|end| (x + px(end), y)).to_vec()));
        } else {
            entry.legend(move |(x, y)| look.dot((x + px(SAMPLE / 2.0), y)));
        }
    }
    if named < entries.len() {
        chart.draw_series(nothing())?.label(more(entries.len() - named));
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::Coordinate(0, 0)).margin(0).legend_area_size(px(SAMPLE + AWAY));
    labels.label_font(letters(TEXT, HPos::Left).pos(Pos::default())).draw()
}
