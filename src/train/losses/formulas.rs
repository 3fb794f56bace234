//! The losses in terms of graph operators, and what they ask of their operands.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::expect_dtype;
use crate::shape::{Shape, TensorType};

/// What a probability counts as at least: Keras's epsilon.
const SMALLEST: f32 = 1e-7;

/// What a row of probabilities sums up to at least.
const SMALLEST_SUM: f32 = 1e-15;

/// The squared norm that a vector has at least, for its cosine.
const SMALLEST_SQUARE: f32 = 1e-12;

/// The targets that go with the outputs of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetRule {
    /// A u32 label for each row of classes.
    Labels,
    /// A number for each class.
    Rows,
    /// A number for each output.
    Elements,
}

impl TargetRule {
    /// The targets that go with outputs of this shape.
    pub(super) fn targets(self, output: Shape) -> Result<TensorType> {
        let (least, expected) = match self {
            TargetRule::Elements => (1, "at least 1 ([batch, ..])"),
            _ => (2, "at least 2 ([batch, .., classes])"),
        };
        match (self, output.dims()) {
            (_, dims) if dims.len() < least => Err(Error::Rank { shape: output, expected }),
            (TargetRule::Labels, [rows @ .., _]) => Ok(TensorType::u32(Shape::new(rows)?)),
            _ => Ok(TensorType::f32(output)),
        }
    }

    /// Fails unless outputs and targets fit each other.
    pub(super) fn check(self, loss: &'static str, g: &Graph, output: Value, targets: Value) -> Result<()> {
        let shape = g.operand_shape(loss, output)?;
        g.operand_shape(loss, targets)?;
        let (found, output) = (g.type_of(targets), g.type_of(output));
        expect_dtype("the output", output, DType::F32)?;
        let wanted = self.targets(shape)?;
        expect_dtype("the targets operand", found, wanted.dtype)?;
        let what = match self {
            TargetRule::Labels => "labels need the outputs' shape without the last axis, the classes",
            _ => "the targets need the outputs' shape",
        };
        if found == wanted { Ok(()) } else { Err(Error::shape_mismatch(what, shape, found.shape)) }
    }
}

/// The mean over all dimensions but the batch.
pub(super) fn per_sample(g: &Graph, terms: Value) -> Result<Value> {
    let axes: Vec<isize> = (1..g.shape_of(terms).rank() as isize).collect();
    if axes.is_empty() { Ok(terms) } else { g.mean(terms, &axes, false) }
}

/// With `m = min(e, delta)`: `m (e - m / 2)` is `e^2 / 2` up to `delta` and the line beyond.
pub(super) fn huber(g: &Graph, y: Value, t: Value, delta: f32) -> Result<Value> {
    let error = g.abs(g.sub(y, t)?)?;
    let limited = g.clip(error, 0.0, delta)?;
    g.mul(limited, g.sub(error, g.mul(limited, g.scalar_constant(0.5))?)?)
}

pub(super) fn log_cosh(g: &Graph, y: Value, t: Value) -> Result<Value> {
    g.log_cosh(g.sub(y, t)?)
}

pub(super) fn hinge(g: &Graph, y: Value, t: Value) -> Result<Value> {
    let label = g.select(g.less_equal(t, g.scalar_constant(0.0))?, g.scalar_constant(-1.0), t)?;
    g.relu(g.sub(g.scalar_constant(1.0), g.mul(label, y)?)?)
}

pub(super) fn categorical_hinge(g: &Graph, y: Value, t: Value) -> Result<Value> {
    let one = g.scalar_constant(1.0);
    let right = g.sum(g.mul(t, y)?, &[-1], false)?;
    let wrong = g.max(g.mul(g.sub(one, t)?, y)?, &[-1], false)?;
    g.relu(g.add(g.sub(wrong, right)?, one)?)
}

pub(super) fn kl_divergence(g: &Graph, y: Value, t: Value) -> Result<Value> {
    let (y, t) = (g.clip(y, SMALLEST, 1.0)?, g.clip(t, SMALLEST, 1.0)?);
    g.sum(g.mul(t, g.log(g.div(t, y)?)?)?, &[-1], false)
}

pub(super) fn poisson(g: &Graph, y: Value, t: Value) -> Result<Value> {
    let log = g.log(g.add(y, g.scalar_constant(SMALLEST))?)?;
    g.sub(y, g.mul(t, log)?)
}

/// A choice, unlike a product with the one-hot row, takes a log-probability of -inf for another class.
pub(super) fn negative_log_likelihood(g: &Graph, y: Value, labels: Value) -> Result<Value> {
    let classes = g.shape_of(y).dims().last().copied().unwrap_or(1);
    let chosen = g.select(g.one_hot(labels, classes)?, y, g.scalar_constant(0.0))?;
    g.neg(g.sum(chosen, &[-1], false)?)
}

/// `-sum t log(p)` of rows of probabilities, each over its sum.
pub(super) fn categorical_cross_entropy(g: &Graph, p: Value, t: Value) -> Result<Value> {
    let sums = g.maximum(g.sum(p, &[-1], true)?, g.scalar_constant(SMALLEST_SUM))?;
    let logs = g.log(within_limits(g, g.div(p, sums)?)?)?;
    g.neg(g.sum(g.mul(t, logs)?, &[-1], false)?)
}

/// Probabilities of which neither they nor their complements are 0.
fn within_limits(g: &Graph, p: Value) -> Result<Value> {
    g.clip(p, SMALLEST, 1.0 - SMALLEST)
}

/// Each vector is divided by its norm before the product, which then neither overflows nor is 0 / 0; and before
/// that by its largest element, unless that is below 1, so that no square overflows. A cosine does not depend
/// on that divisor, and no gradient is to flow through it.
pub(super) fn cosine_similarity(g: &Graph, y: Value, t: Value) -> Result<Value> {
    let direction = |x: Value| {
        let largest = g.max(g.abs(x)?, &[-1], true)?;
        let x = g.div(x, g.stop_gradient(g.maximum(largest, g.scalar_constant(1.0))?)?)?;
        let square = g.sum(g.square(x)?, &[-1], true)?;
        let norm = g.sqrt(g.maximum(square, g.scalar_constant(SMALLEST_SQUARE))?)?;
        g.div(x, norm)
    };
    g.neg(g.sum(g.mul(direction(y)?, direction(t)?)?, &[-1], false)?)
}

/// `-t log(p) - (1 - t) log(1 - p)` of probabilities. By way of the logit, the gradient would lose to
/// rounding what it divides by `1 - p`.
pub(super) fn binary_cross_entropy(g: &Graph, p: Value, t: Value) -> Result<Value> {
    let p = within_limits(g, p)?;
    let one = g.scalar_constant(1.0);
    let positive = g.mul(t, g.log(p)?)?;
    let negative = g.mul(g.sub(one, t)?, g.log(g.sub(one, p)?)?)?;
    g.neg(g.add(positive, negative)?)
}
