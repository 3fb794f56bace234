use std::collections::HashMap;

use crate::graph::{Node, Value};
use crate::ops::{Binary, Pointwise, Unstrided, scatters_equally, spread_of, unstrided};
use crate::tape::Tape;

impl Tape {
    /// Takes the strides out of pointwise convolutions, see [`unstrided`].
    pub(super) fn pull_strides(&mut self) {
        let ops = std::mem::take(&mut self.ops);
        self.ops = ops.into_iter().flat_map(|node| self.pulled(node)).collect();
    }

    fn pulled(&mut self, node: Node) -> Vec<Node> {
        let found = unstrided(node.op.as_ref(), &self.types(&node.inputs));
        let Some(Unstrided { first, then, only }) = found else { return vec![node] };
        let taken = only.map_or(node.inputs.clone(), |only| vec![node.inputs[only]]);
        let made = first.outputs(&self.types(&taken)).unwrap_or_default();
        let &[ty] = &made[..] else { return vec![node] };
        let between = self.recording.add_result(ty);
        let mut inputs = only.map_or(vec![between], |_| node.inputs.clone());
        inputs[only.unwrap_or(0)] = between;
        let before = Node { op: first, inputs: taken, outputs: vec![between], ..node.clone() };
        vec![before, Node { op: then, inputs, ..node }]
    }

    /// Spreads elements from where they are read, not from a copy.
    pub(super) fn spread_directly(&mut self) {
        let (makers, readers, writers) = (self.makers(), self.readers(), self.writers());
        for index in 0..self.ops.len() {
            let found = || {
                let [input] = self.ops[index].inputs[..] else { return None };
                let Node { op, inputs, .. } = &self.ops[*makers.get(&input)?];
                let from = *inputs.first()?;
                let stays = !writers.contains_key(&self.root(from));
                let is_only = readers.get(&input).is_some_and(|readers| readers[..] == [index]);
                let op = spread_of(self.ops[index].op.as_ref(), op.as_ref()).filter(|_| stays && is_only)?;
                Some((op, from))
            };
            if let Some((op, from)) = found() {
                let node = self.ops[index].clone();
                self.ops[index] = Node { op, inputs: vec![from], ..node };
            }
        }
        self.drop_unused();
    }

    /// Adds up before elements are spread among zeros what is added up after it.
    pub(super) fn add_before_spreading(&mut self) {
        let (makers, readers, writers) = (self.makers(), self.readers(), self.writers());
        let mut replaced: HashMap<usize, Vec<Node>> = HashMap::new();
        for index in 0..self.ops.len() {
            let node = &self.ops[index];
            let spread = |input: &Value| {
                let is_only = readers.get(input).is_some_and(|readers| readers[..] == [index]);
                makers.get(input).copied().filter(|maker| is_only && !replaced.contains_key(maker))
            };
            let spread: Option<Vec<usize>> = node.inputs.iter().map(spread).collect();
            let Some(&[a, b]) = spread.as_deref() else { continue };
            let [one, other] = [a, b].map(|at| &self.ops[at].op);
            let (&[x], &[y]) = (&self.ops[a].inputs[..], &self.ops[b].inputs[..]) else { continue };
            let is_sum = Pointwise::of(node.op.as_ref()) == Some(Pointwise::Binary(Binary::Add));
            let are_alike =
                scatters_equally(one.as_ref(), other.as_ref()) && self.info(x).ty == self.info(y).ty;
            let stay = [x, y].iter().all(|&value| !writers.contains_key(&self.root(value)));
            if !(is_sum && are_alike && stay && a != b) {
                continue;
            }
            let (ty, op, node) = (self.info(x).ty, one.clone(), node.clone());
            let sum = self.recording.add_result(ty);
            let add = Node { inputs: vec![x, y], outputs: vec![sum], ..node.clone() };
            replaced.insert(index, vec![add, Node { op, inputs: vec![sum], ..node }]);
            replaced.extend([a, b].map(|at| (at, Vec::new())));
        }
        let ops = std::mem::take(&mut self.ops).into_iter().enumerate();
        self.ops = ops.flat_map(|(at, node)| replaced.remove(&at).unwrap_or_else(|| vec![node])).collect();
    }
}
