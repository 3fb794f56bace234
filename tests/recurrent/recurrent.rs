//! Recurrences: published numbers, a textbook in f64 with every option, and where gradients stop.

use crate::common;
use crate::common::cases::recurrent::{CELLS, Cell};
use crate::common::data::noise;
use crate::common::unrolled::{FORMS, Form, Settings};
use retape::ops::{Recurrence, RecurrentRoute};
use retape::prelude::*;
use retape::{Error, Result};

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

#[track_caller]
fn near(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f64::from(*f) - e).abs() <= tolerance, "{found:?} is not {expected:?}");
    }
}

/// Numbers that f32 holds exactly.
fn numbers(n: usize, seed: u32, low: f32, high: f32) -> Vec<f64> {
    noise(n, seed, low, high).into_iter().map(f64::from).collect()
}

fn narrow(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&v| v as f32).collect()
}

/// What the textbook computes.
#[derive(Clone, Debug)]
struct Trace {
    /// The states before each step taken, of each sequence.
    before: Vec<Vec<Vec<Vec<f64>>>>,
    outputs: Vec<f64>,
    states: Vec<Vec<f64>>,
}

/// A recurrence with its numbers.
#[derive(Clone, Debug)]
struct Net {
    kind: Cell,
    /// Batch, time, features, hidden.
    sizes: [usize; 4],
    w: Vec<f64>,
    u: Vec<f64>,
    b: Option<Vec<f64>>,
    p: Option<Vec<f64>>,
    initial: Option<Vec<Vec<f64>>>,
    lengths: Option<Vec<u32>>,
    mask: Option<Vec<f64>>,
    reverse: bool,
    activation: CellActivation,
    gate: CellActivation,
}

impl Net {
    fn random(kind: Cell, sizes: [usize; 4]) -> Self {
        let [_, _, f, h] = sizes;
        let n = kind.gates() * h;
        let rows = if kind == Cell::Gru(GruReset::After) { 2 } else { 1 };
        Net {
            kind,
            sizes,
            w: numbers(f * n, 1, -0.8, 0.8),
            u: numbers(h * n, 2, -0.8, 0.8),
            b: Some(numbers(rows * n, 3, -0.5, 0.5)),
            p: None,
            initial: None,
            lengths: None,
            mask: None,
            reverse: false,
            activation: CellActivation::Tanh,
            gate: CellActivation::Sigmoid,
        }
    }

    /// Every weight 0.1, without a bias, as in ONNX's examples.
    fn tenths(kind: Cell, sizes: [usize; 4]) -> Self {
        let [_, _, f, h] = sizes;
        let n = kind.gates() * h;
        Net { w: vec![0.1; f * n], u: vec![0.1; h * n], b: None, ..Net::random(kind, sizes) }
    }

    fn x(&self) -> Vec<f64> {
        numbers(self.sizes[0] * self.sizes[1] * self.sizes[2], 4, -1.5, 1.5)
    }

    /// Everything there is: initial states, peepholes, a mask, lengths from 0 to all steps.
    fn with_all(mut self) -> Self {
        let [batch, time, _, h] = self.sizes;
        let states = if self.kind == Cell::Lstm { 2 } else { 1 };
        self.initial = Some((0..states).map(|s| numbers(batch * h, 5 + s, -1.0, 1.0)).collect());
        self.p = (self.kind == Cell::Lstm).then(|| numbers(3 * h, 8, -0.7, 0.7));
        self.mask = Some((0..batch * h).map(|i| if i % 3 == 0 { 0.0 } else { 1.25 }).collect());
        self.lengths = Some((0..batch).map(|b| (b * 2 % (time + 1)) as u32).collect());
        self
    }

