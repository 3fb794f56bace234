//! The outputs and targets of a regression, and what metrics add up of them.

use super::inputs::Judged;
use crate::error::Result;
use crate::graph::{Graph, Init, StateKind, Value};
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
        let fits = graph.ty(inputs.targets)? == TensorType::f32(shape);
        judged.require(fits, "it takes f32 targets of the outputs' shape")?;
        let batch = shape.dims()[0];
        let numbers = shape.numel() / batch;
        let [output, targets] = [inputs.output, inputs.targets].map(|v| graph.reshape(v, [batch, numbers]));
        let targets = targets?;
        let errors = graph.sub(output?, targets)?;
        Ok(Regressed { judged, targets, errors, numbers })
    }

    /// The sums of the errors' squares or absolute values, and how many there are.
    pub fn total(&self, of: fn(&Graph, Value) -> Result<Value>) -> Result<Value> {
        self.judged.totals(of(self.judged.graph, self.errors)?)
    }

    /// How many samples count, and the sums of each number's shifted targets, of their squares and of the
    /// squared errors.
    pub fn r_squared(&self) -> Result<Value> {
        let graph = self.judged.graph;
        let batch = graph.shape(self.errors)?.dims()[0];
        let rows = |x: Value| graph.reshape(x, [batch, 1, self.numbers]);
        // Side by side in two dispatches: the targets and the errors, to these powers.
        let is_target = graph.constant([4, 1], &[1.0f32, 1.0, 1.0, 0.0])?;
        let powers = graph.constant([4, 1], &[0.0f32, 1.0, 2.0, 2.0])?;
        let terms = graph.select(is_target, rows(self.shifted_targets()?)?, rows(self.errors)?)?;
        let terms = graph.reshape(graph.pow(terms, powers)?, [batch, 4 * self.numbers])?;
        self.judged.column_sums(terms)
    }

    /// The targets less numbers that are the same in every batch: the first sample that was seen.
    fn shifted_targets(&self) -> Result<Value> {
        let g = self.judged.graph;
        let is_taken = |name: &str| g.recording().values.iter().any(|v| v.name.as_deref() == Some(name));
        let state = |part: &str| {
            let mut names = (1..).map(|number| format!("r_squared.{number}.{part}"));
            let name = names.find(|name| !is_taken(name)).unwrap_or_default();
            g.state_of_kind(&name, TensorType::f32([self.numbers]), StateKind::Accumulator, Init::Zeros)
        };
        let (shift, is_set) = (state("shift"), state("is_set"));
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

/// What the sums of a number come to.
fn of_number([count, sum, squares, errors]: [f64; 4]) -> f64 {
    let deviations = squares - sum * (sum / count);
    if deviations > NO_DEVIATION * squares || deviations.is_nan() {
        return 1.0 - errors / deviations;
    }
    if errors.is_nan() { errors } else { f64::from(errors == 0.0) }
}

/// The coefficient of determination from what [`Regressed::r_squared`] added up.
pub(super) fn r_squared(sums: &[f64]) -> f64 {
    let numbers = sums.len() / 4;
    let of = |i: usize| of_number([0, 1, 2, 3].map(|term| sums[term * numbers + i]));
    (0..numbers).map(of).sum::<f64>() / numbers as f64
}
