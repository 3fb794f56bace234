//! Training: losses, optimisers, metrics, schedules, and what `fit` reports.

mod clip;
mod groups;
mod history;
mod losses;
mod metrics;
mod optimizers;
mod schedules;

pub use clip::{Clip, Clipped};
pub use groups::update_groups;
pub use history::{History, Logs};
pub use losses::{LossFunction, Scores};
pub use metrics::{MetricFunction, MetricInputs};
pub use optimizers::{Adam, LEARNING_RATE, Optimizer, RmsProp, Sgd};
pub use schedules::Schedule;
