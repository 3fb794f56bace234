//! Steps that make results of the forward pass again: the same numbers in less memory.

use crate::common;
use crate::common::data::noise;
use crate::steps::{residual, step_of};
use retape::data::Samples;
use retape::graph::Phase;
use retape::prelude::*;
use retape::tape::{BufferRole, DeviceProfile};
use retape::{Error, HostData};

/// A model of layers whose repetition could go wrong: noise that must be the same, statistics that must advance
/// once, a branch that crosses segments, views.
fn model() -> Model {
    let mut network = Network::new();
    let x = network.input();
    let a = network.add(Conv2d::new(4, 3).padding(Padding::Same).activation(Activation::Relu), x);
    let b = network.add(BatchNorm::new(), a);
    let c = network.add(Conv2d::new(4, 3).padding(Padding::Same), b);
    let d = network.add(Add, [c, a]);
    let e = network.add(Dropout::new(0.3), d);
    let f = network.add(Flatten, e);
    let g = network.add(Dense::new(12).activation(Activation::Tanh), f);
    let h = network.add(GaussianNoise::new(0.1), g);
    let i = network.add(Reshape::new([3, 4]), h);
    let j = network.add(Lstm::new(5), i);
    let k = network.add(Dense::new(3), j);
    network.output(k)
}

fn step() -> (Tape, Value, Value) {
    let mut g = Graph::new();
    let (x, labels) = (g.input("x", [4, 2, 8, 8]), g.labels("labels", [4]));
    let logits = model().record(&mut g, x, Mode::Training).unwrap();
    let loss = g.softmax_cross_entropy(logits, labels).unwrap();
    (g.training_step(loss, &Adam::new(0.01)).unwrap().keep_gradients(), x, labels)
}

/// Every state, loss and gradient after some steps.
fn trained(tape: &Tape, device: &Device, fuse: bool, (x, labels): (Value, Value)) -> Vec<Vec<f32>> {
    let mut session = tape.session_with(device, SessionOptions::new().fuse(fuse)).unwrap();
    session.write(labels, &[0u32, 1, 2, 1]).unwrap();
    for seed in 0..3 {
        session.write(x, &noise(512, seed, -1.0, 1.0)).unwrap();
        session.replay().unwrap();
    }
    let read = tape.persistent().into_iter().filter(|&v| v != labels && v != x).chain(tape.kept());
    read.map(|value| session.read(value).unwrap()).collect()
}

#[test]
fn a_step_that_runs_parts_again_computes_the_same() {
    let (tape, x, labels) = step();
    let devices = [&Device::reference(), &Device::cpu(), common::gpu()];
    for device in devices {
        let want = trained(&tape, device, false, (x, labels));
        for layers in [1, 2, 3, 5] {
            let again = tape.recompute(Recompute::every(layers)).unwrap();
            assert!(again.recomputed().unwrap().operators > 0, "{layers}\n{again}");
            let of_phase = |phase| again.ops().iter().filter(|node| node.phase == phase).count();
            assert!(of_phase(Phase::Recompute) > 0);
            assert_eq!(
                of_phase(Phase::Forward) + of_phase(Phase::Backward) + of_phase(Phase::Update),
                tape.ops().len()
            );
            assert_eq!(trained(&again, device, false, (x, labels)), want, "{layers} on {device}");
            for (one, other) in trained(&again, device, true, (x, labels)).concat().iter().zip(want.concat())
            {
                assert!((one - other).abs() <= 1e-3 * (1.0 + other.abs()), "{layers}: {one} {other}");
            }
        }
        let whole = tape.recompute(Recompute::every(usize::MAX)).unwrap();
        assert_eq!(whole.recomputed().unwrap().operators, 0);
        assert_eq!(trained(&whole, device, false, (x, labels)), want);
    }
    let mut session = tape.recompute(Recompute::every(2)).unwrap().session(common::gpu()).unwrap();
    let image = noise(512, 9, -1.0, 1.0);
    let checked = session.verify(&[(x, (&image).into()), (labels, HostData::U32(&[2, 1, 0, 0]))]).unwrap();
    assert!(checked.passes(), "{checked}");
}

