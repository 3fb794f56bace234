//! What a pooling is asked for.

use crate::ops::common::*;
use crate::ops::{Padding, Pair, Window};

/// Size, stride and padding of pooling windows.
///
/// ```
/// use retape::ops::{Padding, PoolOptions};
/// // AlexNet's overlapping windows, and ResNet's.
/// let alexnet = PoolOptions::new(3).stride(2);
/// let resnet = PoolOptions::new(3).stride(2).padding(Padding::symmetric(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PoolOptions {
    size: Pair,
    pub(crate) stride: Pair,
    pub(crate) padding: Padding,
    pub(crate) dilation: Pair,
    pub(crate) ceil_mode: bool,
    pub(crate) count_include_pad: bool,
}

impl PoolOptions {
    /// Windows of this height and width, side by side, without padding.
    pub fn new(size: impl Into<Pair>) -> Self {
        let (size, dilation) = (size.into(), Pair([1; 2]));
        let padding = Padding::Valid;
        PoolOptions { size, stride: size, padding, dilation, ceil_mode: false, count_include_pad: false }
    }

    setters! {
        /// From one window to the next; the window's size if not given.
        stride: impl Into<Pair> => stride;
        /// What surrounds the image.
        padding: Padding => padding;
        /// From one tap of a window to the next, for max pooling.
        dilation: impl Into<Pair> => dilation;
        /// Whether an average counts the padding as zeros: not by default, as in Keras and ONNX;
        /// PyTorch's default is to count it. What hangs over the padded image in ceil mode is never
        /// counted.
        count_include_pad: bool => count_include_pad;
        /// Adds the last window that hangs over the end, as long as it begins on the image or the
        /// padding before it (PyTorch, ONNX).
        ceil_mode => ceil_mode = true;
    }

    pub(super) fn window(&self) -> Window {
        let Pair(kernel) = self.size;
        let &PoolOptions { stride: Pair(stride), dilation: Pair(dilation), padding, ceil_mode, .. } = self;
        Window { kernel, stride, dilation, padding, ceil_mode }
    }

    /// The window of a pooling that has no dilation.
    pub(super) fn dense_window(&self) -> Result<Window> {
        if self.dilation != Pair([1; 2]) {
            let value = format!("{:?}", self.dilation.0);
            return Err(Error::argument("dilation", value, "only max pooling has dilated windows"));
        }
        Ok(self.window())
    }

    /// The same along the width, and nothing along the height.
    pub(in crate::ops) fn horizontal(self) -> Self {
        PoolOptions {
            size: self.size.horizontal(),
            stride: self.stride.horizontal(),
            padding: self.padding.horizontal(),
            dilation: self.dilation.horizontal(),
            ..self
        }
    }

    /// The attributes of a listing.
    pub(super) fn attributes(&self) -> String {
        let Window { kernel, stride, dilation, padding, ceil_mode } = self.window();
        let mut text = format!("size={kernel:?}, stride={stride:?}, padding={padding}");
        if dilation != [1; 2] {
            text += &format!(", dilation={dilation:?}");
        }
        for (set, name) in [(ceil_mode, ", ceil_mode"), (self.count_include_pad, ", count_include_pad")] {
            if set {
                text += name;
            }
        }
        text
    }
}
