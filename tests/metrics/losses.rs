//! The losses: numbers worked out by hand, f64 formulas written a second time on hostile values,
//! gradients by finite differences.

use std::sync::Arc;

use crate::common;
use crate::common::{Case, Input, data};
use retape::kernel::DeviceKind;
use retape::prelude::*;
use retape::train::{CrossEntropy, LossFunction};

/// Contents of the targets.
#[derive(Clone)]
enum Targets {
    Labels(Vec<u32>),
    Numbers(Vec<f32>),
}

use Targets::{Labels, Numbers};

/// A loss recorded over outputs `[batch, ..]`, with the gradient of the sum over the samples.
struct Recorded {
    session: Session,
    y: Value,
    samples: Value,
    slopes: Value,
}

fn record(loss: &dyn LossFunction, dims: &[usize], targets: &Targets, device: &Device) -> Recorded {
    let mut g = Graph::new();
    let shape = Shape::new(dims).unwrap();
    let y = g.input("y", shape);
    let ty = loss.targets(shape).unwrap();
    let t = match targets {
        Labels(_) => g.labels("t", ty.shape),
        Numbers(_) => g.targets("t", ty.shape),
    };
    assert_eq!(g.ty(t).unwrap(), ty, "{loss:?}");
    let samples = loss.record(&g, y, t).unwrap();
    assert_eq!(g.shape(samples).unwrap(), Shape::from([dims[0]]), "{loss:?}");
    let total = g.sum(samples, &[], false).unwrap();
    let slopes = g.differentiate(total, &[y]).unwrap()[0];
    let mut session = g.forward([samples, slopes]).unwrap().session(device).unwrap();
    match targets {
        Labels(labels) => session.write(t, labels).unwrap(),
        Numbers(numbers) => session.write(t, numbers).unwrap(),
    }
    Recorded { session, y, samples, slopes }
}

impl Recorded {
    fn at(&mut self, y: &[f32]) -> (Vec<f64>, Vec<f64>) {
        self.session.write(self.y, y).unwrap();
        self.session.replay().unwrap();
        (self.session.read_f64(self.samples).unwrap(), self.session.read_f64(self.slopes).unwrap())
    }
}

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

fn assert_close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let allowed = tolerance * (1.0 + want.abs());
        assert!((got - want).abs() <= allowed, "{what}: element {i} is {got}, {want} expected");
    }
}

/// Losses and slopes, on both paths.
fn check(loss: impl LossFunction, dims: &[usize], y: &[f32], t: Targets, want: &[f64], slopes: &[f64]) {
    for device in devices() {
        let (samples, found) = record(&loss, dims, &t, &device).at(y);
        let what = format!("{loss:?} of {dims:?} on {device:?}");
        assert_close(&what, &samples, want, 2e-6);
        assert_close(&format!("slopes of {what}"), &found, slopes, 2e-6);
    }
}

