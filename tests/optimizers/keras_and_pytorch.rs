//! Every optimiser as Keras 3 and PyTorch document it, with their defaults, over gradients from 1e-8 to 1e3:
//! their formulas, written out in f64 as they stand there.

use crate::common;
use crate::common::descent::f;
use retape::prelude::*;
use retape::{Error, Result};

const UPDATES: usize = 12;
const RATE: f32 = 0.01;

/// Sizes of gradients, each of both signs.
fn gradients() -> Vec<f32> {
    let sizes = [1e-8f32, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0, 1e3];
    sizes.iter().flat_map(|&size| [size, -size]).collect()
}

/// What gradients are multiplied with at update `t`.
fn swing(t: usize) -> f32 {
    [1.0, 0.5, -0.25, 2.0][t % 4]
}

/// An element: its weight, and what is kept for it.
#[derive(Clone, Copy, Default)]
struct Element {
    w: f64,
    /// Moments, sums and velocities.
    s: [f64; 4],
}

type Rule = fn(f64, f64, &mut Element);

/// Where weights that begin with 0 end.
fn by_formula(rule: Rule) -> Vec<f64> {
    let moved = |&gradient: &f32| {
        let mut element = Element::default();
        (1..=UPDATES).for_each(|t| rule(t as f64, f(gradient * swing(t)), &mut element));
        element.w
    };
    gradients().iter().map(moved).collect()
}

/// A step that moves weights of `dims` by these gradients times the scalar `swing`.
fn tape(optimizer: &dyn Optimizer, dims: &[usize], gradients: &[f32]) -> Result<(retape::Tape, Value)> {
    let mut g = Graph::new();
    let shape = Shape::new(dims)?;
    let w = g.parameter("w", shape, Init::Zeros);
    let swing = g.scalar_value(g.scalar("swing", 1.0)?)?;
    let dw = g.mul(g.constant(shape, gradients)?, swing)?;
    optimizer.record(&g, &[(w, dw)])?;
    Ok((g.forward(Vec::new())?, w))
}

fn moved(device: &Device, optimizer: &dyn Optimizer, dims: &[usize], gradients: &[f32]) -> Vec<f32> {
    let (tape, w) = tape(optimizer, dims, gradients).unwrap();
    let mut session = tape.session(device).unwrap();
    for t in 1..=UPDATES {
        session.set_scalar("swing", swing(t)).unwrap();
        session.replay().unwrap();
    }
    session.read(w).unwrap()
}

/// How far off the worst weight is, relative to where it should be.
fn worst(found: &[f32], want: &[f64]) -> f64 {
    let error = |(&found, &want): (&f32, &f64)| (f(found) - want).abs() / want.abs();
    let errors = found.iter().zip(want).map(error);
    errors.fold(0.0, |worst, e| if e.is_nan() { f64::INFINITY } else { f64::max(worst, e) })
}

fn check(optimizer: impl Optimizer, rule: Rule) {
    let gradients = gradients();
    let want = by_formula(rule);
    for (device, tolerance) in [(&Device::reference(), 1e-7), (common::gpu(), 1e-5)] {
        let off = worst(&moved(device, &optimizer, &[gradients.len()], &gradients), &want);
        assert!(off <= tolerance, "{optimizer:?} on {device:?}: off by {off:e}");
    }
}

/// Keras's `Adam`: `alpha = lr sqrt(1 - beta_2^t) / (1 - beta_1^t)`, `w -= m alpha / (sqrt(v) + epsilon)`.
fn keras_adam(t: f64, g: f64, e: &mut Element) {
    let alpha = f(RATE) * (1.0 - f(0.999).powf(t)).sqrt() / (1.0 - f(0.9).powf(t));
    e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
    e.s[1] += (g * g - e.s[1]) * (1.0 - f(0.999));
    e.w -= e.s[0] * alpha / (e.s[1].sqrt() + f(1e-7));
}

