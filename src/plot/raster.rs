//! A picture as pixels: what the SVG backend of plotters wrote, laid over them by the rasteriser zeno.

use std::io;

use zeno::{Mask, PathData, Scratch, Stroke, Style, Transform};

use super::font::{UNITS_PER_EM, X_HEIGHT, glyphs};
use super::style::{Colour, WHITE, mix};

/// The value of an attribute of a tag.
pub(super) fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let value = tag.split_once(&format!(" {name}=\""))?.1;
    Some(value.split_once('"')?.0)
}

/// A PNG file, 8-bit RGB, of an SVG whose coordinates are `scale` to a pixel.
///
/// # Errors
/// An element or a number that is not understood.
pub(super) fn png(svg: &str, [width, height]: [u32; 2], scale: u32) -> io::Result<Vec<u8>> {
    let mut raster = Raster {
        rows: vec![vec![WHITE; width as usize]; height as usize],
        scale: 1.0 / scale as f32,
        scratch: Scratch::new(),
    };
    for element in svg.split('<').skip(1) {
        raster.draw(element).ok_or_else(|| io::Error::other(format!("cannot draw <{element}")))?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(raster.rows.concat().as_flattened())?;
    Ok(bytes)
}

struct Raster {
    rows: Vec<Vec<Colour>>,
    /// Pixels in a unit of the SVG.
    scale: f32,
    scratch: Scratch,
}

impl Raster {
    /// Draws an element, of which the first `<` is left out.
    fn draw(&mut self, element: &str) -> Option<()> {
        let (tag, text) = element.split_once('>')?;
        let name = tag.split_whitespace().next()?;
        let number = |name: &str| number(tag, name);
        let path = match name {
            "rect" => {
                let (width, height) = (number("width")?, number("height")?);
                format!("M{} {}h{width}v{height}h{}z", number("x")?, number("y")?, -width)
            }
            "circle" => {
                let (x, y, r) = (number("cx")?, number("cy")?, number("r")?);
                let half = |across: f32| format!("a{r} {r} 0 1 1 {across} 0");
                format!("M{} {y}{}{}z", x - r, half(2.0 * r), half(-2.0 * r))
            }
            "line" => format!("M{} {}L{} {}", number("x1")?, number("y1")?, number("x2")?, number("y2")?),
            "polyline" => format!("M{}", attribute(tag, "points")?),
            "text" => return self.text(tag, text.trim_matches('\n')),
            "svg" | "/svg" | "/text" => return Some(()),
            _ => return None,
        };
        let place = Transform::scale(self.scale, self.scale);
        match attribute(tag, "fill").unwrap_or("none") {
            "none" => {
                let stroke = Stroke::new(number("stroke-width").unwrap_or(1.0));
                self.paint(path.as_str(), stroke.into(), place, colour(attribute(tag, "stroke")?)?);
            }
            fill => self.paint(path.as_str(), Style::default(), place, colour(fill)?),
        }
        Some(())
    }

    fn text(&mut self, tag: &str, text: &str) -> Option<()> {
        let (x, y, em) = (number(tag, "x")?, number(tag, "y")?, number(tag, "font-size")?);
        let text = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
            .iter()
            .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character));
        let long: f32 = glyphs(&text).map(|glyph| glyph.advance).sum();
        let mut along = match attribute(tag, "text-anchor")? {
            "start" => 0.0,
            "middle" => -long / 2.0,
            "end" => -long,
            _ => return None,
        };
        let foot = attribute(tag, "dy")?;
        let foot: f32 = match foot.strip_suffix("ex") {
            Some(share) => share.parse::<f32>().ok()? * X_HEIGHT,
            None => foot.strip_suffix("em")?.parse().ok()?,
        };
        let turn: f32 = match attribute(tag, "transform") {
            None => 0.0,
            Some(turn) => turn.strip_prefix("rotate(")?.split(',').next()?.parse().ok()?,
        };
        let (sin, cos) = turn.to_radians().sin_cos();
        let colour = colour(attribute(tag, "fill")?)?;
        let unit = em / UNITS_PER_EM;
        for glyph in glyphs(&text) {
            let (right, down) = (along * unit, foot * em);
            let (x, y) = (x + cos * right - sin * down, y + sin * right + cos * down);
            let place = [cos * unit, sin * unit, sin * unit, -cos * unit, x, y].map(|v| v * self.scale);
            let [xx, xy, yx, yy, x, y] = place;
            self.paint(glyph.outline, Style::default(), Transform::new(xx, xy, yx, yy, x, y), colour);
            along += glyph.advance;
        }
        Some(())
    }

    /// Lays a colour over every pixel by the share of it that the shape covers.
    fn paint(&mut self, path: impl PathData, style: Style, place: Transform, colour: Colour) {
        let mut mask = Mask::with_scratch(path, &mut self.scratch);
        let (covered, at) = mask.style(style).transform(Some(place)).render();
        for (y, row) in (i64::from(at.top)..).zip(covered.chunks_exact(at.width.max(1) as usize)) {
            let Some(pixels) = usize::try_from(y).ok().and_then(|y| self.rows.get_mut(y)) else { continue };
            for (x, &share) in (i64::from(at.left)..).zip(row).filter(|(_, share)| **share > 0) {
                if let Some(pixel) = usize::try_from(x).ok().and_then(|x| pixels.get_mut(x)) {
                    *pixel = mix(*pixel, colour, f64::from(share) / 255.0);
                }
            }
        }
    }
}

