//! Every optimiser and option against an independent f64 implementation of its paper's formula, over 100
//! updates of a least-squares problem, on the GPU and on the CPU path.

use crate::common;
use crate::common::descent::*;
use crate::common::gpu;
use retape::HostData;
use retape::prelude::*;
use retape::train::AVERAGE;

#[test]
fn descent_follows_its_formulas() {
    check(vec![
        case(Sgd::new(0.05), Sgd::new(0.0501), |_, w, g, _| w - f(0.05) * g),
        case(
            Sgd::new(0.05).weight_decay(0.1).decoupled_weight_decay(0.02),
            Sgd::new(0.05).weight_decay(0.1).decoupled_weight_decay(0.021),
            |_, w, g, _| (1.0 - f(0.05) * f(0.02)) * w - f(0.05) * (g + f(0.1) * w),
        ),
        case(Sgd::new(0.02).momentum(0.9), Sgd::new(0.02).momentum(0.899), |_, w, g, s| {
            s[0] = f(0.9) * s[0] + g;
            w - f(0.02) * s[0]
        }),
        case(
            Sgd::new(0.02).momentum(0.9).nesterov().decoupled_weight_decay(0.1),
            Sgd::new(0.02).momentum(0.9).decoupled_weight_decay(0.1),
            |_, w, g, s| {
                s[0] = f(0.9) * s[0] + g;
                (1.0 - f(0.02) * f(0.1)) * w - f(0.02) * (g + f(0.9) * s[0])
            },
        ),
        // A rate that f32 takes off the weights without rounding, far enough that they turn round.
        case(Lion::new(0.03125), Lion::new(0.03125).betas(0.9, 0.98), |_, w, g, s| {
            let direction = f(0.9) * s[0] + (1.0 - f(0.9)) * g;
            s[0] = f(0.99) * s[0] + (1.0 - f(0.99)) * g;
            w - f(0.03125) * direction.signum()
        }),
        case(
            Lion::new(0.005).betas(0.8, 0.95).decoupled_weight_decay(0.5).weight_decay(0.1),
            Lion::new(0.005).betas(0.8, 0.95).decoupled_weight_decay(0.51).weight_decay(0.1),
            |_, w, g, s| {
                let g = g + f(0.1) * w;
                let direction = f(0.8) * s[0] + (1.0 - f(0.8)) * g;
                s[0] = f(0.95) * s[0] + (1.0 - f(0.95)) * g;
                w - f(0.005) * f(0.5) * w - f(0.005) * direction.signum()
            },
        ),
    ]);
}

#[test]
fn adaptive_rates_follow_their_formulas() {
    check(vec![
        case(Adagrad::new(0.1), Adagrad::new(0.1).initial_accumulator(0.09), |_, w, g, s| {
            s[0] += g * g;
            w - f(0.1) * g / (f(0.1) + s[0] + f(1e-7)).sqrt()
        }),
        case(
            Adagrad::new(0.1).initial_accumulator(0.0).epsilon(0.01).weight_decay(0.1),
            Adagrad::new(0.1).initial_accumulator(0.0).epsilon(0.011).weight_decay(0.1),
            |_, w, g, s| {
                let g = g + f(0.1) * w;
                s[0] += g * g;
                w - f(0.1) * g / (s[0] + f(0.01)).sqrt()
            },
        ),
        case(Adagrad::pytorch(0.1).epsilon(0.01), Adagrad::pytorch(0.1).epsilon(0.011), |_, w, g, s| {
            s[0] += g * g;
            w - f(0.1) * g / (s[0].sqrt() + f(0.01))
        }),
        case(Adadelta::new(1.0).epsilon(1e-4), Adadelta::new(1.0).epsilon(1e-4).rho(0.94), |_, w, g, s| {
            s[0] = f(0.95) * s[0] + (1.0 - f(0.95)) * g * g;
            let delta = ((s[1] + f(1e-4)) / (s[0] + f(1e-4))).sqrt() * g;
            s[1] = f(0.95) * s[1] + (1.0 - f(0.95)) * delta * delta;
            w - delta
        }),
        case(
            Adadelta::new(0.5).rho(0.9).epsilon(1e-3).decoupled_weight_decay(0.01),
            Adadelta::new(0.5).rho(0.9).epsilon(1.1e-3).decoupled_weight_decay(0.01),
            |_, w, g, s| {
                s[0] = f(0.9) * s[0] + (1.0 - f(0.9)) * g * g;
                let delta = (s[1] + f(1e-3)).sqrt() / (s[0] + f(1e-3)).sqrt() * g;
                s[1] = f(0.9) * s[1] + (1.0 - f(0.9)) * delta * delta;
                w * (1.0 - f(0.5) * f(0.01)) - f(0.5) * delta
            },
        ),
    ]);
}

