use super::geometry::Product;
use super::{Conv, ConvRoute, check_groups};
use crate::ops::common::*;
use crate::ops::{Padding, Pair, Window};

/// How a convolution moves over its image: stride 1, no padding, dilation 1 and one group unless
/// set.
///
/// ```
/// use retape::ops::{ConvOptions, Padding};
/// let strided = ConvOptions::new().stride(2).padding(Padding::Same);
/// let depthwise = ConvOptions::new().padding(Padding::symmetric(1)).groups(32);
/// # let _ = (strided, depthwise);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ConvOptions {
    pub(crate) stride: Pair,
    pub(crate) dilation: Pair,
    pub(crate) padding: Padding,
    pub(crate) groups: usize,
    pub(crate) route: ConvRoute,
}

impl Default for ConvOptions {
    fn default() -> Self {
        ConvOptions::new()
    }
}

impl ConvOptions {
    /// The defaults.
    pub fn new() -> Self {
        let (stride, dilation) = (Pair([1; 2]), Pair([1; 2]));
        ConvOptions { stride, dilation, padding: Padding::Valid, groups: 1, route: ConvRoute::Auto }
    }

    setters! {
        /// Pixels from one window to the next.
        stride: impl Into<Pair> => stride;
        /// Pixels from one element of the window to the next.
        dilation: impl Into<Pair> => dilation;
        /// What surrounds the image.
        padding: Padding => padding;
        /// Splits input and output channels into this many groups that do not see each other: as many as
        /// there are input channels for a depthwise convolution.
        groups: usize => groups;
        /// Forces a kernel instead of the rule in [`ConvRoute`], for the gradients too.
        route: ConvRoute => route;
    }

    pub(in crate::ops) fn over(&self, image: [usize; 2], kernel: [usize; 2], product: Product) -> Conv {
        let &ConvOptions { stride: Pair(stride), dilation: Pair(dilation), padding, groups, route } = self;
        let window = Window { kernel, stride, dilation, padding, ceil_mode: false };
        Conv { product, window, groups, image, route }
    }
}

/// Refuses operands and padding that no transposed convolution takes.
pub(in crate::ops) fn transposable(
    options: &ConvOptions,
    [x, w]: [TensorType; 2],
    extra: [usize; 2],
) -> Result<()> {
    common_float([("the image", x), ("the weight", w)])?;
    let channels = x.shape.dims()[1];
    if channels != w.shape.dims()[0] {
        return Err(Error::shape_mismatch("input channels of image and weight", x.shape, w.shape));
    }
    check_groups(options.groups, [("input channels", channels)])?;
    let same = options.padding == Padding::Same;
    match extra.into_iter().zip(options.stride.0).find(|&(n, stride)| n > 0 && (same || n >= stride)) {
        None => Ok(()),
        Some((n, _)) => {
            let expected = if same { "0 with same padding" } else { "less than the stride" };
            Err(Error::argument("output padding", n, expected))
        }
    }
}

/// The size that an axis has before a convolution makes `input` of it.
pub(in crate::ops) fn grow(
    options: &ConvOptions,
    axis: usize,
    input: usize,
    kernel: usize,
    extra: usize,
) -> Result<usize> {
    let (stride, dilation) = (options.stride.0[axis], options.dilation.0[axis]);
    let reach = dilation.saturating_mul(kernel.saturating_sub(1));
    let spread = input.saturating_sub(1).saturating_mul(stride);
    let open = spread.saturating_add(reach).saturating_add(1);
    let size = match options.padding {
        Padding::Valid => Some(open),
        Padding::Same => Some(input.saturating_mul(stride)),
        Padding::Full => open.checked_sub(reach.saturating_mul(2)),
        Padding::Explicit { top, left, bottom, right } => {
            let [before, after] = [[top, bottom], [left, right]][axis];
            open.checked_sub(before.saturating_add(after))
        }
    };
    let size = size.map(|s| s.saturating_add(extra)).filter(|&s| s > 0);
    size.ok_or_else(|| Error::argument("padding", options.padding, "it leaves nothing of the result"))
}
