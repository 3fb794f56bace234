//! The cross-entropy of rows with its gradient, its mean or both in one kernel.

use std::any::Any;
use std::sync::Arc;

use super::{CrossEntropyGrad, CrossEntropyRows, RowParams, SHADER, rows_of};
use crate::ops::common::*;
use crate::ops::merged::Kernels;
use crate::ops::reduce::whole_sum;

/// Elements up to which one workgroup does everything, so that the sum of all losses needs no other.
const FEW: usize = 4096;

/// Inputs are the logits, the targets and, with the gradient, `dy`; outputs the rows' losses, the gradient
/// and the losses' sum times a factor, as far as they are wanted.
#[derive(Clone, Copy, Debug)]
struct LossTogether {
    grad: bool,
    scale: Option<f32>,
}

/// The kernel of `rows`, if it is a cross-entropy of rows, with those of `others` that go together with it:
/// the gradient at the same operands, and the sum or mean of all rows. `inputs` are the types of its
/// operands.
pub(crate) fn joint_loss(
    rows: &dyn Op,
    inputs: &[TensorType],
    others: [Option<&dyn Op>; 2],
) -> Option<([bool; 2], Arc<dyn Kernels>)> {
    let rows: &dyn Any = rows;
    rows.downcast_ref::<CrossEntropyRows>()?;
    let [grad, sum] = others;
    let grad = grad.is_some_and(|op: &dyn Op| {
        let op: &dyn Any = op;
        op.is::<CrossEntropyGrad>()
    });
    let rows = rows_of(inputs[0].shape);
    let scale = sum.and_then(|op| whole_sum(op, rows.n)).filter(|_| inputs[0].numel() <= FEW);
    (grad || scale.is_some())
        .then(|| ([grad, scale.is_some()], Arc::new(LossTogether { grad, scale }) as Arc<dyn Kernels>))
}

impl Kernels for LossTogether {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<bool> {
        let rows = rows_of(cx.inputs[0].shape);
        let (n, classes) = (word(rows.n), word(rows.axis));
        let params = RowParams { n, classes, scale: self.scale.unwrap_or(1.0) };
        let labels = cx.inputs[1].dtype == DType::U32;
        let call = match (self.scale.is_some(), self.grad) {
            (false, _) => {
                let entries =
                    [["soft_both_lanes", "soft_both_tree"], ["labels_both_lanes", "labels_both_tree"]];
                let call = rows.call(cx.profile, &SHADER, entries[usize::from(labels)]);
                // Up to five times over a row in the place of three.
                let loops = 2 * call.loops as usize;
                call.loops(loops)
            }
            (true, grad) => {
                let entries = [["soft_whole", "soft_both_whole"], ["labels_whole", "labels_both_whole"]];
                let loops = rows.n.div_ceil(256) * 5 * (rows.axis + rows.axis.div_ceil(64) + 1) + 8;
                KernelCall::new(&SHADER, entries[usize::from(labels)][usize::from(grad)]).loops(loops)
            }
        };
        let call = call.params(&params).binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)]);
        let grad = [Slot::Input(2), Slot::Output(1)].into_iter().filter(|_| self.grad);
        let sum = self.scale.map(|_| Slot::Output(1 + usize::from(self.grad)));
        cx.call(call.binds(grad).binds(sum));
        Ok(true)
    }
}