#[test]
fn cross_entropies_worked_by_hand() {
    let ln = f64::ln;
    // Logits log 1, log 2, log 5: probabilities 1/8, 2/8, 5/8.
    let logits = [0.0, 2f32.ln(), 5f32.ln(), 0.0, 2f32.ln(), 5f32.ln()];
    let slopes = [0.125, -0.75, 0.625, -0.875, 0.25, 0.625];
    let want = [ln(4.0), ln(8.0)];
    let sparse = Loss::SparseCategoricalCrossEntropy;
    check(sparse, &[2, 3], &logits, Labels(vec![1, 0]), &want, &slopes);
    let one_hot = Numbers(vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    check(Loss::CategoricalCrossEntropy, &[2, 3], &logits, one_hot, &want, &slopes);
    // Smoothing by 0.3 leaves 0.8 to the label and 0.1 to each other class.
    let log = [ln(8.0), ln(4.0), ln(1.6)];
    let smooth = [0.8 * log[1] + 0.1 * (log[0] + log[2]), 0.8 * log[0] + 0.1 * (log[1] + log[2])];
    let slopes = [0.025, -0.55, 0.525, -0.675, 0.15, 0.525];
    check(sparse.label_smoothing(0.3), &[2, 3], &logits, Labels(vec![1, 0]), &smooth, &slopes);
    let one_hot = Numbers(vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let smoothed = Loss::CategoricalCrossEntropy.label_smoothing(0.3);
    check(smoothed, &[2, 3], &logits, one_hot, &smooth, &slopes);
    // A sequence: the mean over its two steps.
    let want = [0.5 * (ln(4.0) + ln(8.0))];
    let slopes = [0.0625, -0.375, 0.3125, -0.4375, 0.125, 0.3125];
    check(sparse, &[1, 2, 3], &logits, Labels(vec![1, 0]), &want, &slopes);
    // sigmoid(log 3) = 3/4.
    let logits = [3f32.ln(), 3f32.ln(), -3f32.ln()];
    let binary = Numbers(vec![1.0, 0.0, 0.0]);
    let want = [ln(4.0 / 3.0), ln(4.0), ln(4.0 / 3.0)];
    check(Loss::BinaryCrossEntropy, &[3, 1], &logits, binary, &want, &[-0.25, 0.75, 0.25]);
    // Smoothing by 0.2: targets 0.9 and 0.1.
    let smooth = Loss::BinaryCrossEntropy.label_smoothing(0.2);
    let of = |t: f64, p: f64| -t * p.ln() - (1.0 - t) * (1.0 - p).ln();
    let want = [0.5 * (of(0.9, 0.75) + of(0.1, 0.75))];
    check(smooth, &[1, 2], &logits[..2], Numbers(vec![1.0, 0.0]), &want, &[-0.075, 0.325]);
}

#[test]
fn cross_entropies_of_probabilities_worked_by_hand() {
    let p = [0.125, 0.25, 0.625, 0.125, 0.25, 0.625];
    let want = [4f64.ln(), 8f64.ln()];
    // 1 - t / p, where the rows add up to 1.
    let slopes = [1.0, -3.0, 1.0, -7.0, 1.0, 1.0];
    let sparse = Loss::SparseCategoricalCrossEntropy.from_probabilities();
    check(sparse, &[2, 3], &p, Labels(vec![1, 0]), &want, &slopes);
    let one_hot = Numbers(vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let categorical = Loss::CategoricalCrossEntropy.from_probabilities();
    check(categorical, &[2, 3], &p, one_hot, &want, &slopes);
    let binary = Loss::BinaryCrossEntropy.from_probabilities();
    let want = [(4f64 / 3.0).ln(), 4f64.ln()];
    check(binary, &[2, 1], &[0.75, 0.75], Numbers(vec![1.0, 0.0]), &want, &[-4.0 / 3.0, 4.0]);
    // Rows that do not add up to 1 are divided by their sum.
    check(sparse, &[1, 2], &[0.5, 0.25], Labels(vec![0]), &[1.5f64.ln()], &[4.0 / 3.0 - 2.0, 4.0 / 3.0]);
    // Before they are limited: these are 3/4 and 1/4 too, and so are numbers past the limits.
    let third = [1.0 / 4.0 - 1.0 / 3.0, 1.0 / 4.0];
    for loss in [sparse, categorical] {
        let target = || match loss == sparse {
            true => Labels(vec![0]),
            false => Numbers(vec![1.0, 0.0]),
        };
        check(loss, &[1, 2], &[3.0, 1.0], target(), &[(4f64 / 3.0).ln()], &third);
        let (_, slopes) = record(&loss, &[1, 2], &target(), &Device::reference()).at(&[3e-8, 1e-8]);
        assert!((slopes[1] - 2.5e7).abs() < 1e3, "{slopes:?}");
    }
    // At the upper limit the slope is 0, and a row of zeros is as sure of no class.
    check(sparse, &[1, 2], &[1.0, 0.0], Labels(vec![0]), &[-(1.0 - 1e-7f64).ln()], &[0.0, 0.0]);
    check(sparse, &[1, 2], &[0.0, 0.0], Labels(vec![0]), &[-1e-7f64.ln()], &[0.0, 0.0]);
}

#[test]
fn errors_worked_by_hand() {
    let y = [1.0, -2.0, 0.5, 3.0];
    let t = || Numbers(vec![0.0, -2.0, 2.5, 0.0]);
    // The errors are 1, 0, -2, 3.
    check(Loss::MeanSquaredError, &[2, 2], &y, t(), &[0.5, 6.5], &[1.0, 0.0, -2.0, 3.0]);
    check(Loss::MeanAbsoluteError, &[2, 2], &y, t(), &[0.5, 2.5], &[0.5, 0.0, -0.5, 0.5]);
    check(Loss::MeanSquaredError, &[4], &y, t(), &[1.0, 0.0, 4.0, 9.0], &[2.0, 0.0, -4.0, 6.0]);
    check(Loss::Huber { delta: 1.0 }, &[2, 2], &y, t(), &[0.25, 2.0], &[0.5, 0.0, -0.5, 0.5]);
    let slopes = [1.0, 0.0, -2.0, 2.5];
    check(Loss::Huber { delta: 2.5 }, &[4], &y, t(), &[0.5, 0.0, 2.0, 2.5 * 1.75], &slopes);
    let cosh: Vec<f64> = [1.0f64, 0.0, -2.0, 3.0].iter().map(|e| e.cosh().ln()).collect();
    let tanh: Vec<f64> = [1.0f64, 0.0, -2.0, 3.0].iter().map(|e| e.tanh()).collect();
    check(Loss::LogCosh, &[4], &y, t(), &cosh, &tanh);
    // 1 - 2 log 1, 3 - 0, both with an epsilon that does not show.
    let want = [1.0, 3.0, 0.5 - 4.0 * 0.5f64.ln()];
    let slopes = [-1.0, 1.0, -7.0];
    check(Loss::Poisson, &[3, 1], &[1.0, 3.0, 0.5], Numbers(vec![2.0, 0.0, 4.0]), &want, &slopes);
}

/// Of a small error e, log cosh is e^2 / 2 and its slope e, to the last digits.
#[test]
fn log_cosh_has_all_digits_of_small_errors() {
    let errors = [1e-20f32, -1e-10, 1e-7, -1e-4, 1e-3, -0.03, 0.3, -0.9999, 1.0, -1.5, 20.0, -1e30];
    let targets = Numbers(vec![0.0; errors.len()]);
    for (device, digits) in [(Device::reference(), 1e-15), (common::gpu().clone(), 2e-6)] {
        let (samples, slopes) = record(&Loss::LogCosh, &[errors.len()], &targets, &device).at(&errors);
        for ((&e, sample), slope) in errors.iter().zip(samples).zip(slopes) {
            let x = f64::from(e).abs();
            // 2 sinh^2(x / 2) is cosh x - 1; past 20, cosh x is exp(x) / 2.
            let want = if x < 20.0 { (2.0 * (x / 2.0).sinh().powi(2)).ln_1p() } else { x - 2f64.ln() };
            // f32 has no number for the first two.
            let allowed = digits * want + if device.is_gpu() { 1e-37 } else { 0.0 };
            assert!((sample - want).abs() <= allowed, "{e}: {sample}, {want} expected");
            let want = f64::from(e).tanh();
            assert!((slope - want).abs() <= digits * want.abs(), "slope at {e}: {slope}, {want} expected");
        }
    }
}

#[test]
fn margins_worked_by_hand() {
    let y = [0.5, -2.0, 3.0, -0.25];
    let signs = || Numbers(vec![1.0, -1.0, -1.0, 1.0]);
    let bits = || Numbers(vec![1.0, 0.0, 0.0, 1.0]);
    // 1 - t y is 0.5, -1, 4, 1.25, for labels -1 and 1 as for 0 and 1.
    for t in [signs, bits] {
        check(Loss::Hinge, &[2, 2], &y, t(), &[0.25, 2.625], &[-0.5, 0.0, 0.5, -0.5]);
        let want = [0.125, 0.5 * (16.0 + 1.5625)];
        check(Loss::SquaredHinge, &[2, 2], &y, t(), &want, &[-0.5, 0.0, 4.0, -1.25]);
    }
    // The right score is 1; the best wrong one 1.5. Then 4 against 1, out of reach; then all wrong
    // scores are below 0, which counts as 0.
    let y = [1.0, 1.5, -1.0, 4.0, 1.0, 0.5, 0.25, -3.0, -2.0];
    let t = Numbers(vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    let slopes = [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0];
    check(Loss::CategoricalHinge, &[3, 3], &y, t, &[1.5, 0.0, 0.75], &slopes);
}

#[test]
fn distributions_and_directions_worked_by_hand() {
    let y = [0.5, 0.25, 0.25];
    let t = Numbers(vec![0.25, 0.5, 0.25]);
    // 1/4 log 1/2 + 1/2 log 2.
    check(Loss::KlDivergence, &[1, 3], &y, t, &[0.25 * 2f64.ln()], &[-0.5, -2.0, -1.0]);
    let log = [0.125f32.ln(), 0.875f32.ln(), 0.5f32.ln(), 0.5f32.ln()];
    let want = [8f64.ln(), 2f64.ln()];
    let slopes = [-1.0, 0.0, 0.0, -1.0];
    check(Loss::NegativeLogLikelihood, &[2, 2], &log, Labels(vec![0, 1]), &want, &slopes);
    // 3 4 against 4 3: 24 / 25; the same direction at another length; the opposite one; zeros; squares past
    // f32.
    let y = [3.0, 4.0, 1.0, 1.0, 0.0, -2.0, 0.0, 0.0, 3e20, 4e20];
    let t = Numbers(vec![4.0, 3.0, 30.0, 30.0, 0.0, 5.0, 0.0, 0.0, 4e30, 3e30]);
    let want = [-0.96, -1.0, 1.0, 0.0, -0.96];
    // (cos y / |y| - t / |t|) / |y| is (0.96 0.6 - 0.8, 0.96 0.8 - 0.6) / 5.
    let slopes = [-0.0448, 0.0336, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    check(Loss::CosineSimilarity, &[5, 2], &y, t, &want, &slopes);
}

const WILD: [f32; 12] = [400.0, -400.0, 0.0, -0.0, 1.0, -1.0, 88.5, -88.5, 1e-20, 399.0, 3.0, -1e-3];
const UNIT: [f32; 8] = [0.0, 1.0, 0.5, 1e-9, 1.0 - 1e-7, 0.25, 1e-3, 0.999];
const COUNTS: [f32; 5] = [0.0, 1.0, 7.0, 2.0, 30.0];
const SIGNS: [f32; 2] = [1.0, -1.0];

/// A loss with a list that outputs are picked from, one for targets (one-hot rows if there is none), and
/// its formula for a sample, written a second time.
struct Hostile {
    loss: Box<dyn LossFunction>,
    y: &'static [f32],
    t: &'static [f32],
    formula: fn(&[f64], &[f64]) -> f64,
}

fn hostile_cases() -> Vec<Hostile> {
    fn case(
        loss: impl LossFunction + 'static,
        y: &'static [f32],
        t: &'static [f32],
        formula: fn(&[f64], &[f64]) -> f64,
    ) -> Hostile {
        Hostile { loss: Box::new(loss), y, t, formula }
    }
    let (hot, huber): (&[f32], _) = (&[], Loss::Huber { delta: 2.0 });
    let (categorical, binary) = (Loss::CategoricalCrossEntropy, Loss::BinaryCrossEntropy);
    vec![
        case(categorical, &WILD, hot, softmax_entropy),
        case(categorical, &WILD, &UNIT, softmax_entropy),
        case(categorical.label_smoothing(0.25), &WILD, hot, |y, t| {
            let even = 0.25 / t.len() as f64;
            softmax_entropy(y, &t.iter().map(|t| 0.75 * t + even).collect::<Vec<_>>())
        }),
        case(categorical.from_probabilities(), &UNIT, hot, |y, t| {
            let sum = y.iter().sum::<f64>().max(1e-15);
            -y.iter().zip(t).map(|(y, t)| t * probability(y / sum).ln()).sum::<f64>()
        }),
        case(binary, &WILD, &UNIT, |y, t| mean(y, t, |y, t| t * softplus(-y) + (1.0 - t) * softplus(y))),
        case(binary.from_probabilities(), &UNIT, &UNIT, |y, t| {
            mean(y, t, |y, t| -t * probability(y).ln() - (1.0 - t) * (1.0 - probability(y)).ln())
        }),
        case(Loss::MeanSquaredError, &WILD, &UNIT, |y, t| mean(y, t, |y, t| (y - t).powi(2))),
        case(Loss::MeanAbsoluteError, &WILD, &WILD, |y, t| mean(y, t, |y, t| (y - t).abs())),
        case(huber, &WILD, &UNIT, |y, t| {
            let piece = |e: f64| if e <= 2.0 { e * e / 2.0 } else { 2.0 * e - 2.0 };
            mean(y, t, |y, t| piece((y - t).abs()))
        }),
        // log cosh e = log((1 + exp(-2 e)) / 2) + e.
        case(Loss::LogCosh, &WILD, &UNIT, |y, t| {
            mean(y, t, |y, t| (y - t).abs() + (0.5 + 0.5 * (-2.0 * (y - t).abs()).exp()).ln())
        }),
        case(Loss::Hinge, &WILD, &SIGNS, |y, t| mean(y, t, |y, t| (1.0 - t * y).max(0.0))),
        case(Loss::Hinge, &WILD, hot, |y, t| mean(y, t, |y, t| (1.0 - (2.0 * t - 1.0) * y).max(0.0))),
        case(Loss::SquaredHinge, &WILD, &SIGNS, |y, t| mean(y, t, |y, t| (1.0 - t * y).max(0.0).powi(2))),
        case(Loss::CategoricalHinge, &WILD, hot, |y, t| {
            let right: f64 = y.iter().zip(t).map(|(y, t)| y * t).sum();
            let wrong = y.iter().zip(t).map(|(y, t)| (1.0 - t) * y).fold(f64::NEG_INFINITY, f64::max);
            (1.0 + wrong - right).max(0.0)
        }),
        case(Loss::KlDivergence, &UNIT, &UNIT, |y, t| {
            let p = |p: f64| p.clamp(f64::from(1e-7f32), 1.0);
            y.iter().zip(t).map(|(&y, &t)| p(t) * (p(t) / p(y)).ln()).sum()
        }),
        case(Loss::Poisson, &UNIT, &COUNTS, |y, t| mean(y, t, |y, t| y - t * (y + 1e-7).ln())),
        case(Loss::CosineSimilarity, &WILD, &SIGNS, |y, t| {
            let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().max(1e-12).sqrt();
            -y.iter().zip(t).map(|(y, t)| y * t).sum::<f64>() / norm(y) / norm(t)
        }),
    ]
}

fn mean(y: &[f64], t: &[f64], f: impl Fn(f64, f64) -> f64) -> f64 {
    y.iter().zip(t).map(|(&y, &t)| f(y, t)).sum::<f64>() / y.len() as f64
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn probability(p: f64) -> f64 {
    p.clamp(f64::from(1e-7f32), f64::from(1.0 - 1e-7f32))
}

fn softmax_entropy(y: &[f64], t: &[f64]) -> f64 {
    let top = y.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v));
    let log = top + y.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
    y.iter().zip(t).map(|(y, t)| t * (log - y)).sum()
}

/// Numbers out of a list, each row from another place on.
fn pick(list: &[f32], n: usize, step: usize) -> Vec<f32> {
    (0..n).map(|i| list[(i * step + i / list.len()) % list.len()]).collect()
}

fn labels(rows: usize, classes: usize) -> Vec<u32> {
    (0..rows).map(|row| (row * 7 % classes) as u32).collect()
}

fn one_hot(rows: usize, classes: usize) -> Vec<f32> {
    let row = |label: u32| (0..classes).map(move |k| if k == label as usize { 1.0 } else { 0.0 });
    labels(rows, classes).into_iter().flat_map(row).collect()
}

const SHAPES: [[usize; 2]; 6] = [[1, 1], [5, 3], [13, 12], [3, 65], [64, 7], [2, 257]];

fn wide(data: &[f32]) -> Vec<f64> {
    data.iter().map(|&v| f64::from(v)).collect()
}

/// Saturated logits, probabilities of 0 and 1, zeros of both signs: the formula's numbers, and slopes
/// that are neither NaN nor infinite.
#[test]
fn hostile_values_follow_the_formulas() {
    for Hostile { loss, y, t, formula } in hostile_cases() {
        for [rows, classes] in SHAPES {
            let n = rows * classes;
            let outputs = pick(y, n, 5);
            let targets = if t.is_empty() { one_hot(rows, classes) } else { pick(t, n, 3) };
            let (wide_outputs, wide_targets) = (wide(&outputs), wide(&targets));
            let samples = wide_outputs.chunks(classes).zip(wide_targets.chunks(classes));
            let wanted: Vec<f64> = samples.map(|(y, t)| formula(y, t)).collect();
            for device in devices() {
                let mut recorded = record(&loss, &[rows, classes], &Numbers(targets.clone()), &device);
                let (found, slopes) = recorded.at(&outputs);
                let what = format!("{loss:?} of [{rows}, {classes}] on {device:?}");
                assert_close(&what, &found, &wanted, 1e-5);
                assert!(slopes.iter().all(|s| s.is_finite()), "{what}: {slopes:?}");
            }
        }
    }
}

/// Labels are one-hot rows, under every option.
#[test]
fn labels_count_as_one_hot_rows() {
    type Pair = (Box<dyn LossFunction>, Box<dyn LossFunction>, &'static [f32]);
    let (sparse, full) = (Loss::SparseCategoricalCrossEntropy, Loss::CategoricalCrossEntropy);
    let options: [fn(Loss) -> CrossEntropy; 3] = [
        |l| l.label_smoothing(0.1),
        |l| l.from_probabilities(),
        |l| l.from_probabilities().label_smoothing(1.0),
    ];
    let mut pairs: Vec<Pair> = vec![(Box::new(sparse), Box::new(full), &WILD)];
    for (i, option) in options.into_iter().enumerate() {
        let list: &[f32] = if i == 0 { &WILD } else { &UNIT };
        pairs.push((Box::new(option(sparse)), Box::new(option(full)), list));
    }
    for (sparse, full, list) in pairs {
        for [rows, classes] in SHAPES {
            let y = pick(list, rows * classes, 5);
            for device in devices() {
                let of = |loss: &dyn LossFunction, t| record(loss, &[rows, classes], &t, &device).at(&y);
                let (want, want_slopes) = of(&full, Numbers(one_hot(rows, classes)));
                let (found, slopes) = of(&sparse, Labels(labels(rows, classes)));
                let what = format!("{sparse:?} of [{rows}, {classes}] on {device:?}");
                assert_close(&what, &found, &want, 1e-5);
                // Slopes of probabilities reach 1e7.
                assert_close(&format!("slopes of {what}"), &slopes, &want_slopes, 1e-5);
            }
        }
    }
}

/// A class that is ruled out, with a log-probability of -inf, does no harm but where it is the label.
#[test]
fn log_probabilities_may_be_minus_infinity() {
    let y = [f32::NEG_INFINITY, 0.0, -1.5, f32::NEG_INFINITY];
    for device in devices() {
        let mut recorded = record(&Loss::NegativeLogLikelihood, &[2, 2], &Labels(vec![1, 0]), &device);
        let (samples, slopes) = recorded.at(&y);
        assert_eq!((samples, slopes), (vec![0.0, 1.5], vec![0.0, -1.0, -1.0, 0.0]));
    }
}

/// Every loss as a case: its kernels against their references, its gradients, those of the targets
/// too, against finite differences.
fn smooth_cases() -> Vec<Case> {
    let (signed, unit) = (|seed| data::signed([7, 5], seed), |seed| data::uniform([7, 5], seed, 0.2, 0.8));
    let classes = || data::indices([7], 3, 5);
    let case = |loss: Box<dyn LossFunction>, y: Input, t: Input| {
        Case::new(format!("{loss:?}"), vec![y, t], move |g, x| loss.record(g, x[0], x[1]))
    };
    let plain = |loss: Loss, y, t| case(Box::new(loss), y, t);
    let entropy = |loss: CrossEntropy, y, t| case(Box::new(loss), y, t);
    let sparse = Loss::SparseCategoricalCrossEntropy;
    let (categorical, binary) = (Loss::CategoricalCrossEntropy, Loss::BinaryCrossEntropy);
    vec![
        plain(sparse, signed(1), classes()),
        entropy(sparse.label_smoothing(0.2), signed(1), classes()),
        entropy(sparse.from_probabilities().label_smoothing(0.2), unit(1), classes()),
        plain(categorical, signed(1), unit(2)),
        entropy(categorical.from_probabilities().label_smoothing(0.2), unit(1), unit(2)),
        plain(binary, signed(1), unit(2)),
        entropy(binary.label_smoothing(0.2), signed(1), unit(2)),
        entropy(binary.from_probabilities(), unit(1), unit(2)),
        plain(Loss::MeanSquaredError, signed(1), unit(2)),
        plain(Loss::MeanAbsoluteError, data::distinct([7, 5], 1), data::uniform([7, 5], 2, 0.01, 0.04)),
        plain(Loss::Huber { delta: 0.3 }, data::distinct([7, 5], 1), data::uniform([7, 5], 2, 0.01, 0.04)),
        plain(Loss::LogCosh, signed(1), unit(2)),
        plain(Loss::Hinge, data::distinct([7, 5], 1), data::uniform([7, 5], 2, 0.98, 0.99)),
        plain(Loss::SquaredHinge, signed(1), unit(2)),
        plain(Loss::CategoricalHinge, data::distinct([7, 5], 1), unit(2)),
        plain(Loss::KlDivergence, unit(1), unit(2)),
        plain(Loss::Poisson, unit(1), data::uniform([7, 5], 2, 0.0, 4.0)),
        plain(Loss::NegativeLogLikelihood, signed(1), classes()),
        plain(Loss::CosineSimilarity, signed(1), unit(2)),
    ]
}

#[test]
fn gradients_agree_with_finite_differences() {
    smooth_cases().iter().for_each(Case::check_gradients);
}

#[test]
fn kernels_agree_with_their_references() {
    for case in smooth_cases() {
        case.check_kernels(common::gpu(), DeviceKind::Cpu);
        case.check_kernels(common::gpu(), DeviceKind::Gpu);
    }
}

/// Whatever a loss limits: an output that is NaN, or a vector or row with one, has a NaN as its loss and as
/// its slope; the other samples are as without it.
#[test]
fn a_nan_shows_in_every_loss() {
    let one_hot = || Numbers(vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let labels = || Labels(vec![1, 0]);
    let sparse = Loss::SparseCategoricalCrossEntropy;
    let losses: [(Arc<dyn LossFunction>, Targets); 19] = [
        (Arc::new(sparse), labels()),
        (Arc::new(sparse.from_probabilities()), labels()),
        (Arc::new(sparse.label_smoothing(0.1)), labels()),
        (Arc::new(sparse.from_probabilities().label_smoothing(0.1)), labels()),
        (Arc::new(Loss::CategoricalCrossEntropy), one_hot()),
        (Arc::new(Loss::CategoricalCrossEntropy.from_probabilities()), one_hot()),
        (Arc::new(Loss::BinaryCrossEntropy), one_hot()),
        (Arc::new(Loss::BinaryCrossEntropy.from_probabilities()), one_hot()),
        (Arc::new(Loss::BinaryCrossEntropy.from_probabilities().label_smoothing(0.1)), one_hot()),
        (Arc::new(Loss::MeanSquaredError), one_hot()),
        (Arc::new(Loss::MeanAbsoluteError), one_hot()),
        (Arc::new(Loss::Huber { delta: 1.0 }), one_hot()),
        (Arc::new(Loss::LogCosh), one_hot()),
        (Arc::new(Loss::Hinge), one_hot()),
        (Arc::new(Loss::SquaredHinge), one_hot()),
        (Arc::new(Loss::CategoricalHinge), one_hot()),
        (Arc::new(Loss::KlDivergence), one_hot()),
        (Arc::new(Loss::Poisson), one_hot()),
        (Arc::new(Loss::CosineSimilarity), one_hot()),
    ];
    for device in devices() {
        for (loss, targets) in &losses {
            let plain = [0.2, 0.3, 0.5, 0.25, 0.25, 0.5];
            let (samples, slopes) = record(&**loss, &[2, 3], targets, &device).at(&plain);
            for at in 0..3 {
                let mut y = plain;
                y[at] = f32::NAN;
                let (found, changed) = record(&**loss, &[2, 3], targets, &device).at(&y);
                assert!(found[0].is_nan(), "{loss:?} on {device:?}: {found:?}");
                // A hinge is a line there: the slope depends on the target alone.
                let is_line = matches!(format!("{loss:?}").as_str(), "Hinge" | "CategoricalHinge");
                assert!(is_line || changed[at].is_nan(), "{loss:?} on {device:?}: {changed:?}");
                assert!(changed[at] != 0.0, "{loss:?} on {device:?}: {changed:?}");
                assert_eq!((found[1], &changed[3..]), (samples[1], &slopes[3..]), "{loss:?} on {device:?}");
            }
        }
    }
}
