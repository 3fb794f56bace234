//! Training: optimisers, and limits on the gradients that they are given.

mod clip;
mod optimizers;

pub use clip::{Clip, Clipped};
pub use optimizers::{Adam, LEARNING_RATE, Optimizer, RmsProp, Sgd};
