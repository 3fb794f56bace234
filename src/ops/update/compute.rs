//! Updates on the CPU device.

use pulp::NullaryFnOnce;

use super::{Number, OPERANDS, Step, Update, UpdateRule};
use crate::array::{spread_elements, wide};
use crate::graph::Compute;
use crate::ops::clip::limiting;

impl Number for f32 {
    fn exact(value: f64) -> Self {
        value as f32
    }

    fn within(value: f64, _: f64) -> Self {
        value as f32
    }

    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }

    fn abs(self) -> Self {
        f32::abs(self)
    }

    fn max(self, other: Self) -> Self {
        if self.is_nan() || self > other { self } else { other }
    }

    fn sign(self) -> Self {
        if self == 0.0 { 0.0 } else { self.signum() }
    }

    fn clamp(self, limit: f32) -> Self {
        f32::clamp(self, -limit, limit)
    }

    fn pow(self, exponent: f64) -> Self {
        self.powf(exponent as f32)
    }

    /// Knuth's TwoSum.
    fn two_sum(self, other: Self) -> (Self, Self) {
        let sum = self + other;
        let taken = sum - self;
        let lost = (self - (sum - taken)) + (other - taken);
        (sum, if sum.is_finite() { lost } else { 0.0 })
    }
}

impl<R: UpdateRule> Update<R> {
    pub(super) fn run(&self, cx: &mut Compute<'_>) {
        let mut step = Step::<f32>::new(|scalar| cx.scalar(scalar), self.lr, self.decay);
        step.factors = self.rule.factors(step.t);
        let norm = |limit| limiting(cx.inputs.f32(self.of_parameters())[0], limit);
        let factor = self.limit.map_or(1.0, norm);
        for parameter in 0..self.parameters {
            match self.operands {
                2 => self.one::<1>(&step, parameter, factor, cx),
                3 => self.one::<2>(&step, parameter, factor, cx),
                4 => self.one::<3>(&step, parameter, factor, cx),
                _ => self.one::<4>(&step, parameter, factor, cx),
            }
        }
    }

    /// Overwrites a parameter and its states, `K` arrays, given its gradient times `factor`.
    fn one<const K: usize>(&self, step: &Step<f32>, parameter: usize, factor: f64, cx: &mut Compute<'_>) {
        let gradient = cx.inputs.f32(K * self.parameters + parameter);
        let places: [usize; K] = std::array::from_fn(|class| class * self.parameters + parameter);
        let Ok(arrays) = cx.results.get_disjoint_mut(places) else { return };
        spread_elements(arrays.map(|array| &mut array[..]), &|range, arrays| {
            wide(Elements { rule: &self.rule, step, arrays, dw: &gradient[range], factor });
        });
    }
}

/// Neighbouring elements of a parameter and its states, which follow a rule.
struct Elements<'a, R, const K: usize> {
    rule: &'a R,
    step: &'a Step<f32>,
    arrays: [&'a mut [f32]; K],
    dw: &'a [f32],
    factor: f64,
}

impl<R: UpdateRule, const K: usize> NullaryFnOnce for Elements<'_, R, K> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Elements { rule, step, arrays, dw, factor } = self;
        let n = dw.len();
        let arrays = arrays.map(|array| &mut array[..n]);
        for i in 0..n {
            let mut x = [0.0; OPERANDS];
            for class in 0..K {
                x[class] = arrays[class][i];
            }
            x[K] = if factor == 1.0 { dw[i] } else { (f64::from(dw[i]) * factor) as f32 };
            rule.formula(step, &mut x[..=K]);
            for class in 0..K {
                arrays[class][i] = x[class];
            }
        }
    }
}
