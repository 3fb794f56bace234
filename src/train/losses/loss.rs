use std::panic::Location;

use super::formulas::{self, TargetRule};
use super::{CrossEntropy, LossFunction, Scores};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::shape::{Shape, TensorType};

/// The built-in losses. `y` is the model's output, `t` the targets; each gives a number per sample, the
/// mean over the sample's other dimensions.
///
/// **The three cross-entropies take logits**, what a last layer without an activation gives. Keras's
/// string names (`"sparse_categorical_crossentropy"` and the like) take probabilities: a model that ends
/// in a softmax or a sigmoid needs [`from_probabilities`](Loss::from_probabilities) here. Leaving the
/// activation out and keeping the logits is the better choice: there, loss and gradient are exact however
/// sure the model is.
///
/// An output that is NaN makes its sample's loss NaN, also of losses that limit their operands; but
/// `NegativeLogLikelihood` reads the label's alone.
///
/// | loss | outputs | targets |
/// |---|---|---|
/// | `SparseCategoricalCrossEntropy`, `NegativeLogLikelihood` | `[batch, .., classes]` | u32 labels `[batch, ..]` |
/// | `CategoricalCrossEntropy`, `CategoricalHinge`, `KlDivergence`, `CosineSimilarity` | `[batch, .., classes]` | f32 of the outputs' shape |
/// | the others | `[batch, ..]` | f32 of the outputs' shape |
///
/// A [trainer](crate::train::Trainer) takes u32 labels 0 and 1 too where a loss is of a yes or no for each
/// output: `BinaryCrossEntropy`, `Hinge` and `SquaredHinge`.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::LossFunction;
/// let mut g = Graph::new();
/// let y = g.input("y", [2, 2]);
/// let t = g.targets("t", [2, 2]);
/// let samples = Loss::Huber { delta: 1.0 }.record(&g, y, t)?;
/// let loss = g.mean(samples, &[], false)?;
///
/// let mut session = g.forward([samples, loss])?.session(&Device::cpu())?;
/// session.write(y, &[0.5, 0.0, 3.0, 0.0])?;
/// session.write(t, &[0.0, 0.0, 0.0, 0.0])?;
/// session.replay()?;
/// assert_eq!(session.read(samples)?, [0.0625, 1.25]);
/// # Ok::<(), retape::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// `log(sum(exp y)) - y[t]`: the cross-entropy between a label and the softmax of logits (Bridle,
    /// NATO ASI 1990).
    SparseCategoricalCrossEntropy,
    /// `sum t (log(sum(exp y)) - y)` over the classes: the same for one-hot rows or probabilities.
    CategoricalCrossEntropy,
    /// `-t log(sigmoid(y)) - (1 - t) log(1 - sigmoid(y))`, for targets in `[0, 1]`, each element by
    /// itself. A model with one output has outputs and targets `[batch, 1]`; several outputs are each a
    /// yes or no of their own (multi-label), which metrics judge one by one.
    BinaryCrossEntropy,
    /// `(y - t)^2`; infinite for differences from 1.8e19 on, whose squares f32 does not hold.
    MeanSquaredError,
    /// `|y - t|`; its slope at 0 is 0.
    MeanAbsoluteError,
    /// `e^2 / 2` for errors `e = |y - t|` up to `delta`, `delta (e - delta / 2)` for larger ones (Huber,
    /// Annals of Mathematical Statistics 35(1), 1964). Keras's `delta` is 1 by default.
    Huber {
        /// Where the square becomes a line, more than 0.
        delta: f32,
    },
    /// `log(cosh(y - t))`, close to `e^2 / 2` for small errors and to `|e| - log 2` for large ones; computed
    /// as `|e| + log(1 + exp(-2 |e|)) - log 2`, which does not overflow.
    LogCosh,
    /// `max(1 - t y, 0)` (Cortes and Vapnik, Machine Learning 20(3), 1995) for labels -1 and 1. Every label
    /// that is not positive counts as -1, so that labels 0 and 1 do too, as in Keras; 0 beside -1 and 1 is a
    /// label of its own there.
    Hinge,
    /// `max(1 - t y, 0)^2`, with the labels of [`Hinge`](Loss::Hinge).
    SquaredHinge,
    /// `max(1 + max((1 - t) y) - sum(t y), 0)` over the classes, for one-hot rows: Keras's form of the
    /// margin of Crammer and Singer, JMLR 2, 2001. The largest wrong score counts as at least 0.
    CategoricalHinge,
    /// `sum t log(t / y)` over the classes, the divergence of Kullback and Leibler (Annals of Mathematical
    /// Statistics 22(1), 1951) from probabilities `y` to probabilities `t`, both limited to `[1e-7, 1]` as
    /// in Keras.
    KlDivergence,
    /// `y - t log(y + 1e-7)`, the negative log-likelihood of counts `t` under Poisson distributions of mean
    /// `y`, without the terms that `y` does not change, as in Keras. The outputs must not be negative.
    Poisson,
    /// `-y[t]` for log-probabilities `y`, as log-softmax gives them, and u32 labels: PyTorch's `NLLLoss`, with
    /// the classes as the last axis.
    NegativeLogLikelihood,
    /// `-sum(y t) / (|y| |t|)` over the last axis: minus the cosine, from -1 for one direction to 1 for the
    /// opposite one, as in Keras. A norm counts as at least 1e-6 (1e-7 in Keras), so the loss of a
    /// vector of zeros is 0. It does not matter how large the elements are.
    CosineSimilarity,
}

