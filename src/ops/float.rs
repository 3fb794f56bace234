//! What formulas are written in that are computed in f32 on the CPU device and in f64 by the reference.

use super::single;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// f32 or f64.
pub(super) trait Float:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The number nearest to a constant.
    fn of(constant: f64) -> Self;
    fn is_nan(self) -> bool;
    fn abs(self) -> Self;
    fn signum(self) -> Self;
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
    fn ln_1p(self) -> Self;
    fn sinh(self) -> Self;
    fn erfc(self) -> Self;
}

macro_rules! float {
    ($($float:ident, $exp:expr, $tanh:expr, $erfc:ident;)*) => {$(
        impl Float for $float {
            fn of(constant: f64) -> Self {
                constant as $float
            }

            fn is_nan(self) -> bool {
                $float::is_nan(self)
            }

            fn abs(self) -> Self {
                $float::abs(self)
            }

            fn signum(self) -> Self {
                $float::signum(self)
            }

            fn exp(self) -> Self {
                $exp(self)
            }

            fn tanh(self) -> Self {
                $tanh(self)
            }

            fn ln_1p(self) -> Self {
                $float::ln_1p(self)
            }

            fn sinh(self) -> Self {
                $float::sinh(self)
            }

            fn erfc(self) -> Self {
                libm::$erfc(self)
            }
        }
    )*};
}

float! {
    f32, single::exp, single::tanh, erfcf;
    f64, f64::exp, f64::tanh, erfc;
}

/// 1 where a condition holds, else 0.
pub(super) fn truth<F: Float>(condition: bool) -> F {
    F::of(if condition { 1.0 } else { 0.0 })
}

/// The larger of two; NaN where either is.
pub(super) fn larger<F: Float>(a: F, b: F) -> F {
    if a.is_nan() || a >= b { a } else { b }
}

pub(super) fn sigmoid<F: Float>(x: F) -> F {
    F::of(1.0) / (F::of(1.0) + (-x).exp())
}
