//! The outputs and targets of a regression, and what metrics add up of them.

use super::inputs::Judged;
use crate::error::Result;
use crate::graph::Value;
use crate::ops::{MOMENTS, sums_of_moments};
use crate::shape::TensorType;

/// The outputs and targets of a regression, `[batch, numbers]`.
pub(super) struct Regressed<'a> {
    judged: Judged<'a>,
    targets: Value,
    /// What the outputs are off by.
    errors: Value,
    batch: usize,
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
        Ok(Regressed { judged, targets, errors, batch, numbers })
    }

    /// The sums of the squared errors, and how many there are.
    pub fn squared_errors(&self) -> Result<Value> {
        self.judged.totals(self.judged.graph.square(self.errors)?)
    }

    /// The sums of the errors' absolute values, and how many there are.
    pub fn absolute_errors(&self) -> Result<Value> {
        self.judged.totals(self.judged.graph.abs(self.errors)?)
    }

    /// The moments of each number's targets, and the sum of its squared errors after them.
    pub fn r_squared(&self) -> Result<Value> {
        let graph = self.judged.graph;
        let moments = graph.exact_moments(self.targets, self.judged.mask_or_ones(self.batch)?)?;
        let errors = self.judged.column_sums(graph.square(self.errors)?)?;
        graph.concat(&[moments, graph.reshape(errors, [self.numbers, 1])?], 1)
    }
}

/// The share of a sum of squares that the deviations from the mean make up below which f64 cannot
/// tell them from none.
const NO_DEVIATION: f64 = 8.0 * f64::EPSILON;

/// What the moments of a number's targets, and its squared errors after them, come to.
fn of_number(sums: &[f64]) -> f64 {
    let (moments, errors) = (&sums[..MOMENTS], sums[MOMENTS]);
    let [count, sum, squares] = sums_of_moments(moments);
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
    let numbers = sums.chunks_exact(MOMENTS + 1);
    let count = numbers.len() as f64;
    numbers.map(of_number).sum::<f64>() / count
}