#[test]
fn rmsprop_follows_its_formulas() {
    check(vec![
        case(RmsProp::new(0.002), RmsProp::new(0.002).rho(0.89), |_, w, g, s| {
            s[0] = f(0.9) * s[0] + (1.0 - f(0.9)) * g * g;
            w - f(0.002) * g / (s[0] + f(1e-7)).sqrt()
        }),
        case(
            RmsProp::new(0.002).rho(0.95).centered().epsilon(1e-3),
            RmsProp::new(0.002).rho(0.95).epsilon(1e-3),
            |_, w, g, s| {
                s[0] = f(0.95) * s[0] + (1.0 - f(0.95)) * g * g;
                s[1] = f(0.95) * s[1] + (1.0 - f(0.95)) * g;
                w - f(0.002) * g / (s[0] - s[1] * s[1] + f(1e-3)).sqrt()
            },
        ),
        case(
            RmsProp::new(0.002).momentum(0.8).weight_decay(0.1).decoupled_weight_decay(0.2),
            RmsProp::new(0.002).momentum(0.79).weight_decay(0.1).decoupled_weight_decay(0.2),
            |_, w, g, s| {
                let g = g + f(0.1) * w;
                s[0] = f(0.9) * s[0] + (1.0 - f(0.9)) * g * g;
                s[1] = f(0.8) * s[1] + f(0.002) * g / (s[0] + f(1e-7)).sqrt();
                w * (1.0 - f(0.002) * f(0.2)) - s[1]
            },
        ),
        case(
            RmsProp::new(0.002).rho(0.95).momentum(0.5).centered().epsilon(0.01),
            RmsProp::new(0.002).rho(0.94).momentum(0.5).centered().epsilon(0.01),
            |_, w, g, s| {
                s[0] = f(0.95) * s[0] + (1.0 - f(0.95)) * g * g;
                s[1] = f(0.95) * s[1] + (1.0 - f(0.95)) * g;
                s[2] = f(0.5) * s[2] + f(0.002) * g / (s[0] - s[1] * s[1] + f(0.01)).sqrt();
                w - s[2]
            },
        ),
        case(
            RmsProp::pytorch(0.002).momentum(0.5).centered().epsilon(0.01),
            RmsProp::pytorch(0.002).momentum(0.5).centered().epsilon(0.011),
            |_, w, g, s| {
                s[0] = f(0.99) * s[0] + (1.0 - f(0.99)) * g * g;
                s[1] = f(0.99) * s[1] + (1.0 - f(0.99)) * g;
                s[2] = f(0.5) * s[2] + g / ((s[0] - s[1] * s[1]).sqrt() + f(0.01));
                w - f(0.002) * s[2]
            },
        ),
    ]);
}

/// Adam's direction; the largest second moment is in `s[2]`.
fn adam(t: f64, g: f64, s: &mut [f64; 4], betas: [f32; 2], epsilon: f32, amsgrad: bool) -> f64 {
    let [b1, b2] = betas.map(f);
    s[0] = b1 * s[0] + (1.0 - b1) * g;
    s[1] = b2 * s[1] + (1.0 - b2) * g * g;
    s[2] = s[2].max(s[1]);
    let second = if amsgrad { s[2] } else { s[1] };
    (1.0 - b2.powf(t)).sqrt() / (1.0 - b1.powf(t)) * s[0] / (second.sqrt() + f(epsilon))
}

