use std::ops::{Add, Div, Mul, Sub};

use crate::ops::{EPS, FLUSH};

/// The largest f32, past which a kernel's intermediate result is infinite.
const LARGEST: f64 = f32::MAX as f64;

/// What the formula of an update is computed in: f64 for the reference, or [`Approximate`] for the
/// error that f32 is allowed. Written once, the formula gives both.
pub(crate) trait Number:
    Copy + Send + Sync + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// A number that f32 holds: an element of an operand, or a parameter of the kernel.
    fn exact(value: f64) -> Self;

    /// A number that a kernel computes from the parameters alone, off by at most `error`.
    fn within(value: f64, error: f64) -> Self;

    fn sqrt(self) -> Self;

    fn abs(self) -> Self;

    /// The larger of two; NaN where either is.
    fn max(self, other: Self) -> Self;

    /// 1, 0 or -1.
    fn sign(self) -> Self;

    /// Held to `[-limit, limit]`.
    fn clamp(self, limit: f32) -> Self;

    /// A power of a positive number, as `exp2(exponent * log2(x))`.
    fn pow(self, exponent: f64) -> Self;

    /// A sum and what rounding took from it; nothing where the sum is not finite.
    fn two_sum(self, other: Self) -> (Self, Self);

    /// `decay self + (1 - decay) x`.
    fn towards(self, x: Self, decay: f32) -> Self {
        let [decay, one]: [Self; 2] = numbers([decay, 1.0]);
        decay * self + (one - decay) * x
    }

    /// `decay self + (1 - decay) x^2`.
    fn towards_square(self, x: Self, decay: f32) -> Self {
        let [decay, one]: [Self; 2] = numbers([decay, 1.0]);
        decay * self + (one - decay) * x * x
    }
}

/// Parameters of a kernel as numbers.
pub(crate) fn numbers<N: Number, const K: usize>(parameters: [f32; K]) -> [N; K] {
    parameters.map(|p| N::exact(f64::from(p)))
}

impl Number for f64 {
    fn exact(value: f64) -> Self {
        value
    }

    fn within(value: f64, _: f64) -> Self {
        value
    }

    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }

    fn abs(self) -> Self {
        f64::abs(self)
    }

    fn max(self, other: Self) -> Self {
        if self.is_nan() || self > other { self } else { other }
    }

    fn sign(self) -> Self {
        if self == 0.0 { 0.0 } else { self.signum() }
    }

    fn clamp(self, limit: f32) -> Self {
        f64::clamp(self, -f64::from(limit), f64::from(limit))
    }

    fn pow(self, exponent: f64) -> Self {
        self.powf(exponent)
    }

    /// Knuth's TwoSum.
    fn two_sum(self, other: Self) -> (Self, Self) {
        let sum = self + other;
        let taken = sum - self;
        let lost = (self - (sum - taken)) + (other - taken);
        (sum, if sum.is_finite() { lost } else { 0.0 })
    }
}

/// A number with how far an f32 computation of it may be off: running error analysis (Higham,
/// Accuracy and Stability of Numerical Algorithms, 2002, section 3.3), to first order and with whole
/// units in the last place, so that contracted products and any rounding mode are covered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Approximate {
    value: f64,
    pub error: f64,
}

impl Approximate {
    /// A result whose operands contribute `error`, itself rounded by so many units.
    fn rounded(value: f64, error: f64, ulps: f64) -> Self {
        // Zeros that are exact stay so; any other small result may be flushed.
        let flushed = if value == 0.0 && error == 0.0 { 0.0 } else { FLUSH };
        let error = error + ulps * EPS * value.abs() + flushed;
        let fits = value.abs() + error <= LARGEST;
        Approximate { value, error: if fits { error } else { f64::INFINITY } }
    }

    /// The error of a product of a magnitude and an error; what may be infinite makes even 0 a NaN.
    fn times(magnitude: f64, error: f64) -> f64 {
        if error.is_infinite() { error } else { magnitude.abs() * error }
    }
}

impl Add for Approximate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.error + other.error, 1.0)
    }
}

impl Sub for Approximate {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::rounded(self.value - other.value, self.error + other.error, 1.0)
    }
}

impl Mul for Approximate {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let error = Self::times(self.value, other.error)
            + Self::times(other.value, self.error)
            + Self::times(self.error, other.error);
        Self::rounded(self.value * other.value, error, 1.0)
    }
}

impl Div for Approximate {
    type Output = Self;

    /// WGSL grants 2.5 units for divisors up to 2^126.
    fn div(self, other: Self) -> Self {
        let quotient = self.value / other.value;
        let (least, most) = (other.value.abs() - other.error, other.value.abs() + other.error);
        if !(least >= FLUSH && most <= LARGEST / 4.0) {
            return Approximate { value: quotient, error: f64::INFINITY };
        }
        let error = (self.error + Self::times(quotient, other.error)) / least;
        Self::rounded(quotient, error, 3.0)
    }
}

