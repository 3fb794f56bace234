//! Layers that disturb what passes in training and do nothing in evaluation.

use super::{Layer, LayerContext, Mode, UnitFlow};
use crate::error::{Error, Result};
use crate::graph::Value;

/// Sets each element to 0 with a probability, and scales the others so that the mean stays:
/// [`Graph::dropout`](crate::Graph::dropout).
///
/// | shapes | parameters |
/// |---|---|
/// | any, unchanged | none |
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    rate: f32,
}

/// [`Dropout`] of whole channels: [`Graph::spatial_dropout`](crate::Graph::spatial_dropout).
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, channels, ..]`, unchanged | none |
#[derive(Clone, Copy, Debug)]
pub struct SpatialDropout {
    rate: f32,
}

/// Adds normal noise of mean 0: [`Graph::gaussian_noise`](crate::Graph::gaussian_noise).
///
/// | shapes | parameters |
/// |---|---|
/// | any, unchanged | none |
#[derive(Clone, Copy, Debug)]
pub struct GaussianNoise {
    std: f32,
}

impl Dropout {
    /// Drops with this probability, at least 0 and below 1.
    pub fn new(rate: f32) -> Self {
        Dropout { rate }
    }
}

impl SpatialDropout {
    /// Drops a channel with this probability, at least 0 and below 1.
    pub fn new(rate: f32) -> Self {
        SpatialDropout { rate }
    }
}

impl GaussianNoise {
    /// Noise of this standard deviation.
    pub fn new(std: f32) -> Self {
        GaussianNoise { std }
    }
}

/// A mistake shows in evaluation too, where nothing is recorded.
pub(super) fn check_rate(argument: &'static str, rate: f32) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    let expected = "it must be at least 0 and below 1";
    Err(Error::Argument { argument, value: rate.to_string(), expected })
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn units(&self) -> UnitFlow {
        UnitFlow::Kept
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        check_rate("rate", self.rate)?;
        match cx.mode() {
            Mode::Training => cx.graph().dropout(x, self.rate),
            Mode::Evaluation => Ok(x),
        }
    }

    fn keeps_steps(&self) -> bool {
        true
    }
}

impl Layer for SpatialDropout {
    fn kind(&self) -> &'static str {
        "spatial_dropout"
    }

    fn units(&self) -> UnitFlow {
        UnitFlow::Kept
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        check_rate("rate", self.rate)?;
        match cx.mode() {
            Mode::Training => cx.graph().spatial_dropout(x, self.rate),
            Mode::Evaluation => Ok(x),
        }
    }

    fn keeps_steps(&self) -> bool {
        true
    }
}

impl Layer for GaussianNoise {
    fn kind(&self) -> &'static str {
        "gaussian_noise"
    }

    fn units(&self) -> UnitFlow {
        UnitFlow::Kept
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        if !(self.std.is_finite() && self.std >= 0.0) {
            let expected = "it must be finite and not negative";
            return Err(Error::Argument { argument: "std", value: self.std.to_string(), expected });
        }
        match cx.mode() {
            Mode::Training => cx.graph().gaussian_noise(x, self.std),
            Mode::Evaluation => Ok(x),
        }
    }

    fn keeps_steps(&self) -> bool {
        true
    }
}
