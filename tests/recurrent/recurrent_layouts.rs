//! Weights from other frameworks: their documented formulas, in f64 on their own layouts, against
//! the layers with the converted weights.

use crate::common;
use crate::common::data::noise;
use retape::nn;
use retape::nn::recurrent_layouts::{CellKind, KerasWeights, LayerWeights, OnnxWeights, PyTorchWeights};
use retape::prelude::*;
use retape::{Error, Result};

const BATCH: usize = 2;
const TIME: usize = 4;
const FEATURES: usize = 3;
const UNITS: usize = 5;

/// A foreign matrix or vector.
struct Tensor(Vec<f32>);

impl Tensor {
    fn new(n: usize, seed: u32) -> Self {
        Tensor(noise(n, seed, -0.9, 0.9))
    }

    fn at(&self, i: usize) -> f64 {
        f64::from(self.0[i])
    }

    /// `W x` of the rows `from..from + UNITS` of `[rows, n]`.
    fn rows(&self, from: usize, x: &[f64]) -> Vec<f64> {
        let n = x.len();
        let dot = |r: usize| x.iter().enumerate().map(|(k, x)| self.at((from + r) * n + k) * x).sum();
        (0..UNITS).map(dot).collect()
    }

    /// `x W` of the columns `from..from + UNITS` of `[n, columns]`.
    fn columns(&self, from: usize, x: &[f64]) -> Vec<f64> {
        let columns = self.0.len() / x.len();
        let dot = |c: usize| x.iter().enumerate().map(|(k, x)| self.at(k * columns + from + c) * x).sum();
        (0..UNITS).map(dot).collect()
    }

    /// A part of a vector.
    fn part(&self, from: usize) -> Vec<f64> {
        (0..UNITS).map(|i| self.at(from + i)).collect()
    }
}

fn sum(parts: &[Vec<f64>]) -> Vec<f64> {
    (0..UNITS).map(|i| parts.iter().map(|p| p[i]).sum()).collect()
}

fn mul(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

fn sigmoid(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect()
}

fn tanh(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x.tanh()).collect()
}

/// `(1 - z) n + z h`, as all three define a GRU.
fn blend(z: &[f64], n: &[f64], h: &[f64]) -> Vec<f64> {
    (0..UNITS).map(|i| (1.0 - z[i]) * n[i] + z[i] * h[i]).collect()
}

fn input() -> Vec<f32> {
    noise(BATCH * TIME * FEATURES, 40, -1.5, 1.5)
}

/// All outputs of a cell `(x, h, c) -> (h, c)`, `[batch, time, units]`.
fn unroll(backwards: bool, cell: impl Fn(&[f64], &[f64], &[f64]) -> (Vec<f64>, Vec<f64>)) -> Vec<f64> {
    let x: Vec<f64> = input().into_iter().map(f64::from).collect();
    let mut outputs = vec![0.0; BATCH * TIME * UNITS];
    for b in 0..BATCH {
        let (mut h, mut c) = (vec![0.0; UNITS], vec![0.0; UNITS]);
        for s in 0..TIME {
            let at = b * TIME + if backwards { TIME - 1 - s } else { s };
            (h, c) = cell(&x[at * FEATURES..][..FEATURES], &h, &c);
            outputs[at * UNITS..][..UNITS].copy_from_slice(&h);
        }
    }
    outputs
}

fn layer(kind: CellKind, bias: bool, peepholes: bool, backwards: bool) -> nn::LayerSpec {
    match kind {
        CellKind::SimpleRnn => {
            SimpleRnn::new(UNITS).return_sequences(true).bias(bias).go_backwards(backwards).into()
        }
        CellKind::Lstm => Lstm::new(UNITS)
            .return_sequences(true)
            .bias(bias)
            .peepholes(peepholes)
            .go_backwards(backwards)
            .into(),
        CellKind::Gru(reset) => {
            Gru::new(UNITS).return_sequences(true).bias(bias).reset(reset).go_backwards(backwards).into()
        }
    }
}

/// A model's output with weights set by the caller.
fn run(model: &Sequential, set: impl FnOnce(&mut Session) -> Result<()>) -> Vec<f32> {
    let mut g = Graph::new();
    let x = g.input("x", [BATCH, TIME, FEATURES]);
    let y = model.record(&mut g, x, Mode::Evaluation).unwrap();
    let mut session = g.forward([y]).unwrap().session(common::gpu()).unwrap();
    set(&mut session).unwrap();
    session.write(x, &input()).unwrap();
    session.replay().unwrap();
    session.read(y).unwrap()
}

