//! Record a network's training step once, as a tape of forward, backward and update; replay it
//! on any GPU that wgpu reaches (Vulkan, Metal, DX12), with hand-written WGSL kernels, or on the
//! CPU by a reference path in f64 that checks every kernel.
//!
//! # A first program
//!
//! ```no_run
//! use retape::prelude::*;
//!
//! fn main() -> retape::Result<()> {
//!     let device = Device::auto()?; // a hardware GPU, else the CPU
//!     let data = data::mnist("data/mnist")?;
//!
//!     let model = Sequential::new()
//!         .add(Conv2d::new(10, [5, 5]).activation(Activation::Relu))
//!         .add(MaxPool2d::new([2, 2]))
//!         .add(Conv2d::new(20, [5, 5]).activation(Activation::Relu))
//!         .add(MaxPool2d::new([2, 2]))
//!         .add(Flatten)
//!         .add(Dense::new(100).activation(Activation::Relu))
//!         .add(Dense::new(10));
//!     println!("{}", model.summary([1, 28, 28])?); // 38,390 parameters
//!
//!     let mut trainer = Trainer::new(model, data.input_shape())
//!         .loss(Loss::SparseCategoricalCrossEntropy)
//!         .optimizer(RmsProp::new(1e-3))
//!         .metrics([Metric::Accuracy])
//!         .batch_size(128)
//!         .seed(42)
//!         .build(&device)?; // records the tape, plans memory, compiles kernels: once
//!
//!     let history = trainer.fit(&data.train, Fit::epochs(5).validation_split(0.1))?;
//! #   #[cfg(feature = "plots")]
//!     history.plot("history.svg")?;
//!     println!("{}", trainer.evaluate(&data.test)?);
//!     Ok(())
//! }
//! ```
//!
//! What `fit` takes besides (validation, class weights, callbacks, checkpoints) is in [`train`]. A program
//! may also record the step itself and replay it as it likes:
//!
//! ```
//! use retape::prelude::*;
//!
//! fn main() -> retape::Result<()> {
//!     let device = Device::cpu(); // or Device::auto()? for a hardware GPU, else the CPU
//!
//!     let mut g = Graph::new();
//!     let x = g.input("x", [32, 784]);
//!     let labels = g.labels("labels", [32]);
//!     let w = g.parameter("w", [784, 10], Init::GlorotUniform);
//!     let b = g.parameter("b", [10], Init::Zeros);
//!     let loss = g.softmax_cross_entropy(g.add(g.matmul(x, w)?, b)?, labels)?;
//!
//!     let tape = g.training_step(loss, &Sgd::new(0.1))?; // forward + backward + update
//!     println!("{tape}");
//!
//!     let images = vec![0.5; 32 * 784];
//!     let targets = vec![3u32; 32];
//!     let mut session = tape.session(&device)?;
//!     session.write(x, &images)?;
//!     session.write(labels, &targets)?;
//!     session.replay()?;
//!     let first = session.read_scalar(loss)?;
//!     session.replay_n(10)?;
//!     assert!(session.read_scalar(loss)? < first);
//!     Ok(())
//! }
//! ```
//!
//! # How it works
//!
//! ```text
//! Graph ──training_step──▶ Tape ──fuse──▶ Tape ──plan──▶ Plan ──session──▶ Session ──replay──▶ values
//! symbolic,   reverse      flat list      fewer          buffers and       owns buffers,
//! shapes      mode         of operators   operators      dispatches        pipelines, bind groups
//! ```
//!
//! Data flows one way. Every stage up to the [`Plan`](tape::Plan) is plain data: no graphics type,
//! printable, testable without a GPU, and deterministic: the same graph gives the same tape and
//! the same plan.
//!
//! - **[`Graph`]**: what a program records. Shapes are static; every mistake is reported by the
//!   call that makes it, with the operator, both shapes, the layer and the line.
//! - **[`Tape`]**: the ordered operators of a step. Operators read every parameter and state as it
//!   was when the step began; updates overwrite them afterwards. Numbers that change from step to
//!   step ([`Scalar`]: the learning rate, the step count, the seed) are written into a dispatch
//!   when it is encoded, so nothing is frozen into the recording.
//! - **[Fused](Tape::fuse)**: a GPU replays a tape of fewer operators. What depends on constants alone
//!   is computed when the session is made, what is computed twice once, and elementwise operators that
//!   follow each other, or a product, convolution, normalisation, pooling or padding, are one kernel, whose
//!   source is assembled from the functions of `elementwise.wgsl`. Some unlike operators have a kernel
//!   for both: a loss with its gradient, the gradient of a weight with that of its bias, a
//!   normalisation with its running statistics. A pointwise convolution under a stride is one
//!   without, of the pixels that the stride leaves.
//! - **[`Plan`](tape::Plan)**: every value gets a buffer, and buffers are reused once their values
//!   are dead. Peak memory, every binding and every grid are known before anything is allocated,
//!   and what exceeds a limit of the device is refused by the layer's name.
//! - **[`Session`]**: the executor. Buffers, pipelines and bind groups are made once. A replay
//!   encodes the prepared dispatches and hands them over; it allocates nothing and reads nothing back. Every
//!   dispatch has its planned [work](tape::Work): by that, and by how fast the device has been, small steps go
//!   together in one submission, and a large step in several of about 100 ms
//!   ([`Device::set_submission_time`]), which decides nothing but when the device gets it.
//!
//! The same tape runs on three executors: a GPU replays the plan of the fused tape, the CPU replays the fused
//! tape in f32, and the reference replays the recorded operators by their f64 formulas. [`Session::verify`]
//! compares the fused tape with them, operator by operator, and names the first that differs and the recorded
//! operators that it stands for.
//!
//! [`Session::profile`] replays with a clock around each dispatch and says what operators, layers and kernels take, beside
//! a [roofline](Device::roofline) that two built-in kernels measure.
//!
//! # Where things are
//!
//! From the lowest room up; none imports a higher one, which a test reads in the sources.
//!
//! | module | what it holds |
//! |---|---|
//! | [`random`] | the counter-based generator |
//! | [`mod@array`] | dense f64 arrays and their product, which references are written with; the f32 product and how work is spread over threads |
//! | [`kernel`] | shaders and their reflection, parameter blocks, grids, the device's profile, scalars: plain data |
//! | [`graph`] | recording: values, kinds of states, initialisers, what an operator is |
//! | [`ops`] | one file per operator family: shape rule, gradient, dispatches, f64 reference, and in `compute.rs` its f32 routine for the CPU; in `ops/graph`, the methods that record them |
//! | [`tape`] | differentiation, ordering, fusion, the planner, listings |
//! | `executor` | the device: the CPU in f32, the reference in f64, and [`gpu`]: everything that calls wgpu |
//! | [`session`] | a tape on a device: reading, writing, replays, snapshots, `verify`, profiles and the roofline |
//! | [`data`] | samples in memory, splits and scaling, dataset readers, texts as numbers |
//! | [`nn`] | layers, models, penalties and constraints, well-known architectures |
//! | [`train`] | the training step, optimisers, losses, metrics, callbacks, checkpoints, pruning, the trainer |
//! | `plot` | pictures of training, as SVG and PNG (feature `plots`) |
//!
//! Shaders are in `shaders/`, each with the stem of its operator file.
//!
//! # Environment
//!
//! | variable | effect |
//! |---|---|
//! | `WGPU_BACKEND` | `vulkan`, `metal` or `dx12`: the backends to look at |
//! | `WGPU_ADAPTER_NAME` | part of the name of the adapter to take |
//! | `WGPU_POWER_PREF` | `high` or `low`: discrete or integrated GPUs first |
//! | `RETAPE_CHECKED=1` | wgpu's run-time checks in every kernel: bounds, loops, zeroed memory |
//! | `RETAPE_KERNEL_CACHE` | the folder for compiled kernels, `0` for none; by default `retape/kernels` in the system's cache folder (feature `cache`) |
//! | `WGPU_VALIDATION=1`, `WGPU_DEBUG=1` | the driver's validation layers |
//!
//! # Conventions
//!
//! Row-major, contiguous f32, at most six dimensions; f16 as storage beside it, see [`Graph::cast`] and
//! [`Graph::autocast`]; u32 for indices and labels. Dense weights are `[in,
//! out]`. Images are `[channels, height, width]`, without Keras's option to have the channels last: an image
//! of `[32, 32, 3]` would have 32 of them ([`data::channels_first`]). Broadcasting is NumPy's. Subnormal
//! numbers may be flushed to zero by a GPU.
//!
//! **NaN** is handed on: wherever an operand is NaN, so is every result that reads it, on the CPU and on
//! every driver, so that a training that broke shows in its loss. That holds for what compares and chooses
//! too: `max` and `min`, `maximum` and `minimum`, `sign`, `step`, `relu` and its kin, `clip`, max pooling,
//! softmax, norms, clipping by norm, and losses of logits or probabilities. `argmax` gives the first NaN,
//! which counts as the largest. The exceptions:
//! - Comparisons answer: each is 0 with a NaN, but for `not_equal`, which is 1.
//! - What is not read is not handed on: the choice that `select` did not take (a condition of NaN is not 0,
//!   so that it takes the first), elements that dropout left out, scores of other classes in
//!   `negative_log_likelihood`.
//! - `pow` is 1 for a base of 1 and for an exponent of 0, as in C.
//! - Metrics count: a NaN among scores is a wrong prediction ([`Metric`](train::Metric)).
//!
//! Gradients follow their formulas. A NaN counts as chosen, and as on the side where a function hands its
//! operand on: `max`, max pooling, `relu` and `clip` pass the gradient to it, `maximum` and `minimum` to both
//! operands where either is NaN. Where an element was not chosen or a function is flat, the gradient is 0,
//! even if a NaN comes back.
#![warn(missing_debug_implementations, missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[macro_use]
mod macros;