    fn record(&self, g: &mut Graph, x: Value, truncate: Option<usize>, form: Form) -> Result<Recurrence> {
        let [batch, _, f, h] = self.sizes;
        let n = self.kind.gates() * h;
        let parameter = |g: &mut Graph, name: &str, shape: Shape, data: &[f64]| {
            g.parameter(name, shape, Init::Values(narrow(data)))
        };
        let input = parameter(g, "w", Shape::from([f, n]), &self.w);
        let recurrent = parameter(g, "u", Shape::from([h, n]), &self.u);
        let mut weights = RecurrentWeights::new(input, recurrent);
        if let Some(b) = &self.b {
            let after = self.kind == Cell::Gru(GruReset::After);
            let shape = if after { Shape::from([2, n]) } else { Shape::from([n]) };
            weights = weights.bias(parameter(g, "b", shape, b));
        }
        if let Some(p) = &self.p {
            weights = weights.peepholes(parameter(g, "p", Shape::from([3, h]), p));
        }
        let states = self.initial.iter().flatten().enumerate();
        let initial =
            states.map(|(s, data)| parameter(g, &format!("s{s}"), Shape::from([batch, h]), data)).collect();
        let settings = Settings {
            initial,
            lengths: self.lengths.as_ref().map(|lengths| g.constant([batch], lengths)).transpose()?,
            steps: None,
            mask: self.mask.as_ref().map(|mask| g.constant([batch, h], &narrow(mask))).transpose()?,
            reverse: self.reverse,
            truncate,
            activation: self.activation,
            gate: self.gate,
        };
        settings.record(g, self.kind, x, weights, form)
    }

    /// Outputs and states by the formulas, one number at a time. With `frozen`, the states between
    /// every so many steps are those of another trace.
    fn textbook(&self, x: &[f64], frozen: Option<(usize, &Trace)>) -> Trace {
        let [batch, time, f, hidden] = self.sizes;
        let states = if self.kind == Cell::Lstm { 2 } else { 1 };
        let (before, outputs) = (vec![Vec::new(); batch], vec![0.0; batch * time * hidden]);
        let mut trace = Trace { before, outputs, states: vec![vec![0.0; batch * hidden]; states] };
        for n in 0..batch {
            let initial = |s: usize| match &self.initial {
                Some(i) => i[s][n * hidden..][..hidden].to_vec(),
                None => vec![0.0; hidden],
            };
            let mut now: Vec<Vec<f64>> = (0..states).map(initial).collect();
            for taken in 0..time {
                let t = if self.reverse { time - 1 - taken } else { taken };
                if let Some((steps, other)) = frozen
                    && taken > 0
                    && taken % steps == 0
                {
                    now.clone_from(&other.before[n][taken]);
                }
                trace.before[n].push(now.clone());
                if self.lengths.as_ref().is_none_or(|l| t < l[n] as usize) {
                    now = self.step(n, &x[(n * time + t) * f..][..f], &now);
                }
                trace.outputs[(n * time + t) * hidden..][..hidden].copy_from_slice(&now[0]);
            }
            for (last, now) in trace.states.iter_mut().zip(&now) {
                last[n * hidden..][..hidden].copy_from_slice(now);
            }
        }
        trace
    }

    fn step(&self, n: usize, x: &[f64], states: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let hidden = self.sizes[3];
        let columns = self.kind.gates() * hidden;
        let masked: Vec<f64> = (0..hidden)
            .map(|j| states[0][j] * self.mask.as_ref().map_or(1.0, |m| m[n * hidden + j]))
            .collect();
        let bias = |row: usize, c: usize| self.b.as_ref().map_or(0.0, |b| b[row * columns + c]);
        let xw = |c: usize| {
            let terms = x.iter().enumerate().map(|(k, x)| x * self.w[k * columns + c]);
            terms.sum::<f64>() + bias(0, c)
        };
        let hu =
            |h: &[f64], c: usize| h.iter().enumerate().map(|(k, h)| h * self.u[k * columns + c]).sum::<f64>();
        let (s, a) = (|v| value(self.gate, v), |v| value(self.activation, v));
        let peephole = |k: usize, j: usize| self.p.as_ref().map_or(0.0, |p| p[k * hidden + j]);
        let gate = |k: usize, j: usize| xw(k * hidden + j) + hu(&masked, k * hidden + j);
        match self.kind {
            Cell::Simple => vec![(0..hidden).map(|j| a(gate(0, j))).collect()],
            Cell::Lstm => {
                let c: Vec<f64> = (0..hidden)
                    .map(|j| {
                        let c = states[1][j];
                        let (i, f) = (s(gate(0, j) + peephole(0, j) * c), s(gate(1, j) + peephole(1, j) * c));
                        f * c + i * a(gate(2, j))
                    })
                    .collect();
                let h = (0..hidden).map(|j| s(gate(3, j) + peephole(2, j) * c[j]) * a(c[j])).collect();
                vec![h, c]
            }
            Cell::Gru(reset) => {
                let row = |k: usize, j: usize| match reset {
                    GruReset::After => bias(1, k * hidden + j),
                    GruReset::Before => 0.0,
                };
                let r: Vec<f64> = (0..hidden).map(|j| s(gate(0, j) + row(0, j))).collect();
                let reset_h: Vec<f64> = r.iter().zip(&masked).map(|(r, h)| r * h).collect();
                let new = |j: usize| {
                    let column = 2 * hidden + j;
                    let n = match reset {
                        GruReset::After => xw(column) + r[j] * (hu(&masked, column) + row(2, j)),
                        GruReset::Before => xw(column) + hu(&reset_h, column),
                    };
                    let z = s(gate(1, j) + row(1, j));
                    (1.0 - z) * a(n) + z * states[0][j]
                };
                vec![(0..hidden).map(new).collect()]
            }
        }
    }

