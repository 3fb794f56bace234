//! Poolings over the steps of sequences.

use super::context::without_padding;
use super::macros::one_input;
use super::weights::at_least_one;
use super::{LayerContext, LayerSpec, UnitFlow};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::{Padding, PoolOptions};

/// The mean of each feature over the steps of a sequence.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]` |
/// | output | `[batch, features]` |
///
/// No parameters. Steps of padding ([`LayerContext::mask`]) are left out: the sum over the others is
/// divided by how many they are. A sequence of nothing but padding gives zeros, where Keras has NaN.
///
/// An embedding, its mean and a dense layer are a model of texts:
///
/// ```
/// use retape::prelude::*;
/// let model = Sequential::new()
///     .add(Embedding::new(10_000, 16).padding_index(0))
///     .add(GlobalAvgPool1d)
///     .add(Dense::new(1));
/// let trainer = Trainer::new(model, [200])
///     .loss(Loss::BinaryCrossEntropy)
///     .optimizer(Adam::new(1e-3))
///     .build(&Device::cpu())?;
/// # let _ = trainer;
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalAvgPool1d;

/// The largest number of each feature over the steps of a sequence.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]` |
/// | output | `[batch, features]` |
///
/// No parameters. Steps of padding ([`LayerContext::mask`]) are left out; Keras's layer takes them in. A
/// sequence of nothing but padding gives zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalMaxPool1d;

/// The mean of each feature under windows of so many steps.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]`; `[batch, features, time]` with `channels_first` |
/// | output | the same, with `floor((time - size) / stride) + 1` steps where nothing is padded |
///
/// No parameters. Defaults: windows side by side, no padding, which would not count. Steps of padding of an
/// input with a mask ([`LayerContext::mask`]) are left out: the mean is that of the others, and the output's
/// mask has the windows with at least one. A window of nothing but padding gives zeros.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct AvgPool1d(Windows);

/// The largest number of each feature under windows of so many steps.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]`; `[batch, features, time]` with `channels_first` |
/// | output | the same, with `floor((time - size) / stride) + 1` steps where nothing is padded |
///
/// No parameters. Defaults: windows side by side, no padding. Steps of padding of an input with a mask
/// ([`LayerContext::mask`]) are left out, and the output's mask has the windows with at least one other. A
/// window of nothing but padding gives zeros.
///
/// ```
/// use retape::prelude::*;
/// // What a convolution makes has its channels first.
/// let model = Sequential::new()
///     .add(Conv1d::new(8, 5))
///     .add(MaxPool1d::new(2).channels_first())
///     .add(GlobalMaxPool1d.channels_first());
/// let summary = model.summary([3, 24])?;
/// assert_eq!(summary.layers[1].outputs, [Shape::from([8, 10])]);
/// assert_eq!(summary.layers[2].outputs, [Shape::from([8])]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct MaxPool1d(Windows);

/// Windows over time.
#[derive(Clone, Copy, Debug)]
struct Windows {
    size: usize,
    stride: Option<usize>,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
    channels_first: bool,
}

/// A pooling over all of time, of sequences with the channels first.
#[derive(Clone, Copy, Debug)]
struct ChannelsFirst {
    largest: bool,
}

macro_rules! window_methods {
    ($($layer:ident)+) => {$(
        impl $layer {
            /// Windows of so many steps.
            pub fn new(size: usize) -> Self {
                $layer(Windows {
                    size,
                    stride: None,
                    padding: Padding::Valid,
                    ceil_mode: false,
                    count_include_pad: false,
                    channels_first: false,
                })
            }

            setters! {
                /// Steps from one window to the next: the window's size by default.
                stride: usize => 0.stride;
                /// What surrounds the sequence: [`Padding::Valid`], nothing, by default. Of explicit numbers,
                /// those to the left and right count.
                padding: Padding => 0.padding;
                /// Adds the last window that hangs over the end.
                ceil_mode => 0.ceil_mode = true;
                /// Takes sequences `[batch, channels, length]`, as [`Conv1d`](super::Conv1d) makes them.
                channels_first => 0.channels_first = true;
            }
        }
    )+};
}

window_methods! { AvgPool1d MaxPool1d }

setters! {
    AvgPool1d,
    /// Whether what surrounds the sequence counts as zeros; it does not by default, nor where the input has a
    /// mask.
    count_include_pad: bool => 0.count_include_pad;
}

macro_rules! global_methods {
    ($($layer:ident: $largest:literal;)+) => {$(
        impl $layer {
            /// The same of sequences `[batch, channels, length]`, as [`Conv1d`](super::Conv1d) makes them.
            pub fn channels_first(self) -> LayerSpec {
                LayerSpec::from(ChannelsFirst { largest: $largest })
            }
        }
    )+};
}

