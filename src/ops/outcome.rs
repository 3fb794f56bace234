//! What the numbers of a value are good for, by the operator that gives them.

use std::any::Any;

use super::binary::{Binary, BinaryOp};
use super::conv::Conv;
use super::gather::Gather;
use super::layout::{Concat, Read, Same};
use super::matmul::Matmul;
use super::noise::Dropout;
use super::norm::Normalize;
use super::pool::adaptive::AdaptivePool;
use super::pool::max::MaxPool;
use super::pool::sum::{LinearPool, SumPool};
use super::recurrent::{CellActivation, Recur};
use super::reduce::{Reduce, Reduction};
use super::select::Select;
use super::softmax::{self, Softmax};
use super::unary::{Unary, UnaryOp};
use crate::graph::{Graph, Recording, Source, StateKind, Value};
use crate::shape::Shape;

/// What is known of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Of a softmax or a sigmoid.
    Probabilities,
    /// Of a log-softmax.
    LogProbabilities,
    /// Of a softmax over a single class, or its logarithm: the same whatever is learned.
    OneClass,
    /// Of any size and sign, or of a function that is negative somewhere.
    Signed,
    /// Not negative, of any size.
    Positive,
    /// Anything else.
    Unknown,
}

/// How many operators are followed back: more than any layer's.
const FURTHEST: usize = 8;

/// What is known of a value's numbers, and the name of the operator that gives them: behind views, and operators
/// that make no other numbers of them.
pub(crate) fn outcome(graph: &Graph, value: Value) -> (Outcome, &'static str) {
    followed(&graph.recording(), value, FURTHEST)
}

fn followed(recording: &Recording, value: Value, further: usize) -> (Outcome, &'static str) {
    let root = recording.root(value);
    let Source::Op { node, .. } = recording.values[root.index()].source else {
        return (Outcome::Unknown, "");
    };
    let node = &recording.nodes[node];
    let name = node.op.name();
    let is_weight =
        |&input: &Value| matches!(recording.kind(recording.root(input)), Some(StateKind::Weight { .. }));
    let has_weight = node.inputs.iter().any(is_weight);
    let op: &dyn Any = &*node.op;
    let own = of_operator(op, has_weight, recording.ty(root).shape);
    if own != Outcome::Unknown || further == 0 {
        return (own, name);
    }
    let of = |input: &Value| followed(recording, *input, further - 1);
    if let Some(&BinaryOp(function)) = op.downcast_ref::<BinaryOp>() {
        return (of_two(recording, function, &node.inputs, has_weight, of), name);
    }
    let found = match keeps(op) {
        Keeps::Nothing => (Outcome::Unknown, name),
        Keeps::Numbers => of(&node.inputs[0]),
        Keeps::Sign => match of(&node.inputs[0]) {
            found @ (Outcome::Signed | Outcome::Positive, _) => found,
            _ => (Outcome::Unknown, name),
        },
        Keeps::Common(first) => {
            let mut all = node.inputs[first..].iter().map(of);
            let first = all.next().unwrap_or((Outcome::Unknown, name));
            if all.all(|other| other.0 == first.0) { first } else { (Outcome::Unknown, name) }
        }
    };
    if found.0 == Outcome::Unknown { (Outcome::Unknown, name) } else { found }
}

/// What is known by an operator alone.
fn of_operator(op: &dyn Any, has_weight: bool, result: Shape) -> Outcome {
    if let Some(softmax) = op.downcast_ref::<Softmax>() {
        return match softmax.kind {
            _ if result.dims().get(softmax.axis) == Some(&1) => Outcome::OneClass,
            softmax::Kind::Softmax => Outcome::Probabilities,
            softmax::Kind::LogSoftmax => Outcome::LogProbabilities,
        };
    }
    if let Some(function) = op.downcast_ref::<UnaryOp>() {
        return of_function(function.kind());
    }
    if let Some(recurrence) = op.downcast_ref::<Recur>() {
        return match recurrence.activation() {
            CellActivation::Tanh | CellActivation::Linear => Outcome::Signed,
            _ => Outcome::Unknown,
        };
    }
    let is_weighted = has_weight && (op.is::<Matmul>() || op.is::<Conv>() || op.is::<Gather>());
    if is_weighted || op.is::<Normalize>() { Outcome::Signed } else { Outcome::Unknown }
}

/// What an operator leaves of what is known of its operands.
enum Keeps {
    Nothing,
    /// All: its results are numbers of its first operand, or means of such.
    Numbers,
    /// Whether numbers of its first operand may be negative.
    Sign,
    /// What all operands from one on have in common.
    Common(usize),
}

fn keeps(op: &dyn Any) -> Keeps {
    if let Some(reduce) = op.downcast_ref::<Reduce>() {
        return if reduce.kind == Reduction::Sum { Keeps::Sign } else { Keeps::Numbers };
    }
    if let Some(pool) = op.downcast_ref::<LinearPool<SumPool>>() {
        return if pool.windows.is_average() { Keeps::Numbers } else { Keeps::Sign };
    }
    if op.is::<Concat>() {
        return Keeps::Common(0);
    }
    if op.is::<Select>() {
        return Keeps::Common(1);
    }
    let takes = op.is::<Read>() || op.is::<Same>() || op.is::<MaxPool>() || op.is::<Dropout>();
    if takes || op.is::<LinearPool<AdaptivePool>>() { Keeps::Numbers } else { Keeps::Nothing }
}

/// Of two operands.
fn of_two(
    recording: &Recording,
    function: Binary,
    inputs: &[Value],
    has_weight: bool,
    of: impl Fn(&Value) -> (Outcome, &'static str),
) -> Outcome {
    let is_signed = |input: &Value| of(input).0 == Outcome::Signed;
    let is_factor = |input: &Value| match &recording.values[recording.root(*input).index()].source {
        Source::Constant(numbers) => numbers.iter().all(|&number| number > 0.0),
        _ => false,
    };
    let [a, b] = inputs else { return Outcome::Unknown };
    let signed = match function {
        // A bias is added, or weights to weighted sums.
        Binary::Add | Binary::Sub => has_weight || (is_signed(a) && is_signed(b)),
        Binary::Mul => (is_factor(a) && is_signed(b)) || (is_factor(b) && is_signed(a)),
        Binary::Div => is_factor(b) && is_signed(a),
        _ => false,
    };
    if signed { Outcome::Signed } else { Outcome::Unknown }
}

fn of_function(function: Unary) -> Outcome {
    use Unary::{
        Elu, Gelu, GeluTanh, HardSigmoid, LeakyRelu, Relu, Selu, Sigmoid, Softplus, Softsign, Swish, Tanh,
    };
    match function {
        Sigmoid | HardSigmoid => Outcome::Probabilities,
        Tanh | LeakyRelu | Elu | Selu | Gelu | GeluTanh | Softsign | Swish => Outcome::Signed,
        Relu | Softplus => Outcome::Positive,
        _ => Outcome::Unknown,
    }
}
