use super::computed_as;
use crate::array::Array;
use crate::dtype::DType;
use crate::error::Result;
use crate::executor::{numbers, word};
use crate::graph::{Node, Reference, Routine, Spot, Value};
use crate::tape::{Layout, Tape};

/// An operator of a step.
pub(super) struct Step {
    /// Its number on the tape.
    pub op: usize,
    pub inputs: Vec<Spot>,
    /// What it makes, then what it overwrites.
    pub results: Vec<Spot>,
    pub in_place: Option<usize>,
    /// `None` where its reference stands in.
    pub routine: Option<Routine>,
    /// The results that are held in half precision, and so rounded to it.
    pub halves: Vec<usize>,
    /// Multiply-adds, or a quarter of the elements that it reads and writes.
    pub work: u64,
}

impl Step {
    /// The operators of a tape, but views, which need nothing done.
    pub fn all(tape: &Tape, layout: &Layout) -> Result<Vec<Step>> {
        let mut buffer_of = vec![None; tape.recording().values.len()];
        layout.values.iter().for_each(|v| buffer_of[v.value.index()] = Some(v.buffer));
        let spot = |value: Value| {
            let buffer = buffer_of[value.index()].ok_or_else(|| tape.unknown_value(value))?;
            Ok(Spot { buffer, len: tape.recording().ty(value).numel() })
        };
        let ops = tape.ops().iter().enumerate().filter(|(_, node)| !node.op.is_view());
        ops.map(|(op, node)| Step::new(tape, op, node, layout.in_place[op], &spot)).collect()
    }

    fn new(
        tape: &Tape,
        op: usize,
        node: &Node,
        in_place: Option<usize>,
        spot: &impl Fn(Value) -> Result<Spot>,
    ) -> Result<Step> {
        let inputs: Vec<Spot> = node.inputs.iter().map(|&v| spot(v)).collect::<Result<_>>()?;
        let results: Vec<Spot> = node.written().map(spot).collect::<Result<_>>()?;
        let (input_types, output_types) = (tape.types(&node.inputs), tape.types(&node.outputs));
        // A routine finds what is written in its results alone.
        let mutates = node.op.mutates();
        let is_read = |(input, spot): (usize, &Spot)| {
            let is_result = mutates.contains(&input) || in_place == Some(input);
            !is_result && results.iter().any(|result| result.buffer == spot.buffer)
        };
        let overlaps = inputs.iter().enumerate().any(is_read);
        let repeats =
            (1..results.len()).any(|at| results[..at].iter().any(|one| one.buffer == results[at].buffer));
        let routine = node.op.routine(&input_types, &output_types).filter(|_| !overlaps && !repeats);
        let elements: usize = inputs.iter().chain(&results).map(|spot| spot.len).sum();
        let work = node.op.multiply_adds(&input_types, &output_types).max(elements as u64 / 4);
        let is_half = |value: Value| tape.recording().ty(value).dtype == DType::F16;
        let halves =
            node.written().enumerate().filter(|&(_, value)| is_half(value)).map(|(at, _)| at).collect();
        Ok(Step { op, inputs, results, in_place, routine, halves, work })
    }

    /// The bytes that the reference has in use beside the buffers.
    pub fn reference_bytes(&self, tape: &Tape) -> u64 {
        if self.routine.is_some() {
            return 0;
        }
        let node = &tape.ops()[self.op];
        let scratch = node.op.reference_scratch(&tape.types(&node.inputs), &tape.types(&node.outputs));
        let elements: usize = self.inputs.iter().chain(&self.results).map(|spot| spot.len).sum();
        scratch.saturating_add(8 * elements as u64)
    }

    /// Runs the operator by its reference.
    pub fn by_reference(&self, tape: &Tape, buffers: &mut [Vec<f32>], scalars: &[f64]) {
        let node = &tape.ops()[self.op];
        let input = |(&value, spot): (&Value, &Spot)| {
            let ty = tape.recording().ty(value);
            let elements = bytemuck::cast_slice(&buffers[spot.buffer][..spot.len]);
            Array::new(ty.shape, numbers(computed_as(ty.dtype), elements).collect())
        };
        let inputs: Vec<Array> = node.inputs.iter().zip(&self.inputs).map(input).collect();
        let outputs = &tape.types(&node.outputs);
        let results = node.op.reference(&Reference { inputs: inputs.iter().collect(), outputs, scalars });
        for ((value, spot), result) in node.written().zip(&self.results).zip(results) {
            let dtype: DType = tape.recording().ty(value).dtype;
            let to = &mut buffers[spot.buffer][..spot.len];
            to.iter_mut().zip(&result.data).for_each(|(to, &x)| *to = f32::from_bits(word(dtype, x)));
        }
    }
}
