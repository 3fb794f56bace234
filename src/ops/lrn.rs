//! Local response normalisation over channels. Shader: `lrn.wgsl`.

use super::common::*;
use super::runs::Runs;
use crate::error::Setting;

pub(super) static SHADER: Shader = built_in!("lrn", "../../shaders/lrn.wgsl");

crate::params! {
    struct LrnParams {
        n: u32, channels: u32, inner: u32, chunks: u32, span: u32, below: u32, above: u32,
        root: f32, k: f32, small_k: f32, beta: f32,
    }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("local_response_norm", Gradient::Yes, "f32"),
        OperatorInfo::new("local_response_norm_grad", Gradient::None, "f32"),
    ],
    shaders: &[&SHADER],
};

/// `y = x (k + alpha / size * sum of x^2 over size channels)^-beta`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalResponseNorm {
    pub size: usize,
    pub alpha: f32,
    pub beta: f32,
    pub k: f32,
}

/// The gradient; inputs `x` and `dy`. Its first kernel computes the denominators again and leaves in
/// scratch space what the second adds up, so that each power is taken once. Keeping the denominators
/// of the forward pass instead would save a tenth to two fifths of the gradient's time on lavapipe, and
/// hold a value as large as `x`, the largest of AlexNet's, from the forward pass to the backward one.
#[derive(Clone, Copy, Debug)]
struct LocalResponseNormGrad(LocalResponseNorm);

/// A value viewed as `[n, channels, inner]`.
#[derive(Clone, Copy, Debug)]
struct Channels {
    n: usize,
    channels: usize,
    inner: usize,
}

impl Channels {
    fn new(shape: Shape) -> Self {
        let dims = shape.dims();
        Channels { n: dims[0], channels: dims[1], inner: dims[2..].iter().product() }
    }

    /// The flat indices of the channels `below` and `above` that of flat index `i`, itself included.
    fn around(&self, i: usize, below: usize, above: usize) -> impl Iterator<Item = usize> + use<> {
        let Channels { channels, inner, .. } = *self;
        let channel = i / inner % channels;
        let first = i - channel * inner;
        let near = channel.saturating_sub(below)..=(channel + above).min(channels - 1);
        near.map(move |c| first + c * inner)
    }
}

/// What an element is multiplied with, and the errors of it in f32.
struct Power {
    /// The denominator, before the power.
    d: f64,
    /// Its relative error.
    d_error: f64,
    /// The power.
    p: f64,
    /// Its relative error, where what it is multiplied with is no smaller than its root.
    p_error: f64,
}

impl LocalResponseNorm {
    /// How many channels before and after its own an element is divided by. ONNX puts the odd one of
    /// an even size after.
    fn reach(&self) -> (usize, usize) {
        ((self.size - 1) / 2, self.size / 2)
    }

    fn scale(&self) -> f64 {
        f64::from(self.alpha) / self.size as f64
    }

    fn beta(&self) -> f64 {
        f64::from(self.beta)
    }

    /// The denominators, before the power.
    fn denominators(&self, x: &Array) -> Vec<f64> {
        let (channels, (below, above)) = (Channels::new(x.shape), self.reach());
        let squares = |i: usize| channels.around(i, below, above).map(|j| x.data[j] * x.data[j]).sum::<f64>();
        Array::from_fn(x.shape, |i| f64::from(self.k) + self.scale() * squares(i)).data
    }

    fn powers(&self, x: &Array) -> Vec<Power> {
        let count = self.size.min(Channels::new(x.shape).channels) as f64;
        let power = |d: f64| {
            // The root of the scale, its products, their squares and sum, k; squares may flush.
            let d_error = (0.5 * count + 4.0) * EPS + (count + 1.0) * FLUSH / d;
            let p_error = (self.pow_ulps(d) + 5.0) * EPS + self.beta() * d_error;
            Power { d, d_error, p: d.powf(-self.beta()), p_error }
        };
        self.denominators(x).into_iter().map(power).collect()
    }

    /// The relative error of `pow(d, -beta)` in units of `EPS`. WGSL computes it as
    /// `exp2(-beta log2(d))` (section 15.7.4): it grants `log2` an absolute 2^-21 near 1 and three
    /// units in the last place elsewhere, the product rounds, and `exp2(t)` is granted `3 + 2 |t|`
    /// units. It is made of two halves, each with half the exponent and three units.
    fn pow_ulps(&self, d: f64) -> f64 {
        let log = d.log2().abs();
        let exponent = self.beta() * ((3.0 * log).max(4.0) + 0.5 * log);
        exponent * std::f64::consts::LN_2 + 3.0 + 2.0 * self.beta() * log
    }

    fn call(&self, entry: &'static str, profile: &DeviceProfile, shape: Shape) -> KernelCall {
        let Channels { n, channels, inner } = Channels::new(shape);
        let (below, above) = self.reach();
        let runs = Runs::new(profile, n * inner, channels, self.size.min(channels));
        let [below, above] = [below, above].map(|reach| word(reach.min(channels)));
        let [n, chunks, span] = [runs.threads, runs.chunks, runs.span].map(word);
        let [channels, inner] = [channels, inner].map(word);
        let LocalResponseNorm { beta, k, .. } = *self;
        let (root, small_k) = (self.scale().sqrt() as f32, (f64::from(k) / 2f64.powi(160)) as f32);
        KernelCall::new(&SHADER, entry)
            .params(&LrnParams { n, channels, inner, chunks, span, below, above, root, k, small_k, beta })
            .loops(runs.loops)
            .grid(Grid::linear(runs.threads, 64))
    }
}

