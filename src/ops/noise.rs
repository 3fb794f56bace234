//! Dropout and additive noise: operators that draw numbers. Shader: `noise.wgsl`.

mod compute;

use super::common::*;
use crate::error::Setting;
use crate::graph::Scalar;
use crate::kernel::Params;
use crate::random::{self, Stream};

pub(super) static SHADER: Shader = built_in!("noise", "../../shaders/noise.wgsl");

crate::params! {
    struct DropoutParams {
        n: u32, plane: u32, threshold: u32, scale: f32, stream: u32, step: u32, seed: u32,
    }
}

crate::params! {
    struct NoiseParams { n: u32, deviation: f32, stream: u32, step: u32, seed: u32 }
}

crate::params! {
    struct KeyParams { step: u32, seed: u32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("dropout", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("spatial_dropout", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("gaussian_noise", Gradient::Yes, "f32, f16"),
    ],
    shaders: &[&SHADER],
};

/// `y = x keep / (1 - rate)`: linear, and its own gradient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    pub rate: f32,
    pub stream: u32,
    /// Whether a channel is kept or dropped as a whole.
    pub spatial: bool,
}

/// The numbers of a dropout of single elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Dropped {
    pub stream: u32,
    pub threshold: u32,
    pub scale: f32,
}

/// The step and the seed, `[2]` of u32: what kernels that cannot be told numbers of the step read instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomKey;

/// `y = x + std z`.
#[derive(Clone, Copy, Debug)]
pub(super) struct GaussianNoise {
    pub std: f32,
    pub stream: u32,
}

/// The words of an operator's stream at the current step.
pub(super) fn stream_at(scalar: impl Fn(Scalar) -> f64, stream: u32) -> Stream {
    let current = |which| scalar(which) as u32;
    Stream { seed: current(Scalar::SEED), step: current(Scalar::STEP), stream }
}

/// Adds the call of the plain or the in-place entry, over vectors of four.
fn lower(cx: &mut Lowering<'_>, entries: [&'static str; 2], params: &impl Params) -> Result<()> {
    let call = KernelCall::new(&SHADER, cx.entry(entries))
        .params(params)
        .scalar("step", Scalar::STEP)
        .scalar("seed", Scalar::SEED)
        .binds(cx.operands())
        .grid(Grid::linear(quads(cx), 64));
    cx.only(call)
}

fn quads(cx: &Lowering<'_>) -> usize {
    cx.outputs[0].numel().div_ceil(4)
}

impl Dropout {
    /// An element is kept if the upper 24 bits of its word are not below this; at most 2^24 - 1,
    /// as no f32 below 1 is nearer to it than 2^-24.
    fn threshold(&self) -> u32 {
        (f64::from(self.rate) * f64::from(1u32 << 24)).round() as u32
    }

    /// What is kept is multiplied by this f32, on either path.
    fn scale(&self) -> f32 {
        (1.0 / (1.0 - f64::from(self.rate))) as f32
    }

    /// Its numbers, if each element is drawn for by itself.
    pub fn of_elements(&self) -> Option<Dropped> {
        let dropped = Dropped { stream: self.stream, threshold: self.threshold(), scale: self.scale() };
        (!self.spatial).then_some(dropped)
    }

    /// Neighbouring elements with one draw in common.
    fn plane(&self, shape: Shape) -> usize {
        if self.spatial { shape.dims()[2..].iter().product() } else { 1 }
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        if self.spatial { "spatial_dropout" } else { "dropout" }
    }

