//! Convolutions.

use super::macros::one_input;
use super::weights::{Weights, at_least_one, weight_methods};
use super::{image, unit_flow};
use crate::error::{Error, Result};
use crate::graph::Init;
use crate::ops::{ConvOptions, ConvRoute, Padding, Pair};

/// Filters sliding over images: [`Graph::conv2d`](crate::Graph::conv2d).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, filters, oh, ow]` |
/// | `weight` | `[filters, channels / groups, kh, kw]` |
/// | `bias` | `[filters]` |
///
/// Defaults: stride 1, no padding, dilation 1, one group, no activation, a bias, Glorot uniform
/// weights, zero biases.
///
/// ```
/// use retape::prelude::*;
///
/// let first = Conv2d::new(64, 7).stride(2).padding(Padding::symmetric(3)).bias(false);
/// let summary = Sequential::new().add(first).summary([3, 224, 224])?;
/// assert_eq!(summary.layers[0].outputs, [Shape::from([64, 112, 112])]);
/// assert_eq!(summary.parameters, 9408);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Conv2d {
    filters: usize,
    kernel: Pair,
    options: ConvOptions,
    weights: Weights,
}

/// Each channel convolved by itself: [`Conv2d`] with a group for each channel (Chollet, CVPR 2017).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, channels multiplier, oh, ow]` |
/// | `weight` | `[channels multiplier, 1, kh, kw]` |
/// | `bias` | `[channels multiplier]` |
///
/// Defaults: one filter for each channel, and those of [`Conv2d`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DepthwiseConv2d {
    kernel: Pair,
    multiplier: usize,
    options: ConvOptions,
    weights: Weights,
}

/// The transpose of a convolution: [`Graph::conv_transpose2d`](crate::Graph::conv_transpose2d).
/// With stride 2 it doubles height and width.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, filters, oh, ow]` |
/// | `weight` | `[channels, filters / groups, kh, kw]` |
/// | `bias` | `[filters]` |
///
/// Defaults: those of [`Conv2d`], no output padding.
#[derive(Clone, Debug)]
#[must_use]
pub struct ConvTranspose2d {
    filters: usize,
    kernel: Pair,
    options: ConvOptions,
    output_padding: Pair,
    weights: Weights,
}

/// Filters sliding over sequences: [`Graph::conv1d`](crate::Graph::conv1d).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, length]` |
/// | output | `[batch, filters, olength]` |
/// | `weight` | `[filters, channels / groups, kernel]` |
/// | `bias` | `[filters]` |
///
/// Defaults: those of [`Conv2d`]. Of explicit padding, left and right count.
#[derive(Clone, Debug)]
#[must_use]
pub struct Conv1d {
    filters: usize,
    kernel: usize,
    options: ConvOptions,
    weights: Weights,
}

impl Conv2d {
    /// This many filters of this height and width.
    pub fn new(filters: usize, kernel: impl Into<Pair>) -> Self {
        Conv2d { filters, kernel: kernel.into(), options: ConvOptions::new(), weights: Weights::default() }
    }
}

impl DepthwiseConv2d {
    /// Filters of this height and width.
    pub fn new(kernel: impl Into<Pair>) -> Self {
        let (options, weights) = (ConvOptions::new(), Weights::default());
        DepthwiseConv2d { kernel: kernel.into(), multiplier: 1, options, weights }
    }

    setters! {
        /// Filters for each channel: 1 by default.
        multiplier: usize => multiplier;
    }
}

impl ConvTranspose2d {
    /// This many filters of this height and width.
    pub fn new(filters: usize, kernel: impl Into<Pair>) -> Self {
        let (options, weights) = (ConvOptions::new(), Weights::default());
        let output_padding = Pair([0; 2]);
        ConvTranspose2d { filters, kernel: kernel.into(), options, output_padding, weights }
    }

    setters! {
        /// Rows and columns added at the bottom and right, where a stride leaves several sizes to
        /// choose from; 0 by default.
        output_padding: impl Into<Pair> => output_padding;
    }
}

impl Conv1d {
    /// This many filters of this length.
    pub fn new(filters: usize, kernel: usize) -> Self {
        Conv1d { filters, kernel, options: ConvOptions::new(), weights: Weights::default() }
    }
}

weight_methods! { Conv1d Conv2d DepthwiseConv2d ConvTranspose2d }

