//! A cross-entropy with its gradient, its mean or both in one kernel.

use std::any::Any;
use std::sync::Arc;

use super::{BinaryElements, BinaryGrad, CrossEntropyGrad, CrossEntropyRows, RowParams, SHADER, rows_of};
use crate::ops::common::*;
use crate::ops::merged::Kernels;
use crate::ops::reduce::whole_sum;

/// Elements up to which one workgroup does everything, so that the sum of all losses needs no other.
const FEW: usize = 4096;

/// Inputs are the logits, the targets and, with the gradient, `dy`; outputs the losses, the gradient and the
/// losses' sum times a factor, as far as they are wanted.
#[derive(Clone, Copy, Debug)]
struct LossTogether {
    /// Whether each element has a loss, not each row.
    binary: bool,
    grad: bool,
    scale: Option<f32>,
}

/// The kernel of `losses`, if that is a cross-entropy, and which of two others it does too: the gradient at the
/// same operands, and the sum or mean of all losses, which are summed up under a shape of their own. `inputs` are
/// the types of its operands.
pub(crate) fn joint_loss(
    losses: &dyn Op,
    inputs: &[TensorType],
    grad: Option<&dyn Op>,
    sum: Option<(&dyn Op, Shape)>,
) -> Option<([bool; 2], Arc<dyn Kernels>)> {
    let losses: &dyn Any = losses;
    let binary = losses.is::<BinaryElements>();
    if !binary && !losses.is::<CrossEntropyRows>() {
        return None;
    }
    let grad = grad.is_some_and(|op: &dyn Op| {
        let op: &dyn Any = op;
        if binary { op.is::<BinaryGrad>() } else { op.is::<CrossEntropyGrad>() }
    });
    let elements = inputs[0].numel();
    let scale = sum.and_then(|(op, shape)| whole_sum(op, shape)).filter(|_| elements <= FEW);
    let wanted = if binary { scale.is_some() } else { grad || scale.is_some() };
    let kernels = || Arc::new(LossTogether { binary, grad, scale }) as Arc<dyn Kernels>;
    wanted.then(|| ([grad, scale.is_some()], kernels()))
}

impl LossTogether {
    /// The call for elements, without what is bound.
    fn of_elements(&self, n: usize) -> KernelCall {
        let entry = if self.grad { "binary_both_whole" } else { "binary_whole" };
        let params = RowParams { n: word(n), classes: 1, scale: self.scale.unwrap_or(1.0) };
        KernelCall::new(&SHADER, entry).params(&params).loops(2 * n.div_ceil(4 * 256) + 8)
    }

    /// The call for rows, without what is bound.
    fn of_rows(&self, cx: &Lowering<'_>) -> KernelCall {
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
        call.params(&params)
    }
}

impl Kernels for LossTogether {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<bool> {
        let call = if self.binary { self.of_elements(cx.inputs[0].numel()) } else { self.of_rows(cx) };
        let call = call.binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)]);
        let grad = [Slot::Input(2), Slot::Output(1)].into_iter().filter(|_| self.grad);
        let sum = self.scale.map(|_| Slot::Output(1 + usize::from(self.grad)));
        cx.call(call.binds(grad).binds(sum));
        Ok(true)
    }
}
