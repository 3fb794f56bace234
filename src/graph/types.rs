use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

use super::{Init, Op};
use crate::shape::TensorType;

/// A value of a [`Graph`](super::Graph): an input, a parameter or the result of an operator. A plain handle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    pub(super) graph: u32,
    pub(super) index: u32,
}

impl Value {
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.index)
    }
}

impl From<Value> for Vec<Value> {
    fn from(value: Value) -> Self {
        vec![value]
    }
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Written by the program before a replay.
    Input,
    /// Written by the program; targets are checked to be finite, class labels to be in range.
    Labels,
    /// A trained parameter.
    Parameter(Init),
    /// Persistent state that the tape itself advances, such as an optimiser's moments.
    State(Init),
    /// Fixed contents, held as f64 (exact for both dtypes).
    Constant(Arc<[f64]>),
    /// Output `output` of the operator recorded as number `node`.
    Op {
        /// The operator's number in the graph.
        node: usize,
        /// Which of its outputs.
        output: usize,
    },
}

impl Source {
    /// Whether its buffer outlives a step.
    pub fn is_persistent(&self) -> bool {
        !matches!(self, Source::Op { .. })
    }
}

/// What is known about a value.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// Shape and dtype.
    pub ty: TensorType,
    /// Where it comes from.
    pub source: Source,
    /// Its name; computed values have none unless [`Graph::name`](super::Graph::name) gave one.
    pub name: Option<String>,
    /// For indices and labels: one more than the largest number allowed.
    pub limit: Option<u32>,
}

/// An operator as recorded.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operator.
    pub op: Arc<dyn Op>,
    /// Its inputs.
    pub inputs: Vec<Value>,
    /// Its outputs.
    pub outputs: Vec<Value>,
    /// Index of its layer's name; 0 is "no layer".
    pub layer: usize,
    /// The line that recorded it; for gradients, the line of the operator they belong to.
    pub at: &'static Location<'static>,
    /// Which part of the step it belongs to.
    pub phase: Phase,
}

/// An operator that training steps apply to a parameter after each update.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub parameter: Value,
    pub op: Arc<dyn Op>,
    /// What it reads beside the parameter.
    pub others: Vec<Value>,
}

/// A state that follows a parameter: `average = decay average + (1 - decay) parameter`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Average {
    pub average: Value,
    pub parameter: Value,
    pub decay: f32,
}

/// The parts of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Recorded by the program.
    #[default]
    Forward,
    /// Recorded by differentiation.
    Backward,
    /// Recorded by an optimiser.
    Update,
}

/// What operators are recorded under.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    pub layer: usize,
    pub phase: Phase,
    /// The line that gradients belong to, and what the crate records on its own.
    pub at: Option<&'static Location<'static>>,
}

impl Context {
    /// That of a call at a line, unless an outer call has a line of the program's already.
    pub fn called_at(self, at: &'static Location<'static>) -> Context {
        Context { at: self.at.or(Some(at).filter(|at| !is_own(at))), ..self }
    }

    /// The line that an operator recorded at `at` is attributed to. One that a program's own layer or
    /// optimiser records keeps its line; one of a gradient has that of the operator it belongs to.
    pub fn line(&self, at: &'static Location<'static>) -> &'static Location<'static> {
        match self.at {
            Some(outer) if self.phase == Phase::Backward || is_own(at) => outer,
            _ => at,
        }
    }
}

/// Whether a line is one of this crate's.
pub(crate) fn is_own(at: &Location<'_>) -> bool {
    let sources = Path::new(file!()).parent().and_then(Path::parent);
    sources.is_some_and(|sources| Path::new(at.file()).starts_with(sources))
}