#[track_caller]
fn agrees(kind: CellKind, weights: &LayerWeights, backwards: bool, expected: &[f64]) {
    let spec = layer(kind, weights.bias.is_some(), weights.peepholes.is_some(), backwards);
    let found = run(&Sequential::new().add(spec.named("l")), |session| weights.set(session, "l"));
    near(&found, expected);
}

#[track_caller]
fn near(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f64::from(*f) - e).abs() <= 1e-5, "{found:?} is not {expected:?}");
    }
}

const KINDS: [CellKind; 4] =
    [CellKind::SimpleRnn, CellKind::Lstm, CellKind::Gru(GruReset::After), CellKind::Gru(GruReset::Before)];

fn gates(kind: CellKind) -> usize {
    match kind {
        CellKind::SimpleRnn => 1,
        CellKind::Lstm => 4,
        CellKind::Gru(_) => 3,
    }
}

/// torch.nn.RNN, LSTM and GRU: `W_ii x + b_ii + W_hi h + b_hi` and so on.
fn pytorch(kind: CellKind, has_bias: bool) -> (PyTorch, Vec<f64>) {
    let n = gates(kind) * UNITS;
    let zero = if has_bias { 1.0 } else { 0.0 };
    let tensors = PyTorch {
        ih: Tensor::new(n * FEATURES, 1),
        hh: Tensor::new(n * UNITS, 2),
        bias_ih: Tensor::new(n, 3),
        bias_hh: Tensor::new(n, 4),
    };
    let scale = |v: Vec<f64>| v.into_iter().map(|v| v * zero).collect::<Vec<f64>>();
    let of_x =
        |k: usize, x: &[f64]| sum(&[tensors.ih.rows(k * UNITS, x), scale(tensors.bias_ih.part(k * UNITS))]);
    let of_h =
        |k: usize, h: &[f64]| sum(&[tensors.hh.rows(k * UNITS, h), scale(tensors.bias_hh.part(k * UNITS))]);
    let both = |k: usize, x: &[f64], h: &[f64]| sum(&[of_x(k, x), of_h(k, h)]);
    let outputs = unroll(false, |x, h, c| match kind {
        CellKind::SimpleRnn => (tanh(&both(0, x, h)), Vec::new()),
        CellKind::Lstm => {
            let (i, f) = (sigmoid(&both(0, x, h)), sigmoid(&both(1, x, h)));
            let (g, o) = (tanh(&both(2, x, h)), sigmoid(&both(3, x, h)));
            let c = sum(&[mul(&f, c), mul(&i, &g)]);
            (mul(&o, &tanh(&c)), c)
        }
        CellKind::Gru(_) => {
            let (r, z) = (sigmoid(&both(0, x, h)), sigmoid(&both(1, x, h)));
            let n = tanh(&sum(&[of_x(2, x), mul(&r, &of_h(2, h))]));
            (blend(&z, &n, h), Vec::new())
        }
    });
    (tensors, outputs)
}

struct PyTorch {
    ih: Tensor,
    hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
}

impl PyTorch {
    fn weights(&self, has_bias: bool) -> PyTorchWeights<'_> {
        PyTorchWeights {
            weight_ih: &self.ih.0,
            weight_hh: &self.hh.0,
            bias_ih: has_bias.then_some(&self.bias_ih.0),
            bias_hh: has_bias.then_some(&self.bias_hh.0),
        }
    }
}

#[test]
fn layers_of_pytorch() {
    for kind in &KINDS[..3] {
        for has_bias in [false, true] {
            let (tensors, expected) = pytorch(*kind, has_bias);
            let weights = tensors.weights(has_bias).convert(*kind, FEATURES, UNITS).unwrap();
            agrees(*kind, &weights, false, &expected);
        }
    }
}

/// A layer with a bias of its own, at 1 for the forget gate, takes weights without one as zeros.
#[test]
fn what_the_weights_lack_is_zero() {
    let (tensors, expected) = pytorch(CellKind::Lstm, false);
    let weights = tensors.weights(false).convert(CellKind::Lstm, FEATURES, UNITS).unwrap();
    let model = Sequential::new().add(layer(CellKind::Lstm, true, true, false).named("l"));
    near(&run(&model, |session| weights.set(session, "l")), &expected);
}

