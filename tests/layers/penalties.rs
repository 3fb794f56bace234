//! What training asks of weights besides the loss: penalties in it, constraints and masks after every
//! update.

use crate::common;
use crate::common::cases::constrain;
use crate::common::data;
use retape::data::Samples;
use retape::nn::{LayerSpec, record};
use retape::prelude::*;
use retape::tape::{DeviceKind, DeviceProfile};
use retape::testing::*;
use retape::{Error, Result, SessionOptions};

/// Whether an error is of this variant.
macro_rules! is {
    ($variant:ident) => {
        |error: &Error| matches!(error, Error::$variant { .. })
    };
}

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

/// A layer with its input, and the units of its parameters: for each, a view of its elements and the
/// axes that a norm is over.
struct Subject {
    layer: LayerSpec,
    input: &'static [usize],
    units: Vec<(&'static str, Vec<usize>, Vec<usize>)>,
}

/// How parameters are restrained: by a penalty or by a constraint.
#[derive(Clone, Copy)]
enum By {
    Nothing,
    Penalty(Penalty),
    Constraint(Constraint),
}

macro_rules! restrained {
    ($by:expr, $layer:expr, $($penalty:ident $constraint:ident),+) => {
        match $by {
            By::Nothing => LayerSpec::from($layer),
            By::Penalty(p) => LayerSpec::from($layer$(.$penalty(p))+),
            By::Constraint(c) => LayerSpec::from($layer$(.$constraint(c))+),
        }
    };
}

/// Every layer that has weights, restrained in all of them.
fn subjects(by: By) -> Vec<Subject> {
    macro_rules! plain {
        ($layer:expr) => {
            restrained!(by, $layer, weight_penalty weight_constraint, bias_penalty bias_constraint)
        };
    }
    macro_rules! recurrent {
        ($layer:expr) => {
            restrained!(
                by, $layer, weight_penalty weight_constraint, recurrent_penalty recurrent_constraint,
                bias_penalty bias_constraint
            )
        };
    }
    let images = &[4, 7, 7];
    let weights = |weight: &[usize], over: &[usize], bias: &[usize]| {
        vec![("weight", weight.to_vec(), over.to_vec()), ("bias", bias.to_vec(), (0..bias.len()).collect())]
    };
    let gates = |gates: usize, bias: &[usize]| {
        let mut units = weights(&[5, 3 * gates], &[0], bias);
        units.push(("recurrent_weight", vec![3, 3 * gates], vec![0]));
        units
    };
    let subject = |layer, input, units| Subject { layer, input, units };
    let words = restrained!(by, Embedding::new(11, 3), weight_penalty weight_constraint);
    vec![
        subject(plain!(Dense::new(3)), &[5], weights(&[5, 3], &[0], &[3])),
        subject(plain!(Conv2d::new(6, [3, 2]).groups(2)), images, weights(&[6, 2, 3, 2], &[1, 2, 3], &[6])),
        subject(plain!(DepthwiseConv2d::new(3)), images, weights(&[4, 1, 3, 3], &[1, 2, 3], &[4])),
        // Filters of one group: the channels of that group, then filters, height and width.
        subject(
            plain!(ConvTranspose2d::new(6, 3).groups(2)),
            images,
            weights(&[2, 2, 3, 3, 3], &[1, 3, 4], &[6]),
        ),
        subject(plain!(Conv1d::new(3, 3)), &[4, 9], weights(&[3, 4, 3], &[1, 2], &[3])),
        subject(recurrent!(SimpleRnn::new(3)), &[4, 5], gates(1, &[3])),
        subject(recurrent!(Lstm::new(3)), &[4, 5], gates(4, &[12])),
        subject(recurrent!(Gru::new(3)), &[4, 5], gates(3, &[2, 9])),
        subject(words, &[4], vec![("weight", vec![11, 3], vec![1])]),
    ]
}

struct Step {
    session: Session,
    kind: String,
    penalties: Vec<Value>,
}

/// A training step of a layer on noise, whose loss pulls its outputs far away.
fn step(subject: &Subject, device: &Device) -> Result<Step> {
    let mut g = Graph::new();
    let dims: Vec<usize> = [2].iter().chain(subject.input).copied().collect();
    let kind = subject.layer.layer().kind();
    let shape = Shape::new(&dims)?;
    let words = kind == "embedding";
    let x = if words { g.indices("x", shape) } else { g.input("x", shape) };
    let y = Sequential::new().add(&subject.layer).record(&mut g, x, Mode::Training)?;
    let penalties = g.penalties();
    let pull = g.constant(g.shape(y)?, &data::noise(g.shape(y)?.numel(), 8, -5.0, 5.0))?;
    let mut losses = vec![g.sum(g.mul(y, pull)?, &[], false)?];
    losses.extend(&penalties);
    let tape = g.training_step(losses, &Sgd::new(0.3))?.keep_gradients();
    let mut session = tape.session_with(device, SessionOptions::new().seed(5))?;
    if words {
        session.write(x, &(0..shape.numel() as u32).map(|i| i * 3 % 11).collect::<Vec<_>>())?;
    } else {
        session.write(x, &data::noise(shape.numel(), 9, -1.0, 1.0))?;
    }
    Ok(Step { session, kind: kind.to_owned(), penalties })
}

/// The norm of each unit of numbers with these dimensions.
fn norms(numbers: &[f32], dims: &[usize], over: &[usize]) -> Vec<f64> {
    let mut squares = std::collections::BTreeMap::new();
    for (flat, &v) in numbers.iter().enumerate() {
        let mut rest = flat;
        let mut unit = Vec::new();
        for (axis, &dim) in dims.iter().enumerate().rev() {
            if !over.contains(&axis) {
                unit.push(rest % dim);
            }
            rest /= dim;
        }
        *squares.entry(unit).or_insert(0.0) += f64::from(v).powi(2);
    }
    squares.into_values().map(f64::sqrt).collect()
}

/// Calls `check` with every parameter's norms after each of some steps.
fn each_step(by: By, check: impl Fn(&str, usize, &[f64])) {
    for device in devices() {
        for subject in subjects(by) {
            let mut step = step(&subject, &device).unwrap();
            for number in 0..4 {
                step.session.replay().unwrap();
                for (name, dims, over) in &subject.units {
                    let name = format!("{}.{name}", step.kind);
                    let numbers = step.session.parameter(&name).unwrap();
                    assert!(numbers.iter().all(|v| v.is_finite()), "{name}");
                    check(&format!("{name} on {device:?}"), number, &norms(&numbers, dims, over));
                }
            }
        }
    }
}

/// What norms are limited to; exact in f32.
const LIMIT: f64 = 0.25;

fn largest(norms: &[f64]) -> f64 {
    norms.iter().fold(0.0, |m: f64, &v| m.max(v))
}

#[test]
fn without_a_constraint_norms_pass_the_limit() {
    each_step(By::Nothing, |name, number, norms| {
        assert!(number < 3 || largest(norms) > 1.5 * LIMIT, "{name} stays small by itself: {norms:?}");
    });
}

#[test]
fn max_norm_holds_after_every_step() {
    each_step(By::Constraint(Constraint::MaxNorm { limit: LIMIT as f32 }), |name, number, norms| {
        assert!(largest(norms) <= LIMIT * (1.0 + 1e-6), "{name}: {norms:?}");
        let reached = number < 3 || largest(norms) >= LIMIT * (1.0 - 1e-6);
        assert!(reached, "{name} is not at the limit: {norms:?}");
    });
}

#[test]
fn unit_norm_holds_after_every_step() {
    each_step(By::Constraint(Constraint::UnitNorm), |name, _, norms| {
        let off = norms.iter().map(|n| (n - 1.0).abs()).fold(0.0, f64::max);
        // The epsilon, 1e-7, shows in units that start small: words that are not looked up.
        assert!(off <= 5e-6, "{name}: {norms:?}");
    });
}

#[test]
fn min_max_norm_holds_after_every_step() {
    each_step(By::Constraint(Constraint::MinMaxNorm { min: 0.4, max: 0.6, rate: 1.0 }), |name, _, norms| {
        let within = |n: &f64| (0.4 * (1.0 - 5e-6)..=0.6 * (1.0 + 1e-6)).contains(n);
        assert!(norms.iter().all(within), "{name}: {norms:?}");
    });
}

/// Part of the way: from a norm of 5 to 1, by half, is 3.
#[test]
fn min_max_norm_goes_its_share_of_the_way() {
    let mut g = Graph::new();
    let start = vec![3.0, 0.03, 0.6, 4.0, 0.04, 0.8];
    let w = g.parameter("w", [2, 3], Init::Values(start));
    g.constrain(w, Constraint::MinMaxNorm { min: 0.25, max: 1.0, rate: 0.5 }, &[0]).unwrap();
    let tape = g.training_step(g.sum(w, &[], false).unwrap(), &Sgd::new(0.0)).unwrap();
    for device in devices() {
        let mut session = tape.session(&device).unwrap();
        session.replay().unwrap();
        let found = norms(&session.parameter("w").unwrap(), &[2, 3], &[0]);
        for (found, want) in found.iter().zip([3.0, 0.15, 1.0]) {
            assert!((found - want).abs() < 1e-5, "{found} where {want} was expected");
        }
    }
}

/// Batches whose gradients are only summed up leave the parameters alone.
#[test]
fn constraints_are_applied_once_an_update() -> Result<()> {
    let inputs = data::noise(8, 4, -1.0, 1.0);
    let samples = Samples::new().input([2], inputs).target([1], vec![0.0; 4]);
    for device in devices() {
        let after = |accumulate: usize, batches: usize| -> Result<Vec<f32>> {
            let way = Constraint::MinMaxNorm { min: 0.0, max: 0.25, rate: 0.5 };
            let model = Sequential::new().add(Dense::new(1).weight_constraint(way));
            let mut trainer = Trainer::new(model, [2])
                .loss(Loss::MeanSquaredError)
                .optimizer(Sgd::new(0.0))
                .batch_size(1)
                .accumulate(accumulate)
                .build(&device)?;
            for batch in 0..batches {
                trainer.train_on_batch(samples.slice(batch..batch + 1))?;
            }
            trainer.session().parameter("dense.weight")
        };
        assert_eq!(after(4, 3)?, after(1000, 4)?);
        assert_eq!(after(4, 4)?, after(1, 1)?);
        assert_ne!(after(4, 4)?, after(4, 3)?);
    }
    Ok(())
}

#[test]
fn non_negative_holds_after_every_step() {
    for device in devices() {
        for by in [By::Nothing, By::Constraint(Constraint::NonNegative)] {
            for subject in subjects(by) {
                let mut step = step(&subject, &device).unwrap();
                step.session.replay_n(3).unwrap();
                for (name, ..) in &subject.units {
                    let name = format!("{}.{name}", step.kind);
                    let numbers = step.session.parameter(&name).unwrap();
                    let negative = numbers.iter().any(|&v| v < 0.0);
                    assert_eq!(negative, matches!(by, By::Nothing), "{name} on {device:?}: {numbers:?}");
                }
            }
        }
    }
}

/// A constraint that is not violated changes no bit, however often it is applied.
#[test]
fn weights_within_the_limits_keep_their_bits() {
    for device in devices() {
        let wide = By::Constraint(Constraint::MaxNorm { limit: 1e9 });
        for (free, held) in subjects(By::Nothing).iter().zip(&subjects(wide)) {
            let run = |subject| {
                let mut step = step(subject, &device).unwrap();
                step.session.replay_n(5).unwrap();
                let names = step.session.parameter_names();
                let data = names.iter().flat_map(|n| step.session.parameter(n).unwrap());
                data.map(f32::to_bits).collect::<Vec<_>>()
            };
            assert_eq!(run(free), run(held), "{:?} on {device:?}", held.layer);
        }
    }
}

/// The kernels that a GPU is given, and those of a software driver, on units of all lengths.
#[test]
fn constraints_agree_with_their_references_under_both_plans() {
    let device = common::gpu();
    for (name, tape) in constrain::tapes() {
        for kind in [DeviceKind::Cpu, DeviceKind::Gpu] {
            let profile = DeviceProfile { kind, ..device.profile().unwrap().clone() };
            let plan = tape.plan(&profile).unwrap();
            let options = guarded(SessionOptions::new());
            let mut session = session_with_plan(&tape, device, plan, options).unwrap();
            poison(&session);
            for _ in 0..2 {
                let checked = session.verify(&[]).unwrap();
                assert!(checked.passes(), "{name} for {kind:?}\n{checked}");
                session.replay().unwrap();
            }
            assert!(broken_guards(&session).unwrap().is_empty(), "{name} for {kind:?}");
        }
    }
}

/// A penalty by hand: its number, and the slope that it adds.
#[test]
fn penalties_are_terms_of_the_loss() {
    let mut g = Graph::new();
    let w = g.parameter("w", [4], Init::Values(vec![1.0, -2.0, 0.0, 0.5]));
    let loss = g.sum(g.mul(w, g.scalar_constant(10.0)).unwrap(), &[], false).unwrap();
    g.penalize(w, Penalty::l1(0.5)).unwrap();
    g.penalize(w, Penalty::l2(0.25)).unwrap();
    g.penalize(w, Penalty::elastic_net(0.5, 0.25)).unwrap();
    g.penalize(w, Penalty::elastic_net(0.0, 0.0)).unwrap();
    let penalties = g.penalties();
    assert_eq!(penalties.len(), 3);
    let losses = [&[loss], &penalties[..]].concat();
    let tape = g.training_step(losses, &Sgd::new(0.5)).unwrap().keep_gradients();
    for device in devices() {
        let mut session = tape.session(&device).unwrap();
        session.replay().unwrap();
        let found: Vec<f32> = penalties.iter().map(|&p| session.read_scalar(p).unwrap()).collect();
        // 0.5 (1 + 2 + 0.5), 0.25 (1 + 4 + 0.25).
        assert_eq!(found, [1.75, 1.3125, 3.0625], "on {device:?}");
        // 10 + 2 (0.5 sign w + 2 0.25 w).
        assert_eq!(
            session.read(tape.gradient(w).unwrap()).unwrap(),
            [12.0, 7.0, 10.0, 11.5],
            "on {device:?}"
        );
        assert_eq!(session.parameter("w").unwrap(), [-5.0, -5.5, -5.0, -5.25], "on {device:?}");
    }
}

/// Each layer's penalties are those of its parameters, and nothing else's.
#[test]
fn layers_record_the_penalties_of_their_parameters() {
    let (l1, l2) = (0.125, 0.25);
    for subject in subjects(By::Penalty(Penalty::elastic_net(l1, l2))) {
        for device in devices() {
            let mut step = step(&subject, &device).unwrap();
            assert_eq!(step.penalties.len(), subject.units.len(), "{:?}", subject.layer);
            let names = subject.units.iter().map(|(name, ..)| format!("{}.{name}", step.kind));
            let of = |name: String| -> f64 {
                let numbers = step.session.parameter(&name).unwrap();
                let wide = numbers.iter().map(|&v| f64::from(v));
                wide.map(|v| f64::from(l1) * v.abs() + f64::from(l2) * v * v).sum()
            };
            let want: f64 = names.map(of).sum();
            assert!(want > 0.0, "{:?} has nothing to penalise", subject.layer);
            step.session.replay().unwrap();
            let found: f64 = step.penalties.iter().map(|&p| step.session.read_f64(p).unwrap()[0]).sum();
            assert!((found - want).abs() <= 1e-6 * want, "{:?}: {found}, not {want}", subject.layer);
        }
    }
    let both = Bidirectional::new(Lstm::new(3).weight_penalty(Penalty::l2(l2)));
    let mut g = Graph::new();
    let x = g.input("x", [2, 4, 5]);
    Sequential::new().add(both).record(&mut g, x, Mode::Training).unwrap();
    assert_eq!(g.penalties().len(), 2, "one for each direction");
}

/// With nothing else to train on, L2 multiplies weights by `1 - 2 lr l2` in every step, and L1 takes
/// `lr l1` off them.
#[test]
fn training_with_a_penalty_shrinks_weights() {
    for device in devices() {
        let after = |penalty: Option<Penalty>| {
            let mut layer = Dense::new(3).bias(false).weight_init(Init::Constant(0.5));
            if let Some(penalty) = penalty {
                layer = layer.weight_penalty(penalty);
            }
            let mut g = Graph::new();
            let x = g.input("x", [2, 5]);
            let y = Sequential::new().add(layer).record(&mut g, x, Mode::Training).unwrap();
            let mut losses = vec![g.mean(y, &[], false).unwrap()];
            losses.extend(g.penalties());
            let tape = g.training_step(losses, &Sgd::new(0.1)).unwrap();
            let mut session = tape.session(&device).unwrap();
            session.write(x, &[0.0; 10]).unwrap();
            session.replay_n(10).unwrap();
            session.parameter("dense.weight").unwrap()
        };
        let all_near = |found: Vec<f32>, want: f32| {
            assert!(found.iter().all(|w| (w - want).abs() < 1e-6), "{found:?}, not {want}, on {device:?}");
        };
        all_near(after(None), 0.5);
        all_near(after(Some(Penalty::l2(0.5))), 0.5 * 0.9f32.powi(10));
        all_near(after(Some(Penalty::l1(0.25))), 0.25);
    }
}

#[test]
fn only_what_is_trained_is_penalised_and_constrained() {
    let layer = || {
        let dense = Dense::new(3).weight_penalty(Penalty::l2(0.1)).bias_penalty(Penalty::l1(0.1));
        dense.weight_constraint(Constraint::UnitNorm)
    };
    let rules = |layer: LayerSpec, mode| {
        let mut g = Graph::new();
        let x = g.input("x", [2, 5]);
        let model = Sequential::new().add(layer).add(Dense::new(2));
        let y = record(&model, &mut g, &[x], mode).unwrap().outputs[0];
        let tape = g.training_step(g.mean(y, &[], false).unwrap(), &Sgd::new(0.1)).unwrap();
        let constrained = tape.ops().iter().filter(|node| node.op.name() == "constrain_norm").count();
        (g.penalties().len(), constrained)
    };
    assert_eq!(rules(layer().into(), Mode::Training), (2, 1));
    assert_eq!(rules(layer().into(), Mode::Evaluation), (0, 0));
    assert_eq!(rules(layer().trainable(false), Mode::Training), (0, 0));
    // A parameter that the loss does not reach is not moved, and not held to anything either.
    let mut g = Graph::new();
    let (w, idle) = (g.parameter("w", [3], Init::Ones), g.parameter("idle", [3], Init::Ones));
    g.constrain(idle, Constraint::UnitNorm, &[]).unwrap();
    let tape = g.training_step(g.sum(w, &[], false).unwrap(), &Sgd::new(0.1)).unwrap();
    assert!(!tape.ops().iter().any(|node| node.op.name() == "constrain_norm"));
}

/// Masked weights are 0 after every step, under an optimiser with momentum too; the others are moved as
/// without a mask. A mask written between steps counts from then on.
#[test]
fn masked_weights_stay_zero() {
    let mut g = Graph::new();
    let start = data::noise(65, 3, 0.5, 1.0);
    let w = g.parameter("w", [65], Init::Values(start.clone()));
    let free = g.parameter("free", [65], Init::Values(start));
    let bits: Vec<f32> = (0..65).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
    let mask = g.state("mask", [65], Init::Values(bits.clone()));
    g.mask(w, mask).unwrap();
    let pull = g.constant([65], &data::noise(65, 4, -1.0, 1.0)).unwrap();
    let both = g.add(w, free).unwrap();
    let loss = g.sum(g.mul(both, pull).unwrap(), &[], false).unwrap();
    let tape = g.training_step(loss, &Sgd::new(0.1).momentum(0.9)).unwrap();
    for device in devices() {
        let mut session = tape.session(&device).unwrap();
        let check = |session: &Session, bits: &[f32]| {
            let (w, free) = (session.parameter("w").unwrap(), session.parameter("free").unwrap());
            for i in 0..65 {
                let want = if bits[i] == 0.0 { 0.0 } else { free[i] };
                assert!(w[i] == want && free[i] != 0.0, "element {i} is {}, not {want}, on {device:?}", w[i]);
            }
        };
        for _ in 0..4 {
            session.replay().unwrap();
            check(&session, &bits);
        }
        let fewer: Vec<f32> = (0..65).map(|i| if i % 3 == 1 { 1.0 } else { 0.0 }).collect();
        session.write(mask, &fewer).unwrap();
        session.replay().unwrap();
        check(&session, &fewer);
    }
}

/// Rules of one parameter are applied in their order: here the unit is scaled without what the mask
/// takes away, or with it.
#[test]
fn rules_are_applied_in_their_order() {
    for (mask_first, want) in [(true, [1.0, 0.0]), (false, [0.6, 0.0])] {
        let mut g = Graph::new();
        let w = g.parameter("w", [2], Init::Values(vec![3.0, 4.0]));
        let mask = g.state("mask", [2], Init::Values(vec![1.0, 0.0]));
        if mask_first {
            g.mask(w, mask).unwrap();
        }
        g.constrain(w, Constraint::MaxNorm { limit: 1.0 }, &[]).unwrap();
        if !mask_first {
            g.mask(w, mask).unwrap();
        }
        let tape = g.training_step(g.sum(w, &[], false).unwrap(), &Sgd::new(0.0)).unwrap();
        for device in devices() {
            let mut session = tape.session(&device).unwrap();
            session.replay().unwrap();
            let found = session.parameter("w").unwrap();
            let near = found.iter().zip(want).all(|(w, want)| (w - want).abs() < 1e-6);
            assert!(near, "{found:?}, not {want:?}, on {device:?}");
        }
    }
}

/// The loss of a step is that of the weights before it; the constraint acts after the update.
#[test]
fn the_step_itself_reads_what_was_there_before() {
    let mut g = Graph::new();
    let w = g.parameter("w", [2], Init::Values(vec![3.0, 4.0]));
    g.constrain(w, Constraint::MaxNorm { limit: 1.0 }, &[]).unwrap();
    let loss = g.sum(w, &[], false).unwrap();
    let tape = g.training_step(loss, &Sgd::new(1.0)).unwrap();
    for device in devices() {
        let mut session = tape.session(&device).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read_scalar(loss).unwrap(), 7.0);
        // (2, 3) over its norm, sqrt(13).
        let found = session.parameter("w").unwrap();
        let want = [2.0 / 13f32.sqrt(), 3.0 / 13f32.sqrt()];
        assert!(found.iter().zip(want).all(|(w, want)| (w - want).abs() < 1e-6), "{found:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut g = Graph::new();
    let w = g.parameter("w", [2, 3], Init::Ones);
    let (state, x) = (g.state("state", [2, 3], Init::Ones), g.input("x", [2, 3]));
    let (row, words) = (g.state("row", [3], Init::Ones), g.indices("words", [2, 3]));
    let refused = |result: Result<()>, is: fn(&Error) -> bool, facts: &[&str]| {
        let error = result.unwrap_err();
        let text = error.to_string();
        assert!(is(error.root()), "another error expected: {text}");
        assert!(text.contains("penalties.rs:"), "no line in: {text}");
        assert!(facts.iter().all(|fact| text.contains(fact)), "{text}");
    };
    for l in [-0.1, f32::NAN, f32::INFINITY] {
        refused(g.penalize(w, Penalty::l1(l)), is!(Argument), &["penalize", "l1"]);
        refused(g.penalize(w, Penalty::elastic_net(0.1, l)), is!(Argument), &["l2"]);
    }
    refused(g.penalize(words, Penalty::l1(0.1)), is!(DTypeMismatch), &["u32"]);
    let max = |limit| Constraint::MaxNorm { limit };
    for limit in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        refused(g.constrain(w, max(limit), &[0]), is!(Argument), &["constrain", "limit"]);
    }
    let between = |min, max, rate| Constraint::MinMaxNorm { min, max, rate };
    refused(g.constrain(w, between(2.0, 1.0, 1.0), &[0]), is!(Argument), &["min"]);
    refused(g.constrain(w, between(f32::NAN, 1.0, 1.0), &[0]), is!(Argument), &["min"]);
    refused(g.constrain(w, between(0.0, f32::INFINITY, 1.0), &[0]), is!(Argument), &["max"]);
    refused(g.constrain(w, between(0.0, 1.0, 0.0), &[0]), is!(Argument), &["rate"]);
    refused(g.constrain(w, between(0.0, 1.0, 1.5), &[0]), is!(Argument), &["rate"]);
    refused(g.constrain(w, max(1.0), &[2]), is!(Axis), &["[2, 3]"]);
    refused(g.constrain(w, max(1.0), &[1, -1]), is!(Axis), &["[2, 3]"]);
    for value in [state, x] {
        refused(g.constrain(value, max(1.0), &[0]), is!(NotWritable), &["constrain"]);
        refused(g.mask(value, state), is!(NotWritable), &["mask"]);
    }
    refused(g.apply_constraint(x, max(1.0), &[0]), is!(NotWritable), &["apply_constraint", "`x`"]);
    refused(g.apply_mask(x, state), is!(NotWritable), &["apply_mask"]);
    refused(g.mask(w, row), is!(ShapeMismatch), &["[2, 3]", "[3]"]);
    refused(g.mask(w, words), is!(DTypeMismatch), &["u32"]);
    let other = Graph::new();
    assert!(matches!(other.mask(w, state).unwrap_err().root(), Error::ForeignValue));
    // Layers put their name on it.
    let x = g.input("features", [2, 5]);
    let dense = Dense::new(3).weight_constraint(max(-1.0));
    let error = Sequential::new().add(dense).record(&mut g, x, Mode::Training).unwrap_err();
    assert!(error.to_string().contains("in layer `dense`"), "{error}");
}

/// 3 and 4 times a number have 5 times it as their norm, whatever f32 makes of the squares.
#[test]
fn constraints_hold_weights_whose_squares_overflow() {
    for size in [1.0f32, 1e19, 1e30, 7e37] {
        let mut g = Graph::new();
        let unit = |g: &mut Graph, name| g.parameter(name, [2], Init::Values(vec![3.0 * size, 4.0 * size]));
        let (limited, one) = (unit(&mut g, "limited"), unit(&mut g, "one"));
        g.apply_constraint(limited, Constraint::MaxNorm { limit: 2.5 * size }, &[]).unwrap();
        g.apply_constraint(one, Constraint::UnitNorm, &[]).unwrap();
        let tape = g.forward(Vec::new()).unwrap();
        for device in devices() {
            let mut session = tape.session(&device).unwrap();
            session.replay().unwrap();
            let limited = session.read(limited).unwrap().into_iter().map(|w| w / size);
            let found: Vec<f32> = limited.chain(session.read(one).unwrap()).collect();
            for (found, wanted) in found.iter().zip([1.5, 2.0, 0.6, 0.8]) {
                assert!((found - wanted).abs() <= 1e-6, "{size:e}: {found}, not {wanted}");
            }
        }
    }
}
