//! Panels with axes: curves and dots, a legend beside them.

use plotters::style::text_anchor::HPos;

use super::axis::{Axis, Scale};
use super::chart::{Chart, Frame, text};
use super::legend::{Look, Mark, legend, legend_width};
use super::output::{Area, Drawn, Target};
use super::style::{SMALL, TEXT, letters, px};
use crate::error::Result;

/// The width and the height of a panel.
const SIZE: [f64; 2] = [760.0, 420.0];
/// Curves with at most so many points show each of them.
const FEW: usize = 30;

/// Axes with curves and dots, all named in a legend. Points that are NaN or infinite leave a gap.
///
/// ```
/// use retape::plot::Panel;
///
/// let wave = (0..100).map(|i| f64::from(i) / 10.0).map(|t| (t, t.sin()));
/// let panel = Panel::new("A wave").axes("time", "value").line("sine", wave);
/// # let _ = panel;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Panel {
    title: String,
    x: String,
    y: String,
    x_scale: Scale,
    y_scale: Scale,
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    look: Look,
}

impl Panel {
    /// A panel with this title, which may be empty.
    pub fn new(title: impl Into<String>) -> Self {
        Panel { title: title.into(), ..Panel::default() }
    }

    /// Names the axes.
    #[must_use]
    pub fn axes(self, x: impl Into<String>, y: impl Into<String>) -> Self {
        Panel { x: x.into(), y: y.into(), ..self }
    }

    setters! {
        /// Labels the x axis at whole numbers only, as epochs and indices need.
        #[must_use]
        whole_x => x_scale = Scale::Whole;
        /// Lays y out by its logarithm; points that are not above 0 leave a gap.
        #[must_use]
        log_y => y_scale = Scale::Log;
    }

    /// Adds a curve through points `(x, y)`.
    #[must_use]
    pub fn line(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name.into(), points, Mark::Line)
    }

    /// Adds a curve that the others are held against: wide, grey, and under those that follow.
    #[must_use]
    pub fn reference(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name.into(), points, Mark::Reference)
    }

    /// Adds a cloud of points.
    #[must_use]
    pub fn dots(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name.into(), points, Mark::Dots)
    }

    /// Adds points that stand out: as black rings, larger than dots.
    #[must_use]
    pub fn rings(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.with(name.into(), points, Mark::Rings)
    }

    /// Adds a curve through numbers that are one apart, the first of them at `from`.
    #[must_use]
    pub fn sequence(
        self,
        name: impl Into<String>,
        from: usize,
        numbers: impl IntoIterator<Item = f32>,
    ) -> Self {
        let points = numbers.into_iter().enumerate().map(|(i, y)| ((from + i) as f64, f64::from(y)));
        self.line(name, points)
    }

    fn with(mut self, name: String, points: impl IntoIterator<Item = (f64, f64)>, mark: Mark) -> Self {
        let coloured = self.series.iter().filter(|series| series.look.is_coloured()).count();
        let (points, look) = (points.into_iter().collect(), Look::new(mark, coloured));
        self.series.push(Series { name, points, look });
        self
    }

    fn draw(&self, area: &Area) -> Drawn {
        // One curve needs no legend where an axis or the title has its name.
        let plain = matches!(&self.series[..], [only] if ["", &self.title, &self.y].contains(&&*only.name));
        let named = if plain { &[] } else { &self.series[..] };
        let named: Vec<(&str, Look)> = named.iter().map(|series| (&*series.name, series.look)).collect();
        let width = SIZE[0] - legend_width(&named);
        let (plot, beside) = area.split_horizontally(px(width));
        let (x_scale, y_scale) = (self.x_scale, self.y_scale);
        let has_place = |&(x, y): &(f64, f64)| x_scale.has(x) && y_scale.has(y);
        let points = || self.series.iter().flat_map(|series| series.points.iter().copied());
        // Over the gaps too: panels of the same epochs have the same axis.
        let x = Axis::around(points().map(|point| point.0), x_scale, (width / 85.0) as usize);
        let y = Axis::around(points().filter(has_place).map(|point| point.1), y_scale, 8);
        let names = [&*self.x, &*self.y];
        let frame = Frame { title: &self.title, names, labels: [y.width(), SMALL] };
        let chart = frame.chart(&plot, [&x, &y], true)?;
        for series in &self.series {
            for piece in series.points.split(|point| !has_place(point)) {
                let places = piece.iter().map(|&(x, y)| (x_scale.place(x), y_scale.place(y))).collect();
                series.draw(&chart, places)?;
            }
        }
        if !points().any(|point| has_place(&point)) {
            text(&plot, "no finite values", [width / 2.0, SIZE[1] / 2.0], &letters(TEXT, HPos::Center))?;
        }
        let [over, ..] = frame.around();
        legend(&beside, over, &named)
    }
}

impl Series {
    /// Draws points without a gap between them.
    fn draw(&self, chart: &Chart, points: Vec<(f64, f64)>) -> Drawn {
        let space = chart.plotting_area();
        let few = self.look.mark == Mark::Line && self.points.len() <= FEW;
        // A point between two gaps has no line.
        let dotted = few || points.len() == 1 || !self.look.is_line();
        if self.look.is_line() {
            space.draw(&self.look.line(points.clone()))?;
        }
        points.into_iter().filter(|_| dotted).try_for_each(|point| space.draw(&self.look.dot(point)))
    }
}

/// Draws panels into a file, two side by side if there are several.
pub(super) fn save(target: &Target, panels: &[Panel]) -> Result<()> {
    let columns = panels.len().clamp(1, 2);
    let rows = panels.len().div_ceil(columns).max(1);
    target.save([SIZE[0] * columns as f64, SIZE[1] * rows as f64], |page| {
        page.split_evenly((rows, columns)).iter().zip(panels).try_for_each(|(area, panel)| panel.draw(area))
    })
}
