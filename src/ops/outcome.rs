//! What the numbers of a value are good for, by the operator that gives them.

use super::binary::{Binary, BinaryOp};
use super::conv::Conv;
use super::matmul::Matmul;
use super::norm::Normalize;
use super::softmax::Softmax;
use super::unary::{Unary, UnaryOp};
use crate::graph::{Graph, Source, StateKind, Value};

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

/// What is known of a value's numbers, and the name of the operator that gives them, behind views.
pub(crate) fn outcome(graph: &Graph, value: Value) -> (Outcome, &'static str) {
    let recording = graph.recording();
    let root = recording.root(value);
    let Source::Op { node, .. } = recording.values[root.index()].source else {
        return (Outcome::Unknown, "");
    };
    let node = &recording.nodes[node];
    let has_weight = node
        .inputs
        .iter()
        .any(|&input| matches!(recording.kind(recording.root(input)), Some(StateKind::Weight { .. })));
    let op: &dyn std::any::Any = &*node.op;
    let outcome = if let Some(softmax) = op.downcast_ref::<Softmax>() {
        softmax.outcome(recording.ty(root).shape)
    } else if let Some(function) = op.downcast_ref::<UnaryOp>() {
        of_function(function.kind())
    } else if let Some(function) = op.downcast_ref::<BinaryOp>() {
        // A bias is added, or weights to weighted sums.
        let adds = matches!(function.0, Binary::Add | Binary::Sub);
        if adds && has_weight { Outcome::Signed } else { Outcome::Unknown }
    } else if op.is::<Normalize>() || (has_weight && (op.is::<Matmul>() || op.is::<Conv>())) {
        Outcome::Signed
    } else {
        Outcome::Unknown
    };
    (outcome, node.op.name())
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
