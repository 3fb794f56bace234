use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::graph::{Node, Op, Value};
use crate::ops::merged::{Kernels, Merged, Operand, Part};
use crate::ops::{joint_hits, joint_loss, joint_norm, joint_sums, joint_tally};
use crate::shape::Shape;
use crate::tape::Tape;

/// Operators, by position, that kernels of their own do together at the place of the first.
struct Found {
    others: Vec<usize>,
    kernels: Arc<dyn Kernels>,
}

/// Finds operators of unlike kinds that go together.
struct Merge<'a> {
    tape: &'a Tape,
    makers: HashMap<Value, usize>,
    readers: HashMap<Value, Vec<usize>>,
    /// The operators that overwrite each value.
    writers: HashMap<Value, Vec<usize>>,
    taken: BTreeSet<usize>,
}

impl Tape {
    /// Puts operators together that have a kernel for it: each set at the place of its first.
    pub(super) fn merge(&mut self) {
        let mut merge = Merge::new(self);
        let mut merged = BTreeMap::new();
        for first in 0..self.ops.len() {
            if let Some(Found { others, kernels }) = merge.found(first) {
                merge.taken.extend(others.iter().copied().chain([first]));
                merged.insert(first, merge.node(first, &others, kernels));
            }
        }
        let taken = std::mem::take(&mut merge.taken);
        let ops = std::mem::take(&mut self.ops).into_iter().enumerate();
        let node = |(index, node)| merged.remove(&index).or((!taken.contains(&index)).then_some(node));
        self.ops = ops.filter_map(node).collect();
    }
}

impl<'a> Merge<'a> {
    fn new(tape: &'a Tape) -> Self {
        let makers = tape.makers();
        Merge { tape, makers, readers: tape.readers(), writers: tape.writers(), taken: BTreeSet::new() }
    }

    fn found(&self, first: usize) -> Option<Found> {
        if self.taken.contains(&first) {
            return None;
        }
        let kinds = [Self::loss, Self::hits, Self::norm, Self::sums, Self::tally];
        kinds.into_iter().find_map(|kind| kind(self, first))
    }

    /// A loss of rows with its gradient and its mean.
    fn loss(&self, first: usize) -> Option<Found> {
        let Node { op, inputs, outputs, .. } = &self.tape.ops()[first];
        let types = self.tape.types(inputs);
        let alike = |&other: &usize| self.tape.ops()[other].inputs.starts_with(inputs);
        let grad = self.reader(first, inputs.first()?, alike);
        let sum = self.reader(first, outputs.first()?, |_| true);
        let grad_op = grad.map(|index| self.tape.ops()[index].op.as_ref());
        let (used, kernels) = joint_loss(op.as_ref(), &types, grad_op, sum.map(|sum| self.summing(sum)))?;
        let others = [grad, sum].into_iter().zip(used).filter(|(_, used)| *used);
        Some(Found { others: others.filter_map(|(index, _)| index).collect(), kernels })
    }

    /// An operator with the shape of its operand.
    fn summing(&self, index: usize) -> (&'a dyn Op, Shape) {
        let Node { op, inputs, .. } = &self.tape.ops()[index];
        (op.as_ref(), inputs.first().map_or(Shape::scalar(), |&input| self.tape.info(input).ty.shape))
    }

    /// Which rows are judged right, with how many those are.
    fn hits(&self, first: usize) -> Option<Found> {
        let Node { op, inputs, outputs, .. } = &self.tape.ops()[first];
        let sum = self.reader(first, outputs.first()?, |_| true)?;
        let kernels = joint_hits(op.as_ref(), &self.tape.types(inputs), self.summing(sum))?;
        Some(Found { others: vec![sum], kernels })
    }

    /// Values side by side, with their addition to running sums.
    fn tally(&self, first: usize) -> Option<Found> {
        let Node { op, inputs, outputs, .. } = &self.tape.ops()[first];
        let update = self.reader(first, outputs.first()?, |_| true)?;
        let Node { op: accumulate, inputs: sums, .. } = &self.tape.ops()[update];
        let all: BTreeSet<Value> = inputs.iter().chain(sums).map(|&value| self.tape.root(value)).collect();
        let are_apart = all.len() == inputs.len() + sums.len();
        let kernels = joint_tally(op.as_ref(), &self.tape.types(inputs), accumulate.as_ref());
        Some(Found { others: vec![update], kernels: kernels.filter(|_| are_apart)? })
    }

