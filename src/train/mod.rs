//! Training as in Keras: a [`Trainer`] made of a model, a [`Loss`], an [`Optimizer`] and [`Metric`]s, and
//! what goes on around it.
//!
//! ```
//! use retape::prelude::*;
//! use retape::train::callbacks::EarlyStopping;
//! # let inputs: Vec<f32> = (0..80).map(|i| (i * 7 % 11) as f32 / 11.0).collect();
//! # let labels = inputs.chunks(2).map(|p| u32::from(p[0] > p[1])).collect();
//! # let data = data::Dataset::new([2], inputs, labels, 2)?;
//! let model = Sequential::new()
//!     .add(Dense::new(16).activation(Activation::Relu).weight_penalty(Penalty::l2(1e-4)))
//!     .add(Dropout::new(0.1))
//!     .add(Dense::new(2));
//! let mut trainer = Trainer::new(model, data.input_shape())
//!     .loss(Loss::SparseCategoricalCrossEntropy)
//!     .optimizer(Adam::new(1e-2).clip(Clip::GlobalNorm(1.0)))
//!     .schedule(CosineDecay::new(1e-2, 200))
//!     .metrics([Metric::Accuracy, Metric::F1(Average::Macro)])
//!     .batch_size(16)
//!     .build(&Device::cpu())?;
//! let fit = Fit::epochs(50)
//!     .validation_split(0.2)
//!     .class_weights([(0, 1.0), (1, 1.5)])
//!     .callback(EarlyStopping::new("val_loss").patience(5).restore_best(true));
//! let history = trainer.fit(&data, fit)?;
//! println!("{:?}", history.get("val_accuracy"));
//! println!("{}", trainer.evaluate(&data)?);
//! # Ok::<(), retape::Error>(())
//! ```
//!
//! As in Keras, a program goes on from other weights, stops early, keeps the best, and prunes:
//!
//! ```no_run
//! # use retape::prelude::*;
//! use retape::train::callbacks::{CsvLog, EarlyStopping, ModelCheckpoint};
//! use retape::train::pruning::Pruning;
//! # let data = data::fashion_mnist("data")?;
//! # let model = Sequential::new().add(Flatten).add(Dense::new(10));
//! # let mut trainer = Trainer::new(model, data.input_shape())
//! #     .loss(Loss::SparseCategoricalCrossEntropy)
//! #     .optimizer(Adam::new(1e-3))
//! #     .build(&Device::cpu())?;
//! trainer.load_weights_partial("imagenet.safetensors")?; // what fits by name and shape
//! trainer.freeze(["conv2d", "conv2d_1"])?; // the names are those of the summary
//! let fit = Fit::epochs(50)
//!     .validation_split(0.1)
//!     .callback(EarlyStopping::new("val_loss").patience(5).restore_best(true))
//!     .callback(ModelCheckpoint::new("checkpoints").best("val_loss")) // `Fit::resume` goes on from one
//!     .callback(CsvLog::new("log.csv"));
//! trainer.fit(&data.train, fit)?;
//! trainer.prune(&Pruning::global(0.8))?; // four fifths of the weights, and they stay 0
//! trainer.fit(&data.train, Fit::epochs(3))?;
//! let sure = trainer.predict_probabilities(&data.test)?; // the softmax of the logits that the loss takes
//! let classes = trainer.predict_classes(&data.test)?;
//! if let (Some(names), Some(row)) = (data.test.class_names(), sure.get(0)) {
//!     println!("{}: {:.3}", names[classes[0] as usize], row[classes[0] as usize]);
//! }
//! # Ok::<(), retape::Error>(())
//! ```
//!
//! The training step is a tape, recorded once for batches of one size. Data that fits stays on the device,
//! and batches are gathered there; loss and metrics add up on the device and are read once an epoch, or a
//! few times a second while a bar shows them. The seed decides the initial parameters, the order of the
//! samples and all noise: the same program on the same device gives the same bits.
//!
//! | | |
//! |---|---|
//! | [`Loss`], [`CrossEntropy`], [`LossFunction`] | what is minimised; logits unless told otherwise |
//! | [`Penalty`], [`Constraint`] | terms of weights added to the loss, norms held after each update |
//! | [`Optimizer`] and those that implement it, [`Clip`] | how parameters move |
//! | [`schedules`] | the learning rate of each update |
//! | [`Metric`], [`metrics`] | what is measured beside the loss |
//! | [`callbacks`] | early stopping, logs, checkpoints, functions of the program |
//! | [`pruning`] | weights set to zero, units taken out |

mod accumulation;
pub mod callbacks;
#[cfg(feature = "checkpoints")]
mod checkpoint;
mod clip;
mod figures;
mod graph;
mod groups;
mod history;
mod losses;
pub mod metrics;
pub(crate) mod optimizers;
pub mod pruning;
pub mod schedules;
mod step;
mod trainer;
mod weights;

pub use crate::dtype::StoredType;
pub use crate::nn::{Constraint, Penalty};
pub use callbacks::{Callback, CallbackState, Run};
#[cfg(feature = "checkpoints")]
pub(crate) use checkpoint::seal;
#[cfg(feature = "checkpoints")]
pub use checkpoint::{Checkpoint, LoadOptions, LoadReport, SkippedTensor};
pub use clip::{Clip, Clipped};
pub use groups::update_groups;
pub use history::{History, Logs};
pub use losses::{CrossEntropy, Loss, LossFunction, Scores};
pub use metrics::{
    Average, ConfusionMatrix, Direction, Metric, MetricFunction, MetricInputs, RocCurve, roc_auc, roc_curve,
};
pub use optimizers::*;
pub use schedules::Schedule;
pub use step::ParameterGroup;
pub use trainer::{Evaluation, Fit, Predictions, Trainer, TrainerBuilder, WeightInfo};
pub use weights::{WeightArray, Weights};
