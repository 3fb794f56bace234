use super::formulas;
use super::{Loss, LossFunction, Scores};
use crate::error::{Error, Result, Setting};
use crate::graph::{Graph, Value};
use crate::ops::{Outcome, outcome};
use crate::shape::{Shape, TensorType};

/// A cross-entropy with options: what [`Loss::from_probabilities`] and [`Loss::label_smoothing`] make.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::LossFunction;
/// let loss = Loss::BinaryCrossEntropy.from_probabilities().label_smoothing(0.2);
/// let mut g = Graph::new();
/// let (y, t) = (g.input("y", [1, 1]), g.targets("t", [1, 1]));
/// let samples = loss.record(&g, y, t)?;
/// let mut session = g.forward([samples])?.session(&Device::cpu())?;
/// session.write(y, &[0.5])?;
/// session.write(t, &[1.0])?;
/// session.replay()?;
/// assert_eq!(session.read(samples)?, [2f32.ln()]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct CrossEntropy {
    loss: Loss,
    from_probabilities: bool,
    label_smoothing: Option<f32>,
}

impl CrossEntropy {
    pub(super) fn new(loss: Loss) -> Self {
        CrossEntropy { loss, from_probabilities: false, label_smoothing: None }
    }

    setters! {
        /// Takes probabilities `p` instead of logits: Keras's `from_logits=False`, which is its default.
        ///
        /// Rows of classes are divided by their sums, of at least 1e-15. Probabilities are then limited to
        /// `[1e-7, 1 - 1e-7]`, so that no logarithm is infinite; where that limit is passed, the gradient is
        /// 0: `-sum t log(clip(p / sum p))`, as in Keras. Logits need neither and keep their gradient however
        /// sure the model is.
        from_probabilities => from_probabilities = true;
        /// Draws the targets towards even ones, by a share `s` in `[0, 1]` (Szegedy et al., CVPR 2016), as
        /// Keras does: `t (1 - s) + s / classes` for classes, labels included, and `t (1 - s) + s / 2` for
        /// the binary cross-entropy.
        label_smoothing: f32 => label_smoothing;
    }

    fn check_settings(&self) -> Result<()> {
        if let Loss::Huber { delta } = self.loss {
            Setting::positive("delta", delta).check()?;
        }
        if !self.is_cross_entropy() && (self.from_probabilities || self.label_smoothing.is_some()) {
            let argument = if self.from_probabilities { "from_probabilities" } else { "label_smoothing" };
            let value = format!("set for {}", self.loss.name());
            return Err(Error::argument(argument, value, "only cross-entropies have it"));
        }
        Setting::share("label_smoothing", self.label_smoothing.unwrap_or(0.0)).check()
    }

    fn is_cross_entropy(&self) -> bool {
        use Loss::{BinaryCrossEntropy, CategoricalCrossEntropy, SparseCategoricalCrossEntropy};
        [SparseCategoricalCrossEntropy, CategoricalCrossEntropy, BinaryCrossEntropy].contains(&self.loss)
    }

    fn smoothing(&self) -> f64 {
        self.label_smoothing.map_or(0.0, f64::from)
    }

    /// The losses before the mean over a sample.
    fn terms(&self, g: &Graph, y: Value, t: Value) -> Result<Value> {
        let classes = g.shape_of(y).dims().last().copied().unwrap_or(1);
        let even = 1.0 / classes as f64;
        match (self.loss, self.from_probabilities) {
            (loss, false) if self.smoothing() == 0.0 => loss.terms(g, y, t),
            (Loss::BinaryCrossEntropy, false) => {
                g.sigmoid_binary_cross_entropy_elements(y, self.towards(g, t, 0.5)?)
            }
            (Loss::CategoricalCrossEntropy, false) => {
                g.softmax_cross_entropy_rows(y, self.towards(g, t, even)?)
            }
            (_, false) => self.smoothed_labels(g, y, t),
            (Loss::BinaryCrossEntropy, true) => {
                formulas::binary_cross_entropy(g, y, self.towards(g, t, 0.5)?)
            }
            (loss, true) => {
                let is_labels = loss == Loss::SparseCategoricalCrossEntropy;
                let rows = if is_labels { g.one_hot(t, classes)? } else { t };
                formulas::categorical_cross_entropy(g, y, self.towards(g, rows, even)?)
            }
        }
    }

