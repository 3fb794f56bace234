//! Rules for states that no gradient moves.

use super::{Number, Step, UpdateRule};

/// `state = value` over `state, value`.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Assign;

impl UpdateRule for Assign {
    const NAME: &'static str = "assign";
    const ANY_DTYPE: bool = true;

    #[inline(always)]
    fn formula<N: Number>(&self, _: &Step<N>, x: &mut [N]) {
        x[0] = x[1];
    }
}

/// Adds to a sum of twice f32's precision, over `total, carry, value`: `carry` is what rounding takes
/// from `total`.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Accumulate;

impl UpdateRule for Accumulate {
    const NAME: &'static str = "accumulate";
    const SLOTS: &'static [&'static str] = &["carry"];

    #[inline(always)]
    fn formula<N: Number>(&self, _: &Step<N>, x: &mut [N]) {
        let (sum, lost) = x[0].two_sum(x[2]);
        (x[0], x[1]) = sum.two_sum(x[1] + lost);
    }
}

/// `average = rho average + (1 - rho) w` over `average, w`; at the first update, `average = w`.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct MovingAverage {
    pub rho: f32,
}

impl UpdateRule for MovingAverage {
    const NAME: &'static str = "moving_average";
    const COUNTS_UPDATES: bool = true;

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        x[0] = if step.t == 1.0 { x[1] } else { x[0].towards(x[1], self.rho) };
    }
}
