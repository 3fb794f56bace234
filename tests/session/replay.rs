//! Sessions on the GPU: replaying, reading, sharing, per-step scalars, and what a replay costs in
//! objects.

use crate::common;
use retape::prelude::*;
use retape::{Error, Result, SessionOptions};

struct Mlp {
    tape: Tape,
    x: Value,
    t: Value,
    loss: Value,
}

fn mlp(optimizer: &dyn Optimizer, batch: usize) -> Result<Mlp> {
    let mut g = Graph::new();
    let x = g.input("x", [batch, 7]);
    let t = g.targets("t", [batch, 3]);
    let w1 = g.parameter("w1", [7, 13], Init::HeUniform);
    let b1 = g.parameter("b1", [13], Init::Zeros);
    let w2 = g.parameter("w2", [13, 3], Init::GlorotNormal);
    let h = g.tanh(g.add(g.matmul(x, w1)?, b1)?)?;
    let loss = g.mean(g.square(g.sub(g.matmul(h, w2)?, t)?)?, &[], false)?;
    let tape = g.training_step(loss, optimizer)?.keep_gradients();
    Ok(Mlp { tape, x, t, loss })
}

fn write_data(session: &mut Session, net: &Mlp, batch: usize, seed: u32) {
    session.write(net.x, &common::data::noise(batch * 7, seed, -1.0, 1.0)).unwrap();
    session.write(net.t, &common::data::noise(batch * 3, seed + 1, -1.0, 1.0)).unwrap();
}

fn bits(data: &[f32]) -> Vec<u32> {
    data.iter().map(|v| v.to_bits()).collect()
}

fn parameters(session: &Session) -> Vec<u32> {
    session.parameter_names().iter().flat_map(|name| bits(&session.parameter(name).unwrap())).collect()
}

/// Recording again at the current parameters gives the same step as replaying.
#[test]
fn replaying_equals_recording_again() {
    let device = common::gpu();
    let net = mlp(&Sgd::new(0.1), 5).unwrap();
    let mut replayed = net.tape.session(device).unwrap();
    write_data(&mut replayed, &net, 5, 1);
    let mut carried: Option<Vec<(String, Vec<f32>)>> = None;
    for step in 0..4 {
        let again = mlp(&Sgd::new(0.1), 5).unwrap();
        let mut fresh = again.tape.session(device).unwrap();
        for (name, data) in carried.iter().flatten() {
            fresh.set_parameter(name, data).unwrap();
        }
        write_data(&mut fresh, &again, 5, 1);
        fresh.replay().unwrap();
        replayed.replay().unwrap();
        assert_eq!(parameters(&fresh), parameters(&replayed), "step {step}");
        let names = replayed.parameter_names();
        carried = Some(names.iter().map(|n| (n.to_string(), replayed.parameter(n).unwrap())).collect());
    }
}

#[test]
fn another_sessions_replay_changes_nothing() {
    let device = common::gpu();
    let net = mlp(&Adam::new(0.01), 5).unwrap();
    let run = |disturbed: bool| {
        let mut session = net.tape.session_with(device, SessionOptions::new().seed(3)).unwrap();
        let mut other = net.tape.session_with(device, SessionOptions::new().seed(4)).unwrap();
        write_data(&mut session, &net, 5, 1);
        write_data(&mut other, &net, 5, 8);
        for _ in 0..5 {
            session.replay().unwrap();
            if disturbed {
                other.replay().unwrap();
            }
        }
        parameters(&session)
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn many_steps_at_once_are_the_same_as_one_by_one() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let net = mlp(&Adam::new(0.02), 5).unwrap();
        let mut one_by_one = net.tape.session(&device).unwrap();
        let mut at_once = net.tape.session(&device).unwrap();
        write_data(&mut one_by_one, &net, 5, 1);
        write_data(&mut at_once, &net, 5, 1);
        (0..300).for_each(|_| one_by_one.replay().unwrap());
        at_once.replay_n(300).unwrap();
        assert_eq!(parameters(&one_by_one), parameters(&at_once));
        assert_eq!((one_by_one.step(), at_once.step()), (300, 300));
    }
}

