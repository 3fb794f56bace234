//! Metrics: what they add up on the device, and what it comes to.

mod average;
mod classified;
mod confusion;
mod direction;
mod function;
mod inputs;
mod regressed;
mod roc;

use std::sync::Arc;

pub use average::Average;
pub use confusion::ConfusionMatrix;
use confusion::Score;
pub use direction::Direction;
pub(super) use function::Weighted;
pub use function::{MetricFunction, MetricInputs};
pub use roc::{RocCurve, roc_auc, roc_curve};

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::shape::Shape;
use classified::Classified;
use inputs::{Judged, classes_of, mean_of_totals, sum_and_count};
use regressed::{Regressed, r_squared};
use roc::{roc_areas, roc_counts};

/// The metrics that come with the crate, and those of the program's own.
///
/// Outputs are `[batch, .., classes]`, `[batch, .., 1]` or `[batch]`; the last two are of one
/// output, the score of a positive class. The steps of a sequence `[batch, time, classes]` count like
/// samples. Targets are u32 labels of the output's shape without its last dimension, or f32 of the
/// output's shape: rows whose first largest element is the class, or for one output
/// numbers of which those over 1/2 are positive. Regression takes f32 targets of the output's shape.
///
/// The prediction is the class of the first largest score; for one output it is positive above 0
/// for logits and above 0.5 for anything else, or above [another threshold](Metric::at_threshold).
///
/// Several outputs of a loss that has them independent
/// ([`Scores::are_independent`](super::Scores::are_independent)), as the binary cross-entropy does, are each
/// a yes or no of their own, which f32 targets over 1/2 affirm: a sample has any number of classes.
/// Precision, recall, specificity, F1 and areas then judge each output by itself, at its threshold, and
/// average over the outputs; `BinaryAccuracy` is the share of all that are right. What takes one class per
/// sample, `Accuracy`, `TopKAccuracy` and `ConfusionMatrix`, is refused.
///
/// A prediction from NaN is wrong, whatever the target: a single output that is NaN stands for the class
/// that is not the target's, a row of scores with a NaN for the first such class. For areas, a NaN
/// positive scores least and a NaN negative most. Metrics of regression are NaN where outputs are.
///
/// Counts are f32 on the device: exact up to 2^24 of a kind.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::{MetricFunction, MetricInputs, Scores};
/// let mut g = Graph::new();
/// let (output, targets) = (g.input("output", [4, 3]), g.labels("targets", [4]));
/// let inputs = MetricInputs { output, targets, scores: Scores::Logits, mask: None };
/// let metric = Metric::F1(Average::Macro);
/// let sums = metric.record(&g, inputs)?;
///
/// let mut session = g.forward([sums])?.session(&Device::cpu())?;
/// session.write(output, &[2.0f32, 1., 0., 0., 3., 1., 1., 0., 2., 0., 1., 0.])?;
/// session.write(targets, &[0u32, 1, 2, 0])?;
/// session.replay()?;
/// // Class 0: precision 1, recall 1/2. Class 1: precision 1/2, recall 1. Class 2: both 1.
/// let f1 = metric.results(&session.read_f64(sums)?)[0];
/// assert!((f1 - (2.0 / 3.0 + 2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12);
/// # Ok::<(), retape::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Metric {
    /// The share of right predictions, `accuracy`; NaN without any samples.
    Accuracy,
    /// The share of elements that lie on their target's side of a threshold, `binary_accuracy`: each
    /// output is a yes or no of its own. The threshold is a probability for outputs that are
    /// logits or probabilities (logits are compared with `ln(t / (1 - t))`), and a number as it is
    /// for other outputs. Targets over 1/2 are positive. Outputs above the threshold are.
    BinaryAccuracy {
        /// The threshold, 0.5 most often.
        threshold: f32,
    },
    /// The share of rows in which fewer than `k` classes score more than the right one,
    /// `top_5_accuracy`: classes that tie across the boundary are all among the `k`. A row of scores
    /// with a NaN is wrong.
    TopKAccuracy {
        /// How many classes may be named; from 1 to the number of classes.
        k: usize,
    },
    /// Of the predictions of a class, the share that is right: `tp / (tp + fp)`; 0 for a class that
    /// is never predicted. See [`ConfusionMatrix::precision`]. Named after the average as in
    /// scikit-learn: `precision` for [`Average::Binary`], `precision_macro`, `precision_micro`,
    /// `precision_weighted`, and `precision_0`, `precision_1`, .. per class.
    Precision(Average),
    /// Of the samples of a class, the share that is found: `tp / (tp + fn)`; 0 for a class that
    /// never occurs. Named as [`Precision`](Metric::Precision) is.
    Recall(Average),
    /// Of the samples of other classes, the share that is not taken for this one: `tn / (tn + fp)`;
    /// 0 if there are no others. Named as [`Precision`](Metric::Precision) is.
    Specificity(Average),
    /// The harmonic mean of precision and recall, `2 tp / (2 tp + fp + fn)` (van Rijsbergen,
    /// Information Retrieval, 1979); 0 for a class that neither occurs nor is predicted. Named as
    /// [`Precision`](Metric::Precision) is.
    F1(Average),
    /// How often each class was taken for which: `confusion_matrix_0_1` counts the samples of class
    /// 0 that were predicted to be of class 1.
    ConfusionMatrix,
    /// The area under the receiver operating characteristic, by counts at thresholds in equal steps
    /// of the probability and the trapezoidal rule, as Keras's `AUC`: see [`Metric::roc_auc`].
    RocAuc {
        /// How the areas of several classes, each against the rest, make one.
        average: Average,
        /// Thresholds from 0 to 1 with both ends; at least 3.
        thresholds: usize,
    },
    /// The mean of `(output - target)^2` over all elements, `mean_squared_error`. A GPU squares in f32, which
    /// takes the square of an error below 1e-19 for 0 and that of one from 1.8e19 on for infinite; so do the
    /// other metrics of squared errors.
    MeanSquaredError,
    /// The root of the mean of `(output - target)^2` over all elements, `root_mean_squared_error`.
    RootMeanSquaredError,
    /// The mean of `|output - target|` over all elements, `mean_absolute_error`.
    MeanAbsoluteError,
    /// The sum of `(output - target)^2` over all elements, `sum_of_squared_errors`.
    SumOfSquaredErrors,
    /// The coefficient of determination, `r_squared`: `1 - sum (y - f)^2 / sum (y - mean y)^2` over the
    /// samples, of targets `y` and outputs `f`. Where a sample has several numbers, it is the mean over
    /// what each of them alone gives, as in scikit-learn and Keras. A number whose target never changes
    /// gives 1 if it is always met, else 0.
    ///
    /// Targets are taken less the first sample that was seen, so that their mean may be far larger than
    /// their deviation (Chan, Golub and LeVeque, The American Statistician 37(3), 1983): the sum of squared
    /// deviations is off by some 1e-7 times one plus the square of how many deviations that sample is away
    /// from the mean.
    ///
    /// On a GPU the squares are in f32: targets and errors are to be between 1e-18 and 1e18 or so, where they are
    /// not 0. Beyond that the result is NaN, below it they count as 0; targets in another unit give the same figure.
    RSquared,
    /// A metric of yes or no at another threshold than 0.5; see [`Metric::at_threshold`].
    AtThreshold {
        /// `Precision`, `Recall`, `Specificity`, `F1` or `ConfusionMatrix`.
        metric: Box<Metric>,
        /// The threshold, as that of `BinaryAccuracy`.
        threshold: f32,
    },
    /// A metric of the program's own; see [`Metric::custom`].
    Custom(Arc<dyn MetricFunction>),
}

