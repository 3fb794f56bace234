//! Devices that are lost, and those that others do wrong on.

use std::sync::atomic::Ordering;

use crate::common;
use crate::common::host::Host;
use retape::data::Samples;
use retape::prelude::*;
use retape::train::pruning::Pruning;
use retape::train::schedules::Constant;
use retape::{Error, HostData, Result, Snapshot};

/// A session, and what there is of it to call.
struct Step {
    graph: Graph,
    session: Session,
    x: Value,
    w: Value,
    count: Value,
    y: Value,
    loss: Value,
    snapshot: Snapshot,
}

fn step(device: &Device) -> Step {
    let mut graph = Graph::new();
    let g = &mut graph;
    let x = g.input("x", [4]);
    let count = g.indices("count", [4]);
    let w = g.parameter("w", [4], Init::Ones);
    let y = g.mul(x, w).unwrap();
    let loss = g.mean(g.square(y).unwrap(), &[], false).unwrap();
    g.keep(y).unwrap();
    g.keep(count).unwrap();
    let mut session = g.training_step(loss, &Sgd::new(0.1)).unwrap().session(device).unwrap();
    session.write(x, &[1.0; 4]).unwrap();
    session.replay().unwrap();
    let snapshot = session.snapshot().unwrap();
    Step { graph, session, x, w, count, y, loss, snapshot }
}

type OnStep = fn(&mut Step, &Device) -> Result<()>;

/// Every call of a session that reaches its device.
const OF_SESSIONS: [(&str, OnStep); 22] = [
    ("write", |s, _| s.session.write(s.x, &[2.0; 4])),
    ("write of what no operator reads", |s, _| s.session.write(s.count, &[1u32; 4])),
    ("write_f16", |s, _| s.session.write(s.x, &[retape::half::f16::ZERO; 4])),
    ("replay", |s, _| s.session.replay()),
    ("replay_n", |s, _| s.session.replay_n(3)),
    ("read", |s, _| s.session.read(s.y).map(drop)),
    ("read_u32", |s, _| s.session.read_u32(s.count).map(drop)),
    ("read_f64", |s, _| s.session.read_f64(s.w).map(drop)),
    ("read_scalar", |s, _| s.session.read_scalar(s.loss).map(drop)),
    ("read_async", |s, _| pollster::block_on(s.session.read_async(s.y)?).map(drop)),
    ("parameter", |s, _| s.session.parameter("w").map(drop)),
    ("set_parameter", |s, _| s.session.set_parameter("w", &[3.0; 4])),
    ("snapshot", |s, _| s.session.snapshot().map(drop)),
    ("restore", |s, _| s.session.restore(&s.snapshot)),
    ("verify", |s, _| s.session.verify(&[(s.x, HostData::from(&[1.0f32; 4][..]))]).map(drop)),
    ("find_non_finite", |s, _| s.session.find_non_finite().map(drop)),
    ("session", |s, device| s.session.tape().session(device).map(drop)),
    ("session of another tape", |s, device| s.graph.forward([s.y])?.session(device).map(drop)),
    ("share_parameters", |s, device| {
        let options = SessionOptions::new().share_parameters(&s.session);
        s.session.tape().session_with(device, options).map(drop)
    }),
    ("from_wgpu", |_, device| {
        let (gpu, queue) = device.wgpu().expect("a GPU");
        let instance =
            retape::wgpu::Instance::new(retape::wgpu::InstanceDescriptor::new_without_display_handle());
        let adapters = pollster::block_on(instance.enumerate_adapters(retape::wgpu::Backends::all()));
        Device::from_wgpu(&adapters[0], gpu.clone(), queue.clone()).map(drop)
    }),
    ("a training in place", |_, device| trainer(device).map(drop)),
    ("an end", |_, device| {
        // What needs no device says nothing of it, but the next call does.
        let mut g = Graph::new();
        let x = g.input("x", [1]);
        g.forward([g.exp(x)?])?.session(device).map(drop)
    }),
];

