use crate::ops::augment::{AffineOptions, RandomAffine, RandomUniform};
use crate::ops::common::*;
use crate::ops::noise::{Dropout, GaussianNoise};
use crate::ops::select::Select;

/// # Choices and noise
///
/// What a condition chooses, elementwise; and what chance does to f32 values of any shape, and to images
/// `[batch, channels, height, width]`. Numbers are drawn anew in each replay, the same on every device.
/// Dropout, noise and random changes are for training only.
impl Graph {
    /// `a` where `condition` is not 0, else `b`, broadcast together; a NaN is not 0. Neither a value nor a gradient
    /// of what was not chosen shows, NaN or not. The choices may be f32 or u32;
    /// the condition is f32, as comparisons give. Also known as `where`.
    ///
    /// # Errors
    /// [`Error::Broadcast`] with two shapes, [`Error::DTypeMismatch`].
    #[track_caller]
    pub fn select(&self, condition: Value, a: Value, b: Value) -> Result<Value> {
        self.apply1(Select, &[condition, a, b])
    }

    /// `x` with a share `rate` of its elements set to 0 and the others divided by `1 - rate`, so that
    /// the mean stays (Srivastava et al., JMLR 15, 2014, in the inverted form of Keras and
    /// PyTorch). f32 of any shape; the result has the same. What is dropped is 0 even where `x` is
    /// infinite or NaN.
    ///
    /// Which elements are dropped depends on the session's seed, the step, the number of random
    /// operators recorded in the graph before this one, and the element's index: it differs from
    /// step to step, is the same on every device, and is drawn again for the gradient instead of
    /// being stored. Rates are rounded to multiples of 2^-24. A rate of 0 is recorded like any other,
    /// so that other operators draw the same numbers whatever the rate.
    ///
    /// For evaluation, record the network without it.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `0 <= rate < 1`; [`Error::DTypeMismatch`] unless `x` is f32.
    #[track_caller]
    pub fn dropout(&self, x: Value, rate: f32) -> Result<Value> {
        self.apply1(Dropout { rate, stream: self.random_stream(), spatial: false }, &[x])
    }

    /// [`dropout`](Graph::dropout) of whole channels (Tompson et al., CVPR 2015): one draw for each
    /// sample and channel of `x`, f32 `[n, c, ...]` with at least three dimensions.
    ///
    /// # Errors
    /// As [`dropout`](Graph::dropout); [`Error::Rank`] for fewer dimensions.
    #[track_caller]
    pub fn spatial_dropout(&self, x: Value, rate: f32) -> Result<Value> {
        self.apply1(Dropout { rate, stream: self.random_stream(), spatial: true }, &[x])
    }

    /// `x + std z` with `z` standard normal, drawn for each element by the Box-Muller transform. f32
    /// of any shape; the result has the same, and its gradient is that of `x`. What the draws
    /// depend on is what [`dropout`](Graph::dropout)'s do; a `std` of 0 is recorded too.
    ///
    /// For evaluation, record the network without it.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `std` is finite and at least 0; [`Error::DTypeMismatch`] unless
    /// `x` is f32.
    #[track_caller]
    pub fn gaussian_noise(&self, x: Value, std: f32) -> Result<Value> {
        self.apply1(GaussianNoise { std, stream: self.random_stream() }, &[x])
    }

    /// Uniform numbers between `low` and `high`, f32 of any shape, drawn again at each step: as
    /// PyTorch's `rand` and ONNX's `RandomUniform`. What the draws depend on is what those of
    /// [`dropout`](Graph::dropout) do.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let g = Graph::new();
    /// let u = g.random_uniform([1000], -1.0, 3.0)?;
    /// let mut session = g.forward([u])?.session(&Device::cpu())?;
    /// session.replay()?;
    /// let drawn = session.read(u)?;
    /// assert!(drawn.iter().all(|u| (-1.0..=3.0).contains(u)));
    /// session.replay()?;
    /// assert_ne!(session.read(u)?, drawn);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] unless `low <= high` and both, and their difference, are finite;
    /// [`Error::EmptyDimension`].
    #[track_caller]
    pub fn random_uniform(&self, shape: impl Into<Shape>, low: f32, high: f32) -> Result<Value> {
        let stream = self.random_stream();
        self.apply1(RandomUniform { shape: shape.into(), low, high, stream }, &[])
    }

