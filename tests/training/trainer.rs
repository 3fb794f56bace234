//! `fit`, `evaluate`, `predict`: every sample counts, once, the same wherever the data is.

use std::cell::Cell;
use std::time::Duration;

use crate::common;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::{Dataset, Samples};
use retape::nn::LayerContext;
use retape::prelude::*;
use retape::random::Stream;
use retape::testing::*;
use retape::{Error, Result};

const SEED: u32 = 7;

/// Points in four dimensions, of the class that a fixed linear map gives them.
pub fn points(count: usize) -> Dataset {
    let stream = Stream { seed: 11, step: 0, stream: 0 };
    let inputs: Vec<f32> = (0..4 * count as u32).map(|i| stream.normal(i) as f32).collect();
    let class = |p: &[f32]| {
        let scores = [p[0] + p[1], p[2] - p[1], 0.3 - p[3]];
        (0..3).max_by(|&a, &b| f32::total_cmp(&scores[a], &scores[b])).unwrap_or(0) as u32
    };
    let labels = inputs.chunks_exact(4).map(class).collect();
    Dataset::new([4], inputs, labels, 3).unwrap()
}

pub fn network() -> Sequential {
    Sequential::new().add(Dense::new(9).activation(Activation::Tanh)).add(Dense::new(3))
}

pub fn builder(model: Sequential, batch: usize) -> retape::train::TrainerBuilder {
    Trainer::new(model, [4])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .metrics([Metric::Accuracy])
        .batch_size(batch)
        .seed(SEED)
}

pub fn weights(trainer: &Trainer) -> Vec<Vec<f32>> {
    let session = trainer.session();
    session.parameter_names().iter().map(|name| session.parameter(name).unwrap()).collect()
}

/// Mean loss and accuracy over the samples, from the outputs.
fn judged(trainer: &mut Trainer, data: &Dataset) -> (f64, f64) {
    let outputs = trainer.predict(data).unwrap();
    let (mut loss, mut right) = (0.0, 0.0);
    for (row, &label) in outputs.data.chunks_exact(3).zip(data.labels()) {
        let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
        loss += row.iter().map(|v| v.exp()).sum::<f64>().ln() - row[label as usize];
        let best = (1..3).fold(0, |best, i| if row[i] > row[best] { i } else { best });
        right += f64::from(u8::from(best == label as usize));
    }
    (loss / data.len() as f64, right / data.len() as f64)
}

fn close(found: f64, expected: f64) {
    let error = (found - expected).abs();
    assert!(error <= 1e-5 * expected.abs().max(1.0), "{found} where {expected} was expected");
}

#[test]
fn every_sample_counts_once_in_the_averages() {
    let data = points(37);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for resident in [0, u64::MAX] {
            // A learning rate of 0: all batches see the same parameters.
            let mut trainer = builder(network(), 8).optimizer(Sgd::new(0.0)).build(device).unwrap();
            let history = trainer.fit(&data, Fit::epochs(2).resident_bytes(resident)).unwrap();
            let (loss, accuracy) = judged(&mut trainer, &data);
            for epoch in 0..2 {
                close(history.get("loss")[epoch], loss);
                close(history.get("accuracy")[epoch], accuracy);
            }
            let evaluation = trainer.evaluate(&data).unwrap();
            close(evaluation.loss, loss);
            close(evaluation.get("accuracy").unwrap(), accuracy);
        }
    }
}

#[test]
fn data_on_the_device_and_uploaded_data_train_alike() {
    let data = points(53);
    let run = |device: &Device, bytes: u64| {
        let mut trainer = builder(network(), 8).build(device).unwrap();
        let history = trainer.fit(&data, Fit::epochs(3).validation_split(0.2).resident_bytes(bytes)).unwrap();
        (weights(&trainer), history)
    };
    let resident = run(gpu(), u64::MAX);
    assert_eq!(resident, run(gpu(), 0));
    assert_eq!(resident, run(gpu(), u64::MAX), "a seed reproduces");
    let cpu = run(&Device::reference(), 0);
    for (gpu, cpu) in resident.0.iter().flatten().zip(cpu.0.iter().flatten()) {
        assert!((gpu - cpu).abs() <= 1e-4, "{gpu} on the GPU, {cpu} on the CPU path");
    }
}

