//! Training: optimisers.

mod optimizers;

pub use optimizers::{Adam, LEARNING_RATE, Optimizer, RmsProp, Sgd};