impl Metric {
    /// The area under the receiver operating characteristic at 200 thresholds, Keras's default.
    ///
    /// Logits go through the sigmoid, or with several classes of which a sample has one through the softmax;
    /// other outputs are taken as probabilities from 0 to 1. With several classes, each is judged against
    /// the rest; independent outputs are each judged by themselves, as Keras's `multi_label`.
    /// One output, or two classes and [`Average::Binary`], give the area of the positive class.
    /// A class that no sample has, or all, has no area: it is NaN, and left out of averages.
    ///
    /// Scores between two neighbouring thresholds count as ties, half right: outputs that are all close
    /// to 0 or 1 need more thresholds, or [`roc_auc`] over predictions.
    pub fn roc_auc(average: Average) -> Metric {
        Metric::RocAuc { average, thresholds: 200 }
    }

    /// This metric with outputs that are a yes above `threshold`, instead of above 0.5: a probability, and
    /// for outputs that are neither logits nor probabilities a number as it is. It is Keras's `thresholds`
    /// for [`Precision`](Metric::Precision), [`Recall`](Metric::Recall),
    /// [`Specificity`](Metric::Specificity), [`F1`](Metric::F1) and
    /// [`ConfusionMatrix`](Metric::ConfusionMatrix) of one output, or of several that are independent.
    /// Names say it last: `precision_at_0.3`, `recall_macro_at_0.3`.
    ///
    /// ```
    /// use retape::prelude::*;
    /// use retape::train::MetricFunction;
    /// let metrics = [0.3, 0.5, 0.7].map(|p| Metric::Recall(Average::Binary).at_threshold(p));
    /// assert_eq!(metrics[0].name(), "recall_at_0.3");
    /// ```
    pub fn at_threshold(self, threshold: f32) -> Metric {
        let metric = match self {
            Metric::AtThreshold { metric, .. } => metric,
            metric => Box::new(metric),
        };
        Metric::AtThreshold { metric, threshold }
    }