/// wgpu's own counters: a thousand replays make no buffer, bind group or pipeline.
#[test]
fn a_thousand_replays_make_no_objects() {
    // A device of its own: other tests make objects on the shared one.
    let device = &common::open_gpu();
    let net = mlp(&Adam::new(0.01), 5).unwrap();
    let mut session = net.tape.session(device).unwrap();
    write_data(&mut session, &net, 5, 1);
    session.replay_n(3).unwrap();
    session.read(net.loss).unwrap();
    let count = || {
        let (wgpu, _) = device.wgpu().unwrap();
        let hal = wgpu.get_internal_counters().hal;
        [
            hal.buffers.read(),
            hal.bind_groups.read(),
            hal.compute_pipelines.read(),
            hal.bind_group_layouts.read(),
            hal.pipeline_layouts.read(),
            hal.shader_modules.read(),
            hal.buffer_memory.read(),
        ]
    };
    let before = count();
    assert!(before[0] > 0 && before[1] > 0 && before[2] > 0, "the counters count: {before:?}");
    (0..1000).for_each(|_| session.replay().unwrap());
    session.read(net.loss).unwrap();
    assert_eq!(count(), before);
}

/// Nothing that changes from step to step is frozen into the recording.
#[test]
fn learning_rate_step_and_seed_change_between_replays() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let net = mlp(&Sgd::new(0.1), 5).unwrap();
        let mut session = net.tape.session(&device).unwrap();
        write_data(&mut session, &net, 5, 1);
        session.set_scalar("learning_rate", 0.0).unwrap();
        let before = parameters(&session);
        session.replay().unwrap();
        assert_eq!(parameters(&session), before, "a rate of 0 moves nothing");
        session.set_scalar("learning_rate", 0.5).unwrap();
        session.replay().unwrap();
        assert_ne!(parameters(&session), before);
        assert_eq!(session.scalar("learning_rate").unwrap(), 0.5);
        let error = session.set_scalar("rate", 1.0).unwrap_err().to_string();
        assert!(error.contains("`rate`") && error.contains("learning_rate"), "{error}");

        // Adam's bias correction depends on the step: from empty moments, a step at t = 1001 is
        // 0.1 / sqrt(0.001 / 0.63) = 2.5 times the first one.
        let net = mlp(&Adam::new(0.01), 5).unwrap();
        let moved = |step: u32| {
            let mut session = net.tape.session(&device).unwrap();
            write_data(&mut session, &net, 5, 1);
            session.set_step(step);
            let before = session.parameter("w2").unwrap();
            session.replay().unwrap();
            assert_eq!(session.step(), step + 1);
            let after = session.parameter("w2").unwrap();
            before.iter().zip(&after).map(|(a, b)| (a - b).abs()).sum::<f32>()
        };
        assert!((moved(1000) / moved(0) - 2.5).abs() < 0.1, "{} {}", moved(0), moved(1000));
        session.set_seed(9);
        assert_eq!(session.seed(), 9);
    }
}

#[test]
fn training_and_evaluation_share_parameters() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let net = mlp(&Sgd::new(0.1), 5).unwrap();
        let mut training = net.tape.session(&device).unwrap();
        write_data(&mut training, &net, 5, 1);
        let mut g = Graph::new();
        let x = g.input("x", [2, 7]);
        let w1 = g.parameter("w1", [7, 13], Init::Ones);
        let extra = g.parameter("extra", [13], Init::Ones);
        let y = g.mul(g.matmul(x, w1).unwrap(), extra).unwrap();
        let tape = g.forward([y]).unwrap();
        let options = SessionOptions::new().share_parameters(&training);
        let mut evaluation = tape.session_with(&device, options).unwrap();
        assert_eq!(bits(&evaluation.parameter("w1").unwrap()), bits(&training.parameter("w1").unwrap()));
        assert_eq!(evaluation.parameter("extra").unwrap(), [1.0; 13], "its own parameter is initialised");
        training.replay_n(3).unwrap();
        assert_eq!(bits(&evaluation.parameter("w1").unwrap()), bits(&training.parameter("w1").unwrap()));
        evaluation.write(x, &[1.0; 14]).unwrap();
        evaluation.replay().unwrap();
        let w1 = training.parameter("w1").unwrap();
        let column: f32 = (0..7).map(|row| w1[row * 13]).sum();
        assert!((evaluation.read(y).unwrap()[0] - column).abs() < 1e-5);
    }
}

