//! Vanishing and exploding gradients: how much of the gradient of a last output reaches the first of a
//! hundred steps, and what clipping by the global norm makes of an explosion.

use crate::common;
use crate::common::cases::recurrent::Cell;
use crate::common::data::noise;
use crate::common::unrolled::{Form, Settings, UnrolledLayer};
use retape::nn::LayerSpec;
use retape::ops::RecurrentRoute;
use retape::prelude::*;
use retape::{Result, SessionOptions};

const BATCH: usize = 2;
const TIME: usize = 100;
const FEATURES: usize = 4;
const UNITS: usize = 16;

const FORMS: [Form; 3] =
    [Form::Fused(RecurrentRoute::Sequence), Form::Fused(RecurrentRoute::Steps), Form::Unrolled];

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

/// The input, and a loss of the last output that weighs each of its numbers.
fn record(g: &mut Graph, layer: LayerSpec) -> Result<(Value, Value)> {
    let x = g.input("x", [BATCH, TIME, FEATURES]);
    let y = Sequential::new().add(layer).record(g, x, Mode::Training)?;
    let weights = g.constant([BATCH, UNITS], &noise(BATCH * UNITS, 8, 0.5, 1.5))?;
    Ok((x, g.sum(g.mul(y, weights)?, &[], false)?))
}

fn sequences() -> Vec<f32> {
    noise(BATCH * TIME * FEATURES, 7, -1.0, 1.0)
}

