use std::fmt;
use std::sync::Arc;

use super::Direction;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::shape::Shape;
use crate::train::Scores;

/// What a metric works with. Of sequences with padding, a trainer gives each step as a sample of its own:
/// outputs `[batch time, ..]`, with a mask of the steps that count.
#[derive(Clone, Copy, Debug)]
pub struct MetricInputs {
    /// The model's output `[batch, ..]`.
    pub output: Value,
    /// The targets: u32 labels, or f32 of the loss's shape.
    pub targets: Value,
    /// What the outputs are.
    pub scores: Scores,
    /// How much each sample counts, f32 `[batch]`: 1, 0 for those that only fill the batch up, or its weight
    /// for [weighted metrics](crate::train::TrainerBuilder::weighted_metrics); `None` if all count the same.
    pub mask: Option<Value>,
}

/// A metric: sums that each batch adds to on the device, and what they come to at the end.
pub trait MetricFunction: fmt::Debug + Send + Sync {
    /// The name in logs: `accuracy`.
    fn name(&self) -> String;

    /// The numbers that [`results`](MetricFunction::results) gives, by name: the metric's own for a
    /// single number; `precision_0`, `precision_1`, .. for one per class. `output` is the shape of
    /// the model's output.
    fn result_names(&self, output: Shape) -> Vec<String> {
        let _ = output;
        vec![self.name()]
    }

    /// Whether the results are to grow or to shrink: what
    /// [`EarlyStopping`](crate::train::callbacks::EarlyStopping),
    /// [`ModelCheckpoint`](crate::train::callbacks::ModelCheckpoint) and
    /// [`ReduceOnPlateau`](crate::train::callbacks::ReduceOnPlateau) go by, unless they are told themselves.
    /// By default nobody knows, and they ask.
    fn direction(&self) -> Direction {
        Direction::Auto
    }

    /// Whether the results are the counts of a square matrix, row by row, such as a confusion matrix: these
    /// are shown as a table, not in a line of figures.
    fn is_matrix(&self) -> bool {
        false
    }

    /// Records the sums over a batch, f32 of any shape.
    ///
    /// # Errors
    /// If the metric does not fit the outputs or the targets.
    #[track_caller]
    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value>;

    /// The results, from the sums over all batches in row-major order.
    fn results(&self, sums: &[f64]) -> Vec<f64>;
}

/// A weighted metric beside the plain one: `weighted_accuracy`.
#[derive(Debug)]
pub(in crate::train) struct Weighted(pub Arc<dyn MetricFunction>);

impl MetricFunction for Weighted {
    fn name(&self) -> String {
        format!("weighted_{}", self.0.name())
    }

    fn result_names(&self, output: Shape) -> Vec<String> {
        self.0.result_names(output).into_iter().map(|name| format!("weighted_{name}")).collect()
    }

    fn direction(&self) -> Direction {
        self.0.direction()
    }

    fn is_matrix(&self) -> bool {
        self.0.is_matrix()
    }

    #[track_caller]
    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        self.0.record(graph, inputs)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        self.0.results(sums)
    }
}
