//! Bars that say which number a colour stands for.

use plotters_backend::DrawingBackend;

use super::canvas::{Align, Canvas, Rect, Text};
use super::style::{Colour, FRAME, SMALL};

/// The width of a colour bar.
pub(super) const BAR: f64 = 16.0;
/// From the bar to its labels.
const AWAY: f64 = 8.0;

/// A bar of all colours of a map with labels to its right. Both go from 0 to 1, upwards.
pub(super) fn colour_bar<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    bar: Rect,
    map: impl Fn(f64) -> Colour,
    labels: &[(f64, &str)],
) {
    let steps = bar.height().floor().max(2.0) as usize;
    let height = bar.height() / steps as f64;
    for step in 0..steps {
        let top = bar.top + step as f64 * height;
        // A step reaches under the next, so that no white shows between them.
        let bottom = (top + 2.0 * height).min(bar.bottom);
        canvas.fill(Rect { top, bottom, ..bar }, map(1.0 - (step as f64 + 0.5) / steps as f64));
    }
    canvas.outline(bar, FRAME, 1.0);
    for (share, label) in labels {
        // The outermost labels stay beside the bar.
        let middle = bar.bottom - share * bar.height();
        let middle = middle.clamp(bar.top + SMALL / 2.0, bar.bottom - SMALL / 2.0);
        canvas.text(label, [bar.right + AWAY, middle], Text::new(Align::Left).em(SMALL));
    }
}
