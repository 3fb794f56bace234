//! What pictures are put together of: texts, images, legends, and frames with axes.

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{PathElement, Rectangle};
use plotters::style::text_anchor::HPos;
use plotters::style::{FontTransform, TRANSPARENT, TextStyle};

use super::axis::Axis;
use super::font::{fitting, widest};
use super::output::{Area, Drawn};
use super::style::{self, AWAY, Colour, FRAME, GRID, MARGIN, SMALL, TEXT, TITLE, UNITS, letters, px};

pub(super) type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// The width of a colour bar.
const BAR: f64 = 16.0;

/// Writes a text at a point in pixels.
pub(super) fn text(area: &Area, text: &str, [x, y]: [f64; 2], style: &TextStyle) -> Drawn {
    if text.is_empty() { Ok(()) } else { area.draw_text(text, style, (px(x), px(y))) }
}

/// The style of a text that runs from bottom to top.
pub(super) fn upward(style: TextStyle<'static>) -> TextStyle<'static> {
    style.transform(FontTransform::Rotate270)
}

/// An image in a frame: colours row by row from the top left corner `[left, top]`, each a cell of
/// `[width, height]` pixels.
pub(super) fn image(
    area: &Area,
    [left, top]: [f64; 2],
    cell: [f64; 2],
    columns: usize,
    colours: &[Colour],
) -> Drawn {
    let corner = |column: usize, row: usize| (left + column as f64 * cell[0], top + row as f64 * cell[1]);
    let (right, bottom) = corner(columns, colours.len() / columns);
    for (y, row) in colours.chunks_exact(columns).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            let (first, last) = (corner(x, y), corner(x + run.len(), y + 1));
            // Cells reach under those that follow, so that no white shows between them.
            let last = ((last.0 + 0.5).min(right), (last.1 + 0.5).min(bottom));
            let corners = [first, last].map(|(x, y)| (px(x), px(y)));
            area.draw(&Rectangle::new(corners, style::fill(run[0])))?;
            x += run.len();
        }
    }
    // Plotters writes no width of a rectangle's line.
    let [x, y] = [[left - 0.5, right + 0.5], [top - 0.5, bottom + 0.5]].map(|ends| ends.map(px));
    let corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])];
    area.draw(&PathElement::new(corners, style::stroke(FRAME, 1.0)))
}

/// How wide a colour bar is with its labels.
pub(super) fn bar_width(labels: &[(f64, &str)]) -> f64 {
    BAR + AWAY + widest(labels.iter().map(|(_, label)| *label), SMALL)
}

/// A bar of all colours of a map, `height` pixels high, with labels to its right. Both go from 0 to 1,
/// upwards.
pub(super) fn colour_bar(
    area: &Area,
    [left, top]: [f64; 2],
    height: f64,
    map: impl Fn(f64) -> Colour,
    labels: &[(f64, &str)],
) -> Drawn {
    let steps = height.max(2.0) as usize;
    let colours: Vec<Colour> = (0..steps).rev().map(|step| map((step as f64 + 0.5) / steps as f64)).collect();
    image(area, [left, top], [BAR, height / steps as f64], 1, &colours)?;
    for (share, label) in labels {
        // The outermost labels stay beside the bar.
        let middle = (top + (1.0 - share) * height).clamp(top + SMALL / 2.0, top + height - SMALL / 2.0);
        text(area, label, [left + BAR + AWAY, middle], &letters(SMALL, HPos::Left))?;
    }
    Ok(())
}

/// A title, and names and labels of axes, around a space for drawing.
pub(super) struct Frame<'a> {
    pub title: &'a str,
    /// Those of x and y.
    pub names: [&'a str; 2],
    /// How wide the labels beside the space are, and how high those under it.
    pub labels: [f64; 2],
}

impl Frame<'_> {
    /// Pixels over, right of, under and left of the space.
    pub fn around(&self) -> [f64; 4] {
        let named = |name: &str, em: f64| if name.is_empty() { 0.0 } else { em + AWAY };
        let [beside, below] = self.labels;
        let over = MARGIN + named(self.title, TITLE);
        let under = AWAY + below + named(self.names[0], TEXT) + MARGIN;
        [over, MARGIN, under, MARGIN + named(self.names[1], TEXT) + beside + AWAY].map(f64::ceil)
    }

    /// Writes the title and the names into an area.
    pub fn write(&self, area: &Area) -> Drawn {
        let [over, beside, under, left] = self.around();
        let [wide, high] = pixels(area);
        let [x, y] = [wide - left - beside, high - over - under];
        let centred = |em: f64| letters(em, HPos::Center);
        let title = fitting(self.title, TITLE, wide - 2.0 * MARGIN);
        text(area, &title, [wide / 2.0, MARGIN + TITLE / 2.0], &centred(TITLE))?;
        let name = fitting(self.names[0], TEXT, x);
        text(area, &name, [left + x / 2.0, high - MARGIN - TEXT / 2.0], &centred(TEXT))?;
        let name = fitting(self.names[1], TEXT, y);
        text(area, &name, [MARGIN + TEXT / 2.0, over + y / 2.0], &upward(centred(TEXT)))
    }

    /// A chart in an area with the labels of its axes, x and y; with lines at the axes and at their
    /// ticks, or none.
    pub fn chart<'a>(&self, area: &Area<'a>, [x, y]: [&Axis; 2], lines: bool) -> Drawn<Chart<'a>> {
        self.write(area)?;
        // A line is sharp in the middle of a pixel, an image at its edge. The last unit of a range is
        // left out by plotters.
        let half = if lines { 0.5 } else { 0.0 };
        let [over, beside, under, left] = self.around();
        let [wide, high] = pixels(area);
        let mut chart = ChartBuilder::on(area)
            .margin_top(px(over + half))
            .margin_right(px(beside - half) - 1)
            .x_label_area_size(px(under - half) - 1)
            .y_label_area_size(px(left + half))
            .build_cartesian_2d(x.sharp(wide - left - beside), y.sharp(high - over - under))?;
        let mut mesh = chart.configure_mesh();
        if lines {
            mesh.bold_line_style(style::stroke(GRID, 1.0)).axis_style(style::stroke(FRAME, 1.0));
        } else {
            mesh.disable_mesh().axis_style(TRANSPARENT);
        }
        mesh.label_style(letters(SMALL, HPos::Center)).set_all_tick_mark_size(px(AWAY / 2.0)).draw()?;
        Ok(chart)
    }
}

/// The width and the height of an area.
fn pixels(area: &Area) -> [f64; 2] {
    let (wide, high) = area.dim_in_pixel();
    [wide, high].map(|extent| f64::from(extent) / f64::from(UNITS))
}
