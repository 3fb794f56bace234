//! Normalisation: numbers worked by hand, statistics as PyTorch keeps them, and its errors.

use crate::common;
use retape::ops::BatchNorm;
use retape::prelude::*;
use retape::{Error, Result};

/// Whether an error is of this variant.
macro_rules! is {
    ($variant:ident) => {
        |error: &Error| matches!(error, Error::$variant { .. })
    };
}

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

#[track_caller]
fn near(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= tolerance, "{found:?} is not {expected:?}");
    }
}

/// The values that a program without parameters computes from `x`, on both devices.
fn computed(dims: &[usize], x: &[f32], record: impl Fn(&Graph, Value) -> Result<Value>) -> Vec<Vec<f32>> {
    let mut g = Graph::new();
    let input = g.input("x", Shape::new(dims).unwrap());
    let y = record(&g, input).unwrap();
    let tape = g.forward([y]).unwrap();
    let run = |device: Device| {
        let mut session = tape.session(&device).unwrap();
        session.write(input, x).unwrap();
        session.replay().unwrap();
        session.read(y).unwrap()
    };
    devices().map(run).into()
}

/// 1, 2, 3, 4 have mean 2.5 and variance 1.25; with epsilon 1, x - 2.5 is divided by 1.5.
#[test]
fn numbers_worked_by_hand() {
    let x = [1.0, 2.0, 3.0, 4.0];
    let unit = [-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0];
    for y in computed(&[4, 1], &x, |g, x| Ok(g.batch_norm(x, None, None, 1.0)?.y())) {
        near(&y, &unit, 1e-6);
    }
    for y in computed(&[2, 1, 2], &x, |g, x| {
        let (scale, shift) = (g.constant([1], &[3.0f32])?, g.constant([1], &[5.0f32])?);
        Ok(g.batch_norm(x, scale, shift, 1.0)?.y())
    }) {
        near(&y, &[2.0, 4.0, 6.0, 8.0], 1e-6);
    }
    for y in computed(&[1, 4], &x, |g, x| {
        let scale = g.constant([4], &[1.0f32, 3.0, 3.0, -1.0])?;
        g.layer_norm(x, -1, scale, g.constant([4], &[0.0f32, 0.0, 1.0, 0.0])?, 1.0)
    }) {
        near(&y, &[-1.0, -1.0, 2.0, -1.0], 1e-6);
    }
    // Pairs have variance 0.25; with epsilon 0.75 the divisor is 1.
    let pairs = [-0.5, 0.5, -0.5, 0.5];
    for y in computed(&[1, 4], &x, |g, x| g.group_norm(x, 2, None, None, 0.75)) {
        near(&y, &pairs, 1e-6);
    }
    for y in computed(&[1, 2, 2], &x, |g, x| g.instance_norm(x, None, None, 0.75)) {
        near(&y, &pairs, 1e-6);
    }
    for y in computed(&[2, 2], &x, |g, x| {
        let (mean, variance) = (g.constant([2], &[1.0f32, 0.0])?, g.constant([2], &[0.0f32, 3.0])?);
        g.batch_norm_inference(x, None, None, mean, variance, 1.0)
    }) {
        near(&y, &[0.0, 1.0, 2.0, 2.0], 1e-6);
    }
}

/// Two numbers 2a apart are normalised to -b and b, b = a / sqrt(a^2 + epsilon), whose slope is
/// epsilon / (a^2 + epsilon)^(3/2): at a = epsilon = 1, 1 / sqrt(8), half of it for each number.
#[test]
fn a_gradient_worked_by_hand() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 1]);
    let scale = g.input("scale", [1]);
    let shift = g.input("shift", [1]);
    let y = g.batch_norm(x, scale, shift, 1.0).unwrap().y();
    let loss = g.sum(g.slice_axis(y, 0, 1..2).unwrap(), &[], false).unwrap();
    let grads = g.differentiate(loss, &[x, scale, shift]).unwrap();
    let tape = g.forward(grads.clone()).unwrap();
    for device in devices() {
        let mut session = tape.session(&device).unwrap();
        session.write(x, &[4.0, 6.0]).unwrap();
        session.write(scale, &[2.0]).unwrap();
        session.replay().unwrap();
        let slope = 1.0 / 8f32.sqrt();
        near(&session.read(grads[0]).unwrap(), &[-slope, slope], 1e-6);
        near(&session.read(grads[1]).unwrap(), &[0.5f32.sqrt()], 1e-6);
        near(&session.read(grads[2]).unwrap(), &[1.0], 1e-6);
    }
}