fn keras_amsgrad(t: f64, g: f64, e: &mut Element) {
    let alpha = f(RATE) * (1.0 - f(0.999).powf(t)).sqrt() / (1.0 - f(0.9).powf(t));
    e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
    e.s[1] += (g * g - e.s[1]) * (1.0 - f(0.999));
    e.s[2] = e.s[2].max(e.s[1]);
    e.w -= e.s[0] * alpha / (e.s[2].sqrt() + f(1e-7));
}

/// PyTorch's `Adam`: `denom = sqrt(v) / sqrt(1 - beta_2^t) + eps`, `w -= lr / (1 - beta_1^t) m / denom`.
fn torch_adam(t: f64, g: f64, e: &mut Element) {
    e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
    e.s[1] = f(0.999) * e.s[1] + (1.0 - f(0.999)) * g * g;
    let denominator = e.s[1].sqrt() / (1.0 - f(0.999).powf(t)).sqrt() + f(1e-8);
    e.w -= f(RATE) / (1.0 - f(0.9).powf(t)) * e.s[0] / denominator;
}

fn torch_amsgrad(t: f64, g: f64, e: &mut Element) {
    e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
    e.s[1] = f(0.999) * e.s[1] + (1.0 - f(0.999)) * g * g;
    e.s[2] = e.s[2].max(e.s[1]);
    let denominator = e.s[2].sqrt() / (1.0 - f(0.999).powf(t)).sqrt() + f(1e-8);
    e.w -= f(RATE) / (1.0 - f(0.9).powf(t)) * e.s[0] / denominator;
}

#[test]
fn adam_is_that_of_keras_and_that_of_pytorch() {
    check(Adam::new(RATE), keras_adam);
    check(Adam::new(RATE).amsgrad(), keras_amsgrad);
    check(Adam::pytorch(RATE), torch_adam);
    check(Adam::pytorch(RATE).amsgrad(), torch_amsgrad);
    check(AdamW::new(RATE), |t, g, e| {
        e.w -= e.w * f(0.004) * f(RATE);
        keras_adam(t, g, e);
    });
    check(AdamW::pytorch(RATE), |t, g, e| {
        e.w *= 1.0 - f(RATE) * f(0.01);
        torch_adam(t, g, e);
    });
    check(AdamW::pytorch(RATE).amsgrad(), |t, g, e| {
        e.w *= 1.0 - f(RATE) * f(0.01);
        torch_amsgrad(t, g, e);
    });
}

#[test]
fn adamax_and_nadam_are_those_of_keras_and_pytorch() {
    check(Adamax::new(RATE), |t, g, e| {
        e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
        e.s[1] = (f(0.999) * e.s[1]).max(g.abs());
        e.w -= f(RATE) * e.s[0] / ((1.0 - f(0.9).powf(t)) * (e.s[1] + f(1e-7)));
    });
    check(Adamax::pytorch(RATE), |t, g, e| {
        e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
        e.s[1] = (f(0.999) * e.s[1]).max(g.abs() + f(1e-8));
        e.w -= f(RATE) / (1.0 - f(0.9).powf(t)) * e.s[0] / e.s[1];
    });
    // The product of momenta is state 3, less 1.
    check(Nadam::new(RATE), |t, g, e| {
        let u = |t: f64| f(0.9) * (1.0 - 0.5 * 0.96f64.powf(t));
        let product = (e.s[3] + 1.0) * u(t);
        e.s[3] = product - 1.0;
        e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
        e.s[1] += (g * g - e.s[1]) * (1.0 - f(0.999));
        let m_hat = u(t + 1.0) * e.s[0] / (1.0 - product * u(t + 1.0)) + (1.0 - u(t)) * g / (1.0 - product);
        let v_hat = e.s[1] / (1.0 - f(0.999).powf(t));
        e.w -= m_hat * f(RATE) / (v_hat.sqrt() + f(1e-7));
    });
    check(Nadam::pytorch(RATE), |t, g, e| {
        let mu = |t: f64| f(0.9) * (1.0 - 0.5 * 0.96f64.powf(t * f(0.004)));
        let product = (e.s[3] + 1.0) * mu(t);
        e.s[3] = product - 1.0;
        e.s[0] += (g - e.s[0]) * (1.0 - f(0.9));
        e.s[1] = f(0.999) * e.s[1] + (1.0 - f(0.999)) * g * g;
        let denominator = (e.s[1] / (1.0 - f(0.999).powf(t))).sqrt() + f(1e-8);
        e.w -= f(RATE) * (1.0 - mu(t)) / (1.0 - product) * g / denominator;
        e.w -= f(RATE) * mu(t + 1.0) / (1.0 - product * mu(t + 1.0)) * e.s[0] / denominator;
    });
}

