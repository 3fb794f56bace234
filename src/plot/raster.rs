//! A picture of pixels that plotters draws on: every shape covers each pixel by the share of it that
//! it takes, which leaves no stairs.

use std::convert::Infallible;
use std::io;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};

use super::canvas::{LINE_HEIGHT, UNITS};
use super::letters::{self, CAPITAL, Letter};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;
type Point = [f64; 2];

/// Points in each direction of a pixel at which letters and polygons are looked at.
const SAMPLES: u32 = 4;

/// Red, green and blue of every pixel. Coordinates are in parts of a pixel, [`UNITS`] to each.
pub(super) struct Raster {
    size: (u32, u32),
    pixels: Vec<u8>,
}

/// Pixels from the first to before the second, along x and y.
type Span = [[u32; 2]; 2];

impl Raster {
    /// A white picture of so many pixels.
    pub(super) fn new(size: (u32, u32)) -> Raster {
        Raster { size, pixels: vec![255; 3 * size.0 as usize * size.1 as usize] }
    }

    /// The picture as a PNG file of 8-bit RGB.
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.size.0, self.size.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(io::Error::other)?;
        writer.write_image_data(&self.pixels).map_err(io::Error::other)?;
        writer.finish().map_err(io::Error::other)?;
        Ok(bytes)
    }

    /// The pixels of the picture that a rectangle touches.
    fn span(&self, low: Point, high: Point) -> Span {
        let along = |axis: usize, limit: u32| {
            let bound = |v: f64| v.clamp(0.0, f64::from(limit)) as u32;
            [bound(low[axis].floor()), bound(high[axis].ceil())]
        };
        [along(0, self.size.0), along(1, self.size.1)]
    }

    /// Lays the colour over every pixel of the span by the share of it that is covered.
    fn blend(&mut self, span: Span, colour: BackendColor, covered: impl Fn(u32, u32) -> f64) {
        let (r, g, b) = colour.rgb;
        for y in span[1][0]..span[1][1] {
            for x in span[0][0]..span[0][1] {
                let share = covered(x, y) * colour.alpha;
                if share > 0.0 {
                    let at = 3 * (y as usize * self.size.0 as usize + x as usize);
                    for (old, new) in self.pixels[at..at + 3].iter_mut().zip([r, g, b]) {
                        *old = (f64::from(*old) * (1.0 - share) + f64::from(new) * share).round() as u8;
                    }
                }
            }
        }
    }

    /// Like [`blend`](Raster::blend), of a shape that is known by the points it holds.
    fn blend_points(&mut self, span: Span, colour: BackendColor, holds: impl Fn(f64, f64) -> bool) {
        let inner = |i: u32| (f64::from(i) + 0.5) / f64::from(SAMPLES);
        self.blend(span, colour, |x, y| {
            let points = (0..SAMPLES * SAMPLES).map(|i| (inner(i % SAMPLES), inner(i / SAMPLES)));
            let held = points.filter(|(dx, dy)| holds(f64::from(x) + dx, f64::from(y) + dy)).count();
            held as f64 / f64::from(SAMPLES * SAMPLES)
        });
    }

    fn fill(&mut self, low: Point, high: Point, colour: BackendColor) {
        let overlap = |axis: usize, pixel: u32| {
            let pixel = f64::from(pixel);
            (high[axis].min(pixel + 1.0) - low[axis].max(pixel)).max(0.0)
        };
        let span = self.span(low, high);
        self.blend(span, colour, |x, y| overlap(0, x) * overlap(1, y));
    }

    /// A line with round ends and corners. Where it crosses itself it covers once.
    fn stroke(&mut self, path: &[Point], width: f64, colour: BackendColor) {
        let reach = width / 2.0 + 0.5;
        let bound =
            |axis: usize, pick: fn(f64, f64) -> f64, from: f64| path.iter().map(|p| p[axis]).fold(from, pick);
        let low = [0, 1].map(|axis| bound(axis, f64::min, f64::INFINITY) - reach);
        let high = [0, 1].map(|axis| bound(axis, f64::max, f64::NEG_INFINITY) + reach);
        let all = self.span(low, high);
        let across = (all[0][1].saturating_sub(all[0][0])) as usize;
        let mut mask = vec![0f32; across * (all[1][1].saturating_sub(all[1][0])) as usize];
        let index = |x: u32, y: u32| (y - all[1][0]) as usize * across + (x - all[0][0]) as usize;
        for ends in path.windows(2) {
            let (a, b) = (ends[0], ends[1]);
            let low = [a[0].min(b[0]) - reach, a[1].min(b[1]) - reach];
            let high = [a[0].max(b[0]) + reach, a[1].max(b[1]) + reach];
            let [columns, rows] = self.span(low, high);
            for y in rows[0]..rows[1] {
                for x in columns[0]..columns[1] {
                    let far = distance([f64::from(x) + 0.5, f64::from(y) + 0.5], a, b);
                    let covered = (reach - far).clamp(0.0, width.min(1.0)) as f32;
                    let old = &mut mask[index(x, y)];
                    *old = old.max(covered);
                }
            }
        }
        self.blend(all, colour, |x, y| f64::from(mask[index(x, y)]));
    }

    fn letter(&mut self, letter: &Letter, em: f64, place: &Placement, left: f64, colour: BackendColor) {
        let (width, height) = letter.size();
        let corners = [[left, 0.0], [left + width * em, height * em]].map(|p| place.outward(p));
        let low = [0, 1].map(|axis| corners[0][axis].min(corners[1][axis]));
        let high = [0, 1].map(|axis| corners[0][axis].max(corners[1][axis]));
        let span = self.span(low, high);
        self.blend_points(span, colour, |x, y| {
            let [x, y] = place.inward([x, y]);
            letter.inked((x - left) / em, y / em)
        });
    }
}

