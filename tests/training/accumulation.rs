//! Gradients of several batches summed up for an update: every sample counts the same, and what is left over
//! at the end is used.

use crate::common;
use retape::Result;
use retape::data::Samples;
use retape::prelude::*;
use retape::train::TrainerBuilder;
use retape::train::schedules::InverseTimeDecay;

fn devices() -> [Device; 3] {
    [Device::reference(), Device::cpu(), common::gpu().clone()]
}

/// `y = w x` with `w` at 0, of whose mean squared error half the gradient is `w - mean of targets` where `x`
/// is 1.
fn line(batch: usize, accumulate: usize) -> TrainerBuilder {
    let model = Sequential::new().add(Dense::new(1).bias(false).weight_init(Init::Zeros));
    Trainer::new(model, [1])
        .loss(Loss::MeanSquaredError)
        .optimizer(Sgd::new(0.5))
        .batch_size(batch)
        .accumulate(accumulate)
}

fn ones(targets: &[f32]) -> Samples<'static> {
    Samples::new().input([1], vec![1.0; targets.len()]).target([1], targets.to_vec())
}

fn weight(trainer: &Trainer) -> f32 {
    trainer.session().parameter("dense.weight").unwrap()[0]
}

fn in_order(epochs: usize) -> Fit<'static> {
    Fit::epochs(epochs).shuffle(false)
}

#[test]
fn a_smaller_batch_counts_by_its_samples() {
    let targets = [0.0, 0.0, 0.0, 0.0, 20.0];
    for device in devices() {
        for (batch, accumulate) in [(5, 1), (4, 2), (3, 2), (2, 3), (1, 5), (4, 9)] {
            let mut trainer = line(batch, accumulate).build(&device).unwrap();
            trainer.fit(ones(&targets), in_order(1)).unwrap();
            let w = weight(&trainer);
            assert!((w - 4.0).abs() < 1e-6, "{accumulate} batches of {batch} on {device:?}: {w}");
            assert_eq!(trainer.updates(), 1);
        }
    }
}

/// Where weights of samples are given, their sum is over all samples of the window, as over a batch.
#[test]
fn weights_of_samples_are_those_of_one_batch() {
    let weights = vec![1.0f32, 0.0, 2.0, 0.5, 3.0];
    for device in devices() {
        let after = |batch: usize, accumulate: usize| {
            let mut trainer = line(batch, accumulate).build(&device).unwrap();
            let samples = ones(&[3.0, -1.0, 2.0, 5.0, 1.0]).weights(weights.clone());
            trainer.fit(samples, in_order(1)).unwrap();
            weight(&trainer)
        };
        // (3 + 0 + 4 + 2.5 + 3) / 5
        for w in [after(5, 1), after(2, 3), after(3, 2)] {
            assert!((w - 2.5).abs() < 1e-6, "{w}");
        }
    }
}

/// Where `w` ends, by windows of so many of these batches, the last of which may have fewer.
fn by_hand(batches: &[&[f32]], accumulate: usize, rate: f64) -> f64 {
    batches.chunks(accumulate).fold(0.0, |w, window| {
        let targets: Vec<f64> = window.iter().flat_map(|b| b.iter().map(|&t| f64::from(t))).collect();
        w - rate * targets.iter().map(|t| 2.0 * (w - t)).sum::<f64>() / targets.len() as f64
    })
}

/// Windows go on from epoch to epoch; the last one is used as far as it goes.
#[test]
fn windows_go_on_from_epoch_to_epoch() {
    let targets = [4.0, -1.0, 2.5, 8.0, 3.0, -6.0, 11.0];
    for device in devices() {
        for (accumulate, epochs) in [(2, 1), (2, 2), (3, 1), (4, 3), (5, 2), (100, 2)] {
            let mut trainer = line(3, accumulate).optimizer(Sgd::new(0.1)).build(&device).unwrap();
            trainer.fit(ones(&targets), in_order(epochs)).unwrap();
            let batches: Vec<&[f32]> = (0..epochs).flat_map(|_| targets.chunks(3)).collect();
            let want = by_hand(&batches, accumulate, f64::from(0.1f32));
            let found = f64::from(weight(&trainer));
            assert!((found - want).abs() < 1e-5, "{accumulate}, {epochs} epochs: {found} for {want}");
            assert_eq!(trainer.updates() as usize, batches.len().div_ceil(accumulate));
            assert_eq!(trainer.steps() as usize, batches.len());
        }
    }
}

/// One by one, batches wait for their window to be full, for `fit`, or for the program.
#[test]
fn batches_one_by_one_wait_for_the_window() -> Result<()> {
    for device in devices() {
        let mut trainer = line(2, 3).optimizer(Sgd::new(0.1)).build(&device)?;
        assert!(!trainer.flush_gradients()?, "there is nothing yet");
        trainer.train_on_batch(ones(&[1.0, 2.0]))?;
        trainer.train_on_batch(ones(&[7.0]))?;
        assert_eq!((weight(&trainer), trainer.updates()), (0.0, 0));
        assert!(trainer.flush_gradients()?);
        let first = by_hand(&[&[1.0, 2.0], &[7.0]], 3, f64::from(0.1f32));
        assert!((f64::from(weight(&trainer)) - first).abs() < 1e-6);
        assert_eq!((trainer.updates(), trainer.steps()), (1, 2));
        assert!(!trainer.flush_gradients()?);

        // What is left over goes into the first window of `fit`.
        let mut trainer = line(2, 3).optimizer(Sgd::new(0.1)).build(&device)?;
        trainer.train_on_batch(ones(&[4.0]))?;
        trainer.fit(ones(&[1.0, 2.0, 3.0, 5.0, 8.0]), in_order(1))?;
        let batches: [&[f32]; 4] = [&[4.0], &[1.0, 2.0], &[3.0, 5.0], &[8.0]];
        let want = by_hand(&batches, 3, f64::from(0.1f32));
        assert!((f64::from(weight(&trainer)) - want).abs() < 1e-5);
        assert_eq!(trainer.updates(), 2);
    }
    Ok(())
}

