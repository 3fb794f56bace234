//! The tape: a flat, ordered list of operators, forward, backward and update, that is recorded
//! once, printed, planned and replayed.

mod bind;
mod differentiate;
mod pack;
mod plan;
mod print;

use std::collections::{BTreeMap, BTreeSet};

pub use crate::kernel::{DeviceKind, DeviceProfile};
pub(crate) use differentiate::differentiate;
pub(crate) use pack::{Place, SharedLayout};
pub use plan::{BoundBuffer, BufferPlan, BufferRole, Dispatch, Plan, ValuePlan};

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Phase, Recording, Source, Value, ValueInfo};

/// A recorded step.
///
/// Operators read every parameter and state as it was when the step began. Operators that overwrite
/// them (optimisers, assignments) run as soon as nothing reads the old contents any more, and among
/// themselves in the order they were recorded.
#[derive(Clone, Debug)]
pub struct Tape {
    recording: Recording,
    ops: Vec<Node>,
    kept: BTreeSet<Value>,
    losses: Vec<Value>,
    gradients: BTreeMap<Value, Value>,
    gradient_norm: Option<Value>,
    /// Everything the tape uses or computes.
    held: BTreeSet<Value>,
}

/// # Gradients and tapes
impl Graph {
    /// The gradients of the sum of `losses` with respect to `wrt`, recorded by reverse-mode
    /// differentiation. A value that the losses do not depend on has a gradient of zeros.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [3]);
    /// let y = g.sum(g.square(x)?, &[], false)?;
    /// let dx = g.differentiate(y, &[x])?[0];
    /// let mut session = g.forward([dx])?.session(&Device::cpu())?;
    /// session.write(x, &[1.0, 2.0, 3.0])?;
    /// session.replay()?;
    /// assert_eq!(session.read(dx)?, [2.0, 4.0, 6.0]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::LossNotScalar`], [`Error::NoGradient`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn differentiate(&self, losses: impl Into<Vec<Value>>, wrt: &[Value]) -> Result<Vec<Value>> {
        let losses = losses.into();
        let zeros = |of: Value| self.broadcast_to(self.scalar_constant(0.0), self.shape_of(of));
        self.composed("differentiate", || {
            let found = differentiate(self, &losses, wrt)?;
            wrt.iter().zip(found).map(|(&v, grad)| grad.map_or_else(|| zeros(v), Ok)).collect()
        })
    }

    /// The tape that computes `outputs` and the values named in [`keep`](Graph::keep), and advances
    /// the states assigned in the graph.
    ///
    /// # Errors
    /// [`Error::ForeignValue`], and what is wrong with the declaration of a value that the tape needs.
    #[track_caller]
    pub fn forward(&self, outputs: impl Into<Vec<Value>>) -> Result<Tape> {
        self.located("forward", Tape::collect(self, &outputs.into(), &[]))
    }
}

impl Tape {
    /// Selects the operators that `outputs`, the graph's kept values, the program's own assignments
    /// and the updates among nodes `updates` need, and puts them in order.
    pub(crate) fn collect(graph: &Graph, outputs: &[Value], updates: &[usize]) -> Result<Tape> {
        let recording = graph.recording().clone();
        if outputs.iter().any(|&v| !recording.owns(v)) {
            return Err(Error::ForeignValue);
        }
        let mutating: Vec<usize> = (0..recording.nodes.len())
            .filter(|&i| !recording.nodes[i].op.mutates().is_empty())
            .filter(|&i| recording.nodes[i].phase == Phase::Forward || updates.contains(&i))
            .collect();

        let roots: Vec<Value> = outputs.iter().chain(&recording.kept).copied().collect();
        let mut needed = vec![false; recording.nodes.len()];
        let mut todo: Vec<usize> = mutating.clone();
        let producer = |v: &Value| match recording.values[v.index()].source {
            Source::Op { node, .. } => Some(node),
            _ => None,
        };
        todo.extend(roots.iter().filter_map(producer));
        while let Some(node) = todo.pop() {
            if !std::mem::replace(&mut needed[node], true) {
                todo.extend(recording.nodes[node].inputs.iter().filter_map(producer));
            }
        }
        let ops = schedule(&recording, &needed, &mutating);
        let touched = ops.iter().flat_map(|n| n.inputs.iter().chain(&n.outputs));
        let held: BTreeSet<Value> = touched.chain(&roots).copied().collect();
        held.iter().try_for_each(|&v| recording.check_declaration(v))?;
        let kept = roots.into_iter().collect();
        let (losses, gradients, gradient_norm) = (Vec::new(), BTreeMap::new(), None);
        Ok(Tape { recording, ops, kept, losses, gradients, gradient_norm, held })
    }

    /// Says what a training step minimises, and by which gradients and which norm of them.
    pub(crate) fn of_training(
        mut self,
        losses: Vec<Value>,
        gradients: BTreeMap<Value, Value>,
        norm: Option<Value>,
    ) -> Tape {
        (self.losses, self.gradients, self.gradient_norm) = (losses, gradients, norm);
        self
    }