impl Op for LocalResponseNorm {
    fn name(&self) -> &'static str {
        "local_response_norm"
    }

    fn attributes(&self) -> String {
        let LocalResponseNorm { size, alpha, beta, k } = self;
        format!("size={size}, alpha={alpha}, beta={beta}, k={k}")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the operand", inputs[0], DType::F32)?;
        let shape = inputs[0].shape;
        expect_rank(shape, shape.rank() >= 2, "at least 2 (batch, channels)")?;
        Error::expect(self.size > 0, "size", 0, "at least 1")?;
        Setting::not_negative("alpha", self.alpha).check()?;
        Setting::normal("beta", self.beta).check()?;
        Setting::normal("k", self.k).check()?;
        Ok(vec![inputs[0]])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        cx.first(cx.graph.apply1(LocalResponseNormGrad(*self), &[cx.inputs[0], cx.grad()]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = self.call("forward", cx.profile, cx.inputs[0].shape);
        cx.only(call.binds([Slot::Input(0), Slot::Output(0)]))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let d = self.denominators(x);
        vec![Array::from_fn(x.shape, |i| x.data[i] * d[i].powf(-self.beta()))]
    }

    /// The denominators.
    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        8 * inputs[0].numel() as u64
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let elements = cx.inputs[0].data.iter().zip(&results[0].data);
        let bound = |((x, y), Power { p, p_error, .. }): ((&f64, &f64), Power)| {
            // A subnormal number may be read as 0.
            let unread = if x.abs() < FLUSH { y.abs() } else { 0.0 };
            y.abs() * (p_error + EPS) + (8.0 + p.sqrt()) * FLUSH + unread
        };
        vec![elements.zip(self.powers(cx.inputs[0])).map(bound).collect()]
    }
}

impl Op for LocalResponseNormGrad {
    fn name(&self) -> &'static str {
        "local_response_norm_grad"
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.inputs[0].shape;
        let [terms, roots] = [0, 1].map(|_| cx.scratch(4 * shape.numel() as u64));
        let slopes = self.0.call("slopes", cx.profile, shape);
        cx.call(slopes.binds([Slot::Input(0), Slot::Input(1), terms, Slot::Output(0), roots]));
        let gather = self.0.call("gather", cx.profile, shape);
        cx.only(gather.binds([Slot::Input(0), terms, Slot::Output(0), roots]))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, dy) = (cx.inputs[0], &cx.inputs[1].data);
        let (channels, (below, above)) = (Channels::new(x.shape), self.0.reach());
        let (d, beta) = (self.0.denominators(x), self.0.beta());
        let slope = |j: usize| {
            // The channels whose denominators hold this one.
            let passed_on = channels
                .around(j, above, below)
                .map(|i| dy[i] * x.data[i] * d[i].powf(-beta - 1.0))
                .sum::<f64>();
            dy[j] * d[j].powf(-beta) - 2.0 * self.0.scale() * beta * x.data[j] * passed_on
        };
        vec![Array::from_fn(x.shape, slope)]
    }

    /// The denominators.
    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        8 * inputs[0].numel() as u64
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (x, dy) = (&cx.inputs[0].data, &cx.inputs[1].data);
        let (channels, (below, above)) = (Channels::new(cx.inputs[0].shape), self.0.reach());
        let of = self.0.powers(cx.inputs[0]);
        let root = self.0.scale().sqrt();
        // Magnitude and error of dy d^-beta, and of the terms that are added up, of which two factors are at
        // most 1, each with the error of a root of d.
        let direct = |i: usize| {
            let value = dy[i].abs() * of[i].p;
            (value, value * (of[i].p_error + EPS) + (8.0 + of[i].p.sqrt()) * FLUSH)
        };
        let term = |i: usize, j: usize| {
            let ((a, a_error), inverse) = (direct(i), 1.0 / of[i].d.sqrt());
            let factors = (root * x[i] * inverse).abs() * (root * x[j] * inverse).abs();
            let flushed = 4.0 + a * (2.0 + 2f64.powi(21) * (inverse + root * x[j].abs()));
            let error = factors * (a_error + a * (of[i].d_error + 8.0 * EPS)) + flushed * FLUSH;
            (a * factors, error)
        };
        let bound = |j: usize| {
            let near = channels.around(j, above, below);
            let (sum, error, count) = near.fold((0.0, 0.0, 0.0), |(sum, error, count), i| {
                let (value, of_it) = term(i, j);
                (sum + value, error + of_it, count + 1.0)
            });
            let ((a, a_error), factor) = (direct(j), 2.0 * self.0.beta());
            // The sum's additions, the product with the constants; then the difference.
            let product = factor * (error + (0.5 * count + 2.0) * EPS * sum + count * FLUSH);
            a_error + product + 0.5 * EPS * (a + factor * sum) + (2.0 + factor) * FLUSH
        };
        vec![Array::from_fn(cx.inputs[0].shape, bound).data]
    }
}
