use super::Optimizer;
use crate::error::{Result, Setting};
use crate::graph::{Average, Graph, Init, StateKind, Value};

/// The name of a parameter's moving average among its states: `w` has `w.average`. Recording a second
/// such step on the same graph numbers its averages.
pub const AVERAGE: &str = "average";

/// An optimiser that also averages the parameters: what [`Optimizer::ema`] returns.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Averaged<O> {
    pub(super) inner: O,
    pub(super) decay: f32,
}

impl<O: Optimizer> Optimizer for Averaged<O> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        graph.composed("average", || {
            Setting::decay("decay", self.decay).check()?;
            self.inner.record(graph, gradients)?;
            for &(w, _) in gradients {
                let (ty, kind) = (graph.ty(w)?, StateKind::Average { of: w });
                let average = graph.state_of_kind(AVERAGE, ty, kind, Init::Zeros);
                graph.average(Average { average, parameter: w, decay: self.decay })?;
            }
            Ok(())
        })
    }
}