impl Number for Approximate {
    fn exact(value: f64) -> Self {
        // A subnormal number may be read as 0.
        let flushed = if value.abs() < FLUSH { value.abs() } else { 0.0 };
        Approximate { value, error: flushed }
    }

    fn within(value: f64, error: f64) -> Self {
        Approximate { value, error }
    }

    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        let least = (self.value - self.error).max(0.0).sqrt();
        let most = (self.value + self.error).sqrt();
        Self::rounded(root, (root - least).max(most - root), 5.0)
    }

    fn abs(self) -> Self {
        Approximate { value: self.value.abs(), error: self.error }
    }

    fn max(self, other: Self) -> Self {
        Approximate { value: Number::max(self.value, other.value), error: self.error.max(other.error) }
    }

    fn sign(self) -> Self {
        let certain = self.error == 0.0 || self.value.abs() > self.error;
        Approximate { value: Number::sign(self.value), error: if certain { 0.0 } else { 2.0 } }
    }

    fn clamp(self, limit: f32) -> Self {
        let error = self.error.min(2.0 * f64::from(limit));
        Approximate { value: Number::clamp(self.value, limit), error }
    }

    fn pow(self, exponent: f64) -> Self {
        let least = self.value - self.error;
        if !(least >= FLUSH && self.value <= LARGEST) {
            return Approximate { value: self.value.powf(exponent), error: f64::INFINITY };
        }
        let power = self.value.powf(exponent);
        let error = power * exponent.abs() * self.error / least;
        // As WGSL grants exp2 and log2, which is good to an absolute 2^-21 around 1.
        let ulps = 16.0 + 8.0 * exponent.abs() * (1.0 + self.value.log2().abs());
        Self::rounded(power, error, ulps)
    }

    fn two_sum(self, other: Self) -> (Self, Self) {
        let sum = self + other;
        let (_, lost) = self.value.two_sum(other.value);
        let magnitude = self.value.abs() + other.value.abs() + self.error + other.error;
        (sum, Approximate { value: lost, error: 4.0 * EPS * magnitude + FLUSH })
    }
}

#[cfg(test)]
mod tests {
    use super::{Approximate, Number};

    /// Some arithmetic with cancellation.
    fn formula<N: Number>(x: [f64; 3]) -> N {
        let [a, b, c] = x.map(N::exact);
        let top = a * b - c * c + N::exact(0.1f32.into()) * a;
        top / ((c * c + b * b).sqrt() + N::exact(0.25)) - a.abs().pow(0.5)
    }

    fn in_f32(x: [f64; 3]) -> f32 {
        let [a, b, c] = x.map(|v| v as f32);
        let top = a * b - c * c + 0.1 * a;
        top / ((c * c + b * b).sqrt() + 0.25) - (0.5 * a.abs().log2()).exp2()
    }

    #[test]
    fn errors_of_f32_are_within_the_bound_and_the_bound_is_tight() {
        let stream = crate::random::Stream { seed: 5, step: 0, stream: 1 };
        let mut largest = 0.0f64;
        for i in 0..2000 {
            let x = [0, 1, 2].map(|k| f64::from((4.0 * stream.uniform(3 * i + k) - 2.0) as f32));
            let (exact, bound) = (formula::<f64>(x), formula::<Approximate>(x).error);
            let error = (f64::from(in_f32(x)) - exact).abs();
            assert!(error <= bound, "{x:?}: {error:e} > {bound:e}");
            largest = largest.max(error / bound);
            assert!(bound < 1e-3 * exact.abs().max(1.0), "{x:?}: {bound:e}");
        }
        assert!(largest > 0.02, "the bound is {largest} of the error");
    }

    #[test]
    fn what_f32_cannot_hold_has_no_bound() {
        let huge = Approximate::exact(3e38);
        assert!((huge + huge).error.is_infinite() && (huge * huge).error.is_infinite());
        let zero = Approximate::exact(0.0);
        assert!((huge / zero).error.is_infinite());
        assert!((zero * (huge * huge)).error.is_infinite(), "0 times infinity is NaN");
        assert_eq!((zero + zero * huge).error, 0.0, "exactly 0");
        assert_eq!(zero.sign().error, 0.0);
        assert_eq!((Approximate::exact(1.0) - Approximate::within(1.0, 1e-7)).sign().error, 2.0);
    }

    #[test]
    fn two_sums_lose_nothing() {
        let (sum, lost) = 1e16f64.two_sum(1.25);
        assert_eq!((sum, lost), (1e16 + 1.25, 1.25 - ((1e16 + 1.25) - 1e16)));
        assert_eq!(f64::INFINITY.two_sum(1.0), (f64::INFINITY, 0.0));
    }
}
