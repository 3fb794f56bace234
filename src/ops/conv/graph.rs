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
    route: ConvRoute,
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

    fn over(&self, image: [usize; 2], kernel: [usize; 2], product: Product) -> Conv {
        let &ConvOptions { stride: Pair(stride), dilation: Pair(dilation), padding, groups, route } = self;
        let window = Window { kernel, stride, dilation, padding, ceil_mode: false };
        Conv { product, window, groups, image, route }
    }
}

/// # Convolutions
impl Graph {
    /// Convolution of `x` `[n, c, h, w]` with the filters of `w` `[o, c / groups, kh, kw]`, plus
    /// `bias` `[o]`: `[n, o, oh, ow]`, all f32. As usual in networks the filters are not flipped
    /// (Goodfellow, Bengio and Courville, Deep Learning, 2016, equation 9.6):
    ///
    /// ```text
    /// y[n, o, i, j] = bias[o] + sum over c, p, q of
    ///                 x[n, c, i stride - top + p dilation, j stride - left + q dilation] w[o, c, p, q]
    /// ```
    ///
    /// where `c` runs over the channels of `o`'s group and padding counts as 0. Sizes are in
    /// [`Padding`].
    ///
    /// ```
    /// use retape::ops::ConvOptions;
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [1, 3, 227, 227]);
    /// let w = g.parameter("w", [96, 3, 11, 11], Init::HeNormal);
    /// let y = g.conv2d(x, w, None, ConvOptions::new().stride(4))?;
    /// assert_eq!(g.shape(y)?, Shape::from([1, 96, 55, 55]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::ShapeMismatch`] where channels disagree, [`Error::DTypeMismatch`] unless
    /// all are f32, [`Error::Window`] where the filters exceed the padded image, [`Error::Argument`] for
    /// groups that do not divide the channels and for strides and dilations of 0,
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn conv2d(&self, x: Value, w: Value, bias: Option<Value>, options: ConvOptions) -> Result<Value> {
        let image = self.plane("conv2d", x)?;
        let kernel = self.plane("conv2d", w)?;
        let y = self.apply1(options.over(image, kernel, Product::Forward), &[x, w])?;
        self.add_bias("conv2d", y, bias)
    }

    /// [`conv2d`](Graph::conv2d) along one axis: `x` `[n, c, l]`, `w` `[o, c / groups, k]` and `bias` `[o]`
    /// give `[n, o, ol]`, all f32. Of the options' pairs, the second numbers count.
    ///
    /// # Errors
    /// As [`conv2d`](Graph::conv2d): [`Error::Rank`], [`Error::ShapeMismatch`],
    /// [`Error::DTypeMismatch`], [`Error::Window`], [`Error::Argument`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn conv1d(&self, x: Value, w: Value, bias: Option<Value>, options: ConvOptions) -> Result<Value> {
        self.composed("conv1d", || {
            let options = ConvOptions {
                stride: options.stride.horizontal(),
                dilation: options.dilation.horizontal(),
                padding: options.padding.horizontal(),
                ..options
            };
            let (image, filters) = (self.with_row("conv1d", x, "3")?, self.with_row("conv1d", w, "3")?);
            let (found, wanted) = (self.shape_of(x), self.shape_of(w));
            if found.dims()[1] != wanted.dims()[1].saturating_mul(options.groups) {
                let what = "input channels by groups of sequence and weight";
                return Err(Error::shape_mismatch(what, found, wanted));
            }
            let y = self.conv2d(image, filters, bias, options).map_err(|e| e.of_operator("conv1d"))?;
            self.without_row(y)
        })
    }

    /// The transpose of [`conv2d`](Graph::conv2d) (Zeiler et al., CVPR 2010; Dumoulin and Visin,
    /// arXiv 1603.07285): `x` `[n, c, h, w]`, filters `w` `[c, o / groups, kh, kw]` and `bias` `[o]` give
    /// `[n, o, oh, ow]`, all f32, the gradient with respect to its image of the convolution that has these
    /// filters and a result like `x`. With `k` the window's extent, an axis grows from `in` to
    /// `(in - 1) stride + k - padding + output_padding`; with [`Padding::Same`] to `in stride`.
    ///
    /// # Errors
    /// As [`conv2d`](Graph::conv2d): [`Error::Rank`], [`Error::ShapeMismatch`],
    /// [`Error::DTypeMismatch`], [`Error::Window`], [`Error::Argument`], [`Error::ForeignValue`];
    /// [`Error::Argument`] too for an `output_padding` of a stride and more, for any with
    /// [`Padding::Same`], as no convolution of such a result gives `x`, and for padding that leaves
    /// nothing of the result.
    #[track_caller]
    pub fn conv_transpose2d(
        &self,
        x: Value,
        w: Value,
        bias: Option<Value>,
        options: ConvOptions,
        output_padding: impl Into<Pair>,
    ) -> Result<Value> {
        const OP: &str = "conv_transpose2d";
        let input = self.plane(OP, x)?;
        let kernel = self.plane(OP, w)?;
        let extra = output_padding.into().0;
        self.located(OP, transposable(&options, [self.type_of(x), self.type_of(w)], extra))?;
        let grown = |axis: usize| grow(&options, axis, input[axis], kernel[axis], extra[axis]);
        let image = [self.located(OP, grown(0))?, self.located(OP, grown(1))?];
        let y = self.apply1(options.over(image, kernel, Product::Image), &[w, x])?;
        self.add_bias(OP, y, bias)
    }

    /// Height and width of an operand of four dimensions.
    #[track_caller]
    fn plane(&self, op: &'static str, value: Value) -> Result<[usize; 2]> {
        let [_, _, h, w] = self.located(op, self.operand_shape(op, value)?.extents("4"))?;
        Ok([h, w])
    }

    /// Adds a number per channel.
    #[track_caller]
    fn add_bias(&self, op: &'static str, y: Value, bias: Option<Value>) -> Result<Value> {
        let Some(bias) = bias else { return Ok(y) };
        let (found, channels) = (self.operand_shape(op, bias)?, self.shape_of(y).dims()[1]);
        self.located(op, expect_dtype("the bias", self.type_of(bias), DType::F32))?;
        self.located(op, same_shape("bias and output channels", found, Shape::from([channels])))?;
        self.add(y, self.reshape(bias, [channels, 1, 1])?)
    }
}

/// Refuses operands and padding that no transposed convolution takes.
fn transposable(options: &ConvOptions, [x, w]: [TensorType; 2], extra: [usize; 2]) -> Result<()> {
    expect_dtype("the image", x, DType::F32)?;
    expect_dtype("the weight", w, DType::F32)?;
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
fn grow(options: &ConvOptions, axis: usize, input: usize, kernel: usize, extra: usize) -> Result<usize> {
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