/// keras.layers.SimpleRNN, LSTM and GRU: `x W + h U + b`, gates i, f, c, o and z, r, h.
#[test]
fn layers_of_keras() {
    for kind in KINDS {
        let n = gates(kind) * UNITS;
        let after = kind == CellKind::Gru(GruReset::After);
        let (kernel, recurrent) = (Tensor::new(FEATURES * n, 5), Tensor::new(UNITS * n, 6));
        let bias = Tensor::new(if after { 2 * n } else { n }, 7);
        let of_x = |k: usize, x: &[f64]| sum(&[kernel.columns(k * UNITS, x), bias.part(k * UNITS)]);
        let of_h = |k: usize, h: &[f64]| {
            let product = recurrent.columns(k * UNITS, h);
            if after { sum(&[product, bias.part(n + k * UNITS)]) } else { product }
        };
        let both = |k: usize, x: &[f64], h: &[f64]| sum(&[of_x(k, x), of_h(k, h)]);
        let expected = unroll(false, |x, h, c| match kind {
            CellKind::SimpleRnn => (tanh(&both(0, x, h)), Vec::new()),
            CellKind::Lstm => {
                let (i, f) = (sigmoid(&both(0, x, h)), sigmoid(&both(1, x, h)));
                let c = sum(&[mul(&f, c), mul(&i, &tanh(&both(2, x, h)))]);
                (mul(&sigmoid(&both(3, x, h)), &tanh(&c)), c)
            }
            CellKind::Gru(reset) => {
                let (z, r) = (sigmoid(&both(0, x, h)), sigmoid(&both(1, x, h)));
                let recurrence = match reset {
                    GruReset::After => mul(&r, &of_h(2, h)),
                    GruReset::Before => of_h(2, &mul(&r, h)),
                };
                (blend(&z, &tanh(&sum(&[of_x(2, x), recurrence])), h), Vec::new())
            }
        });
        let weights = KerasWeights { kernel: &kernel.0, recurrent_kernel: &recurrent.0, bias: Some(&bias.0) };
        agrees(kind, &weights.convert(kind, FEATURES, UNITS).unwrap(), false, &expected);
    }
}

struct Onnx {
    w: Tensor,
    r: Tensor,
    b: Tensor,
    p: Tensor,
}

impl Onnx {
    fn new(kind: CellKind) -> Self {
        let n = 2 * gates(kind) * UNITS;
        let (w, r) = (Tensor::new(n * FEATURES, 8), Tensor::new(n * UNITS, 9));
        Onnx { w, r, b: Tensor::new(2 * n, 10), p: Tensor::new(2 * 3 * UNITS, 11) }
    }

    fn weights(&self, kind: CellKind) -> OnnxWeights<'_> {
        let p = (kind == CellKind::Lstm).then_some(&*self.p.0);
        OnnxWeights { w: &self.w.0, r: &self.r.0, b: Some(&self.b.0), p }
    }

    /// The equations of the operators RNN, LSTM and GRU, gates i, o, f, c and z, r, h.
    fn outputs(&self, kind: CellKind, direction: usize) -> Vec<f64> {
        let n = gates(kind) * UNITS;
        let row = |k: usize| direction * n + k * UNITS;
        let of_x =
            |k: usize, x: &[f64]| sum(&[self.w.rows(row(k), x), self.b.part(direction * 2 * n + k * UNITS)]);
        let bias_of_h = |k: usize| self.b.part(direction * 2 * n + n + k * UNITS);
        let of_h = |k: usize, h: &[f64]| sum(&[self.r.rows(row(k), h), bias_of_h(k)]);
        let both = |k: usize, x: &[f64], h: &[f64]| sum(&[of_x(k, x), of_h(k, h)]);
        let seen = |k: usize, c: &[f64]| mul(&self.p.part((direction * 3 + k) * UNITS), c);
        unroll(direction == 1, |x, h, c| match kind {
            CellKind::SimpleRnn => (tanh(&both(0, x, h)), Vec::new()),
            CellKind::Lstm => {
                let i = sigmoid(&sum(&[both(0, x, h), seen(0, c)]));
                let f = sigmoid(&sum(&[both(2, x, h), seen(2, c)]));
                let c = sum(&[mul(&f, c), mul(&i, &tanh(&both(3, x, h)))]);
                let o = sigmoid(&sum(&[both(1, x, h), seen(1, &c)]));
                (mul(&o, &tanh(&c)), c)
            }
            CellKind::Gru(reset) => {
                let (z, r) = (sigmoid(&both(0, x, h)), sigmoid(&both(1, x, h)));
                let recurrence = match reset {
                    GruReset::After => mul(&r, &of_h(2, h)),
                    GruReset::Before => sum(&[self.r.rows(row(2), &mul(&r, h)), bias_of_h(2)]),
                };
                (blend(&z, &tanh(&sum(&[of_x(2, x), recurrence])), h), Vec::new())
            }
        })
    }
}

