//! Gradients of several batches summed up before an update.

use super::Optimizer;
use crate::error::Result;
use crate::graph::{Graph, Init, StateKind, Value};

/// Which of the batches a step is for.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// One whose gradients are added to those before.
    Add,
    /// The last one: the optimiser is given the mean of all, and the sum starts again.
    Update(&'a dyn Optimizer),
}

/// Takes the mean gradient of several batches: `sum of dw / batches`.
#[derive(Debug)]
pub(super) struct GradientSum<'a> {
    pub batches: usize,
    pub part: Part<'a>,
}

impl Optimizer for GradientSum<'_> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        let share = graph.scalar_constant(1.0 / self.batches as f32);
        let mut means = Vec::with_capacity(gradients.len());
        for &(w, dw) in gradients {
            let (ty, kind) = (graph.ty(w)?, StateKind::GradientSum { of: w });
            let so_far = graph.state_of_kind("gradient", ty, kind, Init::Zeros);
            let sum = graph.add(so_far, graph.mul(dw, share)?)?;
            match self.part {
                Part::Add => graph.assign(so_far, sum)?,
                Part::Update(_) => {
                    let zeros = graph.broadcast_to(graph.scalar_constant(0.0), graph.shape(w)?)?;
                    graph.assign(so_far, zeros)?;
                }
            }
            means.push((w, sum));
        }
        match self.part {
            Part::Add => Ok(()),
            Part::Update(optimizer) => optimizer.record(graph, &means),
        }
    }
}
