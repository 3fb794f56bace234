//! Chains on the CPU device, and single elementwise operators as chains of one: blocks that stay in a core's
//! cache go through all members.

use std::ops::Range;

use super::{Chain, Operand};
use crate::array::{PART, spread, wide};
use crate::graph::{Compute, Operands, Written};
use crate::kernel::Scalar;
use crate::ops::common::*;
use crate::ops::pointwise::Pointwise;
use crate::ops::strided::Nest;

/// Elements that go through all members at a time.
const BLOCK: usize = 256;
/// The most results of a chain, and the most inputs and members.
const RESULTS: usize = 8;
const SLOTS: usize = 48;

/// A block of numbers, or one for all of it.
#[derive(Clone, Copy)]
pub(in crate::ops) enum View<'a> {
    Numbers(&'a [f32]),
    One(f32),
}

/// Writes `f` of each number.
pub(in crate::ops) fn map(x: View<'_>, y: &mut [f32], f: impl Fn(f32) -> f32) {
    match x {
        View::Numbers(x) => wide(|| {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f(x);
            }
        }),
        View::One(x) => y.fill(f(x)),
    }
}

/// Writes `f` of each pair of numbers.
pub(in crate::ops) fn map_pair(a: View<'_>, b: View<'_>, y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        (View::Numbers(a), View::Numbers(b)) => wide(|| {
            for (y, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
                *y = f(a, b);
            }
        }),
        (a, View::One(b)) => map(a, y, |a| f(a, b)),
        (View::One(a), b) => map(b, y, |b| f(a, b)),
    }
}

fn at(view: View<'_>, i: usize) -> f32 {
    match view {
        View::Numbers(numbers) => numbers[i],
        View::One(number) => number,
    }
}

/// The second where the first is not zero, else the third.
fn choose(condition: View<'_>, a: View<'_>, b: View<'_>, y: &mut [f32]) {
    let of = |(i, y): (usize, &mut f32)| *y = if at(condition, i) != 0.0 { at(a, i) } else { at(b, i) };
    wide(|| y.iter_mut().enumerate().for_each(of));
}