fn norm(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The norm of the loss's gradient with respect to the input of each step.
fn flow(layer: LayerSpec, device: &Device) -> Result<Vec<f64>> {
    let mut g = Graph::new();
    let (x, loss) = record(&mut g, layer)?;
    let dx = g.differentiate(loss, &[x])?[0];
    let mut session = g.forward([loss, dx])?.session_with(device, SessionOptions::new().seed(5))?;
    session.write(x, &sequences())?;
    session.replay()?;
    let dx = session.read_f64(dx)?;
    let of = |b: usize, t: usize| &dx[(b * TIME + t) * FEATURES..][..FEATURES];
    Ok((0..TIME).map(|t| norm((0..BATCH).flat_map(|b| of(b, t)).copied())).collect())
}

/// What is left at the first step, by every route on both devices, which agree at all steps.
fn left(name: &str, layer: impl Fn(Form) -> LayerSpec) -> Result<f64> {
    let exact = flow(layer(FORMS[0]), &Device::reference())?;
    let last = exact[TIME - 1];
    let ratio = exact[0] / last;
    println!("{name:36} {ratio:9.1e} of the gradient at the last step is left at the first");
    for device in devices() {
        for form in FORMS {
            let found = flow(layer(form), &device)?;
            for (t, (&f, &e)) in found.iter().zip(&exact).enumerate() {
                // Numbers next to f32's least ones lose their digits.
                let near = (f - e).abs() <= 1e-3 * e + 1e-34;
                assert!(near, "{name}, {form:?} on {}: {f:e} at step {t}, not {e:e}", device.name());
            }
        }
    }
    Ok(ratio)
}

fn simple(gain: f32, activation: CellActivation) -> impl Fn(Form) -> LayerSpec {
    move |form| {
        let recurrent_init = Init::Orthogonal { gain };
        let Form::Fused(route) = form else {
            let settings = Settings { activation, ..Settings::default() };
            return UnrolledLayer { recurrent_init, settings, ..UnrolledLayer::new(Cell::Simple, UNITS) }
                .into();
        };
        SimpleRnn::new(UNITS).recurrent_init(recurrent_init).activation(activation).route(route).into()
    }
}

/// Everything as it starts by default but for the bias of the forget gate.
fn lstm(forget: f32) -> impl Fn(Form) -> LayerSpec {
    move |form| {
        let bias = |i: usize| if i / UNITS == 1 { forget } else { 0.0 };
        let bias_init = Init::Values((0..4 * UNITS).map(bias).collect());
        match form {
            Form::Fused(route) => Lstm::new(UNITS).bias_init(bias_init).route(route).into(),
            Form::Unrolled => UnrolledLayer { bias_init, ..UnrolledLayer::new(Cell::Lstm, UNITS) }.into(),
        }
    }
}

/// Each step back multiplies by the recurrent weight, 0.7 times an orthogonal one, and by slopes of at
/// most 1: at most 0.7^99 = 4.6e-16 is left but for the directions.
#[test]
fn a_simple_network_s_gradient_vanishes() -> Result<()> {
    let linear = left("simple, 0.7 orthogonal, linear", simple(0.7, CellActivation::Linear))?;
    let tanh = left("simple, 0.7 orthogonal, tanh", simple(0.7, CellActivation::Tanh))?;
    assert!((1e-17..1e-14).contains(&linear), "{linear:e}");
    assert!(0.0 < tanh && tanh < 1e-19, "{tanh:e}");
    Ok(())
}

/// 1.2^99 = 6.9e7; an orthogonal weight by itself keeps the gradient's norm.
#[test]
fn a_simple_network_s_gradient_explodes() -> Result<()> {
    let kept = left("simple, orthogonal, linear", simple(1.0, CellActivation::Linear))?;
    let exploded = left("simple, 1.2 orthogonal, linear", simple(1.2, CellActivation::Linear))?;
    assert!((0.1..10.0).contains(&kept), "{kept:e}");
    assert!((1e7..1e9).contains(&exploded), "{exploded:e}");
    Ok(())
}

/// Each step back multiplies the cell's gradient by the forget gate: about 0.12 for a bias of -2, 0.5
/// for 0, 0.73 for 1, 0.95 for 3. The bias of 1 that an LSTM starts with makes up fourteen orders of
/// magnitude over a hundred steps; a gate that stays open keeps all of it.
#[test]
fn a_forget_gate_s_bias_keeps_the_gradient() -> Result<()> {
    let default = left("LSTM as it starts", |form| match form {
        Form::Fused(route) => Lstm::new(UNITS).route(route).into(),
        Form::Unrolled => UnrolledLayer::new(Cell::Lstm, UNITS).into(),
    })?;
    let unbiased = |form| match form {
        Form::Fused(route) => Lstm::new(UNITS).unit_forget_bias(false).route(route).into(),
        Form::Unrolled => lstm(0.0)(form),
    };
    let unbiased = left("LSTM, unit_forget_bias(false)", unbiased)?;
    let [closed, zero, one, open] = [-2.0, 0.0, 1.0, 3.0]
        .map(|bias| left(&format!("LSTM, forget bias {bias}"), lstm(bias)).expect("every layer is recorded"));
    assert_eq!((default, unbiased), (one, zero));
    assert!(closed < 1e-40, "{closed:e}");
    assert!(zero < 1e-19, "{zero:e}");
    assert!(one > 1e-11 && one > 1e10 * zero, "{one:e}, {zero:e}");
    assert!((0.1..10.0).contains(&open), "{open:e}");
    let vanished = left("simple, 0.7 orthogonal, tanh", simple(0.7, CellActivation::Tanh))?;
    assert!(one > 1e10 * vanished, "{one:e}, {vanished:e}");
    Ok(())
}

/// How far one step of descent at rate 1 moves all parameters together, and the gradients' norm if the
/// tape has it.
fn moved(device: &Device, form: Form, optimizer: &dyn Optimizer) -> Result<(f64, Option<f64>)> {
    let mut g = Graph::new();
    let (x, loss) = record(&mut g, simple(1.2, CellActivation::Linear)(form))?;
    let tape = g.training_step(loss, optimizer)?;
    let mut session = tape.session_with(device, SessionOptions::new().seed(5))?;
    session.write(x, &sequences())?;
    let parameters = |session: &Session| -> Result<Vec<f64>> {
        let names: Vec<String> = session.parameter_names().into_iter().map(str::to_owned).collect();
        let mut all = Vec::new();
        for name in names {
            all.extend(session.parameter(&name)?.into_iter().map(f64::from));
        }
        Ok(all)
    };
    let before = parameters(&session)?;
    session.replay()?;
    let after = parameters(&session)?;
    let found = tape.gradient_norm().map(|v| session.read_scalar(v)).transpose()?;
    Ok((norm(before.iter().zip(&after).map(|(b, a)| a - b)), found.map(f64::from)))
}

#[test]
fn clipping_by_the_global_norm_bounds_an_exploding_step() -> Result<()> {
    for device in devices() {
        for form in FORMS {
            let (far, _) = moved(&device, form, &Sgd::new(1.0))?;
            assert!(far > 1e8, "{far:e}");
            for limit in [0.5, 1.0, 5.0] {
                let clipped = Sgd::new(1.0).clip(Clip::GlobalNorm(limit));
                let (near, found) = moved(&device, form, &clipped)?;
                let found = found.expect("a clipped step has the norm of its gradients");
                if limit == 1.0 {
                    println!("{form:?} on {}: moves by {far:.2e}, clipped by {near:.6}", device.name());
                }
                // The whole limit is used, and not exceeded but for the rounding of the parameters.
                assert!((near / f64::from(limit) - 1.0).abs() <= 1e-5, "{near} for {limit}");
                assert!((found / far - 1.0).abs() <= 1e-4, "{found:e} is not {far:e}");
            }
        }
    }
    Ok(())
}
