//! The guard against NaN: what it names, and what it goes back to.

use std::time::Duration;

use crate::common::gpu;
use retape::Result;
use retape::data::{Dataset, Samples};
use retape::nn::LayerContext;
use retape::prelude::*;
use retape::train::TrainerBuilder;
use retape::train::callbacks::{Callback, Run};
use retape::train::pruning::Pruning;

/// Samples of four features in batches of 8; the fourth batch has the one that is not like the others.
const ODD: usize = 29;

fn data(odd: f32) -> Dataset {
    let mut inputs: Vec<f32> = (0..4 * 80).map(|i| 1.5 + (i as f32).sin()).collect();
    inputs[4 * ODD..][..4].fill(odd);
    Dataset::new([4], inputs, vec![0; 80], 3).unwrap()
}

fn built(model: Sequential, accumulate: usize, device: &Device) -> Trainer {
    builder(model, accumulate).build(device).unwrap()
}

fn builder(model: Sequential, accumulate: usize) -> TrainerBuilder {
    Trainer::new(model, [4])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .batch_size(8)
        .accumulate(accumulate)
        .seed(7)
}

fn weights(trainer: &Trainer) -> Vec<Vec<f32>> {
    let session = trainer.session();
    session.parameter_names().iter().map(|name| session.parameter(name).unwrap()).collect()
}

/// `|x|` as `sqrt(x^2)`, whose gradient is no number at 0.
#[derive(Debug)]
struct Root;

impl Layer for Root {
    fn kind(&self) -> &'static str {
        "root"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let g = cx.graph();
        g.sqrt(g.mul(x, x)?)
    }
}

/// `gain log x`, with a gain that the program sets: no number for negative inputs.
#[derive(Debug)]
struct Log;

impl Layer for Log {
    fn kind(&self) -> &'static str {
        "logarithm"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let g = cx.graph();
        g.mul(g.log(x)?, g.scalar_value(g.scalar("gain", 1.0)?)?)
    }
}

fn logarithmic() -> Sequential {
    Sequential::new().add(Log).add(Dense::new(5)).add(Dense::new(3))
}

/// The CPU path has numbers beyond f32, which programs and GPUs do not.
#[test]
fn what_overflows_f32_is_no_number_on_the_cpu_path_either() -> Result<()> {
    let samples = || {
        let x: Vec<f32> = (0..64).map(|i| i as f32).collect();
        Samples::new().input([1], x).target([1], vec![1.0; 64])
    };
    for guarded in [false, true] {
        let built = Trainer::new(Sequential::new().add(Dense::new(1)), [1]).loss(Loss::MeanSquaredError);
        let mut trainer = built.optimizer(Sgd::new(3.0)).batch_size(64).build(&Device::reference())?;
        let fit = Fit::epochs(40).progress(false);
        let history = trainer.fit(samples(), if guarded { fit.nan_guard(3) } else { fit })?;
        let weight = trainer.session().parameter("dense.weight")?[0];
        let stopped = history.stopped.expect("it ends before the last epoch");
        let fault = history.fault.expect("it is said");
        assert!(!fault.element.is_finite(), "{fault}");
        assert!(history.epochs.len() < 14, "{}", history.epochs.len());
        if guarded {
            assert!(weight.is_finite() && stopped.starts_with("epoch "), "{weight} {stopped}");
        } else {
            assert!(!weight.is_finite() && stopped.contains("`loss` is inf"), "{weight} {stopped}");
        }
    }
    Ok(())
}

/// A gradient that is no number shows in the weights at the update, which may be steps later.
#[test]
fn the_guard_looks_at_summed_gradients() {
    let data = data(0.0);
    let model = || Sequential::new().add(Dense::new(5).bias(false)).add(Root).add(Dense::new(3));
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for (accumulate, every) in [(1, 1), (2, 1), (3, 1), (3, 4), (5, 1), (5, 100)] {
            let mut trainer = built(model(), accumulate, device);
            let history = trainer.fit(&data, Fit::epochs(2).shuffle(false).nan_guard(every)).unwrap();
            let fault = history.fault.expect("there is a NaN in the fourth batch");
            assert_eq!((fault.op, fault.layer.as_str()), (Some("sqrt_grad"), "root"), "{accumulate}");
            let stopped = history.stopped.unwrap();
            assert!(stopped.contains("epoch 1, step 4: sqrt_grad in layer `root`"), "{stopped}");
            let mut before = built(model(), accumulate, device);
            // One by one, which leaves the batches since the last update summed up.
            let (samples, batch) = (Samples::from(&data), before.batch_size());
            for first in [0, batch, 2 * batch] {
                before.train_on_batch(samples.slice(first..first + batch)).unwrap();
            }
            assert_eq!(weights(&trainer), weights(&before), "as before the step that spoilt it");
            // The sums of the gradients too: training goes on the same.
            let clean = self::data(1.0);
            let [spoilt, whole] =
                [&mut trainer, &mut before].map(|t| t.fit(&clean, Fit::epochs(1)).unwrap().get("loss"));
            assert!(spoilt == whole && whole[0].is_finite(), "{spoilt:?} {whole:?}");
        }
    }
}