fn number(tag: &str, name: &str) -> Option<f32> {
    attribute(tag, name)?.parse().ok()
}

/// `#0072B2` as red, green and blue.
fn colour(text: &str) -> Option<Colour> {
    let code = u32::from_str_radix(text.strip_prefix('#').filter(|digits| digits.len() == 6)?, 16).ok()?;
    Some([code >> 16, code >> 8, code].map(|channel| channel as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gray of every pixel of an SVG of 10 units to a pixel, row by row.
    fn drawn(elements: &str, size: [u32; 2]) -> Vec<u8> {
        let file = png(&format!("<svg x=\"0\">\n{elements}\n</svg>\n"), size, 10).expect("it can be drawn");
        let mut reader = png::Decoder::new(io::Cursor::new(file)).read_info().expect("it is a PNG");
        let mut pixels = vec![0; 3 * size[0] as usize * size[1] as usize];
        reader.next_frame(&mut pixels).expect("it is whole");
        pixels.chunks_exact(3).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn shapes_cover_their_share() {
        let rect = "<rect x=\"10\" y=\"0\" width=\"15\" height=\"10\" fill=\"#000000\" stroke=\"none\"/>";
        assert_eq!(drawn(rect, [4, 2]), [255, 0, 128, 255, 255, 255, 255, 255]);
        // A line of one pixel through the middle of a row, which ends outside of the picture.
        let line = "<line stroke=\"#000000\" stroke-width=\"10\" x1=\"-30\" y1=\"15\" x2=\"90\" y2=\"15\"/>";
        assert_eq!(drawn(line, [3, 3]), [255, 255, 255, 0, 0, 0, 255, 255, 255]);
        let dot = drawn("<circle cx=\"50\" cy=\"50\" r=\"40\" fill=\"#000000\" stroke=\"none\"/>", [10, 10]);
        let area: f64 = dot.iter().map(|&gray| 1.0 - f64::from(gray) / 255.0).sum();
        // A circle is drawn with a few corners, a twentieth of a pixel within it.
        assert!((area - 16.0 * std::f64::consts::PI).abs() < 0.05 * 8.0 * std::f64::consts::PI, "{area}");
    }

    #[test]
    fn texts_have_their_letters() {
        let text = |more: &str, text: &str| {
            let head = "<text x=\"200\" y=\"200\" dy=\"0.5ex\" font-size=\"160\" fill=\"#000000\"";
            drawn(&format!("{head} {more}>\n{text}\n</text>"), [40, 40])
        };
        let plain = text("text-anchor=\"middle\"", "&lt;i&gt;");
        assert!(plain.contains(&0) && plain != text("text-anchor=\"middle\"", "&lt;j&gt;"));
        // Half of it is left of the middle, and nothing of one that begins there.
        let left = |pixels: &[u8]| pixels.chunks(40).any(|row| row[..19].iter().any(|&gray| gray < 255));
        assert!(left(&plain) && !left(&text("text-anchor=\"start\"", "&lt;i&gt;")));
        // A letter that is turned by a quarter to the left has what was right of the middle above it.
        let upright = text("text-anchor=\"start\"", "L");
        let turned = text("text-anchor=\"start\" transform=\"rotate(270, 200, 200)\"", "L");
        let different = (0..1600).filter(|i| upright[40 * (i % 40) + 39 - i / 40].abs_diff(turned[*i]) > 8);
        assert_eq!(different.count(), 0);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for element in
            ["<image x=\"1\"/>", "<rect x=\"1\"/>", "<circle cx=\"a\" cy=\"1\" r=\"1\" fill=\"#000000\"/>"]
        {
            let error = png(element, [2, 2], 10).expect_err("it is no picture").to_string();
            assert!(error.contains(element.trim_start_matches('<')), "{error}");
        }
    }
}