    /// What the recurrence makes on a device: outputs, then states.
    fn run(&self, x: &[f64], form: Form, device: &Device) -> Vec<Vec<f32>> {
        let mut g = Graph::new();
        let [batch, time, f, _] = self.sizes;
        let input = g.input("x", [batch, time, f]);
        let made = self.record(&mut g, input, None, form).unwrap();
        let wanted: Vec<Value> = [made.outputs].into_iter().chain(made.states).collect();
        let mut session = g.forward(wanted.clone()).unwrap().session(device).unwrap();
        session.write(input, &narrow(x)).unwrap();
        session.replay().unwrap();
        wanted.iter().map(|&v| session.read(v).unwrap()).collect()
    }

    #[track_caller]
    fn agrees(&self, x: &[f64], form: Form, device: &Device) {
        let Trace { outputs, states, .. } = self.textbook(x, None);
        let found = self.run(x, form, device);
        assert_eq!(found.len(), 1 + states.len());
        for (found, expected) in found.iter().zip([outputs].iter().chain(&states)) {
            near(found, expected, 1e-5);
        }
    }
}

fn value(activation: CellActivation, x: f64) -> f64 {
    match activation {
        CellActivation::Tanh => x.tanh(),
        CellActivation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        CellActivation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
        CellActivation::Relu => x.max(0.0),
        CellActivation::Linear => x,
        other => panic!("{other:?} has no case"),
    }
}

fn sigmoid(x: f64) -> f64 {
    value(CellActivation::Sigmoid, x)
}

/// ONNX's node tests `simple_rnn_defaults`, `lstm_defaults` and `gru_defaults` with the outputs of
/// their data: a step over three rows from zero states with every weight 0.1. Then the rows as
/// steps of one sequence, with the outputs of an LSTM that ROOT's SOFIE tests give.
#[test]
fn published_defaults_of_onnx() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let before = Cell::Gru(GruReset::Before);
    let cases = [
        (Cell::Simple, 4, [0.291_312_61, 0.604_367_77, 0.800_499_02]),
        (Cell::Lstm, 3, [0.095_241_19, 0.256_064_44, 0.403_237_76]),
        (before, 5, [0.123_970_26, 0.200_536_61, 0.199_916_54]),
    ];
    for (kind, hidden, rows) in cases {
        let expected: Vec<f64> = rows.iter().flat_map(|&r| vec![r; hidden]).collect();
        for device in devices() {
            for form in FORMS {
                let found = Net::tenths(kind, [3, 1, 2, hidden]).run(&x, form, &device);
                near(&found[0], &expected, 1e-6);
                near(&found[1], &expected, 1e-6);
            }
        }
    }
    let steps: Vec<f64> = [0.095_241_19, 0.328_690_44, 0.600_429_89].iter().flat_map(|&h| [h; 3]).collect();
    for device in devices() {
        for form in FORMS {
            near(&Net::tenths(Cell::Lstm, [1, 3, 2, 3]).run(&x, form, &device)[0], &steps, 1e-6);
        }
    }
}

