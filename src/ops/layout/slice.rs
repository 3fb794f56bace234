//! Slices, padding and concatenation.

use std::any::Any;
use std::sync::Arc;

use super::{Read, SHADER, Strided, move_call, strided};
use crate::ops::common::*;
use crate::ops::strided::{Nest, words};

crate::params! {
    struct PadParams {
        d_lo: [u32; 4], e_lo: [u32; 4], before_lo: [u32; 4], step_lo: [u32; 4], s_lo: [u32; 4],
        d_hi: [u32; 2], e_hi: [u32; 2], before_hi: [u32; 2], step_hi: [u32; 2], s_hi: [u32; 2],
        x_at: u32, word: u32,
    }
}

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
    /// As a listing has it.
    pub(super) fn text(&self) -> String {
        let SliceRange { start, stop, step } = self;
        if *step == 1 { format!("{start}..{stop}") } else { format!("{start}..{stop}:{step}") }
    }
}

/// The shape of a slice.
pub(super) fn sliced(shape: Shape, ranges: &[SliceRange]) -> Result<Shape> {
    expect_rank(shape, ranges.len() == shape.rank(), "one range per axis")?;
    let mut sliced = shape;
    for (axis, (range, &dim)) in ranges.iter().zip(shape.dims()).enumerate() {
        let &SliceRange { start, stop, step } = range;
        if step == 0 || start >= stop || stop > dim {
            let value = format!("{range:?} of an axis of {dim}");
            return Err(Error::argument("range", value, "start < stop <= axis, step >= 1"));
        }
        sliced = sliced.with_dim(axis, (stop - start).div_ceil(step));
    }
    Ok(sliced)
}

/// The inputs scattered over zeros (or another number): element `i` of an axis goes to
/// `before + i * step`. Padding, and the gradient of a slice.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Pad {
    pub before: Vec<usize>,
    pub step: Vec<usize>,
    pub output: Shape,
    pub value: f32,
    /// What is read of the input, if it is not all in its order.
    pub of: Option<Read>,
}

/// The inputs side by side along an axis.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Concat(pub usize);

/// Whether two operators put elements of two operands of one shape at the same places among zeros.
pub(crate) fn scatters_equally(one: &dyn Op, other: &dyn Op) -> bool {
    let [one, other]: [&dyn Any; 2] = [one, other];
    let pad = one.downcast_ref::<Pad>().filter(|pad| pad.value == 0.0);
    pad.is_some_and(|pad| other.downcast_ref() == Some(pad))
}

/// What puts elements among others as `spread` does, from where `read` has them.
pub(crate) fn spread_of(spread: &dyn Op, read: &dyn Op) -> Option<Arc<dyn Op>> {
    let spread: &dyn Any = spread;
    let pad = spread.downcast_ref::<Pad>()?.reading(read)?;
    Some(Arc::new(pad))
}

impl Pad {
    /// The same of what an operator reads of its operand, where it is an operator that reads one.
    fn reading(&self, op: &dyn Op) -> Option<Pad> {
        let op: &dyn Any = op;
        let read = op.downcast_ref::<Read>().filter(|_| self.of.is_none())?;
        Some(Pad { of: Some(read.clone()), ..self.clone() })
    }

    /// The gradient of a slice of a shape.
    pub fn back(ranges: &[SliceRange], output: Shape) -> Pad {
        let (before, step) = ranges.iter().map(|r| (r.start, r.step)).unzip();
        Pad { before, step, output, value: 0.0, of: None }
    }

    /// The shape of what is read of an input.
    fn read(&self, input: TensorType) -> Result<Shape> {
        let Some(of) = &self.of else { return Ok(input.shape) };
        Ok(of.outputs(&[input])?[0].shape)
    }