    /// A metric of the program's own. What watches it needs to know whether it is to grow:
    /// [`MetricFunction::direction`].
    pub fn custom(function: impl MetricFunction + 'static) -> Metric {
        Metric::Custom(Arc::new(function))
    }

    /// Records the sums; `threshold` is that of yes or no where the program has set one.
    fn record_at(&self, judged: Judged<'_>, threshold: Option<f32>) -> Result<Value> {
        match self {
            Metric::Accuracy => Classified::of_one_class(judged)?.accuracy(),
            Metric::BinaryAccuracy { threshold } => Classified::new(judged)?.binary_accuracy(*threshold),
            Metric::TopKAccuracy { k } => Classified::of_one_class(judged)?.in_top_k(*k),
            Metric::Precision(average)
            | Metric::Recall(average)
            | Metric::Specificity(average)
            | Metric::F1(average) => Classified::new(judged)?.tallies(*average, threshold),
            Metric::ConfusionMatrix => Classified::of_one_class(judged)?.confusion(threshold),
            &Metric::RocAuc { average, thresholds } => roc_counts(judged, average, thresholds),
            Metric::MeanSquaredError | Metric::RootMeanSquaredError | Metric::SumOfSquaredErrors => {
                Regressed::new(judged)?.total(Graph::square)
            }
            Metric::MeanAbsoluteError => Regressed::new(judged)?.total(Graph::abs),
            Metric::RSquared => Regressed::new(judged)?.r_squared(),
            Metric::AtThreshold { metric, threshold } => match **metric {
                Metric::Precision(_)
                | Metric::Recall(_)
                | Metric::Specificity(_)
                | Metric::F1(_)
                | Metric::ConfusionMatrix => metric.record_at(judged, Some(*threshold)),
                _ => Err(Error::argument(
                    "threshold",
                    format!("{threshold} for {}", metric.name()),
                    "it is set for `Precision`, `Recall`, `Specificity`, `F1` and `ConfusionMatrix`",
                )),
            },
            Metric::Custom(function) => function.record(judged.graph, judged.inputs),
        }
    }
}

impl MetricFunction for Metric {
    fn name(&self) -> String {
        let name = match self {
            Metric::Accuracy => "accuracy",
            Metric::BinaryAccuracy { .. } => "binary_accuracy",
            Metric::TopKAccuracy { k } => return format!("top_{k}_accuracy"),
            Metric::Precision(average) => return average.name("precision"),
            Metric::Recall(average) => return average.name("recall"),
            Metric::Specificity(average) => return average.name("specificity"),
            Metric::F1(average) => return average.name("f1"),
            Metric::ConfusionMatrix => "confusion_matrix",
            Metric::RocAuc { average, .. } => return average.name("roc_auc"),
            Metric::MeanSquaredError => "mean_squared_error",
            Metric::RootMeanSquaredError => "root_mean_squared_error",
            Metric::MeanAbsoluteError => "mean_absolute_error",
            Metric::SumOfSquaredErrors => "sum_of_squared_errors",
            Metric::RSquared => "r_squared",
            Metric::AtThreshold { metric, threshold } => return format!("{}_at_{threshold}", metric.name()),
            Metric::Custom(function) => return function.name(),
        };
        name.to_owned()
    }

