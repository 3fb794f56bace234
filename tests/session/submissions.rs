//! How steps are handed over: cut where the planned cost says so, with the same bits.

use std::time::Duration;

use crate::common;
use crate::steps::step_of;
use retape::data::Samples;
use retape::nn::architectures;
use retape::ops::RecurrentRoute;
use retape::prelude::*;
use retape::tape::{DeviceProfile, Plan};
use retape::testing::{submissions, submissions_of};

const ABOUT: Duration = Duration::from_millis(100);

/// The counts of a plan's submissions, each of which is checked to be short, or one dispatch.
fn bounded(plan: &Plan, about: Duration) -> Vec<usize> {
    let (counts, guesses) = submissions_of(plan, about);
    let mut rest = &guesses[..];
    for (number, &count) in counts.iter().enumerate() {
        let whole = about.as_secs_f64();
        let limit = if number == 0 { whole / 8.0 } else { whole };
        let taken: f64 = rest[..count].iter().sum();
        assert!(count == 1 || (taken <= limit && count <= 4096), "submission {number} takes {taken} s");
        rest = &rest[count..];
        // What comes next did not go in any more.
        assert!(rest.first().is_none_or(|next| taken + next > limit || count == 4096));
    }
    assert!(rest.is_empty() && counts.iter().all(|&count| count > 0));
    counts
}

/// A step of seconds, which is planned here and not run.
#[test]
fn a_step_of_vgg_goes_in_many_submissions() {
    let profile = DeviceProfile {
        max_workgroup_bytes: 32 << 10,
        max_binding_bytes: 1 << 30,
        max_buffer_bytes: 1 << 30,
        ..DeviceProfile::baseline()
    };
    let tape = step_of(&architectures::vgg16(1000), &[8, 3, 224, 224]);
    let plan = tape.fuse(&profile).plan(&profile).unwrap();
    // Forward, and but for the image twice as much backward.
    let forward = 8 * 15_470_264_320;
    let work = plan.work().multiply_adds;
    assert!((29 * forward / 10..3 * forward).contains(&work), "{work}");
    let counts = bounded(&plan, ABOUT);
    assert!(counts.len() > 20, "{counts:?}");
    // On a device a hundred times faster.
    let fast = bounded(&plan, 100 * ABOUT);
    assert!((2..6).contains(&fast.len()), "{fast:?}");
    assert_eq!(bounded(&plan, Duration::MAX), [plan.dispatches.len()]);
    assert_eq!(bounded(&plan, Duration::ZERO), vec![1; plan.dispatches.len()]);
}

struct Sequence {
    tape: Tape,
    x: Value,
}

fn sequence(time: usize, units: usize) -> Sequence {
    let mut g = Graph::new();
    let x = g.input("x", [1, time, 3]);
    let layer = Lstm::new(units).route(RecurrentRoute::Steps);
    let y = retape::nn::record(&layer, &mut g, &[x], Mode::Training).unwrap().outputs[0];
    let loss = g.mean(g.square(y).unwrap(), &[], false).unwrap();
    Sequence { tape: g.training_step(loss, &Sgd::new(0.1)).unwrap(), x }
}

/// Small dispatches are bounded in number, whatever they are expected to take.
#[test]
fn a_long_sequence_goes_in_several_submissions() {
    let Sequence { tape, .. } = sequence(3000, 64);
    let profile = DeviceProfile::baseline();
    let plan = tape.fuse(&profile).plan(&profile).unwrap();
    assert!(plan.dispatches.len() > 6000);
    for about in [ABOUT, 100 * ABOUT, Duration::MAX] {
        assert!(bounded(&plan, about).len() > 1);
    }

    let device = common::open_gpu();
    let Sequence { tape, x } = sequence(3000, 4);
    let run = |about: Duration| {
        device.set_submission_time(about);
        let mut session = tape.session(&device).unwrap();
        session.write(x, &common::data::noise(9000, 5, -1.0, 1.0)).unwrap();
        let before = submissions(&device);
        session.replay().unwrap();
        (parameters(&session), submissions(&device) - before)
    };
    let (split, many) = run(Duration::from_micros(500));
    let (whole, few) = run(Duration::MAX);
    assert_eq!(split, whole);
    assert!(many > few && few == 2, "{many} and {few}");
}

fn parameters(session: &Session) -> Vec<Vec<u32>> {
    let bits = |name: &str| session.parameter(name).unwrap().iter().map(|v| v.to_bits()).collect();
    session.parameter_names().into_iter().map(bits).collect()
}

/// With a rate and a random mask, both of which a step has in the middle of it.
fn network() -> (Tape, [Value; 2]) {
    let mut g = Graph::new();
    let (x, labels) = (g.input("x", [6, 1, 8, 8]), g.labels("labels", [6]));
    let model = Sequential::new()
        .add(Conv2d::new(4, 3).activation(Activation::Relu))
        .add(BatchNorm::new())
        .add(Dropout::new(0.3))
        .add(Flatten)
        .add(Dense::new(5));
    let logits = model.record(&mut g, x, Mode::Training).unwrap();
    let loss = g.softmax_cross_entropy(logits, labels).unwrap();
    (g.training_step(loss, &Adam::new(0.01)).unwrap(), [x, labels])
}

