//! What metrics are given, brought into few forms.

use super::average::Average;
use super::function::MetricInputs;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::shape::{Shape, TensorType};
use crate::train::Scores;

/// The outputs and targets of a classifier.
pub(super) struct Classified<'a> {
    graph: &'a Graph,
    /// f32 `[batch, steps, classes]`.
    pub scores: Value,
    targets: Targets,
    kind: Scores,
    mask: Option<Value>,
    pub batch: usize,
    pub steps: usize,
    /// 1 for a model of one output.
    pub classes: usize,
}

#[derive(Clone, Copy)]
enum Targets {
    /// u32 `[batch, steps]`.
    Labels(Value),
    /// f32 `[batch, steps, classes]`.
    Rows(Value),
}

/// What metrics of one class per sample say of a model whose outputs are each a yes or no.
const NO_ONE_CLASS: &str = "several outputs that are each a yes or no, as this loss has them, make no one \
                            class: take `BinaryAccuracy`, or scores of each output by `Precision`, \
                            `Recall` or `F1`";

/// How many outputs a row of a model's output has.
pub(super) fn classes_of(output: Shape) -> usize {
    if output.rank() < 2 { 1 } else { output.dims()[output.rank() - 1] }
}

/// The error of a metric that its inputs do not fit.
pub(super) fn mismatch(graph: &Graph, name: String, inputs: MetricInputs, expected: &'static str) -> Error {
    let types = Box::new([graph.type_of(inputs.output), graph.type_of(inputs.targets)]);
    Error::MetricMismatch { metric: name, types, expected }
}

/// Refuses a threshold that is no probability between 0 and 1, or no number, as the scores are.
pub(super) fn check_threshold(scores: Scores, threshold: f32) -> Result<()> {
    let allowed = match scores {
        Scores::Values => threshold.is_finite(),
        _ => threshold > 0.0 && threshold < 1.0,
    };
    if allowed {
        return Ok(());
    }
    let expected = "a probability must be above 0 and below 1, any other threshold finite";
    Err(Error::Argument { argument: "threshold", value: threshold.to_string(), expected })
}

/// The output's shape, of at least a batch, with a mask that fits it.
fn checked_output(graph: &Graph, name: &str, inputs: MetricInputs) -> Result<Shape> {
    let output = graph.ty(inputs.output)?;
    graph.ty(inputs.targets)?;
    if output.dtype != DType::F32 || output.shape.rank() == 0 {
        let expected = "the outputs must be f32 [batch, ..]";
        return Err(mismatch(graph, name.to_owned(), inputs, expected));
    }
    if let Some(mask) = inputs.mask {
        let found = graph.ty(mask)?;
        let wanted = Shape::from([output.shape.dims()[0]]);
        if found.shape != wanted {
            return Err(Error::shape_mismatch("the mask needs a number per sample", wanted, found.shape));
        }
        if found.dtype != DType::F32 {
            let what = "the mask".to_owned();
            return Err(Error::DTypeMismatch { what, found: found.dtype, expected: DType::F32 });
        }
    }
    Ok(output.shape)
}

/// The mask, or one that counts every sample.
fn mask_or_ones(graph: &Graph, mask: Option<Value>, batch: usize) -> Result<Value> {
    mask.map_or_else(|| graph.constant([batch], &vec![1.0f32; batch]), Ok)
}

/// The sums over the samples that count of each of a sample's numbers; `x` is `[batch, m]`, the
/// result `[1, m]` or `[m]`.
fn column_sums(graph: &Graph, x: Value, mask: Option<Value>, batch: usize) -> Result<Value> {
    match mask {
        None => graph.sum(x, &[0], false),
        Some(mask) => graph.matmul(graph.reshape(mask, [1, batch])?, x),
    }
}

/// The sums of each of a sample's `m` numbers over the samples that count, and how many those are, for
/// each number: `2 m` numbers; `x` has any shape `[batch, ..]`.
pub(super) fn totals(graph: &Graph, x: Value, mask: Option<Value>) -> Result<Value> {
    let shape = graph.shape(x)?;
    let batch = shape.dims()[0];
    let numbers = shape.numel() / batch;
    // One dispatch puts the counts beside the numbers, or beside their sums.
    let beside = |x: Value, count: usize| {
        let is_number = graph.constant([2, 1], &[1.0f32, 0.0])?;
        graph.select(is_number, x, graph.scalar_constant(count as f32))
    };
    match mask {
        None => {
            let sums = column_sums(graph, graph.reshape(x, [batch, numbers])?, None, batch)?;
            beside(graph.reshape(sums, [1, numbers])?, batch)
        }
        Some(_) => {
            let both = beside(graph.reshape(x, [batch, 1, numbers])?, 1)?;
            column_sums(graph, graph.reshape(both, [batch, 2 * numbers])?, mask, batch)
        }
    }
}