#[test]
fn adam_and_its_kin_follow_their_formulas() {
    check(vec![
        case(Adam::new(0.005), Adam::new(0.005).betas(0.9, 0.9985), |t, w, g, s| {
            w - f(0.005) * adam(t, g, s, [0.9, 0.999], 1e-7, false)
        }),
        case(
            Adam::new(0.005).betas(0.8, 0.9).epsilon(1e-3).amsgrad(),
            Adam::new(0.005).betas(0.8, 0.9).epsilon(1e-3),
            |t, w, g, s| w - f(0.005) * adam(t, g, s, [0.8, 0.9], 1e-3, true),
        ),
        case(
            Adam::new(0.005).weight_decay(0.3).decoupled_weight_decay(0.1),
            Adam::new(0.005).weight_decay(0.4).decoupled_weight_decay(0.0),
            |t, w, g, s| {
                let step = adam(t, g + f(0.3) * w, s, [0.9, 0.999], 1e-7, false);
                (1.0 - f(0.005) * f(0.1)) * w - f(0.005) * step
            },
        ),
        case(AdamW::new(0.005), Adam::new(0.005), |t, w, g, s| {
            (1.0 - f(0.005) * f(0.004)) * w - f(0.005) * adam(t, g, s, [0.9, 0.999], 1e-7, false)
        }),
        case(
            AdamW::new(0.005).amsgrad().decoupled_weight_decay(0.1).betas(0.8, 0.95),
            AdamW::new(0.005).amsgrad().weight_decay(0.1).betas(0.8, 0.95),
            |t, w, g, s| (1.0 - f(0.005) * f(0.1)) * w - f(0.005) * adam(t, g, s, [0.8, 0.95], 1e-7, true),
        ),
        case(Adamax::new(0.005), Adamax::new(0.005).betas(0.9, 0.99), |t, w, g, s| {
            s[0] = f(0.9) * s[0] + (1.0 - f(0.9)) * g;
            s[1] = (f(0.999) * s[1]).max(g.abs());
            w - f(0.005) / (1.0 - f(0.9).powf(t)) * s[0] / (s[1] + f(1e-7))
        }),
        case(Nadam::new(0.005), Nadam::new(0.005).betas(0.899, 0.999), nadam([0.9, 0.999], 1.0, 1e-7)),
        case(
            Nadam::new(0.005).momentum_decay(0.004).betas(0.95, 0.999),
            Nadam::new(0.005).momentum_decay(0.01).betas(0.95, 0.999),
            nadam([0.95, 0.999], 0.004, 1e-7),
        ),
    ]);
}

/// A rule of rate 0.005 with weight decay 0.1 through the gradient and 0.2 beside it.
fn with_decays(
    rule: impl Fn(f64, f64, f64, &mut [f64; 4]) -> f64,
) -> impl Fn(f64, f64, f64, &mut [f64; 4]) -> f64 {
    move |t, w, g, s| rule(t, (1.0 - f(0.005) * f(0.2)) * w, g + f(0.1) * w, s)
}

#[test]
fn options_of_adams_kin_are_in_their_formulas() {
    let adamax = Adamax::new(0.005).betas(0.8, 0.9).epsilon(0.5);
    let adamax_rule = |t: f64, w: f64, g: f64, s: &mut [f64; 4]| {
        s[0] = f(0.8) * s[0] + (1.0 - f(0.8)) * g;
        s[1] = (f(0.9) * s[1]).max(g.abs());
        w - f(0.005) / (1.0 - f(0.8).powf(t)) * s[0] / (s[1] + f(0.5))
    };
    let nadam_of = Nadam::new(0.005).betas(0.9, 0.95).epsilon(0.5);
    let ftrl = FtrlSettings { power: -0.5, initial: 0.1, l1: 0.0, l2: 0.0, beta: 0.0, shrinkage: 0.0 };
    let decays = |beside: f32| Ftrl::new(0.1).weight_decay(0.1).decoupled_weight_decay(beside);
    check(vec![
        case(AdamW::new(0.005).epsilon(0.5), AdamW::new(0.005).epsilon(0.51), |t, w, g, s| {
            (1.0 - f(0.005) * f(0.004)) * w - f(0.005) * adam(t, g, s, [0.9, 0.999], 0.5, false)
        }),
        case(adamax, adamax.epsilon(0.51), adamax_rule),
        case(
            adamax.weight_decay(0.1).decoupled_weight_decay(0.2),
            adamax.weight_decay(0.1),
            with_decays(adamax_rule),
        ),
        case(nadam_of, nadam_of.epsilon(0.51), nadam([0.9, 0.95], 1.0, 0.5)),
        case(
            nadam_of.weight_decay(0.1).decoupled_weight_decay(0.2),
            nadam_of.decoupled_weight_decay(0.2),
            with_decays(nadam([0.9, 0.95], 1.0, 0.5)),
        ),
        case(decays(0.2), decays(0.21), move |_, w, g, s| {
            ftrl.step((1.0 - f(0.1) * f(0.2)) * w, g + f(0.1) * w, s)
        }),
    ]);
}

