//! Gradient checkpointing: results of the forward pass that only gradients read are made again when these are
//! due, rather than kept until then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::{Tape, schedule};
use crate::error::{Error, Result};
use crate::graph::{Node, Phase, Value};

/// How many times smaller than what it is made of a result is that is kept in any case.
const SMALL: u64 = 32;

/// How [`Tape::recompute`] cuts the forward pass into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recompute {
    layers: usize,
}

impl Recompute {
    /// Segments of `layers` layers each, those nested in others counted by themselves; of up to twice as many
    /// where fewer bytes cross from one segment to the next there, as at the end of a residual block. The root
    /// of the number of layers is a good choice: then as much is kept between segments as within one.
    /// Operators outside of layers belong to the layer before them; without any layers, each counts as one.
    pub fn every(layers: usize) -> Self {
        Recompute { layers }
    }
}

/// What a [recomputing](Tape::recompute) tape saves and costs. [`Display`](fmt::Display) prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recomputed {
    /// How many segments run again.
    pub segments: usize,
    /// How many operators run again.
    pub operators: usize,
    /// Multiply-adds of products and convolutions that are done again.
    pub multiply_adds: u64,
    /// Multiply-adds of the step as it was recorded.
    pub step_multiply_adds: u64,
    /// Bytes of results that the forward pass keeps for the gradients.
    pub kept_bytes: u64,
    /// Bytes that the recorded step keeps for them.
    pub step_kept_bytes: u64,
}

impl fmt::Display for Recomputed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recomputed { segments, operators, multiply_adds, step_multiply_adds, .. } = *self;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let share = 100.0 * multiply_adds as f64 / step_multiply_adds.max(1) as f64;
        write!(
            f,
            "recomputed: {operators} operators of {segments} segments, {multiply_adds} multiply-adds "
        )?;
        write!(f, "(+{share:.0} %); for the gradients, the forward pass keeps ")?;
        write!(f, "{:.1} MiB, not {:.1}", mib(self.kept_bytes), mib(self.step_kept_bytes))
    }
}

/// The forward pass of a tape, in segments.
struct Segments<'a> {
    tape: &'a Tape,
    /// The segment of each operator of the forward pass that overwrites nothing.
    of_op: Vec<Option<usize>>,
    /// The operator that makes each value.
    makers: HashMap<Value, usize>,
    /// Values that stay from when they are made: other segments read them, the program does, or they are small.
    lasting: BTreeSet<Value>,
    /// How many segments there are before the last, whose results are due at once.
    before_last: usize,
}

/// Operators of a segment that run again, before operator `at`.
struct Again {
    at: usize,
    ops: Vec<usize>,
}

impl Tape {
    /// The tape of the same step that keeps less in memory: of the forward pass, what crosses from one segment
    /// to the next, and what a segment's gradients need besides is made again just before they are. It costs at
    /// most a second forward pass. Results are the same bit for bit: random operators draw the same numbers,
    /// and running statistics advance once. The last segment, whose gradients come first, does not run again.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut model = Sequential::new();
    /// for _ in 0..9 {
    ///     model = model.add(Dense::new(512).activation(Activation::Relu));
    /// }
    /// let mut g = Graph::new();
    /// let x = g.input("x", [64, 512]);
    /// let y = model.record(&mut g, x, Mode::Training)?;
    /// let loss = g.mean(g.square(y)?, &[], false)?;
    /// let step = g.training_step(loss, &Sgd::new(0.01))?;
    /// let small = step.recompute(Recompute::every(3))?;
    /// let profile = retape::tape::DeviceProfile::baseline();
    /// let peak = |tape: &Tape| tape.plan(&profile).map(|plan| plan.peak_bytes());
    /// assert!(peak(&small)? < peak(&step)?);
    /// println!("{}", small.recomputed().expect("segments"));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for segments of no layer.
    pub fn recompute(&self, recompute: Recompute) -> Result<Tape> {
        Error::expect(recompute.layers > 0, "every", recompute.layers, "at least 1 layer")?;
        let segments = Segments::new(self, recompute.layers);
        let again = segments.again();
        let mut tape = self.clone();
        let first = tape.recording.nodes.len();
        let nodes = tape.with_again(&again);
        tape.recording.replace_nodes(&nodes);
        let needed: Vec<bool> = (0..tape.recording.nodes.len()).map(|node| node >= first).collect();
        let overwrites = |node: &usize| !tape.recording.nodes[*node].op.mutates().is_empty();
        let mutating: Vec<usize> = (first..needed.len()).filter(overwrites).collect();
        tape.ops = schedule(&tape.recording, &needed, &mutating);
        tape.held.extend(tape.ops.iter().flat_map(Node::touched));
        let repeated = again.iter().flat_map(|again| &again.ops);
        tape.recomputed = Some(Recomputed {
            segments: again.len(),
            operators: repeated.clone().filter(|&&op| !self.ops[op].op.is_view()).count(),
            multiply_adds: repeated.map(|&op| self.multiply_adds(&self.ops[op])).sum(),
            step_multiply_adds: self.ops.iter().map(|node| self.multiply_adds(node)).sum(),
            kept_bytes: tape.kept_for_gradients(),
            step_kept_bytes: self.kept_for_gradients(),
        });
        Ok(tape)
    }

