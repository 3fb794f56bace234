use crate::ops::Pair;
use crate::ops::common::*;
use crate::ops::conv::{ConvOptions, Product, grow, transposable};
use crate::ops::matmul::{Matmul, MatmulOptions};
use crate::ops::pool::sum::{LinearPool, SumPool};
use crate::ops::pool::{PoolOptions, SEQUENCES, adaptive, max, sides, sum};

/// # Products, convolutions and pooling
///
/// All f32. Matrices are the last two axes of a value, images `[n, c, h, w]`, sequences `[n, c, l]`.
impl Graph {
    /// The matrix product of the last two axes: `[.., m, k]` by `[.., k, n]` gives `[.., m, n]`, all f32.
    /// Leading axes are a batch and broadcast by NumPy's rule: aligned at the back, an axis of 1 or one that is
    /// absent on one side is used for every member of the other's. Nothing is copied for it, and the gradients
    /// are summed over it.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let x = g.input("x", [32, 784]);
    /// let w = g.parameter("w", [784, 10], Init::GlorotUniform);
    /// let y = g.matmul(x, w)?;
    /// assert_eq!(g.shape(y)?, Shape::from([32, 10]));
    ///
    /// let (queries, keys) = (g.input("queries", [8, 1, 5, 16]), g.input("keys", [4, 16, 7]));
    /// assert_eq!(g.shape(g.matmul(queries, keys)?)?, Shape::from([8, 4, 5, 7]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes, [`Error::Rank`] below two dimensions,
    /// [`Error::DTypeMismatch`] unless both are f32.
    #[track_caller]
    pub fn matmul(&self, a: Value, b: Value) -> Result<Value> {
        self.matmul_with(a, b, false, false)
    }

    /// [`matmul`](Graph::matmul) with either side's last two axes swapped first: f32 `a` is `[.., k, m]`
    /// with `transpose_a`, f32 `b` is `[.., n, k]` with `transpose_b`, and the product `[.., m, n]`.
    ///
    /// # Errors
    /// As [`matmul`](Graph::matmul).
    #[track_caller]
    pub fn matmul_with(&self, a: Value, b: Value, transpose_a: bool, transpose_b: bool) -> Result<Value> {
        self.matmul_by(a, b, MatmulOptions::new().transpose_a(transpose_a).transpose_b(transpose_b))
    }

    /// [`matmul`](Graph::matmul) of two f32 values with options: sides that are transposed, as under
    /// [`matmul_with`](Graph::matmul_with), and the kernel that computes it and its gradients.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let (x, w) = (g.input("x", [32, 784]), g.input("w", [10, 784]));
    /// let options = MatmulOptions::new().transpose_b(true).route(MatmulRoute::Naive);
    /// assert_eq!(g.shape(g.matmul_by(x, w, options)?)?, Shape::from([32, 10]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`matmul`](Graph::matmul).
    #[track_caller]
    pub fn matmul_by(&self, a: Value, b: Value, options: MatmulOptions) -> Result<Value> {
        let MatmulOptions { transpose_a, transpose_b, route } = options;
        self.apply1(Matmul { transpose_a, transpose_b, route }, &[a, b])
    }

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
    /// [`Padding`](crate::ops::Padding).
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
    ///
    /// [`Padding::Same`]: crate::ops::Padding::Same
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

    /// The largest element under each window of `options`, of images `[n, c, h, w]` in f32: f32
    /// `[n, c, oh, ow]`, whose sizes are in [`Padding`](crate::ops::Padding). Padding counts as minus
    /// infinity, and a NaN as larger than all numbers. The gradient goes to the first of equal maxima, row
    /// by row, as in PyTorch and ONNX.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::DTypeMismatch`]; [`Error::Window`] if the window is larger than the
    /// padded image; [`Error::Argument`] for sizes, strides or dilations of 0, and for padding in
    /// which some window lies as a whole; [`Error::ForeignValue`].
    ///
    /// ```
    /// use retape::prelude::*;
    /// use retape::ops::PoolOptions;
    ///
    /// let mut g = Graph::new();
    /// let x = g.input("x", [128, 10, 24, 24]);
    /// let y = g.max_pool2d(x, PoolOptions::new(2))?;
    /// assert_eq!(g.shape(y)?, Shape::from([128, 10, 12, 12]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    #[track_caller]
    pub fn max_pool2d(&self, x: Value, options: PoolOptions) -> Result<Value> {
        let shape = self.declared_shape("max_pool2d", x)?;
        let op = self.located("max_pool2d", max::MaxPool::new(options, shape))?;
        self.apply1(op, &[x])
    }

    /// The mean of the elements under each window of `options`, of images `[n, c, h, w]` in f32: f32
    /// `[n, c, oh, ow]`. Padding is not counted unless [`PoolOptions::count_include_pad`] says so.
    ///
    /// # Errors
    /// Those of [`max_pool2d`](Graph::max_pool2d): [`Error::Rank`], [`Error::DTypeMismatch`],
    /// [`Error::Window`], [`Error::Argument`], [`Error::ForeignValue`]; [`Error::Argument`] for a
    /// dilation too.
    #[track_caller]
    pub fn avg_pool2d(&self, x: Value, options: PoolOptions) -> Result<Value> {
        let shape = self.declared_shape("avg_pool2d", x)?;
        let windows = self.located("avg_pool2d", SumPool::new(sum::Kind::Average, options, shape))?;
        self.apply1(LinearPool { windows, back: false }, &[x])
    }