fn samples() -> Samples<'static> {
    let inputs: Vec<f32> = (0..20).map(|i| (i % 7) as f32 - 3.0).collect();
    Samples::new().input([2], inputs).labels((0..10).map(|i| i % 2).collect::<Vec<u32>>())
}

fn trainer(device: &Device) -> Result<Trainer> {
    let model = Sequential::new().add(Dense::new(3).activation(Activation::Relu)).add(Dense::new(2));
    Trainer::new(model, [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02).ema(0.9))
        .metrics([Metric::Accuracy])
        .batch_size(4)
        .build(device)
}

type OnTrainer = fn(&mut Trainer, &Snapshot) -> Result<()>;

/// Every call of a trainer that reaches its device.
const OF_TRAINERS: [(&str, OnTrainer); 17] = [
    ("fit", |t, _| t.fit(samples(), Fit::epochs(2)).map(drop)),
    ("fit of streamed data", |t, _| t.fit(samples(), Fit::epochs(2).resident_bytes(0)).map(drop)),
    ("fit with a guard", |t, _| t.fit(samples(), Fit::epochs(2).nan_guard(1)).map(drop)),
    ("train_on_batch", |t, _| t.train_on_batch(samples().slice(0..4)).map(drop)),
    ("train_on_batch of another size", |t, _| t.train_on_batch(samples().slice(0..3)).map(drop)),
    ("evaluate", |t, _| t.evaluate(samples()).map(drop)),
    ("predict", |t, _| t.predict(samples()).map(drop)),
    ("predict_classes", |t, _| t.predict_classes(samples()).map(drop)),
    ("predict_probabilities", |t, _| t.predict_probabilities(samples()).map(drop)),
    ("weights_snapshot", |t, _| t.weights_snapshot().map(drop)),
    ("restore_weights", |t, weights| t.restore_weights(weights)),
    ("freeze and unfreeze", |t, _| {
        let is_frozen = t.frozen().next().is_some();
        if is_frozen { t.unfreeze(["dense"]) } else { t.freeze(["dense"]) }
    }),
    ("swap_averages", |t, _| t.swap_averages()),
    ("prune", |t, _| t.prune(&Pruning::global(0.5)).map(drop)),
    ("sparsity", |t, _| t.sparsity().map(drop)),
    ("session_mut", |t, _| t.session_mut().replay()),
    ("a schedule, then fit", |t, _| {
        t.set_schedule(Constant::new(0.1))?;
        t.fit(samples(), Fit::epochs(1)).map(drop)
    }),
];

/// A lost device of each kind is what every call says, and nobody else.
fn refused<S>(name: &str, make: impl Fn(&Device) -> S, call: impl Fn(&mut S, &Device) -> Result<()>) {
    let lost = |result: Result<()>, of: &str| {
        let told = matches!(&result, Err(Error::DeviceLost { message, .. }) if !message.is_empty());
        assert!(told, "{name} on {of}: {result:?}");
    };
    for handlers in [true, false] {
        let host = Host::open(handlers);
        let mut made = make(&host.lent);
        call(&mut made, &host.lent).unwrap_or_else(|e| panic!("{name} where nothing is lost: {e}"));
        host.device.destroy();
        let of = if handlers { "a host's device" } else { "a host's device without handlers" };
        lost(call(&mut made, &host.lent), of);
        lost(call(&mut made, &host.lent), of);
        drop(made);
        // A loss is told once everything that was submitted before has run.
        host.device.poll(retape::wgpu::PollType::wait_indefinitely()).unwrap();
        assert_eq!(host.heard(), 0, "{name}: the host heard {:?}", host.heard);
        assert_eq!(host.lost.load(Ordering::Relaxed), u32::from(handlers), "{name}: the loss itself is told");
    }
    let own = common::open_gpu();
    let mut made = make(&own);
    own.wgpu().expect("a GPU").0.destroy();
    lost(call(&mut made, &own), "a device of our own");
}

#[test]
fn every_call_of_a_session_says_that_its_device_is_lost() {
    for (name, call) in OF_SESSIONS {
        refused(name, step, call);
    }
}