#[test]
fn sharing_refuses_other_shapes_and_devices() {
    let device = common::gpu();
    let net = mlp(&Sgd::new(0.1), 5).unwrap();
    let training = net.tape.session(device).unwrap();
    let mut g = Graph::new();
    let w1 = g.parameter("w1", [7, 12], Init::Zeros);
    let y = g.exp(w1).unwrap();
    let tape = g.forward([y]).unwrap();
    let share =
        |device: &Device| tape.session_with(device, SessionOptions::new().share_parameters(&training));
    let error = share(device).err().unwrap().to_string();
    assert!(error.contains("f32[7, 12]") && error.contains("f32[7, 13]"), "{error}");
    assert!(matches!(share(&Device::reference()), Err(Error::Share { .. })));
}

#[test]
fn reading_blocks_or_not() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let net = mlp(&Sgd::new(0.1), 5).unwrap();
        let mut session = net.tape.session(&device).unwrap();
        write_data(&mut session, &net, 5, 1);
        session.replay().unwrap();
        let pending = session.read_async(net.loss).unwrap();
        let first = session.read(net.loss).unwrap();
        session.replay().unwrap();
        assert_eq!(pollster::block_on(pending).unwrap(), first, "the copy was taken when asked for");
        assert_ne!(session.read(net.loss).unwrap(), first);
    }
}

#[test]
fn a_value_that_is_not_kept_says_how_to_keep_it() {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let hidden = g.exp(x).unwrap();
    let y = g.tanh(hidden).unwrap();
    let tape = g.forward([y]).unwrap();
    let session = tape.session(common::gpu()).unwrap();
    assert!(matches!(session.read(hidden), Err(Error::NotKept { .. })));
    assert!(matches!(session.buffer(hidden), Err(Error::NotKept { .. })));
    let kept = tape.keep([hidden]).unwrap();
    let mut session = kept.session(common::gpu()).unwrap();
    session.write(x, &[0.0, 1.0, 2.0, 3.0]).unwrap();
    session.replay().unwrap();
    let expected = [1.0, 1f32.exp(), 2f32.exp(), 3f32.exp()];
    for (got, want) in session.read(hidden).unwrap().iter().zip(expected) {
        approx::assert_relative_eq!(*got, want, max_relative = 1e-6);
    }
}

/// An assignment takes effect at the end of the step: a counter that reads itself counts, and
/// others see the old number.
#[test]
fn assignments_take_effect_at_the_end_of_the_step() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let g = Graph::new();
        let count = g.state("count", [1], Init::Zeros);
        let next = g.add(count, g.scalar_constant(1.0)).unwrap();
        g.assign(count, next).unwrap();
        let seen = g.mul(count, g.scalar_constant(10.0)).unwrap();
        let mut session = g.forward([seen]).unwrap().session(&device).unwrap();
        session.replay_n(4).unwrap();
        assert_eq!(session.read(seen).unwrap(), [30.0]);
        assert_eq!(session.read(count).unwrap(), [4.0]);
    }
}

/// The host's own device: results are read from the session's buffer without us.
#[test]
fn a_host_device_is_used_as_it_is() {
    let (device, queue) = common::gpu().wgpu().map(|(d, q)| (d.clone(), q.clone())).unwrap();
    let instance =
        retape::wgpu::Instance::new(retape::wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(retape::wgpu::Backends::all()));
    let same = adapters.into_iter().find(|a| a.get_info().name == device.adapter_info().name).unwrap();
    let ours = Device::from_wgpu(&same, device, queue).unwrap();
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let y = g.neg(x).unwrap();
    let mut session = g.forward([y]).unwrap().session(&ours).unwrap();
    session.write(x, &[1.0, 2.0, 3.0, 4.0]).unwrap();
    session.replay().unwrap();
    let place = session.buffer(y).unwrap();
    assert_eq!((place.offset, place.bytes), (0, 16));
    assert!(place.buffer.size() >= 16);
    assert_eq!(session.read(y).unwrap(), [-1.0, -2.0, -3.0, -4.0]);
    assert!(matches!(
        g.forward([y]).unwrap().session(&Device::reference()).unwrap().buffer(y),
        Err(Error::NeedsGpu { .. })
    ));
}

