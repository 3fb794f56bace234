//! Updates of many parameters: in few dispatches, wherever the parameters lie, and to the bit as one by one.

use crate::common;
use crate::common::descent::{SHAPES, record, record_some};
use retape::prelude::*;
use retape::tape::{DeviceProfile, Plan};
use retape::testing::*;
use retape::{SessionOptions, Tape};

/// All parameters of the problem are updated together: one dispatch, or for Adafactor five for matrices and
/// two for the rest, however many there are. Each moves as it does alone.
#[test]
fn small_parameters_are_updated_in_few_dispatches() {
    let cases: [(&dyn Optimizer, &str, usize); 14] = [
        (&Sgd::new(0.1), "update", 1),
        (&Sgd::new(0.1).momentum(0.9), "update", 1),
        (&Adagrad::new(0.1), "update", 1),
        (&Adadelta::new(1.0), "update", 1),
        (&RmsProp::new(0.01).centered().momentum(0.9), "update", 1),
        (&Adam::new(0.01), "update", 1),
        (&Adam::new(0.01).amsgrad(), "update", 1),
        (&AdamW::new(0.01), "update", 1),
        // The averages of all weights, once all are updated.
        (&Adam::new(0.01).ema(0.99), "update", 2),
        (&Adamax::new(0.01), "update", 1),
        (&Nadam::new(0.01), "update", 1),
        (&Lion::new(0.01), "update", 1),
        (&Ftrl::new(0.1), "update", 1),
        (&Adafactor::new(0.1), "adafactor", 7),
    ];
    let weights = |optimizer: &dyn Optimizer, which: std::ops::Range<usize>, device: &Device| {
        let mut session = record_some(optimizer, which.clone()).unwrap().session(device).unwrap();
        session.replay_n(3).unwrap();
        which.map(|i| session.parameter(&format!("w{i}")).unwrap()).collect::<Vec<_>>()
    };
    for (optimizer, shader, expected) in cases {
        let plan = record(optimizer).unwrap().plan(&DeviceProfile::baseline()).unwrap();
        let updates = plan.dispatches.iter().filter(|d| d.shader.name() == shader);
        assert_eq!(updates.count(), expected, "{optimizer:?}\n{plan}");
        for device in [&Device::reference(), &Device::cpu(), common::gpu()] {
            let alone = (0..SHAPES.len()).flat_map(|i| weights(optimizer, i..i + 1, device));
            let alone: Vec<_> = alone.collect();
            assert_eq!(weights(optimizer, 0..SHAPES.len(), device), alone, "{optimizer:?}");
        }
    }
}

/// Clips by operators of the graph, out of an update's sight.
#[derive(Debug)]
struct ByHand<O>(O, f32);

impl<O: Optimizer> Optimizer for ByHand<O> {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> retape::Result<()> {
        let found: Vec<Value> = gradients.iter().map(|pair| pair.1).collect();
        let clipped = g.clip_gradients(&found, Clip::GlobalNorm(self.1))?;
        let hidden = clipped.into_iter().map(|clipped| g.neg(g.neg(clipped)?));
        let hidden = hidden.collect::<retape::Result<Vec<_>>>()?;
        self.0.record(g, &gradients.iter().map(|pair| pair.0).zip(hidden).collect::<Vec<_>>())
    }
}

/// An update that clips gradients as it reads them does what operators before it would, also within the limit.
#[test]
fn updates_clip_what_they_read() {
    let optimizers: [Box<dyn Fn() -> Box<dyn Optimizer>>; 3] = [
        Box::new(|| Box::new(Adam::new(0.01).weight_decay(0.1).amsgrad())),
        Box::new(|| Box::new(Sgd::new(0.1).momentum(0.9))),
        Box::new(|| Box::new(Ftrl::new(0.1).l1(0.1))),
    ];
    for (optimizer, limit) in optimizers.iter().flat_map(|optimizer| [(optimizer, 0.05), (optimizer, 1e6)]) {
        let clipping = record(&optimizer().clip(Clip::GlobalNorm(limit))).unwrap();
        assert!(!clipping.to_string().contains("clip_by_norm"), "{clipping}");
        let by_hand = record(&ByHand(optimizer(), limit)).unwrap();
        for device in [&Device::reference(), &Device::cpu(), common::gpu()] {
            let weights = |tape: &Tape| {
                let mut session = tape.session(device).unwrap();
                session.replay_n(3).unwrap();
                (0..SHAPES.len()).map(|i| session.parameter(&format!("w{i}")).unwrap()).collect::<Vec<_>>()
            };
            let (found, wanted) = (weights(&clipping).concat(), weights(&by_hand).concat());
            for (a, b) in found.iter().zip(&wanted) {
                let apart = (a - b).abs();
                let exact = !device.is_gpu();
                assert!(apart <= if exact { 0.0 } else { 1e-6 * (1.0 + b.abs()) }, "{a} {b}, {device:?}");
            }
        }
    }
}

