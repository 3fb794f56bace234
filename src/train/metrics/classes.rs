//! Scores of classes: by a confusion matrix that adds up on the device, or by counts of each output.

use super::average::Average;
use super::confusion::ConfusionMatrix;
use super::function::{MetricFunction, MetricInputs};
use super::inputs::{Classified, check_threshold, classes_of, mismatch};
use super::tally::{Score, Tally};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::shape::Shape;

/// A score of classes and how they make one.
#[derive(Debug)]
pub(super) struct ClassScore {
    pub score: Score,
    pub average: Average,
    pub threshold: Threshold,
}

/// The counts themselves.
#[derive(Debug)]
pub(super) struct Counts {
    pub threshold: Threshold,
}

/// Where the program has set it, the threshold of outputs that are each a yes or no.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threshold(pub Option<f32>);

impl Threshold {
    fn number(self) -> f32 {
        self.0.unwrap_or(0.5)
    }

    /// What a metric or result of this name is called at this threshold.
    fn name(self, name: String) -> String {
        match self.0 {
            Some(threshold) => format!("{name}_at_{threshold}"),
            None => name,
        }
    }

    /// Refuses numbers out of range, and classes of which a sample has one.
    fn check(
        self,
        graph: &Graph,
        name: &str,
        inputs: MetricInputs,
        classified: &Classified<'_>,
    ) -> Result<()> {
        let Some(threshold) = self.0 else { return Ok(()) };
        check_threshold(inputs.scores, threshold)?;
        if classified.classes == 1 || classified.are_independent() {
            return Ok(());
        }
        let expected = "a threshold is for one output, or for several that are each a yes or no by the loss";
        Err(mismatch(graph, name.to_owned(), inputs, expected))
    }
}

/// The classes that a model tells apart: one output tells two.
fn told_apart(output: Shape) -> usize {
    classes_of(output).max(2)
}

/// Records a confusion matrix, `[classes, classes]`; the threshold is that of a single output.
fn record_counts(graph: &Graph, classified: &Classified<'_>, threshold: f32) -> Result<Value> {
    if classified.classes == 1 {
        // From positives, negatives, positives above and negatives above: right and wrong negatives,
        // wrong and right positives.
        let columns =
            [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0], [-1.0, 1.0, 0.0, 0.0]];
        return graph.reshape(classified.decisions(threshold, columns)?, [2, 2]);
    }
    let classes = classified.classes;
    let rows = classified.batch * classified.steps;
    let labels = classified.masked(graph.one_hot(classified.labels()?, classes)?)?;
    let predictions = graph.predicted_classes(classified.scores, classified.targets())?;
    let predictions = graph.one_hot(predictions, classes)?;
    let [labels, predictions] = [labels, predictions].map(|v| graph.reshape(v, [rows, classes]));
    graph.matmul_with(labels?, predictions?, true, false)
}

/// Records the counts of outputs that are each a yes or no, four of each: positives, negatives, positives
/// above and negatives above. The two zeros after them tell them from a confusion matrix, since no square
/// is two more than a multiple of four.
fn record_tallies(graph: &Graph, classified: &Classified<'_>, threshold: f32) -> Result<Value> {
    let counts = classified.counts_at(threshold)?;
    graph.pad(graph.reshape(counts, [4 * classified.classes])?, &[(0, 2)], 0.0)
}

/// What samples are to each class, from the sums of [`record_counts`] or [`record_tallies`].
fn tallies(sums: &[f64]) -> Vec<Tally> {
    if sums.len() % 4 == 2 {
        return sums.chunks_exact(4).map(Tally::of_counts).collect();
    }
    ConfusionMatrix::from_sums(sums).tallies()
}

impl MetricFunction for ClassScore {
    fn name(&self) -> String {
        self.threshold.name(self.average.name(self.score.name()))
    }

    fn result_names(&self, output: Shape) -> Vec<String> {
        match self.average {
            Average::PerClass => {
                let name = |class| self.threshold.name(format!("{}_{class}", self.score.name()));
                (0..told_apart(output)).map(name).collect()
            }
            _ => vec![self.name()],
        }
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        let classified = Classified::new(graph, &self.name(), inputs)?;
        classified.check_average(&self.name(), inputs, self.average)?;
        self.threshold.check(graph, &self.name(), inputs, &classified)?;
        if classified.are_independent() {
            return record_tallies(graph, &classified, self.threshold.number());
        }
        record_counts(graph, &classified, self.threshold.number())
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        let classes = tallies(sums);
        match self.average {
            Average::PerClass => self.score.per_class(&classes),
            average => vec![self.score.averaged(&classes, average).unwrap_or(f64::NAN)],
        }
    }
}

impl MetricFunction for Counts {
    fn name(&self) -> String {
        self.threshold.name("confusion_matrix".to_owned())
    }

    fn result_names(&self, output: Shape) -> Vec<String> {
        let classes = told_apart(output);
        let name =
            |i: usize| self.threshold.name(format!("confusion_matrix_{}_{}", i / classes, i % classes));
        (0..classes * classes).map(name).collect()
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        let classified = Classified::of_one_class(graph, &self.name(), inputs)?;
        self.threshold.check(graph, &self.name(), inputs, &classified)?;
        record_counts(graph, &classified, self.threshold.number())
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        sums.to_vec()
    }
}
