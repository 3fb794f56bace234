//! Random augmentation of images, drawn for each sample, and uniform numbers. Shader: `augment.wgsl`.

mod affine;
mod options;

pub(crate) use options::check_crop;
pub use options::{AffineOptions, FillMode};

use super::common::*;
use super::stream_at;
use crate::graph::Scalar;

use affine::RandomAffine;

pub(super) static SHADER: Shader = built_in!("augment", "../../../shaders/augment.wgsl");

crate::params! {
    struct UniformParams { n: u32, low: f32, span: f32, high: f32, stream: u32, step: u32, seed: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("random_uniform", Gradient::Zero, "f32"),
        OperatorInfo::new("random_affine", Gradient::None, "f32"),
    ],
    shaders: &[&SHADER],
};

/// Uniform numbers; no inputs.
#[derive(Clone, Copy, Debug)]
struct RandomUniform {
    shape: Shape,
    low: f32,
    high: f32,
    stream: u32,
}

impl Op for RandomUniform {
    fn name(&self) -> &'static str {
        "random_uniform"
    }

    fn attributes(&self) -> String {
        format!("low={}, high={}, stream={}", self.low, self.high, self.stream)
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        let &RandomUniform { low, high, .. } = self;
        if !(low <= high && (high - low).is_finite()) {
            let expected = "a range is finite, its smaller end first";
            return Err(Error::argument("range", format!("[{low}, {high}]"), expected));
        }
        Ok(vec![TensorType::f32(self.shape)])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let &RandomUniform { low, high, stream, .. } = self;
        let quads = self.shape.numel().div_ceil(4);
        let params = UniformParams { n: word(quads), low, span: high - low, high, stream, step: 0, seed: 0 };
        let call = KernelCall::new(&SHADER, "random_uniform").bind(Slot::Output(0)).params(&params);
        let call = call.scalar("step", Scalar::STEP).scalar("seed", Scalar::SEED);
        cx.only(call.grid(Grid::linear(quads, 64)))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let stream = stream_at(cx, self.stream);
        let [low, high, span] = [self.low, self.high, self.high - self.low].map(f64::from);
        vec![Array::from_fn(self.shape, |i| {
            let drawn = stream.operator_words(word(i / 4))[i % 4] >> 8;
            (low + span * f64::from(drawn) / f64::from(1u32 << 24)).min(high)
        })]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let largest = f64::from(self.low).abs() + f64::from(self.high - self.low);
        vec![vec![EPS * largest + 3.0 * FLUSH; results[0].data.len()]]
    }
}

/// # Random changes of images
///
/// Drawn anew in each replay, the same on every device.
impl Graph {
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