/// Gradients and norms that updates overwrite are clipped as the step began: another parameter, the parameter
/// itself, and a limit that follows an average.
#[test]
fn states_are_clipped_as_they_were() {
    type Record = fn(&mut Graph) -> retape::Result<()>;
    let cases: [Record; 3] = [
        |g| {
            let [a, b] = ["a", "b"].map(|name| g.parameter(name, [3], Init::Constant(2.0)));
            Sgd::new(0.5).clip(Clip::GlobalNorm(1.0)).record(g, &[(a, b), (b, a)])
        },
        |g| {
            let a = g.parameter("a", [3], Init::Constant(2.0));
            Sgd::new(0.5).clip(Clip::GlobalNorm(1.0)).record(g, &[(a, a)])
        },
        |g| {
            let a = g.parameter("a", [3], Init::Constant(2.0));
            let (norm, dw) = (g.state("norm", [], Init::Constant(4.0)), g.square(a)?);
            g.assign(norm, g.global_norm(&[dw])?)?;
            Sgd::new(0.5).record(g, &[(a, g.clip_by_norm(dw, norm, 1.0)?)])
        },
    ];
    for record in cases {
        let weights = |device: &Device| {
            let mut g = Graph::new();
            record(&mut g).unwrap();
            let tape = g.forward(Vec::new()).unwrap();
            let mut session = tape.session(device).unwrap();
            session.replay_n(3).unwrap();
            g.parameters().iter().map(|&w| session.read(w).unwrap()).collect::<Vec<_>>().concat()
        };
        let wanted = weights(&Device::reference());
        for device in [&Device::cpu(), common::gpu()] {
            for (a, b) in weights(device).iter().zip(&wanted) {
                assert!((a - b).abs() <= 1e-6, "{a} {b} on {device:?}");
            }
        }
    }
    // The limit of the first step: 4 of a norm of 4 each, that of 0.25 by the average of before.
    let mut g = Graph::new();
    cases[2](&mut g).unwrap();
    let mut session = g.forward(Vec::new()).unwrap().session(&Device::reference()).unwrap();
    session.replay().unwrap();
    assert_eq!(session.parameter("a").unwrap(), [1.5; 3]);
}

/// Fails unless every operator of a tape agrees with its reference under a plan for this device.
fn verify(tape: &Tape, profile: &DeviceProfile) -> Plan {
    let plan = tape.plan(profile).unwrap();
    let options = guarded(SessionOptions::new());
    let mut session = session_with_plan(tape, common::gpu(), plan.clone(), options).unwrap();
    poison(&session);
    for _ in 0..2 {
        let checked = session.verify(&[]).unwrap();
        assert!(checked.passes(), "{checked}");
        session.replay().unwrap();
    }
    assert!(broken_guards(&session).unwrap().is_empty());
    plan
}

/// Parameters with constants for gradients.
fn with_constants(g: &mut Graph, shapes: &[&[usize]]) -> Vec<(Value, Value)> {
    let pair = |(i, dims): (usize, &&[usize])| {
        let (shape, seed) = (Shape::new(dims).unwrap(), 50 + i as u32);
        let w = g.parameter(&format!("w{i}"), shape, Init::Normal { mean: 0.0, std: 1.0 });
        let x = g.constant(shape, &common::data::noise(shape.numel(), seed, -1.0, 1.0)).unwrap();
        (w, x)
    };
    shapes.iter().enumerate().map(pair).collect()
}

/// A device of few workgroups goes over a parameter in rounds.
#[test]
fn adafactor_needs_few_workgroups() {
    let profile = DeviceProfile { max_workgroups: 2, ..common::gpu().profile().unwrap().clone() };
    let mut g = Graph::new();
    let gradients = with_constants(&mut g, &[&[90, 250], &[150, 252], &[20000], &[900, 3, 3]]);
    Adafactor::new(0.1).weight_decay(0.1).record(&g, &gradients).unwrap();
    let plan = verify(&g.forward(Vec::new()).unwrap(), &profile);
    assert_eq!(plan.dispatches.iter().map(|d| d.groups[0]).max(), Some(2), "{plan}");
}

