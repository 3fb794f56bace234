//! Layers, models made of them, and the architectures of well-known papers.
//!
//! A layer is a description; recording it declares its parameters and adds its operators to a
//! [`Graph`](crate::Graph), with the shapes inferred from its inputs. Models are layers made of
//! layers: [`Sequential`], one after the other; [`Network`], with branches and skips; or a
//! [`Layer`] of the program's own. Each nests in any other.
//!
//! ```
//! use retape::prelude::*;
//!
//! let model = Sequential::new()
//!     .add(Dense::new(64).activation(Activation::Relu))
//!     .add(Dense::new(10));
//! println!("{}", model.summary([784])?);
//!
//! let mut train = Graph::new();
//! let x = train.input("x", [32, 784]);
//! let labels = train.labels("labels", [32]);
//! let logits = model.record(&mut train, x, Mode::Training)?;
//! let loss = train.softmax_cross_entropy(logits, labels)?;
//! let device = Device::cpu();
//! let training = train.training_step(loss, &Adam::new(1e-3))?.session(&device)?;
//!
//! // The same model for evaluation, with another batch size and the same parameters.
//! let mut test = Graph::new();
//! let x = test.input("x", [100, 784]);
//! let logits = model.record(&mut test, x, Mode::Evaluation)?;
//! let options = SessionOptions::new().share_parameters(&training);
//! let evaluation = test.forward([logits])?.session_with(&device, options)?;
//! assert_eq!(evaluation.parameter_names(), training.parameter_names());
//! # Ok::<(), retape::Error>(())
//! ```
//!
//! # Names
//!
//! A layer is named after its kind and numbered in the order of the model: `conv2d`, `conv2d_1`;
//! or as the program says: `Dense::new(10).named("logits")`. Its parameters are called after it,
//! `conv2d.weight` and `logits.bias`; within a nested model, `block.conv2d.weight`. A model
//! recorded under [`Graph::layer`](crate::Graph::layer) has that name before its own, so that two
//! models fit in one graph.
//!
//! # Shapes
//!
//! The batch is dimension 0. Images are `[batch, channels, height, width]`, sequences of a
//! convolution `[batch, channels, length]`, those of a recurrent layer `[batch, time, features]`.
//! Every option has Keras's default: stride 1, no padding,
//! pools as far apart as they are large, Glorot uniform weights, zero biases. Normalisations
//! have PyTorch's epsilon and momentum.
//!
//! # Padded sequences
//!
//! Sequences may be of several lengths, padded to the longest in front or behind. A layer that knows which
//! steps are padding says so in a mask, f32 `[batch, time]`, 1 for steps that count and 0 for padding, as Keras
//! does under `mask_zero`: [`Embedding`] with a padding index, [`Masking`], [`SequenceLengths`],
//! [`SequenceMask`], or a layer of the program's own by [`LayerContext::set_mask`].
//!
//! | | what becomes of the mask |
//! |---|---|
//! | [`Dense`], [`Activation`], [`Dropout`], [`SpatialDropout`], [`GaussianNoise`], [`LayerNorm`] of features, [`InstanceNorm`], [`ActivityPenalty`] | passes |
//! | [`BatchNorm`] | passes; padding is left out of the batch's mean and variance |
//! | [`Embedding`] of words that have one | passes; words of its own padding do not count either |
//! | [`Reshape`] | passes where steps and features stay apart, as from `[time, 8]` to `[time, 2, 4]`; ends otherwise |
//! | poolings, padding and augmentation of images, of sequences of them `[batch, time, h, w]` | passes |
//! | [`Add`], [`Concat`] of features | a step counts that does in any input with a mask |
//! | [`Concat`] in time, `axis` 1 | masks one after the other |
//! | [`SimpleRnn`], [`Lstm`], [`Gru`], [`Bidirectional`] | padding is skipped, the states pass it; the mask passes with `return_sequences` |
//! | [`GlobalAvgPool1d`], [`GlobalMaxPool1d`] | padding is left out; the result has no steps |
//! | [`AvgPool1d`], [`MaxPool1d`] | padding is left out; a window counts that has a step which does |
//! | a layer of the program's own | passes where [`Layer::keeps_steps`] says so, or [`LayerContext::set_mask`] |
//! | all others: [`Flatten`], convolutions, [`GroupNorm`], [`LayerNorm`] over time, [`LocalResponseNorm`], [`RepeatVector`] | ends |
//!
//! Where it ends and what stands at padding goes into the result, the log warns of it with the layer's name: when
//! the model is recorded, or for a [`Trainer`](crate::train::Trainer) when that is built.
//!
//! Where it reaches the output of a model, a [`Trainer`](crate::train::Trainer) leaves padding out of the
//! loss, of metrics, in training and evaluation. `predict` gives the outputs of all steps.
//! [`Recorded::masks`] has the mask for a program that records its own loss.
//!
//! The order of the gates in the weights of recurrent layers, and weights of other frameworks:
//! [`recurrent_layouts`].
//!
#![doc = include_str!("../../docs/shared-layers.md")]

mod activation;
pub mod architectures;
mod augment;
mod constraints;
mod context;
mod conv;
mod dense;
mod embedding;
mod graph;
mod layer;
mod macros;
mod masking;
mod merge;
mod network;
mod noise;
mod norm;
mod penalties;
mod pool;
mod pool_time;
mod recurrent;
pub mod recurrent_layouts;
mod reshape;
mod sequential;
mod summary;
mod unit_flow;
mod weights;

pub use activation::Activation;
pub use augment::{
    RandomAffine, RandomBrightness, RandomContrast, RandomCrop, RandomFlip, RandomRotation,
    RandomTranslation, RandomZoom,
};
pub use constraints::Constraint;
pub(crate) use context::record_frozen;
pub use context::{LayerContext, record};
pub use conv::{Conv1d, Conv2d, ConvTranspose2d, DepthwiseConv2d};
pub use dense::Dense;
pub use embedding::Embedding;
pub use layer::{Layer, LayerSpec, Mode, Recorded, RecordedLayer};
pub use masking::{Masking, SequenceLengths, SequenceMask};
pub use merge::{Add, Concat};
pub use network::{Model, Network, Node};
pub use noise::{Dropout, GaussianNoise, SpatialDropout};
pub use norm::{BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm};
pub use penalties::{ActivityPenalty, Penalty};
pub use pool::{AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d};
pub use pool_time::{AvgPool1d, GlobalAvgPool1d, GlobalMaxPool1d, MaxPool1d};
pub use recurrent::{Bidirectional, Gru, Lstm, Merge, RecurrentLayer, SimpleRnn};
pub use reshape::{Flatten, RepeatVector, Reshape, ZeroPad2d};
pub use sequential::Sequential;
pub use summary::{LayerSummary, Summary};
pub use unit_flow::UnitFlow;

use crate::error::Result;
use crate::shape::Shape;

/// The dimensions of an image: batch, channels, height and width.
fn image(shape: Shape) -> Result<[usize; 4]> {
    shape.extents("4 ([batch, channels, height, width])")
}
