//! Operators that move elements: reshape, transpose, broadcast, slice, pad, concat. They take
//! any dtype. Shader: `layout.wgsl`.

mod simpler;
mod slice;

use std::any::Any;

pub(crate) use simpler::{Simpler, simpler};
pub use slice::SliceRange;
pub(super) use slice::{Concat, Pad};
pub(crate) use slice::{scatters_equally, spread_of};

use super::common::*;
use super::strided::Nest;
use crate::array::spread_elements;
use crate::graph::Scalar;

pub(super) static SHADER: Shader =
    built_in!("layout", "../../../shaders/layout.wgsl", "../../../shaders/finish.wgsl");

crate::params! {
    struct MoveParams {
        d_lo: [u32; 4], s_lo: [u32; 4], t_lo: [u32; 4],
        d_hi: [u32; 2], s_hi: [u32; 2], t_hi: [u32; 2],
        x_at: u32, y_at: u32, n: u32, unused: u32,
    }
}

crate::params! {
    struct FillParams { n: u32, word: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("reshape", Gradient::Yes, "f32, f16, u32"),
        OperatorInfo::new("stop_gradient", Gradient::Zero, "f32, f16, u32"),
        OperatorInfo::new("scalar", Gradient::Zero, "f32"),
        OperatorInfo::new("copy", Gradient::Yes, "f32, f16, u32"),
        OperatorInfo::new("cast", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("transpose", Gradient::Yes, "f32, f16, u32"),
        OperatorInfo::new("broadcast_to", Gradient::Yes, "f32, f16, u32"),
        OperatorInfo::new("slice", Gradient::Yes, "f32, f16, u32"),
        OperatorInfo::new("pad", Gradient::Yes, "f32, f16, u32"),
        OperatorInfo::new("concat", Gradient::Yes, "f32, f16, u32"),
    ],
    shaders: &[&SHADER],
};

/// Where the elements that one goes through begin, and their strides.
type Strided = (usize, Vec<usize>);

/// The elements `start`, `start + step`, .. along each axis of a shape.
fn strided(axes: impl Iterator<Item = (usize, usize)>, shape: Shape) -> Strided {
    let of_axis = |((start, step), stride): ((usize, usize), usize)| (start * stride, step * stride);
    let (starts, strides): (Vec<usize>, Vec<usize>) = axes.zip(shape.strides()).map(of_axis).unzip();
    (starts.iter().sum(), strides)
}

/// A copy of as many elements as a shape has.
fn move_call(x: Slot, shape: Shape, (x_at, from): Strided, (y_at, to): Strided) -> KernelCall {
    let nest = Nest::new(shape.dims(), &[from, to]);
    let aligned = x_at.is_multiple_of(4) && y_at.is_multiple_of(4);
    let (entry, per, nest) = match nest.by_fours().filter(|_| aligned) {
        Some(quads) => ("move_quads", 4, quads),
        None => ("move_words", 1, nest),
    };
    let (d_lo, d_hi) = nest.dim_words();
    let (s_lo, s_hi) = nest.stride_words(0);
    let (t_lo, t_hi) = nest.stride_words(1);
    let [x_at, y_at, n] = [x_at / per, y_at / per, nest.len()].map(word);
    KernelCall::new(&SHADER, entry)
        .constant("RANK", nest.rank() as f64)
        .params(&MoveParams { d_lo, s_lo, t_lo, d_hi, s_hi, t_hi, x_at, y_at, n, unused: 0 })
        .binds([x, Slot::Output(0)])
        .bytes(8 * shape.numel() as u64)
        .grid(Grid::linear(nest.len(), 64))
}

fn fill_call(output: TensorType, bits: u32) -> KernelCall {
    let n = output.numel();
    KernelCall::new(&SHADER, "fill")
        .params(&FillParams { n: word(n), word: bits })
        .binds([Slot::Output(0)])
        .grid(Grid::linear(n, 64))
}

/// The same elements in their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Same {
    /// Under another shape, without a copy.
    Reshape(Shape),
    /// Through which no gradient flows, without a copy.
    StopGradient,
    /// In a buffer of their own.
    Copy,
    /// In another precision.
    Cast(DType),
}

/// The current value of a per-step scalar.
#[derive(Clone, Debug)]
pub(super) struct ReadScalar(pub Scalar);

/// Elements of the operand by their place in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read {
    /// Axes in another order: axis `k` is the operand's axis `0[k]`.
    Transpose(Vec<usize>),
    /// Dimensions of 1 stretched.
    Broadcast(Shape),
    /// Elements `start, start + step, ..` below `stop`, per axis.
    Slice(Vec<SliceRange>),
}

impl Op for Same {
    fn name(&self) -> &'static str {
        match self {
            Same::Reshape(_) => "reshape",
            Same::StopGradient => "stop_gradient",
            Same::Copy => "copy",
            Same::Cast(_) => "cast",
        }
    }

    fn attributes(&self) -> String {
        if let Same::Cast(dtype) = self { dtype.to_string() } else { String::new() }
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        match *self {
            Same::Reshape(to) if inputs[0].numel() != to.numel() => {
                Err(Error::Reshape { from: inputs[0].shape, to })
            }
            Same::Reshape(to) => Ok(vec![TensorType { shape: to, ..inputs[0] }]),
            Same::Cast(dtype) => {
                expect_float("the operand", inputs[0])?;
                Ok(vec![TensorType { dtype, ..inputs[0] }])
            }
            Same::StopGradient | Same::Copy => Ok(vec![inputs[0]]),
        }
    }

    fn is_view(&self) -> bool {
        !matches!(self, Same::Copy | Same::Cast(_))
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        match self {
            Same::Reshape(_) => cx.first(cx.graph.reshape(cx.grad(), cx.graph.shape_of(cx.inputs[0]))),
            Same::StopGradient => Some(Ok(vec![None])),
            Same::Copy => cx.first(Ok(cx.grad())),
            Same::Cast(_) => cx.first(cx.graph.cast(cx.grad(), cx.graph.type_of(cx.inputs[0]).dtype)),
        }
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        if !self.is_view() {
            let shape = cx.inputs[0].shape;
            cx.call(move_call(Slot::Input(0), shape, (0, shape.strides()), (0, shape.strides())));
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![Array::new(cx.outputs[0].shape, cx.inputs[0].data.clone())]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        Some(Box::new(|cx| cx.results[0].copy_from_slice(cx.inputs.f32(0))))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(FLUSH, results)
    }
}

