//! Training: optimisers.

mod optimizers;

pub use optimizers::{Adam, Optimizer, RmsProp, Sgd};
