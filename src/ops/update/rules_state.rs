//! Rules for states that no gradient moves.

use super::{Number, Overwritten, UpdateParams, UpdateRule, numbers};

/// `state = value` over `state, value`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assign;

impl UpdateRule for Assign {
    fn name(&self) -> &'static str {
        "assign"
    }

    fn states(&self) -> usize {
        0
    }

    fn takes_any_dtype(&self) -> bool {
        true
    }

    fn formula<N: Number>(&self, _: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        [x[1]; 4]
    }
}

/// Adds to a sum of twice f32's precision, over `total, carry, value`: `carry` is what rounding takes
/// from `total`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accumulate;

impl UpdateRule for Accumulate {
    fn name(&self) -> &'static str {
        "accumulate"
    }

    fn states(&self) -> usize {
        1
    }

    fn formula<N: Number>(&self, _: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        let (sum, lost) = x[0].two_sum(x[2]);
        let (total, carry) = sum.two_sum(x[1] + lost);
        [total, carry, carry, carry]
    }
}

/// `average = rho average + (1 - rho) w` over `average, w`; at the first update, `average = w`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MovingAverage;

impl UpdateRule for MovingAverage {
    fn name(&self) -> &'static str {
        "moving_average"
    }

    fn states(&self) -> usize {
        0
    }

    fn counts_updates(&self) -> bool {
        true
    }

    fn formula<N: Number>(&self, p: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [rho, one]: [N; 2] = numbers([p.rho, 1.0]);
        let average = if p.updates == 0 { x[1] } else { rho * x[0] + (one - rho) * x[1] };
        [average; 4]
    }
}