/// What PyTorch's BatchNorm1d keeps: momentum on the new value, and the unbiased variance.
#[test]
fn running_statistics_are_those_of_pytorch() {
    let mut g = Graph::new();
    let x = g.input("x", [4, 1]);
    let norm = g.batch_norm(x, None, None, 1e-5).unwrap();
    let mean = g.state("mean", [1], Init::Zeros);
    let variance = g.state("variance", [1], Init::Ones);
    g.update_running_stats(&norm, mean, variance, 0.1).unwrap();
    // Evaluation in the same step reads the statistics as they were when it began.
    let probe = g.constant([1, 1], &[2.5f32]).unwrap();
    let evaluated = g.batch_norm_inference(probe, None, None, mean, variance, 1e-5).unwrap();
    let tape = g.forward([norm.y(), norm.stats(), evaluated]).unwrap();
    // Mean and biased variance of each batch, and the running statistics after it.
    let steps = [
        ([1.0, 2.0, 3.0, 4.0], [2.5, 1.25], [0.25, 1.066_666_7]),
        ([10.0, 10.0, 10.0, 14.0], [11.0, 3.0], [1.325, 1.36]),
        ([-3.0, -1.0, 1.0, 3.0], [0.0, 5.0], [1.1925, 1.890_666_7]),
    ];
    for device in devices() {
        let mut session = tape.session(&device).unwrap();
        let (mut m, mut v) = (0.0f32, 1.0f32);
        for (batch, own, running) in &steps {
            session.write(x, batch).unwrap();
            session.replay().unwrap();
            near(&session.read(norm.stats()).unwrap()[..2], own, 1e-5);
            near(&session.read(evaluated).unwrap(), &[(2.5 - m) / (v + 1e-5).sqrt()], 1e-5);
            [m, v] = *running;
            near(&session.read(mean).unwrap(), &[m], 1e-5);
            near(&session.read(variance).unwrap(), &[v], 1e-5);
        }
    }
}

/// Mean 1e4 and deviation 1e-2: what is left of the deviations in f32 is normalised as well as
/// if they had no mean, though the square of the mean has no digit left for their variance.
#[test]
fn a_large_mean_costs_no_digits() {
    let stream = retape::random::Stream { seed: 5, step: 0, stream: 1 };
    let n = 3 * 4 * 5000;
    let x: Vec<f32> = (0..n).map(|i| 1e4 + (0.01 * stream.normal(i)) as f32).collect();
    let exact = |i: usize| f64::from(x[i]) - 1e4;
    let channel = |i: usize| i / 5000 % 4;
    let mut expected = vec![0.0; n as usize];
    for c in 0..4 {
        let of: Vec<usize> = (0..n as usize).filter(|&i| channel(i) == c).collect();
        let mean = of.iter().map(|&i| exact(i)).sum::<f64>() / of.len() as f64;
        let variance = of.iter().map(|&i| (exact(i) - mean).powi(2)).sum::<f64>() / of.len() as f64;
        of.iter().for_each(|&i| expected[i] = (exact(i) - mean) / (variance + 1e-5).sqrt());
    }
    for y in computed(&[3, 4, 5000], &x, |g, x| Ok(g.batch_norm(x, None, None, 1e-5)?.y())) {
        let error = y.iter().zip(&expected).fold(0.0f64, |m, (y, e)| m.max((f64::from(*y) - e).abs()));
        assert!(error < 5e-6, "{error}");
    }
}

/// What is normalised does not depend on how large it is: 1, 2, 3, 4 times a number have the same xhat,
/// -1.5, -0.5, 0.5 and 1.5 over the root of 1.25, and gradients over that number.
#[test]
fn numbers_whose_squares_f32_does_not_hold() {
    let xhat = [-1.341_640_8, -0.447_213_6, 0.447_213_6, 1.341_640_8];
    for size in [1e10f32, 1e19, 1e20, 1e30, 8e37] {
        let x = [size, 2.0 * size, 3.0 * size, 4.0 * size];
        let check = |record: &dyn Fn(&Graph, Value) -> Result<Value>, dims: &[usize]| {
            for y in computed(dims, &x, record) {
                near(&y, &xhat, 1e-6);
            }
            let dx = |g: &Graph, x: Value| {
                let y = record(g, x)?;
                let weights = g.constant(Shape::new(dims)?, &[0.0f32, 0.0, 0.0, 1.0])?;
                // What a gradient is multiplied by keeps it in f32's range.
                let dx = g.differentiate(g.sum(g.mul(y, weights)?, &[], false)?, &[x])?[0];
                g.mul(dx, g.scalar_constant(size))
            };
            // rstd ([0, 0, 0, 1] - 1/4 - xhat xhat[3] / 4), rstd 1 / (1.118 size).
            let want = |k: usize| (f32::from(u8::from(k == 3)) - 0.25 - xhat[k] * xhat[3] / 4.0) / 1.118_034;
            for dx in computed(dims, &x, dx) {
                near(&dx, &[0, 1, 2, 3].map(want), 2e-6);
            }
        };
        check(&|g, x| g.layer_norm(x, -1, None, None, 1e-5), &[1, 4]);
        check(&|g, x| g.group_norm(x, 1, None, None, 1e-5), &[1, 2, 2]);
        check(&|g, x| g.instance_norm(x, None, None, 1e-5), &[1, 1, 4]);
        check(&|g, x| Ok(g.batch_norm(x, None, None, 1e-5)?.y()), &[4, 1]);
    }
    // By given statistics: a difference that f32 does not hold.
    for y in computed(&[1, 1], &[3e38], |g, x| {
        let (mean, variance) = (g.constant([1], &[-3e38f32])?, g.constant([1], &[1e38f32])?);
        g.batch_norm_inference(x, None, None, mean, variance, 1e-5)
    }) {
        near(&[y[0] / 1e19], &[6.0], 1e-5);
    }
    // Both ends, and the groups of ordinary numbers beside them.
    let x = [3e38f32, -3e38, 3e38, -3e38, 1.0, 2.0, 3.0, 4.0];
    for y in computed(&[2, 4], &x, |g, x| g.layer_norm(x, -1, None, None, 1e-5)) {
        near(&y[..4], &[1.0, -1.0, 1.0, -1.0], 1e-6);
        near(&y[4..], &xhat, 1e-5);
    }
}