    /// A normalisation with the update of its running statistics.
    fn norm(&self, first: usize) -> Option<Found> {
        let Node { op, inputs, outputs, .. } = &self.tape.ops()[first];
        let update = self.reader(first, outputs.get(1)?, |_| true)?;
        let kernels = joint_norm(op.as_ref(), inputs.len(), self.tape.ops()[update].op.as_ref())?;
        Some(Found { others: vec![update], kernels })
    }

    /// The gradient of a weight with that of a bias, in either order.
    fn sums(&self, first: usize) -> Option<Found> {
        let ops = self.tape.ops();
        let joint = |product: usize, sum: usize| {
            let (&[a, b], &[summed]) = (&ops[product].inputs[..], &ops[sum].inputs[..]) else { return None };
            if self.tape.root(b) != self.tape.root(summed) || a == b || a == summed {
                return None;
            }
            let [inputs, outputs] = match (sum < product, b == summed) {
                (false, _) => [[0, 1], [0, 1]],
                (true, true) => [[1, 0], [1, 0]],
                (true, false) => [[1, 2], [1, 0]],
            };
            let types = [a, b, summed].map(|value| self.tape.info(value).ty);
            joint_sums(ops[product].op.as_ref(), types, ops[sum].op.as_ref(), inputs, outputs)
        };
        let kernels = |other: usize| joint(first, other).or_else(|| joint(other, first));
        let dy = ops[first].inputs.last()?;
        let other = self.reader(first, dy, |&other| kernels(other).is_some())?;
        Some(Found { others: vec![other], kernels: kernels(other)? })
    }

    /// The first operator after `first` that reads a value, can come to its place and is as wanted.
    fn reader(&self, first: usize, value: &Value, wanted: impl Fn(&usize) -> bool) -> Option<usize> {
        let readers = self.readers.get(&self.tape.root(*value))?.iter().copied();
        let mut later = readers.filter(|&reader| reader > first && reader < self.tape.ops().len());
        later.find(|reader| wanted(reader) && self.may_come(first, *reader))
    }

    /// Whether an operator can run at the place of an earlier one: what it reads is there by then and not
    /// overwritten until it runs, and nobody uses what it overwrites in between.
    fn may_come(&self, first: usize, later: usize) -> bool {
        let node = &self.tape.ops()[later];
        let is_there = |input: &Value| {
            let maker = self.makers.get(input);
            let writers = self.writers.get(&self.tape.root(*input)).into_iter().flatten();
            maker.is_none_or(|&maker| maker <= first)
                && writers.filter(|&&writer| writer != later).all(|&writer| writer < first || writer > later)
        };
        let is_unused = |value: Value| {
            let readers = self.readers.get(&self.tape.root(value)).into_iter().flatten();
            readers.filter(|&&reader| reader != later).all(|&reader| reader < first || reader > later)
        };
        !self.taken.contains(&later) && node.inputs.iter().all(is_there) && node.mutated().all(is_unused)
    }

    /// The operators as one, at the place of the first.
    fn node(&self, first: usize, others: &[usize], kernels: Arc<dyn Kernels>) -> Node {
        let (mut inputs, mut outputs): (Vec<Value>, Vec<Value>) = Default::default();
        let mut made: HashMap<Value, Operand> = HashMap::new();
        let mut parts = Vec::new();
        for &index in [first].iter().chain(others) {
            let node = &self.tape.ops()[index];
            let mut operand = |input: &Value| {
                made.get(input).copied().unwrap_or_else(|| {
                    let known = inputs.iter().position(|known| known == input);
                    Operand::Input(known.unwrap_or_else(|| {
                        inputs.push(*input);
                        inputs.len() - 1
                    }))
                })
            };
            let operands = node.inputs.iter().map(&mut operand).collect();
            let part = parts.len();
            let numbered = node.outputs.iter().enumerate();
            made.extend(numbered.map(|(output, &value)| (value, Operand::Part(part, output))));
            outputs.extend(&node.outputs);
            parts.push(Part { node: node.clone(), outputs: self.tape.types(&node.outputs), operands });
        }
        let op = Arc::new(Merged::new(parts, kernels));
        Node { op, inputs, outputs, ..self.tape.ops()[first].clone() }
    }
}
