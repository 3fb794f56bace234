//! Training: losses, optimisers, metrics, schedules, and what `fit` reports.

mod clip;
mod history;
mod losses;
mod metrics;
mod optimizers;
pub mod schedules;

pub use clip::{Clip, Clipped};
pub use history::{History, Logs};
pub use losses::{LossFunction, Scores};
pub use metrics::{MetricFunction, MetricInputs};
pub use optimizers::{
    AVERAGE, Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Averaged, Ftrl, LEARNING_RATE, Lion, Nadam,
    Optimizer, RmsProp, Sgd,
};
pub use schedules::Schedule;