/// Keras's `increment = lr g rsqrt(velocity + epsilon)`.
fn keras_rmsprop(g: f64, e: &mut Element) -> f64 {
    e.s[0] = f(0.9) * e.s[0] + (1.0 - f(0.9)) * g * g;
    f(RATE) * g / (e.s[0] + f(1e-7)).sqrt()
}

/// PyTorch's `grad / (sqrt(square_avg) + eps)`.
fn torch_rmsprop(g: f64, e: &mut Element) -> f64 {
    e.s[0] = f(0.99) * e.s[0] + (1.0 - f(0.99)) * g * g;
    g / (e.s[0].sqrt() + f(1e-8))
}

#[test]
fn rmsprop_is_that_of_keras_and_that_of_pytorch() {
    check(RmsProp::new(RATE), |_, g, e| e.w -= keras_rmsprop(g, e));
    check(RmsProp::new(RATE).momentum(0.9), |_, g, e| {
        e.s[1] = f(0.9) * e.s[1] + keras_rmsprop(g, e);
        e.w -= e.s[1];
    });
    check(RmsProp::new(RATE).centered(), |_, g, e| {
        keras_rmsprop(g, e);
        e.s[2] = f(0.9) * e.s[2] + (1.0 - f(0.9)) * g;
        e.w -= f(RATE) * g / (e.s[0] - e.s[2] * e.s[2] + f(1e-7)).sqrt();
    });
    check(RmsProp::pytorch(RATE), |_, g, e| e.w -= f(RATE) * torch_rmsprop(g, e));
    check(RmsProp::pytorch(RATE).momentum(0.9), |_, g, e| {
        e.s[1] = f(0.9) * e.s[1] + torch_rmsprop(g, e);
        e.w -= f(RATE) * e.s[1];
    });
    check(RmsProp::pytorch(RATE).centered(), |_, g, e| {
        torch_rmsprop(g, e);
        e.s[2] += (g - e.s[2]) * (1.0 - f(0.99));
        e.w -= f(RATE) * g / ((e.s[0] - e.s[2] * e.s[2]).sqrt() + f(1e-8));
    });
}

#[test]
fn sums_and_deltas_are_those_of_keras_and_pytorch() {
    check(Adagrad::new(RATE), |t, g, e| {
        e.s[0] += if t == 1.0 { f(0.1) } else { 0.0 } + g * g;
        e.w -= f(RATE) * g / (e.s[0] + f(1e-7)).sqrt();
    });
    check(Adagrad::pytorch(RATE), |_, g, e| {
        e.s[0] += g * g;
        e.w -= f(RATE) * g / (e.s[0].sqrt() + f(1e-10));
    });
    check(Adadelta::new(RATE), |_, g, e| adadelta(g, e, 0.95, 1e-7));
    check(Adadelta::pytorch(RATE), |_, g, e| adadelta(g, e, 0.9, 1e-6));
    check(Lion::new(RATE), |_, g, e| {
        e.w -= f(RATE) * (e.s[0] * f(0.9) + g * (1.0 - f(0.9))).signum();
        e.s[0] = e.s[0] * f(0.99) + g * (1.0 - f(0.99));
    });
    check(Ftrl::new(RATE), |t, g, e| {
        if t == 1.0 {
            e.s[0] = f(0.1);
        }
        let sum = e.s[0] + g * g;
        e.s[1] += g - (sum.sqrt() - e.s[0].sqrt()) / f(RATE) * e.w;
        e.w = -e.s[1] / (sum.sqrt() / f(RATE));
        e.s[0] = sum;
    });
}

