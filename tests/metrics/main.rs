//! Losses and metrics.

#[path = "../common/mod.rs"]
mod common;

mod losses;
mod metrics;
mod metrics_multilabel;
mod refused_losses;
mod weighted;
