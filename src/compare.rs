//! The comparator that every check of a kernel goes through.

use std::fmt;

/// The worst element of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// Its flat index.
    pub index: usize,
    /// What the kernel gave.
    pub got: f64,
    /// What the reference gave.
    pub want: f64,
    /// The absolute error; infinite where the two cannot be compared.
    pub error: f64,
    /// The absolute error allowed.
    pub bound: f64,
}

impl Comparison {
    /// The comparison of nothing.
    pub fn exact() -> Self {
        Comparison { index: 0, got: 0.0, want: 0.0, error: 0.0, bound: f64::MIN_POSITIVE }
    }

    /// Whether the error is within the bound. Anything that is not provably within it is not.
    pub fn passes(&self) -> bool {
        self.error <= self.bound
    }

    /// The one that is further beyond its bound.
    pub fn worse_of(self, other: Comparison) -> Comparison {
        let share = |c: &Comparison| {
            if c.error.is_nan() || c.bound.is_nan() { f64::INFINITY } else { c.error / c.bound }
        };
        if share(&other) > share(&self) { other } else { self }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { index, got, want, error, bound } = self;
        write!(f, "element {index} is {got:e}, reference {want:e}: error {error:.3e}, allowed {bound:.3e}")
    }
}

/// Whether f32 holds a number and its neighbourhood with room to spare: one that no kernel has a reason to
/// lose.
pub(crate) fn is_ordinary(number: f64) -> bool {
    (2f64.powi(-120)..2f64.powi(120)).contains(&number.abs())
}

/// The infinity in whose place f32 has no number, otherwise the number.
fn as_f32_holds(number: f64) -> f64 {
    if number.abs() > f64::from(f32::MAX) { f64::from(number as f32) } else { number }
}

/// Compares results with a reference, element by element, under absolute bounds; returns the
/// element furthest beyond its bound. Lengths that differ fail; NaN equals only NaN, an infinity
/// only itself. A number beyond the range of f32, which a result in f64 may be too, stands for the infinity that
/// f32 gives.
///
/// A bound without limit promises no digits, but does not excuse a loss: zero, NaN or infinity in the place
/// of an ordinary number (2^-120 to 2^120) fails whatever the bound.
pub fn compare(got: &[f64], want: &[f64], bound: &[f64]) -> Comparison {
    if got.len() != want.len() || want.len() != bound.len() {
        let (got, want) = (got.len() as f64, want.len() as f64);
        return Comparison { index: 0, got, want, error: f64::INFINITY, bound: 0.0 };
    }
    let elements = got.iter().zip(want).zip(bound).enumerate();
    elements.fold(Comparison::exact(), |worst, (index, ((&got, &want), &bound))| {
        let [got, want] = [got, want].map(as_f32_holds);
        let same = got == want || (got.is_nan() && want.is_nan());
        let error = match (got - want).abs() {
            _ if same => 0.0,
            error if error.is_nan() => f64::INFINITY,
            error => error,
        };
        let nothing = got.abs() < f64::from(f32::MIN_POSITIVE) || !got.is_finite();
        let lost = bound == f64::INFINITY && is_ordinary(want) && nothing;
        let bound = if bound >= 0.0 && !lost { bound.max(f64::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
        worst.worse_of(Comparison { index, got, want, error, bound })
    })
}

#[cfg(test)]
mod tests {
    use super::compare;

    const WANT: [f64; 4] = [1.0, -2.0, 0.0, 1e10];
    const BOUND: [f64; 4] = [1e-6, 1e-6, 1e-6, 1e4];

    #[test]
    fn agreement_passes() {
        assert!(compare(&WANT, &WANT, &BOUND).passes());
        assert!(compare(&[1.0 + 9e-7, -2.0, 1e-7, 1e10 + 9e3], &WANT, &BOUND).passes());
        let inf = [f64::INFINITY, f64::NAN];
        assert!(compare(&inf, &inf, &[0.0, 0.0]).passes());
        assert!(compare(&[f64::INFINITY], &[1e39], &[0.0]).passes());
        assert!(compare(&[1e39, -1e300], &[1e39, f64::NEG_INFINITY], &[0.0; 2]).passes());
        assert!(!compare(&[-1e39], &[1e39], &[1e30]).passes());
        assert!(!compare(&[1e39], &[1e38], &[1e30]).passes());
    }

    #[test]
    fn every_kind_of_difference_fails() {
        let fails = |got: &[f64]| assert!(!compare(got, &WANT, &BOUND).passes(), "{got:?}");
        fails(&[1.0 + 2e-6, -2.0, 0.0, 1e10]);
        fails(&[f64::NAN, -2.0, 0.0, 1e10]);
        fails(&[f64::INFINITY, -2.0, 0.0, 1e10]);
        fails(&[1.0, -2.0, 0.0]);
        fails(&[1.0, -2.0, 0.0, 1e10, 0.0]);
        fails(&[-2.0, 1.0, 0.0, 1e10]);
        fails(&[1.0, -2.0, 1e-5, f64::INFINITY]);
        assert!(!compare(&[f64::NEG_INFINITY], &[f64::INFINITY], &[1.0]).passes());
        assert!(!compare(&[1.0], &[f64::NAN], &[f64::NAN]).passes());
        assert!(!compare(&[1.0], &[1.1], &[f64::NAN]).passes());
        assert!(!compare(&[1.0], &[1.1], &[-1.0]).passes());
    }

    #[test]
    fn no_bound_excuses_a_loss() {
        for got in [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!compare(&[got], &[-1.5], &[f64::INFINITY]).passes(), "{got}");
        }
        // Something is there, or there was nothing to lose.
        assert!(compare(&[-1e9], &[-1.5], &[f64::INFINITY]).passes());
        assert!(compare(&[0.0, f64::NAN], &[1e-37, 3e38], &[f64::INFINITY; 2]).passes());
        // Terms that cancel may leave nothing of a small rest.
        assert!(compare(&[0.0], &[1e-9], &[1e-7]).passes());
    }

    #[test]
    fn one_infinite_error_does_not_hide_another() {
        let worst = compare(&[1.0, 5.0], &[1.0, 2.0], &[f64::INFINITY, 1.0]);
        assert_eq!((worst.index, worst.passes()), (1, false));
    }
}
