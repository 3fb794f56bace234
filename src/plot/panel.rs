//! Panels with axes: curves and dots, a legend above them.

use plotters_backend::DrawingBackend;

use super::axis::{Axis, Scale, drawable};
use super::canvas::{Align, Canvas, Rect, Text, fitting, width};
use super::output::Scene;
use super::style::{self, BLACK, Colour, FRAME, GRID, MARGIN, PANEL, REFERENCE, SMALL, TEXT, TITLE};

/// Curves with at most so many points show each of them.
const FEW: usize = 30;
/// The height of a line of the legend, and the length of its sample of a curve.
const LEGEND: f64 = 21.0;
const SAMPLE: f64 = 24.0;
/// The most lines of the legend, which leave space for the curves.
const LINES: usize = 8;
/// The radius of a ring.
const RING: f64 = 6.0;
/// From an axis to its labels.
const AWAY: f64 = 7.0;

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
    whole_x: bool,
    log_y: bool,
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    mark: Mark,
    colour: Colour,
    /// Of the series that have a colour of the palette.
    number: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Line,
    Reference,
    Dots,
    Rings,
}

impl Mark {
    /// Whether it takes the next colour of the palette.
    fn is_coloured(self) -> bool {
        matches!(self, Mark::Line | Mark::Dots)
    }
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

    /// Labels the x axis at whole numbers only, as epochs and indices need.
    #[must_use]
    pub fn whole_x(self) -> Self {
        Panel { whole_x: true, ..self }
    }

    /// Lays y out by its logarithm; points that are not above 0 leave a gap.
    #[must_use]
    pub fn log_y(self) -> Self {
        Panel { log_y: true, ..self }
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
        let number = self.series.iter().filter(|series| series.mark.is_coloured()).count();
        let colour = match mark {
            Mark::Reference => REFERENCE,
            Mark::Rings => BLACK,
            Mark::Line | Mark::Dots => style::colour(number),
        };
        self.series.push(Series { name, points: points.into_iter().collect(), mark, colour, number });
        self
    }

    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    fn scales(&self) -> [Scale; 2] {
        let x = if self.whole_x { Scale::Whole } else { Scale::Linear };
        [x, if self.log_y { Scale::Log } else { Scale::Linear }]
    }

    /// The points that both axes can show.
    fn shown(&self) -> impl Iterator<Item = (f64, f64)> {
        let [x, y] = self.scales();
        let points = self.series.iter().flat_map(|series| &series.points).copied();
        points.filter(move |point| drawable(point.0, x) && drawable(point.1, y))
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, area: Rect) {
        let (left, right) = (area.left + MARGIN, area.right - MARGIN);
        let mut top = area.top + MARGIN;
        if !self.title.is_empty() {
            let title = fitting(&self.title, TITLE, right - left);
            let at = [(left + right) / 2.0, top + TITLE / 2.0];
            canvas.text(&title, at, Text::new(Align::Centre).em(TITLE));
            top += TITLE + 8.0;
        }
        // One curve needs no legend where an axis or the title has its name.
        let plain =
            self.series.len() == 1 && [&self.title, &self.y, &String::new()].contains(&&self.series[0].name);
        if !plain {
            top = self.legend(canvas, Rect { left, top, right, bottom: area.bottom });
        }
        let [x_scale, y_scale] = self.scales();
        let bottom = area.bottom - MARGIN - AWAY - TEXT - if self.x.is_empty() { 0.0 } else { TEXT + 8.0 };
        let y = Axis::around(self.shown().map(|p| p.1), y_scale, ((bottom - top) / 45.0) as usize);
        let labels = y.ticks.iter().map(|(_, label)| width(label, SMALL)).fold(0.0, f64::max);
        let left = left + labels + AWAY + if self.y.is_empty() { 0.0 } else { TEXT + 8.0 };
        // Over the gaps too: panels of the same epochs have the same axis.
        let all = self.series.iter().flat_map(|series| &series.points).map(|p| p.0);
        let x = Axis::around(all, x_scale, ((right - left) / 85.0) as usize);
        let frame = Rect { left, top: top + 4.0, right, bottom };
        axes(canvas, frame, [&x, &y], [&self.x, &self.y]);
        for series in &self.series {
            series.draw(canvas, &frame, [(&x, x_scale), (&y, y_scale)]);
        }
        if self.shown().next().is_none() {
            canvas.text("no finite values", frame.centre(), Text::new(Align::Centre).colour(FRAME));
        }
    }

    /// Writes the legend in as many lines as it needs and returns where it ends.
    fn legend<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, area: Rect) -> f64 {
        const BETWEEN: f64 = 22.0;
        let name = |series: &Series| fitting(&series.name, TEXT, area.width() - SAMPLE - 8.0);
        let mut lines: Vec<(f64, Vec<&Series>)> = Vec::new();
        for series in &self.series {
            let wide = SAMPLE + 8.0 + width(&name(series), TEXT);
            match lines.last_mut() {
                Some((used, line)) if *used + BETWEEN + wide <= area.width() => {
                    *used += BETWEEN + wide;
                    line.push(series);
                }
                _ => lines.push((wide, vec![series])),
            }
        }
        let named: usize = lines.iter().take(LINES).map(|(_, line)| line.len()).sum();
        let mut middle = area.top + LEGEND / 2.0;
        for (used, line) in lines.into_iter().take(LINES) {
            let mut x = area.left + (area.width() - used) / 2.0;
            for series in line {
                let name = name(series);
                series.sample(canvas, x, middle);
                canvas.text(&name, [x + SAMPLE + 8.0, middle], Text::new(Align::Left));
                x += SAMPLE + 8.0 + width(&name, TEXT) + BETWEEN;
            }
            middle += LEGEND;
        }
        if named < self.series.len() {
            let rest = format!("and {} more", self.series.len() - named);
            canvas.text(&rest, [area.centre()[0], middle], Text::new(Align::Centre));
            middle += LEGEND;
        }
        middle - LEGEND / 2.0 + 2.0
    }
}

