//! Drawing in pixels and parts of them, on any backend of plotters.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, IntoFont, RGBColor};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, DrawingBackend, DrawingErrorKind};

use super::letters;
use super::style::{BLACK, Colour, TEXT};

/// Coordinates of plotters are whole numbers; a pixel has so many of them, so that curves stay
/// smooth.
pub(super) const UNITS: i32 = 10;

/// What the SVG backend of plotters divides the size of a font by.
pub(super) const LINE_HEIGHT: f64 = 1.24;

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    /// A whole picture.
    pub fn of_size((width, height): (u32, u32)) -> Rect {
        Rect { left: 0.0, top: 0.0, right: f64::from(width), bottom: f64::from(height) }
    }

    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn centre(&self) -> [f64; 2] {
        [(self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0]
    }
}

/// Which part of a text is at its point. Up and down it is always the middle of a capital letter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How a text is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    pub em: f64,
    pub align: Align,
    pub colour: Colour,
    /// From bottom to top, not from left to right.
    pub upward: bool,
}

impl Text {
    pub fn new(align: Align) -> Text {
        Text { em: TEXT, align, colour: BLACK, upward: false }
    }

    pub fn em(self, em: f64) -> Text {
        Text { em, ..self }
    }

    pub fn colour(self, colour: Colour) -> Text {
        Text { colour, ..self }
    }

    pub fn upward(self) -> Text {
        Text { upward: true, ..self }
    }
}

/// How wide a text is in pixels.
pub(super) fn width(text: &str, em: f64) -> f64 {
    letters::width(text) * em
}

/// The text, or its beginning, within so many pixels.
pub(super) fn fitting(text: &str, em: f64, limit: f64) -> String {
    letters::fitting(text, limit / em)
}

/// A colour and a width in units.
struct Stroke(Colour, u32);

impl BackendStyle for Stroke {
    fn color(&self) -> BackendColor {
        let [r, g, b] = self.0;
        BackendColor { alpha: 1.0, rgb: (r, g, b) }
    }

    fn stroke_width(&self) -> u32 {
        self.1
    }
}

/// A backend, and the first failure of drawing on it; after one, nothing more is drawn.
pub(super) struct Canvas<B: DrawingBackend> {
    backend: B,
    failure: Option<String>,
}

fn units(v: f64) -> i32 {
    (v * f64::from(UNITS)).round() as i32
}

/// The middle of a pixel, where a line of one pixel covers that one alone.
fn crisp(v: f64) -> f64 {
    v.floor() + 0.5
}

fn coordinates(p: [f64; 2]) -> BackendCoord {
    (units(p[0]), units(p[1]))
}

impl<B: DrawingBackend> Canvas<B> {
    pub fn new(backend: B) -> Self {
        Canvas { backend, failure: None }
    }

    /// Ends the drawing.
    ///
    /// # Errors
    /// The backend's message if anything could not be drawn.
    pub fn finish(mut self) -> Result<B, String> {
        self.attempt(|backend| backend.present());
        match self.failure {
            None => Ok(self.backend),
            Some(message) => Err(message),
        }
    }

    fn attempt(&mut self, draw: impl FnOnce(&mut B) -> Result<(), DrawingErrorKind<B::ErrorType>>) {
        if self.failure.is_none() {
            self.failure = draw(&mut self.backend).err().map(|error| error.to_string());
        }
    }

    pub fn fill(&mut self, rect: Rect, colour: Colour) {
        let (low, high) = (coordinates([rect.left, rect.top]), coordinates([rect.right, rect.bottom]));
        self.attempt(|backend| backend.draw_rect(low, high, &Stroke(colour, 1), true));
    }

    pub fn outline(&mut self, rect: Rect, colour: Colour, width: f64) {
        let [left, top, right, bottom] = [rect.left, rect.top, rect.right, rect.bottom].map(crisp);
        let corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]];
        self.path(&corners, colour, width);
    }

    /// A line across or upright, which fills its pixels.
    pub fn line(&mut self, from: [f64; 2], to: [f64; 2], colour: Colour, width: f64) {
        self.path(&[from.map(crisp), to.map(crisp)], colour, width);
    }

    pub fn path(&mut self, points: &[[f64; 2]], colour: Colour, width: f64) {
        if points.len() > 1 {
            let style = Stroke(colour, units(width).max(1) as u32);
            self.attempt(|backend| backend.draw_path(points.iter().copied().map(coordinates), &style));
        }
    }

    /// A path of dashes, as long as the gaps between them.
    pub fn dashes(&mut self, points: &[[f64; 2]], colour: Colour, width: f64) {
        const DASH: f64 = 6.0;
        let mut dash: Vec<[f64; 2]> = points.first().copied().into_iter().collect();
        let (mut left, mut drawn) = (DASH, true);
        for ends in points.windows(2) {
            let (mut from, to) = (ends[0], ends[1]);
            let mut length = (to[0] - from[0]).hypot(to[1] - from[1]);
            while length > left {
                let share = left / length;
                from = [0, 1].map(|axis| from[axis] + (to[axis] - from[axis]) * share);
                if drawn {
                    dash.push(from);
                    self.path(&dash, colour, width);
                }
                length -= left;
                (left, drawn, dash) = (DASH, !drawn, vec![from]);
            }
            left -= length;
            dash.push(to);
        }
        if drawn {
            self.path(&dash, colour, width);
        }
    }

    pub fn dot(&mut self, centre: [f64; 2], radius: f64, colour: Colour) {
        let radius = units(radius).max(1) as u32;
        self.attempt(|backend| backend.draw_circle(coordinates(centre), radius, &Stroke(colour, 1), true));
    }

    pub fn ring(&mut self, centre: [f64; 2], radius: f64, colour: Colour, width: f64) {
        const CORNERS: usize = 36;
        let corner = |i: usize| {
            let (sin, cos) = (std::f64::consts::TAU * i as f64 / CORNERS as f64).sin_cos();
            [centre[0] + radius * cos, centre[1] + radius * sin]
        };
        self.path(&(0..=CORNERS).map(corner).collect::<Vec<_>>(), colour, width);
    }

    pub fn text(&mut self, text: &str, at: [f64; 2], how: Text) {
        if text.is_empty() {
            return;
        }
        // An XML file must not hold control characters.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // From the middle of a capital letter to the top of its line.
        let up = 0.76 * how.em - letters::CAPITAL * how.em / 2.0;
        let at = if how.upward { [at[0] - up, at[1]] } else { [at[0], at[1] - up] };
        let h = match how.align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let turned = if how.upward { FontTransform::Rotate270 } else { FontTransform::None };
        let size = how.em * LINE_HEIGHT * f64::from(UNITS);
        let [r, g, b] = how.colour;
        let style = ("sans-serif", size).into_font().transform(turned).color(&RGBColor(r, g, b));
        let style = style.pos(Pos::new(h, VPos::Top));
        self.attempt(|backend| backend.draw_text(&text, &style, coordinates(at)));
    }
}