    /// Where what is read begins, and along each axis the extents of result and input, what is before the input,
    /// its steps, and the stride of what is read; axes along which the input is whole are one with the next.
    fn axes(&self, input: TensorType) -> Result<(usize, Vec<[usize; 5]>)> {
        let read = self.read(input)?;
        let (start, strides) = match &self.of {
            Some(of) => of.source(input.shape),
            None => (0, read.strides()),
        };
        let mut axes: Vec<[usize; 5]> = Vec::new();
        for (axis, stride) in strides.into_iter().enumerate() {
            let (to, from) = (self.output.dims()[axis], read.dims()[axis]);
            let axis = [to, from, self.before[axis], self.step[axis], stride];
            let is_whole = |axis: &[usize; 5]| axis[0] == axis[1] && axis[3] == 1;
            match axes.last_mut() {
                Some(last) if is_whole(last) && is_whole(&axis) && last[4] == from * stride => {
                    *last = [last[0] * to, last[1] * from, 0, 1, stride]
                }
                _ => axes.push(axis),
            }
        }
        Ok((start, axes))
    }

    fn call(&self, input: TensorType) -> Result<KernelCall> {
        let (mut x_at, mut axes) = self.axes(input)?;
        let (mut entry, mut per, bits) = match input.dtype {
            DType::F32 | DType::F16 => ("pad_floats", 1, self.value.to_bits()),
            DType::U32 => ("pad_words", 1, self.value as u32),
        };
        let by_four = |numbers: &[usize]| numbers.iter().all(|number| number.is_multiple_of(4));
        if let (true, Some(([to, from, before, 1, 1], others))) =
            (input.dtype.is_float(), axes.split_last_mut())
            && by_four(&[*to, *from, *before, x_at])
            && others.iter().all(|axis| by_four(&axis[4..]))
        {
            (*to, *from, *before, x_at) = (*to / 4, *from / 4, *before / 4, x_at / 4);
            others.iter_mut().for_each(|axis| axis[4] /= 4);
            (entry, per) = ("pad_quads", 4);
        }
        let of = |what: usize, unused: u32| words(axes.iter().map(|axis| axis[what]), unused);
        let [(d_lo, d_hi), (e_lo, e_hi), (before_lo, before_hi), (step_lo, step_hi), (s_lo, s_hi)] =
            [of(0, 1), of(1, 1), of(2, 0), of(3, 1), of(4, 0)];
        let params = PadParams {
            d_lo,
            e_lo,
            before_lo,
            step_lo,
            s_lo,
            d_hi,
            e_hi,
            before_hi,
            step_hi,
            s_hi,
            x_at: word(x_at),
            word: bits,
        };
        Ok(KernelCall::new(&SHADER, entry)
            .constant("RANK", axes.len().max(1) as f64)
            .params(&params)
            .finish(Some(Finish::default()))
            .binds([Slot::Input(0), Slot::Output(0)])
            .grid(Grid::linear(self.output.numel() / per, 64)))
    }

    /// The elements of the result that those of the input go to.
    fn target(&self) -> Strided {
        strided(self.before.iter().copied().zip(self.step.iter().copied()), self.output)
    }
}

/// Puts the elements of `x` where they go in `y`.
fn put(x: &Array, y: &mut Array, (start, strides): Strided) {
    let at = Indexer::new(x.shape, strides);
    x.data.iter().enumerate().for_each(|(i, &v)| y.data[start + at.offset(i)] = v);
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
        if let Some(of) = &self.of {
            text += &format!(", of {} {}", of.name(), of.attributes());
        }
        text
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let whole = self.value >= 0.0 && self.value.fract() == 0.0 && self.value < 2f32.powi(32);
        let fits = inputs[0].dtype.is_float() || whole;
        Error::expect(fits, "value", self.value, "u32 is padded with a u32")?;
        Ok(vec![TensorType { shape: self.output, ..inputs[0] }])
    }

    fn largest_fill(&self) -> Option<u32> {
        Some(self.value as u32)
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        // Only fused tapes read in another order, and those have their gradients.
        let input = cx.graph.shape_of(cx.inputs[0]);
        let range = |axis: usize| {
            let (start, step) = (self.before[axis], self.step[axis]);
            SliceRange { start, stop: start + (input.dims()[axis] - 1) * step + 1, step }
        };
        cx.first(cx.graph.slice(cx.grad(), &(0..input.rank()).map(range).collect::<Vec<_>>()))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        cx.only(self.call(cx.inputs[0])?)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let mut y = Array::full(self.output, f64::from(self.value));
        let read = self.of.as_ref().map(|of| {
            let x = TensorType { shape: cx.inputs[0].shape, ..cx.outputs[0] };
            let outputs = of.outputs(&[x]).unwrap_or_default();
            of.reference(&Reference { inputs: cx.inputs.clone(), outputs: &outputs, scalars: cx.scalars })
        });
        let x = read.as_ref().map_or(cx.inputs[0], |read| &read[0]);
        put(x, &mut y, self.target());
        vec![y]
    }

    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        if self.of.is_some() {
            return None;
        }
        let (start, strides) = self.target();
        let nest = Nest::new(inputs[0].shape.dims(), &[strides]);
        let value = match outputs[0].dtype {
            DType::F32 | DType::F16 => self.value,
            DType::U32 => f32::from_bits(self.value as u32),
        };
        Some(Box::new(move |cx| {
            cx.results[0].fill(value);
            nest.scatter(0, cx.inputs.f32(0), &mut cx.results[0][start..]);
        }))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(FLUSH, results)
    }
}