#[test]
fn a_smaller_last_batch_is_one_of_its_own() {
    let data = points(21);
    let mut fitted = builder(network(), 8).build(gpu()).unwrap();
    fitted.fit(&data, Fit::epochs(1).shuffle(false)).unwrap();
    let mut by_hand = builder(network(), 8).build(gpu()).unwrap();
    let samples = Samples::from(&data);
    for range in [0..8, 8..16, 16..21] {
        by_hand.train_on_batch(samples.slice(range)).unwrap();
    }
    assert_eq!(weights(&fitted), weights(&by_hand));
    assert_eq!((fitted.steps(), by_hand.steps()), (3, 3));
    let mut short = builder(network(), 8).build(gpu()).unwrap();
    short.fit(&data, Fit::epochs(1).shuffle(false).steps_per_epoch(2)).unwrap();
    assert_ne!(weights(&short), weights(&fitted), "the last batch trains");
}

#[test]
fn epochs_go_on_where_others_ended() {
    let data = points(40);
    let mut whole = builder(network(), 16).build(gpu()).unwrap();
    whole.fit(&data, Fit::epochs(4)).unwrap();
    let mut parts = builder(network(), 16).build(gpu()).unwrap();
    parts.fit(&data, Fit::epochs(2)).unwrap();
    let history = parts.fit(&data, Fit::epochs(4).initial_epoch(2)).unwrap();
    assert_eq!((history.initial_epoch, history.epochs.len()), (2, 2));
    assert_eq!(weights(&whole), weights(&parts));
    let mut again = builder(network(), 16).build(gpu()).unwrap();
    again.fit(&data, Fit::epochs(2)).unwrap();
    again.fit(&data, Fit::epochs(2)).unwrap();
    assert_ne!(weights(&whole), weights(&again), "the order goes by the epoch");
}

#[test]
fn class_weights_are_weights_of_samples() {
    let data = points(30);
    let run = |samples: Samples<'_>, classes: &[(u32, f32)]| {
        let mut trainer = builder(network(), 8).build(gpu()).unwrap();
        let history = trainer.fit(samples, Fit::epochs(2).class_weights(classes.to_vec())).unwrap();
        (weights(&trainer), history)
    };
    let of_class = [2.0, 1.0, 0.25];
    let each: Vec<f32> = data.labels().iter().map(|&label| of_class[label as usize]).collect();
    let by_sample = run(Samples::from(&data).weights(&each), &[]);
    assert_eq!(by_sample, run(Samples::from(&data), &[(0, 2.0), (2, 0.25)]));
    assert_ne!(by_sample.0, run(Samples::from(&data), &[]).0);
    let ones = vec![1.0; data.len()];
    assert_eq!(run(Samples::from(&data).weights(&ones), &[]).0, run(Samples::from(&data), &[]).0);
}

#[test]
fn a_weighted_loss_is_the_mean_of_weighted_losses() {
    let data = points(11);
    let each: Vec<f32> = (0..11).map(|i| i as f32 / 4.0).collect();
    let mut trainer = builder(network(), 4).optimizer(Sgd::new(0.0)).build(gpu()).unwrap();
    let history = trainer.fit(Samples::from(&data).weights(&each), Fit::epochs(1)).unwrap();
    let outputs = trainer.predict(&data).unwrap();
    let mut expected = 0.0;
    for ((row, &label), &weight) in outputs.data.chunks_exact(3).zip(data.labels()).zip(&each) {
        let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        expected += f64::from(weight) * (sum.ln() - f64::from(row[label as usize]));
    }
    close(history.get("loss")[0], expected / 11.0);
}

#[test]
fn the_last_samples_are_held_out() {
    let data = points(50);
    let (train, last) = data.clone().split_last(0.3).unwrap();
    let mut split = builder(network(), 8).build(gpu()).unwrap();
    let by_split = split.fit(&data, Fit::epochs(2).validation_split(0.3)).unwrap();
    let mut given = builder(network(), 8).build(gpu()).unwrap();
    let by_data = given.fit(&train, Fit::epochs(2).validation(&last)).unwrap();
    assert_eq!(by_split, by_data);
    assert_eq!(weights(&split), weights(&given));
    assert_eq!(by_split.last("val_loss"), Some(split.evaluate(&last).unwrap().loss));
    assert!(by_split.last("val_accuracy").is_some());
}