impl Loss {
    /// The name in errors, the targets that go with the outputs, and what the outputs are.
    fn about(self) -> (&'static str, TargetRule, Scores) {
        use Scores::{IndependentLogits, Logits, Probabilities, Values};
        use TargetRule::{Elements, Labels, Rows};
        match self {
            Loss::SparseCategoricalCrossEntropy => ("sparse_categorical_cross_entropy", Labels, Logits),
            Loss::CategoricalCrossEntropy => ("categorical_cross_entropy", Rows, Logits),
            Loss::BinaryCrossEntropy => ("binary_cross_entropy", Elements, IndependentLogits),
            Loss::MeanSquaredError => ("mean_squared_error", Elements, Values),
            Loss::MeanAbsoluteError => ("mean_absolute_error", Elements, Values),
            Loss::Huber { .. } => ("huber", Elements, Values),
            Loss::LogCosh => ("log_cosh", Elements, Values),
            Loss::Hinge => ("hinge", Elements, IndependentLogits),
            Loss::SquaredHinge => ("squared_hinge", Elements, IndependentLogits),
            Loss::CategoricalHinge => ("categorical_hinge", Rows, Logits),
            Loss::KlDivergence => ("kl_divergence", Rows, Probabilities),
            Loss::Poisson => ("poisson", Elements, Values),
            Loss::NegativeLogLikelihood => ("negative_log_likelihood", Labels, Logits),
            Loss::CosineSimilarity => ("cosine_similarity", Rows, Values),
        }
    }

    /// The name in errors: `mean_squared_error`.
    pub fn name(self) -> &'static str {
        self.about().0
    }

    /// The cross-entropy of probabilities, as a softmax or sigmoid in the model gives them, instead of
    /// logits: Keras's `from_logits=False`. Losses other than the three cross-entropies are refused with
    /// this when they are recorded.
    pub fn from_probabilities(self) -> CrossEntropy {
        CrossEntropy::new(self).from_probabilities()
    }

    /// The cross-entropy with targets drawn towards even ones; see [`CrossEntropy::label_smoothing`].
    /// Losses other than the three cross-entropies are refused with this when they are recorded.
    pub fn label_smoothing(self, smoothing: f32) -> CrossEntropy {
        CrossEntropy::new(self).label_smoothing(smoothing)
    }

    pub(super) fn target_rule(self) -> TargetRule {
        self.about().1
    }

    /// The losses before the mean over a sample.
    pub(super) fn terms(self, g: &Graph, y: Value, t: Value) -> Result<Value> {
        match self {
            Loss::SparseCategoricalCrossEntropy | Loss::CategoricalCrossEntropy => {
                g.softmax_cross_entropy_rows(y, t)
            }
            Loss::BinaryCrossEntropy => g.sigmoid_binary_cross_entropy_elements(y, t),
            Loss::MeanSquaredError => g.square(g.sub(y, t)?),
            Loss::MeanAbsoluteError => g.abs(g.sub(y, t)?),
            Loss::Huber { delta } => formulas::huber(g, y, t, delta),
            Loss::LogCosh => formulas::log_cosh(g, y, t),
            Loss::Hinge => formulas::hinge(g, y, t),
            Loss::SquaredHinge => g.square(formulas::hinge(g, y, t)?),
            Loss::CategoricalHinge => formulas::categorical_hinge(g, y, t),
            Loss::KlDivergence => formulas::kl_divergence(g, y, t),
            Loss::Poisson => formulas::poisson(g, y, t),
            Loss::NegativeLogLikelihood => formulas::negative_log_likelihood(g, y, t),
            Loss::CosineSimilarity => formulas::cosine_similarity(g, y, t),
        }
    }
}

impl LossFunction for Loss {
    #[track_caller]
    fn targets(&self, output: Shape) -> Result<TensorType> {
        let (op, at) = (self.name(), Location::caller());
        let located = |error| Error::Record { op, layer: String::new(), at, source: Box::new(error) };
        self.target_rule().targets(output).map_err(located)
    }

    #[track_caller]
    fn record(&self, graph: &Graph, output: Value, targets: Value) -> Result<Value> {
        CrossEntropy::new(*self).record(graph, output, targets)
    }

    fn check(&self, output: Shape) -> Result<()> {
        let of_classes = matches!(self, Loss::SparseCategoricalCrossEntropy | Loss::CategoricalCrossEntropy);
        let one = of_classes && output.rank() > 1 && output.dims().last() == Some(&1);
        let expected = "a sample has one of at least two; for a single output, a yes or no, it is \
                        `Loss::BinaryCrossEntropy`";
        Error::expect(!one, "number of classes", 1, expected)
    }

    fn scores(&self) -> Scores {
        self.about().2
    }
}
