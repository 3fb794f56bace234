//! The outputs and targets of a regression, and what metrics add up of them.

use super::inputs::Judged;
use crate::error::Result;
use crate::graph::{Init, Value};
use crate::shape::TensorType;

/// The outputs and targets of a regression, `[batch, numbers]`.
pub(super) struct Regressed<'a> {
    judged: Judged<'a>,
    targets: Value,
    /// What the outputs are off by.
    errors: Value,
    numbers: usize,
}

impl<'a> Regressed<'a> {
    /// The inputs of a regression metric.
    pub fn new(judged: Judged<'a>) -> Result<Self> {
        let (graph, inputs) = (judged.graph, judged.inputs);
        let shape = judged.output()?;
        if graph.ty(inputs.targets)? != TensorType::f32(shape) {
            return judged.refuse("it takes f32 targets of the outputs' shape");
        }
        let batch = shape.dims()[0];
        let numbers = shape.numel() / batch;
        let [output, targets] = [inputs.output, inputs.targets].map(|v| graph.reshape(v, [batch, numbers]));
        let targets = targets?;
        let errors = graph.sub(output?, targets)?;
        Ok(Regressed { judged, targets, errors, numbers })
    }

    /// The sums of the squared errors, and how many there are.
    pub fn squared_errors(&self) -> Result<Value> {
        self.judged.totals(self.judged.graph.square(self.errors)?)
    }

    /// The sums of the errors' absolute values, and how many there are.
    pub fn absolute_errors(&self) -> Result<Value> {
        self.judged.totals(self.judged.graph.abs(self.errors)?)
    }

    /// The sums of each number's shifted targets, of their squares and of the squared errors, and the counts.
    pub fn r_squared(&self) -> Result<Value> {
        let graph = self.judged.graph;
        let rows = |x: Value| graph.reshape(x, [graph.shape(x)?.dims()[0], 1, self.numbers]);
        let (targets, errors) = (rows(self.shifted_targets()?)?, rows(self.errors)?);
        // Side by side in two dispatches: a target, a target and an error, to these powers.
        let is_target = graph.constant([3, 1], &[1.0f32, 1.0, 0.0])?;
        let powers = graph.constant([3, 1], &[1.0f32, 2.0, 2.0])?;
        self.judged.totals(graph.pow(graph.select(is_target, targets, errors)?, powers)?)
    }

    /// The targets less numbers that are the same in every batch: the first sample that was seen.
    fn shifted_targets(&self) -> Result<Value> {
        let g = self.judged.graph;
        let state = |name: &str| g.state(&g.unused_name(name), [self.numbers], Init::Zeros);
        let (shift, is_set) = (state("r_squared.shift"), state("r_squared.is_set"));
        let first = g.reshape(g.slice_axis(self.targets, 0, 0..1)?, [self.numbers])?;
        let shift_now = g.select(is_set, shift, first)?;
        g.assign(shift, shift_now)?;
        // A NaN leaves it to the next batch.
        g.assign(is_set, g.equal(shift_now, shift_now)?)?;
        g.sub(self.targets, shift_now)
    }
}

/// The share of a sum of squares that the deviations from the mean make up below which f32 cannot
/// tell them from none.
const NO_DEVIATION: f64 = 8.0 * f32::EPSILON as f64;

/// What the sums of a number's shifted targets, of their squares and of the squared errors come to.
fn of_number([sum, squares, errors]: [f64; 3], count: f64) -> f64 {
    let deviations = squares - sum * (sum / count);
    if deviations > NO_DEVIATION * squares || deviations.is_nan() {
        return 1.0 - errors / deviations;
    }
    if errors.is_nan() {
        return f64::NAN;
    }
    if errors == 0.0 { 1.0 } else { 0.0 }
}

/// The coefficient of determination from what [`Regressed::r_squared`] added up.
pub(super) fn r_squared(sums: &[f64]) -> f64 {
    let (sums, counts) = sums.split_at(sums.len() / 2);
    let numbers = counts.len() / 3;
    let of = |i: usize| of_number([sums[i], sums[numbers + i], sums[2 * numbers + i]], counts[i]);
    (0..numbers).map(of).sum::<f64>() / numbers as f64
}
