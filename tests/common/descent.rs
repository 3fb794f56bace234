//! Least-squares problems that an optimiser descends on a device and by a formula in f64, and the check
//! that both end in the same place.

use std::ops::Range;

use super::data::noise;
use super::gpu;
use retape::prelude::*;
use retape::{Result, Tape};

/// Shapes of the parameters.
pub const SHAPES: [&[usize]; 6] = [&[1], &[7], &[64], &[65], &[3, 5], &[2, 3, 4]];
pub const UPDATES: usize = 100;

/// One parameter in the reference.
pub struct Parameter {
    pub dims: Vec<usize>,
    pub w: Vec<f64>,
    /// `|x w - y|^2 / 2` is minimised.
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    /// Whatever a rule keeps for it.
    pub states: Vec<Vec<f64>>,
}

impl Parameter {
    pub fn new(index: usize, dims: &[usize]) -> Self {
        let n: usize = dims.iter().product();
        let seed = index as u32;
        let wide = |data: Vec<f32>| data.into_iter().map(f64::from).collect::<Vec<f64>>();
        // A strong diagonal keeps the problem well conditioned whatever the size.
        let mut x: Vec<f32> = noise(n * n, 10 + seed, -1.0, 1.0);
        x.iter_mut().for_each(|v| *v /= n as f32);
        (0..n).for_each(|i| x[i * n + i] += 1.0);
        Parameter {
            dims: dims.to_vec(),
            // Far enough from the minimum that 100 small steps do not reach it: around it, what divides
            // by the size of gradients amplifies every rounding.
            w: wide(noise(n, 20 + seed, -1.0, 1.0).into_iter().map(|v| v + 2.5f32.copysign(v)).collect()),
            x: wide(x),
            y: wide(noise(n, 30 + seed, -1.0, 1.0)),
            states: Vec::new(),
        }
    }

    /// `x^T (x w - y)`.
    pub fn gradient(&self) -> Vec<f64> {
        let n = self.w.len();
        let residual = |i: usize| (0..n).map(|j| self.x[i * n + j] * self.w[j]).sum::<f64>() - self.y[i];
        let residuals: Vec<f64> = (0..n).map(residual).collect();
        (0..n).map(|j| (0..n).map(|i| self.x[i * n + j] * residuals[i]).sum()).collect()
    }
}

pub fn narrow(data: &[f64]) -> Vec<f32> {
    data.iter().map(|&v| v as f32).collect()
}

/// The problem as a training step.
pub fn record(optimizer: &dyn Optimizer) -> Result<Tape> {
    record_some(optimizer, 0..SHAPES.len())
}

/// Some of the parameters of the problem.
pub fn record_some(optimizer: &dyn Optimizer, which: Range<usize>) -> Result<Tape> {
    let mut g = Graph::new();
    let mut losses = Vec::new();
    for index in which {
        let dims = SHAPES[index];
        let p = Parameter::new(index, dims);
        let n = p.w.len();
        let w = g.parameter(&format!("w{index}"), Shape::new(dims)?, Init::Values(narrow(&p.w)));
        let x = g.constant([n, n], &narrow(&p.x))?;
        let y = g.constant([n, 1], &narrow(&p.y))?;
        let residual = g.sub(g.matmul(x, g.reshape(w, [n, 1])?)?, y)?;
        let half = g.mul(g.sum(g.square(residual)?, &[], false)?, g.scalar_constant(0.5))?;
        losses.push(half);
    }
    g.training_step(losses, optimizer)
}

/// What moves the elements of a parameter: `t`, `w`, `g` and up to four states, which begin with 0.
pub type Element = dyn Fn(f64, f64, f64, &mut [f64; 4]) -> f64;
/// What moves a parameter as a whole.
pub type Whole = dyn Fn(f64, &mut Parameter, &[f64]);

/// How the parameters move according to a rule.
pub fn train(rule: &Whole) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> =
        SHAPES.iter().enumerate().map(|(index, dims)| Parameter::new(index, dims)).collect();
    for t in 1..=UPDATES {
        for p in &mut parameters {
            let g = p.gradient();
            rule(t as f64, p, &g);
        }
    }
    parameters
}

pub fn elementwise(rule: Box<Element>) -> Box<Whole> {
    Box::new(move |t, p, g| {
        p.states.resize(4 * p.w.len(), vec![0.0]);
        for (i, (w, &g)) in p.w.iter_mut().zip(g).enumerate() {
            let mut states = [0, 1, 2, 3].map(|k| p.states[4 * i + k][0]);
            *w = rule(t, *w, g, &mut states);
            (0..4).for_each(|k| p.states[4 * i + k][0] = states[k]);
        }
    })
}

/// The parameter furthest from the reference, relative to its magnitude or to 0.1, whichever is more.
pub fn error(device: &Device, optimizer: &dyn Optimizer, want: &[Parameter]) -> f64 {
    let tape = record(optimizer).expect("it records");
    let mut session = tape.session(device).expect("it builds");
    session.replay_n(UPDATES).expect("it replays");
    let mut worst = 0.0f64;
    for (index, p) in want.iter().enumerate() {
        let got = session.parameter(&format!("w{index}")).expect("it is there");
        assert_eq!(got.len(), p.w.len());
        for (got, want) in got.iter().zip(&p.w) {
            let error = (f64::from(*got) - want).abs() / want.abs().max(0.1);
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
    }
    worst
}

/// An optimiser, one of slightly other settings, and the formula of the first.
pub struct Case {
    pub right: Box<dyn Optimizer>,
    pub wrong: Box<dyn Optimizer>,
    pub rule: Box<Whole>,
}

pub fn case(
    right: impl Optimizer + 'static,
    wrong: impl Optimizer + 'static,
    rule: impl Fn(f64, f64, f64, &mut [f64; 4]) -> f64 + 'static,
) -> Case {
    Case { right: Box::new(right), wrong: Box::new(wrong), rule: elementwise(Box::new(rule)) }
}

/// A setting as the optimiser is given it.
pub fn f(value: f32) -> f64 {
    f64::from(value)
}

/// Fails for whatever disagrees with its formula, and where other settings do not.
pub fn check(cases: Vec<Case>) {
    let (cpu, gpu) = (Device::reference(), gpu());
    for Case { right, wrong, rule } in cases {
        let want = train(&*rule);
        let moved = want.iter().enumerate().map(|(index, p)| {
            let start = Parameter::new(index, &p.dims).w;
            p.w.iter().zip(start).map(|(w, s)| (w - s).abs()).fold(0.0, f64::max)
        });
        assert!(moved.fold(f64::INFINITY, f64::min) > 0.01, "{right:?} moves every parameter");
        for (device, tolerance) in [(&cpu, 1e-7), (gpu, 1e-5)] {
            let found = error(device, &right, &want);
            println!("{device:?} {right:?}: {found:.2e}");
            assert!(found <= tolerance, "{right:?}: off by {found:e} of {tolerance:e}");
            let control = error(device, &wrong, &want);
            assert!(control > tolerance, "{wrong:?} passes for {right:?}: {control:e}");
        }
    }
}
