use super::Array;

/// The spacing of f32 numbers at 1.
pub const EPS: f64 = f32::EPSILON as f64;

/// Results smaller than this may be flushed to zero by a GPU: the smallest normal f32.
pub const FLUSH: f64 = f32::MIN_POSITIVE as f64;

/// `ulps` units in the last place of each result; for sums, whose terms may cancel, of a magnitude
/// such as `sum |a * b|` given in the result's stead.
pub fn relative_bound(result: &Array, ulps: f64) -> Vec<f64> {
    result.data.iter().map(|r| ulps * EPS * r.abs() + FLUSH).collect()
}

/// A GPU may read a subnormal operand as 0.
pub(crate) fn flush(x: f64) -> f64 {
    if x.abs() < FLUSH { 0.0 } else { x }
}

/// Widens a bound by what flushing operands changes in a result: its distance from the result on
/// flushed operands, which may be without limit.
pub(crate) fn widen(bound: f64, result: f64, flushed: f64) -> f64 {
    if result == flushed || (result.is_nan() && flushed.is_nan()) {
        return bound;
    }
    let gap = (result - flushed).abs();
    if gap.is_nan() { f64::INFINITY } else { bound + gap }
}
