//! Letters of any size out of an 8 x 8 font, so that no font of the machine is needed.

use font8x8::legacy::{BASIC_LEGACY, LATIN_LEGACY};

/// A column and a row of the font in em. Seven rows are a capital letter.
const COLUMN: f64 = 0.078;
const ROW: f64 = 0.103;
/// From the top of capital letters to their foot.
pub(super) const CAPITAL: f64 = 7.0 * ROW;
/// Between two letters, in columns.
const GAP: f64 = 1.2;
/// A blank, in columns with its gap.
const BLANK: f64 = 4.2;
/// Dots in a row and in a column of a smoothed letter.
const DOTS: usize = 32;

/// A letter without the empty columns beside it.
pub(super) struct Letter {
    dots: Vec<bool>,
    /// Columns before the letter and in it.
    first: usize,
    columns: usize,
}

impl Letter {
    fn new(character: char) -> Letter {
        let rows = match character as usize {
            code @ ..0x80 => BASIC_LEGACY[code],
            code @ 0xa0..0x100 => LATIN_LEGACY[code - 0xa0],
            _ => BASIC_LEGACY['?' as usize],
        };
        let used = rows.iter().fold(0, |used, row| used | row);
        let first = if used == 0 { 0 } else { used.trailing_zeros() as usize };
        let columns = (8 - used.leading_zeros() as usize).saturating_sub(first);
        let dots: Vec<bool> = rows.iter().flat_map(|row| (0..8).map(move |x| row >> x & 1 == 1)).collect();
        Letter { dots: thinned(&doubled(&doubled(&dots, 8), 16)), first, columns }
    }

    /// How far the next letter is, in em.
    fn advance(&self) -> f64 {
        COLUMN * if self.columns == 0 { BLANK } else { self.columns as f64 + GAP }
    }

    /// Its width and height in em.
    pub(super) fn size(&self) -> (f64, f64) {
        (COLUMN * self.columns as f64, 8.0 * ROW)
    }

    /// Whether there is ink so many em right of its left edge and below the top of capitals.
    pub(super) fn inked(&self, x: f64, y: f64) -> bool {
        let scale = DOTS as f64 / 8.0;
        let (x, y) = ((x / COLUMN + self.first as f64) * scale, y / ROW * scale);
        let inside = |v: f64| (0.0..DOTS as f64).contains(&v);
        inside(x) && inside(y) && self.dots[y as usize * DOTS + x as usize]
    }
}

/// A square picture of twice the size whose steps have become slopes, by the EPX rule: a quarter of
/// a dot takes the colour of the two neighbours it touches where these two agree and the opposite
/// ones do not.
fn doubled(dots: &[bool], side: usize) -> Vec<bool> {
    let at = |x: isize, y: isize| {
        let inside = |v: isize| (0..side as isize).contains(&v);
        inside(x) && inside(y) && dots[y as usize * side + x as usize]
    };
    let quarter = |x: usize, y: usize| {
        let (column, row) = ((x / 2) as isize, (y / 2) as isize);
        let (dx, dy) = (2 * (x % 2) as isize - 1, 2 * (y % 2) as isize - 1);
        let (beside, over) = (at(column + dx, row), at(column, row + dy));
        let (other_side, under) = (at(column - dx, row), at(column, row - dy));
        if beside == over && beside != under && over != other_side { beside } else { at(column, row) }
    };
    (0..4 * side * side).map(|i| quarter(i % (2 * side), i / (2 * side))).collect()
}

/// The strokes of a smoothed letter without the dots at their left and right edges: upright strokes
/// of the font are two columns wide, which is bold where rows are taller than columns are wide.
fn thinned(dots: &[bool]) -> Vec<bool> {
    let inside = |i: usize| (1..DOTS - 1).contains(&(i % DOTS)) && dots[i - 1] && dots[i + 1];
    (0..dots.len()).map(|i| dots[i] && inside(i)).collect()
}

/// The letters of a text, each with its left edge in em.
pub(super) fn letters(text: &str) -> Vec<(f64, Letter)> {
    let mut x = 0.0;
    let place = |character| {
        let letter = Letter::new(character);
        let left = x;
        x += letter.advance();
        (left, letter)
    };
    text.chars().map(place).collect()
}

/// How wide a text is, in em.
pub(super) fn width(text: &str) -> f64 {
    let advances: f64 = text.chars().map(|c| Letter::new(c).advance()).sum();
    (advances - COLUMN * GAP).max(0.0)
}

/// The text, or as much of its beginning as `limit` em hold, with dots after it.
pub(super) fn fitting(text: &str, limit: f64) -> String {
    if width(text) <= limit {
        return text.to_owned();
    }
    let mut short = text.to_owned();
    while !short.is_empty() && width(&format!("{short}...")) > limit {
        short.pop();
    }
    format!("{}...", short.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_shape() {
        // The middle of the bar of an I is ink, the space beside it is not.
        let letter = Letter::new('I');
        let (width, _) = letter.size();
        assert!(letter.inked(width / 2.0, CAPITAL / 2.0));
        assert!(!letter.inked(0.02, CAPITAL / 2.0));
        assert!(!letter.inked(width / 2.0, 8.5 * ROW) && !letter.inked(-1.0, 0.1));
        let blank = Letter::new(' ');
        assert!(blank.dots.iter().all(|&dot| !dot) && blank.advance() > 0.0);
    }

    #[test]
    fn a_diagonal_becomes_a_slope() {
        // Of two dots that touch at a corner, the quarters beside the corner are filled.
        let dots = doubled(&[true, false, false, true], 2);
        let filled: Vec<usize> = (0..16).filter(|&i| dots[i]).collect();
        assert!(filled.len() > 8, "{filled:?}");
        let block = doubled(&[true; 9], 3);
        assert!(block[7] && block.iter().filter(|&&dot| !dot).count() <= 4);
    }

    #[test]
    fn texts_are_cut_to_fit() {
        assert_eq!(fitting("loss", 10.0), "loss");
        let cut = fitting("a text that is much too long", 5.0);
        assert!(cut.ends_with("...") && width(&cut) <= 5.0 && cut.len() > 6, "{cut}");
        assert!(width("iii") < width("www"));
        assert_eq!(width(""), 0.0);
    }
}
