//! Operators that move elements: reshape, transpose, broadcast, slice, pad, concat. They take
//! either dtype. Shader: `layout.wgsl`.

use super::strided::Nest;
use super::{Backward, FLUSH, Gradient, Lowering, Op, OperatorInfo, Reference, word};
use crate::cpu::{Array, Indexer};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::shape::{Shape, TensorType};

pub(super) static SHADER: Shader = Shader::new("layout", include_str!("../../shaders/layout.wgsl"));

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

pub(super) const OPERATORS: [OperatorInfo; 7] = [
    OperatorInfo::new("reshape", Gradient::Yes, "f32, u32"),
    OperatorInfo::new("stop_gradient", Gradient::Zero, "f32, u32"),
    OperatorInfo::new("transpose", Gradient::Yes, "f32, u32"),
    OperatorInfo::new("broadcast_to", Gradient::Yes, "f32, u32"),
    OperatorInfo::new("slice", Gradient::Yes, "f32, u32"),
    OperatorInfo::new("pad", Gradient::Yes, "f32, u32"),
    OperatorInfo::new("concat", Gradient::Yes, "f32, u32"),
];

/// A strided copy: `dims` elements from `x_at` under `from` to `y_at` under `to`.
struct Move {
    dims: Vec<usize>,
    from: Vec<usize>,
    to: Vec<usize>,
    x_at: usize,
    y_at: usize,
}

impl Move {
    fn call(&self, x: Slot) -> KernelCall {
        let nest = Nest::new(&self.dims, &[self.from.clone(), self.to.clone()]);
        let aligned = self.x_at.is_multiple_of(4) && self.y_at.is_multiple_of(4);
        let quads = nest.by_fours().filter(|_| aligned);
        let (entry, per, nest) = match quads {
            Some(quads) => ("move_quads", 4, quads),
            None => ("move_words", 1, nest),
        };
        let (d_lo, d_hi) = nest.dim_words();
        let (s_lo, s_hi) = nest.stride_words(0);
        let (t_lo, t_hi) = nest.stride_words(1);
        let (x_at, y_at) = (word(self.x_at / per), word(self.y_at / per));
        let n = word(nest.len());
        KernelCall::new(&SHADER, entry)
            .constant("RANK", nest.rank() as f64)
            .params(&MoveParams { d_lo, s_lo, t_lo, d_hi, s_hi, t_hi, x_at, y_at, n, unused: 0 })
            .binds([x, Slot::Output(0)])
            .grid(Grid::linear(nest.len(), 64))
    }
}

fn fill_call(output: TensorType, bits: u32) -> KernelCall {
    let n = output.numel();
    KernelCall::new(&SHADER, "fill")
        .params(&FillParams { n: word(n), word: bits })
        .binds([Slot::Output(0)])
        .grid(Grid::linear(n, 64))
}

/// The same elements under another shape, without a copy.
#[derive(Clone, Debug)]
struct Reshape(Shape);

/// The same elements, through which no gradient flows.
#[derive(Clone, Debug)]
struct StopGradient;

/// Axes in another order: output axis `k` is input axis `0[k]`.
#[derive(Clone, Debug)]
struct Transpose(Vec<usize>);

/// Stretches dimensions of 1.
#[derive(Clone, Debug)]
struct Broadcast(Shape);

/// Elements `start, start + step, ..` below `stop`, per axis.
#[derive(Clone, Debug)]
struct Slice(Vec<SliceRange>);

/// A region of one axis, as `start..stop` with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRange {
    /// First index.
    pub start: usize,
    /// One past the last index.
    pub stop: usize,
    /// Distance between indices, at least 1.
    pub step: usize,
}

impl From<std::ops::Range<usize>> for SliceRange {
    fn from(range: std::ops::Range<usize>) -> Self {
        SliceRange { start: range.start, stop: range.end, step: 1 }
    }
}

impl SliceRange {
    fn len(&self) -> usize {
        self.stop.saturating_sub(self.start).div_ceil(self.step.max(1))
    }
}

/// The inputs scattered over zeros (or another number): element `i` of an axis goes to
/// `before + i * step`. Padding, and the gradient of a slice.
#[derive(Clone, Debug)]
struct Pad {
    before: Vec<usize>,
    step: Vec<usize>,
    output: Shape,
    value: f32,
}

