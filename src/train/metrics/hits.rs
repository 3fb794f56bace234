//! Accuracies.

use super::function::{MetricFunction, MetricInputs};
use super::inputs::{Classified, check_threshold, mean_of_totals, mismatch};
use crate::error::Result;
use crate::graph::{Graph, Value};

/// From the counts of positives, negatives, positives above and negatives above: how many are right,
/// and how many there are.
const RIGHT_AND_ALL: [[f32; 2]; 4] = [[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [-1.0, 0.0]];

/// The share of right predictions.
#[derive(Debug)]
pub(super) struct Accuracy;

impl MetricFunction for Accuracy {
    fn name(&self) -> String {
        "accuracy".to_owned()
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        let classified = Classified::of_one_class(graph, &self.name(), inputs)?;
        if classified.classes == 1 {
            return graph.reshape(classified.decisions(0.5, RIGHT_AND_ALL)?, [2]);
        }
        let hits = graph.categorical_accuracy_rows(classified.scores, classified.targets())?;
        classified.totals(hits)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        vec![mean_of_totals(sums)]
    }
}

/// The share of elements on the right side of a threshold.
#[derive(Debug)]
pub(super) struct BinaryAccuracy {
    pub threshold: f32,
}

impl MetricFunction for BinaryAccuracy {
    fn name(&self) -> String {
        "binary_accuracy".to_owned()
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        check_threshold(inputs.scores, self.threshold)?;
        let classified = Classified::new(graph, &self.name(), inputs)?;
        if classified.classes > 1 && classified.has_labels() {
            let expected = "several outputs, each a yes or no, take f32 targets of their shape";
            return Err(mismatch(graph, self.name(), inputs, expected));
        }
        classified.decisions(self.threshold, RIGHT_AND_ALL)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        let column = |which: usize| sums.iter().skip(which).step_by(2).sum::<f64>();
        vec![column(0) / column(1)]
    }
}

/// The share of rows whose class is among the `k` that score most.
#[derive(Debug)]
pub(super) struct TopKAccuracy {
    pub k: usize,
}

impl MetricFunction for TopKAccuracy {
    fn name(&self) -> String {
        format!("top_{}_accuracy", self.k)
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        let classified = Classified::of_one_class(graph, &self.name(), inputs)?;
        if classified.classes == 1 {
            return Err(mismatch(graph, self.name(), inputs, "it takes scores of two classes or more"));
        }
        let hits = graph.in_top_k(classified.scores, classified.targets(), self.k)?;
        classified.totals(hits)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        vec![mean_of_totals(sums)]
    }
}
