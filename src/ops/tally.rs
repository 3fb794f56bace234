//! Values that are put side by side and added to running sums, in one kernel. Shader: `tally.wgsl`.

use std::any::Any;
use std::sync::Arc;

use super::common::*;
use super::layout::Concat;
use super::merged::Kernels;
use super::update::{Accumulate, Update};

pub(super) static SHADER: Shader =
    built_in!("tally", "../../shaders/tally.wgsl", "../../shaders/two_sum.wgsl");

crate::params! {
    struct TallyParams { n: u32, unused_0: u32, unused_1: u32, unused_2: u32, ends: [u32; 4] }
}

pub(super) static FAMILY: Family = Family { operators: &[], shaders: &[&SHADER] };

/// The most values that a kernel puts side by side, and how many elements they have at most together.
const PARTS: usize = 5;
const ELEMENTS: usize = 4096;

/// Inputs are the values, then a total and its carry; the output is all values side by side.
#[derive(Clone, Copy, Debug)]
struct Tally {
    parts: usize,
}

/// The kernel of a concatenation of distinct operands of these types and of an addition of the result to a running
/// sum of neither of them.
pub(crate) fn joint_tally(
    concat: &dyn Op,
    inputs: &[TensorType],
    accumulate: &dyn Op,
) -> Option<Arc<dyn Kernels>> {
    let (concat, accumulate): (&dyn Any, &dyn Any) = (concat, accumulate);
    let parts = inputs.len();
    let is_row = concat.is::<Concat>() && inputs.iter().all(|input| input.shape.rank() == 1);
    let elements: usize = inputs.iter().map(|input| input.numel()).sum();
    let fits = is_row && parts <= PARTS && elements <= ELEMENTS && accumulate.is::<Update<Accumulate>>();
    fits.then(|| Arc::new(Tally { parts }) as Arc<dyn Kernels>)
}

impl Kernels for Tally {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<bool> {
        let (n, parts) = (cx.outputs[0].numel(), &cx.inputs[..self.parts]);
        let mut ends = [word(n); 4];
        let mut end = 0;
        for (part, to) in parts.iter().zip(&mut ends) {
            end += part.numel();
            *to = word(end);
        }
        let bound = |part: usize| Slot::Input(if part < self.parts { part } else { 0 });
        let call = KernelCall::new(&SHADER, "tally")
            .params(&TallyParams { n: word(n), unused_0: 0, unused_1: 0, unused_2: 0, ends })
            .binds((0..PARTS).map(bound))
            .binds([self.parts, self.parts + 1].map(Slot::Input))
            .bind(Slot::Output(0))
            .grid(Grid::linear(n, 64));
        cx.call(call);
        Ok(true)
    }
}
