//! Gradients of several batches summed up before an update.

use super::Optimizer;
use crate::error::Result;
use crate::graph::{Graph, Init, Scalar, StateKind, Value};

/// Hands an optimiser the mean gradient of the samples of a window of batches, `sum of dw / samples`, where
/// each `dw` is a sum over a batch.
#[derive(Debug)]
pub(super) struct GradientSum<'a> {
    /// How many samples the window has, at its last batch; none where every batch makes an update, whose
    /// gradient is a mean already.
    pub samples: Option<Scalar>,
    /// Whether the gradients of this step belong to the window, or the window ends without any more.
    pub adds: bool,
    /// At the end of a window, what takes the mean, after which the sum starts again. None before, where
    /// gradients are only added up.
    pub optimizer: Option<&'a dyn Optimizer>,
}

impl Optimizer for GradientSum<'_> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        let update = |gradients: &[(Value, Value)]| {
            self.optimizer.map_or(Ok(()), |optimizer| optimizer.record(graph, gradients))
        };
        let Some(samples) = self.samples else { return update(gradients) };
        let samples = self.optimizer.map(|_| graph.scalar_value(samples)).transpose()?;
        let mut means = Vec::with_capacity(gradients.len());
        for &(w, dw) in gradients {
            let (ty, kind) = (graph.ty(w)?, StateKind::GradientSum { of: w });
            let so_far = graph.state_of_kind("gradient", ty, kind, Init::Zeros);
            let sum = if self.adds { graph.add(so_far, dw)? } else { so_far };
            let next = match samples {
                None => sum,
                Some(samples) => {
                    means.push((w, graph.div(sum, samples)?));
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