/// ONNX's `lstm_with_initial_bias` and `lstm_with_peepholes`: with equal weights all units are one
/// scalar cell.
#[test]
fn biases_and_peepholes_of_onnx() {
    let scalar = |sum: f64, peephole: f64| {
        let c = sigmoid(sum) * sum.tanh();
        sigmoid(sum + peephole * c) * c.tanh()
    };
    let biased = Net { b: Some(vec![0.1; 16]), ..Net::tenths(Cell::Lstm, [3, 1, 3, 4]) };
    let peeping = Net { p: Some(vec![0.1; 9]), ..Net::tenths(Cell::Lstm, [2, 1, 4, 3]) };
    let x: Vec<f64> = (1..=9).map(f64::from).collect();
    let biased_rows = [0.7, 1.6, 2.5].map(|sum| scalar(sum, 0.0));
    let peeping_rows = [1.0, 2.6].map(|sum| scalar(sum, 0.1));
    let expected = |rows: &[f64], hidden| rows.iter().flat_map(|&r| vec![r; hidden]).collect::<Vec<_>>();
    for device in devices() {
        for form in FORMS {
            near(&biased.run(&x, form, &device)[0], &expected(&biased_rows, 4), 1e-6);
            near(&peeping.run(&x[..8], form, &device)[0], &expected(&peeping_rows, 3), 1e-6);
        }
    }
}

/// Two steps of a single unit, written out.
#[test]
fn steps_worked_by_hand() {
    let x = [1.0, -2.0];
    let net = |kind| Net { w: vec![0.5; 4], u: vec![0.25; 4], ..Net::tenths(kind, [1, 2, 1, 1]) };
    let cut = |mut net: Net| {
        let gates = net.kind.gates();
        net.w.truncate(gates);
        net.u.truncate(gates);
        net
    };
    let h1 = 0.5f64.tanh();
    let simple = vec![h1, (-1.0 + 0.25 * h1).tanh()];

    let c1 = sigmoid(0.5) * 0.5f64.tanh();
    let h1 = sigmoid(0.5) * c1.tanh();
    let sum = -1.0 + 0.25 * h1;
    let c2 = sigmoid(sum) * c1 + sigmoid(sum) * sum.tanh();
    let lstm = vec![h1, sigmoid(sum) * c2.tanh()];

    let h1 = (1.0 - sigmoid(0.5)) * 0.5f64.tanh();
    let gate = sigmoid(-1.0 + 0.25 * h1);
    // With one unit r (h u) is (r h) u: the forms agree without a bias.
    let gru = vec![h1, (1.0 - gate) * (-1.0 + gate * 0.25 * h1).tanh() + gate * h1];
    for device in devices() {
        for form in FORMS {
            for kind in CELLS {
                let expected = match kind {
                    Cell::Simple => &simple,
                    Cell::Lstm => &lstm,
                    Cell::Gru(_) => &gru,
                };
                near(&cut(net(kind)).run(&x, form, &device)[0], expected, 1e-6);
            }
        }
    }
}

#[test]
fn every_option_agrees_with_the_textbook() {
    for kind in CELLS {
        for reverse in [false, true] {
            for sizes in [[1, 1, 1, 1], [3, 5, 2, 3], [5, 3, 7, 4]] {
                let plain = Net { reverse, ..Net::random(kind, sizes) };
                let bare = Net { b: None, ..plain.clone() };
                let all = plain.clone().with_all();
                let device = common::gpu();
                for net in [plain, bare, all] {
                    FORMS.iter().for_each(|&form| net.agrees(&net.x(), form, device));
                }
            }
        }
    }
}

#[test]
fn every_activation_agrees_with_the_textbook() {
    for kind in CELLS {
        for &activation in CellActivation::ALL {
            for &gate in CellActivation::ALL {
                let net = Net { activation, gate, ..Net::random(kind, [2, 3, 2, 2]).with_all() };
                for form in [Form::Fused(RecurrentRoute::Auto), Form::Unrolled] {
                    net.agrees(&net.x(), form, &Device::reference());
                }
            }
        }
    }
}