/// A NaN or an infinity makes its group NaN, and only that.
#[test]
fn a_nan_stays_in_its_group() {
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = [1.0, broken, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0];
        for y in computed(&[2, 4], &x, |g, x| g.layer_norm(x, -1, None, None, 1e-5)) {
            assert!(y[..4].iter().all(|y| y.is_nan()) && y[4..].iter().all(|y| y.is_finite()), "{y:?}");
        }
    }
}

#[test]
fn mistakes_are_typed_and_name_the_shapes() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 6, 4]);
    let row = g.input("row", [1, 3]);
    let three = g.input("three", [3]);
    let six = g.input("six", [6]);
    let ids = g.indices("ids", [2, 6]);
    let starts = |error: Error, is: fn(&Error) -> bool, facts: &[&str]| {
        let text = error.to_string();
        assert!(is(error.root()), "another error expected: {text}");
        for fact in facts.iter().chain(&["norm.rs:"]) {
            assert!(text.contains(fact), "{fact} is missing in: {text}");
        }
    };
    let one = "expected more than 1 value per channel";
    starts(g.batch_norm(row, None, None, 1e-5).unwrap_err(), is!(Argument), &["batch_norm", "[1, 3]", one]);
    let one = "expected more than 1 spatial element";
    starts(g.instance_norm(ids, None, None, 1e-5).unwrap_err(), is!(DTypeMismatch), &[]);
    starts(g.instance_norm(row, None, None, 1e-5).unwrap_err(), is!(Argument), &["[1, 3]", one]);
    starts(g.batch_norm(x, three, None, 1e-5).unwrap_err(), is!(ShapeMismatch), &["scale", "[6]", "[3]"]);
    starts(g.batch_norm(x, None, three, 1e-5).unwrap_err(), is!(ShapeMismatch), &["shift", "[6]", "[3]"]);
    starts(g.layer_norm(x, 1, six, None, 1e-5).unwrap_err(), is!(ShapeMismatch), &["[6, 4]", "[6]"]);
    starts(g.layer_norm(x, 3, None, None, 1e-5).unwrap_err(), is!(Axis), &["[2, 6, 4]"]);
    starts(g.group_norm(x, 4, None, None, 1e-5).unwrap_err(), is!(Argument), &["4", "[2, 6, 4]"]);
    starts(g.group_norm(x, 0, None, None, 1e-5).unwrap_err(), is!(Argument), &["[2, 6, 4]"]);
    starts(g.batch_norm(six, None, None, 1e-5).unwrap_err(), is!(Rank), &["[6]"]);
    starts(g.batch_norm(x, None, None, 0.0).unwrap_err(), is!(Argument), &["epsilon"]);
    starts(g.batch_norm(x, None, None, f32::NAN).unwrap_err(), is!(Argument), &["epsilon"]);
    let given = g.batch_norm_inference(x, None, None, six, three, 1e-5);
    starts(given.unwrap_err(), is!(ShapeMismatch), &["[6]", "[3]"]);
    let foreign = Graph::new().input("foreign", [2, 6]);
    starts(g.batch_norm(foreign, None, None, 1e-5).unwrap_err(), is!(ForeignValue), &[]);

    let norm: BatchNorm = g.batch_norm(x, None, None, 1e-5).unwrap();
    let mean = g.state("mean", [6], Init::Zeros);
    let variance = g.state("variance", [6], Init::Ones);
    let short = g.state("short", [3], Init::Ones);
    let update = |m, v, momentum| g.update_running_stats(&norm, m, v, momentum).unwrap_err();
    starts(update(mean, short, 0.1), is!(ShapeMismatch), &["update_running_stats", "[6]", "[3]"]);
    starts(update(mean, six, 0.1), is!(NotWritable), &["`six`"]);
    starts(update(mean, mean, 0.1), is!(NotWritable), &["`mean`"]);
    starts(update(mean, variance, 1.5), is!(Argument), &["momentum", "1.5"]);

    let loss = g.sum(norm.stats(), &[], false).unwrap();
    assert!(matches!(g.differentiate(loss, &[x]).unwrap_err().root(), Error::NoGradient { .. }));
}