/// How far a point is from the line between two others.
fn distance(p: Point, a: Point, b: Point) -> f64 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let share =
        if length == 0.0 { 0.0 } else { ((to[0] * along[0] + to[1] * along[1]) / length).clamp(0.0, 1.0) };
    (to[0] - share * along[0]).hypot(to[1] - share * along[1])
}

/// Where a text begins, and which way it runs.
struct Placement {
    at: Point,
    /// The directions of a text's x and y on the picture.
    x: Point,
    y: Point,
    /// Where the text's own origin is from its anchor.
    shift: Point,
}

impl Placement {
    fn outward(&self, p: Point) -> Point {
        let p = [p[0] + self.shift[0], p[1] + self.shift[1]];
        [0, 1].map(|axis| self.at[axis] + p[0] * self.x[axis] + p[1] * self.y[axis])
    }

    fn inward(&self, p: Point) -> Point {
        let p = [p[0] - self.at[0], p[1] - self.at[1]];
        let along = |direction: Point| p[0] * direction[0] + p[1] * direction[1];
        [along(self.x) - self.shift[0], along(self.y) - self.shift[1]]
    }
}

fn point((x, y): BackendCoord) -> Point {
    [x, y].map(|v| f64::from(v) / f64::from(UNITS))
}

/// The height of an em in pixels.
fn em<S: BackendTextStyle>(style: &S) -> f64 {
    style.size() / LINE_HEIGHT / f64::from(UNITS)
}

impl DrawingBackend for Raster {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.size.0 * UNITS as u32, self.size.1 * UNITS as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        self.fill(point((x, y)), point((x.saturating_add(1), y.saturating_add(1))), colour);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let path: Vec<Point> = path.into_iter().map(point).collect();
        self.stroke(&path, f64::from(style.stroke_width()) / f64::from(UNITS), style.color());
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        low: BackendCoord,
        high: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if fill {
            self.fill(point(low), point(high), style.color());
            return Ok(());
        }
        self.draw_path([low, (high.0, low.1), high, (low.0, high.1), low], style)
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        centre: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let (centre, radius) = (point(centre), f64::from(radius) / f64::from(UNITS));
        let half = f64::from(style.stroke_width()) / f64::from(UNITS) / 2.0;
        let reach = radius + half + 1.0;
        let span = self.span(centre.map(|v| v - reach), centre.map(|v| v + reach));
        self.blend(span, style.color(), |x, y| {
            let far = (f64::from(x) + 0.5 - centre[0]).hypot(f64::from(y) + 0.5 - centre[1]);
            let outside = if fill { far - radius } else { (far - radius).abs() - half };
            (0.5 - outside).clamp(0.0, 1.0)
        });
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        let corners: Vec<Point> = corners.into_iter().map(point).collect();
        let Some(last) = corners.last() else { return Ok(()) };
        let edges: Vec<(Point, Point)> =
            std::iter::once(last).chain(&corners).copied().zip(corners.iter().copied()).collect();
        // Inside is where a ray to the right crosses an odd number of edges.
        let holds = |x: f64, y: f64| {
            let crosses = |(a, b): &&(Point, Point)| {
                (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
            };
            edges.iter().filter(crosses).count() % 2 == 1
        };
        let bound = |axis: usize, pick: fn(f64, f64) -> f64| {
            corners.iter().map(|p| p[axis]).fold(corners[0][axis], pick)
        };
        let span = self.span([0, 1].map(|axis| bound(axis, f64::min)), [0, 1].map(|a| bound(a, f64::max)));
        self.blend_points(span, style.color(), holds);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let em = em(style);
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -letters::width(text) / 2.0,
            HPos::Right => -letters::width(text),
        };
        // Where the writer of SVG has the foot of the letters, in em below the anchor; the x of a
        // sans-serif font is about 0.53 em tall.
        let foot = match style.anchor().v_pos {
            VPos::Top => 0.76,
            VPos::Center => 0.265,
            VPos::Bottom => -0.265,
        };
        let direction = |x, y| {
            let (x, y) = style.transform().transform(x, y);
            [f64::from(x), f64::from(y)]
        };
        let place = Placement {
            at: point(at),
            x: direction(1, 0),
            y: direction(0, 1),
            shift: [left * em, (foot - CAPITAL) * em],
        };
        for (left, letter) in letters::letters(text) {
            self.letter(&letter, em, &place, left * em, style.color());
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let width = letters::width(text) * em(style) * f64::from(UNITS);
        Ok((width.ceil() as u32, style.size().ceil() as u32))
    }
}
