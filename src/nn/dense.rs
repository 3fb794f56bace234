use super::weights::{Weights, at_least_one, weight_methods};
use super::{Layer, LayerContext, LayerSpec, UnitFlow};
use crate::error::{Error, Result};
use crate::graph::Value;

/// A fully connected layer: `y = f(x w + b)` along the last axis.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, .., in]` |
/// | output | `[batch, .., units]` |
/// | `weight` | `[in, units]` |
/// | `bias` | `[units]` |
///
/// Defaults: no activation, a bias, Glorot uniform weights, zero biases.
#[derive(Clone, Debug)]
#[must_use]
pub struct Dense {
    units: usize,
    weights: Weights,
}

impl Dense {
    /// A layer of this many units.
    pub fn new(units: usize) -> Self {
        Dense { units, weights: Weights::default() }
    }
}

weight_methods!(Dense);

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        at_least_one("units", self.units)?;
        let shape = cx.graph().shape(x)?;
        let (&features, lead) = match shape.dims().split_last() {
            Some((features, lead)) if !lead.is_empty() => (features, lead),
            _ => return Err(Error::Rank { shape, expected: "at least 2 ([batch, .., features])" }),
        };
        let w = self.weights.weight(cx, [features, self.units], &[0])?;
        let b = self.weights.bias(cx, self.units)?;
        let g = cx.graph();
        // One product of all rows, whatever the dimensions before the last.
        let rows = if lead.len() == 1 { x } else { g.reshape(x, [lead.iter().product(), features])? };
        let mut y = g.matmul(rows, w)?;
        if let Some(b) = b {
            y = g.add(y, b)?;
        }
        if lead.len() > 1 {
            y = g.reshape(y, shape.with_dim(lead.len(), self.units))?;
        }
        self.weights.activation.apply(g, y, -1)
    }

    fn units(&self) -> UnitFlow {
        UnitFlow::Own { count: self.units, outputs: 1, inputs: 0 }
    }

    fn with_units(&self, units: usize) -> Option<LayerSpec> {
        Some(Dense { units, ..self.clone() }.into())
    }

    fn keeps_steps(&self) -> bool {
        true
    }
}
