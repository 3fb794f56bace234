//! Checkpoints and files of weights.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mutate.rs"]
mod mutate;

mod checkpoint_errors;
mod checkpoints;
mod classes;
mod damage;
mod headers;
mod model_checkpoint;
mod mutants;
mod names;
mod recovery;
mod resumed;
mod stateful;
mod weights_files;
