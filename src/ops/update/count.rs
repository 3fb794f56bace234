use super::{SHADER, UpdateParams};
use crate::graph::Scalar;
use crate::ops::common::*;

/// The number of the update, from 1.
#[derive(Clone, Copy, Debug)]
struct UpdateCount;

impl Op for UpdateCount {
    fn name(&self) -> &'static str {
        "update_count"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::f32([])])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = KernelCall::new(&SHADER, "update_count")
            .params(&UpdateParams { n: 1, ..UpdateParams::default() })
            .scalar("updates", Scalar::UPDATES)
            .bind(Slot::Output(0));
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![Array::full([], cx.scalar(Scalar::UPDATES) + 1.0)]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        // Counts past 2^24 are rounded.
        vec![relative_bound(&results[0], 1.0)]
    }
}

/// # The number of the update
impl Graph {
    /// The number of the update being computed, from 1 (the `t` of an optimiser's formula), as an f32
    /// value of shape `[]`: [`Scalar::UPDATES`] and one. f32 counts to 2^24 = 16,777,216 without rounding.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let g = Graph::new();
    /// let t = g.update_count()?;
    /// let mut session = g.forward([t])?.session(&Device::cpu())?;
    /// session.replay_n(3)?;
    /// assert_eq!(session.read_scalar(t)?, 3.0);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// None: it has no operands that could be wrong.
    #[track_caller]
    pub fn update_count(&self) -> Result<Value> {
        self.apply1(UpdateCount, &[])
    }
}
