//! What all pictures have in common: colours, sizes of letters and spaces, colour maps.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};

use super::font::FAMILY;

/// Red, green and blue.
pub(super) type Colour = [u8; 3];

pub(super) const WHITE: Colour = [255; 3];
pub(super) const BLACK: Colour = [0; 3];
/// Frames and tick marks.
pub(super) const FRAME: Colour = [90; 3];
/// Lines across a panel at its ticks.
pub(super) const GRID: Colour = [228; 3];
/// A curve that the others are held against.
pub(super) const REFERENCE: Colour = [150; 3];
/// A cell without a value: no samples, or not a number.
pub(super) const MISSING: Colour = [236; 3];

/// Six of the eight colours of Okabe and Ito, Color Universal Design (2008), which stay apart for
/// every common kind of colour blindness. The other two are black, which the letters have, and a
/// yellow that is hard to see on white.
pub(super) const PALETTE: [Colour; 6] =
    [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233]];

/// The heights of an em in pixels.
pub(super) const TITLE: f64 = 16.0;
pub(super) const TEXT: f64 = 14.0;
pub(super) const SMALL: f64 = 12.0;

/// Around a picture and between its panels.
pub(super) const MARGIN: f64 = 16.0;
/// From a thing to its label.
pub(super) const AWAY: f64 = 8.0;

/// Coordinates of plotters are whole numbers; a pixel has so many of them, so that curves stay
/// smooth.
pub(super) const UNITS: u32 = 10;

/// Pixels in units of plotters.
pub(super) fn px(pixels: f64) -> i32 {
    (pixels * f64::from(UNITS)).round() as i32
}

/// Black letters, beside, around or before their point, half way up.
pub(super) fn letters(em: f64, side: HPos) -> TextStyle<'static> {
    // The SVG backend divides by this number.
    let size = em * f64::from(UNITS) * 1.24;
    TextStyle::from((FAMILY, size).into_font()).pos(Pos::new(side, VPos::Center))
}

pub(super) fn coloured(letters: TextStyle, [r, g, b]: Colour) -> TextStyle {
    TextStyle { color: RGBColor(r, g, b).to_backend_color(), ..letters }
}

pub(super) fn fill([r, g, b]: Colour) -> ShapeStyle {
    ShapeStyle::from(RGBColor(r, g, b)).filled()
}

/// A line of a width in pixels.
pub(super) fn stroke(colour: Colour, width: f64) -> ShapeStyle {
    ShapeStyle { filled: false, stroke_width: px(width) as u32, ..fill(colour) }
}

/// The colour of the series or class of this number; past the palette come darker ones.
pub(super) fn colour(number: usize) -> Colour {
    let round = number / PALETTE.len();
    mix(PALETTE[number % PALETTE.len()], BLACK, 0.25 * (round % 3) as f64)
}

/// `share` of the way from one colour to the other.
pub(super) fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|i| {
        let (from, to) = (f64::from(from[i]), f64::from(to[i]));
        (from + (to - from) * share).round() as u8
    })
}

/// White at 0 to dark blue at 1.
pub(super) fn sequential(share: f64) -> Colour {
    const MIDDLE: Colour = [90, 160, 210];
    const DARK: Colour = [5, 55, 110];
    if share < 0.5 { mix(WHITE, MIDDLE, 2.0 * share) } else { mix(MIDDLE, DARK, 2.0 * share - 1.0) }
}

/// Blue at -1, white at 0, orange at 1.
pub(super) fn diverging(value: f64) -> Colour {
    const NEGATIVE: Colour = [0, 90, 160];
    const POSITIVE: Colour = [200, 80, 0];
    mix(WHITE, if value < 0.0 { NEGATIVE } else { POSITIVE }, value.abs())
}

/// Black or white, whichever is read better on this colour.
pub(super) fn ink(paper: Colour) -> Colour {
    let [r, g, b] = paper.map(f64::from);
    if 0.299 * r + 0.587 * g + 0.114 * b < 140.0 { WHITE } else { BLACK }
}