pub mod array;
mod compare;
pub mod data;
mod dtype;
mod error;
mod executor;
#[cfg(any(feature = "cache", feature = "checkpoints", feature = "data", feature = "plots"))]
mod files;
pub mod graph;
pub mod kernel;
pub mod ops;
#[cfg(feature = "plots")]
pub mod plot;
pub mod random;
pub mod session;
mod shape;
pub mod tape;
#[doc(hidden)]
pub mod testing;
pub mod train;

// After `train`, as in the documentation of `Graph`.
pub mod nn;

pub use compare::{Comparison, compare};
pub use dtype::{DType, Element};
pub use error::{Error, FetchError, Result, TableError};
pub use executor::{Device, gpu};
pub use graph::{Graph, Init, Scalar, Value};
/// The `half` whose `f16` sessions take.
pub use half;
pub use kernel::{Clock, Roofline};
pub use session::{
    HostData, NonFinite, OpCheck, Profile, ProfileOptions, Session, SessionOptions, Snapshot, Verification,
};
pub use shape::{MAX_ELEMENTS, MAX_RANK, Shape, TensorType};
pub use tape::Tape;
/// The wgpu that sessions run on, for programs that bring their own device.
pub use wgpu;

/// Every built-in operator: what can appear in a listing of a tape without operators of the program's own.
pub fn operators() -> Vec<ops::OperatorInfo> {
    [ops::operators(), train::optimizers::operators()].concat()
}

