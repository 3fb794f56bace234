//! Layers that disturb what passes in training and do nothing in evaluation.

use super::UnitFlow;
use super::macros::one_input;
use crate::error::{Error, Result};

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
    Err(Error::argument(argument, rate, "it must be at least 0 and below 1"))
}

one_input! {
    Dropout, "dropout", units: UnitFlow::Kept, keeps_steps: true, |layer, cx, x| {
        check_rate("rate", layer.rate)?;
        cx.in_training(x, |g| g.dropout(x, layer.rate))
    };

    SpatialDropout, "spatial_dropout", units: UnitFlow::Kept, keeps_steps: true, |layer, cx, x| {
        check_rate("rate", layer.rate)?;
        cx.in_training(x, |g| g.spatial_dropout(x, layer.rate))
    };

    GaussianNoise, "gaussian_noise", units: UnitFlow::Kept, keeps_steps: true, |layer, cx, x| {
        if !(layer.std.is_finite() && layer.std >= 0.0) {
            return Err(Error::argument("std", layer.std, "it must be finite and not negative"));
        }
        cx.in_training(x, |g| g.gaussian_noise(x, layer.std))
    };
}