/// With the product of momenta multiplied up update by update; the state begins with 0, so that it is
/// held less 1.
fn nadam(betas: [f32; 2], decay: f32, epsilon: f32) -> impl Fn(f64, f64, f64, &mut [f64; 4]) -> f64 {
    move |t, w, g, s| {
        let [b1, b2] = betas.map(f);
        let mu = |t: f64| b1 * (1.0 - 0.5 * 0.96f64.powf(t * f(decay)));
        let product = (s[2] + 1.0) * mu(t);
        s[2] = product - 1.0;
        s[0] = b1 * s[0] + (1.0 - b1) * g;
        s[1] = b2 * s[1] + (1.0 - b2) * g * g;
        let next = mu(t + 1.0);
        let m_hat = next * s[0] / (1.0 - product * next) + (1.0 - mu(t)) * g / (1.0 - product);
        w - f(0.005) * m_hat / ((s[1] / (1.0 - b2.powf(t))).sqrt() + f(epsilon))
    }
}

/// The settings of FTRL that a case varies.
#[derive(Clone, Copy)]
struct FtrlSettings {
    power: f32,
    initial: f32,
    l1: f32,
    l2: f32,
    beta: f32,
    shrinkage: f32,
}

impl FtrlSettings {
    fn optimizer(self) -> Ftrl {
        let ftrl = Ftrl::new(0.1).learning_rate_power(self.power).initial_accumulator(self.initial);
        ftrl.l1(self.l1).l2(self.l2).beta(self.beta).l2_shrinkage(self.shrinkage)
    }

    fn step(self, w: f64, g: f64, s: &mut [f64; 4]) -> f64 {
        let (lr, p) = (f(0.1), f(self.power));
        let old = f(self.initial) + s[0];
        s[0] += g * g;
        let new = f(self.initial) + s[0];
        s[1] += g + 2.0 * f(self.shrinkage) * w - (new.powf(-p) - old.powf(-p)) / lr * w;
        let quadratic = new.powf(-p) / lr + 2.0 * (f(self.l2) + f(self.beta) / (2.0 * lr));
        if s[1].abs() <= f(self.l1) { 0.0 } else { (s[1].signum() * f(self.l1) - s[1]) / quadratic }
    }
}

#[test]
fn ftrl_follows_its_formula() {
    let plain = FtrlSettings { power: -0.5, initial: 0.1, l1: 0.0, l2: 0.0, beta: 0.0, shrinkage: 0.0 };
    let penalties = FtrlSettings { l1: 5.0, l2: 0.2, beta: 0.3, shrinkage: 0.05, ..plain };
    let powers = FtrlSettings { power: -0.7, initial: 0.5, beta: 1.0, ..plain };
    let flat = FtrlSettings { power: 0.0, l2: 0.1, beta: 2.0, ..plain };
    let of = |settings: FtrlSettings, wrong: FtrlSettings| {
        case(settings.optimizer(), wrong.optimizer(), move |_, w, g, s| settings.step(w, g, s))
    };
    check(vec![
        case(Ftrl::new(0.1), Ftrl::new(0.1).initial_accumulator(0.11), move |_, w, g, s| plain.step(w, g, s)),
        of(penalties, FtrlSettings { l1: 5.1, ..penalties }),
        of(penalties, FtrlSettings { l2: 0.21, ..penalties }),
        of(penalties, FtrlSettings { shrinkage: 0.06, ..penalties }),
        of(powers, FtrlSettings { beta: 1.1, ..powers }),
        of(flat, FtrlSettings { power: -0.1, ..flat }),
    ]);
    let zeros = train(&*elementwise(Box::new(move |_, w, g, s| penalties.step(w, g, s))));
    assert!(zeros.iter().any(|p| p.w.contains(&0.0)), "the L1 penalty zeroes some weight");
}

