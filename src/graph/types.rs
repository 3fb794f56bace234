use std::fmt;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "checkpoints")]
use serde::{Deserialize, Serialize};

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
#[non_exhaustive]
pub enum Source {
    /// Written by the program before a replay.
    Input,
    /// Written by the program; targets are checked to be finite, class labels to be in range.
    Labels,
    /// Kept from replay to replay, and advanced by the tape itself.
    State(StateKind, Init),
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

    /// What a state is; `None` for anything else.
    pub fn state_kind(&self) -> Option<StateKind> {
        match self {
            Source::State(kind, _) => Some(*kind),
            _ => None,
        }
    }

    /// Whether it is a weight that training moves.
    pub fn is_trained(&self) -> bool {
        self.state_kind() == Some(StateKind::Weight { trained: true })
    }
}

/// What a state is for. A relation is to a value of the same graph.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// A weight: moved by training, or frozen.
    Weight {
        /// Whether training moves it.
        trained: bool,
    },
    /// A weight of a model that the tape advances by itself, such as a running mean.
    Statistic,
    /// The program's own.
    Own,
    /// What a layer carries from replay to replay; no part of a model's weights.
    Carried,
    /// What an optimiser keeps beside a parameter, such as a velocity.
    Slot {
        /// The parameter.
        of: Value,
    },
    /// Ones and zeros that a weight is multiplied with.
    Mask {
        /// The weight.
        of: Value,
    },
    /// A moving average of a parameter.
    Average {
        /// The parameter.
        of: Value,
    },
    /// The gradients of a parameter, summed up for an update to come.
    GradientSum {
        /// The parameter.
        of: Value,
    },
    /// Over how many steps of sequences those gradients are summed up.
    GradientCount,
    /// A sum over the steps of an epoch, such as that of the losses.
    Accumulator,
}

impl StateKind {
    /// The value that the state is there for.
    pub fn of(self) -> Option<Value> {
        self.relation().1
    }

    /// Whether it belongs to a model: what weights files hold.
    pub fn is_weight(self) -> bool {
        matches!(self, StateKind::Weight { .. } | StateKind::Statistic)
    }

    /// The role that its name is unique within, and the value that it is there for.
    pub(super) fn relation(self) -> (Role, Option<Value>) {
        match self {
            Self::Slot { of } => (Role::Slot, Some(of)),
            Self::Mask { of } => (Role::Mask, Some(of)),
            Self::Average { of } => (Role::Average, Some(of)),
            Self::GradientSum { of } => (Role::GradientSum, Some(of)),
            Self::GradientCount => (Role::GradientSum, None),
            Self::Accumulator => (Role::Accumulator, None),
            Self::Weight { .. } | Self::Statistic | Self::Own | Self::Carried => (Role::Named, None),
        }
    }
}

/// What a state is called across graphs: two recordings of a program mean the same state by the same key.
/// Relations are part of it, so that no name can be taken for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "checkpoints", derive(Serialize, Deserialize))]
pub(crate) struct StateKey {
    pub role: Role,
    /// The name it was declared under; of what is there for another value, its name beside that one.
    pub name: String,
    /// What it is there for.
    pub of: Option<Arc<StateKey>>,
}

impl StateKey {
    /// That of a weight, or of a state of the program's.
    pub fn named(name: &str) -> Self {
        StateKey { role: Role::Named, name: name.to_owned(), of: None }
    }
}

/// For people: `dense.weight.velocity`.
impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Some(of) => write!(f, "{of}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The kinds of states whose names are apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "checkpoints", derive(Serialize, Deserialize), serde(rename_all = "snake_case"))]
pub(crate) enum Role {
    /// Weights, statistics, what layers carry, and the program's own states.
    Named,
    Input,
    Slot,
    Mask,
    Average,
    GradientSum,
    Accumulator,
}

/// What is known about a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ValueInfo {
    /// Shape and dtype.
    pub ty: TensorType,
    /// Where it comes from.
    pub source: Source,
    /// Its name; computed values have none unless [`Graph::name`](super::Graph::name) gave one.
    pub name: Option<String>,
    /// For indices and labels: one more than the largest number allowed.
    pub limit: Option<u32>,
    /// What it is called across graphs, if it is declared under a name.
    pub(crate) key: Option<Arc<StateKey>>,
    /// Index of the name of the layer that declared it.
    pub(crate) layer: usize,
}

impl ValueInfo {
    /// One that is computed, or has fixed contents.
    pub(super) fn unnamed(ty: TensorType, source: Source) -> Self {
        ValueInfo { ty, source, name: None, limit: None, key: None, layer: 0 }
    }
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
#[non_exhaustive]
pub enum Phase {
    /// Recorded by the program.
    #[default]
    Forward,
    /// Of the forward pass, made again for the gradients, as [`Tape::recompute`](crate::tape::Tape::recompute)
    /// does.
    Recompute,
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
