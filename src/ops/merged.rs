//! Operators of unlike kinds in one kernel, such as a loss and its gradient. They are put together when a
//! tape is fused; programs do not record them.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::common::*;
use crate::graph::Node;

/// The kernels that do what several operators do.
pub(crate) trait Kernels: fmt::Debug + Send + Sync {
    /// Adds the calls, for the inputs and outputs of the [`Merged`]; `false` without any where the parts had
    /// better be lowered one by one.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<bool>;

    /// Changes bounds of the outputs that the kernels compute in another way than those of the parts.
    fn rebound(&self, cx: &Reference<'_>, bounds: &mut [Vec<f64>]) {
        let _ = (cx, bounds);
    }

    /// Whether the kernels that store the first output end in `finish`.
    fn finishes(&self) -> bool {
        false
    }

    /// As [`Op::packs`].
    fn packs(&self) -> Vec<Range<usize>> {
        Vec::new()
    }
}

/// The name of an operator in that of one it is part of.
pub(crate) fn title(op: &dyn Op) -> String {
    Merged::of(op).map_or_else(|| op.name().to_owned(), |merged| merged.attributes())
}

/// Where an operand of a part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// An input of the whole.
    Input(usize),
    /// An output of an earlier part.
    Part(usize, usize),
}

/// An operator that is part of another.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// As it was recorded.
    pub node: Node,
    /// Types of its outputs.
    pub outputs: Vec<TensorType>,
    pub operands: Vec<Operand>,
}

/// Operators that kernels of their own do together. Outputs are all those of the parts, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    parts: Vec<Part>,
    mutates: Vec<usize>,
    kernels: Arc<dyn Kernels>,
}

impl Merged {
    /// Parts of which each reads inputs and what those before it made.
    pub fn new(parts: Vec<Part>, kernels: Arc<dyn Kernels>) -> Self {
        let mut mutates = Vec::new();
        for part in &parts {
            let inputs = part.node.op.mutates().iter().map(|&operand| part.operands[operand]);
            mutates.extend(inputs.filter_map(|operand| match operand {
                Operand::Input(input) => Some(input),
                Operand::Part(..) => None,
            }));
        }
        Merged { parts, mutates, kernels }
    }

    /// That of an operator, if it is one.
    pub fn of(op: &dyn Op) -> Option<&Merged> {
        let op: &dyn Any = op;
        op.downcast_ref()
    }

    /// Whether others may be part of its kernels.
    pub fn finishes(&self) -> bool {
        self.kernels.finishes()
    }