fn rms(x: &[f64]) -> f64 {
    (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64).sqrt()
}

impl Parameter {
    /// Adafactor's second moments, from those of the rows in state 0 and of the columns in state 1.
    fn factored(&mut self, squares: &[f64], beta: f64) -> Vec<f64> {
        let rank = self.dims.len();
        let (rows, columns) = (self.dims[rank - 2], self.dims[rank - 1]);
        let mut second = Vec::new();
        for (matrix, s) in squares.chunks(rows * columns).enumerate() {
            for i in 0..rows {
                let mean = (0..columns).map(|j| s[i * columns + j]).sum::<f64>() / columns as f64;
                let r = &mut self.states[0][matrix * rows + i];
                *r = beta * *r + (1.0 - beta) * mean;
            }
            for j in 0..columns {
                let mean = (0..rows).map(|i| s[i * columns + j]).sum::<f64>() / rows as f64;
                let c = &mut self.states[1][matrix * columns + j];
                *c = beta * *c + (1.0 - beta) * mean;
            }
            let r = &self.states[0][matrix * rows..(matrix + 1) * rows];
            let c = &self.states[1][matrix * columns..(matrix + 1) * columns];
            let mean = r.iter().sum::<f64>() / rows as f64;
            second.extend((0..rows * columns).map(|k| r[k / columns] * c[k % columns] / mean));
        }
        second
    }
}

/// The settings of Adafactor that a case varies.
#[derive(Clone, Copy)]
struct AdafactorSettings {
    lr: f32,
    decay: f32,
    threshold: f32,
    relative: bool,
    weight_decay: f32,
    decoupled: f32,
    epsilons: (f32, f32),
}

impl AdafactorSettings {
    const PLAIN: Self = AdafactorSettings {
        lr: 0.003,
        decay: -0.8,
        threshold: 1.0,
        relative: true,
        weight_decay: 0.0,
        decoupled: 0.0,
        epsilons: (1e-30, 1e-3),
    };

    fn optimizer(self) -> Adafactor {
        let optimizer = Adafactor::new(self.lr).relative_step(self.relative).beta_2_decay(self.decay);
        let optimizer = optimizer.clip_threshold(self.threshold).weight_decay(self.weight_decay);
        optimizer.decoupled_weight_decay(self.decoupled).epsilons(self.epsilons.0, self.epsilons.1)
    }

    /// Row, column and whole second moments are states 0, 1 and 2.
    fn step(self, t: f64, p: &mut Parameter, g: &[f64]) {
        let n = p.w.len();
        let lr = f(self.lr);
        let rho = if self.relative { lr.min(1.0 / t.sqrt()) } else { lr };
        let beta = 1.0 - t.powf(f(self.decay));
        let g: Vec<f64> = g.iter().zip(&p.w).map(|(g, w)| g + f(self.weight_decay) * w).collect();
        p.w.iter_mut().for_each(|w| *w -= lr * f(self.decoupled) * *w);
        p.states.resize(3, vec![0.0; n]);
        let squares: Vec<f64> = g.iter().map(|g| g * g + f(self.epsilons.0)).collect();
        let second = if p.dims.len() < 2 {
            for (v, s) in p.states[2].iter_mut().zip(&squares) {
                *v = beta * *v + (1.0 - beta) * s;
            }
            p.states[2].clone()
        } else {
            p.factored(&squares, beta)
        };
        let u: Vec<f64> = g.iter().zip(&second).map(|(g, v)| g / v.sqrt()).collect();
        let factor = rms(&p.w).max(f(self.epsilons.1)) * rho / (rms(&u) / f(self.threshold)).max(1.0);
        p.w.iter_mut().zip(&u).for_each(|(w, u)| *w -= factor * u);
    }
}

