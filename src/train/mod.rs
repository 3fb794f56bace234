//! Training: losses, optimisers, metrics, schedules, and what `fit` reports.

mod clip;
mod history;
mod losses;
mod metrics;
mod optimizers;
mod schedules;

pub use clip::{Clip, Clipped};
pub use history::{History, Logs};
pub use losses::{LossFunction, Scores};
pub use metrics::{
    Average, ConfusionMatrix, Metric, MetricFunction, MetricInputs, RocCurve, roc_auc, roc_curve,
};
pub use optimizers::{Adam, LEARNING_RATE, Optimizer, RmsProp, Sgd};
pub use schedules::Schedule;
