//! Training steps and the trainer.

#[path = "../common/mod.rs"]
mod common;

mod accumulation;
mod averages;
mod callbacks;
mod classes;
mod groups;
mod kinds;
mod masks;
mod mixed_precision;
mod nan_guard;
mod padding;
mod refusals;
mod step_weights;
mod trainer;
mod trainer_answers;
mod trainer_scalars;
mod training;
mod watching;
