use super::Optimizer;
use super::clip::{Clip, by_norm};
use super::step::ParameterGroup;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::check_limit;
use crate::tape::Tape;

/// # Training steps and clipping
///
/// Tapes that lower the sum of f32 losses, of one element each: the losses, their gradients and the updates of the trained
/// parameters. Gradients are f32 of their parameters' shapes, clipped or not.
impl Graph {
    /// The tape of a training step: the losses, their gradients with respect to every trainable
    /// parameter they depend on, and the optimiser's updates. Several losses are added up, such as a
    /// loss and the [`penalties`](Graph::penalties). After the updates, the parameters are held to their
    /// [constraints](Graph::constrain) and [masks](Graph::mask).
    ///
    /// # Errors
    /// [`Error::NothingToTrain`] if the losses depend on no parameter; otherwise as
    /// [`differentiate`](Graph::differentiate), and what the optimiser refuses.
    ///
    /// [`Error::NothingToTrain`]: crate::Error::NothingToTrain
    #[track_caller]
    pub fn training_step(&self, losses: impl Into<Vec<Value>>, optimizer: &dyn Optimizer) -> Result<Tape> {
        self.training_groups(&[ParameterGroup::new(losses, optimizer)])
    }

    /// A training step in which groups of parameters have optimisers and losses of their own: another rate
    /// for the base than for the head, no weight decay on biases, both players of a game in one tape. All
    /// gradients are those of the parameters as the step found them.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [8, 4]);
    /// let w = g.parameter("w", [4, 2], Init::HeNormal);
    /// let b = g.parameter("b", [2], Init::Zeros);
    /// let loss = g.mean(g.square(g.add(g.matmul(x, w)?, b)?)?, &[], false)?;
    /// let (weights, biases) = (AdamW::new(1e-3), Adam::new(1e-3));
    /// let tape = g.training_groups(&[
    ///     ParameterGroup::new(loss, &weights),
    ///     ParameterGroup::new(loss, &biases).parameters(vec![b]), // without weight decay
    /// ])?;
    /// assert_eq!(tape.losses(), [loss]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// Two players in one tape, a generator and its critic: [a GAN](crate::nn#a-generative-adversarial-network).
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter in two groups, and for two groups that name none;
    /// [`Error::NotWritable`] for what is no trained parameter; [`Error::NothingToTrain`] if the losses of a
    /// group depend on none of its parameters; otherwise as [`differentiate`](Graph::differentiate), and what
    /// an optimiser refuses.
    ///
    /// [`Error::Argument`]: crate::Error::Argument
    /// [`Error::NotWritable`]: crate::Error::NotWritable
    /// [`Error::NothingToTrain`]: crate::Error::NothingToTrain
    #[track_caller]
    pub fn training_groups(&self, groups: &[ParameterGroup<'_>]) -> Result<Tape> {
        self.composed("training_step", || self.training_tape(groups))
    }

    /// The gradients, f32 of any shape, limited as `clip` says, in their order: for a step that is recorded by hand. A
    /// [`training_step`](Graph::training_step) takes an optimiser with [`Optimizer::clip`] instead.
    ///
    /// By the global norm, this takes a kernel for the squares of gradients that lie side by side, one for the norm and
    /// one for each gradient's scaling, in place where nothing else reads the gradient. A program that wants
    /// to read the norm as well takes [`global_norm`](Graph::global_norm) and
    /// [`clip_by_norm`](Graph::clip_by_norm) itself.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let (a, b) = (g.input("a", [1]), g.input("b", [1]));
    /// let clipped = g.clip_gradients(&[a, b], Clip::GlobalNorm(1.0))?;
    /// let mut session = g.forward(clipped.clone())?.session(&Device::cpu())?;
    /// session.write(a, &[3.0])?;
    /// session.write(b, &[-4.0])?;
    /// session.replay()?;
    /// assert_eq!((session.read_scalar(clipped[0])?, session.read_scalar(clipped[1])?), (0.6, -0.8));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a limit that is not positive, not finite or
    /// subnormal; [`Error::DTypeMismatch`](crate::Error::DTypeMismatch) unless all gradients are f32.
    #[track_caller]
    pub fn clip_gradients(&self, gradients: &[Value], clip: Clip) -> Result<Vec<Value>> {
        self.composed("clip_gradients", || {
            check_limit(clip.limit())?;
            match clip {
                _ if gradients.is_empty() => Ok(Vec::new()),
                Clip::Value(limit) => gradients.iter().map(|&g| self.clip(g, -limit, limit)).collect(),
                Clip::Norm(limit) => {
                    let own = |&g: &Value| self.clip_by_norm(g, self.global_norm(&[g])?, limit);
                    gradients.iter().map(own).collect()
                }
                Clip::GlobalNorm(limit) => by_norm(self, gradients, self.global_norm(gradients)?, limit),
            }
        })
    }
}
