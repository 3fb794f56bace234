use std::collections::HashMap;
use std::sync::Arc;

use crate::array::Array;
use crate::graph::{Node, Phase, Reference, Source, Value};
use crate::ops::{Pointwise, Simpler, is_equal, simpler};
use crate::tape::Tape;

/// The most elements of a constant that is larger than what it is computed from: a few KiB of memory for a
/// dispatch of each step.
const LARGEST: usize = 4096;

impl Tape {
    /// Computes what depends on constants alone, and what is computed twice once; moves elements once where
    /// they were moved twice, or not at all.
    pub(super) fn fold(&mut self) {
        let mut replaced: HashMap<Value, Value> = HashMap::new();
        let mut seen: HashMap<Vec<Value>, Vec<Node>> = HashMap::new();
        let mut makers: HashMap<Value, usize> = HashMap::new();
        for mut node in std::mem::take(&mut self.ops) {
            for input in &mut node.inputs {
                *input = replaced.get(input).copied().unwrap_or(*input);
            }
            let found = self.simplified(&mut node, &makers).or_else(|| self.computed(&node)).or_else(|| {
                // What runs again is there because nobody keeps what ran before.
                let known = seen.get(&node.inputs).filter(|_| node.phase != Phase::Recompute);
                known
                    .into_iter()
                    .flatten()
                    .find(|other| self.makes_same(other, &node))
                    .map(|other| other.outputs[0])
            });
            match found {
                Some(value) if !self.kept.contains(&node.outputs[0]) => {
                    replaced.insert(node.outputs[0], value);
                }
                _ => {
                    seen.entry(node.inputs.clone()).or_default().push(node.clone());
                    makers.extend(node.outputs.iter().map(|&output| (output, self.ops.len())));
                    self.ops.push(node);
                }
            }
        }
    }

    /// Puts a simpler operator for an operator, or gives the value that it would only make again.
    fn simplified(&self, node: &mut Node, makers: &HashMap<Value, usize>) -> Option<Value> {
        let &[output] = &node.outputs[..] else { return None };
        let maker = |value: Value| {
            let &at = makers.get(&value)?;
            let Node { op, inputs, .. } = &self.ops[at];
            let overwrites = |later: &Node| {
                later.mutated().any(|value| inputs.iter().any(|&input| self.root(input) == self.root(value)))
            };
            (!self.ops[at..].iter().any(overwrites)).then_some((op.as_ref(), &inputs[..]))
        };
        loop {
            let types = [self.info(*node.inputs.first()?).ty, self.info(output).ty];
            match simpler(node.op.as_ref(), &node.inputs, types, maker)? {
                Simpler::Value(value) => return Some(value),
                Simpler::Op(op, inputs) => (node.op, node.inputs) = (op, inputs),
            }
        }
    }

    /// Whether two operators over the same inputs have the same result.
    fn makes_same(&self, one: &Node, other: &Node) -> bool {
        let types = |node: &Node| self.types(&node.outputs);
        is_equal(one.op.as_ref(), other.op.as_ref()) && types(one) == types(other)
    }

    /// The result of an operator over constants, where it is small or no larger than they are.
    fn computed(&mut self, node: &Node) -> Option<Value> {
        let constant = |&input: &Value| match &self.info(input).source {
            Source::Constant(data) => Some(Array::new(self.info(input).ty.shape, data.to_vec())),
            _ => None,
        };
        let is_function = Pointwise::of(node.op.as_ref()).is_some_and(Pointwise::is_function);
        if node.inputs.is_empty() || !(node.op.is_view() || is_function) {
            return None;
        }
        let inputs: Vec<Array> = node.inputs.iter().map(constant).collect::<Option<_>>()?;
        let outputs = self.types(&node.outputs);
        let ty = outputs[0];
        if ty.numel() > LARGEST.max(inputs.iter().map(|input| input.data.len()).sum()) {
            return None;
        }
        let cx = Reference { inputs: inputs.iter().collect(), outputs: &outputs, scalars: &[] };
        let made = node.op.reference(&cx).swap_remove(0);
        let data: Arc<[f64]> = made.data.iter().map(|&x| ty.dtype.stored(x)).collect();
        Some(self.recording.add_constant(ty, data))
    }
}