/// Everything that belongs to an update belongs to that at the end: penalties of weights, clipping, groups
/// with optimisers of their own, constraints, averages, and what counts updates.
#[test]
fn an_update_of_what_is_left_over_is_a_whole_one() -> Result<()> {
    let inputs = common::data::noise(3 * 11, 1, -1.0, 1.0);
    let targets = common::data::noise(2 * 11, 2, -1.0, 1.0);
    let samples = || Samples::new().input([3], &inputs).target([2], &targets);
    for device in devices() {
        let trained = |batch: usize, accumulate: usize| -> Result<Trainer> {
            let model = Sequential::new()
                .add(Dense::new(4).activation(Activation::Tanh).weight_penalty(Penalty::l2(0.1)))
                .add(Dense::new(2).weight_constraint(Constraint::MaxNorm { limit: 0.8 }));
            let mut trainer = Trainer::new(model, [3])
                .loss(Loss::MeanSquaredError)
                .optimizer(Adam::new(0.05).clip(Clip::GlobalNorm(0.3)).ema(0.5))
                .parameter_group(|w| w.shape.rank() == 1, Sgd::new(0.1).rate_name("biases"))
                .schedule(InverseTimeDecay::new(0.05, 1, 0.5))
                .batch_size(batch)
                .accumulate(accumulate)
                .seed(4)
                .build(&device)?;
            // Two updates, the second of which is that at the end.
            trainer.fit(samples(), in_order(2))?;
            assert_eq!(trainer.updates(), 2, "{batch}, {accumulate}");
            Ok(trainer)
        };
        let mut whole = trained(11, 1)?;
        let mut summed = trained(4, 3)?;
        let close = |a: &Trainer, b: &Trainer| -> Result<bool> {
            let (a, b) = (a.weights()?, b.weights()?);
            let numbers = |w: &retape::train::Weights| -> Vec<f32> {
                w.arrays.iter().flat_map(|array| array.data.clone()).collect()
            };
            Ok(numbers(&a).iter().zip(numbers(&b)).all(|(a, b)| (a - b).abs() < 2e-5))
        };
        assert!(close(&whole, &summed)?, "{device:?}");
        assert_eq!(whole.learning_rate(), summed.learning_rate());
        whole.swap_averages()?;
        assert!(!close(&whole, &summed)?, "averages are not weights");
        summed.swap_averages()?;
        assert!(close(&whole, &summed)?, "{device:?}: averages");
    }
    Ok(())
}

/// An early stop uses what is left over; a training that is not finite leaves its weights as they were.
#[test]
fn a_stop_uses_what_is_left_over_and_a_fault_does_not() -> Result<()> {
    for device in devices() {
        let mut stopped = line(1, 4).build(&device)?;
        let fit = in_order(3).on_steps(2, |run| {
            run.stop("enough");
            Ok(())
        });
        stopped.fit(ones(&[1.0, 3.0, 9.0, 9.0]), fit)?;
        assert_eq!((weight(&stopped), stopped.updates(), stopped.steps()), (2.0, 1, 2));

        let broken = Samples::new().input([1], vec![1.0, f32::NAN, 1.0]).target([1], vec![5.0; 3]);
        let mut guarded = line(1, 4).build(&device)?;
        let history = guarded.fit(broken, in_order(1).nan_guard(1))?;
        assert!(history.fault.is_some(), "{history:?}");
        assert_eq!((weight(&guarded), guarded.updates(), guarded.steps()), (0.0, 0, 1));
    }
    // Gradients that are finite, and an update that is not in f32.
    let mut large = line(1, 4).optimizer(Sgd::new(3e38)).build(common::gpu())?;
    let history = large.fit(ones(&[1e3, 2e3]), in_order(1).nan_guard(1))?;
    assert!(history.stopped.as_ref().is_some_and(|s| s.contains("left over")), "{history:?}");
    assert_eq!((weight(&large), large.updates(), large.steps()), (0.0, 0, 2));
    Ok(())
}

/// Freezing and unfreezing within a window keep what is summed up.
#[test]
fn what_is_summed_up_outlasts_a_new_recording() -> Result<()> {
    let model = || {
        let model = Sequential::new().add(Dense::new(1).bias(false).weight_init(Init::Ones));
        model.add(Dense::new(1).bias(false).weight_init(Init::Zeros))
    };
    for device in devices() {
        let mut trainer = Trainer::new(model(), [1])
            .loss(Loss::MeanSquaredError)
            .optimizer(Sgd::new(0.5))
            .batch_size(1)
            .accumulate(8)
            .build(&device)?;
        trainer.train_on_batch(ones(&[2.0]))?;
        trainer.train_on_batch(ones(&[4.0]))?;
        trainer.freeze(["dense"])?;
        assert!(trainer.flush_gradients()?);
        assert_eq!(trainer.session().parameter("dense_1.weight")?, [3.0]);
        assert_eq!(trainer.session().parameter("dense.weight")?, [1.0]);
    }
    Ok(())
}