fn adadelta(g: f64, e: &mut Element, rho: f32, epsilon: f32) {
    let rms = |x: f64| (x + f(epsilon)).sqrt();
    e.s[0] = f(rho) * e.s[0] + (1.0 - f(rho)) * g * g;
    let delta = rms(e.s[1]) * g / rms(e.s[0]);
    e.s[1] = f(rho) * e.s[1] + (1.0 - f(rho)) * delta * delta;
    e.w -= f(RATE) * delta;
}

/// Keras's `Adafactor`: of a vector, and of matrices of one size of gradient each.
#[test]
fn adafactor_is_that_of_keras() {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let rms = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
    for size in [1e-8f32, 1e-6, 1e-3, 1.0, 1e3] {
        let gradients: Vec<f32> = [1.0f32, -0.5, 0.25, 2.0, 1.5, -0.75].map(|x| x * size).to_vec();
        let (mut w, mut r, mut c) = (vec![0.0f64; 6], vec![0.0; 2], vec![0.0; 3]);
        for t in 1..=UPDATES {
            let g: Vec<f64> = gradients.iter().map(|&g| f(g * swing(t))).collect();
            let beta = 1.0 - (t as f64).powf(f(-0.8));
            let squares: Vec<f64> = g.iter().map(|g| g * g + f(1e-30)).collect();
            for i in 0..2 {
                r[i] = beta * r[i] + (1.0 - beta) * mean(&squares[3 * i..3 * i + 3]);
            }
            for j in 0..3 {
                c[j] = beta * c[j] + (1.0 - beta) * mean(&[squares[j], squares[3 + j]]);
            }
            let v = |k: usize| r[k / 3] / mean(&r) * c[k % 3];
            let u: Vec<f64> = (0..6).map(|k| g[k] / v(k).sqrt()).collect();
            let alpha = rms(&w).max(f(1e-3)) * f(RATE).min(1.0 / (t as f64).sqrt());
            let by = alpha / rms(&u).max(1.0);
            w.iter_mut().zip(&u).for_each(|(w, u)| *w -= by * u);
        }
        for device in [&Device::reference(), &Device::cpu(), common::gpu()] {
            let off = worst(&moved(device, &Adafactor::new(RATE), &[2, 3], &gradients), &w);
            assert!(off <= 1e-5, "{size:e} on {device:?}: off by {off:e}");
        }
    }
}

/// PyTorch's `Adafactor`, of matrices and of vectors, with its decoupled decay.
#[test]
fn adafactor_is_that_of_pytorch() {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (eps, n) = (f(f32::EPSILON), 6f64);
    for (size, dims) in
        [1e-8f32, 1e-6, 1e-3, 1.0, 1e3].into_iter().flat_map(|s| [(s, &[2, 3][..]), (s, &[6])])
    {
        let gradients: Vec<f32> = [1.0f32, -0.5, 0.25, 2.0, 1.5, -0.75].map(|x| x * size).to_vec();
        let (mut w, mut r, mut c, mut v) = (vec![0.0f64; 6], vec![0.0; 2], vec![0.0; 3], vec![0.0; 6]);
        for t in 1..=UPDATES {
            let g: Vec<f64> = gradients.iter().map(|&g| f(g * swing(t))).collect();
            let fresh = (t as f64).powf(f(-0.8));
            let rho = f(RATE).min(1.0 / (t as f64).sqrt());
            let alpha = f(1e-3).max(norm(&w) / n.sqrt()) * rho;
            w.iter_mut().for_each(|w| *w *= 1.0 - f(RATE) * f(0.1));
            let lerp = |old: &mut f64, new: f64| *old += (new - *old) * fresh;
            let squares: Vec<f64> = g.iter().map(|g| g * g).collect();
            for (i, r) in r.iter_mut().enumerate() {
                lerp(r, mean(&squares[3 * i..3 * i + 3]));
            }
            for (j, c) in c.iter_mut().enumerate() {
                lerp(c, mean(&[squares[j], squares[3 + j]]));
            }
            v.iter_mut().zip(&squares).for_each(|(v, &square)| lerp(v, square));
            let estimate = |k: usize| match dims.len() {
                2 => r[k / 3] * c[k % 3] / mean(&r).max(eps),
                _ => v[k],
            };
            let update: Vec<f64> = (0..6).map(|k| g[k] / estimate(k).max(eps * eps).sqrt()).collect();
            let denominator = (norm(&update) / n.sqrt()).max(1.0);
            w.iter_mut().zip(&update).for_each(|(w, u)| *w -= alpha / denominator * u);
        }
        let optimizer = Adafactor::pytorch(RATE).decoupled_weight_decay(0.1);
        for device in [&Device::reference(), &Device::cpu(), common::gpu()] {
            let off = worst(&moved(device, &optimizer, dims, &gradients), &w);
            assert!(off <= 2e-5, "{size:e} of {dims:?} on {device:?}: off by {off:e}");
        }
    }
}