    /// The operators as they were recorded.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.parts.iter().map(|part| &part.node)
    }

    /// Goes through the parts' references, each on the results of those before it as they would be stored;
    /// `see` is shown each with what it made.
    pub fn walk(
        &self,
        cx: &Reference<'_>,
        mut see: impl FnMut(&Part, &Reference<'_>, &[Array]),
    ) -> Vec<Vec<Array>> {
        let mut made: Vec<Vec<Array>> = Vec::with_capacity(self.parts.len());
        let mut stored: Vec<Vec<Array>> = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let operand = |&operand: &Operand| match operand {
                Operand::Input(input) => cx.inputs[input],
                Operand::Part(part, output) => &stored[part][output],
            };
            let inputs = part.operands.iter().map(operand).collect();
            let own = Reference { inputs, outputs: &part.outputs, scalars: cx.scalars };
            let results = part.node.op.reference(&own);
            see(part, &own, &results);
            stored.push(results.iter().map(|array| array.map(|x| f64::from(x as f32))).collect());
            made.push(results);
        }
        made
    }

    /// The output that a part's first one is.
    fn first_output(&self, part: usize) -> usize {
        self.parts[..part].iter().map(|part| part.outputs.len()).sum()
    }

    /// Adds the calls of each part.
    fn lower_parts(&self, cx: &mut Lowering<'_>) -> Result<()> {
        for (number, part) in self.parts.iter().enumerate() {
            let slot_of = |operand: &Operand| match *operand {
                Operand::Input(input) => Slot::Input(input),
                Operand::Part(part, output) => Slot::Output(self.first_output(part) + output),
            };
            let type_of = |operand: &Operand| match *operand {
                Operand::Input(input) => cx.inputs[input],
                Operand::Part(part, output) => self.parts[part].outputs[output],
            };
            let inputs: Vec<TensorType> = part.operands.iter().map(type_of).collect();
            let mut own = Lowering {
                profile: cx.profile,
                inputs: &inputs,
                outputs: &part.outputs,
                in_place: None,
                runs: &[],
                calls: Vec::new(),
                scratch: Vec::new(),
            };
            part.node.op.lower(&mut own)?;
            own.share(part.node.op.as_ref());
            let Lowering { mut calls, scratch, .. } = own;
            for bind in calls.iter_mut().flat_map(|call| &mut call.binds) {
                bind.slot = match bind.slot {
                    Slot::Input(input) => slot_of(&part.operands[input]),
                    Slot::Output(output) => Slot::Output(self.first_output(number) + output),
                    Slot::Scratch(space) => Slot::Scratch(cx.scratch.len() + space),
                    // There are no runs.
                    slot @ Slot::Inputs(..) => slot,
                };
            }
            cx.scratch.extend(scratch);
            cx.calls.extend(calls);
        }
        Ok(())
    }

    /// What the parts have for each output, and then for each input that is overwritten.
    fn in_order<T>(&self, of_parts: Vec<Vec<T>>) -> Vec<T> {
        let (mut outputs, mut mutated) = (Vec::new(), Vec::new());
        for (part, mut results) in self.parts.iter().zip(of_parts) {
            mutated.extend(results.split_off(part.outputs.len()));
            outputs.extend(results);
        }
        outputs.into_iter().chain(mutated).collect()
    }

    /// How far the results of a part move with operands that are wrong by `errors` of the parts before it.
    /// The parts are linear in them, with factors of one sign.
    fn moved(part: &Part, own: &Reference<'_>, results: &[Array], errors: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
        let mut total: Vec<Vec<f64>> = results.iter().map(|array| vec![0.0; array.data.len()]).collect();
        for (position, operand) in part.operands.iter().enumerate() {
            let &Operand::Part(source, output) = operand else { continue };
            let (exact, error) = (own.inputs[position], &errors[source][output]);
            let shifted = Array::from_fn(exact.shape, |i| exact.data[i] + error[i]);
            let mut inputs = own.inputs.clone();
            inputs[position] = &shifted;
            let others = part.node.op.reference(&Reference { inputs, ..*own });
            for ((total, other), exact) in total.iter_mut().zip(&others).zip(results) {
                let apart = other.data.iter().zip(&exact.data).map(|(a, b)| (a - b).abs());
                total.iter_mut().zip(apart).for_each(|(total, apart)| *total += apart);
            }
        }
        total
    }
}

impl Op for Merged {
    fn name(&self) -> &'static str {
        "merged"
    }

    fn attributes(&self) -> String {
        self.nodes().map(|node| node.op.name()).collect::<Vec<_>>().join(" ")
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(self.parts.iter().flat_map(|part| part.outputs.iter().copied()).collect())
    }

    fn mutates(&self) -> &[usize] {
        &self.mutates
    }

    fn packs(&self) -> Vec<Range<usize>> {
        self.kernels.packs()
    }

    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        let operand = |&operand: &Operand| match operand {
            Operand::Input(input) => inputs[input],
            Operand::Part(part, output) => self.parts[part].outputs[output],
        };
        let of = |part: &Part| {
            let inputs: Vec<TensorType> = part.operands.iter().map(operand).collect();
            part.node.op.multiply_adds(&inputs, &part.outputs)
        };
        self.parts.iter().map(of).sum()
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        if self.kernels.lower(cx)? { Ok(()) } else { self.lower_parts(cx) }
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        self.in_order(self.walk(cx, |_, _, _| ()))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let mut errors: Vec<Vec<Vec<f64>>> = Vec::with_capacity(self.parts.len());
        self.walk(cx, |part, own, results| {
            let mut bounds = part.node.op.error_bound(own, results);
            let moved = Self::moved(part, own, results, &errors);
            for (bound, moved) in bounds.iter_mut().zip(moved) {
                bound.iter_mut().zip(moved).for_each(|(bound, moved)| *bound += moved);
            }
            errors.push(bounds);
        });
        let mut bounds = self.in_order(errors);
        self.kernels.rebound(cx, &mut bounds);
        bounds
    }
}
