//! Gradients of several batches summed up before an update.

use std::sync::{Arc, OnceLock};

use super::Optimizer;
use crate::error::Result;
use crate::graph::{Graph, Init, Scalar, StateKind, Value};
use crate::shape::TensorType;

/// What the losses of a window are summed over: its mean gradient is their sum's over so many.
#[derive(Clone, Copy, Debug)]
pub(super) enum Divisor {
    /// The samples of the window at its last batch, which the host knows.
    Samples(Scalar),
    /// How many steps of a batch of sequences are no padding, which the device adds up.
    Steps(Value),
}

/// Hands an optimiser the mean gradient of a window of batches, `sum of dw / divisor`, where each `dw` is that of
/// a sum over a batch.
#[derive(Debug)]
pub(super) struct GradientSum<'a> {
    /// None where every batch makes an update, whose gradient is a mean already.
    pub divisor: Option<Divisor>,
    /// Whether the gradients of this step belong to the window, or the window ends without any more.
    pub adds: bool,
    /// At the end of a window, what takes the mean, after which the sum starts again. None before, where
    /// gradients are only added up.
    pub optimizer: Option<&'a dyn Optimizer>,
    /// The divisor of the window so far, once the first optimiser of the step has recorded it.
    pub recorded: Arc<OnceLock<Value>>,
}

impl GradientSum<'_> {
    /// What the sums are divided by at the end of a window.
    fn divide_by(&self, graph: &Graph, divisor: Divisor) -> Result<Value> {
        if let Some(&recorded) = self.recorded.get() {
            return Ok(recorded);
        }
        let divisor = match divisor {
            Divisor::Samples(samples) => graph.scalar_value(samples)?,
            Divisor::Steps(steps) => {
                let (ty, kind) = (TensorType::f32([]), StateKind::GradientCount);
                let so_far = graph.state_of_kind("accumulated_steps", ty, kind, Init::Zeros);
                let sum = if self.adds { graph.add(so_far, steps)? } else { so_far };
                let ends = self.optimizer.is_some();
                graph.assign(so_far, if ends { graph.scalar_constant(0.0) } else { sum })?;
                sum
            }
        };
        Ok(*self.recorded.get_or_init(|| divisor))
    }
}

impl Optimizer for GradientSum<'_> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        let update = |gradients: &[(Value, Value)]| {
            self.optimizer.map_or(Ok(()), |optimizer| optimizer.record(graph, gradients))
        };
        let Some(divisor) = self.divisor else { return update(gradients) };
        let divisor = self.divide_by(graph, divisor)?;
        let mut means = Vec::with_capacity(gradients.len());
        for &(w, dw) in gradients {
            let (ty, kind) = (graph.ty(w)?, StateKind::GradientSum { of: w });
            let so_far = graph.state_of_kind("gradient", ty, kind, Init::Zeros);
            let sum = if self.adds { graph.add(so_far, dw)? } else { so_far };
            let next = match self.optimizer {
                None => sum,
                Some(_) => {
                    means.push((w, graph.div(sum, divisor)?));
                    graph.broadcast_to(graph.scalar_constant(0.0), ty.shape)?
                }
            };
            graph.assign(so_far, next)?;
        }
        update(&means)
    }
}

/// The batches whose gradients are summed up for the update to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "checkpoints", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Window {
    pub batches: usize,
    pub samples: u32,
}

impl Window {
    /// The same with a batch more.
    pub fn with(self, rows: usize) -> Self {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        Window { batches: self.batches + 1, samples: self.samples.saturating_add(rows) }
    }

    /// Whether a window of at most `most` batches can be so far.
    #[cfg(feature = "checkpoints")]
    pub fn fits(self, most: usize) -> bool {
        self.batches < most.max(1)
            && self.samples as usize >= self.batches
            && (self.samples == 0) == (self.batches == 0)
    }
}
