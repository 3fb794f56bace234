//! The outputs and targets of a classifier, and what metrics count of them.

use super::average::Average;
use super::inputs::{Judged, classes_of};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::Value;
use crate::shape::TensorType;
use crate::train::Scores;

/// The outputs and targets of a classifier.
pub(super) struct Classified<'a> {
    judged: Judged<'a>,
    /// f32 `[batch, steps, classes]`.
    scores: Value,
    /// The targets as they are: u32 labels `[batch, steps]` or f32 rows `[batch, steps, classes]`.
    targets: Value,
    are_labels: bool,
    batch: usize,
    steps: usize,
    /// 1 for a model of one output.
    classes: usize,
}

/// From the counts of positives, negatives, positives above and negatives above: how many are right,
/// and how many there are.
const RIGHT_AND_ALL: [[f32; 2]; 4] = [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [-1.0, 0.0]];

/// From the same: right and wrong negatives, wrong and right positives.
const CONFUSION: [[f32; 4]; 4] =
    [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [-1.0, 1.0, 0.0, 0.0]];

impl<'a> Classified<'a> {
    /// The inputs of a classification metric.
    pub fn new(judged: Judged<'a>) -> Result<Self> {
        let (graph, inputs) = (judged.graph, judged.inputs);
        let output = judged.output()?;
        let classes = classes_of(output);
        let batch = output.dims()[0];
        let steps = output.numel() / (batch * classes);
        let TensorType { shape, dtype } = graph.ty(inputs.targets)?;
        let rows = &output.dims()[..output.rank().saturating_sub(1).max(1)];
        let (targets, are_labels) = match dtype {
            DType::U32 if shape.dims() == rows || (classes == 1 && shape == output) => {
                (graph.reshape(inputs.targets, [batch, steps])?, true)
            }
            DType::F32 if shape == output => (graph.reshape(inputs.targets, [batch, steps, classes])?, false),
            _ => {
                return judged.refuse(
                    "it takes u32 labels of the outputs' shape without the last dimension, or f32 targets \
                     of the outputs' shape",
                );
            }
        };
        let scores = graph.reshape(inputs.output, [batch, steps, classes])?;
        Ok(Classified { judged, scores, targets, are_labels, batch, steps, classes })
    }

    /// The same for a metric of one class per sample.
    pub fn of_one_class(judged: Judged<'a>) -> Result<Self> {
        let classified = Self::new(judged)?;
        judged.require(
            !classified.are_independent(),
            "several outputs that are each a yes or no, as this loss has them, make no one class: take \
             `BinaryAccuracy`, or scores of each output by `Precision`, `Recall` or `F1`",
        )?;
        Ok(classified)
    }

    /// Whether there are several outputs, each a yes or no of its own.
    fn are_independent(&self) -> bool {
        self.classes > 1 && self.judged.inputs.scores.are_independent()
    }

    /// Refuses an average that such classes have not.
    fn check_average(&self, average: Average) -> Result<()> {
        let has_one = self.classes == 1 || (self.classes == 2 && !self.are_independent());
        let expected = "`Average::Binary` is for one output, or two classes of which a sample has one";
        self.judged.require(average != Average::Binary || has_one, expected)
    }

    /// The threshold of yes or no where the program has set one; refuses numbers out of range, and classes
    /// of which a sample has one.
    fn checked_threshold(&self, threshold: Option<f32>) -> Result<f32> {
        let Some(threshold) = threshold else { return Ok(0.5) };
        self.judged.check_threshold(threshold)?;
        let expected = "a threshold is for one output, or for several that are each a yes or no by the loss";
        self.judged.require(self.classes == 1 || self.are_independent(), expected)?;
        Ok(threshold)
    }

    /// The targets as numbers, f32 `[batch, steps, classes]`.
    fn target_rows(&self) -> Result<Value> {
        let graph = self.judged.graph;
        match (self.are_labels, self.classes) {
            (false, _) => Ok(self.targets),
            (true, 1) => {
                let numbers = graph.constant([2], &[0.0f32, 1.0])?;
                graph.reshape(graph.gather(numbers, self.targets, 0)?, [self.batch, self.steps, 1])
            }
            (true, classes) => graph.one_hot(self.targets, classes),
        }
    }