/// Batches of four and of three: what a stateful layer carries on at three is not in the session of
/// whole batches.
#[test]
fn the_guard_covers_the_states_of_every_size_of_a_batch() {
    let x: Vec<f32> = (0..7 * 3).map(|i| 1.5 + (i as f32 / 5.0).sin()).collect();
    let mut spoilt = x.clone();
    spoilt[6 * 3 + 1] = -1.0;
    let samples = |x: &[f32]| Samples::new().input([3, 1], x.to_vec()).target([1], x[..7].to_vec());
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for (accumulate, every) in [(1, 1), (1, 100), (2, 1), (3, 100)] {
            let trainer = || {
                let model = Sequential::new().add(Log).add(Lstm::new(4).stateful(true)).add(Dense::new(1));
                let trainer = Trainer::new(model, [3, 1]).loss(Loss::MeanSquaredError);
                let trainer = trainer.optimizer(Adam::new(0.02)).batch_size(4).accumulate(accumulate);
                let mut trainer = trainer.seed(3).build(device).unwrap();
                trainer.fit(samples(&x), Fit::epochs(2).shuffle(false)).unwrap();
                trainer
            };
            let fit = || Fit::epochs(1).shuffle(false);
            let (mut guarded, mut whole) = (trainer(), trainer());
            let history = guarded.fit(samples(&spoilt), fit().nan_guard(every)).unwrap();
            let fault = history.fault.expect("there is a NaN in the second batch");
            assert_eq!((fault.op, fault.layer.as_str()), (Some("log"), "logarithm"), "{fault}");
            assert_eq!(fault.index, 2 * 3 + 1);
            whole.train_on_batch(samples(&x).slice(0..4)).unwrap();
            assert_eq!(weights(&guarded), weights(&whole));
            let [guarded, whole] = [&mut guarded, &mut whole]
                .map(|t| t.fit(samples(&x), Fit::epochs(3).shuffle(false)).unwrap().get("loss"));
            assert!(guarded == whole && whole[2].is_finite(), "{accumulate}: {guarded:?} {whole:?}");
        }
    }
}

/// What callbacks change after a step is not undone with the steps that follow.
#[test]
fn the_guard_keeps_what_callbacks_did() {
    let data = data(-1.0);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut trainer = built(logarithmic(), 1, device);
        let fit = Fit::epochs(1).shuffle(false).nan_guard(100).on_steps(3, |run| {
            run.trainer().set_scalar("gain", 0.5)?;
            run.trainer().prune(&Pruning::global(0.5)).map(|_| ())
        });
        let history = trainer.fit(&data, fit).unwrap();
        assert_eq!(history.fault.unwrap().op, Some("log"));
        assert!(history.stopped.unwrap().contains("epoch 1, step 4"));
        assert!(trainer.sparsity().unwrap().share() >= 0.4, "{}", trainer.sparsity().unwrap());
        assert_eq!(trainer.scalar("gain").unwrap(), 0.5);
    }
}

fn spoil(trainer: &mut Trainer) -> Result<()> {
    trainer.session_mut().set_parameter("dense.bias", &[0.0, 0.0, 0.0, f32::INFINITY, 0.0])
}

/// Spoils a weight before an epoch.
struct SpoilEpoch;

impl Callback for SpoilEpoch {
    fn on_epoch_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        spoil(run.trainer())
    }
}

#[test]
fn the_guard_names_what_a_callback_spoilt() {
    let data = data(1.0);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let fits = [
            (Fit::epochs(2).on_steps(3, |run| spoil(run.trainer())), "epoch 1, step 4"),
            (Fit::epochs(2).on_epoch_end(|run| spoil(run.trainer())), "epoch 2, step 1"),
            (Fit::epochs(2).callback(SpoilEpoch), "epoch 1, step 1"),
        ];
        for (fit, at) in fits {
            let history = built(logarithmic(), 1, device).fit(&data, fit.nan_guard(2)).unwrap();
            let stopped = history.stopped.unwrap();
            assert_eq!(stopped, format!("{at}: `dense.bias` holds inf as element 3"));
            let fault = history.fault.expect("a weight is infinite");
            assert_eq!((fault.op, fault.value.as_str(), fault.index), (None, "dense.bias", 3));
        }
    }
}

