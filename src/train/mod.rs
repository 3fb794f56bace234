//! Training: losses, optimisers, metrics, schedules, and what `fit` reports.

mod accumulation;
pub mod callbacks;
pub(crate) mod checkpoint;
mod clip;
mod constraints;
mod groups;
mod history;
mod losses;
pub mod metrics;
mod optimizers;
mod penalties;
pub mod pruning;
pub mod schedules;
mod trainer;
mod weights;

pub use callbacks::{Callback, CallbackState, Run};
pub use checkpoint::{LoadOptions, LoadReport, SkippedTensor, StoredType};
pub use clip::{Clip, Clipped};
pub use constraints::Constraint;
pub(crate) use constraints::{Rule, hold_to_rules};
pub use groups::update_groups;
pub use history::{History, Logs};
pub use losses::{CrossEntropy, Loss, LossFunction, Scores};
pub use metrics::{
    Average, ConfusionMatrix, Metric, MetricFunction, MetricInputs, RocCurve, roc_auc, roc_curve,
};
pub use optimizers::{
    AVERAGE, Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Averaged, Ftrl, LEARNING_RATE, Lion, Nadam,
    Optimizer, RmsProp, Sgd,
};
pub use penalties::Penalty;
pub use schedules::Schedule;
pub use trainer::{Evaluation, Fit, Predictions, Trainer, TrainerBuilder};
pub use weights::{WeightArray, Weights};