    /// What [`recompute`](Tape::recompute) saves and costs; `None` for any other tape.
    pub fn recomputed(&self) -> Option<&Recomputed> {
        self.recomputed.as_ref()
    }

    fn multiply_adds(&self, node: &Node) -> u64 {
        node.op.multiply_adds(&self.types(&node.inputs), &self.types(&node.outputs))
    }

    /// Bytes of what the forward pass makes and another phase reads.
    fn kept_for_gradients(&self) -> u64 {
        let of_forward = |node: &&Node| node.phase == Phase::Forward;
        let made: BTreeSet<Value> =
            self.ops.iter().filter(of_forward).flat_map(|n| &n.outputs).map(|&v| self.root(v)).collect();
        let later = self.ops.iter().filter(|node| !of_forward(node));
        let read: BTreeSet<Value> = later.flat_map(|node| &node.inputs).map(|&v| self.root(v)).collect();
        made.intersection(&read).map(|&value| self.padded_bytes(value)).sum()
    }

    /// The operators, with those that run again where they do; what is not of the forward pass reads their
    /// results.
    fn with_again(&mut self, again: &[Again]) -> Vec<Node> {
        let ops = std::mem::take(&mut self.ops);
        let mut copies: BTreeMap<Value, Value> = BTreeMap::new();
        let copied = |copies: &BTreeMap<Value, Value>, node: &Node| {
            node.inputs.iter().map(|value| copies.get(value).copied().unwrap_or(*value)).collect()
        };
        let mut nodes = Vec::new();
        for (index, node) in ops.iter().enumerate() {
            for &op in again.iter().filter(|again| again.at == index).flat_map(|again| &again.ops) {
                let inputs = copied(&copies, &ops[op]);
                let outputs: Vec<Value> = ops[op]
                    .outputs
                    .iter()
                    .map(|&value| self.recording.add_result(self.recording.ty(value)))
                    .collect();
                copies.extend(ops[op].outputs.iter().copied().zip(outputs.iter().copied()));
                nodes.push(Node { inputs, outputs, phase: Phase::Recompute, ..ops[op].clone() });
            }
            let mut node = node.clone();
            if node.phase != Phase::Forward {
                node.inputs = copied(&copies, &node);
            }
            nodes.push(node);
        }
        nodes
    }
}

impl<'a> Segments<'a> {
    fn new(tape: &'a Tape, layers: usize) -> Self {
        let makers = tape.makers();
        let forward: Vec<usize> = (0..tape.ops.len()).filter(|&op| is_repeatable(&tape.ops[op])).collect();
        let cuts = Cuts::new(tape, &makers, &forward).every(layers);
        let segment_of =
            |op: usize| is_repeatable(&tape.ops[op]).then(|| cuts.partition_point(|&cut| cut <= op));
        let of_op: Vec<Option<usize>> = (0..tape.ops.len()).map(segment_of).collect();
        let mut lasting: BTreeSet<Value> = tape.kept().map(|value| tape.root(value)).collect();
        for &op in &forward {
            let inputs = tape.ops[op].inputs.iter().map(|&value| tape.root(value));
            let from_elsewhere =
                |value: &Value| makers.get(value).is_some_and(|&maker| of_op[maker] != of_op[op]);
            lasting.extend(inputs.filter(from_elsewhere));
        }
        lasting.extend(forward.iter().flat_map(|&op| small_results(tape, &tape.ops[op])));
        Segments { tape, of_op, makers, lasting, before_last: cuts.len() }
    }

