//! Operators of the tests' own that read one buffer and write another in one kernel.

use retape::array::Array;
use retape::kernel::{Grid, KernelCall, Shader, Slot};
use retape::ops::{Lowering, Op, Reference};
use retape::{Result, TensorType};

static SHADER: Shader = Shader::new(
    "twice",
    "
    struct Params { n: u32 }
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    var<immediate> p: Params;

    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let i = linear_index(id, 64u);
        if i < p.n { y[i] = 2.0 * x[i]; }
    }
    ",
);

retape::params! {
    struct TwiceParams { n: u32 }
}

/// The kernel over `n` elements.
pub fn call(n: usize, slots: [Slot; 2]) -> KernelCall {
    let call = KernelCall::new(&SHADER, "main").params(&TwiceParams { n: n as u32 });
    call.binds(slots).grid(Grid::linear(n, 64))
}

/// `y = 2 x`.
#[derive(Debug)]
pub struct Twice;

impl Op for Twice {
    fn name(&self) -> &'static str {
        "twice"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        cx.call(call(cx.outputs[0].numel(), [Slot::Input(0), Slot::Output(0)]));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![cx.inputs[0].map(|x| 2.0 * x)]
    }
}

/// `state = 2 x`.
#[derive(Debug)]
pub struct SetTwice;

impl Op for SetTwice {
    fn name(&self) -> &'static str {
        "set_twice"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &[1]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        cx.call(call(cx.inputs[0].numel(), [Slot::Input(0), Slot::Input(1)]));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![cx.inputs[0].map(|x| 2.0 * x)]
    }
}
