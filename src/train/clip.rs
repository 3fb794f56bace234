use super::Optimizer;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::check_limit;

/// How gradients are limited. The limit is positive and finite.
///
/// A NaN stays NaN under each of them. An infinity becomes the limit under `Value`, as in PyTorch and
/// Keras; under the other two, it turns every gradient of its norm into NaN. None of them makes zeros of
/// a broken gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Clip {
    /// Each element to `[-limit, limit]`: Keras's `clipvalue`, PyTorch's `clip_grad_value_`.
    Value(f32),
    /// Each parameter's gradient by its own L2 norm, `g limit / max(norm, limit)`: Keras's `clipnorm`.
    Norm(f32),
    /// All gradients by one factor, that of the L2 norm over all of them: Keras's `global_clipnorm`.
    /// PyTorch's `clip_grad_norm_` adds 1e-6 to the norm.
    GlobalNorm(f32),
}

impl Clip {
    fn limit(self) -> f32 {
        match self {
            Clip::Value(limit) | Clip::Norm(limit) | Clip::GlobalNorm(limit) => limit,
        }
    }
}

/// An optimiser that is given clipped gradients: what [`Optimizer::clip`] returns.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Clipped<O> {
    pub(super) inner: O,
    pub(super) clip: Clip,
}

impl<O: Optimizer> Optimizer for Clipped<O> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        graph.composed("clip", || {
            let (parameters, found): (Vec<Value>, Vec<Value>) = gradients.iter().copied().unzip();
            check_limit(self.clip.limit())?;
            let clipped = match self.clip {
                Clip::GlobalNorm(limit) if !found.is_empty() => {
                    let norm = graph.global_norm(&found)?;
                    graph.noted(|data| *data.gradient_norm.get_or_insert(norm));
                    by_norm(graph, &found, norm, limit)?
                }
                clip => graph.clip_gradients(&found, clip)?,
            };
            let pairs: Vec<(Value, Value)> = parameters.into_iter().zip(clipped).collect();
            self.inner.record(graph, &pairs)
        })
    }
}

fn by_norm(graph: &Graph, gradients: &[Value], norm: Value, limit: f32) -> Result<Vec<Value>> {
    gradients.iter().map(|&gradient| graph.clip_by_norm(gradient, norm, limit)).collect()
}

/// # Clipping of gradients
impl Graph {
    /// The gradients, f32 of any shape, limited as `clip` says, in their order: for a step that is recorded by hand. A
    /// [`training_step`](Graph::training_step) takes an optimiser with [`Optimizer::clip`] instead.
    ///
    /// By the global norm, this takes one kernel for each gradient's squares, one for the norm and one
    /// for each gradient's scaling, in place where nothing else reads the gradient. A program that wants
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