/// Two replays, three in one call, and between them another rate.
fn replayed(device: &Device) -> (Vec<Vec<u32>>, u32, usize) {
    let (tape, [x, labels]) = network();
    let mut session = tape.session(device).unwrap();
    session.write(x, &common::data::noise(6 * 64, 3, -1.0, 1.0)).unwrap();
    session.write(labels, &[0u32, 1, 2, 3, 4, 0]).unwrap();
    session.replay().unwrap();
    session.set_scalar("learning_rate", 0.003).unwrap();
    session.replay().unwrap();
    session.replay_n(3).unwrap();
    (parameters(&session), session.step(), session.plan().map_or(0, |plan| plan.dispatches.len()))
}

#[test]
fn a_step_has_the_same_bits_however_it_is_handed_over() {
    let device = common::open_gpu();
    let count = |about: Duration| {
        device.set_submission_time(about);
        let before = submissions(&device);
        (replayed(&device), submissions(&device) - before)
    };
    let ((whole, steps, dispatches), few) = count(Duration::MAX);
    assert_eq!((steps, few), (5, 3), "one for each call");
    assert!(dispatches > 5);
    let ((split, steps, _), many) = count(Duration::ZERO);
    assert_eq!((steps, many), (5, 5 * dispatches as u64), "one for each dispatch");
    assert_eq!(split, whole);
    assert_eq!(replayed(&common::open_gpu()).0, whole, "as it is by itself");
    let ((some, ..), between) = count(Duration::from_micros(300));
    assert_eq!(some, whole);
    assert!((few..=many).contains(&between));
}

#[test]
fn trainers_hand_over_by_the_same_rule() {
    let device = common::open_gpu();
    let inputs = common::data::noise(40 * 6, 1, -1.0, 1.0);
    let samples =
        || Samples::new().input([6], &inputs[..]).labels((0..40).map(|i| i % 3).collect::<Vec<u32>>());
    let run = |about: Duration| {
        device.set_submission_time(about);
        let model = Sequential::new()
            .add(Dense::new(8).activation(Activation::Relu))
            .add(Dropout::new(0.2))
            .add(Dense::new(3));
        let mut trainer = Trainer::new(model, [6])
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Adam::new(0.02))
            .metrics([Metric::Accuracy])
            .batch_size(8)
            .seed(3)
            .build(&device)
            .unwrap();
        let mut counts = vec![submissions(&device)];
        let history = trainer.fit(samples(), Fit::epochs(2).validation_split(0.25)).unwrap();
        counts.push(submissions(&device));
        let evaluated = trainer.evaluate(samples()).unwrap();
        counts.push(submissions(&device));
        let predicted = trainer.predict(samples()).unwrap().data;
        counts.push(submissions(&device));
        let bits: Vec<u32> = predicted.iter().map(|v| v.to_bits()).collect();
        let counts: Vec<u64> = counts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        (bits, history.epochs, evaluated.loss.to_bits(), counts)
    };
    let (predicted, epochs, loss, few) = run(Duration::MAX);
    let (split, split_epochs, split_loss, many) = run(Duration::ZERO);
    assert_eq!((split, split_loss), (predicted, loss));
    let losses = |epochs: &[retape::train::Logs]| -> Vec<Option<f64>> {
        epochs.iter().flat_map(|logs| ["loss", "val_loss", "accuracy"].map(|name| logs.get(name))).collect()
    };
    assert_eq!(losses(&split_epochs), losses(&epochs));
    assert!(few.iter().zip(&many).all(|(few, many)| 2 * few <= *many), "{few:?} and {many:?}");
}

/// A step counts when all of it is encoded: one that the device's end cuts short does not.
#[test]
fn a_step_that_the_device_does_not_live_to_see_is_not_counted() {
    let device = common::open_gpu();
    device.set_submission_time(Duration::ZERO);
    let (tape, _) = network();
    let mut session = tape.session(&device).unwrap();
    session.replay_n(2).unwrap();
    device.wgpu().unwrap().0.destroy();
    for _ in 0..2 {
        let error = session.replay_n(2).unwrap_err();
        assert!(matches!(error, retape::Error::DeviceLost { .. }), "{error}");
        assert_eq!(session.step(), 2);
    }
}

/// Each thread's waits tell the others what has ended, too.
#[test]
fn what_many_threads_read_of_one_device_all_arrives() {
    let device = common::gpu();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let mut g = Graph::new();
                let x = g.input("x", [5]);
                let y = g.square(x).unwrap();
                let mut session = g.forward([y]).unwrap().session(device).unwrap();
                for step in 0..1000 {
                    let number = (thread * 1000 + step) as f32;
                    session.write(x, &[number; 5]).unwrap();
                    session.replay().unwrap();
                    assert_eq!(session.read(y).unwrap(), [number * number; 5]);
                }
            });
        }
    });
}
