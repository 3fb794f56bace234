//! The tape: a flat, ordered list of operators, forward, backward and update, that is recorded
//! once, printed, planned and replayed.

mod bind;
mod differentiate;
mod fuse;
mod overlap;
mod pack;
mod plan;
mod print;
mod recompute;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use crate::kernel::{DeviceKind, DeviceProfile, Work};
pub(crate) use differentiate::differentiate;
pub(crate) use pack::{Place, SharedLayout};
pub(crate) use plan::Layout;
pub use plan::{BoundBuffer, BufferPlan, BufferRole, Dispatch, Plan, ValuePlan};
pub use recompute::{Recompute, Recomputed};

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Phase, Recording, Source, StateKind, Value, ValueInfo};
use crate::ops::chain::Chain;
use crate::ops::merged::Merged;
use crate::shape::TensorType;

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
    recomputed: Option<Recomputed>,
}

/// # Gradients and tapes
///
/// Gradients of f32 losses, of one element each, with respect to any f32 values, in the shapes of these; and
/// tapes that compute chosen values.
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

        let roots = outputs.iter().chain(&recording.kept).copied().collect();
        Tape::of_nodes(recording, roots, &mutating)
    }

    /// The tape of updates alone, without the forward pass that a graph has beside them.
    pub(crate) fn of_updates(graph: &Graph, updates: &[usize]) -> Result<Tape> {
        let recording = graph.recording().clone();
        let is_state = |v: &Value| recording.values[v.index()].source.is_persistent();
        let roots = recording.kept.iter().copied().filter(is_state).collect();
        let mutates = |&i: &usize| !recording.nodes[i].op.mutates().is_empty();
        let mutating: Vec<usize> = updates.iter().copied().filter(mutates).collect();
        Tape::of_nodes(recording, roots, &mutating)
    }

    /// What some values and operators that overwrite states need, in order.
    fn of_nodes(recording: Recording, roots: Vec<Value>, mutating: &[usize]) -> Result<Tape> {
        let mut needed = vec![false; recording.nodes.len()];
        let mut todo: Vec<usize> = mutating.to_vec();
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
        let ops = schedule(&recording, &needed, mutating);
        let held: BTreeSet<Value> = ops.iter().flat_map(Node::touched).chain(roots.iter().copied()).collect();
        held.iter().try_for_each(|&v| recording.check_declaration(v))?;
        let kept = roots.into_iter().collect();
        let (losses, gradients, gradient_norm) = (Vec::new(), BTreeMap::new(), None);
        Ok(Tape { recording, ops, kept, losses, gradients, gradient_norm, held, recomputed: None })
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
            self.expect(value)?;
            self.kept.insert(value);
        }
        Ok(self)
    }

    /// Keeps every parameter's gradient readable after each replay.
    #[must_use]
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
        self.recording.owns(value).then(|| self.info(value))
    }

    /// What there is to do in an operator that reads each of its inputs once and writes each result once.
    pub(crate) fn work_of(&self, node: &Node) -> Work {
        let multiply_adds = node.op.multiply_adds(&self.types(&node.inputs), &self.types(&node.outputs));
        if node.op.is_view() {
            return Work::default();
        }
        let touched = node.inputs.iter().copied().chain(node.written());
        let bytes = touched.map(|value| self.recording.ty(value).bytes()).fold(0, u64::saturating_add);
        Work::new(multiply_adds, multiply_adds, bytes)
    }

    /// The layer's name of an operator; empty for none.
    pub fn layer(&self, node: &Node) -> &str {
        &self.recording.layers[node.layer]
    }

    /// The persistent values (inputs, parameters, states, constants) that the tape uses, in
    /// declaration order.
    pub fn persistent(&self) -> Vec<Value> {
        self.held.iter().copied().filter(|&v| self.info(v).source.is_persistent()).collect()
    }

    /// The parameters that the tape uses, trained and frozen, in declaration order.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = Value> + '_ {
        let is_parameter = |v: &Value| matches!(self.recording.kind(*v), Some(StateKind::Weight { .. }));
        self.persistent().into_iter().filter(is_parameter)
    }

    /// The last operator that reads or makes each value, or the number of operators for one that outlives the
    /// step: what is collected last counts.
    pub(crate) fn last_uses(&self) -> HashMap<Value, usize> {
        let uses = self.ops.iter().enumerate().flat_map(|(index, n)| n.touched().map(move |v| (v, index)));
        let outliving = self.kept().chain(self.persistent()).map(|v| (v, self.ops.len()));
        uses.chain(outliving).collect()
    }

    /// The operator that makes each value.
    fn makers(&self) -> HashMap<Value, usize> {
        let numbered = self.ops.iter().enumerate();
        numbered.flat_map(|(index, node)| node.outputs.iter().map(move |&output| (output, index))).collect()
    }

    pub(crate) fn recording(&self) -> &Recording {
        &self.recording
    }

    /// What is known about a value of the recording.
    pub(crate) fn info(&self, value: Value) -> &ValueInfo {
        &self.recording.values[value.index()]
    }

    /// Shapes and dtypes of values.
    pub(crate) fn types(&self, values: &[Value]) -> Vec<TensorType> {
        values.iter().map(|&v| self.recording.ty(v)).collect()
    }

    /// What is known about a value; fails if the tape neither computes nor uses it.
    pub(crate) fn expect(&self, value: Value) -> Result<&ValueInfo> {
        if self.held.contains(&value) { Ok(self.info(value)) } else { Err(self.unknown_value(value)) }
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

impl Node {
    /// The name of its operator; of a fused one, those of the recorded operators that it stands for.
    pub(crate) fn title(&self) -> String {
        let is_fused = self.stands_for().next().is_some();
        if is_fused { self.op.attributes() } else { self.op.name().to_owned() }
    }

    /// The recorded operators that it stands for, where it is a fused one; else none.
    pub(crate) fn stands_for(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        let op = self.op.as_ref();
        if let Some(chain) = Chain::of(op) {
            return Box::new(chain.members().iter().flat_map(|member| {
                let own = Merged::of(member.node.op.as_ref());
                own.map_or(std::slice::from_ref(&member.node).iter().collect::<Vec<_>>(), |m| {
                    m.nodes().collect()
                })
            }));
        }
        Box::new(Merged::of(op).into_iter().flat_map(Merged::nodes))
    }

    /// What it reads and what it makes.
    pub(crate) fn touched(&self) -> impl Iterator<Item = Value> + '_ {
        self.inputs.iter().chain(&self.outputs).copied()
    }

    /// The inputs that it overwrites.
    pub(crate) fn mutated(&self) -> impl Iterator<Item = Value> + '_ {
        self.op.mutates().iter().map(|&i| self.inputs[i])
    }

    /// What it makes and overwrites: what its reference gives, in that order.
    pub(crate) fn written(&self) -> impl Iterator<Item = Value> + '_ {
        self.outputs.iter().copied().chain(self.mutated())
    }
}

