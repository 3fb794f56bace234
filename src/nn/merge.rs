//! Layers that join branches.

use super::{Layer, LayerContext};
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::ops::same_shape;

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

/// Two or more inputs side by side along an axis.
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
        Error::expect(g.shape(first)?.axis(self.axis)? != 0, "axis", self.axis, expected)?;
        g.concat(inputs, self.axis)
    }

    fn keeps_steps(&self) -> bool {
        self.axis == -1 || self.axis > 1
    }
}

fn branches(inputs: &[Value]) -> Result<(Value, &[Value])> {
    match inputs.split_first() {
        Some((&first, rest)) if !rest.is_empty() => Ok((first, rest)),
        _ => Err(Error::argument("inputs", inputs.len(), "this layer joins at least two")),
    }
}