    /// The cross-entropy is linear in the targets: that of the label and that of even ones.
    fn smoothed_labels(&self, g: &Graph, logits: Value, t: Value) -> Result<Value> {
        let smoothing = self.smoothing();
        let labels = g.softmax_cross_entropy_rows(logits, t)?;
        let even = g.mean(g.log_softmax(logits, -1)?, &[-1], false)?;
        let kept = g.mul(labels, g.scalar_constant(1.0 - smoothing))?;
        g.sub(kept, g.mul(even, g.scalar_constant(smoothing))?)
    }

    /// The targets, drawn towards `even`.
    fn towards(&self, g: &Graph, t: Value, even: f64) -> Result<Value> {
        let smoothing = self.smoothing();
        if smoothing == 0.0 {
            return Ok(t);
        }
        let kept = g.mul(t, g.scalar_constant(1.0 - smoothing))?;
        g.add(kept, g.scalar_constant(smoothing * even))
    }
}

impl CrossEntropy {
    /// What may be done about outputs that are not what the loss takes them for; none where they may be.
    fn cure(&self, outcome: Outcome) -> Option<&'static str> {
        use Loss::{BinaryCrossEntropy, KlDivergence, NegativeLogLikelihood};
        use Outcome::{LogProbabilities, OneClass, Positive, Probabilities, Signed};
        match (self.loss, outcome) {
            (_, OneClass) => Some(
                "a softmax over one class is the same whatever is learned; one output takes \
                 `Loss::BinaryCrossEntropy` without an activation, or `Activation::Sigmoid` and \
                 `.from_probabilities()`",
            ),
            (_, Probabilities) if self.is_cross_entropy() && !self.from_probabilities => {
                Some("this loss takes logits; say `.from_probabilities()`, or leave the activation out")
            }
            (BinaryCrossEntropy, Positive) | (_, Signed | LogProbabilities) if self.from_probabilities => {
                Some(
                    "`.from_probabilities()` takes numbers from 0 to 1; leave it out for logits, or end the model in \
                 `Activation::Softmax`, or in `Activation::Sigmoid` where each output is a yes or no",
                )
            }
            (KlDivergence, Signed | LogProbabilities) => {
                Some("this loss takes probabilities; end the model in `Activation::Softmax`")
            }
            (NegativeLogLikelihood, Signed | Positive | Probabilities) => Some(
                "this loss takes log-probabilities; end the model in `Activation::LogSoftmax`, or take \
                 `Loss::SparseCategoricalCrossEntropy`, which takes logits",
            ),
            _ => None,
        }
    }

    /// Refuses outputs that are known not to be what the loss takes: they would train, and badly.
    fn check_output(&self, g: &Graph, output: Value) -> Result<()> {
        let (outcome, op) = outcome(g, output);
        match self.cure(outcome) {
            Some(cure) => Err(Error::argument("output", format!("the result of {op}"), cure)),
            None => Ok(()),
        }
    }
}

impl LossFunction for CrossEntropy {
    #[track_caller]
    fn targets(&self, output: Shape) -> Result<TensorType> {
        self.loss.targets(output)
    }

    #[track_caller]
    fn record(&self, graph: &Graph, output: Value, targets: Value) -> Result<Value> {
        let name = self.loss.name();
        graph.composed(name, || {
            self.check_settings()?;
            self.loss.target_rule().check(name, graph, output, targets)?;
            self.check_output(graph, output)?;
            formulas::per_sample(graph, self.terms(graph, output, targets)?)
        })
    }

    fn check(&self, output: Shape) -> Result<()> {
        self.loss.check(output)
    }

    fn scores(&self) -> Scores {
        match (self.from_probabilities, self.loss.scores()) {
            (true, Scores::IndependentLogits) => Scores::IndependentProbabilities,
            (true, _) => Scores::Probabilities,
            (false, scores) => scores,
        }
    }
}
