//! Checkpoints and files of weights.

#[path = "../common/mod.rs"]
mod common;

mod checkpoint_errors;
mod checkpoints;
mod model_checkpoint;
mod names;
mod stateful;
mod weights_files;