/// A loss that weighs every output and the last states differently.
fn loss_weights(net: &Net) -> (Vec<f64>, Vec<f64>) {
    let [batch, time, _, hidden] = net.sizes;
    (numbers(batch * time * hidden, 21, 0.5, 1.5), numbers(batch * hidden, 22, 0.5, 1.5))
}

fn textbook_loss(net: &Net, x: &[f64], frozen: Option<(usize, &Trace)>) -> f64 {
    let (outputs, state) = loss_weights(net);
    let trace = net.textbook(x, frozen);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&trace.outputs, &outputs) + trace.states.iter().map(|s| dot(s, &state)).sum::<f64>()
}

/// The gradients of the loss with respect to `x` and then each parameter, as recorded.
fn recorded_gradients(
    net: &Net,
    x: &[f64],
    truncate: Option<usize>,
    form: Form,
    device: &Device,
) -> Vec<Vec<f32>> {
    let mut g = Graph::new();
    let [batch, time, f, hidden] = net.sizes;
    let input = g.input("x", [batch, time, f]);
    let made = net.record(&mut g, input, truncate, form).unwrap();
    let (outputs, state) = loss_weights(net);
    let outputs = g.constant([batch, time, hidden], &narrow(&outputs)).unwrap();
    let state = g.constant([batch, hidden], &narrow(&state)).unwrap();
    let mut loss = g.sum(g.mul(made.outputs, outputs).unwrap(), &[], false).unwrap();
    for last in made.states {
        loss = g.add(loss, g.sum(g.mul(last, state).unwrap(), &[], false).unwrap()).unwrap();
    }
    let wrt: Vec<Value> = [input].into_iter().chain(g.parameters()).collect();
    let grads = g.differentiate(loss, &wrt).unwrap();
    let mut session = g.forward(grads.clone()).unwrap().session(device).unwrap();
    session.write(input, &narrow(x)).unwrap();
    session.replay().unwrap();
    grads.iter().map(|&grad| session.read(grad).unwrap()).collect()
}

/// The same by central differences of the textbook; a truncated one holds the states between still.
fn differences(net: &Net, x: &[f64], truncate: Option<usize>) -> Vec<Vec<f64>> {
    let base = net.textbook(x, None);
    let frozen = truncate.map(|steps| (steps, &base));
    let loss = |net: &Net, x: &[f64]| textbook_loss(net, x, frozen);
    let mut numbers = vec![x.to_vec(), net.w.clone(), net.u.clone()];
    numbers.extend(net.b.clone());
    numbers.extend(net.p.clone());
    numbers.extend(net.initial.clone().unwrap_or_default());
    let rebuilt = |numbers: &[Vec<f64>]| {
        let mut rest = numbers[3..].iter().cloned();
        let (w, u) = (numbers[1].clone(), numbers[2].clone());
        let mut changed = Net { w, u, ..net.clone() };
        changed.b = changed.b.and_then(|_| rest.next());
        changed.p = changed.p.and_then(|_| rest.next());
        changed.initial = changed.initial.map(|_| rest.collect());
        loss(&changed, &numbers[0])
    };
    let slope = |(k, i): (usize, usize)| {
        let at = |by: f64| {
            let mut moved = numbers.clone();
            moved[k][i] += by;
            rebuilt(&moved)
        };
        (at(1e-5) - at(-1e-5)) / 2e-5
    };
    (0..numbers.len()).map(|k| (0..numbers[k].len()).map(|i| slope((k, i))).collect()).collect()
}

#[test]
fn gradients_agree_with_differences_of_the_textbook() {
    for kind in CELLS {
        for reverse in [false, true] {
            for truncate in [None, Some(1), Some(2), Some(7)] {
                let net = Net { reverse, ..Net::random(kind, [4, 5, 2, 3]).with_all() };
                let x = net.x();
                let expected = differences(&net, &x, truncate);
                for form in FORMS {
                    let found = recorded_gradients(&net, &x, truncate, form, common::gpu());
                    assert_eq!(found.len(), expected.len());
                    found.iter().zip(&expected).for_each(|(f, e)| near(f, e, 2e-4));
                }
            }
        }
    }
}

