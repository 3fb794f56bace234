//! Pictures of curves: NAME.svg, and NAME.png with the letters of an 8 x 8 font, so that no font of
//! the machine is needed.

use std::convert::Infallible;
use std::error::Error;

use font8x8::legacy::BASIC_LEGACY;
use image::{Rgb, RgbImage};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingErrorKind};

use super::{Flags, round};

/// Axes with their curves.
pub struct Panel {
    pub title: String,
    pub x: &'static str,
    pub y: &'static str,
    pub curves: Vec<Curve>,
}

/// A curve with its name in the legend.
pub struct Curve {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// The numbers as a curve whose first point is at `from`.
    pub fn of(name: &'static str, from: usize, numbers: impl IntoIterator<Item = f32>) -> Self {
        let points = numbers.into_iter().enumerate().map(|(i, y)| ((from + i) as f64, f64::from(y)));
        Curve { name, points: points.collect() }
    }
}

/// Grey for the first curve, which is the truth that the others are held against.
const COLOURS: [RGBColor; 3] = [RGBColor(150, 150, 150), RGBColor(0, 90, 200), RGBColor(210, 60, 0)];

/// The size of a panel in pixels.
const SIZE: (u32, u32) = (760, 420);

/// Letters as wide as those of the PNG.
const FONT: (&str, i32) = ("sans-serif", 17);

impl Flags {
    /// Draws the panels, two side by side if there are several, as NAME.svg and NAME.png into the
    /// folder that `--out` names, and says so.
    pub fn plot(&self, name: &str, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
        let Some(folder) = &self.out else { return Ok(()) };
        let columns = panels.len().min(2);
        let rows = panels.len().div_ceil(columns.max(1));
        let size = (SIZE.0 * columns as u32, SIZE.1 * rows as u32);
        let failed = |e: Box<dyn Error>| format!("cannot plot into `{}`: {e}", folder.display());
        std::fs::create_dir_all(folder).map_err(|e| failed(e.into()))?;
        let (svg, png) = (folder.join(format!("{name}.svg")), folder.join(format!("{name}.png")));

        draw(SVGBackend::new(&svg, size), (rows, columns), panels).map_err(failed)?;
        let mut picture = RgbImage::new(size.0, size.1);
        draw(Picture(&mut picture), (rows, columns), panels).map_err(failed)?;
        picture.save(&png).map_err(|e| failed(e.into()))?;
        println!("drawn as {} and {}", svg.display(), png.display());
        Ok(())
    }
}

fn draw<B: DrawingBackend>(backend: B, grid: (usize, usize), panels: &[Panel]) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let root = backend.into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly(grid).iter().zip(panels) {
        panel.draw(area)?;
    }
    root.present()?;
    Ok(())
}

impl Panel {
    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, plotters::coord::Shift>,
    ) -> Result<(), Box<dyn Error>>
    where
        B::ErrorType: 'static,
    {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let (left, right) = range(points().map(|p| p.0));
        let (low, high) = range(points().map(|p| p.1));
        // The legend has the space above the curves to itself.
        let tall = high - low;
        let above = 0.1 + 0.09 * self.curves.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .caption(&self.title, FONT)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(left..right, low - 0.05 * tall..high + above * tall)?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_labels(8)
            .y_labels(7)
            .label_style(FONT)
            .axis_desc_style(FONT)
            .light_line_style(TRANSPARENT)
            // A sum with zero has no sign where it is zero.
            .y_label_formatter(&|&y| format!("{:.1}", round(y, 1) + 0.0))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .draw()?;
        for (number, curve) in self.curves.iter().enumerate() {
            let style = COLOURS[number % COLOURS.len()].stroke_width(if number == 0 { 4 } else { 2 });
            chart
                .draw_series(LineSeries::new(curve.points.iter().copied(), style))?
                .label(curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .label_font(FONT)
            .draw()?;
        Ok(())
    }
}

/// The least and the greatest, apart from each other.
fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low < high { (low, high) } else { (low.min(0.0), low.max(0.0) + 1.0) }
}

/// Pixels, and letters of 8 x 16 of them.
struct Picture<'a>(&'a mut RgbImage);

impl DrawingBackend for Picture<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn draw_pixel(
        &mut self,
        (x, y): BackendCoord,
        color: BackendColor,
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return Ok(()) };
        if let Some(Rgb(pixel)) = self.0.get_pixel_mut_checked(x, y) {
            let (r, g, b) = color.rgb;
            for (old, new) in pixel.iter_mut().zip([r, g, b]) {
                *old = (f64::from(*old) * (1.0 - color.alpha) + f64::from(new) * color.alpha).round() as u8;
            }
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        at: BackendCoord,
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let width = 8 * text.chars().count() as i32;
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -8,
            VPos::Bottom => -16,
        };
        for (x, letter) in (left..).step_by(8).zip(text.chars()) {
            let glyph = BASIC_LEGACY.get(letter as usize).unwrap_or(&BASIC_LEGACY['?' as usize]);
            let dots = (0..16).flat_map(|row| (0..8).map(move |column| (column, row)));
            for (column, row) in dots.filter(|&(column, row)| glyph[row / 2] >> column & 1 == 1) {
                let (dx, dy) = style.transform().transform(x + column, top + row as i32);
                self.draw_pixel((at.0 + dx, at.1 + dy), style.color())?;
            }
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((8 * text.chars().count() as u32, 16))
    }
}
