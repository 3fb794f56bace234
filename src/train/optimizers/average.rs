use super::Optimizer;
use super::rate::check_decay;
use crate::error::Result;
use crate::graph::{Average, Graph, Value};

/// The name of a parameter's moving average among its states: `w` has `w.average`. Recording a second
/// such step on the same graph numbers its averages.
pub const AVERAGE: &str = "average";

/// An optimiser that also averages the parameters: what [`Optimizer::ema`] returns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Averaged<O> {
    inner: O,
    decay: f32,
}

impl<O> Averaged<O> {
    pub(super) fn new(inner: O, decay: f32) -> Self {
        Averaged { inner, decay }
    }
}

impl<O: Optimizer> Optimizer for Averaged<O> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        check_decay("decay", self.decay)?;
        self.inner.record(graph, gradients)?;
        for &(w, _) in gradients {
            graph.average(Average { average: graph.slot(w, AVERAGE)?, parameter: w, decay: self.decay })?;
        }
        Ok(())
    }
}