#[test]
fn adafactor_follows_its_formula() {
    let plain = AdafactorSettings::PLAIN;
    let relative = AdafactorSettings { lr: 0.5, threshold: 0.01, ..plain };
    let other = AdafactorSettings {
        lr: 0.15,
        decay: -0.5,
        threshold: 0.02,
        relative: false,
        weight_decay: 0.1,
        decoupled: 0.05,
        ..plain
    };
    let floors = AdafactorSettings { epsilons: (0.5, 20.0), ..plain };
    let of = |settings: AdafactorSettings, wrong: AdafactorSettings| Case {
        right: Box::new(settings.optimizer()),
        wrong: Box::new(wrong.optimizer()),
        rule: Box::new(move |t, p: &mut Parameter, g: &[f64]| settings.step(t, p, g)),
    };
    check(vec![
        of(plain, AdafactorSettings { decay: -0.79, ..plain }),
        of(relative, AdafactorSettings { relative: false, ..relative }),
        of(other, AdafactorSettings { relative: true, ..other }),
        of(other, AdafactorSettings { threshold: 0.021, ..other }),
        of(other, AdafactorSettings { decoupled: 0.0, ..other }),
        of(other, AdafactorSettings { weight_decay: 0.0, ..other }),
        of(floors, AdafactorSettings { epsilons: (20.0, 0.5), ..floors }),
        of(floors, AdafactorSettings { epsilons: (0.5, 20.1), ..floors }),
    ]);
}

/// The averages of an optimiser's parameters after the last update.
fn averages(device: &Device, optimizer: &dyn Optimizer) -> Vec<Vec<f32>> {
    let tape = record(optimizer).expect("it records");
    let mut session = tape.session(device).expect("it builds");
    session.replay_n(UPDATES).expect("it replays");
    let named = |index: usize| {
        let name = format!("w{index}.{AVERAGE}");
        let is_it = |v: &Value| tape.value(*v).and_then(|info| info.name.as_deref()) == Some(&name);
        tape.persistent().into_iter().find(is_it).expect("every parameter has an average")
    };
    (0..SHAPES.len()).map(|index| session.read(named(index)).expect("it is a state")).collect()
}

/// The averages of the parameters that a rule moves, with a decay of 0.9.
fn reference_averages(rule: &Whole) -> Vec<Vec<f64>> {
    let mut parameters: Vec<Parameter> =
        SHAPES.iter().enumerate().map(|(index, dims)| Parameter::new(index, dims)).collect();
    let mut averages: Vec<Vec<f64>> = Vec::new();
    for t in 1..=UPDATES {
        for p in &mut parameters {
            let g = p.gradient();
            rule(t as f64, p, &g);
        }
        if t == 1 {
            averages = parameters.iter().map(|p| p.w.clone()).collect();
        }
        for (average, p) in averages.iter_mut().zip(&parameters) {
            average.iter_mut().zip(&p.w).for_each(|(a, w)| *a = f(0.9) * *a + (1.0 - f(0.9)) * w);
        }
    }
    averages
}

/// The average begins with the weights that the first update leaves and reads what each update has
/// written, whether by a fused rule or by assignments; the weights are as without it.
fn check_averages(alone: &dyn Optimizer, averaged: &dyn Optimizer, wrong: &dyn Optimizer, rule: &Whole) {
    let want = reference_averages(rule);
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let off = |optimizer: &dyn Optimizer| {
            let found = averages(&device, optimizer);
            let pairs = found.iter().flatten().zip(want.iter().flatten());
            let errors = pairs.map(|(found, want)| (f64::from(*found) - want).abs() / want.abs().max(0.1));
            errors.fold(0.0, |worst, e| if e.is_nan() { f64::INFINITY } else { f64::max(worst, e) })
        };
        let (found, control) = (off(averaged), off(wrong));
        assert!(found <= 1e-5, "{averaged:?}: {found:e}");
        assert!(control > 1e-5, "{wrong:?} passes: {control:e}");
        let weights = |optimizer: &dyn Optimizer| {
            let mut session = record(optimizer).unwrap().session(&device).unwrap();
            session.replay_n(UPDATES).unwrap();
            session.parameter("w3").unwrap()
        };
        assert_eq!(weights(averaged), weights(alone));
    }
}

