//! Elementwise choice between two operands. Shader: `select.wgsl`.

use super::chain::pointwise;
use super::common::*;
use super::strided::Nest;

pub(super) static SHADER: Shader = built_in!("select", "../../shaders/select.wgsl");

crate::params! {
    #[derive(Default)]
    struct SelectParams {
        d_lo: [u32; 4], c_lo: [u32; 4], a_lo: [u32; 4], b_lo: [u32; 4],
        d_hi: [u32; 2], c_hi: [u32; 2], a_hi: [u32; 2], b_hi: [u32; 2],
        n: u32, unused_0: u32, unused_1: u32, unused_2: u32,
    }
}

pub(super) static FAMILY: Family =
    Family { operators: &[OperatorInfo::new("select", Gradient::Yes, "f32, f16, u32")], shaders: &[&SHADER] };

/// `a` where the condition is not zero, else `b`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Select;

fn output(inputs: &[TensorType]) -> Result<Shape> {
    inputs[0].shape.broadcast(inputs[1].shape)?.broadcast(inputs[2].shape)
}

impl Op for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_float("the condition", inputs[0])?;
        let [one, other] = [inputs[1], inputs[2]];
        let dtype = if one.dtype.is_float() && other.dtype.is_float() {
            common_float([("the first choice", one), ("the second choice", other)])?
        } else {
            expect_dtype("the second choice", other, one.dtype)?;
            one.dtype
        };
        Ok(vec![TensorType { shape: output(inputs)?, dtype }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(self.gradients(cx))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.outputs[0].shape;
        let mut with_output: Vec<_> = cx.inputs.iter().map(|t| t.shape.broadcast_strides(shape)).collect();
        with_output.push(shape.strides());
        let nest = Nest::new(shape.dims(), &with_output);
        let (d_lo, d_hi) = nest.dim_words();
        let (c_lo, c_hi) = nest.stride_words(0);
        let (a_lo, a_hi) = nest.stride_words(1);
        let (b_lo, b_hi) = nest.stride_words(2);
        let n = word(nest.len());
        let unused = SelectParams::default();
        let params = SelectParams { d_lo, c_lo, a_lo, b_lo, d_hi, c_hi, a_hi, b_hi, n, ..unused };
        let call = KernelCall::new(&SHADER, "main")
            .constant("RANK", nest.rank() as f64)
            .params(&params)
            .binds(cx.operands())
            .grid(Grid::linear(nest.len(), 64));
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let shape = cx.outputs[0].shape;
        let at: Vec<_> =
            cx.inputs.iter().map(|x| Indexer::new(shape, x.shape.broadcast_strides(shape))).collect();
        let read = |operand: usize, i: usize| cx.inputs[operand].data[at[operand].offset(i)];
        vec![Array::from_fn(shape, |i| if read(0, i) != 0.0 { read(1, i) } else { read(2, i) })]
    }

    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        pointwise(self, inputs, outputs)
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(FLUSH, results)
    }
}

impl Select {
    fn gradients(&self, cx: &Backward<'_>) -> Result<Vec<Option<Value>>> {
        let (g, dy, condition) = (cx.graph, cx.grad(), cx.inputs[0]);
        let zero = g.scalar_constant(0.0);
        let a = || g.sum_to(g.select(condition, dy, zero)?, g.shape_of(cx.inputs[1]));
        let b = || g.sum_to(g.select(condition, zero, dy)?, g.shape_of(cx.inputs[2]));
        Ok(vec![None, cx.needs[1].then(a).transpose()?, cx.needs[2].then(b).transpose()?])
    }
}