global_methods! {
    GlobalAvgPool1d: false;
    GlobalMaxPool1d: true;
}

impl Windows {
    /// The same over the height of images.
    fn options(self) -> PoolOptions {
        let padding = match self.padding {
            Padding::Explicit { left, right, .. } => {
                Padding::Explicit { top: left, left: 0, bottom: right, right: 0 }
            }
            other => other,
        };
        let stride = [self.stride.unwrap_or(self.size), 1];
        let options = PoolOptions::new([self.size, 1]).stride(stride).padding(padding);
        let options = options.count_include_pad(self.count_include_pad);
        if self.ceil_mode { options.ceil_mode() } else { options }
    }

    /// Pools over time; what makes one number of a window is `pool`, and `filler` stands for padding.
    fn record(
        self,
        cx: &mut LayerContext<'_>,
        x: Value,
        filler: f32,
        pool: fn(&Graph, Value, PoolOptions) -> Result<Value>,
    ) -> Result<Value> {
        at_least_one("size", self.size)?;
        let options = self.options();
        let (mask, g) = (cx.mask(x), cx.graph());
        if self.channels_first {
            let expected = "a mask is of steps, which come before the features";
            Error::expect(mask.is_none(), "channels_first", "set for a masked sequence", expected)?;
            let [batch, channels, time] = g.shape(x)?.extents("3 ([batch, channels, length])")?;
            let y = pool(g, g.reshape(x, [batch, channels, time, 1])?, options)?;
            let time = g.shape(y)?.dims()[2];
            return g.reshape(y, [batch, channels, time]);
        }
        let [batch, time, features] = g.shape(x)?.extents("3 ([batch, time, features])")?;
        let pooled = |x: Value, width: usize| pool(g, g.reshape(x, [batch, 1, time, width])?, options);
        let Some(mask) = mask else {
            let y = pooled(x, features)?;
            let time = g.shape(y)?.dims()[2];
            return g.reshape(y, [batch, time, features]);
        };
        let y = pooled(without_padding(g, x, mask, filler)?, features)?;
        // Of means, the share of a window's steps that count; of largest numbers, whether any does.
        let share = pooled(mask, 1)?;
        let y = match filler == 0.0 {
            true => g.div(y, g.maximum(share, g.scalar_constant(0.5 / self.size as f32))?)?,
            false => g.select(share, y, g.scalar_constant(0.0))?,
        };
        let time = g.shape(y)?.dims()[2];
        let counts = g.not_equal(g.reshape(share, [batch, time])?, g.scalar_constant(0.0))?;
        let y = g.reshape(y, [batch, time, features])?;
        cx.set_mask(y, counts)?;
        Ok(y)
    }
}

/// A sequence of three dimensions and its mask.
fn steps(cx: &LayerContext<'_>, x: Value) -> Result<Option<Value>> {
    let [..]: [usize; 3] = cx.graph().shape(x)?.extents("3 ([batch, time, features])")?;
    Ok(cx.mask(x))
}

one_input! {
    GlobalAvgPool1d, "global_avg_pool1d", |_, cx, x| {
        let (mask, g) = (steps(cx, x)?, cx.graph());
        let Some(mask) = mask else { return g.mean(x, &[1], false) };
        let sum = g.sum(without_padding(g, x, mask, 0.0)?, &[1], false)?;
        g.div(sum, g.maximum(g.sum(mask, &[1], true)?, g.scalar_constant(1.0))?)
    };

    GlobalMaxPool1d, "global_max_pool1d", |_, cx, x| {
        let (mask, g) = (steps(cx, x)?, cx.graph());
        let Some(mask) = mask else { return g.max(x, &[1], false) };
        let largest = g.max(without_padding(g, x, mask, f32::MIN)?, &[1], false)?;
        g.select(g.max(mask, &[1], true)?, largest, g.scalar_constant(0.0))
    };

    ChannelsFirst, "global_pool1d", units: |_| UnitFlow::Kept, |layer, cx, x| {
        let [..]: [usize; 3] = cx.graph().shape(x)?.extents("3 ([batch, channels, length])")?;
        let expected = "a mask is of steps, which come before the features";
        Error::expect(cx.mask(x).is_none(), "channels_first", "set for a masked sequence", expected)?;
        if layer.largest { cx.graph().max(x, &[2], false) } else { cx.graph().mean(x, &[2], false) }
    };

    AvgPool1d, "avg_pool1d", |layer, cx, x| layer.0.record(cx, x, 0.0, Graph::avg_pool2d);

    MaxPool1d, "max_pool1d", |layer, cx, x| layer.0.record(cx, x, f32::MIN, Graph::max_pool2d);
}