/// Every built-in shader.
pub fn shaders() -> Vec<&'static kernel::Shader> {
    [ops::shaders(), train::optimizers::shaders()].concat()
}

/// What most programs import.
pub mod prelude {
    pub use crate::graph::{Graph, Init, Scalar, Value};
    pub use crate::nn::{
        Activation, ActivityPenalty, Add, AvgPool1d, AvgPool2d, BatchNorm, Bidirectional, Concat, Conv1d,
        Conv2d, ConvTranspose2d, Dense, DepthwiseConv2d, Dropout, Embedding, Flatten, GaussianNoise,
        GlobalAvgPool1d, GlobalAvgPool2d, GlobalMaxPool1d, GlobalMaxPool2d, GroupNorm, Gru, InstanceNorm,
        Layer, LayerContext, LayerNorm, LocalResponseNorm, Lstm, Masking, MaxPool1d, MaxPool2d, Merge, Mode,
        Model, Network, RandomAffine, RandomBrightness, RandomContrast, RandomCrop, RandomFlip,
        RandomRotation, RandomTranslation, RandomZoom, RepeatVector, Reshape, SequenceLengths, SequenceMask,
        Sequential, SimpleRnn, SpatialDropout, ZeroPad2d, architectures,
    };
    pub use crate::ops::{
        AffineOptions, CellActivation, ConvOptions, ConvRoute, FillMode, GruReset, MatmulOptions,
        MatmulRoute, Padding, PoolOptions, RecurrentOptions, RecurrentWeights,
    };
    pub use crate::session::{Session, SessionOptions};
    pub use crate::tape::Recompute;
    pub use crate::train::optimizers::all::*;
    pub use crate::train::schedules::{
        CosineDecay, ExponentialDecay, OneCycle, PolynomialDecay, StepDecay, WarmUp,
    };
    pub use crate::train::{
        Average, Clip, Constraint, Fit, History, Loss, Metric, Optimizer, ParameterGroup, Penalty, Trainer,
    };
    pub use crate::{DType, Device, Shape, Tape, data};
}

/// The README's programs, compiled.
#[cfg(all(doctest, feature = "checkpoints", feature = "data", feature = "plots"))]
#[doc = include_str!("../README.md")]
struct Readme;
