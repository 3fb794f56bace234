use crate::cpu::Array;

/// The spacing of f32 numbers at 1.
pub const EPS: f64 = f32::EPSILON as f64;

/// Results smaller than this may be flushed to zero by a GPU: the smallest normal f32.
pub const FLUSH: f64 = f32::MIN_POSITIVE as f64;

/// `ulps` units in the last place of each result.
pub fn relative_bound(result: &Array, ulps: f64) -> Vec<f64> {
    result.data.iter().map(|r| ulps * EPS * r.abs() + FLUSH).collect()
}

/// `ulps` units in the last place of a magnitude such as `sum |a * b|`: the bound for sums, whose
/// terms may cancel.
pub fn magnitude_bound(magnitude: &Array, ulps: f64) -> Vec<f64> {
    relative_bound(magnitude, ulps)
}
