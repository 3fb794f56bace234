//! Exponentials of f32 without a branch, so that loops over them are vectorised.

/// The number whose neighbours are 1 apart: adding it rounds to whole numbers, which its last bits then hold.
const WHOLE: f32 = 12_582_912.0;
/// ln 2 in two parts; whole numbers of 8 bits times the first are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// A power of two with a whole exponent from -126 to 127.
#[inline(always)]
fn power(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// `e^x`, off by less than 2 units in the last place.
///
/// `x = n ln 2 + r` with a whole `n` and `|r| <= ln 2 / 2`, where `e^r = 1 + r + r^2 p(r)`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Past these the result is 0 or infinite all the same.
    let x = x.clamp(-106.0, 90.0);
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let high = 0.041_668_395 + r * (0.008_368_781 + r * 0.001_381_446_5);
    let p = 0.499_999_93 + r * (0.166_665_2 + r * high);
    let power_of_two = (shifted.to_bits() as i32).wrapping_sub(WHOLE.to_bits() as i32);
    // Of NaN the bits are anything.
    let exponent = power_of_two.clamp(-160, 160);
    let half = exponent >> 1;
    (1.0 + (r + r * r * p)) * power(half) * power(exponent - half)
}

/// The hyperbolic tangent, off by less than 2 units in the last place.
///
/// `x + x^3 q(x^2)` near 0, `1 - 2 / (e^2x + 1)` elsewhere.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let far = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
    let t = x * x;
    let high = -0.053_743_495 + t * (0.020_650_58 - t * 0.005_717_037);
    let near = size + size * t * (-0.333_332_84 + t * (0.133_314_91 + t * high));
    let y = if size < 0.625 { near } else { far };
    y.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::{exp, tanh};

    /// The largest error in units of the last place over numbers from the smallest to beyond the range.
    fn worst(of: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let mut worst = 0f64;
        for bits in (0..150f32.to_bits()).step_by(509) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let (got, want) = (of(x), exact(f64::from(x)));
                if want >= 2f64.powi(128) - 2f64.powi(103) {
                    assert_eq!(got, f32::INFINITY, "{x}");
                    continue;
                }
                let size = (want.abs() as f32).max(f32::MIN_POSITIVE);
                let unit = f64::from(size.next_up()) - f64::from(size);
                let error = (f64::from(got) - want).abs() / unit;
                assert!(error <= 2.0, "of {x} {got}, not {want}");
                worst = worst.max(error);
            }
        }
        worst
    }

    #[test]
    fn exponentials_are_within_two_units() {
        println!("{} {}", worst(exp, f64::exp), worst(tanh, f64::tanh));
    }

    #[test]
    fn special_values_are_kept() {
        assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!([exp(f32::INFINITY), exp(f32::NEG_INFINITY), exp(0.0)], [f32::INFINITY, 0.0, 1.0]);
        assert_eq!([tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(40.0)], [1.0, -1.0, 1.0]);
        assert_eq!([tanh(0.0).to_bits(), tanh(-0.0).to_bits()], [0f32.to_bits(), (-0f32).to_bits()]);
    }
}
