//! The letters of pictures: outlines of DejaVu Sans, so that no font of the machine is needed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::raster::attribute;

/// An SVG font, a glyph a line.
const FILE: &str = include_str!("../../assets/dejavu-sans.svg");

/// What a viewer of SVG looks for: the font that pictures are laid out with, else any.
pub(super) const FAMILY: &str = "DejaVu Sans, sans-serif";
/// Units of the outlines in an em, and the height of an x in em.
pub(super) const UNITS_PER_EM: f32 = 2048.0;
pub(super) const X_HEIGHT: f32 = 1120.0 / UNITS_PER_EM;

static GLYPHS: LazyLock<BTreeMap<char, Glyph>> = LazyLock::new(|| {
    let glyph = |line: &'static str| {
        let code = attribute(line, "unicode")?.strip_prefix("&#x")?.strip_suffix(';')?;
        let advance = attribute(line, "horiz-adv-x")?.parse().ok()?;
        let outline = attribute(line, "d").unwrap_or_default();
        Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, Glyph { advance, outline }))
    };
    FILE.lines().filter_map(glyph).collect()
});
/// The character whose glyph, a box, stands for every character that has none.
const MISSING: char = '\u{fffd}';

#[derive(Clone, Copy)]
pub(super) struct Glyph {
    /// How far the next letter is, in units of the font.
    pub advance: f32,
    /// An SVG path in units of the font, y upwards; empty for a blank.
    pub outline: &'static str,
}

/// The glyphs of a text, in their order.
pub(super) fn glyphs(text: &str) -> impl Iterator<Item = Glyph> {
    text.chars().filter_map(|c| GLYPHS.get(&c).or_else(|| GLYPHS.get(&MISSING)).copied())
}

/// How wide a text is, in the unit of `em`.
pub(super) fn width(text: &str, em: f64) -> f64 {
    glyphs(text).map(|glyph| f64::from(glyph.advance / UNITS_PER_EM)).sum::<f64>() * em
}

/// The widest of some texts.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, em: f64) -> f64 {
    texts.into_iter().map(|text| width(text, em)).fold(0.0, f64::max)
}

/// The text, or as much of its beginning as `limit` holds, with dots after it. Control characters,
/// which an XML file must not hold, become blanks.
pub(super) fn fitting(text: &str, em: f64, limit: f64) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&text, em) <= limit {
        return text;
    }
    while !text.is_empty() && width(&format!("{text}..."), em) > limit {
        text.pop();
    }
    format!("{}...", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_outlines() {
        assert!(GLYPHS.len() > 400 && GLYPHS.contains_key(&MISSING));
        assert!(FILE.contains(&format!("units-per-em=\"{UNITS_PER_EM}\"")));
        assert!(FILE.contains(&format!("x-height=\"{}\"", X_HEIGHT * UNITS_PER_EM)));
        for letter in ('!'..='~').chain("äßéğΩλЖя−≤".chars()) {
            assert!(GLYPHS.get(&letter).is_some_and(|glyph| glyph.outline.ends_with('z')), "{letter}");
        }
        assert!(GLYPHS[&' '].outline.is_empty() && GLYPHS[&' '].advance > 0.0);
        // A character without a glyph has a place all the same.
        assert!(width("漢", 1.0) > 0.0 && glyphs("漢").all(|glyph| !glyph.outline.is_empty()));
    }

    #[test]
    fn texts_are_cut_to_fit() {
        assert_eq!(fitting("loss", 1.0, 10.0), "loss");
        assert_eq!(fitting("a\u{1}b", 1.0, 10.0), "a b");
        let cut = fitting("a text that is much too long", 10.0, 60.0);
        assert!(cut.ends_with("...") && width(&cut, 10.0) <= 60.0 && cut.len() > 6, "{cut}");
        assert!(width("iii", 1.0) < width("www", 1.0));
        assert_eq!(width("", 1.0), 0.0);
    }
}
