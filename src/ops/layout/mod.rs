//! Operators that move elements: reshape, transpose, broadcast, slice, pad, concat. They take
//! either dtype. Shader: `layout.wgsl`.

mod slice;

pub use slice::SliceRange;

use super::common::*;
use super::strided::Nest;
use crate::graph::Scalar;

pub(super) static SHADER: Shader = built_in!("layout", "../../../shaders/layout.wgsl");

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
        OperatorInfo::new("reshape", Gradient::Yes, "f32, u32"),
        OperatorInfo::new("stop_gradient", Gradient::Zero, "f32, u32"),
        OperatorInfo::new("scalar", Gradient::Zero, "f32"),
        OperatorInfo::new("copy", Gradient::Yes, "f32, u32"),
        OperatorInfo::new("transpose", Gradient::Yes, "f32, u32"),
        OperatorInfo::new("broadcast_to", Gradient::Yes, "f32, u32"),
        OperatorInfo::new("slice", Gradient::Yes, "f32, u32"),
        OperatorInfo::new("pad", Gradient::Yes, "f32, u32"),
        OperatorInfo::new("concat", Gradient::Yes, "f32, u32"),
    ],
    shaders: &[&SHADER],
};

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

/// The current value of a per-step scalar.
#[derive(Clone, Debug)]
struct ReadScalar(Scalar);

/// The same elements in a buffer of their own.
#[derive(Clone, Debug)]
struct Copy;

/// Axes in another order: output axis `k` is input axis `0[k]`.
#[derive(Clone, Debug)]
struct Transpose(Vec<usize>);

/// Stretches dimensions of 1.
#[derive(Clone, Debug)]
struct Broadcast(Shape);

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
        let back = cx.graph.reshape(cx.grad(), cx.graph.shape_of(cx.inputs[0]));
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

impl Op for ReadScalar {
    fn name(&self) -> &'static str {
        "scalar"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::f32([])])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        cx.call(fill_call(cx.outputs[0], 0).scalar("word", self.0));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![Array::full([], cx.scalar(self.0))]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        // Rounding to f32.
        results.iter().map(|r| relative_bound(r, 1.0)).collect()
    }
}

impl Op for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![Some(cx.grad())]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.inputs[0].shape;
        let (dims, from, to) = (shape.dims().to_vec(), shape.strides(), shape.strides());
        cx.call(Move { dims, from, to, x_at: 0, y_at: 0 }.call(Slot::Input(0)));
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
        let back = cx.graph.sum_to(cx.grad(), cx.graph.shape_of(cx.inputs[0]));
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

/// # Layout
///
/// Elements under other indices, f32 or u32.
impl Graph {
    /// The elements of `x` in row-major order under another shape of as many; no copy is made.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [2, 3, 4]);
    /// let y = g.reshape(x, [6, 4])?;
    /// assert_eq!(g.shape(y)?, Shape::from([6, 4]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Reshape`] with both shapes.
    #[track_caller]
    pub fn reshape(&self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        self.apply1(Reshape(shape.into()), &[x])
    }

    /// All dimensions but the first merged: `[batch, ..]` to `[batch, features]`.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn flatten(&self, x: Value) -> Result<Value> {
        let shape = self.operand_shape("flatten", x)?;
        let batch = shape.dims().first().copied().unwrap_or(1);
        self.apply1(Reshape(Shape::from([batch, shape.numel() / batch.max(1)])), &[x])
    }

    /// The same value, treated as a constant by differentiation; no copy is made.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn stop_gradient(&self, x: Value) -> Result<Value> {
        self.apply1(StopGradient, &[x])
    }

    /// The same elements in a buffer of their own. What an in-place operator would do by itself
    /// needs no copy; one is useful to keep what a parameter was when the step began.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn copy(&self, x: Value) -> Result<Value> {
        self.apply1(Copy, &[x])
    }

    /// The current value of an f32 per-step scalar, as a value of shape `[]`: what an optimiser made
    /// of graph operators reads its learning rate with.
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`] for the step, the seed and the updates, which are u32.
    #[track_caller]
    pub fn scalar_value(&self, scalar: Scalar) -> Result<Value> {
        let info = self.recording().scalars.get(scalar.index()).cloned();
        match info {
            None => self.located("scalar", Err(Error::ForeignValue)),
            Some(info) if info.dtype != DType::F32 => {
                let (what, found) = (format!("the scalar `{}`", info.name), info.dtype);
                self.located("scalar", Err(Error::DTypeMismatch { what, found, expected: DType::F32 }))
            }
            Some(_) => self.apply1(ReadScalar(scalar), &[]),
        }
    }

    /// Axes in another order: axis `k` of the result is axis `axes[k]` of `x`.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let images = g.input("images", [8, 32, 32, 3]);
    /// let y = g.transpose(images, &[0, 3, 1, 2])?;
    /// assert_eq!(g.shape(y)?, Shape::from([8, 3, 32, 32]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Rank`] unless each axis is named, [`Error::Axis`] for one that is not there or named twice.
    #[track_caller]
    pub fn transpose(&self, x: Value, axes: &[usize]) -> Result<Value> {
        self.apply1(Transpose(axes.to_vec()), &[x])
    }

    /// `x` stretched to `shape` by NumPy's broadcasting rule.
    ///
    /// # Errors
    /// [`Error::Broadcast`] with both shapes.
    #[track_caller]
    pub fn broadcast_to(&self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        let shape = shape.into();
        if self.operand_shape("broadcast_to", x)? == shape {
            return Ok(x);
        }
        self.apply1(Broadcast(shape), &[x])
    }
}
