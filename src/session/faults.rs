use std::fmt;
use std::panic::Location;

use super::{Session, Snapshot};
use crate::array::Array;
use crate::error::{Result, in_layer};
use crate::graph::{Node, Reference, Source, StateKind, Value};
use crate::ops::chain::Chain;
use crate::ops::merged::Merged;
use crate::tape::Tape;

/// Where a step first produced a NaN or an infinity: what [`Session::find_non_finite`] returns.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NonFinite {
    /// The operator, or `None` for an input, parameter or state that already held it.
    pub op: Option<&'static str>,
    /// The operator's layer; empty for none.
    pub layer: String,
    /// The line that recorded the operator.
    pub at: Option<&'static Location<'static>>,
    /// The value that holds it, by name or number.
    pub value: String,
    /// The flat index of the first such element.
    pub index: usize,
    /// The element.
    pub element: f32,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Some(op) => {
                write!(f, "{op}{}", in_layer(&self.layer))?;
                if let Some(at) = self.at {
                    write!(f, " at {at}")?;
                }
                write!(f, " produced {} as element {} of `{}`", self.element, self.index, self.value)
            }
            None => write!(f, "`{}` holds {} as element {}", self.value, self.element, self.index),
        }
    }
}

impl Session {
    /// Runs the step operator by operator and reads every result, until one holds a NaN or an infinity: the
    /// first such value, or `None`. Inputs, parameters and states are looked at before. On the reference,
    /// which computes in f64, what f32 does not hold counts as infinite, but for the states of optimisers.
    /// Parameters, states and the step count are as before afterwards.
    ///
    /// # Errors
    /// As [`replay`](Session::replay).
    pub fn find_non_finite(&mut self) -> Result<Option<NonFinite>> {
        let is_given = |v: &Value| !matches!(self.tape.info(*v).source, Source::Constant(_));
        for value in self.tape.persistent().into_iter().filter(is_given) {
            if let Some(found) = self.non_finite_in(value, None)? {
                return Ok(Some(found));
            }
        }
        let before = self.snapshot()?;
        let found = self.first_bad_op(&before);
        self.restore(&before)?;
        found
    }

    fn first_bad_op(&mut self, before: &Snapshot) -> Result<Option<NonFinite>> {
        let tape = self.replayed().clone();
        for (index, node) in tape.ops().iter().enumerate() {
            self.executor.run_op(index, &self.scalars)?;
            for value in node.written() {
                if let Some(found) = self.non_finite_in(value, Some(node))? {
                    let member = self.bad_member(&tape, index, before)?;
                    return Ok(Some(member.unwrap_or(found)));
                }
            }
        }
        Ok(None)
    }

    /// Of a fused operator that made a NaN or an infinity, the recorded one that did so first, by its
    /// reference.
    fn bad_member(&mut self, tape: &Tape, index: usize, before: &Snapshot) -> Result<Option<NonFinite>> {
        let node = &tape.ops()[index];
        if node.stands_for().next().is_none() {
            return Ok(None);
        }
        // Its result may lie where an operand was.
        self.restore(before)?;
        (0..index).try_for_each(|earlier| self.executor.run_op(earlier, &self.scalars))?;
        let inputs: Vec<Array> = node.inputs.iter().map(|&v| self.fetch(tape, v)).collect::<Result<_>>()?;
        let outputs = tape.types(&node.outputs);
        let cx =
            Reference { inputs: inputs.iter().collect(), outputs: &outputs, scalars: self.scalars.values() };
        let mut first = None;
        let mut see = |own: &Node, results: &[Array]| {
            for (value, result) in own.written().zip(results) {
                let found = || self.non_finite_among(&result.data, value, Some(own));
                first = first.take().or_else(found);
            }
        };
        if let Some(chain) = Chain::of(node.op.as_ref()) {
            chain.walk(&cx, |member, _, results| see(&member.node, results));
        } else if let Some(merged) = Merged::of(node.op.as_ref()) {
            merged.walk(&cx, |part, _, results| see(&part.node, results));
        }
        Ok(first)
    }

    /// The first NaN or infinity in a value which an operator has written. Programs get f32, whatever the
    /// reference has beyond it; what an optimiser keeps for itself, and sums of gradients, may have all of
    /// f64.
    pub(crate) fn non_finite_in(&self, value: Value, node: Option<&Node>) -> Result<Option<NonFinite>> {
        Ok(self.non_finite_among(&self.contents(value)?, value, node))
    }

    fn non_finite_among(&self, data: &[f64], value: Value, node: Option<&Node>) -> Option<NonFinite> {
        let is_own = matches!(self.kind(value), Some(StateKind::Slot { .. } | StateKind::GradientSum { .. }));
        let is_number = |v: f64| if is_own { v.is_finite() } else { (v as f32).is_finite() };
        let index = data.iter().position(|&v| !is_number(v))?;
        Some(NonFinite {
            op: node.map(|n| n.op.name()),
            layer: node.map(|n| self.tape.layer(n).to_owned()).unwrap_or_default(),
            at: node.map(|n| n.at),
            value: self.name_of(value),
            index,
            element: data[index] as f32,
        })
    }
}