/// Padding may hold anything: neither results nor gradients see it.
#[test]
fn padding_is_never_read() {
    for kind in CELLS {
        let net = Net { lengths: Some(vec![2, 0, 3]), ..Net::random(kind, [3, 3, 2, 2]) };
        let x = net.x();
        let padded = |step: usize| step / 2 % 3 >= [2, 0, 3][step / 6];
        let poisoned: Vec<f64> =
            (0..x.len()).map(|i| if padded(i) { f64::from(f32::INFINITY) } else { x[i] }).collect();
        for form in FORMS {
            let device = common::gpu();
            assert_eq!(net.run(&poisoned, form, device), net.run(&x, form, device));
            let found = recorded_gradients(&net, &poisoned, None, form, device);
            assert_eq!(found, recorded_gradients(&net, &x, None, form, device));
            assert!(found[0].iter().enumerate().all(|(i, &dx)| !padded(i) || dx == 0.0));
        }
    }
}

/// What does not fit is refused at its line.
#[test]
fn what_does_not_fit_is_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 4]);
    let (w, u) = (g.input("w", [4, 20]), g.input("u", [5, 20]));
    let (b, h) = (g.input("b", [2, 5]), g.input("h", [2, 5]));
    let weights = RecurrentWeights::new(w, u);
    let plain = RecurrentOptions::new();
    let refused = |r: Result<Recurrence>| r.unwrap_err();
    let text = |r: Result<Recurrence>| r.unwrap_err().to_string();
    let rank = refused(g.lstm(b, weights, &plain));
    assert!(matches!(rank.root(), Error::Rank { .. }), "{rank}");
    let columns = refused(g.simple_rnn(x, weights, &plain));
    assert!(matches!(columns.root(), Error::ShapeMismatch { .. }), "{columns}");
    let one = text(g.lstm(x, weights, &plain.clone().initial(h)));
    assert!(one.contains("initial states") && one.contains("two"), "{one}");
    let bias = text(g.lstm(x, weights.bias(b), &plain));
    assert!(bias.contains("bias"), "{bias}");
    let lengths = g.input("lengths", [2]);
    let lengths = refused(g.lstm(x, weights, &plain.clone().lengths(lengths)));
    assert!(matches!(lengths.root(), Error::DTypeMismatch { .. }), "{lengths}");
    let short = g.input("short", [2, 2]);
    let mask = text(g.lstm(x, weights, &plain.clone().mask(short)));
    assert!(mask.contains("mask and batch by time") && mask.contains("[2, 3]"), "{mask}");
    let (mask, lengths) = (g.input("mask", [2, 3]), g.indices("counts", [2]));
    let both = text(g.lstm(x, weights, &plain.clone().mask(mask).lengths(lengths)));
    assert!(both.contains("lengths or a mask"), "{both}");
    let zero = text(g.lstm(x, weights, &plain.clone().truncate(0)));
    assert!(zero.contains("truncate"), "{zero}");
    let located = g.lstm(x, weights, &plain.clone().truncate(0)).unwrap_err();
    assert!(matches!(&located, Error::Record { op: "lstm", .. }), "{located}");
    assert!(located.to_string().contains("tests/recurrent/recurrent.rs"), "{located}");
}

/// Written lengths past the sequence are refused.
#[test]
fn lengths_past_the_end_are_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3, 1]);
    let lengths = g.indices("lengths", [2]);
    let (w, u) = (g.parameter("w", [1, 1], Init::Ones), g.parameter("u", [1, 1], Init::Ones));
    let options = RecurrentOptions::new().lengths(lengths);
    let made = g.simple_rnn(x, RecurrentWeights::new(w, u), &options).unwrap();
    let mut session = g.forward([made.outputs]).unwrap().session(&Device::reference()).unwrap();
    session.write(lengths, &[3u32, 0]).unwrap();
    let past = session.write(lengths, &[4u32, 0]).unwrap_err();
    assert!(matches!(past, Error::LabelOutOfRange { label: 4, .. }), "{past}");
}