#[test]
fn every_call_of_a_trainer_says_that_its_device_is_lost() {
    for (name, call) in OF_TRAINERS {
        let make = |device: &Device| {
            let mut trainer = trainer(device).unwrap();
            trainer.train_on_batch(samples().slice(0..4)).unwrap();
            let weights = trainer.weights_snapshot().unwrap();
            (trainer, weights)
        };
        refused(name, make, |(trainer, weights), _| call(trainer, weights));
    }
}

/// Work that is under way when the device goes.
#[test]
fn a_read_that_was_asked_for_before_the_loss_ends() {
    for handlers in [true, false] {
        let host = Host::open(handlers);
        let s = step(&host.lent);
        let reading = s.session.read_async(s.y).unwrap();
        host.device.destroy();
        match pollster::block_on(reading) {
            Ok(y) => assert_eq!(y.len(), 4),
            Err(error) => assert!(matches!(error, Error::DeviceLost { .. }), "{error}"),
        }
        assert_eq!(host.heard(), 0);
    }
}

/// A callback loses the device in the middle of an epoch.
#[test]
fn a_training_whose_device_goes_ends_with_that() {
    for handlers in [true, false] {
        let host = Host::open(handlers);
        let mut trainer = trainer(&host.lent).unwrap();
        let device = host.device.clone();
        let destroys = move |run: &mut retape::train::Run<'_>| {
            if run.epoch() == 1 {
                device.destroy();
            }
            Ok(())
        };
        let error = trainer.fit(samples(), Fit::epochs(3).on_steps(2, destroys)).unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
        assert_eq!(trainer.history().epochs.len(), 1);
        assert_eq!(host.heard(), 0, "{:?}", host.heard);
    }
}

#[test]
fn what_another_user_does_wrong_is_told_to_the_owner_alone() {
    let host = Host::open(true);
    let mut s = step(&host.lent);
    for (heard, (name, call)) in OF_SESSIONS.into_iter().enumerate() {
        host.err();
        call(&mut s, &host.lent).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(host.heard(), heard + 1, "{name}: {:?}", host.heard);
    }
    // Of a device of our own, which was lent, the log has it.
    let own = common::open_gpu();
    let mut s = step(&own);
    let usage = retape::wgpu::BufferUsages::empty();
    let wrong = retape::wgpu::BufferDescriptor { label: None, size: 4, usage, mapped_at_creation: false };
    drop(own.wgpu().unwrap().0.create_buffer(&wrong));
    s.session.replay().unwrap();
    s.session.read(s.y).unwrap();
}

/// Error scopes of the host around our calls stay empty, and catch what is the host's.
#[test]
fn scopes_of_the_host_catch_what_is_its_own() {
    let host = Host::open(false);
    let mut s = step(&host.lent);
    let scope = host.device.push_error_scope(retape::wgpu::ErrorFilter::Validation);
    s.session.replay().unwrap();
    s.session.read(s.y).unwrap();
    assert!(pollster::block_on(scope.pop()).is_none());
    let scope = host.device.push_error_scope(retape::wgpu::ErrorFilter::Validation);
    s.session.replay().unwrap();
    host.err();
    s.session.replay().unwrap();
    assert!(pollster::block_on(scope.pop()).is_some());
}

/// A buffer of a session that the program destroys is an error of the calls that need it, of each.
#[test]
fn a_destroyed_buffer_is_an_error_of_the_calls_that_need_it() {
    for handlers in [true, false] {
        let host = Host::open(handlers);
        let mut s = step(&host.lent);
        s.session.buffer(s.w).unwrap().buffer.destroy();
        for result in [
            s.session.replay(),
            s.session.write(s.w, &[1.0; 4]),
            s.session.read(s.w).map(drop),
            s.session.snapshot().map(drop),
            s.session.restore(&s.snapshot),
        ] {
            assert!(matches!(result, Err(Error::Gpu { .. })), "{result:?}");
        }
        assert_eq!(host.heard(), 0, "{:?}", host.heard);
        // The device is there for others.
        let mut other = step(&host.lent);
        other.session.replay().unwrap();
    }
}
