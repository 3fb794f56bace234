//! Checkpoints and files of weights.

#[path = "../common/mod.rs"]
mod common;

mod checkpoint_errors;
mod checkpoints;
mod weights_files;