/// The inputs side by side along an axis.
#[derive(Clone, Debug)]
struct Concat(usize);

fn exact(results: &[Array]) -> Vec<Vec<f64>> {
    results.iter().map(|r| vec![FLUSH; r.data.len()]).collect()
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].numel() != self.0.numel() {
            return Err(Error::Reshape { from: inputs[0].shape, to: self.0 });
        }
        Ok(vec![TensorType { shape: self.0, ..inputs[0] }])
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let back = cx.graph.reshape(cx.grad(), cx.graph.shape(cx.inputs[0]));
        Some(back.map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<()> {
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![Array::new(self.0, cx.inputs[0].data.clone())]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        exact(results)
    }
}

impl Op for StopGradient {
    fn name(&self) -> &'static str {
        "stop_gradient"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None]))
    }

    fn lower(&self, _: &mut Lowering<'_>) -> Result<()> {
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![cx.inputs[0].clone()]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        exact(results)
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn attributes(&self) -> String {
        format!("{:?}", self.0)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = inputs[0].shape;
        let mut seen = vec![false; shape.rank()];
        for &axis in &self.0 {
            if axis >= shape.rank() || std::mem::replace(&mut seen[axis], true) {
                return Err(Error::Axis { axis: axis as isize, shape });
            }
        }
        if self.0.len() != shape.rank() {
            return Err(Error::Rank { shape, expected: "as many as axes were named" });
        }
        let dims: Vec<_> = self.0.iter().map(|&axis| shape.dims()[axis]).collect();
        Ok(vec![TensorType { shape: Shape::new(&dims)?, ..inputs[0] }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let mut inverse = vec![0; self.0.len()];
        self.0.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
        Some(cx.graph.apply1(Transpose(inverse), &[cx.grad()]).map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let strides = cx.inputs[0].shape.strides();
        let output = cx.outputs[0].shape;
        let from = self.0.iter().map(|&axis| strides[axis]).collect();
        let (dims, to) = (output.dims().to_vec(), output.strides());
        cx.call(Move { dims, from, to, x_at: 0, y_at: 0 }.call(Slot::Input(0)));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let strides = x.shape.strides();
        let from = self.0.iter().map(|&axis| strides[axis]).collect();
        let at = Indexer::new(cx.outputs[0].shape, from);
        vec![Array::from_fn(cx.outputs[0].shape, |i| x.data[at.offset(i)])]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        exact(results)
    }
}

impl Op for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast_to"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = inputs[0].shape;
        if shape.broadcast(self.0)? != self.0 {
            return Err(Error::Broadcast { left: shape, right: self.0 });
        }
        Ok(vec![TensorType { shape: self.0, ..inputs[0] }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let back = cx.graph.sum_to(cx.grad(), cx.graph.shape(cx.inputs[0]));
        Some(back.map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let from = cx.inputs[0].shape.broadcast_strides(self.0);
        let (dims, to) = (self.0.dims().to_vec(), self.0.strides());
        cx.call(Move { dims, from, to, x_at: 0, y_at: 0 }.call(Slot::Input(0)));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let at = Indexer::new(self.0, x.shape.broadcast_strides(self.0));
        vec![Array::from_fn(self.0, |i| x.data[at.offset(i)])]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        exact(results)
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn attributes(&self) -> String {
        let range = |r: &SliceRange| {
            if r.step == 1 {
                format!("{}..{}", r.start, r.stop)
            } else {
                format!("{}..{}:{}", r.start, r.stop, r.step)
            }
        };
        self.0.iter().map(range).collect::<Vec<_>>().join(", ")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = inputs[0].shape;
        if self.0.len() != shape.rank() {
            return Err(Error::Rank { shape, expected: "one range per axis" });
        }
        for (range, &dim) in self.0.iter().zip(shape.dims()) {
            if range.step == 0 || range.start >= range.stop || range.stop > dim {
                let value = format!("{range:?} of an axis of {dim}");
                return Err(Error::Argument {
                    argument: "range",
                    value,
                    expected: "start < stop <= axis, step >= 1",
                });
            }
        }
        let dims: Vec<_> = self.0.iter().map(SliceRange::len).collect();
        Ok(vec![TensorType { shape: Shape::new(&dims)?, ..inputs[0] }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let pad = Pad {
            before: self.0.iter().map(|r| r.start).collect(),
            step: self.0.iter().map(|r| r.step).collect(),
            output: cx.graph.shape(cx.inputs[0]),
            value: 0.0,
        };
        Some(cx.graph.apply1(pad, &[cx.grad()]).map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (x_at, from) = self.source(cx.inputs[0].shape);
        let output = cx.outputs[0].shape;
        let (dims, to) = (output.dims().to_vec(), output.strides());
        cx.call(Move { dims, from, to, x_at, y_at: 0 }.call(Slot::Input(0)));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let (start, strides) = self.source(x.shape);
        let at = Indexer::new(cx.outputs[0].shape, strides);
        vec![Array::from_fn(cx.outputs[0].shape, |i| x.data[start + at.offset(i)])]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        exact(results)
    }
}

impl Slice {
    /// The first element and the strides in the source.
    fn source(&self, shape: Shape) -> (usize, Vec<usize>) {
        let strides = shape.strides();
        let start = self.0.iter().zip(&strides).map(|(r, s)| r.start * s).sum();
        (start, self.0.iter().zip(&strides).map(|(r, s)| r.step * s).collect())
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn attributes(&self) -> String {
        let mut text = format!("before {:?}", self.before);
        if self.step.iter().any(|&s| s != 1) {
            text += &format!(", step {:?}", self.step);
        }
        if self.value != 0.0 {
            text += &format!(", value {}", self.value);
        }
        text
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType { shape: self.output, ..inputs[0] }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let input = cx.graph.shape(cx.inputs[0]);
        let axes = self.before.iter().zip(&self.step).zip(input.dims());
        let range = |((&start, &step), &dim): ((&usize, &usize), &usize)| SliceRange {
            start,
            stop: start + (dim - 1) * step + 1,
            step,
        };
        Some(cx.graph.apply1(Slice(axes.map(range).collect()), &[cx.grad()]).map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let bits = match cx.outputs[0].dtype {
            crate::DType::F32 => self.value.to_bits(),
            crate::DType::U32 => self.value as u32,
        };
        cx.call(fill_call(cx.outputs[0], bits));
        let (y_at, to) = self.target();
        let input = cx.inputs[0].shape;
        let (dims, from) = (input.dims().to_vec(), input.strides());
        cx.call(Move { dims, from, to, x_at: 0, y_at }.call(Slot::Input(0)));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let mut y = Array::full(self.output, f64::from(self.value));
        let (start, strides) = self.target();
        let at = Indexer::new(x.shape, strides);
        x.data.iter().enumerate().for_each(|(i, &v)| y.data[start + at.offset(i)] = v);
        vec![y]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        exact(results)
    }
}

impl Pad {
    /// The first element and the strides in the destination.
    fn target(&self) -> (usize, Vec<usize>) {
        let strides = self.output.strides();
        let start = self.before.iter().zip(&strides).map(|(b, s)| b * s).sum();
        (start, self.step.iter().zip(&strides).map(|(step, s)| step * s).collect())
    }
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.0)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let Some((&first, rest)) = inputs.split_first() else {
            let value = "none".to_owned();
            return Err(Error::Argument { argument: "values", value, expected: "at least one is needed" });
        };
        let axis = self.0;
        let mut total = first.shape.dims()[axis];
        for input in rest {
            super::expect_dtype("an operand", *input, first.dtype)?;
            let same_rank = input.shape.rank() == first.shape.rank();
            if !same_rank || input.shape.with_dim(axis, 1) != first.shape.with_dim(axis, 1) {
                let what = "concat needs equal shapes outside its axis";
                return Err(Error::shape_mismatch(what, first.shape, input.shape));
            }
            total += input.shape.dims()[axis];
        }
        Ok(vec![TensorType { shape: first.shape.with_dim(axis, total), ..first }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (graph, axis, dy) = (cx.graph, self.0, cx.grad());
        let mut start = 0;
        let part = |(&input, &needed): (&Value, &bool)| {
            let stop = start + graph.shape(input).dims()[axis];
            let range = start..stop;
            start = stop;
            needed.then(|| graph.slice_axis(dy, axis as isize, range)).transpose()
        };
        Some(cx.inputs.iter().zip(cx.needs).map(part).collect())
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let to = cx.outputs[0].shape.strides();
        let mut y_at = 0;
        for (index, input) in cx.inputs.iter().enumerate() {
            let (dims, from) = (input.shape.dims().to_vec(), input.shape.strides());
            let call = Move { dims, from, to: to.clone(), x_at: 0, y_at }.call(Slot::Input(index));
            cx.calls.push(call);
            y_at += input.shape.dims()[self.0] * to[self.0];
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let mut y = Array::full(cx.outputs[0].shape, 0.0);
        let strides = y.shape.strides();
        let mut start = 0;
        for x in &cx.inputs {
            let at = Indexer::new(x.shape, strides.clone());
            x.data.iter().enumerate().for_each(|(i, &v)| y.data[start + at.offset(i)] = v);
            start += x.shape.dims()[self.0] * strides[self.0];
        }
        vec![y]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        exact(results)
    }
}

impl Graph {
    /// The same elements under another shape of as many; no copy is made.
    ///
    /// # Errors
    /// [`Error::Reshape`] with both shapes.
    #[track_caller]
    pub fn reshape(&self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        self.apply1(Reshape(shape.into()), &[x])
    }

    /// All dimensions but the first merged: `[batch, ..]` to `[batch, features]`.
    #[track_caller]
    pub fn flatten(&self, x: Value) -> Result<Value> {
        let shape = self.operand_shape("flatten", x)?;
        let batch = shape.dims().first().copied().unwrap_or(1);
        self.apply1(Reshape(Shape::from([batch, shape.numel() / batch.max(1)])), &[x])
    }

    /// The same value, treated as a constant by differentiation.
    #[track_caller]
    pub fn stop_gradient(&self, x: Value) -> Result<Value> {
        self.apply1(StopGradient, &[x])
    }

    /// Axes in another order: axis `k` of the result is axis `axes[k]` of `x`.
    #[track_caller]
    pub fn transpose(&self, x: Value, axes: &[usize]) -> Result<Value> {
        self.apply1(Transpose(axes.to_vec()), &[x])
    }

    /// `x` stretched to `shape` by NumPy's broadcasting rule.
    #[track_caller]
    pub fn broadcast_to(&self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        let shape = shape.into();
        if self.operand_shape("broadcast_to", x)? == shape {
            return Ok(x);
        }
        self.apply1(Broadcast(shape), &[x])
    }

    /// The elements whose index along each axis lies in its range.
    #[track_caller]
    pub fn slice(&self, x: Value, ranges: &[SliceRange]) -> Result<Value> {
        self.apply1(Slice(ranges.to_vec()), &[x])
    }

    /// The elements whose index along `axis` lies in `range`.
    #[track_caller]
    pub fn slice_axis(&self, x: Value, axis: isize, range: impl Into<SliceRange>) -> Result<Value> {
        let shape = self.operand_shape("slice", x)?;
        let axis = self.located("slice", shape.axis(axis))?;
        let mut ranges: Vec<SliceRange> = shape.dims().iter().map(|&dim| (0..dim).into()).collect();
        ranges[axis] = range.into();
        self.apply1(Slice(ranges), &[x])
    }

    /// `x` surrounded by `value`: `padding[k]` elements before and after along axis `k`.
    ///
    /// # Errors
    /// [`Error::Rank`] unless there is one pair per axis.
    #[track_caller]
    pub fn pad(&self, x: Value, padding: &[(usize, usize)], value: f32) -> Result<Value> {
        let shape = self.operand_shape("pad", x)?;
        if padding.len() != shape.rank() {
            let error = Error::Rank { shape, expected: "one (before, after) pair per axis" };
            return self.located("pad", Err(error));
        }
        let padded = shape.dims().iter().zip(padding).map(|(&dim, (before, after))| before + dim + after);
        let output = Shape::new(&padded.collect::<Vec<_>>())?;
        let (before, step) = (padding.iter().map(|p| p.0).collect(), vec![1; shape.rank()]);
        self.apply1(Pad { before, step, output, value }, &[x])
    }

    /// The values side by side along `axis`; the other dimensions must agree.
    #[track_caller]
    pub fn concat(&self, values: &[Value], axis: isize) -> Result<Value> {
        let axis = match values.first() {
            Some(&first) => self.operand_axis("concat", first, axis)?,
            None => 0,
        };
        self.apply1(Concat(axis), values)
    }
}