#[test]
fn operators_of_onnx_in_each_direction() {
    for kind in KINDS {
        let onnx = Onnx::new(kind);
        for direction in [0, 1] {
            let weights = onnx.weights(kind).convert(kind, FEATURES, UNITS, direction).unwrap();
            agrees(kind, &weights, direction == 1, &onnx.outputs(kind, direction));
        }
    }
}

#[test]
fn a_bidirectional_operator_of_onnx() {
    let kind = CellKind::Lstm;
    let onnx = Onnx::new(kind);
    let model =
        Sequential::new().add(Bidirectional::new(Lstm::new(UNITS).return_sequences(true).peepholes(true)));
    let found = run(&model, |session| {
        for (direction, name) in ["forward_lstm", "backward_lstm"].into_iter().enumerate() {
            let weights = onnx.weights(kind).convert(kind, FEATURES, UNITS, direction)?;
            weights.set(session, &format!("bidirectional.{name}"))?;
        }
        Ok(())
    });
    let (forward, backward) = (onnx.outputs(kind, 0), onnx.outputs(kind, 1));
    let pairs = forward.chunks(UNITS).zip(backward.chunks(UNITS));
    near(&found, &pairs.flat_map(|(f, b)| [f, b].concat()).collect::<Vec<f64>>());
}

#[test]
fn tensors_of_other_sizes_are_refused() {
    let data = [0.5; 120];
    let kind = CellKind::Lstm;
    let torch =
        PyTorchWeights { weight_ih: &data[..24], weight_hh: &data[..16], bias_ih: None, bias_hh: None };
    assert!(torch.convert(kind, 3, 2).is_ok());
    let lengths = |error: Error, tensor: &str, shape: &[usize]| match error {
        Error::Length { name, expected, .. } => assert_eq!((&*name, expected.shape.dims()), (tensor, shape)),
        other => panic!("{other}"),
    };
    lengths(torch.convert(kind, 4, 2).unwrap_err(), "weight_ih", &[8, 4]);
    let recurrent = PyTorchWeights { weight_hh: &data[..15], ..torch };
    lengths(recurrent.convert(kind, 3, 2).unwrap_err(), "weight_hh", &[8, 2]);
    let (ih, hh) = (Some(&data[..8]), Some(&data[..7]));
    let bias = PyTorchWeights { bias_ih: ih, bias_hh: hh, ..torch };
    lengths(bias.convert(kind, 3, 2).unwrap_err(), "bias_hh", &[8]);
    let argument = |result: Result<LayerWeights>, what: &str| {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Argument { argument, .. } if *argument == what), "{error}");
    };
    argument(PyTorchWeights { bias_ih: ih, ..torch }.convert(kind, 3, 2), "bias");
    argument(torch.convert(kind, 0, 2), "features");
    argument(torch.convert(kind, 3, 0), "units");
    argument(torch.convert(CellKind::Gru(GruReset::Before), 3, 2), "kind");

    let gru = CellKind::Gru(GruReset::After);
    let keras = KerasWeights { kernel: &data[..18], recurrent_kernel: &data[..12], bias: Some(&data[..6]) };
    lengths(keras.convert(gru, 3, 2).unwrap_err(), "bias", &[2, 6]);
    assert!(keras.convert(CellKind::Gru(GruReset::Before), 3, 2).is_ok());
    lengths(keras.convert(kind, 3, 2).unwrap_err(), "kernel", &[3, 8]);

    let onnx = OnnxWeights { w: &data[..48], r: &data[..32], b: Some(&data[..16]), p: None };
    lengths(onnx.convert(kind, 3, 2, 0).unwrap_err(), "b", &[2, 2, 8]);
    argument(onnx.convert(kind, 3, 2, 2), "direction");
    argument(OnnxWeights { p: Some(&data[..12]), ..onnx }.convert(gru, 3, 2, 0), "p");
}
