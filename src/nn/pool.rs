//! Poolings.

use super::macros::one_input;
use super::{UnitFlow, image};
use crate::ops::{Padding, Pair, PoolOptions};

/// The largest number under each window: [`Graph::max_pool2d`](crate::Graph::max_pool2d).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, channels, oh, ow]` |
///
/// No parameters. Defaults: windows side by side, no padding, no dilation.
///
/// ```
/// use retape::prelude::*;
///
/// let overlapping = MaxPool2d::new(3).stride(2).padding(Padding::symmetric(1));
/// let summary = Sequential::new().add(overlapping).summary([64, 112, 112])?;
/// assert_eq!(summary.layers[0].outputs, [Shape::from([64, 56, 56])]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct MaxPool2d(PoolOptions);

/// The mean under each window: [`Graph::avg_pool2d`](crate::Graph::avg_pool2d).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, channels, oh, ow]` |
///
/// No parameters. Defaults: windows side by side, no padding, which would not count.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct AvgPool2d(PoolOptions);

/// The mean of each channel: [`Graph::global_avg_pool2d`](crate::Graph::global_avg_pool2d).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, channels]` |
///
/// No parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalAvgPool2d;

/// The largest number of each channel: [`Graph::global_max_pool2d`](crate::Graph::global_max_pool2d).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, channels]` |
///
/// No parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalMaxPool2d;

macro_rules! pool_methods {
    ($($layer:ident)+) => {$(
        impl $layer {
            /// Windows of this height and width.
            pub fn new(size: impl Into<Pair>) -> Self {
                $layer(PoolOptions::new(size))
            }

            setters! {
                /// From one window to the next: the window's size by default.
                stride: impl Into<Pair> => 0.stride;
                /// What surrounds the image: [`Padding::Valid`], nothing, by default.
                padding: Padding => 0.padding;
                /// Adds the last window that hangs over the end.
                ceil_mode => 0.ceil_mode = true;
            }
        }
    )+};
}

pool_methods! { MaxPool2d AvgPool2d }

setters! {
    MaxPool2d,
    /// From one element of a window to the next: 1 by default.
    dilation: impl Into<Pair> => 0.dilation;
}

setters! {
    AvgPool2d,
    /// Whether padding counts as zeros; it does not by default.
    count_include_pad: bool => 0.count_include_pad;
}

one_input! {
    MaxPool2d, "max_pool2d", units: |_| UnitFlow::Kept, keeps_steps: |_| true, |layer, cx, x| {
        image(cx.graph().shape(x)?)?;
        cx.graph().max_pool2d(x, layer.0)
    };

    AvgPool2d, "avg_pool2d", units: |_| UnitFlow::Kept, keeps_steps: |_| true, |layer, cx, x| {
        image(cx.graph().shape(x)?)?;
        cx.graph().avg_pool2d(x, layer.0)
    };

    GlobalAvgPool2d, "global_avg_pool2d", units: |_| UnitFlow::Kept, keeps_steps: |_| true, |_, cx, x| {
        image(cx.graph().shape(x)?)?;
        cx.graph().global_avg_pool2d(x)
    };

    GlobalMaxPool2d, "global_max_pool2d", units: |_| UnitFlow::Kept, keeps_steps: |_| true, |_, cx, x| {
        image(cx.graph().shape(x)?)?;
        cx.graph().global_max_pool2d(x)
    };
}
