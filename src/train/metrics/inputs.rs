//! What metrics are given: checks and sums that all of them share.

use super::function::MetricInputs;
use crate::dtype::DType;
use crate::error::{Error, Result, Setting};
use crate::graph::{Graph, Value};
use crate::ops::expect_dtype;
use crate::shape::{Shape, TensorType};
use crate::train::Scores;

/// A metric's inputs, and the name that it goes by in errors.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub graph: &'a Graph,
    pub name: &'a str,
    pub inputs: MetricInputs,
}

/// How many outputs a row of a model's output has.
pub(super) fn classes_of(output: Shape) -> usize {
    if output.rank() < 2 { 1 } else { output.dims()[output.rank() - 1] }
}

impl Judged<'_> {
    /// The error of a metric that its inputs do not fit.
    pub fn refuse<T>(&self, expected: &'static str) -> Result<T> {
        let types = [self.inputs.output, self.inputs.targets].map(|value| self.graph.type_of(value));
        Err(Error::MetricMismatch { metric: self.name.to_owned(), types: Box::new(types), expected })
    }

    /// Refuses inputs that the metric does not fit.
    pub fn require(&self, fits: bool, expected: &'static str) -> Result<()> {
        if fits { Ok(()) } else { self.refuse(expected) }
    }

    /// Refuses a threshold that is no probability between 0 and 1, or no number, as the scores are.
    pub fn check_threshold(&self, threshold: f32) -> Result<()> {
        let allowed = match self.inputs.scores {
            Scores::Values => threshold.is_finite(),
            _ => threshold > 0.0 && threshold < 1.0,
        };
        let expected = "a probability must be above 0 and below 1, any other threshold finite";
        Setting::new("threshold", threshold, allowed, expected).check()
    }

    /// The output's shape, of at least a batch, with a mask that fits it.
    pub fn output(&self) -> Result<Shape> {
        let output = self.graph.ty(self.inputs.output)?;
        self.graph.ty(self.inputs.targets)?;
        let has_batch = output.dtype == DType::F32 && output.shape.rank() > 0;
        self.require(has_batch, "the outputs must be f32 [batch, ..]")?;
        if let Some(mask) = self.inputs.mask {
            let found = self.graph.ty(mask)?;
            let wanted = Shape::from([output.shape.dims()[0]]);
            Error::agree(found.shape == wanted, "the mask needs a number per sample", wanted, found.shape)?;
            expect_dtype("the mask", found, DType::F32)?;
        }
        Ok(output.shape)
    }

    /// The sums over the samples that count of each of a sample's numbers; `x` is `[batch, m]`, the
    /// result `[1, m]` or `[m]`.
    pub fn column_sums(&self, x: Value) -> Result<Value> {
        match self.inputs.mask {
            None => self.graph.sum(x, &[0], false),
            Some(mask) => {
                let batch = self.graph.shape(mask)?.numel();
                self.graph.matmul(self.graph.reshape(mask, [1, batch])?, x)
            }
        }
    }

    /// The sums of each of a sample's `m` numbers over the samples that count, and how many those are, for
    /// each number: `2 m` numbers; `x` has any shape `[batch, ..]`.
    pub fn totals(&self, x: Value) -> Result<Value> {
        let graph = self.graph;
        let shape = graph.shape(x)?;
        let batch = shape.dims()[0];
        let numbers = shape.numel() / batch;
        if self.inputs.mask.is_none() {
            let sums = graph.reshape(self.column_sums(graph.reshape(x, [batch, numbers])?)?, [numbers])?;
            let counts = graph.constant([numbers], &vec![batch as f32; numbers])?;
            return graph.concat(&[sums, counts], 0);
        }
        // One dispatch puts a one beside each number.
        let is_number = graph.constant([2, 1], &[1.0f32, 0.0])?;
        let x = graph.reshape(x, [batch, 1, numbers])?;
        let both = graph.select(is_number, x, graph.scalar_constant(1.0))?;
        self.column_sums(graph.reshape(both, [batch, 2 * numbers])?)
    }
}

/// Refuses labels past the classes, and more or fewer than there are samples.
pub(super) fn check_labels(name: &str, labels: &[u32], samples: usize, classes: usize) -> Result<()> {
    let name = name.to_owned();
    if labels.len() != samples {
        return Err(Error::Length { name, expected: TensorType::u32([samples]), found: labels.len() });
    }
    if let Some(index) = labels.iter().position(|&label| label as usize >= classes) {
        let (label, limit) = (labels[index], u32::try_from(classes).unwrap_or(u32::MAX));
        return Err(Error::LabelOutOfRange { name, index, label, limit });
    }
    Ok(())
}

/// The sums and the counts of what [`Judged::totals`] added up, each over all numbers.
pub(super) fn sum_and_count(totals: &[f64]) -> [f64; 2] {
    let (sums, counts) = totals.split_at(totals.len() / 2);
    [sums.iter().sum(), counts.iter().sum()]
}

/// The mean of what [`Judged::totals`] added up.
pub(super) fn mean_of_totals(totals: &[f64]) -> f64 {
    let [sum, count] = sum_and_count(totals);
    sum / count
}
