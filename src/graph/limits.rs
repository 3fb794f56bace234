//! Bounds on indices: lowered by the operators that look something up with them, and passed on to
//! where the indices come from.

use std::collections::BTreeSet;

use super::{Graph, Node, Op, Source, Value};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::TensorType;

impl Graph {
    /// Lowers the bounds on what an update writes into states to those on the states.
    pub(super) fn tighten_sources(&self, op: &dyn Op, inputs: &[Value], types: &[TensorType]) -> Result<()> {
        let limit_of = |&i: &usize| self.data.borrow().values[inputs[i].index()].limit;
        let Some(limit) = op.mutates().iter().filter_map(limit_of).min() else { return Ok(()) };
        passed_on(op, inputs, types).try_for_each(|source| self.tighten(source, limit))
    }

    /// Lowers the bound on an index value; through views and copies of it, and updates of states,
    /// on where it came from. Where one of those is past the bound, all stay as they were.
    pub(super) fn tighten(&self, value: Value, limit: u32) -> Result<()> {
        let mut data = self.data.borrow_mut();
        let (mut todo, mut lowered) = (vec![value], BTreeSet::new());
        while let Some(value) = todo.pop() {
            let info = &data.values[value.index()];
            let bounded = info.limit.is_some_and(|own| own <= limit);
            if info.ty.dtype != DType::U32 || bounded || !lowered.insert(value) {
                continue;
            }
            let largest = match info.source {
                Source::Constant(_) => info.limit.map(|own| own - 1),
                Source::Op { node, .. } => data.nodes[node].op.largest_fill(),
                _ => None,
            };
            if let Some(label) = largest.filter(|&largest| largest >= limit) {
                return Err(Error::LabelOutOfRange { name: data.describe(value), index: 0, label, limit });
            }
            let writes = |node: &&Node| node.op.mutates().iter().any(|&i| node.inputs[i] == value);
            let sources: Vec<&Node> = match info.source {
                Source::Op { node, .. } => vec![&data.nodes[node]],
                Source::State(..) => data.nodes.iter().filter(writes).collect(),
                _ => Vec::new(),
            };
            for node in sources {
                let types: Vec<_> = node.inputs.iter().map(|&v| data.ty(v)).collect();
                todo.extend(passed_on(node.op.as_ref(), &node.inputs, &types));
            }
        }
        lowered.into_iter().for_each(|value| data.values[value.index()].limit = Some(limit));
        Ok(())
    }
}

/// The inputs whose contents may end up in what an operator writes: not those that it looks its
/// results up with.
fn passed_on<'a>(
    op: &dyn Op,
    inputs: &'a [Value],
    types: &[TensorType],
) -> impl Iterator<Item = Value> + use<'a> {
    let lookup = op.index_limit(types).map(|(input, _)| input);
    inputs.iter().enumerate().filter(move |&(i, _)| Some(i) != lookup).map(|(_, &v)| v)
}
