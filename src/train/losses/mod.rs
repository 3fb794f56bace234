mod cross_entropy;
mod formulas;
mod loss;

use std::fmt;
use std::sync::Arc;

pub use cross_entropy::CrossEntropy;
pub use loss::Loss;

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::shape::{Shape, TensorType};

/// What the outputs of a model are, by the loss that judges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scores {
    /// Before the softmax over classes of which a sample has one; a single output is before a sigmoid, and
    /// above 0 likelier than not.
    Logits,
    /// Probabilities of classes of which a sample has one; a single output above 0.5 is likelier than not.
    Probabilities,
    /// Before a sigmoid each: every output is a yes or no of its own, likelier than not above 0, and a
    /// sample has any number of them (multi-label).
    IndependentLogits,
    /// Probabilities, each of a yes or no of its own, which is likelier than not above 0.5.
    IndependentProbabilities,
    /// Numbers as they are.
    Values,
}

impl Scores {
    /// Above which number a single output stands for class 1, and an independent one for yes.
    pub fn threshold(self) -> f32 {
        if self.are_logits() { 0.0 } else { 0.5 }
    }

    /// Whether each output is a yes or no of its own.
    pub fn are_independent(self) -> bool {
        matches!(self, Scores::IndependentLogits | Scores::IndependentProbabilities)
    }

    /// Whether a softmax or sigmoid makes them probabilities.
    pub fn are_logits(self) -> bool {
        matches!(self, Scores::Logits | Scores::IndependentLogits)
    }
}

/// Batch and time of sequences.
fn steps_of(shape: Shape) -> Result<[usize; 2]> {
    match *shape.dims() {
        [batch, time, ..] => Ok([batch, time]),
        _ => Err(Error::Rank { shape, expected: "at least 2 ([batch, time, ..])" }),
    }
}

/// The steps of sequences `[batch, time, ..]`, each for itself: `[batch time, ..]`.
pub(super) fn each_step(graph: &Graph, sequences: Value) -> Result<Value> {
    let shape = graph.shape(sequences)?;
    let [batch, time] = steps_of(shape)?;
    graph.reshape(sequences, Shape::new(&[&[batch.saturating_mul(time)], &shape.dims()[2..]].concat())?)
}

/// A loss, sample by sample. Batches are averaged, weighted and added up by whoever records it.
pub trait LossFunction: fmt::Debug + Send + Sync {
    /// Shape and dtype of the targets that go with outputs of this shape, both with the batch as
    /// dimension 0.
    ///
    /// # Errors
    /// If no targets fit such outputs.
    fn targets(&self, output: Shape) -> Result<TensorType>;

    /// Records the loss of each sample, `[batch]`: the mean over a sample's other dimensions.
    ///
    /// # Errors
    /// As the operators it is made of.
    #[track_caller]
    fn record(&self, graph: &Graph, output: Value, targets: Value) -> Result<Value>;

    /// Refuses outputs of a shape that training by this loss would teach nothing, such as those of a single class:
    /// a [trainer](crate::train::Trainer) asks.
    ///
    /// # Errors
    /// What is wrong with them, and what may be done.
    fn check(&self, output: Shape) -> Result<()> {
        let _ = output;
        Ok(())
    }

    /// Records the loss of each step of a sequence, `[batch, time]`, for outputs `[batch, time, ..]` with padding
    /// or with weights of steps. Unless a loss says otherwise, each step is taken for a sample of its own:
    /// [`record`](LossFunction::record) gets outputs and targets with batch and time as one dimension.
    ///
    /// # Errors
    /// As [`record`](LossFunction::record).
    #[track_caller]
    fn record_steps(&self, graph: &Graph, output: Value, targets: Value) -> Result<Value> {
        let [batch, time] = steps_of(graph.shape(output)?)?;
        let losses = self.record(graph, each_step(graph, output)?, each_step(graph, targets)?)?;
        let (found, expected) = (graph.shape(losses)?, Shape::from([batch * time]));
        Error::agree(found == expected, "a loss gives a number for each sample", found, expected)?;
        graph.reshape(losses, [batch, time])
    }

    /// What the outputs mean: metrics find the predicted class by it.
    fn scores(&self) -> Scores {
        Scores::Values
    }
}

/// A pointer to a loss is one: chosen at run time, or shared.
macro_rules! through_pointer {
    ($pointer:ident) => {
        impl<L: LossFunction + ?Sized> LossFunction for $pointer<L> {
            fn targets(&self, output: Shape) -> Result<TensorType> {
                (**self).targets(output)
            }

            #[track_caller]
            fn record(&self, graph: &Graph, output: Value, targets: Value) -> Result<Value> {
                graph.composed("loss", || (**self).record(graph, output, targets))
            }

            fn check(&self, output: Shape) -> Result<()> {
                (**self).check(output)
            }

            #[track_caller]
            fn record_steps(&self, graph: &Graph, output: Value, targets: Value) -> Result<Value> {
                graph.composed("loss", || (**self).record_steps(graph, output, targets))
            }

            fn scores(&self) -> Scores {
                (**self).scores()
            }
        }
    };
}

through_pointer!(Box);
through_pointer!(Arc);
