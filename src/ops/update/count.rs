use super::{SHADER, UpdateParams};
use crate::graph::Scalar;
use crate::ops::common::*;

/// The number of the update, from 1.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct UpdateCount;

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

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        Some(Box::new(|cx| cx.results[0][0] = (cx.scalar(Scalar::UPDATES) + 1.0) as f32))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        // Counts past 2^24 are rounded.
        vec![relative_bound(&results[0], 1.0)]
    }
}