    /// Keeps values readable after each replay: their buffers are not reused within the step.
    pub fn keep(mut self, values: impl Into<Vec<Value>>) -> Result<Tape> {
        for value in values.into() {
            if !self.holds(value) {
                return Err(self.unknown_value(value));
            }
            self.kept.insert(value);
        }
        Ok(self)
    }

    /// Keeps every parameter's gradient readable after each replay.
    pub fn keep_gradients(mut self) -> Tape {
        self.kept.extend(self.gradients.values());
        self
    }

    /// The gradient of a parameter in a training step, if the loss depends on it.
    pub fn gradient(&self, parameter: Value) -> Option<Value> {
        self.gradients.get(&parameter).copied()
    }

    /// The norm over all gradients of a training step whose optimiser clips by it
    /// ([`Clip::GlobalNorm`](crate::train::Clip::GlobalNorm)), as it was before clipping; with several
    /// such limits, before the first. It is kept: `session.read_scalar` reads it after a replay.
    pub fn gradient_norm(&self) -> Option<Value> {
        self.gradient_norm
    }

    /// The losses of a training step.
    pub fn losses(&self) -> &[Value] {
        &self.losses
    }

    /// The operators in order.
    pub fn ops(&self) -> &[Node] {
        &self.ops
    }

    /// The values that stay readable after a replay, besides inputs, parameters and states.
    pub fn kept(&self) -> impl Iterator<Item = Value> + '_ {
        self.kept.iter().copied()
    }

    /// What is known about a value.
    pub fn value(&self, value: Value) -> Option<&ValueInfo> {
        self.recording.owns(value).then(|| &self.recording.values[value.index()])
    }

    /// The layer's name of an operator; empty for none.
    pub fn layer(&self, node: &Node) -> &str {
        &self.recording.layers[node.layer]
    }

    /// The persistent values (inputs, parameters, states, constants) that the tape uses, in
    /// declaration order.
    pub fn persistent(&self) -> Vec<Value> {
        let is_persistent = |v: &&Value| self.recording.values[v.index()].source.is_persistent();
        self.held.iter().filter(is_persistent).copied().collect()
    }

    pub(crate) fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Whether the tape computes or uses the value.
    pub(crate) fn holds(&self, value: Value) -> bool {
        self.held.contains(&value)
    }

    pub(crate) fn unknown_value(&self, value: Value) -> Error {
        let known = self.persistent().into_iter().chain(self.kept.iter().copied());
        let known = known.map(|v| self.recording.describe(v)).collect();
        let name = if self.recording.owns(value) {
            self.recording.describe(value)
        } else {
            format!("{value:?} of another graph")
        };
        Error::Unknown { what: "value", name, known }
    }

    /// The value whose buffer `value` is a view of; itself if it is none.
    pub(crate) fn root(&self, value: Value) -> Value {
        self.recording.root(value)
    }
}

/// Orders the needed operators: those that overwrite nothing as recorded, each update as soon as
/// its inputs exist, no one needs the old contents, and the updates before it that it conflicts
/// with have run.
fn schedule(recording: &Recording, needed: &[bool], mutating: &[usize]) -> Vec<Node> {
    let is_pure = |&i: &usize| recording.nodes[i].op.mutates().is_empty();
    let pure: Vec<usize> = (0..needed.len()).filter(|&i| needed[i]).filter(is_pure).collect();
    let mut ready: BTreeMap<Value, usize> = BTreeMap::new();
    let mut last_read: BTreeMap<Value, usize> = BTreeMap::new();
    for (position, &node) in pure.iter().enumerate() {
        let node = &recording.nodes[node];
        for &input in &node.inputs {
            last_read.insert(recording.root(input), position + 1);
        }
        for &output in &node.outputs {
            ready.insert(output, position + 1);
        }
    }
    // Position p stands for "after the p-th pure operator"; ties keep the recorded order.
    let mut touched: BTreeMap<Value, usize> = BTreeMap::new();
    let mut mutated: BTreeMap<Value, usize> = BTreeMap::new();
    let mut placed: Vec<(usize, usize)> = Vec::new();
    for &index in mutating {
        let node = &recording.nodes[index];
        let writes: Vec<Value> = node.op.mutates().iter().map(|&i| recording.root(node.inputs[i])).collect();
        let mut position = 0;
        for &input in &node.inputs {
            let base = recording.root(input);
            position = position.max(ready.get(&input).copied().unwrap_or(0));
            position = position.max(mutated.get(&base).copied().unwrap_or(0));
        }
        for write in &writes {
            position = position.max(last_read.get(write).copied().unwrap_or(0));
            position = position.max(touched.get(write).copied().unwrap_or(0));
        }
        for &input in &node.inputs {
            let base = recording.root(input);
            let latest = touched.entry(base).or_default();
            *latest = position.max(*latest);
        }
        for write in writes {
            mutated.insert(write, position);
        }
        placed.push((position, index));
    }
    placed.sort_by_key(|&(position, _)| position);
    let mut order = Vec::with_capacity(pure.len() + placed.len());
    let mut placed = placed.into_iter().peekable();
    for position in 0..=pure.len() {
        if position > 0 {
            order.push(recording.nodes[pure[position - 1]].clone());
        }
        while let Some((_, index)) = placed.next_if(|&(at, _)| at == position) {
            order.push(recording.nodes[index].clone());
        }
    }
    order
}
