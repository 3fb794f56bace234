//! Fewer moves of elements: shapes and orders of axes that follow each other, and transposes that a product
//! does itself.

use std::any::Any;
use std::sync::Arc;

use super::{Concat, Read, Same};
use crate::graph::Value;
use crate::ops::common::*;
use crate::ops::matmul::Matmul;

/// What makes the same as an operator.
pub(crate) enum Simpler {
    /// One of the values that there are.
    Value(Value),
    /// An operator on others.
    Op(Arc<dyn Op>, Vec<Value>),
}

/// What makes the same as an operator of these inputs and this result by moving fewer elements, if anything
/// does, where `maker` gives the operator and the inputs that a value comes from.
pub(crate) fn simpler<'a>(
    op: &dyn Op,
    inputs: &[Value],
    [x, y]: [TensorType; 2],
    maker: impl Fn(Value) -> Option<(&'a dyn Op, &'a [Value])>,
) -> Option<Simpler> {
    let any: &dyn Any = op;
    let input = *inputs.first()?;
    let moved = |value: Value| maker(value).and_then(|(op, of)| Some((op as &dyn Any, *of.first()?)));
    if let Some(product) = any.downcast_ref::<Matmul>() {
        return untransposed(product, inputs, moved);
    }
    if let Some(Concat(axis)) = any.downcast_ref() {
        return unnested(*axis, inputs, maker);
    }
    let before = moved(input);
    match any.downcast_ref::<Same>() {
        Some(Same::Copy | Same::Cast(_)) => return None,
        Some(_) if x.shape == y.shape => return Some(Simpler::Value(input)),
        Some(_) => {
            let (_, of) = before.filter(|(op, _)| op.downcast_ref::<Same>().is_some_and(Op::is_view))?;
            return Some(Simpler::Op(Arc::new(Same::Reshape(y.shape)), vec![of]));
        }
        None => {}
    }
    let read = any.downcast_ref::<Read>()?;
    if let Some(kept) = read.moves_nothing(x.shape, y.shape) {
        return Some(kept.map_or(Simpler::Value(input), |view| Simpler::Op(Arc::new(view), vec![input])));
    }
    let (before, of) = before?;
    let both = match (before.downcast_ref::<Read>()?, read) {
        (Read::Transpose(first), Read::Transpose(then)) => {
            Read::Transpose(then.iter().map(|&axis| first[axis]).collect())
        }
        (Read::Broadcast(_), Read::Broadcast(_)) => read.clone(),
        _ => return None,
    };
    Some(Simpler::Op(Arc::new(both), vec![of]))
}

impl Read {
    /// Where the elements stay in their order: nothing to do, or another shape.
    fn moves_nothing(&self, x: Shape, y: Shape) -> Option<Option<Same>> {
        let stays = match self {
            Read::Transpose(axes) => axes.iter().filter(|&&axis| x.dims()[axis] > 1).is_sorted(),
            Read::Broadcast(_) => x.numel() == y.numel(),
            Read::Slice(_) => x == y,
        };
        stays.then(|| (x != y).then_some(Same::Reshape(y)))
    }
}

/// A product of what was transposed for it.
fn untransposed<'a>(
    product: &Matmul,
    inputs: &[Value],
    moved: impl Fn(Value) -> Option<(&'a dyn Any, Value)>,
) -> Option<Simpler> {
    let of = |&value: &Value| {
        let (op, of) = moved(value)?;
        let Read::Transpose(axes) = op.downcast_ref()? else { return None };
        let (lead, last) = axes.split_at_checked(axes.len().checked_sub(2)?)?;
        let turns = last == [lead.len() + 1, lead.len()] && lead.iter().is_sorted();
        turns.then_some(of)
    };
    let turned: Vec<Option<Value>> = inputs.iter().map(of).collect();
    let &[a, b] = &turned[..] else { return None };
    let [transpose_a, transpose_b] = [a.is_some() != product.transpose_a, b.is_some() != product.transpose_b];
    let op = Arc::new(Matmul { transpose_a, transpose_b, ..*product });
    let inputs = turned.iter().zip(inputs).map(|(turned, input)| turned.unwrap_or(*input)).collect();
    (a.is_some() || b.is_some()).then_some(Simpler::Op(op, inputs))
}

/// Values side by side, of which some are themselves values side by side.
fn unnested<'a>(
    axis: usize,
    inputs: &[Value],
    maker: impl Fn(Value) -> Option<(&'a dyn Op, &'a [Value])>,
) -> Option<Simpler> {
    let within = |&value: &Value| {
        let (op, inputs) = maker(value)?;
        let op: &dyn Any = op;
        op.downcast_ref::<Concat>().is_some_and(|concat| concat.0 == axis).then_some(inputs)
    };
    let nested: Vec<Option<&[Value]>> = inputs.iter().map(within).collect();
    let flat =
        inputs.iter().zip(&nested).flat_map(|(input, nested)| nested.unwrap_or(std::slice::from_ref(input)));
    let flat: Vec<Value> = flat.copied().collect();
    let is_nested = nested.iter().any(Option::is_some);
    is_nested.then(|| Simpler::Op(Arc::new(Concat(axis)), flat))
}