impl Op for ReadScalar {
    fn name(&self) -> &'static str {
        "scalar"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::f32([])])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        cx.only(fill_call(cx.outputs[0], 0).scalar("word", self.0))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![Array::full([], cx.scalar(self.0))]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let scalar = self.0;
        Some(Box::new(move |cx| cx.results[0][0] = cx.scalar(scalar) as f32))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        // Rounding to f32.
        vec![relative_bound(&results[0], 1.0)]
    }
}

impl Read {
    /// The elements of an operand of this shape that are read.
    fn source(&self, x: Shape) -> Strided {
        match self {
            Read::Transpose(axes) => {
                let strides = x.strides();
                (0, axes.iter().map(|&axis| strides[axis]).collect())
            }
            Read::Broadcast(shape) => (0, x.broadcast_strides(*shape)),
            Read::Slice(ranges) => strided(ranges.iter().map(|r| (r.start, r.step)), x),
        }
    }
}

impl Op for Read {
    fn name(&self) -> &'static str {
        match self {
            Read::Transpose(_) => "transpose",
            Read::Broadcast(_) => "broadcast_to",
            Read::Slice(_) => "slice",
        }
    }

    fn attributes(&self) -> String {
        match self {
            Read::Transpose(axes) => format!("{axes:?}"),
            Read::Broadcast(_) => String::new(),
            Read::Slice(ranges) => ranges.iter().map(SliceRange::text).collect::<Vec<_>>().join(", "),
        }
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let found = inputs[0].shape;
        let shape = match self {
            Read::Transpose(axes) => transposed(found, axes)?,
            Read::Broadcast(shape) if found.broadcast(*shape)? == *shape => *shape,
            Read::Broadcast(shape) => return Err(Error::Broadcast { left: found, right: *shape }),
            Read::Slice(ranges) => slice::sliced(found, ranges)?,
        };
        Ok(vec![TensorType { shape, ..inputs[0] }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (dy, shape) = (cx.grad(), cx.graph.shape_of(cx.inputs[0]));
        cx.first(match self {
            Read::Transpose(axes) => {
                let mut inverse = vec![0; axes.len()];
                axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
                cx.graph.apply1(Read::Transpose(inverse), &[dy])
            }
            Read::Broadcast(_) => cx.graph.sum_to(dy, shape),
            Read::Slice(ranges) => cx.graph.apply1(slice::Pad::back(ranges, shape), &[dy]),
        })
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let output = cx.outputs[0].shape;
        let from = self.source(cx.inputs[0].shape);
        cx.only(move_call(Slot::Input(0), output, from, (0, output.strides())))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, output) = (cx.inputs[0], cx.outputs[0].shape);
        let (start, strides) = self.source(x.shape);
        let at = Indexer::new(output, strides);
        vec![Array::from_fn(output, |i| x.data[start + at.offset(i)])]
    }

    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        let (start, strides) = self.source(inputs[0].shape);
        let nest = Nest::new(outputs[0].shape.dims(), &[strides]);
        Some(Box::new(move |cx| {
            let x = &cx.inputs.f32(0)[start..];
            spread_elements([&mut cx.results[0]], &|range, [y]| nest.gather(0, range.start, x, y));
        }))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(FLUSH, results)
    }
}

/// Whether an operator stretches dimensions or changes the precision, and does nothing else.
pub(super) fn stretches(op: &dyn Any) -> bool {
    matches!(op.downcast_ref(), Some(Read::Broadcast(_))) || matches!(op.downcast_ref(), Some(Same::Cast(_)))
}

/// Whether two operators are the same way of moving elements.
pub(super) fn moves_equally(one: &dyn Any, other: &dyn Any) -> bool {
    let same = one.downcast_ref::<Same>().is_some_and(|one| other.downcast_ref() == Some(one));
    same || one.downcast_ref::<Read>().is_some_and(|one| other.downcast_ref() == Some(one))
}

/// The per-step scalar that an operator reads, if that is what it does.
pub(crate) fn scalar_read(op: &dyn Op) -> Option<Scalar> {
    let op: &dyn Any = op;
    op.downcast_ref::<ReadScalar>().map(|read| read.0)
}

/// The shape with its axes in another order.
fn transposed(shape: Shape, axes: &[usize]) -> Result<Shape> {
    let mut seen = vec![false; shape.rank()];
    for &axis in axes {
        if axis >= shape.rank() || std::mem::replace(&mut seen[axis], true) {
            return Err(Error::Axis { axis: axis as isize, shape });
        }
    }
    expect_rank(shape, axes.len() == shape.rank(), "as many as axes were named")?;
    Shape::new(&axes.iter().map(|&axis| shape.dims()[axis]).collect::<Vec<_>>())
}
