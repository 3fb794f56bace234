//! Numbers as people read them, and lines of them that fit.

/// A figure with the digits that say something: four decimals from 0.1 to 10, four significant digits below,
/// five above; what has fewer, such as a rate of 1e-5, is written whole.
pub(crate) fn rounded(figure: f64) -> String {
    let size = figure.abs();
    if !figure.is_finite() || size == 0.0 {
        return format!("{}", figure + 0.0);
    }
    // The f32 nearest to 0.1 is 0.1 to whoever set it.
    let narrow = figure as f32;
    let whole = exact(if f64::from(narrow) == figure { decimal(narrow) } else { figure });
    let exponent = size.log10().floor() as i32;
    match size {
        // A number that a program chose, not one that came out.
        _ if !(0.1..1e6).contains(&size) && whole.bytes().filter(u8::is_ascii_digit).count() <= 5 => whole,
        _ if size < 1e-3 => format!("{figure:.3e}"),
        _ if size < 0.1 => format!("{figure:.*}", (3 - exponent).max(0) as usize),
        _ if size < 1e6 => format!("{figure:.*}", (4 - exponent).clamp(0, 4) as usize),
        _ => format!("{figure:.4e}"),
    }
}

/// All digits of a figure: the shortest text that is read back to the same number.
pub(crate) fn exact(figure: f64) -> String {
    let is_plain = figure == 0.0 || !figure.is_finite() || (1e-4..1e16).contains(&figure.abs());
    if is_plain { figure.to_string() } else { format!("{figure:e}") }
}

/// The shortest number that is this one in f32.
fn decimal(narrow: f32) -> f64 {
    narrow.to_string().parse().unwrap_or(f64::from(narrow))
}

/// What stands between the parts of a line.
pub(crate) const GAP: &str = "  ";

/// The columns of a terminal that a text takes: some letters take two.
fn columns(text: &str) -> usize {
    #[cfg(feature = "progress")]
    return console::measure_text_width(text);
    #[cfg(not(feature = "progress"))]
    text.chars().count()
}

/// As many of the parts of a line as have room, all from the first that has none left out.
#[cfg(any(test, feature = "progress"))]
pub(crate) fn cut(parts: impl IntoIterator<Item = String>, room: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let gap = if line.is_empty() { "" } else { GAP };
        if columns(&line) + gap.len() + columns(&part) > room {
            break;
        }
        line = line + gap + &part;
    }
    line
}

/// Lines of at most `width` letters, broken at gaps; all but the first begin below the second part.
pub(crate) fn wrapped(parts: impl IntoIterator<Item = String>, gap: &str, width: usize) -> String {
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap_or_default();
    let indent = columns(&first).min(width / 8);
    let (mut text, mut used) = (first.clone(), columns(&first));
    for part in parts {
        let length = gap.len() + columns(&part);
        if used + length > width && used > indent {
            text = text + "\n" + &" ".repeat(indent);
            used = indent;
        }
        text = text + gap + &part;
        used += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_the_digits_that_say_something() {
        for (figure, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1e-5, "1e-5"),
            (f64::from(1e-5_f32), "1e-5"),
            (f64::from(3e-4_f32), "0.0003"),
            (0.001, "0.001"),
            (0.05, "0.05"),
            (1.234_567e-7, "1.235e-7"),
            (9.999_99e-4, "1.000e-3"),
            (0.001_234_567, "0.001235"),
            (0.035_714, "0.03571"),
            (0.099_999_7, "0.10000"),
            (0.25, "0.2500"),
            (0.968_75, "0.9688"),
            (1.0, "1.0000"),
            (-1.098_123, "-1.0981"),
            (12.345_678, "12.346"),
            (123_456.7, "123457"),
            (1_234_567.0, "1.2346e6"),
            (f64::from(1e20_f32), "1e20"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(rounded(figure), text);
        }
    }

    #[test]
    fn all_digits_are_read_back() {
        for (figure, text) in
            [(1e-5, "1e-5"), (12.0, "12"), (0.1, "0.1"), (1e300, "1e300"), (f64::NAN, "NaN")]
        {
            assert_eq!(exact(figure), text);
        }
        for figure in [1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX, 5e-324, 6.02e23] {
            assert_eq!(exact(figure).parse(), Ok(figure));
        }
    }

    #[test]
    fn lines_fit() {
        let parts = || ["epoch 1/3", "loss 0.5000", "val loss 0.2500"].map(str::to_owned);
        assert_eq!(cut(parts(), 40), "epoch 1/3  loss 0.5000  val loss 0.2500");
        assert_eq!(cut(parts(), 38), "epoch 1/3  loss 0.5000");
        assert_eq!(cut(parts(), 8), "");
        assert_eq!(wrapped(parts(), GAP, 80), cut(parts(), 80));
        assert_eq!(wrapped(parts(), GAP, 38), "epoch 1/3  loss 0.5000\n      val loss 0.2500");
        // An indent of an eighth, so that parts have room.
        assert_eq!(wrapped(parts(), GAP, 24), "epoch 1/3  loss 0.5000\n     val loss 0.2500");
        #[cfg(feature = "progress")]
        assert_eq!(cut(["損失 0.5".to_owned(), "b".to_owned()], 10), "損失 0.5", "eight columns");
        let words = || "warning: the loss is NaN".split(' ').map(str::to_owned);
        assert_eq!(wrapped(words(), " ", 18), "warning: the loss\n   is NaN");
        assert_eq!(wrapped(words(), " ", usize::MAX), "warning: the loss is NaN");
    }
}
