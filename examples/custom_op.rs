//! An operator of one's own, with a kernel in WGSL, used beside the built-in ones.
//!
//! It teaches what the engine wants to know about an operator (`trait Op`): a shape rule, a
//! gradient, kernel calls, a reference in f64, and how far an f32 kernel may be from it. With these
//! `Session::verify` checks the kernel on any device, and the CPU can run it. A layer of three
//! lines then puts it into a network.
//!
//! The operator is squareplus (Barron, 2021), a smooth relative of ReLU without an exponential:
//!
//! ```text
//! y  = (x + sqrt(x^2 + b)) / 2
//! dx = (1 + x / sqrt(x^2 + b)) / 2 dy
//! ```

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, classifier};
use retape::array::Array;
use retape::data::{Dataset, TrainTest};
use retape::kernel::{Grid, KernelCall, Shader, Slot};
use retape::nn::{self, LayerContext};
use retape::ops::{Backward, EPS, FLUSH, Lowering, Op, Reference};
use retape::prelude::*;
use retape::random::Stream;
use retape::{Error, TensorType, Verification};

const EXAMPLE: Example = Example {
    name: "custom_op",
    about: "Defines an operator with its own WGSL kernel and gradient, checks it, and trains with it.",
    unused: &["data"],
};

/// Both kernels. The parameters are immediates; the engine compares the struct's fields with the
/// Rust struct below. `linear_index` is one of the helpers appended to every shader.
static SHADER: Shader = Shader::new(
    "squareplus",
    "
// y = (x + sqrt(x^2 + b)) / 2 and dx = (1 + x / sqrt(x^2 + b)) / 2 dy, one element per thread.
// For x < 0 the sum would cancel: y = b / (2 (sqrt(x^2 + b) - x)) there, and the same for dx.
struct Params { n: u32, b: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
var<immediate> p: Params;

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let a = abs(x[i]);
    let s = sqrt(a * a + p.b) + a;
    y[i] = select(0.5 * s, 0.5 * p.b / s, x[i] < 0.0);
}

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let a = abs(x[i]);
    let r = sqrt(a * a + p.b);
    dx[i] = dy[i] * 0.5 * select((r + a) / r, p.b / (r * (r + a)), x[i] < 0.0);
}
",
);

retape::params! {
    struct Params { n: u32, b: f32 }
}

/// `y = squareplus(x)`.
#[derive(Clone, Copy, Debug)]
struct Squareplus {
    b: f32,
}

/// `dx` from `x` and `dy`: an operator like any other.
#[derive(Clone, Copy, Debug)]
struct SquareplusGrad(Squareplus);

impl Squareplus {
    fn call(self, entry: &'static str, ty: TensorType) -> KernelCall {
        let n = ty.numel();
        KernelCall::new(&SHADER, entry).params(&Params { n: n as u32, b: self.b }).grid(Grid::linear(n, 64))
    }
}

impl Op for Squareplus {
    fn name(&self) -> &'static str {
        "squareplus"
    }

    fn attributes(&self) -> String {
        format!("b={}", self.b)
    }

    fn outputs(&self, inputs: &[TensorType]) -> retape::Result<Vec<TensorType>> {
        if !(self.b.is_finite() && self.b > 0.0) {
            let value = self.b.to_string();
            return Err(Error::Argument { argument: "b", value, expected: "it must be positive" });
        }
        if inputs[0].dtype != DType::F32 {
            let what = "the operand".to_owned();
            return Err(Error::DTypeMismatch { what, found: inputs[0].dtype, expected: DType::F32 });
        }
        Ok(vec![inputs[0]])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<retape::Result<Vec<Option<Value>>>> {
        let dx = cx.graph.apply1(SquareplusGrad(*self), &[cx.inputs[0], cx.grad()]);
        Some(dx.map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> retape::Result<()> {
        let call = self.call("forward", cx.outputs[0]);
        cx.call(call.binds([Slot::Input(0), Slot::Output(0)]));
        Ok(())
    }

    // From the formula, not from the shader: in f64 there is no need to mind the cancellation at
    // the magnitudes that f32 can tell from 0.
    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let b = f64::from(self.b);
        vec![
            cx.inputs[0].map(|x| {
                if x < 0.0 { 0.5 * b / (x.hypot(b.sqrt()) - x) } else { 0.5 * (x + x.hypot(b.sqrt())) }
            }),
        ]
    }

    // The square, the sum and the second sum round once each; WGSL allows a square root and a
    // quotient 2.5 units in the last place each.
    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        results.iter().map(|y| y.data.iter().map(|y| 8.0 * EPS * y.abs() + FLUSH).collect()).collect()
    }
}