    /// Images under an affine map that each sample draws for itself: flips, shifts, crops, rotations
    /// and zooms in one kernel call. `x` is f32 `[batch, channels, height, width]`; the result has
    /// the same shape, or the crop's height and width. All channels of a sample go through one map.
    ///
    /// A map depends on the session's seed, the step, the number of random operators recorded in the
    /// graph before this one, and the sample's index: it is the same on every device. Without
    /// rotation and zoom every pixel is an exact copy of one, or of the fill value. With them, pixels
    /// are interpolated between the four around the position `M (p - m) + m + offset`, with `p` the
    /// row and column of the result, `m` its middle, half its size less a half, and `M` the inverse of
    /// the rotation and zoom.
    ///
    /// It has no gradient: it stands before the first parameter of a model.
    ///
    /// # Errors
    /// [`Error::Rank`] and [`Error::DTypeMismatch`] for other inputs; [`Error::Window`] for a crop
    /// larger than the padded image; [`Error::Argument`] for a shift further than the image is wide,
    /// and for ranges that are not in order or not within what [`AffineOptions`] says.
    #[track_caller]
    pub fn random_affine(&self, x: Value, options: &AffineOptions) -> Result<Value> {
        self.apply1(RandomAffine { options: *options, stream: self.random_stream() }, &[x])
    }

    /// `x + d`, with one `d` between `low` and `high` for each sample: f32 `[batch, ..]` of any shape.
    /// The formula of Keras's `RandomBrightness`, without its clipping. Its gradient is that of `x`.
    ///
    /// # Errors
    /// As [`random_uniform`](Graph::random_uniform); [`Error::Rank`] for a scalar; [`Error::DTypeMismatch`]
    /// unless `x` is f32.
    #[track_caller]
    pub fn random_brightness(&self, x: Value, low: f32, high: f32) -> Result<Value> {
        let each = self.per_sample("random_brightness", x)?;
        self.add(x, self.random_uniform(each, low, high)?)
    }

    /// `(x - m) f + m`, with one `f` between `low` and `high` for each sample, and `m` the mean of its
    /// channel: f32 `[batch, channels, ..]`. The formula of Keras's `RandomContrast`, without its
    /// clipping. Gradients flow, through the mean too.
    ///
    /// # Errors
    /// As [`random_uniform`](Graph::random_uniform); [`Error::Rank`] for less than three dimensions;
    /// [`Error::DTypeMismatch`] unless `x` is f32.
    #[track_caller]
    pub fn random_contrast(&self, x: Value, low: f32, high: f32) -> Result<Value> {
        let each = self.per_sample("random_contrast", x)?;
        self.located("random_contrast", expect_rank(self.shape_of(x), each.rank() >= 3, "at least 3"))?;
        let axes: Vec<isize> = (2..each.rank() as isize).collect();
        let mean = self.mean(x, &axes, true)?;
        let factor = self.random_uniform(each, low, high)?;
        self.add(self.mul(self.sub(x, mean)?, factor)?, mean)
    }

    /// The shape of one number for each sample, which broadcasts against `x`.
    #[track_caller]
    fn per_sample(&self, op: &'static str, x: Value) -> Result<Shape> {
        let shape = self.operand_shape(op, x)?;
        self.located(op, expect_rank(shape, shape.rank() > 0, "at least 1"))?;
        Ok((1..shape.rank()).fold(shape, |each, axis| each.with_dim(axis, 1)))
    }
}
