//! Batch normalisation that moves its running statistics in the same kernels.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use super::forward::{Form, Normalize, Running, RunningStats};
use crate::ops::common::*;
use crate::ops::merged::Kernels;

/// Inputs are those of the normalisation, then the running mean and variance; outputs those of the
/// normalisation.
#[derive(Clone, Copy, Debug)]
struct NormTracked {
    form: Form,
    stats: RunningStats,
    /// The inputs of the normalisation.
    inputs: usize,
}

/// The kernels of a normalisation with `inputs` inputs and of the update of its running statistics.
pub(crate) fn joint_norm(norm: &dyn Op, inputs: usize, stats: &dyn Op) -> Option<Arc<dyn Kernels>> {
    let (norm, stats): (&dyn Any, &dyn Any) = (norm, stats);
    let (&Normalize(form), &stats) = (norm.downcast_ref()?, stats.downcast_ref()?);
    Some(Arc::new(NormTracked { form, stats, inputs }))
}

impl Kernels for NormTracked {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<bool> {
        let &NormTracked { form, stats, inputs } = self;
        let [run] = cx.runs() else { return Ok(false) };
        let variances = cx.inputs[inputs].numel().next_multiple_of(run.alignment);
        let (momentum, unbiased) = (stats.momentum, stats.unbiased_momentum());
        form.lower(cx, Some(Running { slot: run.slots[0], variances, momentum, unbiased }))?;
        Ok(true)
    }

    fn packs(&self) -> Vec<Range<usize>> {
        std::iter::once(self.inputs..self.inputs + 2).collect()
    }

    fn finishes(&self) -> bool {
        true
    }
}
