//! The kinds of errors.

use std::panic::Location;
use std::path::PathBuf;

use super::about::{
    SOFTWARE_ADAPTER, class_difference, in_layer, list, misfit, of_value, other_size, target_mismatch,
    version_cure,
};
use super::data::{FetchError, TableError};
use crate::dtype::{DType, StoredType};
use crate::shape::{Shape, TensorType};

/// Everything that can go wrong, by stage: recording, planning, the device, running, data.
///
/// `Debug` is the same sentence as `Display`, so that a program whose `main` returns [`Result`] ends with
/// it. The facts are in the fields, see [`root`](Error::root).
#[non_exhaustive]
#[derive(thiserror::Error)]
pub enum Error {
    /// An operator could not be recorded. `at` is the line of the program that recorded it.
    #[error("{op}{} at {at}: {source}", in_layer(layer))]
    Record {
        /// The operator's name.
        op: &'static str,
        /// The layer it was recorded in; empty outside any layer.
        layer: String,
        /// The caller's line.
        at: &'static Location<'static>,
        /// What was wrong.
        source: Box<Error>,
    },
    /// A shape with more dimensions than a value may have.
    #[error("{rank} dimensions; a value has at most {limit}")]
    RankLimit {
        /// Dimensions asked for.
        rank: usize,
        /// [`MAX_RANK`](crate::MAX_RANK).
        limit: usize,
    },
    /// An operator needs another number of dimensions.
    #[error("shape {shape} has {} dimensions, {expected} needed", shape.rank())]
    Rank {
        /// What was given.
        shape: Shape,
        /// What is needed, in words ("at least 2").
        expected: &'static str,
    },
    /// An axis outside the shape, or named twice.
    #[error("axis {axis} does not fit shape {shape} or is named twice")]
    Axis {
        /// The axis as given.
        axis: isize,
        /// The shape it was to index.
        shape: Shape,
    },
    /// Shapes that do not broadcast together.
    #[error("shapes {left} and {right} do not broadcast together")]
    Broadcast {
        /// Left operand.
        left: Shape,
        /// Right operand.
        right: Shape,
    },
    /// Two shapes that an operator needs to agree do not.
    #[error("{what}: {} against {}", shapes[0], shapes[1])]
    ShapeMismatch {
        /// What has to agree.
        what: &'static str,
        /// One side and the other; boxed, which keeps every `Result` small.
        shapes: Box<[Shape; 2]>,
    },
    /// A window of a convolution or pooling is larger than the padded image.
    #[error(
        "the window spans {extent} along the {axis}, the padded image has {padded} ({input} without padding){hint}"
    )]
    Window {
        /// `height` or `width`.
        axis: &'static str,
        /// Elements from the window's first tap to its last.
        extent: usize,
        /// Elements of the image.
        input: usize,
        /// Elements of the image and its padding.
        padded: usize,
        /// What may be the cause, in words; empty if nothing points to one.
        hint: &'static str,
    },
    /// A reshape that changes the number of elements.
    #[error("cannot reshape {from} ({} elements) to {to} ({} elements)", from.numel(), to.numel())]
    Reshape {
        /// The value's shape.
        from: Shape,
        /// The shape asked for.
        to: Shape,
    },
    /// The wrong element type.
    #[error("{what} is {found}, {expected} needed")]
    DTypeMismatch {
        /// The operand or value.
        what: String,
        /// The dtype it has.
        found: DType,
        /// The dtype needed.
        expected: DType,
    },
    /// A dimension of zero: nothing to compute.
    #[error("`{name}` has shape {shape}: every dimension, the batch too, must be at least 1")]
    EmptyDimension {
        /// The value or operator.
        name: String,
        /// Its shape.
        shape: Shape,
    },
    /// More elements than a kernel can index.
    #[error("`{name}` has shape {shape}: more than the {limit} elements that 32-bit indices reach")]
    TooManyElements {
        /// The value or operator.
        name: String,
        /// The shape.
        shape: Shape,
        /// The most elements of a value.
        limit: usize,
    },
    /// An argument outside its range.
    #[error("{argument} is {value}; {expected}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A value of another graph.
    #[error("the value belongs to another graph")]
    ForeignValue,
    /// Two inputs or parameters of one name.
    #[error("`{name}` is declared twice{cure}")]
    DuplicateName {
        /// The name.
        name: String,
        /// What may be done, in words; empty if nothing is known.
        cure: &'static str,
    },
    /// A shared layer called on an input that its weights do not fit.
    #[error("the layer is shared: `{name}` {}", misfit(inputs, weights))]
    SharedWeight {
        /// The weight.
        name: String,
        /// The input of the first call and that of this one; boxed, which keeps every `Result` small.
        inputs: Box<[Shape; 2]>,
        /// The weight's shape and the one that this call needs.
        weights: Box<[Shape; 2]>,
    },
    /// A per-step scalar declared again with another value.
    #[error("scalar `{name}` is declared with {before} and again with {now}; another one needs another name")]
    ScalarDeclared {
        /// Its name.
        name: String,
        /// The value it was declared with first.
        before: f32,
        /// The value now.
        now: f32,
    },
    /// A loss that is not one number.
    #[error("a loss must be a scalar, this one has shape {shape}")]
    LossNotScalar {
        /// Its shape.
        shape: Shape,
    },
    /// A metric that cannot judge such outputs by such targets.
    #[error("metric `{metric}`: outputs {} and targets {} do not fit; {expected}", types[0], types[1])]
    MetricMismatch {
        /// The metric.
        metric: String,
        /// What the model gives and what it is compared with; boxed, which keeps every `Result` small.
        types: Box<[TensorType; 2]>,
        /// What the metric needs, in words.
        expected: &'static str,
    },
    /// Targets of another type than the loss takes.
    #[error("{}", target_mismatch(types))]
    TargetMismatch {
        /// A target, the model's output, and the target that the loss takes for it, all without the batch;
        /// boxed, which keeps every `Result` small.
        types: Box<[TensorType; 3]>,
    },
    /// The last batch of an epoch, smaller than the others, is one that the model cannot be trained on.
    #[error(
        "the last batch has {samples} of {batch} samples, which the model refuses: {source}; \
         `Fit::drop_last(true)` leaves it out"
    )]
    LastBatch {
        /// Its samples.
        samples: usize,
        /// Those of the others.
        batch: usize,
        /// What was wrong.
        source: Box<Error>,
    },
    /// No trainable parameter is reached from the losses.
    #[error("no trainable parameter reaches the loss: there is nothing to train")]
    NothingToTrain,
    /// An operator on the way to the loss has no gradient.
    #[error("{op} has no gradient, and `{wrt}` reaches the loss only through it")]
    NoGradient {
        /// The operator.
        op: &'static str,
        /// The value whose gradient was asked for.
        wrt: String,
    },

    /// A kernel source that does not parse or validate.
    #[error("shader `{shader}`: {message}")]
    Shader {
        /// The shader's name.
        shader: &'static str,
        /// The compiler's message, with line numbers of the source.
        message: String,
    },
    /// A kernel call that does not fit its shader.
    #[error("shader `{shader}`, entry `{entry}`: {message}")]
    KernelMismatch {
        /// The shader's name.
        shader: &'static str,
        /// The entry point.
        entry: &'static str,
        /// What differs.
        message: String,
    },
    /// An operator that asks for classes of inputs side by side, which are not as many to each.
    #[error("`{op}`: class {class} of its packs has no input at position {position}, another has")]
    PackMismatch {
        /// The operator's name.
        op: &'static str,
        /// The class.
        class: usize,
        /// The position in it.
        position: usize,
    },
    /// A plan that needs more than the device has.
    #[error("{op}{}: {what}{} is {needed}, but `{device}` allows {limit}", in_layer(layer), of_value(value))]
    Limit {
        /// The operator, or a value that none uses.
        op: String,
        /// The value that is too large; empty where it is none.
        value: Box<str>,
        /// Its layer; empty outside any layer.
        layer: String,
        /// The limit's name.
        what: &'static str,
        /// What the plan needs.
        needed: u64,
        /// What the device allows.
        limit: u64,
        /// The device.
        device: String,
    },

    /// A value of half precision on a device that has none.
    #[error(
        "{op}{}: `{value}` is f16, and `{device}` lacks shader-f16: record in f32 there, or take the CPU",
        in_layer(layer)
    )]
    NoHalfPrecision {
        /// The operator, or what stands for none.
        op: String,
        /// The value.
        value: String,
        /// The operator's layer; empty outside any layer.
        layer: String,
        /// The device.
        device: String,
    },

    /// No adapter of the kind asked for.
    #[error("no GPU adapter {wanted}; found: {}. {SOFTWARE_ADAPTER}", list(found))]
    NoAdapter {
        /// What was looked for.
        wanted: String,
        /// The adapters that exist.
        found: Vec<String>,
    },
    /// The adapter lacks something the engine cannot do without.
    #[error("adapter `{adapter}` lacks {missing}")]
    Unsupported {
        /// The adapter.
        adapter: String,
        /// What is missing.
        missing: String,
    },
    /// The adapter refused to open a device.
    #[error("adapter `{adapter}` gave no device: {message}")]
    DeviceRequest {
        /// The adapter.
        adapter: String,
        /// The driver's message.
        message: String,
    },
    /// The device is gone: unplugged, reset by its driver, or destroyed by its host.
    #[error("device `{device}` was lost: {message}")]
    DeviceLost {
        /// The device.
        device: String,
        /// The driver's message.
        message: String,
    },
    /// The device has no memory left, or the program none for what a file holds.
    #[error("device `{device}` is out of memory: {bytes} bytes were asked for")]
    OutOfMemory {
        /// The device; `cpu, reading` and a path where a file is read.
        device: String,
        /// What was asked for in all.
        bytes: u64,
    },
    /// wgpu reported an error that the plan should have ruled out.
    #[error("device `{device}`: {message}")]
    Gpu {
        /// The device.
        device: String,
        /// wgpu's message.
        message: String,
    },

    /// Data of the wrong length was written.
    #[error("`{name}` is {expected}: {} elements, {found} given", expected.numel())]
    Length {
        /// The value.
        name: String,
        /// Its type.
        expected: TensorType,
        /// Elements given.
        found: usize,
    },
    /// A target, or a number to fit a scale to, that is NaN or infinite.
    #[error("`{name}`: element {index} is {value}; it must be finite")]
    NonFinite {
        /// The value.
        name: String,
        /// The flat index.
        index: usize,
        /// The number.
        value: f32,
    },
    /// A label or index past the last class or row.
    #[error(
        "`{name}`: element {index} is {label}, which is not below {limit}, the number of classes or rows"
    )]
    LabelOutOfRange {
        /// The value.
        name: String,
        /// The flat index.
        index: usize,
        /// The label.
        label: u32,
        /// Number of classes or rows.
        limit: u32,
    },
    /// A value that cannot be written: it is computed, or a constant.
    #[error("`{name}` cannot be written: {reason}")]
    NotWritable {
        /// The value.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A value whose buffer is reused before the step ends.
    #[error("`{name}` is not kept to the end of the step; name it in `Tape::keep` to read it")]
    NotKept {
        /// The value.
        name: String,
    },
    /// A value of more than one element where one number was asked for.
    #[error("`{name}` has shape {shape}, not one element")]
    NotScalar {
        /// The value.
        name: String,
        /// Its shape.
        shape: Shape,
    },
    /// A name or a value that there is not.
    #[error("no {what} is called `{name}`; there are: {}", list(known))]
    Unknown {
        /// "parameter", "scalar", "value", "figure".
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Sessions that cannot share parameters.
    #[error("cannot share parameters: {message}")]
    Share {
        /// What differs.
        message: String,
    },
    /// The operation needs a GPU session.
    #[error("{what} needs a GPU session; this one runs on the CPU")]
    NeedsGpu {
        /// What was asked for.
        what: &'static str,
    },

    /// Inputs and labels that do not make the same number of samples.
    #[error("{inputs} input elements and {labels} labels do not make samples of shape {sample}")]
    DatasetLength {
        /// The shape of one sample.
        sample: Shape,
        /// Input elements given.
        inputs: usize,
        /// Labels given.
        labels: usize,
    },
    /// Another number of class names than of classes.
    #[error("{found} class names for {classes} classes")]
    ClassNames {
        /// Names given.
        found: usize,
        /// Classes there are.
        classes: u32,
    },
    /// Data of other classes than those that were trained on, or in another order.
    #[error("{}", class_difference(data, found, expected))]
    ClassMismatch {
        /// Which data: "validation data".
        data: &'static str,
        /// The names of its classes, by label.
        found: Vec<String>,
        /// The names of the classes that were trained on.
        expected: Vec<String>,
    },
    /// Samples without an input.
    #[error("the samples have no input")]
    NoInputs,
    /// No samples where at least one is needed.
    #[error("`{name}` has no samples")]
    NoSamples {
        /// The column, or the file.
        name: String,
    },
    /// Samples without a class for each.
    #[error(
        "the samples have no labels: targets that tell a class are a u32 for each sample, an f32 that is 0 or 1, or \
         -1 or 1, or a row with a single 1"
    )]
    NoLabels,
    /// Elements that do not make whole samples.
    #[error("`{name}` has {elements} elements, which do not make whole samples of shape {shape}")]
    PartialSample {
        /// The column.
        name: String,
        /// The shape of one sample.
        shape: Shape,
        /// Elements given.
        elements: usize,
    },
    /// Columns of samples that differ in number.
    #[error("`{name}` has {found} samples, the first input has {expected}")]
    SampleCount {
        /// The column.
        name: String,
        /// Its samples.
        found: usize,
        /// The samples of the first input.
        expected: usize,
    },
    /// A sample weight that is negative, NaN or infinite.
    #[error("the weight of sample {index} is {value}; weights must be finite and not negative")]
    SampleWeight {
        /// The sample.
        index: usize,
        /// Its weight.
        value: f32,
    },
    /// Values that do not make rows of so many features.
    #[error("{values} values do not make rows of {features} features, at least one")]
    Features {
        /// Features in a row.
        features: usize,
        /// Values given.
        values: usize,
    },
    /// A table is not what it is read as.
    #[error(transparent)]
    Table(TableError),
    /// A public data set could not be had.
    #[error(transparent)]
    Fetch(FetchError),
    /// Images that differ in size, where no size was asked for.
    #[error("{path}: {}", other_size(*found, *expected, first))]
    ImageSize {
        /// The file.
        path: PathBuf,
        /// Its height and width.
        found: [usize; 2],
        /// Height and width of the first image.
        expected: [usize; 2],
        /// The first image.
        first: PathBuf,
    },
    /// A file that could not be opened or read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A data file that holds more than is read of one.
    #[error("{path}: {found} {what}, at most {limit} are read{cure}")]
    FileLimit {
        /// The file.
        path: PathBuf,
        /// What it holds too much of.
        what: &'static str,
        /// As many as were counted: where a stream is not read to its end, one more than the limit.
        found: u64,
        /// The limit.
        limit: u64,
        /// How the limit is set, if it can be.
        cure: &'static str,
    },
    /// A data file that is not what it should be.
    #[error("{path}: {message}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file of tensors without what this crate writes into checkpoints.
    #[error("{path} is not a checkpoint of this crate")]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// A file of a newer version of this crate, or a checkpoint of an older one.
    #[error("{path}: its format is version {found}; {}", version_cure(*found, *newest))]
    CheckpointVersion {
        /// The file.
        path: PathBuf,
        /// The version it names.
        found: u64,
        /// The newest that is known, and the only one of a checkpoint.
        newest: u64,
    },
    /// A checkpoint of another training.
    #[error("{path}: {what}: {found} there, {expected} here")]
    CheckpointMismatch {
        /// The file.
        path: PathBuf,
        /// What differs: "the seed", "the batch size".
        what: &'static str,
        /// In the file.
        found: String,
        /// In the training that was to take it up.
        expected: String,
    },
    /// A file that lacks tensors, or has some that nobody asked for.
    #[error("{path}: tensors missing: {}; tensors too many: {}", list(missing), list(unexpected))]
    TensorNames {
        /// The file.
        path: PathBuf,
        /// The tensors that the file should have.
        missing: Vec<String>,
        /// The tensors that have no place.
        unexpected: Vec<String>,
    },
    /// A tensor of another type or shape than its place.
    #[error("{path}: `{name}` is {} there and {} here", types[0], types[1])]
    TensorMismatch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// In the file, and as it should be.
        types: Box<[StoredType; 2]>,
    },
    /// A picture whose file name does not say its format.
    #[error("{path}: the name of a picture ends in .svg or .png")]
    PictureFormat {
        /// The file.
        path: PathBuf,
    },
    /// A picture without anything to draw.
    #[error("nothing to draw: there is no {what}")]
    NothingToDraw {
        /// What is missing.
        what: String,
    },
}
