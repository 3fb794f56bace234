//! Gradients of several batches summed up before an update.

use super::Optimizer;
use crate::error::Result;
use crate::graph::{Graph, Init, StateKind, Value};

/// Takes the mean gradient of several batches, `sum of dw / batches`, or the gradient as it is of one.
#[derive(Debug)]
pub(super) struct GradientSum<'a> {
    pub batches: usize,
    /// For the last of the batches, what takes the mean of all, after which the sum starts again. None for the
    /// others, whose gradients are only added up.
    pub optimizer: Option<&'a dyn Optimizer>,
}

impl Optimizer for GradientSum<'_> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        if let (1, Some(optimizer)) = (self.batches, self.optimizer) {
            return optimizer.record(graph, gradients);
        }
        let share = graph.scalar_constant(1.0 / self.batches as f32);
        let mut means = Vec::with_capacity(gradients.len());
        for &(w, dw) in gradients {
            let (ty, kind) = (graph.ty(w)?, StateKind::GradientSum { of: w });
            let so_far = graph.state_of_kind("gradient", ty, kind, Init::Zeros);
            let sum = graph.add(so_far, graph.mul(dw, share)?)?;
            let next = match self.optimizer {
                None => sum,
                Some(_) => graph.broadcast_to(graph.scalar_constant(0.0), ty.shape)?,
            };
            graph.assign(so_far, next)?;
            means.push((w, sum));
        }
        self.optimizer.map_or(Ok(()), |optimizer| optimizer.record(graph, &means))
    }
}