impl Concat {
    /// The elements of the result that those of each input go to.
    fn targets(&self, inputs: impl Iterator<Item = Shape>, output: Shape) -> Vec<Strided> {
        let strides = output.strides();
        let target = |start: &mut usize, input: Shape| {
            let next = *start + input.dims()[self.0] * strides[self.0];
            Some((std::mem::replace(start, next), strides.clone()))
        };
        inputs.scan(0, target).collect()
    }
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn attributes(&self) -> String {
        format!("axis={}", self.0)
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let Some((&first, rest)) = inputs.split_first() else {
            return Err(Error::argument("values", "none", "at least one is needed"));
        };
        let axis = self.0;
        let mut total = first.shape.dims()[axis];
        // Of numbers, half precision if one has it.
        let are_floats = inputs.iter().all(|input| input.dtype.is_float());
        let is_half = are_floats && inputs.iter().any(|input| input.dtype == DType::F16);
        let dtype = if is_half { DType::F16 } else { first.dtype };
        for input in rest {
            if !are_floats {
                expect_dtype("an operand", *input, first.dtype)?;
            }
            let same_rank = input.shape.rank() == first.shape.rank();
            if !same_rank || input.shape.with_dim(axis, 1) != first.shape.with_dim(axis, 1) {
                let what = "concat needs equal shapes outside its axis";
                return Err(Error::shape_mismatch(what, first.shape, input.shape));
            }
            total = input.shape.dims()[axis].saturating_add(total);
        }
        Ok(vec![TensorType { shape: first.shape.with_dim(axis, total), dtype }])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let ends = cx.inputs.iter().scan(0, |end, &input| {
            *end += cx.graph.shape_of(input).dims()[self.0];
            Some(*end)
        });
        let ends: Vec<usize> = ends.collect();
        let start = |i: usize| if i == 0 { 0 } else { ends[i - 1] };
        Some(cx.needed(|i| cx.graph.slice_axis(cx.grad(), self.0 as isize, start(i)..ends[i])))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shapes = cx.inputs.iter().map(|input| input.shape);
        let targets = self.targets(shapes.clone(), cx.outputs[0].shape);
        for (index, (shape, target)) in shapes.zip(targets).enumerate() {
            cx.call(move_call(Slot::Input(index), shape, (0, shape.strides()), target));
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let mut y = Array::full(cx.outputs[0].shape, 0.0);
        let targets = self.targets(cx.inputs.iter().map(|x| x.shape), y.shape);
        cx.inputs.iter().zip(targets).for_each(|(x, target)| put(x, &mut y, target));
        vec![y]
    }

    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        let shapes = inputs.iter().map(|input| input.shape);
        let targets = self.targets(shapes.clone(), outputs[0].shape).into_iter().zip(shapes);
        let nest = |((start, strides), shape): (Strided, Shape)| (start, Nest::new(shape.dims(), &[strides]));
        let nests: Vec<(usize, Nest)> = targets.map(nest).collect();
        Some(Box::new(move |cx| {
            for (input, (start, nest)) in nests.iter().enumerate() {
                nest.scatter(0, cx.inputs.f32(input), &mut cx.results[0][*start..]);
            }
        }))
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(FLUSH, results)
    }
}
