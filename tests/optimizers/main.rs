//! Optimisers and pruning.

#[path = "../common/mod.rs"]
mod common;

mod keras_and_pytorch;
mod optimizers;
mod optimizers_digits;
mod pruning;
mod updates_together;