    fn attributes(&self) -> String {
        format!("rate={}, stream={}", self.rate, self.stream)
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_float("the operand", inputs[0])?;
        let expected = "a share of at least 0 and below 1 is dropped";
        Setting::new("rate", self.rate, (0.0..1.0).contains(&self.rate), expected).check()?;
        expect_rank(inputs[0].shape, !self.spatial || inputs[0].shape.rank() >= 3, "at least 3")?;
        Ok(vec![inputs[0]])
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        vec![0]
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        cx.first(cx.graph.apply1(*self, &[cx.grad()]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [n, plane] = [quads(cx), self.plane(cx.outputs[0].shape)].map(word);
        let (threshold, scale, stream) = (self.threshold(), self.scale(), self.stream);
        let params = DropoutParams { n, plane, threshold, scale, stream, step: 0, seed: 0 };
        let entries = match self.spatial {
            false => ["dropout", "dropout_in_place"],
            true => ["spatial_dropout", "spatial_dropout_in_place"],
        };
        lower(cx, entries, &params)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, stream) = (cx.inputs[0], stream_at(|scalar| cx.scalar(scalar), self.stream));
        let (plane, threshold, scale) = (self.plane(x.shape), self.threshold(), f64::from(self.scale()));
        let value = |i: usize| {
            let draw = i / plane;
            let drawn = stream.operator_words(word(draw / 4))[draw % 4];
            if drawn >> 8 >= threshold { scale * x.data[i] } else { 0.0 }
        };
        vec![Array::from_fn(x.shape, value)]
    }

    fn routine(&self, _: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        let (op, plane) = (*self, self.plane(outputs[0].shape));
        Some(Box::new(move |cx| op.run(plane, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let scale = f64::from(self.scale());
        let pairs = cx.inputs[0].data.iter().zip(&results[0].data);
        // The product rounds once. A dropped element is 0 exactly.
        let bound = |(&x, &y): (&f64, &f64)| {
            let rounded = 0.5 * EPS * y.abs() + FLUSH;
            if y == 0.0 { 0.0 } else { widen(rounded, y, scale * flush(x)) }
        };
        vec![pairs.map(bound).collect()]
    }
}

impl RandomKey {
    /// The type of what it makes.
    pub fn ty() -> TensorType {
        TensorType { shape: [2].into(), dtype: DType::U32 }
    }
}

impl Op for RandomKey {
    fn name(&self) -> &'static str {
        "random_key"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![RandomKey::ty()])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = KernelCall::new(&SHADER, "key")
            .params(&KeyParams { step: 0, seed: 0 })
            .scalar("step", Scalar::STEP)
            .scalar("seed", Scalar::SEED)
            .bind(Slot::Output(0))
            .grid(Grid::linear(1, 1));
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![Array::new(
            RandomKey::ty().shape,
            [Scalar::STEP, Scalar::SEED].map(|scalar| cx.scalar(scalar)).to_vec(),
        )]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
    }
}

impl GaussianNoise {
    /// The number drawn for each element.
    fn normal(&self, cx: &Reference<'_>) -> impl Fn(usize) -> f64 + Sync + use<> {
        let stream = stream_at(|scalar| cx.scalar(scalar), self.stream);
        move |i| random::normals(stream.operator_words(word(i / 4)))[i % 4]
    }
}

impl Op for GaussianNoise {
    fn name(&self) -> &'static str {
        "gaussian_noise"
    }

    fn attributes(&self) -> String {
        format!("std={}, stream={}", self.std, self.stream)
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_float("the operand", inputs[0])?;
        let valid = self.std >= 0.0 && self.std.is_finite();
        Setting::new("std", self.std, valid, "a standard deviation is finite and at least 0").check()?;
        Ok(vec![inputs[0]])
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        vec![0]
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        cx.first(Ok(cx.grad()))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let &GaussianNoise { std, stream } = self;
        let params = NoiseParams { n: word(quads(cx)), deviation: std, stream, step: 0, seed: 0 };
        lower(cx, ["gaussian_noise", "gaussian_noise_in_place"], &params)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, normal, std) = (cx.inputs[0], self.normal(cx), f64::from(self.std));
        vec![Array::from_fn(x.shape, |i| x.data[i] + std * normal(i))]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let op = *self;
        Some(Box::new(move |cx| op.run(cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let (normal, std) = (self.normal(cx), f64::from(self.std));
        let bound = |(i, &y): (usize, &f64)| {
            let z = normal(i).abs();
            // Where the cosine is 0 exactly, f64 has some 1e-16 of its own.
            let noise = std * ((NORMAL_ULPS + 0.5) * EPS * z + 8.0 * f64::EPSILON);
            noise + 0.5 * EPS * y.abs() + FLUSH * (2.0 + z)
        };
        vec![results[0].data.iter().enumerate().map(bound).collect()]
    }
}

/// What f32 adds to a normal number, in units of [`EPS`]. In the logarithm: 2.5 for the quotient, 0.5
/// for its divisor and 1.2 for the series; then, for the exponent's share, which is at most twice
/// the whole, 1 for its constant and product, and 0.5 for the sum: 6.7, halved by the root, which
/// WGSL grants 4.5 units of its own. The angle rounds twice, 1, and its polynomials add 2. The
/// product of radius and cosine is the last half.
const NORMAL_ULPS: f64 = 12.0;