    /// [`Graph::threshold_counts`](crate::Graph::threshold_counts) of scores `[batch, steps, classes]`.
    fn counts(&self, scores: Value, thresholds: &[f32]) -> Result<Value> {
        let graph = self.judged.graph;
        let ones = || graph.constant([self.batch], &vec![1.0f32; self.batch]);
        let mask = self.judged.inputs.mask.map_or_else(ones, Ok)?;
        let thresholds = graph.constant([thresholds.len()], thresholds)?;
        graph.threshold_counts(scores, self.target_rows()?, mask, thresholds)
    }

    /// The same of the model's scores at probabilities, `[classes, 1 + probabilities, 2]`: positives,
    /// negatives, and for each probability positives above and negatives above.
    fn counts_at(&self, probabilities: &[f32]) -> Result<Value> {
        let logit = |&p: &f32| (f64::from(p) / (1.0 - f64::from(p))).ln() as f32;
        if self.judged.inputs.scores.are_logits() {
            return self.counts(self.scores, &probabilities.iter().map(logit).collect::<Vec<_>>());
        }
        self.counts(self.scores, probabilities)
    }

    /// What yes or no at a probability comes to for each class: its four [counts](Self::counts_at) times
    /// `columns`, `[columns, classes]`.
    fn decisions<const N: usize>(&self, threshold: f32, columns: [[f32; N]; 4]) -> Result<Value> {
        let graph = self.judged.graph;
        let counts = graph.reshape(self.counts_at(&[threshold])?, [self.classes, 4])?;
        graph.matmul_with(graph.constant([4, N], columns.as_flattened())?, counts, true, true)
    }

    /// Of how many samples the first largest score is right, and how many there are.
    pub fn accuracy(&self) -> Result<Value> {
        if self.classes == 1 {
            return self.decisions(0.5, RIGHT_AND_ALL);
        }
        self.judged.totals(self.judged.graph.categorical_accuracy_rows(self.scores, self.targets)?)
    }

    /// How many elements of each output are on the right side of a threshold, and how many there are.
    pub fn binary_accuracy(&self, threshold: f32) -> Result<Value> {
        self.judged.check_threshold(threshold)?;
        let expected = "several outputs, each a yes or no, take f32 targets of their shape";
        self.judged.require(self.classes == 1 || !self.are_labels, expected)?;
        self.decisions(threshold, RIGHT_AND_ALL)
    }

    /// Of how many samples the class is among the `k` that score most, and how many there are.
    pub fn in_top_k(&self, k: usize) -> Result<Value> {
        self.judged.require(self.classes > 1, "it takes scores of two classes or more")?;
        self.judged.totals(self.judged.graph.in_top_k(self.scores, self.targets, k)?)
    }

    /// The confusion matrix, `[classes, classes]`; the threshold is that of a single output.
    pub fn confusion(&self, threshold: Option<f32>) -> Result<Value> {
        let threshold = self.checked_threshold(threshold)?;
        if self.classes == 1 {
            return self.decisions(threshold, CONFUSION);
        }
        let (graph, classes) = (self.judged.graph, self.classes);
        let labels = if self.are_labels { self.targets } else { graph.argmax(self.targets, -1)? };
        let mut labels = graph.one_hot(labels, classes)?;
        if let Some(mask) = self.judged.inputs.mask {
            labels = graph.mul(labels, graph.reshape(mask, [self.batch, 1, 1])?)?;
        }
        let predictions = graph.one_hot(graph.predicted_classes(self.scores, self.targets)?, classes)?;
        let [labels, predictions] =
            [labels, predictions].map(|v| graph.reshape(v, [self.batch * self.steps, classes]));
        graph.matmul_with(labels?, predictions?, true, false)
    }

    /// What scores of classes are made of: the confusion matrix, or of outputs that are each a yes or no four
    /// counts each. The two zeros after them tell them from a confusion matrix, since no square is two more
    /// than a multiple of four.
    pub fn tallies(&self, average: Average, threshold: Option<f32>) -> Result<Value> {
        self.check_average(average)?;
        if !self.are_independent() {
            return self.confusion(threshold);
        }
        let counts = self.counts_at(&[self.checked_threshold(threshold)?])?;
        let graph = self.judged.graph;
        graph.pad(graph.reshape(counts, [4 * self.classes])?, &[(0, 2)], 0.0)
    }

    /// How many positives and negatives of each class there are, and score above each probability.
    pub fn above(&self, probabilities: &[f32], average: Average) -> Result<Value> {
        self.check_average(average)?;
        if self.judged.inputs.scores == Scores::Logits && self.classes > 1 {
            return self.counts(self.judged.graph.softmax(self.scores, -1)?, probabilities);
        }
        self.counts_at(probabilities)
    }
}