/// The first less the second, over the root of the third and `epsilon`, then scaled and shifted; halved where
/// the difference might overflow.
fn normalise(
    [x, mean, variance]: [View<'_>; 3],
    scale: View<'_>,
    shift: View<'_>,
    epsilon: f32,
    y: &mut [f32],
) {
    let far = (1u128 << 100) as f32;
    let of = |(i, y): (usize, &mut f32)| {
        let (x, mean) = (at(x, i), at(mean, i));
        let size = if mean.abs() >= far { 0.5 } else { 1.0 };
        let rstd = 1.0 / (at(variance, i) + epsilon).sqrt() / size;
        *y = (x * size - mean * size) * (rstd * at(scale, i)) + at(shift, i);
    };
    wide(|| y.iter_mut().enumerate().for_each(of));
}

/// How the elements of an input lie under those of the results.
enum Reader {
    /// One for each.
    Whole,
    /// One for all.
    One,
    /// Stretched: the strides of an input's elements along the results' dimensions.
    Nested(Nest),
}

/// What an instruction reads.
#[derive(Clone, Copy)]
enum Argument {
    Input(usize),
    /// The result of an instruction.
    Made(usize),
    Number(f32),
    Scalar(Scalar),
}

struct Instruction {
    does: Pointwise,
    arguments: Vec<Argument>,
}

/// Elementwise operators in order.
struct Program {
    /// The inputs, after those of a head, each with how it is read.
    readers: Vec<Reader>,
    instructions: Vec<Instruction>,
    /// The instructions that make the results.
    results: Vec<usize>,
    /// The result that an instruction writes as it is made; `None` where it goes to a slot.
    direct: Vec<Option<usize>>,
    /// The inputs of a head, whose result is in result 0 and stands for the first instruction's.
    head: usize,
}

impl Reader {
    fn new(operand: Shape, to: Shape) -> Reader {
        match () {
            () if operand.numel() == to.numel() => Reader::Whole,
            () if operand.numel() == 1 => Reader::One,
            () => Reader::Nested(Nest::new(to.dims(), &[operand.broadcast_strides(to)])),
        }
    }
}

/// The routine of an operator that works on each element alone.
pub(in crate::ops) fn pointwise(
    op: &dyn Op,
    inputs: &[TensorType],
    outputs: &[TensorType],
) -> Option<Routine> {
    let to = outputs[0].shape;
    let readers = inputs.iter().map(|input| Reader::new(input.shape, to)).collect();
    let arguments = (0..inputs.len()).map(Argument::Input).collect();
    let instructions = vec![Instruction { does: Pointwise::of(op)?, arguments }];
    let program = Program::new(readers, instructions, vec![0], 0);
    Some(Box::new(move |cx| program.run(cx)))
}

impl Chain {
    pub(super) fn computed(&self, inputs: &[TensorType]) -> Option<Routine> {
        let (head, node) = (self.head_inputs(), &self.members[0].node);
        let first = match self.has_head() {
            false => None,
            true => Some(node.op.routine(&inputs[..head], &self.head)?),
        };
        let mut readers: Vec<Option<Reader>> = inputs[head..].iter().map(|_| None).collect();
        for member in self.members.iter().filter(|member| member.does != Pointwise::Head) {
            for (position, (operand, shape)) in member.operands.iter().enumerate() {
                if let Operand::Input(input) = operand {
                    let shape = member.does.operand_shape(position, *shape, member.shape.rank());
                    readers[input - head] = Some(Reader::new(shape, member.shape));
                }
            }
        }
        let argument = |&(operand, _): &(Operand, Shape)| match operand {
            Operand::Input(input) => Argument::Input(input.saturating_sub(head)),
            Operand::Member(member) => Argument::Made(member),
            Operand::Number(number) => Argument::Number(number),
            Operand::Scalar(scalar) => Argument::Scalar(scalar),
        };
        let instruction = |member: &super::Member| Instruction {
            does: member.does,
            arguments: member.operands.iter().map(argument).collect(),
        };
        let readers = readers.into_iter().collect::<Option<_>>()?;
        let instructions = self.members.iter().map(instruction).collect();
        let program = Program::new(readers, instructions, self.outputs.clone(), head);
        if program.slots() > SLOTS || program.results.len() > RESULTS {
            return None;
        }
        let (results, of_head) = (self.outputs.len(), self.head.len() + self.mutates().len());
        Some(Box::new(move |cx| {
            if let Some(first) = &first {
                // What the head makes besides its result comes after all results.
                cx.results[1..].rotate_left(results - 1);
                first(&mut cx.of_first(head, of_head));
                cx.results[1..].rotate_right(results - 1);
            }
            program.run(cx);
        }))
    }
}

impl Program {
    fn new(
        readers: Vec<Reader>,
        instructions: Vec<Instruction>,
        results: Vec<usize>,
        head: usize,
    ) -> Program {
        let is_read = |made: usize| {
            let reads = |argument: &Argument| matches!(argument, Argument::Made(other) if *other == made);
            instructions.iter().any(|instruction| instruction.arguments.iter().any(reads))
        };
        let direct = (0..instructions.len()).map(|number| {
            let mut own = results.iter().enumerate().filter(|&(_, &made)| made == number);
            match (own.next(), own.next()) {
                (Some((result, _)), None) if !is_read(number) => Some(result),
                _ => None,
            }
        });
        let direct = direct.collect();
        Program { readers, instructions, results, direct, head }
    }

    fn slots(&self) -> usize {
        self.readers.len() + self.instructions.len()
    }

    fn run(&self, cx: &mut Compute<'_>) {
        // Slots begin with zeros, which takes time where there are many.
        match self.slots() {
            0..=4 => self.run_in::<4>(cx),
            5..=12 => self.run_in::<12>(cx),
            _ => self.run_in::<SLOTS>(cx),
        }
    }

    fn run_in<const N: usize>(&self, cx: &mut Compute<'_>) {
        let (inputs, in_place, scalars) = (cx.inputs, cx.in_place, cx.scalars);
        let n = cx.results[0].len();
        let mut all = cx.results.iter_mut();
        let results: [&mut [f32]; RESULTS] =
            std::array::from_fn(|_| all.next().map_or(&mut [][..], |result: &mut Written| &mut result[..]));
        let widths = std::array::from_fn(|number| usize::from(number < self.results.len()));
        spread(0..n, PART, widths, results, &|elements, mut results| {
            let mut slots = [[0.0; BLOCK]; N];
            for first in elements.clone().step_by(BLOCK) {
                let block = first..(first + BLOCK).min(elements.end);
                let within = first - elements.start..block.end - elements.start;
                self.block(inputs, in_place, scalars, &mut slots, block, within, &mut results);
            }
        });
    }

    /// Computes some elements, which lie `within` the results.
    #[expect(clippy::too_many_arguments, reason = "the inner loop of two")]
    fn block(
        &self,
        inputs: Operands<'_>,
        in_place: Option<usize>,
        scalars: &[f64],
        slots: &mut [[f32; BLOCK]],
        block: Range<usize>,
        within: Range<usize>,
        results: &mut [&mut [f32]; RESULTS],
    ) {
        let (n, read) = (block.len(), self.readers.len());
        for (input, reader) in self.readers.iter().enumerate() {
            match reader {
                _ if in_place == Some(input) => {
                    slots[input][..n].copy_from_slice(&results[0][within.clone()])
                }
                Reader::Nested(nest) => {
                    nest.gather(0, block.start, inputs.f32(self.head + input), &mut slots[input][..n]);
                }
                Reader::Whole | Reader::One => {}
            }
        }
        for (number, Instruction { does, arguments }) in self.instructions.iter().enumerate() {
            let (before, own) = slots.split_at_mut(read + number);
            if matches!(does, Pointwise::Head) {
                own[0][..n].copy_from_slice(&results[0][within.clone()]);
                continue;
            }
            let to = match self.direct[number] {
                Some(result) => &mut results[result][within.clone()],
                None => &mut own[0][..n],
            };
            let view = |&argument: &Argument| match argument {
                Argument::Made(made) => View::Numbers(&before[read + made][..n]),
                Argument::Number(number) => View::One(number),
                Argument::Scalar(scalar) => View::One(scalars[scalar.index()] as f32),
                Argument::Input(input) if in_place == Some(input) => View::Numbers(&before[input][..n]),
                Argument::Input(input) => match self.readers[input] {
                    Reader::Whole => View::Numbers(&inputs.f32(self.head + input)[block.clone()]),
                    Reader::One => View::One(inputs.f32(self.head + input)[0]),
                    Reader::Nested(_) => View::Numbers(&before[input][..n]),
                },
            };
            match does {
                Pointwise::Unary(op) => op.kind().run(op.p, view(&arguments[0]), to),
                Pointwise::Slope(op) => {
                    op.kind().run_slope(op.p, view(&arguments[0]), view(&arguments[1]), to);
                }
                Pointwise::Binary(kind) => kind.run(view(&arguments[0]), view(&arguments[1]), to),
                Pointwise::Select => {
                    choose(view(&arguments[0]), view(&arguments[1]), view(&arguments[2]), to);
                }
                Pointwise::Broadcast => map(view(&arguments[0]), to, |x| x),
                Pointwise::Normalize(affine, epsilon) => {
                    let mut views = arguments.iter().map(view);
                    let mut next = |or: f32| views.next().unwrap_or(View::One(or));
                    let operands = [next(0.0), next(0.0), next(1.0)];
                    let scale = if affine[0] { next(1.0) } else { View::One(1.0) };
                    let shift = if affine[1] { next(0.0) } else { View::One(0.0) };
                    normalise(operands, scale, shift, *epsilon, to);
                }
                Pointwise::Drop(dropped) => {
                    map(view(&arguments[0]), to, |x| x);
                    dropped.run(|scalar| scalars[scalar.index()], block.start, to);
                }
                Pointwise::Head => {}
            }
        }
        for (result, &made) in results.iter_mut().zip(&self.results) {
            if self.direct[made].is_none() {
                result[within.clone()].copy_from_slice(&slots[read + made][..n]);
            }
        }
    }
}