#[test]
fn gradients_of_several_batches_make_one_update() {
    let data = points(32);
    let run = |batch: usize, accumulate: usize| {
        let optimizer = Sgd::new(0.1).momentum(0.9);
        let built = builder(network(), batch).optimizer(optimizer).accumulate(accumulate).build(gpu());
        let mut trainer = built.unwrap();
        trainer.fit(&data, Fit::epochs(3).shuffle(false)).unwrap();
        assert_eq!(trainer.updates() as usize, 3 * 32 / (batch * accumulate));
        assert_eq!(trainer.steps() as usize, 3 * 32 / batch);
        weights(&trainer)
    };
    let (summed, whole) = (run(4, 4), run(16, 1));
    for (a, b) in summed.iter().flatten().zip(whole.iter().flatten()) {
        assert!((a - b).abs() <= 1e-5, "{a} summed, {b} at once");
    }
    assert_ne!(run(4, 1), summed);
}

/// A batch that a callback trains on is none of the epoch's.
#[test]
fn figures_of_an_epoch_are_of_its_samples_alone() {
    let (data, all) = (points(21), points(30));
    let all = Samples::from(&all);
    let other = all.slice(21..30);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let fitted = |more: bool| {
            let mut trainer = builder(network(), 8).optimizer(Sgd::new(0.0)).build(device).unwrap();
            let fit = Fit::epochs(2).on_steps(1, |run| {
                if more {
                    let before = run.logs()?.clone();
                    assert_ne!(run.trainer().train_on_batch(other.clone())?, before);
                }
                Ok(())
            });
            trainer.fit(&data, fit).unwrap()
        };
        assert_eq!(fitted(true), fitted(false));
    }
}

/// Batches of many sizes, each of them again and again: only the last steps used are kept, and training is
/// as by trainers that have seen no other size.
#[test]
fn steps_for_many_sizes_come_and_go() {
    let folder = Folder::new();
    let path = folder.0.join("before.safetensors");
    let all = points(40);
    let all = Samples::from(&all);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = builder(network(), 8).build(device).unwrap();
        for round in 0..2 {
            for size in 1..=11 {
                let batch = || all.slice(round..round + size);
                trainer.save_checkpoint(&path).unwrap();
                let mut fresh = builder(network(), 8).build(device).unwrap();
                fresh.load_checkpoint(&path).unwrap();
                let logs = trainer.train_on_batch(batch()).unwrap();
                assert_eq!(logs, fresh.train_on_batch(batch()).unwrap(), "{size} samples");
                assert_eq!(weights(&trainer), weights(&fresh), "{size} samples");
                assert!(recorded_steps(&trainer) <= 9, "{}", recorded_steps(&trainer));
            }
        }
        // Within a training, whose steps are there again when they are needed.
        let fit = |others: bool| {
            let mut trainer = builder(network(), 8).optimizer(Sgd::new(0.0)).build(device).unwrap();
            let fit = Fit::epochs(2).on_steps(1, |run| {
                let sizes = if others { 1..=10 } else { 0..=0 };
                sizes
                    .filter(|&size| size > 0)
                    .try_for_each(|size| run.trainer().train_on_batch(all.slice(0..size)).map(|_| ()))
            });
            trainer.fit(all.slice(0..21), fit).unwrap()
        };
        assert_eq!(fit(true), fit(false));
    }
}

/// The states of a size of a batch stay, however many come in between.
#[test]
fn carried_states_of_many_sizes_stay() {
    let noise = |count, seed| common::data::noise(count, seed, -1.0, 1.0);
    let samples = Samples::new().input([3, 2], noise(72, 3)).target([1], noise(12, 4));
    let build = || {
        let model = Sequential::new().add(Lstm::new(4).stateful(true)).add(Dense::new(1));
        let trainer = Trainer::new(model, [3, 2]).loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.0));
        trainer.batch_size(4).accumulate(2).seed(2).build(&Device::reference()).unwrap()
    };
    let mut trainer = build();
    let losses = |trainer: &mut Trainer, size| {
        let logs = trainer.train_on_batch(samples.slice(0..size)).unwrap();
        logs.get("loss").unwrap()
    };
    let mut found = vec![Vec::new(); 13];
    for _ in 0..3 {
        (1..=12).for_each(|size| found[size].push(losses(&mut trainer, size)));
        // One more, so that the next time is an update where this was none.
        losses(&mut trainer, 4);
    }
    for size in (1..=12).filter(|&size| size != 4) {
        let mut alone = build();
        let expected: Vec<f64> = (0..3).map(|_| losses(&mut alone, size)).collect();
        assert_eq!(found[size], expected, "{size} samples");
    }
    assert!(recorded_steps(&trainer) <= 1 + 11 + 8, "{}", recorded_steps(&trainer));
}