/// Where epsilon stands makes these differences, for gradients of 1e-6.
#[test]
fn a_misplaced_epsilon_is_seen() {
    let first = |optimizer: &dyn Optimizer| moved(&Device::reference(), optimizer, &[1], &[1e-6])[0];
    let ratio = |a: &dyn Optimizer, b: &dyn Optimizer| first(a) / first(b);
    assert!(ratio(&RmsProp::pytorch(RATE).rho(0.9), &RmsProp::new(RATE)) > 100.0);
    assert!(ratio(&Adam::pytorch(RATE), &Adam::new(RATE)) > 2.0);
    assert!(ratio(&AdamW::pytorch(RATE), &AdamW::new(RATE)) > 2.0);
}

/// Optimisers that count updates, and an average that begins at the first.
fn counting() -> Vec<Box<dyn Optimizer>> {
    vec![
        Box::new(Adam::new(RATE)),
        Box::new(Adam::pytorch(RATE).amsgrad()),
        Box::new(AdamW::new(RATE)),
        Box::new(Adamax::new(RATE)),
        Box::new(Nadam::new(RATE)),
        Box::new(Adafactor::new(RATE)),
        Box::new(Sgd::new(RATE).ema(0.5)),
    ]
}

/// The number of updates stays at the largest u32: it does not begin again, with NaN or with averages that
/// start anew.
#[test]
fn counts_of_updates_have_an_end() {
    let gradients = gradients();
    for optimizer in counting() {
        for device in [&Device::reference(), &Device::cpu(), common::gpu()] {
            let (tape, w) = tape(&optimizer, &[gradients.len()], &gradients).unwrap();
            let mut session = tape.session(device).unwrap();
            session.replay_n(3).unwrap();
            session.set_updates(u32::MAX - 2);
            for left in [1, 0, 0, 0] {
                let before = session.read(w).unwrap();
                session.replay().unwrap();
                assert_eq!(session.updates(), u32::MAX - left, "{optimizer:?}");
                let after = session.read(w).unwrap();
                let moved = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
                assert!(after.iter().all(|w| w.is_finite()), "{optimizer:?} on {device:?}: {after:?}");
                assert!(moved.fold(0.0, f32::max) > 0.0, "{optimizer:?} on {device:?} does not move");
            }
            assert!(session.verify(&[]).unwrap().passes(), "{optimizer:?}");
        }
    }
    // An average that began anew would be the weight itself.
    let (tape, w) = tape(&Sgd::new(RATE).ema(0.5), &[1], &[1.0]).unwrap();
    let average = tape.persistent().into_iter().find(|&v| v != w).unwrap();
    let mut session = tape.session(&Device::reference()).unwrap();
    session.set_updates(u32::MAX);
    session.replay_n(2).unwrap();
    assert_ne!(session.read(average).unwrap(), session.read(w).unwrap());
}

#[test]
fn settings_of_both_forms_are_checked() {
    let refused = |optimizer: &dyn Optimizer| tape(optimizer, &[1], &[1.0]).map(drop).unwrap_err();
    for optimizer in [&RmsProp::pytorch(RATE).epsilon(0.0) as &dyn Optimizer, &Adagrad::pytorch(-1.0)] {
        assert!(matches!(refused(optimizer).root(), Error::Argument { .. }), "{optimizer:?}");
    }
}
