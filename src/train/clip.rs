use super::Optimizer;
use super::groups::update_groups;
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
    pub(super) fn limit(self) -> f32 {
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
                    // In the order in which updates want them side by side.
                    let groups = update_groups(graph, gradients);
                    let ordered: Vec<Value> = groups.iter().flatten().map(|pair| pair.1).collect();
                    let norm = graph.global_norm(&ordered)?;
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

pub(super) fn by_norm(graph: &Graph, gradients: &[Value], norm: Value, limit: f32) -> Result<Vec<Value>> {
    gradients.iter().map(|&gradient| graph.clip_by_norm(gradient, norm, limit)).collect()
}