/// The sums and the counts of what [`totals`] added up, each over all numbers.
pub(super) fn sum_and_count(totals: &[f64]) -> [f64; 2] {
    let (sums, counts) = totals.split_at(totals.len() / 2);
    [sums.iter().sum(), counts.iter().sum()]
}

/// The mean of what [`totals`] added up.
pub(super) fn mean_of_totals(totals: &[f64]) -> f64 {
    let [sum, count] = sum_and_count(totals);
    sum / count
}

impl<'a> Classified<'a> {
    /// The inputs of the classification metric of this name.
    pub fn new(graph: &'a Graph, name: &str, inputs: MetricInputs) -> Result<Self> {
        let output = checked_output(graph, name, inputs)?;
        let classes = classes_of(output);
        let batch = output.dims()[0];
        let steps = output.numel() / (batch * classes);
        let TensorType { shape, dtype } = graph.ty(inputs.targets)?;
        let rows = &output.dims()[..output.rank().saturating_sub(1).max(1)];
        let targets = match dtype {
            DType::U32 if shape.dims() == rows || (classes == 1 && shape == output) => {
                Targets::Labels(graph.reshape(inputs.targets, [batch, steps])?)
            }
            DType::F32 if shape == output => {
                Targets::Rows(graph.reshape(inputs.targets, [batch, steps, classes])?)
            }
            _ => {
                let expected = "it takes u32 labels of the outputs' shape without the last dimension, \
                                or f32 targets of the outputs' shape";
                return Err(mismatch(graph, name.to_owned(), inputs, expected));
            }
        };
        let scores = graph.reshape(inputs.output, [batch, steps, classes])?;
        let (kind, mask) = (inputs.scores, inputs.mask);
        Ok(Classified { graph, scores, targets, kind, mask, batch, steps, classes })
    }

    /// The same for a metric of one class per sample.
    pub fn of_one_class(graph: &'a Graph, name: &str, inputs: MetricInputs) -> Result<Self> {
        let classified = Self::new(graph, name, inputs)?;
        if classified.are_independent() {
            return Err(mismatch(graph, name.to_owned(), inputs, NO_ONE_CLASS));
        }
        Ok(classified)
    }

    /// Whether there are several outputs, each a yes or no of its own.
    pub fn are_independent(&self) -> bool {
        self.classes > 1 && self.kind.are_independent()
    }

    /// Refuses an average that such classes have not.
    pub fn check_average(&self, name: &str, inputs: MetricInputs, average: Average) -> Result<()> {
        if average != Average::Binary || self.classes == 1 || (self.classes == 2 && !self.are_independent()) {
            return Ok(());
        }
        let expected = "`Average::Binary` is for one output, or two classes of which a sample has one";
        Err(mismatch(self.graph, name.to_owned(), inputs, expected))
    }

    /// Whether the targets are labels.
    pub fn has_labels(&self) -> bool {
        matches!(self.targets, Targets::Labels(_))
    }

    /// The targets as they are: u32 `[batch, steps]` or f32 `[batch, steps, classes]`.
    pub fn targets(&self) -> Value {
        match self.targets {
            Targets::Labels(targets) | Targets::Rows(targets) => targets,
        }
    }

    /// The class of each row, u32 `[batch, steps]`.
    pub fn labels(&self) -> Result<Value> {
        match self.targets {
            Targets::Labels(labels) => Ok(labels),
            Targets::Rows(rows) => self.graph.argmax(rows, -1),
        }
    }

