//! Training: losses, optimisers, metrics, schedules, and what `fit` reports.

mod accumulation;
pub mod callbacks;
mod clip;
mod history;
mod losses;
mod metrics;
mod optimizers;
mod schedules;
#[doc(hidden)]
pub mod stubs;
mod trainer;

pub use callbacks::{Callback, CallbackState, Run};
pub use clip::{Clip, Clipped};
pub use history::{History, Logs};
pub use losses::{LossFunction, Scores};
pub use metrics::{MetricFunction, MetricInputs};
pub use optimizers::{Adam, LEARNING_RATE, Optimizer, RmsProp, Sgd};
pub use schedules::Schedule;
pub use trainer::{Evaluation, Fit, Predictions, Trainer, TrainerBuilder};