/// How the windows move, and what computes them.
macro_rules! window_methods {
    ($($layer:ident: $pair:ty;)+) => {$(
        setters! {
            $layer,
            /// Elements from one window to the next: 1 by default.
            stride: $pair => options.stride;
            /// Elements from one tap of a window to the next: 1 by default.
            dilation: $pair => options.dilation;
            /// What surrounds the input: [`Padding::Valid`], nothing, by default.
            padding: Padding => options.padding;
            /// Forces a kernel instead of the rule in [`ConvRoute`], for the gradients too: the numbers are the same to
            /// rounding.
            route: ConvRoute => options.route;
        }
    )+};
}

window_methods! {
    Conv1d: usize;
    Conv2d: impl Into<Pair>;
    DepthwiseConv2d: impl Into<Pair>;
    ConvTranspose2d: impl Into<Pair>;
}

macro_rules! group_methods {
    ($($layer:ident)+) => {$(
        setters! {
            $layer,
            /// Splits the channels into groups that do not see each other: 1 by default.
            groups: usize => options.groups;
        }
    )+};
}

group_methods! { Conv1d Conv2d ConvTranspose2d }

/// The groups, unless they make no weight.
fn check_groups(filters: usize, channels: usize, ConvOptions { groups, .. }: ConvOptions) -> Result<usize> {
    at_least_one("filters", filters)?;
    at_least_one("groups", groups)?;
    let fits = filters.is_multiple_of(groups) && channels.is_multiple_of(groups);
    let value = format!("{groups}, with {channels} channels and {filters} filters");
    Error::expect(fits, "groups", value, "it must divide both").map(|()| groups)
}

one_input! {
    Conv2d, "conv2d",
    units: |layer| unit_flow::own(layer.filters, layer.options.groups, [0, 1]),
    with_units: |layer, filters| Conv2d { filters, ..layer.clone() },
    |layer, cx, x| {
        let [_, channels, ..] = image(cx.graph().shape(x)?)?;
        let &Conv2d { filters, kernel: Pair([kh, kw]), options, .. } = layer;
        let groups = check_groups(filters, channels, options)?;
        let w = layer.weights.weight(cx, [filters, channels / groups, kh, kw], &[1, 2, 3])?;
        let bias = layer.weights.bias(cx, filters)?;
        let y = cx.graph().conv2d(x, w, bias, options)?;
        layer.weights.activation.apply(cx.graph(), y, 1)
    };

    DepthwiseConv2d, "depthwise_conv2d", |layer, cx, x| {
        let [_, channels, ..] = image(cx.graph().shape(x)?)?;
        at_least_one("multiplier", layer.multiplier)?;
        let (filters, Pair([kh, kw])) = (channels.saturating_mul(layer.multiplier), layer.kernel);
        let w = layer.weights.weight(cx, [filters, 1, kh, kw], &[1, 2, 3])?;
        let bias = layer.weights.bias(cx, filters)?;
        let y = cx.graph().conv2d(x, w, bias, layer.options.groups(channels))?;
        layer.weights.activation.apply(cx.graph(), y, 1)
    };

    ConvTranspose2d, "conv_transpose2d", |layer, cx, x| {
        let [_, channels, ..] = image(cx.graph().shape(x)?)?;
        let &ConvTranspose2d { filters, kernel: Pair([kh, kw]), options, .. } = layer;
        let groups = check_groups(filters, channels, options)?;
        let shape = [channels, filters / groups, kh, kw];
        let weight = &layer.weights.weight;
        let w = cx.parameter("weight", shape, weight.init.clone().unwrap_or(Init::GlorotUniform));
        // A filter sees the channels of its group only.
        let view = [groups, channels / groups, filters / groups, kh, kw];
        weight.restrain(cx, w, view, &[1, 3, 4])?;
        let bias = layer.weights.bias(cx, filters)?;
        let y = cx.graph().conv_transpose2d(x, w, bias, options, layer.output_padding)?;
        layer.weights.activation.apply(cx.graph(), y, 1)
    };

    Conv1d, "conv1d",
    units: |layer| unit_flow::own(layer.filters, layer.options.groups, [0, 1]),
    with_units: |layer, filters| Conv1d { filters, ..layer.clone() },
    |layer, cx, x| {
        let [_, channels, _] = cx.graph().shape(x)?.extents("3 ([batch, channels, length])")?;
        let &Conv1d { filters, kernel, options, .. } = layer;
        let groups = check_groups(filters, channels, options)?;
        let w = layer.weights.weight(cx, [filters, channels / groups, kernel], &[1, 2])?;
        let bias = layer.weights.bias(cx, filters)?;
        let y = cx.graph().conv1d(x, w, bias, options)?;
        layer.weights.activation.apply(cx.graph(), y, 1)
    };
}
