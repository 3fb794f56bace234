//! Slices, padding and concatenation.

use super::{Move, exact, fill_call};
use crate::ops::common::*;

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
            output: cx.graph.shape_of(cx.inputs[0]),
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
        let whole = self.value >= 0.0 && self.value.fract() == 0.0 && self.value < 2f32.powi(32);
        if inputs[0].dtype == DType::U32 && !whole {
            let value = self.value.to_string();
            return Err(Error::Argument { argument: "value", value, expected: "u32 is padded with a u32" });
        }
        Ok(vec![TensorType { shape: self.output, ..inputs[0] }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let input = cx.graph.shape_of(cx.inputs[0]);
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
            DType::F32 => self.value.to_bits(),
            DType::U32 => self.value as u32,
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
            expect_dtype("an operand", *input, first.dtype)?;
            let same_rank = input.shape.rank() == first.shape.rank();
            if !same_rank || input.shape.with_dim(axis, 1) != first.shape.with_dim(axis, 1) {
                let what = "concat needs equal shapes outside its axis";
                return Err(Error::shape_mismatch(what, first.shape, input.shape));
            }
            total = input.shape.dims()[axis].saturating_add(total);
        }
        Ok(vec![TensorType { shape: first.shape.with_dim(axis, total), ..first }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (graph, axis, dy) = (cx.graph, self.0, cx.grad());
        let mut start = 0;
        let part = |(&input, &needed): (&Value, &bool)| {
            let stop = start + graph.shape_of(input).dims()[axis];
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

/// # Parts and wholes
///
/// Elements cut out of a value, surrounded by others or put together, f32 or u32.
impl Graph {
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
        self.apply1(Slice(ranges.to_vec()), &[x])
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
        let padded = shape
            .dims()
            .iter()
            .zip(padding)
            .map(|(&dim, (before, after))| dim.saturating_add(*before).saturating_add(*after));
        let output = Shape::new(&padded.collect::<Vec<_>>())?;
        let (before, step) = (padding.iter().map(|p| p.0).collect(), vec![1; shape.rank()]);
        self.apply1(Pad { before, step, output, value }, &[x])
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
}