/// A state that the forward pass reads is overwritten after the last time that it is read.
#[test]
fn what_runs_again_reads_states_as_the_step_began() {
    let mut g = Graph::new();
    let x = g.input("x", [3]);
    let (w, total) = (g.parameter("w", [3], Init::Ones), g.state("total", [3], Init::Ones));
    let a = g.exp(g.mul(g.add(x, total).unwrap(), w).unwrap()).unwrap();
    g.assign(total, g.add(total, a).unwrap()).unwrap();
    let y = g.tanh(a).unwrap();
    let loss = g.mean(g.square(y).unwrap(), &[], false).unwrap();
    let tape = g.training_step(loss, &Sgd::new(0.001)).unwrap();
    let mut results = Vec::new();
    for tape in [&tape, &tape.recompute(Recompute::every(2)).unwrap()] {
        let mut session = tape.session(&Device::reference()).unwrap();
        session.write(x, &[0.1, -0.5, 0.2]).unwrap();
        session.replay_n(2).unwrap();
        results.push((
            session.read(w).unwrap(),
            session.read(total).unwrap(),
            session.read_scalar(loss).unwrap(),
        ));
    }
    assert_eq!(results[0], results[1]);
}

/// The gradient of a gradient: what lies before and after it in the forward pass stays right.
#[test]
fn a_gradient_penalty_stays_right() {
    let mut g = Graph::new();
    let (x, w) = (g.parameter("x", [4, 3], Init::Normal { mean: 0.0, std: 0.3 }), g.input("w", [3, 3]));
    let twice = |x| g.mul(g.matmul(x, w).unwrap(), x).unwrap();
    let b = twice(twice(twice(x)));
    let score = g.sum(b, &[], false).unwrap();
    let slope = g.differentiate(score, &[x]).unwrap()[0];
    let penalty = g.mean(g.mul(slope, slope).unwrap(), &[], false).unwrap();
    let loss = g.add(penalty, score).unwrap();
    let tape = g.training_step(loss, &Sgd::new(1e-4)).unwrap();
    let read = |tape: &Tape| {
        let mut session = tape.session(&Device::reference()).unwrap();
        session.write(w, &noise(9, 4, -1.0, 1.0)).unwrap();
        session.replay_n(3).unwrap();
        (session.read(x).unwrap(), session.read_scalar(loss).unwrap())
    };
    for layers in 1..6 {
        assert_eq!(read(&tape.recompute(Recompute::every(layers)).unwrap()), read(&tape), "{layers}");
    }
}

#[test]
fn segments_save_the_memory_that_they_say() {
    let profile = DeviceProfile { max_buffer_bytes: 1 << 30, ..DeviceProfile::baseline() };
    let peak = |tape: &Tape| tape.fuse(&profile).plan(&profile).unwrap().role_bytes(BufferRole::Transient);
    let deep =
        (0..24).fold(Sequential::new(), |model, _| model.add(Dense::new(256).activation(Activation::Relu)));
    // The most that is left of the memory of results, in percent, and what is computed again of everything.
    for (name, tape, every, memory, work) in [
        ("24 dense layers", step_of(&deep, &[512, 256]), 5, 60, 25),
        ("ResNet-20", residual(20), 8, 60, 34),
        ("ResNet-50", residual(50), 12, 50, 34),
    ] {
        let again = tape.recompute(Recompute::every(every)).unwrap();
        let figures = again.recomputed().unwrap().clone();
        let peaks = [&tape, &again].map(peak);
        println!("{name}: {figures}; results at their peak {peaks:?}");
        assert!(100 * peaks[1] <= memory * peaks[0], "{name}: {peaks:?}");
        assert!(100 * figures.kept_bytes <= memory * figures.step_kept_bytes, "{name}: {figures}");
        assert!(100 * figures.multiply_adds <= work * figures.step_multiply_adds, "{name}: {figures}");
        let text = again.to_string();
        assert!(text.contains(&figures.to_string()) && text.contains(" recomputed, "), "{text:.300}");
    }
}

#[test]
fn a_trainer_recomputes() {
    let data = noise(20 * 128, 1, -1.0, 1.0);
    let labels: Vec<u32> = (0..20).map(|i| i % 3).collect();
    let trainer = || {
        Trainer::new(model(), [2, 8, 8])
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Adam::new(0.01))
            .batch_size(4)
            .progress(false)
    };
    let losses = |mut trainer: Trainer| {
        let batches = data.chunks(4 * 128).zip(labels.chunks(4));
        let samples = batches.map(|(x, y)| Samples::new().input([2, 8, 8], x).labels(y));
        let losses = samples.map(|samples| trainer.train_on_batch(samples).unwrap().get("loss").unwrap());
        (losses.collect::<Vec<_>>(), trainer.session().tape().recomputed().is_some())
    };
    let plain = losses(trainer().build(&Device::cpu()).unwrap());
    let again = losses(trainer().recompute(Recompute::every(3)).build(&Device::cpu()).unwrap());
    assert_eq!((plain.1, again.1), (false, true));
    for (one, other) in plain.0.iter().zip(&again.0) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
    let refused = trainer().recompute(Recompute::every(0)).build(&Device::cpu());
    assert!(matches!(refused, Err(Error::Argument { argument: "every", .. })), "{refused:?}");
}