#[test]
fn averages_follow_the_weights() {
    let sgd = Sgd::new(0.1);
    let rule = elementwise(Box::new(|_, w, g, _| w - f(0.1) * g));
    check_averages(&sgd, &sgd.ema(0.9), &sgd.ema(0.91), &*rule);
    let settings = AdafactorSettings::PLAIN;
    let adafactor = settings.optimizer();
    let rule = move |t: f64, p: &mut Parameter, g: &[f64]| settings.step(t, p, g);
    check_averages(&adafactor, &adafactor.ema(0.9), &adafactor.ema(0.91), &rule);
}

/// Updates are counted apart from steps: bias correction follows the first count, random operators the
/// second, and what resumes training sets both.
#[test]
fn updates_are_counted_apart_from_steps() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let tape = record(&Adam::new(0.01)).unwrap();
        let moved = |prepare: &dyn Fn(&mut Session)| {
            let mut session = tape.session(&device).unwrap();
            prepare(&mut session);
            let before = session.parameter("w2").unwrap();
            session.replay().unwrap();
            let counts = (session.step(), session.updates());
            let after = session.parameter("w2").unwrap();
            (before.iter().zip(&after).map(|(a, b)| (a - b).abs()).sum::<f32>(), counts)
        };
        let (first, counts) = moved(&|_| ());
        assert_eq!(counts, (1, 1));
        let (late, counts) = moved(&|s| s.set_updates(1000));
        assert_eq!(counts, (1, 1001));
        // From empty moments, a step at t = 1001 is 0.1 / sqrt(0.001 / 0.63) = 2.5 times the first one.
        assert!((late / first - 2.5).abs() < 0.1, "{first} {late}");
        let (resumed, counts) = moved(&|s| s.set_step(1000));
        assert_eq!((resumed, counts), (late, (1001, 1001)));
        let (again, counts) = moved(&|s| {
            s.set_step(1000);
            s.set_updates(0);
        });
        assert_eq!((again, counts), (first, (1001, 1)));
    }
}

/// A rate of 0, as a warm-up begins with, moves nothing.
#[test]
fn a_rate_of_zero_moves_nothing() {
    let optimizers: [&dyn Optimizer; 10] = [
        &Sgd::new(0.0).momentum(0.9).decoupled_weight_decay(0.1),
        &Adagrad::new(0.0),
        &Adadelta::new(0.0),
        &RmsProp::new(0.0).centered().momentum(0.9),
        &AdamW::new(0.0).amsgrad(),
        &Adamax::new(0.0),
        &Nadam::new(0.0),
        &Lion::new(0.0),
        &Ftrl::new(0.0).l1(0.1),
        &Adafactor::new(0.0),
    ];
    for optimizer in optimizers {
        for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
            let mut session = record(optimizer).unwrap().session(&device).unwrap();
            let before = session.parameter("w4").unwrap();
            session.replay_n(2).unwrap();
            assert_eq!(session.parameter("w4").unwrap(), before, "{optimizer:?}");
            session.set_scalar("learning_rate", 0.01).unwrap();
            session.replay().unwrap();
            assert_ne!(session.parameter("w4").unwrap(), before, "{optimizer:?}");
        }
    }
}

/// A square that f32 does not hold is no harm where the moment is one that it does; where that is infinite,
/// it is found.
#[test]
fn squares_past_the_range_are_found() {
    for (name, optimizer) in [("adam", &Adam::new(0.01) as &dyn Optimizer), ("rmsprop", &RmsProp::new(0.01))]
    {
        for (slope, fits) in [(1e18f32, true), (2e19, true), (1e22, false)] {
            let mut g = Graph::new();
            let (x, w) = (g.input("x", [3]), g.parameter("w", [3], Init::Ones));
            let loss = g.sum(g.mul(w, x).unwrap(), &[], false).unwrap();
            let tape = g.training_step(loss, optimizer).unwrap();
            let mut session = tape.session(gpu()).unwrap();
            let checked = session.verify(&[(x, HostData::from(&[slope; 3][..]))]).unwrap();
            assert!(!fits || checked.passes(), "{name}, {slope}: {checked}");
            session.write(x, &[slope; 3]).unwrap();
            let found = session.find_non_finite().unwrap();
            assert_eq!(
                found.as_ref().and_then(|found| found.op),
                (!fits).then_some(name),
                "{slope}: {found:?}"
            );
            assert!(found.is_none_or(|found| found.element == f32::INFINITY), "{name}, {slope}");
        }
    }
}
