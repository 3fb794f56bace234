//! Layers that disturb what passes in training and do nothing in evaluation.

use super::UnitFlow;
use super::macros::one_input;
use crate::error::Setting;

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

// A mistake shows in evaluation too, where nothing is recorded.
one_input! {
    Dropout, "dropout", units: |_| UnitFlow::Kept, keeps_steps: |_| true, |layer, cx, x| {
        Setting::decay("rate", layer.rate).check()?;
        cx.in_training(x, |g| g.dropout(x, layer.rate))
    };

    SpatialDropout, "spatial_dropout", units: |_| UnitFlow::Kept, keeps_steps: |_| true, |layer, cx, x| {
        Setting::decay("rate", layer.rate).check()?;
        cx.in_training(x, |g| g.spatial_dropout(x, layer.rate))
    };

    GaussianNoise, "gaussian_noise", units: |_| UnitFlow::Kept, keeps_steps: |_| true, |layer, cx, x| {
        Setting::not_negative("std", layer.std).check()?;
        cx.in_training(x, |g| g.gaussian_noise(x, layer.std))
    };
}