    /// The targets as numbers, f32 `[batch, steps, classes]`.
    pub fn target_rows(&self) -> Result<Value> {
        match self.targets {
            Targets::Rows(rows) => Ok(rows),
            Targets::Labels(labels) if self.classes == 1 => {
                let numbers = self.graph.constant([2], &[0.0f32, 1.0])?;
                let rows = self.graph.gather(numbers, labels, 0)?;
                self.graph.reshape(rows, [self.batch, self.steps, 1])
            }
            Targets::Labels(labels) => self.graph.one_hot(labels, self.classes),
        }
    }

    /// The sums over the samples that count, and their number: see [`totals`].
    pub fn totals(&self, x: Value) -> Result<Value> {
        totals(self.graph, x, self.mask)
    }

    /// `x` `[batch, ..]` with the samples that do not count at 0.
    pub fn masked(&self, x: Value) -> Result<Value> {
        match self.mask {
            None => Ok(x),
            Some(mask) => self.graph.mul(x, self.graph.reshape(mask, [self.batch, 1, 1])?),
        }
    }

    /// The probabilities at which scores are compared, as numbers of the scores' kind.
    pub fn thresholds(&self, probabilities: &[f32]) -> Vec<f32> {
        let logit = |&p: &f32| (f64::from(p) / (1.0 - f64::from(p))).ln() as f32;
        if self.kind.are_logits() {
            probabilities.iter().map(logit).collect()
        } else {
            probabilities.to_vec()
        }
    }

    /// [`Graph::threshold_counts`] of scores `[batch, steps, classes]`.
    pub fn counts(&self, scores: Value, thresholds: &[f32]) -> Result<Value> {
        let mask = mask_or_ones(self.graph, self.mask, self.batch)?;
        let thresholds = self.graph.constant([thresholds.len()], thresholds)?;
        self.graph.threshold_counts(scores, self.target_rows()?, mask, thresholds)
    }

    /// The counts of each class at a probability, f32 `[classes, 4]`: positives, negatives, positives above
    /// and negatives above.
    pub fn counts_at(&self, threshold: f32) -> Result<Value> {
        let counts = self.counts(self.scores, &self.thresholds(&[threshold]))?;
        self.graph.reshape(counts, [self.classes, 4])
    }

    /// What yes or no at a probability comes to for each class: products of its
    /// [counts](Self::counts_at) with `columns` of four, `[classes, columns]`.
    pub fn decisions<const N: usize>(&self, threshold: f32, columns: [[f32; N]; 4]) -> Result<Value> {
        self.graph.matmul(self.counts_at(threshold)?, self.graph.constant([4, N], columns.as_flattened())?)
    }
}

/// The outputs and targets of a regression, `[batch, numbers]`.
pub(super) struct Regressed<'a> {
    graph: &'a Graph,
    output: Value,
    targets: Value,
    mask: Option<Value>,
    batch: usize,
    numbers: usize,
}

impl<'a> Regressed<'a> {
    /// The inputs of the regression metric of this name.
    pub fn new(graph: &'a Graph, name: &str, inputs: MetricInputs) -> Result<Self> {
        let shape = checked_output(graph, name, inputs)?;
        if graph.ty(inputs.targets)? != TensorType::f32(shape) {
            let expected = "it takes f32 targets of the outputs' shape";
            return Err(mismatch(graph, name.to_owned(), inputs, expected));
        }
        let batch = shape.dims()[0];
        let numbers = shape.numel() / batch;
        let [output, targets] = [inputs.output, inputs.targets];
        let (output, targets) =
            (graph.reshape(output, [batch, numbers])?, graph.reshape(targets, [batch, numbers])?);
        Ok(Regressed { graph, output, targets, mask: inputs.mask, batch, numbers })
    }

    /// What the outputs are off by.
    pub fn errors(&self) -> Result<Value> {
        self.graph.sub(self.output, self.targets)
    }

    /// The sums over the samples that count, and their number: see [`totals`].
    pub fn totals(&self, x: Value) -> Result<Value> {
        totals(self.graph, x, self.mask)
    }

    /// The sums of a number `[batch, numbers]` over the samples that count, `[numbers, 1]`.
    pub fn column_sums(&self, x: Value) -> Result<Value> {
        self.graph.reshape(column_sums(self.graph, x, self.mask, self.batch)?, [self.numbers, 1])
    }

    /// The targets' [`Graph::exact_moments`].
    pub fn target_moments(&self) -> Result<Value> {
        self.graph.exact_moments(self.targets, mask_or_ones(self.graph, self.mask, self.batch)?)
    }
}