/// A kept value is computed by the training step even though the loss does not need it.
#[test]
fn what_the_graph_keeps_every_tape_computes() {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let w = g.parameter("w", [4], Init::Ones);
    let logits = g.mul(x, w).unwrap();
    let seen = g.keep(g.sigmoid(logits).unwrap()).unwrap();
    let loss = g.mean(g.square(logits).unwrap(), &[], false).unwrap();
    let mut session = g.training_step(loss, &Sgd::new(0.1)).unwrap().session(common::gpu()).unwrap();
    session.replay().unwrap();
    assert_eq!(session.read(seen).unwrap(), [0.5; 4]);
}

/// Sessions of one device on several threads: each gets its own results.
#[test]
fn threads_read_their_own_results() {
    let device = common::gpu();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let mut g = Graph::new();
                let x = g.input("x", [100]);
                let y = g.add(x, g.scalar_constant(thread as f32)).unwrap();
                let mut session = g.forward([y]).unwrap().session(device).unwrap();
                for round in 0..100 {
                    session.write(x, &[round as f32; 100]).unwrap();
                    session.replay().unwrap();
                    assert_eq!(session.read(y).unwrap(), [(round + thread) as f32; 100]);
                }
            });
        }
    });
}

/// Assignments read what the step began with, each other's targets included.
#[test]
fn assignments_may_swap() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let g = Graph::new();
        let a = g.state("a", [4], Init::Constant(1.0));
        let b = g.state("b", [4], Init::Constant(2.0));
        let c = g.state("c", [2, 2], Init::Zeros);
        g.assign(c, g.reshape(a, [2, 2]).unwrap()).unwrap();
        g.assign(a, b).unwrap();
        g.assign(b, a).unwrap();
        let same = g.state("same", [4], Init::Constant(7.0));
        g.assign(same, g.stop_gradient(same).unwrap()).unwrap();
        let mut session = g.forward(Vec::new()).unwrap().session(&device).unwrap();
        for (first, second) in [(2.0, 1.0), (1.0, 2.0)] {
            session.replay().unwrap();
            assert_eq!(
                (session.read(a).unwrap(), session.read(b).unwrap()),
                (vec![first; 4], vec![second; 4])
            );
            assert_eq!(session.read(c).unwrap(), [second; 4]);
            assert_eq!(session.read(same).unwrap(), [7.0; 4]);
        }
    }
}

/// Sessions that share a parameter, each on a thread of its own.
#[test]
fn shared_parameters_do_not_deadlock() {
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let w = g.parameter("w", [8], Init::Ones);
        let v = g.parameter("v", [8], Init::Ones);
        let loss = g.sum(g.mul(g.mul(w, w).unwrap(), g.mul(v, w).unwrap()).unwrap(), &[], false).unwrap();
        let mut training = g.training_step(loss, &Sgd::new(1e-4)).unwrap().session(&device).unwrap();
        let options = SessionOptions::new().share_parameters(&training);
        let mut evaluation = g.forward([loss]).unwrap().session_with(&device, options).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| training.replay_n(2000).unwrap());
            scope.spawn(|| evaluation.replay_n(2000).unwrap());
        });
    }
}

/// Half-precision data is widened exactly, and checked like any other.
#[test]
fn half_precision_data_is_widened() {
    use retape::half::f16;
    for device in [Device::reference(), Device::cpu(), common::gpu().clone()] {
        let mut g = Graph::new();
        let x = g.input("x", [4]);
        let y = g.neg(x).unwrap();
        let mut session = g.forward([y]).unwrap().session(&device).unwrap();
        let numbers = [1.5, -0.099_975_586, 65_504.0, 6.103_515_6e-5];
        session.write(x, &numbers.map(f16::from_f32)).unwrap();
        session.replay().unwrap();
        assert_eq!(session.read(y).unwrap(), numbers.map(|v| -v));
        assert!(matches!(session.write(x, &[f16::ONE; 3]), Err(Error::Length { .. })));
    }
}