impl Op for SquareplusGrad {
    fn name(&self) -> &'static str {
        "squareplus_grad"
    }

    fn outputs(&self, inputs: &[TensorType]) -> retape::Result<Vec<TensorType>> {
        Ok(vec![inputs[1]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> retape::Result<()> {
        let call = self.0.call("backward", cx.outputs[0]);
        cx.call(call.binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)]));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let b = f64::from(self.0.b);
        let (x, dy) = (cx.inputs[0], cx.inputs[1]);
        let slope = |x: f64| {
            let root = x.hypot(b.sqrt());
            if x < 0.0 { 0.5 * b / (root * (root - x)) } else { 0.5 * (1.0 + x / root) }
        };
        vec![Array::from_fn(x.shape, |i| slope(x.data[i]) * dy.data[i])]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        results.iter().map(|dx| dx.data.iter().map(|d| 12.0 * EPS * d.abs() + FLUSH).collect()).collect()
    }
}

/// Lets the operator be called like the graph's own. `#[track_caller]` makes errors name the line
/// of the call.
trait SquareplusExt {
    fn squareplus(&self, x: Value, b: f32) -> retape::Result<Value>;
}

impl SquareplusExt for Graph {
    #[track_caller]
    fn squareplus(&self, x: Value, b: f32) -> retape::Result<Value> {
        self.apply1(Squareplus { b }, &[x])
    }
}

/// Points to learn from, and to be judged by.
const TRAIN: usize = 640;
const TEST: usize = 160;

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

/// The operator as a layer, for models.
#[derive(Debug)]
struct Rectifier {
    b: f32,
}

impl Layer for Rectifier {
    fn kind(&self) -> &'static str {
        "squareplus"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> retape::Result<Value> {
        let x = cx.one(inputs)?;
        cx.graph().squareplus(x, self.b)
    }
}

fn run(flags: &Flags) -> Outcome {
    let device = flags.open_device()?;
    let [train, test] = [(TRAIN, 2), (TEST, 3)]
        .map(|(points, stream)| rings(points, Stream { seed: flags.seed, step: 0, stream }));
    let data = flags.limited(TrainTest { train, test });
    let batch = flags.batch_size(32, data.train.len());
    let model = Sequential::new().add(Dense::new(16)).add(Rectifier { b: 4.0 }).add(Dense::new(2));

    let checked = verify(&model, &device, &data.train, batch)?;
    print!("{checked}");
    if let Some(wrong) = checked.first_difference() {
        return Err(format!("{} differs from its reference: {}", wrong.name, wrong.worst).into());
    }

    let mut trainer = Trainer::new(model, [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .metrics([Metric::Accuracy])
        .batch_size(batch)
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&data.train, flags.fit(20).validation(&data.test))?;
    let mut results = classifier::results(EXAMPLE.name, &mut trainer, &data, history)?;
    results.set("verified_ops", checked.rows.len());
    Ok(results)
}

/// Every operator of a training step, the new ones among them, against its reference.
fn verify(model: &Sequential, device: &Device, data: &Dataset, batch: usize) -> retape::Result<Verification> {
    let mut g = Graph::new();
    let x = g.input("x", [batch, 2]);
    let labels = g.labels("labels", [batch]);
    let logits = nn::record(model, &mut g, &[x], Mode::Training)?.output()?;
    let loss = g.softmax_cross_entropy(logits, labels)?;
    let mut session = g.training_step(loss, &Adam::new(0.02))?.session(device)?;
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    data.gather(&(0..batch).collect::<Vec<_>>(), &mut points, &mut classes);
    session.verify(&[(x, (&points).into()), (labels, (&classes).into())])
}

/// Points of a disc, class 0, and of a ring around it, class 1.
fn rings(n: usize, stream: Stream) -> Dataset {
    let mut inputs = Vec::with_capacity(2 * n);
    for i in 0..n as u32 {
        let angle = std::f64::consts::TAU * stream.uniform(2 * i);
        let radius = stream.uniform(2 * i + 1) + if i % 2 == 0 { 0.0 } else { 1.5 };
        inputs.extend([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
    }
    let labels = (0..n as u32).map(|i| i % 2).collect();
    Dataset::new([2], inputs, labels, 2).expect("every point has a label below 2")
}
