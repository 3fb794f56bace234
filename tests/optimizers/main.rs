//! Optimisers and pruning.

#[path = "../common/mod.rs"]
mod common;

mod optimizers;
mod optimizers_digits;
mod pruning;
mod updates_together;