#[test]
fn predictions_fit_any_number_of_samples() {
    let mut trainer = builder(network(), 8).build(gpu()).unwrap();
    let all = trainer.predict(points(21)).unwrap();
    assert_eq!((all.len(), all.shape), (21, Shape::from([3])));
    let data = points(21);
    for count in [1, 7, 8, 9] {
        let some = trainer.predict(Samples::from(&data).slice(0..count)).unwrap();
        assert_eq!(some.data, all.data[..3 * count]);
    }
    let classes = trainer.predict_classes(&data).unwrap();
    for (sample, &class) in classes.iter().enumerate() {
        let row = all.get(sample).unwrap();
        assert!(row.iter().all(|&score| score <= row[class as usize]));
    }
}

#[test]
fn nothing_is_read_back_between_refreshes() {
    let data = points(400);
    let device = common::open_gpu();
    let mut trainer = builder(network(), 4).build(&device).unwrap();
    let before = readbacks(&device);
    trainer.fit(&data, Fit::epochs(3).progress(false)).unwrap();
    assert_eq!(readbacks(&device) - before, 3, "once for the figures of each epoch");
    let refreshes = Cell::new(0);
    let before = readbacks(&device);
    // Longer together than the time between two refreshes, as short as each epoch is.
    let pause = Duration::from_millis(10);
    let fit = Fit::epochs(40)
        .progress(false)
        .on_epoch_end(|_| {
            std::thread::sleep(pause);
            Ok(())
        })
        .on_refresh(|run| {
            refreshes.set(refreshes.get() + 1);
            run.logs()?;
            run.logs().map(|_| ())
        });
    trainer.fit(&data, fit).unwrap();
    assert!(refreshes.get() > 0);
    assert_eq!(readbacks(&device) - before, 40 + refreshes.get());
}

/// `log x`: no number for negative inputs.
#[derive(Debug)]
pub struct Log;

impl Layer for Log {
    fn kind(&self) -> &'static str {
        "logarithm"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        cx.graph().log(x)
    }
}

#[test]
fn the_guard_names_the_first_operator_that_makes_a_nan() {
    let mut inputs = vec![1.5; 4 * 40];
    inputs[4 * 29 + 2] = -1.0;
    let data = Dataset::new([4], inputs, vec![0; 40], 3).unwrap();
    let model = || Sequential::new().add(Dense::new(5)).add(Flatten);
    let guarded = Sequential::new().add(Log.named("features")).add(model().named("rest")).add(Dense::new(3));
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for every in [1, 3, 100] {
            let mut trainer = builder(guarded.clone(), 8).build(device).unwrap();
            let history = trainer.fit(&data, Fit::epochs(4).shuffle(false).nan_guard(every)).unwrap();
            let fault = history.fault.expect("there is a NaN in the fourth batch");
            assert_eq!((fault.op, fault.layer.as_str()), (Some("log"), "features"));
            assert_eq!(fault.index, 4 * 5 + 2);
            assert!(history.stopped.unwrap().contains("epoch 1, step 4: log in layer `features`"));
            let mut before = builder(guarded.clone(), 8).build(device).unwrap();
            before.fit(&data, Fit::epochs(1).shuffle(false).steps_per_epoch(3)).unwrap();
            assert_eq!(weights(&trainer), weights(&before), "as before the step that spoilt it");
        }
    }
    // A callback after every step sees none that is spoilt, and none twice.
    let (mut trainer, mut seen) = (builder(guarded.clone(), 8).build(gpu()).unwrap(), Vec::new());
    let fit = Fit::epochs(4).shuffle(false).nan_guard(100).on_steps(1, |run| {
        seen.push(run.trainer().steps());
        Ok(())
    });
    assert!(trainer.fit(&data, fit).unwrap().fault.is_some());
    assert_eq!(seen, [1, 2, 3]);
    let mut unguarded = builder(guarded, 8).build(gpu()).unwrap();
    let history = unguarded.fit(&data, Fit::epochs(1).shuffle(false)).unwrap();
    assert!(history.last("loss").unwrap().is_nan());
    assert_eq!(history.fault.map(|fault| (fault.op, fault.value)), Some((None, "loss".to_owned())));
}