/// A frame with ticks, labels and names at two axes, and faint lines across it.
pub(super) fn axes<B: DrawingBackend>(
    canvas: &mut Canvas<B>,
    frame: Rect,
    [x, y]: [&Axis; 2],
    [x_name, y_name]: [&str; 2],
) {
    let place = |position: f64, from: f64, to: f64| from + position * (to - from);
    for (position, label) in &x.ticks {
        let at = place(*position, frame.left, frame.right);
        canvas.line([at, frame.top], [at, frame.bottom], GRID, 1.0);
        canvas.line([at, frame.bottom], [at, frame.bottom + 4.0], FRAME, 1.0);
        let below = frame.bottom + AWAY + SMALL / 2.0;
        canvas.text(label, [at, below], Text::new(Align::Centre).em(SMALL));
    }
    for (position, label) in &y.ticks {
        let at = place(*position, frame.bottom, frame.top);
        canvas.line([frame.left, at], [frame.right, at], GRID, 1.0);
        canvas.line([frame.left - 4.0, at], [frame.left, at], FRAME, 1.0);
        canvas.text(label, [frame.left - AWAY, at], Text::new(Align::Right).em(SMALL));
    }
    canvas.outline(frame, FRAME, 1.0);
    let [middle_x, middle_y] = frame.centre();
    let below = frame.bottom + AWAY + TEXT + 8.0 + TEXT / 2.0;
    let name = fitting(x_name, TEXT, frame.width());
    canvas.text(&name, [middle_x, below], Text::new(Align::Centre));
    let labels = y.ticks.iter().map(|(_, label)| width(label, SMALL)).fold(0.0, f64::max);
    let beside = frame.left - AWAY - labels - 8.0 - TEXT / 2.0;
    let name = fitting(y_name, TEXT, frame.height());
    canvas.text(&name, [beside, middle_y], Text::new(Align::Centre).upward());
}

impl Series {
    fn stroke<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, points: &[[f64; 2]]) {
        if self.mark == Mark::Reference {
            canvas.path(points, self.colour, 4.0);
        } else if self.number >= style::PALETTE.len() {
            canvas.dashes(points, self.colour, 2.0);
        } else {
            canvas.path(points, self.colour, 2.0);
        }
    }

    /// What the legend shows of it.
    fn sample<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, x: f64, y: f64) {
        match self.mark {
            Mark::Dots => canvas.dot([x + SAMPLE / 2.0, y], 4.0, self.colour),
            Mark::Rings => canvas.ring([x + SAMPLE / 2.0, y], RING, self.colour, 2.0),
            Mark::Line | Mark::Reference => self.stroke(canvas, &[[x, y], [x + SAMPLE, y]]),
        }
    }

    fn draw<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<B>,
        frame: &Rect,
        [(x, x_scale), (y, y_scale)]: [(&Axis, Scale); 2],
    ) {
        let place = |&(px, py): &(f64, f64)| {
            let right = frame.left + x.position(px) * frame.width();
            [right, frame.bottom - y.position(py) * frame.height()]
        };
        let shown = |point: &(f64, f64)| drawable(point.0, x_scale) && drawable(point.1, y_scale);
        let pieces = self.points.split(|point| !shown(point));
        let pieces = pieces.map(|piece| piece.iter().map(place).collect::<Vec<_>>());
        for piece in pieces {
            match self.mark {
                Mark::Dots => piece.iter().for_each(|&at| canvas.dot(at, 3.0, self.colour)),
                Mark::Rings => piece.iter().for_each(|&at| canvas.ring(at, RING, self.colour, 2.0)),
                Mark::Line | Mark::Reference => self.curve(canvas, &piece),
            }
        }
    }

    fn curve<B: DrawingBackend>(&self, canvas: &mut Canvas<B>, piece: &[[f64; 2]]) {
        self.stroke(canvas, piece);
        let few = self.mark == Mark::Line && self.points.len() <= FEW;
        // A point between two gaps has no line.
        if few || piece.len() == 1 {
            piece.iter().for_each(|&at| canvas.dot(at, 3.0, self.colour));
        }
    }
}

/// Panels, two side by side if there are several.
pub(super) struct Panels<'a>(pub &'a [Panel]);

impl Panels<'_> {
    fn columns(&self) -> usize {
        self.0.len().clamp(1, 2)
    }
}

impl Scene for Panels<'_> {
    fn size(&self) -> (u32, u32) {
        let rows = self.0.len().div_ceil(self.columns()).max(1);
        (PANEL.0 * self.columns() as u32, PANEL.1 * rows as u32)
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<B>) {
        let (width, height) = (f64::from(PANEL.0), f64::from(PANEL.1));
        for (number, panel) in self.0.iter().enumerate() {
            let left = width * (number % self.columns()) as f64;
            let top = height * (number / self.columns()) as f64;
            panel.draw(canvas, Rect { left, top, right: left + width, bottom: top + height });
        }
    }
}
