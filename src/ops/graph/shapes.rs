use std::sync::Arc;

use crate::graph::Scalar;
use crate::ops::common::*;
use crate::ops::gather::{Gather, OneHot};
use crate::ops::layout::{Concat, Pad, Read, ReadScalar, Same, SliceRange};

/// # Shapes, parts and tables
///
/// Elements, f32 or u32, under other indices; cut out of a value, surrounded by others or put together; and
/// looked up in a table by u32 indices, which are checked against it where the program writes them.
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
        self.apply1(Same::Reshape(shape.into()), &[x])
    }

    /// The same numbers in another precision, [`DType::F16`] or [`DType::F32`]: `x` itself if it has that. Going to f16
    /// rounds to the nearest number, past 65,504 to infinity, where the result is stored: what a
    /// [fused](crate::Tape::fuse) step only passes on is not rounded in between. Gradients come back in the precision
    /// of `x`. What is made of operands of both precisions is f16, but for sums, which are f32.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [2]);
    /// let y = g.cast(x, DType::F16)?;
    /// let mut session = g.forward([y])?.session(&Device::cpu())?;
    /// session.write(x, &[0.1, 1e6])?;
    /// session.replay()?;
    /// assert_eq!(session.read(y)?, [0.099_975_586, f32::INFINITY]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`] from or to u32.
    #[track_caller]
    pub fn cast(&self, x: Value, dtype: DType) -> Result<Value> {
        let found = self.operand_type("cast", x)?;
        if found.dtype == dtype {
            return Ok(x);
        }
        self.located("cast", expect_float("the type to cast to", TensorType { dtype, ..found }))?;
        self.apply1(Same::Cast(dtype), &[x])
    }

    /// A value of half precision in f32; any other as it is.
    #[track_caller]
    pub(crate) fn widened(&self, x: Value) -> Result<Value> {
        if self.type_of(x).dtype == DType::F16 { self.cast(x, DType::F32) } else { Ok(x) }
    }

    /// Runs `body` with most of what it records in half precision, as mixed-precision training has it (Micikevicius
    /// et al., ICLR 2018): products and convolutions give f16, and what follows them stays in it, while functions
    /// that leave its range, softmax, losses, recurrences and operators of the program's own get f32, each by its
    /// [`Op::precision`]. Sums are f32. Weights stay f32: products read them beside
    /// activations in f16, and their gradients come as f32.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [8, 16]);
    /// let w = g.parameter("w", [16, 4], Init::HeNormal);
    /// let (y, p) = g.autocast(|g| {
    ///     let y = g.relu(g.matmul(x, w)?)?;
    ///     Ok::<_, retape::Error>((y, g.softmax(y, 1)?))
    /// })?;
    /// assert_eq!((g.ty(y)?.dtype, g.ty(p)?.dtype), (DType::F16, DType::F32));
    /// # Ok::<(), retape::Error>(())
    /// ```
    pub fn autocast<T>(&mut self, body: impl FnOnce(&mut Graph) -> T) -> T {
        let cast = |dtype| Arc::new(Same::Cast(dtype)) as Arc<dyn Op>;
        self.casting_by(Some([DType::F16, DType::F32].map(cast)), body)
    }

    /// All dimensions but the first merged: `[batch, ..]` to `[batch, features]`.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn flatten(&self, x: Value) -> Result<Value> {
        let shape = self.operand_shape("flatten", x)?;
        let batch = shape.dims().first().copied().unwrap_or(1);
        self.apply1(Same::Reshape(Shape::from([batch, shape.numel() / batch.max(1)])), &[x])
    }

    /// The same value, treated as a constant by differentiation; no copy is made. f32 or u32 of any shape;
    /// the result has the same.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn stop_gradient(&self, x: Value) -> Result<Value> {
        self.apply1(Same::StopGradient, &[x])
    }

    /// The same elements in a buffer of their own. What an in-place operator would do by itself
    /// needs no copy; one is useful to keep what a parameter was when the step began. f32 or u32 of any
    /// shape; the result has the same.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn copy(&self, x: Value) -> Result<Value> {
        self.apply1(Same::Copy, &[x])
    }

    /// The current value of an f32 per-step scalar, as a value of shape `[]`: what an optimiser made
    /// of graph operators reads its learning rate with.
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`] for the step, the seed and the updates, which are u32;
    /// [`Error::ForeignValue`] for a scalar that this graph has not declared.
    #[track_caller]
    pub fn scalar_value(&self, scalar: Scalar) -> Result<Value> {
        let info = self.recording().scalars.get(scalar.index()).cloned();
        let Some(info) = info else { return self.located("scalar", Err(Error::ForeignValue)) };
        let ty = TensorType { shape: Shape::scalar(), dtype: info.dtype };
        self.located("scalar", expect_dtype(&format!("the scalar `{}`", info.name), ty, DType::F32))?;
        self.apply1(ReadScalar(scalar), &[])
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
        self.apply1(Read::Transpose(axes.to_vec()), &[x])
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
        self.apply1(Read::Broadcast(shape), &[x])
    }

    /// The elements whose index along each axis lies in its range; the result has as many dimensions.
    ///
    /// ```
    /// use retape::ops::SliceRange;
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [4, 10]);
    /// let every_other = SliceRange { start: 0, stop: 10, step: 2 };
    /// let y = g.slice(x, &[(1..3).into(), every_other])?;
    /// assert_eq!(g.shape(y)?, Shape::from([2, 5]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Rank`] unless there is a range per axis; [`Error::Argument`] for one that holds nothing or
    /// ends past the axis.
    #[track_caller]
    pub fn slice(&self, x: Value, ranges: &[SliceRange]) -> Result<Value> {
        self.apply1(Read::Slice(ranges.to_vec()), &[x])
    }

    /// The elements whose index along `axis` lies in `range`; the other axes stay whole.
    ///
    /// # Errors
    /// As [`slice`](Graph::slice), and [`Error::Axis`].
    #[track_caller]
    pub fn slice_axis(&self, x: Value, axis: isize, range: impl Into<SliceRange>) -> Result<Value> {
        let shape = self.operand_shape("slice", x)?;
        let axis = self.located("slice", shape.axis(axis))?;
        let mut ranges: Vec<SliceRange> = shape.dims().iter().map(|&dim| (0..dim).into()).collect();
        ranges[axis] = range.into();
        self.apply1(Read::Slice(ranges), &[x])
    }

    /// `x` surrounded by `value`: `padding[k]` elements before and after along axis `k`, by which the
    /// result's is longer.
    ///
    /// # Errors
    /// [`Error::Rank`] unless there is one pair per axis; [`Error::Argument`] for a `value` that is no u32
    /// around u32 elements; [`Error::TooManyElements`]. Where the result is used as an index that `value` is
    /// too large for, [`Error::LabelOutOfRange`], as for a constant.
    #[track_caller]
    pub fn pad(&self, x: Value, padding: &[(usize, usize)], value: f32) -> Result<Value> {
        let shape = self.operand_shape("pad", x)?;
        let fits = padding.len() == shape.rank();
        self.located("pad", expect_rank(shape, fits, "one (before, after) pair per axis"))?;
        let padded = shape.dims().iter().zip(padding);
        let padded = padded.map(|(&dim, (before, after))| dim.saturating_add(*before).saturating_add(*after));
        let output = Shape::new(&padded.collect::<Vec<_>>())?;
        let (before, step) = (padding.iter().map(|p| p.0).collect(), vec![1; shape.rank()]);
        self.apply1(Pad { before, step, output, value, of: None }, &[x])
    }

    /// The values, all of one dtype, side by side along `axis`; the other dimensions must agree.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let (a, b) = (g.input("a", [2, 3]), g.input("b", [2, 5]));
    /// let y = g.concat(&[a, b], 1)?;
    /// assert_eq!(g.shape(y)?, Shape::from([2, 8]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with the shapes that do not agree, [`Error::Axis`], [`Error::DTypeMismatch`],
    /// and [`Error::Argument`] for no values.
    #[track_caller]
    pub fn concat(&self, values: &[Value], axis: isize) -> Result<Value> {
        let axis = match values.first() {
            Some(&first) => self.operand_axis("concat", first, axis)?,
            None => 0,
        };
        self.apply1(Concat(axis), values)
    }

    /// Slices of `table` picked by `indices` along `axis`, as NumPy's `take` and ONNX's `Gather`:
    /// `y[a.., i.., b..] = table[a.., indices[i..], b..]`. `table` is f32 or u32, `indices` u32 of
    /// any shape, which takes the place of the axis: a table `[words, features]` at indices
    /// `[batch, time]` along axis 0 gives `[batch, time, features]`.
    ///
    /// Indices that the program writes are checked against the axis; one computed on the device
    /// that lies past the end picks the last slice.
    ///
    /// The gradient of the table is summed in a fixed order without atomics, by one of two routes.
    /// At most 32 indices, or at most 4096 where their number times the table's elements (by fours
    /// where the slices allow it) stays within 2^18, take one dispatch, in which every element
    /// looks through all indices. Others are sorted on the device, in three dispatches for every
    /// five bits of a row's number, and three more add up the gradients of each row. The cost is
    /// then that of reading the indices once for every five bits and the gradient once, and of
    /// writing the table once, however often a row is named.
    ///
    /// # Errors
    /// [`Error::Axis`]; [`Error::DTypeMismatch`] unless the indices are u32; [`Error::RankLimit`] if
    /// the result has too many dimensions; [`Error::LabelOutOfRange`] for constant indices past the
    /// axis.
    #[track_caller]
    pub fn gather(&self, table: Value, indices: Value, axis: isize) -> Result<Value> {
        let axis = self.operand_axis("gather", table, axis)?;
        self.apply1(Gather { axis, padding: None }, &[table, indices])
    }

    /// The rows of `table` that `indices` name: [`gather`](Graph::gather) along axis 0, with a row
    /// `padding` that gets no gradient, as PyTorch's `embedding` and its `padding_idx`. A table
    /// `[words, features]` at u32 indices `[batch, time]` gives `[batch, time, features]`; the rows
    /// of the padding are looked up like any other.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let table = g.parameter("table", [3, 2], Init::Ones);
    /// let words = g.indices("words", [2, 2]);
    /// let y = g.embedding(table, words, Some(0))?;
    /// let slope = g.differentiate(g.sum(y, &[], false)?, &[table])?[0];
    /// let mut session = g.forward([slope])?.session(&Device::cpu())?;
    /// session.write(words, &[1u32, 2, 2, 0])?;
    /// session.replay()?;
    /// assert_eq!(session.read(slope)?, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`gather`](Graph::gather); [`Error::Argument`] for a padding that is no row of the table.
    #[track_caller]
    pub fn embedding(&self, table: Value, indices: Value, padding: Option<u32>) -> Result<Value> {
        let axis = self.operand_axis("embedding", table, 0)?;
        self.apply1(Gather { axis, padding }, &[table, indices])
    }

    /// Rows of `depth` numbers, 1 at the index and 0 elsewhere: u32 `indices` of any shape give
    /// f32 of that shape and a new last axis. Indices that the program writes are checked against
    /// `depth`; one computed on the device that lies past it gives a row of zeros. No gradient
    /// flows.
    ///
    /// # Errors
    /// [`Error::DTypeMismatch`] unless the indices are u32; [`Error::RankLimit`];
    /// [`Error::EmptyDimension`] for a depth of 0; [`Error::LabelOutOfRange`] for constant indices
    /// past it.
    #[track_caller]
    pub fn one_hot(&self, indices: Value, depth: usize) -> Result<Value> {
        self.apply1(OneHot(depth), &[indices])
    }
}