/// Of three parameters, two lie side by side already: the first and the last, or the last two.
#[test]
fn adafactor_updates_what_lies_apart() {
    for (together, calls) in [([0, 2], 3), ([1, 2], 2)] {
        let mut g = Graph::new();
        let constants = with_constants(&mut g, &[&[3, 5], &[4, 70], &[2, 9], &[7], &[300], &[5]]);
        // Constants stay in buffers of their own.
        let gradients: Vec<(Value, Value)> =
            constants.into_iter().map(|(w, x)| (w, g.square(x).unwrap())).collect();
        let [a, b] = together;
        let packed = [a, b, 3 + a, 3 + b].map(|i| gradients[i]);
        Sgd::new(0.1).record(&g, &packed).unwrap();
        Adafactor::new(0.1).record(&g, &gradients).unwrap();
        let plan = verify(&g.forward(Vec::new()).unwrap(), common::gpu().profile().unwrap());
        let adafactor = plan.dispatches.iter().filter(|d| d.shader.name() == "adafactor");
        assert_eq!(adafactor.count(), calls * (5 + 2), "{plan}");
    }
}

/// The defaults that the documentation names, as the tape has them: too small for the size of what they
/// change to show them.
#[test]
fn optimisers_have_the_documented_defaults() {
    let cases: [(&dyn Optimizer, &str); 19] = [
        (&Sgd::new(0.1), "sgd()"),
        (&Adagrad::new(0.1), "adagrad(initial_accumulator=0.1, epsilon=1e-7)"),
        (&Adadelta::new(0.1), "adadelta(rho=0.95, epsilon=1e-7)"),
        (&RmsProp::new(0.1), "rmsprop(rho=0.9, epsilon=1e-7)"),
        (&Adam::new(0.1), "adam(beta_1=0.9, beta_2=0.999, epsilon=1e-7)"),
        (&AdamW::new(0.1), "adam(beta_1=0.9, beta_2=0.999, epsilon=1e-7, decoupled_weight_decay=0.004)"),
        (&Adamax::new(0.1), "adamax(beta_1=0.9, beta_2=0.999, epsilon=1e-7)"),
        (&Nadam::new(0.1), "nadam(beta_1=0.9, beta_2=0.999, momentum_decay=1.0, epsilon=1e-7)"),
        (&Lion::new(0.1), "lion(beta_1=0.9, beta_2=0.99)"),
        (&Ftrl::new(0.1), "ftrl(learning_rate_power=-0.5, initial_accumulator=0.1)"),
        (
            &Adafactor::new(0.1),
            "adafactor(epsilon_1=1e-30, epsilon_2=0.001, beta_2_decay=-0.8, clip_threshold=1.0, \
             relative_step)",
        ),
        (
            &Adafactor::pytorch(0.1),
            "adafactor(epsilon_1=1.1920929e-7, epsilon_2=0.001, beta_2_decay=-0.8, clip_threshold=1.0, \
             pytorch, relative_step)",
        ),
        (&Adagrad::pytorch(0.1), "adagrad(epsilon=1e-10, pytorch)"),
        (&Adadelta::pytorch(0.1), "adadelta(rho=0.9, epsilon=1e-6)"),
        (&RmsProp::pytorch(0.1), "rmsprop(rho=0.99, epsilon=1e-8, pytorch)"),
        (&Adam::pytorch(0.1), "adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8, pytorch)"),
        (
            &AdamW::pytorch(0.1),
            "adam(beta_1=0.9, beta_2=0.999, epsilon=1e-8, pytorch, decoupled_weight_decay=0.01)",
        ),
        (&Adamax::pytorch(0.1), "adamax(beta_1=0.9, beta_2=0.999, epsilon=1e-8, pytorch)"),
        (&Nadam::pytorch(0.1), "nadam(beta_1=0.9, beta_2=0.999, momentum_decay=0.004, epsilon=1e-8)"),
    ];
    for (optimizer, expected) in cases {
        let tape = record(optimizer).unwrap();
        let mut found = tape.ops().iter().map(|node| format!("{}({})", node.op.name(), node.op.attributes()));
        assert!(found.any(|op| op == expected), "{expected} is not in\n{tape}");
    }
}