    /// What runs again.
    fn again(&self) -> Vec<Again> {
        (0..self.before_last).rev().filter_map(|segment| self.again_of(segment)).collect()
    }

    /// What of a segment runs again, before the first operator that needs it.
    fn again_of(&self, segment: usize) -> Option<Again> {
        let ops = &self.tape.ops;
        let is_later = |op: &usize| ops[*op].phase != Phase::Forward;
        let reads = |op: &usize| ops[*op].inputs.iter().any(|&input| self.is_remade(input, segment));
        let at = (0..ops.len()).filter(is_later).find(reads)?;
        let due = (0..ops.len()).filter(is_later).flat_map(|op| &ops[op].inputs);
        let mut due: BTreeSet<Value> = due.copied().filter(|&value| self.is_remade(value, segment)).collect();
        let mut again = Vec::new();
        for op in (0..ops.len()).rev().filter(|&op| self.of_op[op] == Some(segment)) {
            if ops[op].outputs.iter().any(|output| due.contains(output)) {
                due.extend(ops[op].inputs.iter().filter(|input| self.is_remade(**input, segment)));
                again.push(op);
            }
        }
        again.reverse();
        // Gradients in the midst of a segment, as of a gradient penalty, read what is made before them.
        (*again.last()? < at).then_some(Again { at, ops: again })
    }

    /// Whether a value is of a segment and does not stay by itself.
    fn is_remade(&self, value: Value, segment: usize) -> bool {
        let is_of = |op: usize| self.of_op[op] == Some(segment);
        self.makers.get(&value).is_some_and(|&maker| is_of(maker))
            && !self.lasting.contains(&self.tape.root(value))
    }
}

/// Whether an operator is of the forward pass and may run again.
fn is_repeatable(node: &Node) -> bool {
    node.phase == Phase::Forward && node.op.mutates().is_empty()
}

/// Results that are not worth making again, such as the moments of a normalisation.
fn small_results(tape: &Tape, node: &Node) -> impl Iterator<Item = Value> {
    let read = node.inputs.iter().map(|&value| tape.padded_bytes(value)).max().unwrap_or(0);
    node.outputs.iter().copied().filter(move |&output| SMALL * tape.padded_bytes(output) <= read)
}

/// Where segments may begin: at the first operator of each layer.
struct Cuts {
    /// The operator, and how many bytes cross there.
    places: Vec<(usize, u64)>,
}

impl Cuts {
    fn new(tape: &Tape, makers: &HashMap<Value, usize>, forward: &[usize]) -> Self {
        let has_layers = forward.iter().any(|&op| tape.ops[op].layer > 0);
        let mut layer = None;
        let mut begins = Vec::new();
        for &op in forward {
            let own = Some(tape.ops[op].layer).filter(|&own| own > 0);
            if !has_layers || own.is_some() && own != layer {
                begins.push(op);
            }
            layer = own.or(layer);
        }
        // Where each result of the forward pass is read last there.
        let mut last: BTreeMap<Value, usize> = BTreeMap::new();
        for &op in forward {
            let inputs = tape.ops[op].inputs.iter().map(|&value| tape.root(value));
            last.extend(inputs.filter(|value| makers.contains_key(value)).map(|value| (value, op)));
        }
        let crossing = |begin: usize| {
            let crosses = |&(value, &last): &(&Value, &usize)| makers[value] < begin && begin <= last;
            last.iter().filter(crosses).map(|(&value, _)| tape.padded_bytes(value)).sum()
        };
        Cuts { places: begins.into_iter().map(|begin| (begin, crossing(begin))).collect() }
    }

    /// The operators that segments of so many layers begin with, but for the first.
    fn every(&self, layers: usize) -> Vec<usize> {
        let mut cuts = Vec::new();
        let mut at = layers;
        while at < self.places.len() {
            let reach = &self.places[at..at.saturating_add(layers).min(self.places.len())];
            let cheapest = reach.iter().enumerate().min_by_key(|(_, (_, bytes))| *bytes);
            let Some((further, &(op, _))) = cheapest else { break };
            cuts.push(op);
            at = at.saturating_add(further).saturating_add(layers);
        }
        cuts
    }
}