#[test]
fn data_that_does_not_fit_is_refused() {
    let mut trainer = builder(network(), 8).build(gpu()).unwrap();
    let before = weights(&trainer);
    let wide = Dataset::new([5], vec![0.0; 10], vec![0, 1], 3).unwrap();
    let error = trainer.fit(&wide, Fit::epochs(1)).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    assert!(error.to_string().contains("[5]") && error.to_string().contains("[4]"), "{error}");
    let words = Samples::new().input([4], vec![1u32; 8]).labels(vec![0, 1]);
    assert!(matches!(trainer.fit(words, Fit::epochs(1)), Err(Error::DTypeMismatch { .. })));
    let untold = Samples::new().input([4], vec![1f32; 8]);
    assert!(matches!(trainer.fit(untold, Fit::epochs(1)), Err(Error::Argument { argument: "targets", .. })));
    let fifth = Samples::new().input([4], vec![1f32; 8]).labels(vec![0, 5]);
    for bytes in [0, u64::MAX] {
        let error = trainer.fit(fifth.clone(), Fit::epochs(1).resident_bytes(bytes)).unwrap_err();
        assert!(matches!(error, Error::LabelOutOfRange { label: 5, limit: 3, .. }), "{error}");
    }
    let data = points(20);
    for fit in [Fit::epochs(1).validation_split(1.5), Fit::epochs(1).validation(&data).validation_split(0.5)]
    {
        let error = trainer.fit(&data, fit).unwrap_err();
        assert!(matches!(error, Error::Argument { argument: "validation_split", .. }), "{error}");
    }
    assert_eq!(weights(&trainer), before);
}

#[test]
fn a_trainer_needs_a_loss_an_optimiser_and_samples() {
    let missing = |built: Result<Trainer>, what: &str| match built {
        Err(Error::Argument { argument, .. }) => assert_eq!(argument, what),
        other => panic!("{:?}", other.map(|_| ())),
    };
    missing(Trainer::new(network(), [4]).optimizer(Sgd::new(0.1)).build(&Device::reference()), "loss");
    let no_optimizer = Trainer::new(network(), [4]).loss(Loss::SparseCategoricalCrossEntropy);
    missing(no_optimizer.build(&Device::reference()), "optimizer");
    missing(builder(network(), 0).build(&Device::reference()), "batch_size");
    missing(builder(network(), 4).accumulate(0).build(&Device::reference()), "accumulate");
}

#[test]
fn a_softmax_is_not_taken_for_logits() {
    let model = || Sequential::new().add(Dense::new(3).activation(Activation::Softmax));
    let refused = builder(model(), 4).build(&Device::reference()).unwrap_err();
    assert!(refused.to_string().contains("from_probabilities"), "{refused}");
    let taken = builder(model(), 4).loss(Loss::SparseCategoricalCrossEntropy.from_probabilities());
    assert!(taken.build(&Device::reference()).is_ok());
}

/// `x + sqrt(p)` with `p` at 0: a number, whose gradient is none.
#[derive(Debug)]
struct Root;

impl Layer for Root {
    fn kind(&self) -> &'static str {
        "root"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let p = cx.parameter("p", [1], Init::Zeros);
        let root = cx.graph().sqrt(p)?;
        cx.graph().add(x, root)
    }
}

/// The loss of the only step is a number; what its update makes of the weights is none.
#[test]
fn the_guard_sees_what_an_update_breaks() {
    let data = points(8);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for every in [1, 100] {
            let model = Sequential::new().add(Dense::new(4)).add(Root).add(Dense::new(3));
            let mut trainer = builder(model, 8).optimizer(Sgd::new(0.1)).build(device).unwrap();
            let before = weights(&trainer);
            let history = trainer.fit(&data, Fit::epochs(1).nan_guard(every)).unwrap();
            let fault = history.fault.expect("the gradient of the root is infinite");
            assert_eq!((fault.op, fault.layer.as_str()), (Some("sqrt_grad"), "root"), "{fault}");
            assert!(history.stopped.unwrap().starts_with("epoch 1, step 1: "));
            assert_eq!(weights(&trainer), before);
        }
    }
}