/// Orders the needed operators: those that overwrite nothing as recorded, each update as soon as
/// its inputs exist, no one needs the old contents, and the updates before it that it conflicts
/// with have run.
fn schedule(recording: &Recording, needed: &[bool], mutating: &[usize]) -> Vec<Node> {
    let is_pure = |&i: &usize| needed[i] && recording.nodes[i].op.mutates().is_empty();
    // Position p stands for "after the p-th pure operator". That operator comes first there and then the
    // updates as recorded: the order is made in this way and sorted by a stable sort.
    let mut order: Vec<(usize, usize)> = (1..).zip((0..needed.len()).filter(is_pure)).collect();
    let mut ready: BTreeMap<Value, usize> = BTreeMap::new();
    let mut last_read: BTreeMap<Value, usize> = BTreeMap::new();
    for &(position, node) in &order {
        let node = &recording.nodes[node];
        last_read.extend(node.inputs.iter().map(|&input| (recording.root(input), position)));
        ready.extend(node.outputs.iter().map(|&output| (output, position)));
    }
    let at = |map: &BTreeMap<Value, usize>, value: &Value| map.get(value).copied().unwrap_or(0);
    let mut touched: BTreeMap<Value, usize> = BTreeMap::new();
    let mut mutated: BTreeMap<Value, usize> = BTreeMap::new();
    for &index in mutating {
        let node = &recording.nodes[index];
        let reads: Vec<Value> = node.inputs.iter().map(|&input| recording.root(input)).collect();
        let writes: Vec<Value> = node.mutated().map(|input| recording.root(input)).collect();
        let made = node.inputs.iter().map(|input| at(&ready, input));
        let updated = reads.iter().map(|read| at(&mutated, read));
        let released = writes.iter().map(|write| at(&last_read, write).max(at(&touched, write)));
        let position = made.chain(updated).chain(released).max().unwrap_or(0);
        for read in reads {
            touched.insert(read, position.max(at(&touched, &read)));
        }
        mutated.extend(writes.into_iter().map(|write| (write, position)));
        order.push((position, index));
    }
    order.sort_by_key(|&(position, _)| position);
    order.into_iter().map(|(_, node)| recording.nodes[node].clone()).collect()
}