/// A rate that takes its time, so that callbacks are refreshed between a few steps.
#[derive(Debug)]
struct Slow;

impl retape::train::Schedule for Slow {
    fn rate(&self, _: u32) -> f32 {
        std::thread::sleep(Duration::from_millis(70));
        0.02
    }
}

#[test]
fn the_guard_looks_before_callbacks_are_refreshed() {
    let (data, mut seen) = (data(-1.0), Vec::new());
    let mut trainer = builder(logarithmic(), 1).schedule(Slow).build(&Device::reference()).unwrap();
    let fit = Fit::epochs(1).shuffle(false).nan_guard(100).on_refresh(|run| {
        seen.extend(weights(run.trainer()).concat());
        Ok(())
    });
    assert!(trainer.fit(&data, fit).unwrap().fault.is_some());
    assert!(seen.iter().all(|w| w.is_finite()));
}

/// A line through zero, of which the fourth batch has a gradient whose square f32 does not hold.
fn steep(optimizer: impl Optimizer + 'static, device: &Device) -> (Trainer, Samples<'static>) {
    let x: Vec<f32> = (0..40).map(|i| if i == ODD { 1e12 } else { 1.0 + (i as f32).sin() }).collect();
    let y = x.iter().map(|x| 2.0 * x).collect::<Vec<_>>();
    let built = Trainer::new(Sequential::new().add(Dense::new(1).bias(false)), [1]);
    let built = built.loss(Loss::MeanSquaredError).optimizer(optimizer).batch_size(8).seed(7);
    (built.build(device).unwrap(), Samples::new().input([1], x).target([1], y))
}

/// A weight whose optimiser's state became infinite never moves again: the guard stops before it does.
#[test]
fn an_infinite_state_of_an_optimiser_is_seen() {
    type Named = (&'static str, fn() -> Box<dyn Optimizer>);
    let all: [Named; 8] = [
        ("adam", || Box::new(Adam::new(0.01))),
        ("adam", || Box::new(AdamW::new(0.01))),
        ("nadam", || Box::new(Nadam::new(0.01))),
        ("rmsprop", || Box::new(RmsProp::new(0.01))),
        ("adagrad", || Box::new(Adagrad::new(0.01))),
        ("adadelta", || Box::new(Adadelta::new(0.01))),
        ("adafactor", || Box::new(Adafactor::new(0.01))),
        ("ftrl", || Box::new(Ftrl::new(0.01))),
    ];
    for (name, make) in all {
        let fit = || Fit::epochs(2).shuffle(false).progress(false);
        // What is documented of it without a guard.
        let (mut trainer, data) = steep(make(), gpu());
        let history = trainer.fit(data.clone(), fit()).unwrap();
        let dead = weights(&trainer)[0][0];
        if ["adafactor", "ftrl"].contains(&name) {
            assert!(
                dead.is_nan() && history.epochs.len() == 1 && history.stopped.is_some(),
                "{name}: {dead}"
            );
        } else {
            assert_eq!((history.epochs.len(), history.fault), (2, None), "{name}");
            trainer.fit(data.clone(), fit()).unwrap();
            let moved = (weights(&trainer)[0][0] - dead).abs();
            assert!(
                dead.is_finite() && moved <= 0.1 * dead.abs(),
                "{name}: more than a decay: {dead}, {moved}"
            );
        }

        for every in [1, 3] {
            let (mut trainer, data) = steep(make(), gpu());
            let history = trainer.fit(data, fit().nan_guard(every)).unwrap();
            let fault = history.fault.unwrap_or_else(|| panic!("{name}: a state is infinite"));
            assert!(fault.op.is_some_and(|op| op.starts_with(name)), "{fault}");
            assert!(fault.value.contains("weight"), "{fault}");
            let dies = ["adafactor", "ftrl"].contains(&name);
            assert_eq!(fault.element.is_nan(), dies, "weights come first there: {fault}");
            let stopped = history.stopped.unwrap();
            assert!(stopped.contains(&format!("epoch 1, step 4: {fault}")), "{stopped}");
            assert_eq!(trainer.steps(), 3, "{name}");
            // What is kept is as it was before that step.
            trainer.fit(steep(make(), gpu()).1, fit().steps_per_epoch(3).nan_guard(1)).unwrap();
            assert_eq!(trainer.steps(), 9, "{name}");
        }
        // In f64 there is room.
        let (mut trainer, data) = steep(make(), &Device::reference());
        let history = trainer.fit(data, fit().nan_guard(1)).unwrap();
        assert_eq!((history.fault, trainer.steps()), (None, 10), "{name}");
    }
}
