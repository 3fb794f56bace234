//! Layers that join branches.

use super::{Layer, LayerContext};
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::ops::same_shape;
use crate::shape::Shape;

/// The sum of two or more inputs of one shape: the end of a skip connection.
///
/// | | shape |
/// |---|---|
/// | inputs | any, all the same |
/// | output | the same |
///
/// No parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Add;

impl Layer for Add {
    fn kind(&self) -> &'static str {
        "add"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let (first, rest) = branches(inputs)?;
        let g = cx.graph();
        let shape = g.shape(first)?;
        rest.iter().try_fold(first, |sum, &x| {
            same_shape("branches of a sum", shape, g.shape(x)?)?;
            g.add(sum, x)
        })
    }

    fn keeps_steps(&self) -> bool {
        true
    }
}

/// Two or more inputs side by side along an axis. Side by side in time, steps count as they do in their
/// input, all of them in one without a [mask](LayerContext::mask).
///
/// | | shape |
/// |---|---|
/// | inputs | any, the same but for the axis |
/// | output | the same, the axis as long as all of them together |
///
/// No parameters.
#[derive(Clone, Copy, Debug)]
pub struct Concat {
    axis: isize,
}

impl Concat {
    /// Joins along an axis other than the batch, axis 0; negative axes count from the back.
    pub fn new(axis: isize) -> Self {
        Concat { axis }
    }

    /// Joins along axis 1: the channels of images, the features of rows.
    pub fn channels() -> Self {
        Concat { axis: 1 }
    }
}

impl Layer for Concat {
    fn kind(&self) -> &'static str {
        "concat"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let (first, _) = branches(inputs)?;
        let g = cx.graph();
        let expected = "branches are joined along another axis than the batch";
        let axis = g.shape(first)?.axis(self.axis)?;
        Error::expect(axis != 0, "axis", self.axis, expected)?;
        let joined = g.concat(inputs, self.axis)?;
        if axis == 1 && inputs.iter().any(|&x| cx.mask(x).is_some()) {
            let mask = in_time(cx, inputs)?;
            cx.set_mask(joined, mask)?;
        }
        Ok(joined)
    }

    fn keeps_steps(&self) -> bool {
        self.axis == -1 || self.axis > 1
    }
}

/// The masks of sequences one after the other.
fn in_time(cx: &LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
    let g = cx.graph();
    let mask = |&x: &Value| match cx.mask(x) {
        Some(mask) => Ok(mask),
        None => g.broadcast_to(g.scalar_constant(1.0), Shape::new(&g.shape(x)?.dims()[..2])?),
    };
    g.concat(&inputs.iter().map(mask).collect::<Result<Vec<_>>>()?, 1)
}

fn branches(inputs: &[Value]) -> Result<(Value, &[Value])> {
    match inputs.split_first() {
        Some((&first, rest)) if !rest.is_empty() => Ok((first, rest)),
        _ => Err(Error::argument("inputs", inputs.len(), "this layer joins at least two")),
    }
}