    fn direction(&self) -> Direction {
        match self {
            Metric::Accuracy
            | Metric::BinaryAccuracy { .. }
            | Metric::TopKAccuracy { .. }
            | Metric::Precision(_)
            | Metric::Recall(_)
            | Metric::Specificity(_)
            | Metric::F1(_)
            | Metric::RocAuc { .. }
            | Metric::RSquared => Direction::Max,
            Metric::MeanSquaredError
            | Metric::RootMeanSquaredError
            | Metric::MeanAbsoluteError
            | Metric::SumOfSquaredErrors => Direction::Min,
            // Counts of right predictions are to grow, all others to shrink.
            Metric::ConfusionMatrix => Direction::Auto,
            Metric::AtThreshold { metric, .. } => metric.direction(),
            Metric::Custom(function) => function.direction(),
        }
    }

    fn is_matrix(&self) -> bool {
        match self {
            Metric::ConfusionMatrix => true,
            Metric::AtThreshold { metric, .. } => metric.is_matrix(),
            Metric::Custom(function) => function.is_matrix(),
            _ => false,
        }
    }

    fn result_names(&self, output: Shape) -> Vec<String> {
        let (name, outputs) = (self.name(), classes_of(output));
        // One output tells two classes apart.
        let classes = outputs.max(2);
        let per_class = |classes: usize| (0..classes).map(|class| format!("{name}_{class}")).collect();
        match self {
            Metric::Precision(Average::PerClass)
            | Metric::Recall(Average::PerClass)
            | Metric::Specificity(Average::PerClass)
            | Metric::F1(Average::PerClass) => per_class(classes),
            Metric::RocAuc { average: Average::PerClass, .. } if outputs > 1 => per_class(outputs),
            Metric::ConfusionMatrix => {
                (0..classes * classes).map(|i| format!("{name}_{}_{}", i / classes, i % classes)).collect()
            }
            Metric::AtThreshold { metric, threshold } => {
                let names = metric.result_names(output).into_iter();
                names.map(|name| format!("{name}_at_{threshold}")).collect()
            }
            Metric::Custom(function) => function.result_names(output),
            _ => vec![name],
        }
    }

    /// Records the sums over a batch.
    ///
    /// # Errors
    /// [`Error::MetricMismatch`](crate::Error::MetricMismatch) with both types for outputs or targets
    /// that the metric does not fit, such as `Accuracy` of several independent outputs;
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) for a mask other than one number per sample;
    /// [`Error::Argument`](crate::Error::Argument) for a `k`, a threshold or a number of thresholds out of
    /// range, and for a threshold of a metric that has none.
    #[track_caller]
    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        graph.composed("metric", || self.record_at(Judged { graph, name: &self.name(), inputs }, None))
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        let number = match self {
            Metric::Accuracy
            | Metric::BinaryAccuracy { .. }
            | Metric::TopKAccuracy { .. }
            | Metric::MeanSquaredError
            | Metric::MeanAbsoluteError => mean_of_totals(sums),
            Metric::RootMeanSquaredError => mean_of_totals(sums).sqrt(),
            Metric::SumOfSquaredErrors => sum_and_count(sums)[0],
            Metric::RSquared => r_squared(sums),
            Metric::Precision(average) => return Score::Precision.results(sums, *average),
            Metric::Recall(average) => return Score::Recall.results(sums, *average),
            Metric::Specificity(average) => return Score::Specificity.results(sums, *average),
            Metric::F1(average) => return Score::F1.results(sums, *average),
            Metric::ConfusionMatrix => return sums.to_vec(),
            &Metric::RocAuc { average, thresholds } => return roc_areas(sums, average, thresholds),
            Metric::AtThreshold { metric, .. } => return metric.results(sums),
            Metric::Custom(function) => return function.results(sums),
        };
        vec![number]
    }
}