    /// The sum of the elements under each window of `options`, of images `[n, c, h, w]` in f32: f32
    /// `[n, c, oh, ow]`.
    ///
    /// # Errors
    /// Those of [`avg_pool2d`](Graph::avg_pool2d): [`Error::Rank`], [`Error::DTypeMismatch`],
    /// [`Error::Window`], [`Error::Argument`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn sum_pool2d(&self, x: Value, options: PoolOptions) -> Result<Value> {
        let shape = self.declared_shape("sum_pool2d", x)?;
        let windows = self.located("sum_pool2d", SumPool::new(sum::Kind::Sum, options, shape))?;
        self.apply1(LinearPool { windows, back: false }, &[x])
    }

    /// Images `[n, c, h, w]` in f32 averaged down to f32 `[n, c, oh, ow]`, whatever their size: the
    /// result at row `i` is the mean of rows `floor(i h / oh) .. ceil((i + 1) h / oh)`, and alike for
    /// columns (PyTorch). Windows may overlap, and `oh` may exceed `h`.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::DTypeMismatch`]; [`Error::Argument`] for a size of 0, for sizes of
    /// 2^21 and more, and where the product of a side's sizes before and after reaches 2^31;
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, x: Value, size: [usize; 2]) -> Result<Value> {
        let shape = self.declared_shape("adaptive_avg_pool2d", x)?;
        let windows = self.located("adaptive_avg_pool2d", adaptive::AdaptivePool::new(shape, size))?;
        self.apply1(LinearPool { windows, back: false }, &[x])
    }

    /// The mean of each image: `[n, c, h, w]` in f32 becomes f32 `[n, c]`.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::DTypeMismatch`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn global_avg_pool2d(&self, x: Value) -> Result<Value> {
        let shape = self.declared_shape("global_avg_pool2d", x)?;
        self.located("global_avg_pool2d", sides(shape))?;
        self.mean(x, &[2, 3], false)
    }

    /// The largest element of each image: `[n, c, h, w]` in f32 becomes f32 `[n, c]`. The gradient goes to
    /// the first of equal maxima, as that of [`max_pool2d`](Graph::max_pool2d), which computes it: first
    /// of each row, then of the rows.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::DTypeMismatch`], [`Error::Argument`] for a side of 2^31 and more,
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn global_max_pool2d(&self, x: Value) -> Result<Value> {
        let shape = self.declared_shape("global_max_pool2d", x)?;
        let [height, width] = self.located("global_max_pool2d", sides(shape))?;
        let rows = self.max_pool2d(x, PoolOptions::new([1, width]))?;
        let y = self.max_pool2d(rows, PoolOptions::new([height, 1]))?;
        self.reshape(y, Shape::new(&shape.dims()[..2])?)
    }

    /// [`max_pool2d`](Graph::max_pool2d) over sequences `[n, c, l]` in f32, by the horizontal part of
    /// `options`: f32 `[n, c, ol]`.
    ///
    /// # Errors
    /// Those of [`max_pool2d`](Graph::max_pool2d), for three dimensions: [`Error::Rank`],
    /// [`Error::DTypeMismatch`], [`Error::Window`], [`Error::Argument`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn max_pool1d(&self, x: Value, options: PoolOptions) -> Result<Value> {
        let row = self.with_row("max_pool1d", x, SEQUENCES)?;
        let y = self.max_pool2d(row, options.horizontal()).map_err(|e| e.of_operator("max_pool1d"))?;
        self.without_row(y)
    }

    /// [`avg_pool2d`](Graph::avg_pool2d) over sequences `[n, c, l]` in f32, by the horizontal part of
    /// `options`: f32 `[n, c, ol]`.
    ///
    /// # Errors
    /// Those of [`avg_pool2d`](Graph::avg_pool2d), for three dimensions: [`Error::Rank`],
    /// [`Error::DTypeMismatch`], [`Error::Window`], [`Error::Argument`], [`Error::ForeignValue`].
    #[track_caller]
    pub fn avg_pool1d(&self, x: Value, options: PoolOptions) -> Result<Value> {
        let row = self.with_row("avg_pool1d", x, SEQUENCES)?;
        let y = self.avg_pool2d(row, options.horizontal()).map_err(|e| e.of_operator("avg_pool1d"))?;
        self.without_row(y)
    }
}

/// What convolutions and pooling are recorded with.
impl Graph {
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
        self.located(op, expect_float("the bias", self.type_of(bias)))?;
        self.located(op, same_shape("bias and output channels", found, Shape::from([channels])))?;
        self.add(y, self.reshape(bias, [channels, 1, 1])?)
    }

    /// `[n, c, l]` as `[n, c, 1, l]`.
    #[track_caller]
    fn with_row(&self, op: &'static str, x: Value, expected: &'static str) -> Result<Value> {
        let shape = self.declared_shape(op, x)?;
        let [n, c, l] = self.located(op, shape.extents(expected))?;
        self.reshape(x, [n, c, 1, l])
    }

    /// `[n, c, 1, l]` as `[n, c, l]`.
    #[track_caller]
    fn without_row(&self, y: Value) -> Result<Value> {
        let shape = self.shape_of(y);
        let dims = shape.dims();
        self.reshape(y, [dims[0], dims[1], dims[3]])
    }

    /// The shape of an operand, whose declaration has none of the mistakes that are reported at use.
    #[track_caller]
    fn declared_shape(&self, op: &'static str, x: Value) -> Result<Shape> {
        let shape = self.operand_shape(op, x)?;
        self.recording().check_declaration(x)?;
        Ok(shape)
    }
}
