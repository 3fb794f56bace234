use super::UnitFlow;
use super::macros::one_input;
use super::weights::{Weights, at_least_one, weight_methods};
use crate::error::Error;
use crate::ops::{MatmulOptions, MatmulRoute};

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
    route: MatmulRoute,
    weights: Weights,
}

impl Dense {
    /// A layer of this many units.
    pub fn new(units: usize) -> Self {
        Dense { units, route: MatmulRoute::Auto, weights: Weights::default() }
    }

    setters! {
        /// Forces a kernel instead of the rule in [`MatmulRoute`], for the gradients too: the numbers are the same to
        /// rounding.
        route: MatmulRoute => route;
    }
}

weight_methods!(Dense);

one_input! {
    Dense, "dense",
    units: |layer| UnitFlow::Own { count: layer.units, outputs: 1, inputs: 0 },
    with_units: |layer, units| Dense { units, ..layer.clone() },
    keeps_steps: |_| true,
    |layer, cx, x| {
        at_least_one("units", layer.units)?;
        let shape = cx.graph().shape(x)?;
        let (&features, lead) = match shape.dims().split_last() {
            Some((features, lead)) if !lead.is_empty() => (features, lead),
            _ => return Err(Error::Rank { shape, expected: "at least 2 ([batch, .., features])" }),
        };
        let w = layer.weights.weight(cx, [features, layer.units], &[0])?;
        let b = layer.weights.bias(cx, layer.units)?;
        let g = cx.graph();
        // One product of all rows, whatever the dimensions before the last.
        let rows = if lead.len() == 1 { x } else { g.reshape(x, [lead.iter().product(), features])? };
        let mut y = g.matmul_by(rows, w, MatmulOptions::new().route(layer.route))?;
        if let Some(b) = b {
            y = g.add(y, b)?;
        }
        if lead.len() > 1 {
            y = g.reshape(y, shape.with_dim(lead.len(), layer.units))?;
        }
        layer.weights.activation.apply(g, y, -1)
    };
}