#[test]
fn evaluation_weighs_samples() {
    let data = points(11);
    let each: Vec<f32> = (0..11).map(|i| i as f32 / 4.0).collect();
    let mut trainer = builder(network(), 4).build(gpu()).unwrap();
    let weighted = trainer.evaluate(Samples::from(&data).weights(&each)).unwrap();
    let plain = trainer.evaluate(&data).unwrap();
    let outputs = trainer.predict(&data).unwrap();
    let mut expected = 0.0;
    for ((row, &label), &weight) in outputs.data.chunks_exact(3).zip(data.labels()).zip(&each) {
        let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        expected += f64::from(weight) * (sum.ln() - f64::from(row[label as usize]));
    }
    close(weighted.loss, expected / 11.0);
    assert_ne!(weighted.loss, plain.loss);
    assert_eq!(trainer.evaluate(&data).unwrap(), plain, "weights do not stay");
}

#[test]
fn class_weights_take_labels_of_every_kind() {
    let inputs: Vec<f32> = (0..40).map(|i| (i * 7 % 13) as f32 / 13.0).collect();
    let labels: Vec<u32> = inputs.chunks(4).map(|p| u32::from(p[0] > p[1])).collect();
    let floats: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
    let rows: Vec<f32> = labels.iter().flat_map(|&l| [1.0 - l as f32, l as f32]).collect();
    let weighted = |units: usize, loss: Loss, samples: Samples<'_>, classes: [(u32, f32); 1]| {
        let model = Sequential::new().add(Dense::new(units));
        let built = Trainer::new(model, [4]).loss(loss).optimizer(Sgd::new(0.1)).seed(1).build(gpu());
        let mut trainer = built.unwrap();
        trainer.fit(samples, Fit::epochs(2).class_weights(classes)).map(|_| weights(&trainer))
    };
    let samples = || Samples::new().input([4], &inputs);
    let each: Vec<f32> = labels.iter().map(|&label| if label == 1 { 3.0 } else { 1.0 }).collect();
    let cases = [
        (2, Loss::SparseCategoricalCrossEntropy, samples().labels(&labels)),
        (1, Loss::BinaryCrossEntropy, samples().target([1], &floats)),
        (2, Loss::CategoricalCrossEntropy, samples().target([2], &rows)),
    ];
    for (units, loss, samples) in cases {
        let by_class = weighted(units, loss, samples.clone(), [(1, 3.0)]).unwrap();
        assert_eq!(by_class, weighted(units, loss, samples.clone().weights(&each), [(0, 1.0)]).unwrap());
        assert_ne!(by_class, weighted(units, loss, samples.clone(), [(1, 1.0)]).unwrap());
        // Both are multiplied.
        let half: Vec<f32> = each.iter().map(|weight| weight.min(1.5)).collect();
        assert_eq!(by_class, weighted(units, loss, samples.clone().weights(&half), [(1, 2.0)]).unwrap());
        for weight in [-1.0, f32::NAN] {
            let refused = weighted(units, loss, samples.clone(), [(1, weight)]);
            assert!(matches!(refused, Err(Error::Argument { argument: "class_weights", .. })));
        }
    }
}

#[test]
fn a_last_batch_that_cannot_be_trained_is_refused_at_once() {
    let model = || Sequential::new().add(Dense::new(5)).add(BatchNorm::new()).add(Dense::new(3));
    let data = points(17);
    let mut trainer = builder(model(), 8).build(gpu()).unwrap();
    let before = weights(&trainer);
    assert!(trainer.fit(&data, Fit::epochs(1)).is_err());
    assert_eq!(weights(&trainer), before);
    trainer.fit(&data, Fit::epochs(1).drop_last(true)).unwrap();
    assert_eq!(trainer.steps(), 2);
    trainer.fit(&data, Fit::epochs(2).steps_per_epoch(2)).unwrap();
    assert_eq!(trainer.steps(), 6, "no epoch reaches the last batch");
    assert!(trainer.fit(&data, Fit::epochs(1).steps_per_epoch(3)).is_err());
    assert_eq!(trainer.steps(), 6);
    let few = trainer.fit(points(7), Fit::epochs(1).drop_last(true));
    assert!(matches!(few, Err(Error::Argument { argument: "drop_last", .. })));
    let none = trainer.fit(&data, Fit::epochs(1).steps_per_epoch(0));
    assert!(matches!(none, Err(Error::Argument { argument: "steps_per_epoch", .. })));
}
