//! What is seen of a training: which way figures are to go, how they are written, what is said of those that
//! are no numbers, and how a program stops it.

use std::cell::Cell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::folder::Folder;
use crate::common::logs::logged;
use crate::common::{gpu, open_gpu};
use crate::trainer::Log;
use retape::data::{Dataset, Samples};
use retape::prelude::*;
use retape::train::callbacks::{
    Callback, CsvLog, EarlyStopping, ModelCheckpoint, Monitor, Progress, ReduceOnPlateau,
};
use retape::train::{Direction, Logs, MetricFunction, MetricInputs, Run};
use retape::{Error, Result};

/// The mean squared error under a name that says something else.
#[derive(Debug)]
struct Named(&'static str, Direction);

impl MetricFunction for Named {
    fn name(&self) -> String {
        self.0.to_owned()
    }

    fn direction(&self) -> Direction {
        self.1
    }

    fn record(&self, graph: &Graph, inputs: MetricInputs) -> Result<Value> {
        Metric::MeanSquaredError.record(graph, inputs)
    }

    fn results(&self, sums: &[f64]) -> Vec<f64> {
        Metric::MeanSquaredError.results(sums)
    }
}

/// `y = 2 x - 1` at a few points.
fn line() -> Samples<'static> {
    let x: Vec<f32> = (0..24).map(|i| i as f32 / 12.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 2.0 * x - 1.0).collect();
    Samples::new().input([1], x).target([1], y)
}

fn trainer(rate: f32, metric: Metric) -> Trainer {
    Trainer::new(Sequential::new().add(Dense::new(1)), [1])
        .loss(Loss::MeanSquaredError)
        .optimizer(Sgd::new(rate))
        .metrics([metric])
        .batch_size(8)
        .seed(3)
        .build(&Device::reference())
        .unwrap()
}

fn weights(trainer: &Trainer) -> Vec<f32> {
    let session = trainer.session();
    session.parameter_names().iter().flat_map(|name| session.parameter(name).unwrap()).collect()
}

/// The epoch that `EarlyStopping` takes for the best of three in which the error falls.
fn best_epoch(metric: Metric, watched: EarlyStopping) -> Result<usize> {
    let mut stopping = watched.patience(9);
    let fit = Fit::epochs(3).progress(false).validation(line()).callback(&mut stopping);
    trainer(0.1, metric).fit(line(), fit)?;
    Ok(stopping.best_epoch().unwrap())
}

#[test]
fn a_figure_goes_the_way_its_metric_has_declared() {
    let custom = |name, direction| Metric::custom(Named(name, direction));
    for prefix in ["", "val_"] {
        let watch = |name: &str| EarlyStopping::new(&format!("{prefix}{name}"));
        for (name, direction, best) in [
            ("recall_loss", Direction::Min, 2),
            ("accuracy_gap", Direction::Min, 2),
            ("distance", Direction::Max, 0),
            ("val_iou", Direction::Max, 0),
        ] {
            assert_eq!(best_epoch(custom(name, direction), watch(name)).unwrap(), best, "{prefix}{name}");
        }
        // What the program says goes before.
        let upwards = watch("error").mode(Direction::Max);
        assert_eq!(best_epoch(custom("error", Direction::Min), upwards).unwrap(), 0);
        for metric in [Metric::MeanSquaredError, Metric::MeanAbsoluteError, Metric::RSquared] {
            let name = metric.name();
            assert_eq!(best_epoch(metric.clone(), watch(&name)).unwrap(), 2, "{name}");
            assert_eq!(best_epoch(Metric::custom(metric), watch(&name)).unwrap(), 2, "{name} in a pointer");
        }
        assert_eq!(best_epoch(Metric::RSquared, watch("loss")).unwrap(), 2);
    }
    assert_eq!(Metric::F1(Average::Macro).at_threshold(0.3).direction(), Direction::Max);
    assert_eq!(Metric::ConfusionMatrix.direction(), Direction::Auto);
}

/// Before anything is trained.
#[test]
fn where_nobody_has_said_the_way_it_is_asked_for() {
    let folder = Folder::new();
    let path = folder.0.join("checkpoints");
    for name in ["iou", "val_iou", "val_recall_loss", "learning_rate"] {
        let callbacks: [Box<dyn Fn(Direction) -> Fit<'static>>; 3] = [
            Box::new(|mode| Fit::epochs(1).callback(EarlyStopping::new(name).mode(mode))),
            Box::new(|mode| Fit::epochs(1).callback(ReduceOnPlateau::new(name).mode(mode))),
            Box::new(|mode| Fit::epochs(1).callback(ModelCheckpoint::new(&path).best(name).mode(mode))),
        ];
        let metric = if name.contains("iou") { "iou" } else { "recall_loss" };
        for fit in callbacks {
            let mut trainer = trainer(0.1, Metric::custom(Named(metric, Direction::Auto)));
            let error = trainer.fit(line(), fit(Direction::Auto).validation(line())).unwrap_err();
            assert!(matches!(error, Error::Argument { argument: "mode", .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("`{name}`")) && text.contains("mode(Direction::Max)"), "{text}");
            assert_eq!(trainer.steps(), 0);
            trainer.fit(line(), fit(Direction::Min).validation(line())).unwrap();
        }
    }
    assert!(path.join(ModelCheckpoint::BEST).exists());
    // Without validation there is no such figure, which is found at once too.
    let mut trainer = trainer(0.1, Metric::RSquared);
    let fit = Fit::epochs(1).callback(ReduceOnPlateau::new("val_r_squared"));
    match trainer.fit(line(), fit).unwrap_err() {
        Error::Unknown { known, .. } => assert_eq!(known, ["loss", "r_squared", "learning_rate"]),
        error => panic!("{error}"),
    }
    assert_eq!(trainer.steps(), 0);
    assert!(Monitor::new("val_accuracy").is_better(0.9, Some(0.8)).is_err(), "a name says nothing");
}

#[test]
fn a_small_rate_has_its_digits_everywhere() {
    let folder = Folder::new();
    let path = folder.0.join("log.csv");
    let mut trainer = trainer(1e-5, Metric::RSquared);
    let history = trainer.fit(line(), Fit::epochs(2).callback(CsvLog::new(&path))).unwrap();
    assert_eq!(history.get("learning_rate"), [f64::from(1e-5_f32); 2]);
    let lines: Vec<String> = history.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].ends_with("learning rate") && lines[1].ends_with("1e-5"), "{history}");
    assert!(history.epochs[0].to_string().ends_with("  learning rate 1e-5"), "{}", history.epochs[0]);
    let csv = std::fs::read_to_string(&path).unwrap();
    let row: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((row[3].parse(), row[1].parse().ok()), (Ok(1e-5_f32), history.epochs[0].get("loss")));
    assert!(row[3].ends_with("e-6"), "{csv}");
}

#[test]
fn a_confusion_matrix_is_a_table() {
    let folder = Folder::new();
    let path = folder.0.join("last.safetensors");
    let data = Dataset::new([1], vec![-1.0, -2.0, 1.0, 2.0], vec![0, 0, 1, 0], 2).unwrap();
    let build = || {
        let trainer = Trainer::new(Sequential::new().add(Dense::new(2).bias(false)), [1]);
        let trainer = trainer.loss(Loss::SparseCategoricalCrossEntropy).optimizer(Sgd::new(0.0));
        let mut trainer = trainer.metrics([Metric::ConfusionMatrix]).build(&Device::reference()).unwrap();
        trainer.session_mut().set_parameter("dense.weight", &[-1.0, 1.0]).unwrap();
        trainer
    };
    let mut trainer = build();
    let table = "label \\ prediction  0  1\n                 0  2  1\n                 1  0  1";
    let evaluation = trainer.evaluate(&data).unwrap();
    let loss = evaluation.to_string().lines().next().unwrap().to_owned();
    assert_eq!(evaluation.to_string(), format!("{loss}\n\nconfusion matrix\n{table}"));
    assert!(loss.starts_with("loss ") && loss.split("  ").count() == 1, "{loss}");
    assert_eq!(evaluation.get("confusion_matrix_0_1"), Some(1.0));

    let fit = |epochs| Fit::epochs(epochs).validation(&data);
    let write = |run: &mut Run<'_>| -> Result<()> {
        run.write_checkpoint(&path);
        Ok(())
    };
    let history = trainer.fit(&data, fit(2).on_epoch_end(write)).unwrap();
    let line = history.epochs[1].to_string();
    assert_eq!(
        line.split("  ").map(|part| part.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["loss", "val", "learning"]
    );
    let matrices: Vec<_> = history.epochs[1].matrices().collect();
    assert_eq!(
        matrices.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["confusion_matrix", "val_confusion_matrix"]
    );
    assert_eq!(matrices[1].1.to_string(), table);
    assert!(!history.to_string().contains("confusion"), "{history}");
    let resumed = build().fit(&data, fit(2).on_epoch_end(write).resume(&path)).unwrap();
    assert_eq!(resumed.to_string(), history.to_string(), "a checkpoint knows what is a table");
    assert_eq!(resumed, history);
}

/// Points, one of which has no logarithm.
fn points(odd: f32) -> Samples<'static> {
    let mut x: Vec<f32> = (0..40).map(|i| 1.5 + (i as f32).sin()).collect();
    x[29] = odd;
    Samples::new().input([1], x).target([1], vec![0.5; 40])
}

fn logarithmic(device: &Device) -> Trainer {
    Trainer::new(Sequential::new().add(Log).add(Dense::new(1)), [1])
        .loss(Loss::MeanSquaredError)
        .optimizer(Sgd::new(0.01))
        .batch_size(8)
        .build(device)
        .unwrap()
}

#[test]
fn a_loss_that_is_no_number_ends_a_training_that_is_lost() {
    for device in [&Device::reference(), &Device::cpu(), gpu()] {
        let mut trainer = logarithmic(device);
        logged(log::Level::Warn);
        let history = trainer.fit(points(-1.0), Fit::epochs(5).shuffle(false)).unwrap();
        assert_eq!(history.epochs.len(), 1, "weights that are NaN stay so");
        assert!(history.last("loss").unwrap().is_nan());
        let fault = history.fault.clone().unwrap();
        assert_eq!((fault.op, fault.value.as_str()), (None, "loss"));
        assert!(fault.element.is_nan());
        let stopped = history.stopped.clone().unwrap();
        assert!(
            stopped.starts_with("epoch 1, step 5: `loss` is NaN and `dense.weight` holds NaN"),
            "{stopped}"
        );
        assert!(stopped.contains("`Fit::nan_guard`"), "{stopped}");
        assert_eq!(logged(log::Level::Warn), std::slice::from_ref(&stopped));
        assert_eq!(history.to_string().lines().last(), Some(&*format!("stopped: {stopped}")));
    }
    // The guard says it as well.
    let history =
        logarithmic(&Device::reference()).fit(points(-1.0), Fit::epochs(5).shuffle(false).nan_guard(1));
    let (history, warned) = (history.unwrap(), logged(log::Level::Warn));
    assert!(
        warned.len() == 1 && warned[0].starts_with("epoch 1, step 4: log in layer `logarithm`"),
        "{warned:?}"
    );
    assert_eq!((history.stopped.as_ref(), history.fault.unwrap().op), (Some(&warned[0]), Some("log")));
    // All is well without it.
    let history = logarithmic(&Device::reference()).fit(points(1.0), Fit::epochs(3)).unwrap();
    assert!(history.fault.is_none() && history.stopped.is_none() && logged(log::Level::Warn).is_empty());
}

/// A rate that is too large, as it happens.
#[test]
fn a_loss_that_overflows_is_no_number_either() {
    let mut trainer = trainer(1e18, Metric::RSquared);
    let history = trainer.fit(line(), Fit::epochs(9)).unwrap();
    assert!(history.fault.unwrap().value == "loss" && history.epochs.len() < 9);
    assert!(history.stopped.unwrap().contains("`Fit::nan_guard`"));
}

#[test]
fn a_validation_that_is_no_number_is_said_and_ends_nothing() {
    logged(log::Level::Warn);
    let fit = Fit::epochs(3).validation(points(-1.0)).nan_guard(100);
    let history = logarithmic(&Device::reference()).fit(points(1.0), fit).unwrap();
    assert_eq!((history.epochs.len(), history.stopped), (3, None));
    assert_eq!(history.fault.unwrap().value, "val_loss");
    assert_eq!(
        logged(log::Level::Warn),
        ["epoch 1, step 5: `val_loss` is NaN"],
        "once, and no hint at what is on"
    );
}

/// A rate that takes its time, so that callbacks are refreshed between a few steps.
#[derive(Debug)]
struct Slow;

impl retape::train::Schedule for Slow {
    fn rate(&self, _: u32) -> f32 {
        thread::sleep(Duration::from_millis(40));
        0.01
    }
}

#[test]
fn a_loss_that_is_no_number_is_said_before_the_epoch_is_over() {
    let seen = Cell::new(None);
    let mut trainer = Trainer::new(Sequential::new().add(Log).add(Dense::new(1)), [1])
        .loss(Loss::MeanSquaredError)
        .optimizer(Sgd::new(0.01))
        .schedule(Slow)
        .batch_size(1)
        .build(&Device::reference())
        .unwrap();
    logged(log::Level::Warn);
    let fit = Fit::epochs(1).shuffle(false).on_refresh(|run| {
        if seen.get().is_none() && run.history().fault.is_some() {
            seen.set(Some(run.step()));
            assert!(logged(log::Level::Warn)[0].contains("`loss` is NaN"));
        }
        Ok(())
    });
    trainer.fit(points(-1.0).slice(20..40), fit).unwrap();
    // Its batch is the tenth, and ten more take longer than two refreshes are apart.
    let step = seen.get();
    assert!(step.is_some_and(|step| (10..20).contains(&step)), "{step:?}");
}

#[test]
fn an_early_stop_says_when() {
    for (patience, said) in [
        (1, "epoch 2: `loss` has not become better for 1 epoch;"),
        (3, "epoch 4: `loss` has not become better for 3 epochs;"),
    ] {
        let stopping = EarlyStopping::new("loss").min_delta(1e-4).patience(patience);
        let history = trainer(0.0, Metric::RSquared).fit(line(), Fit::epochs(9).callback(stopping)).unwrap();
        let stopped = history.stopped.unwrap();
        assert!(stopped.starts_with(said) && stopped.ends_with("in epoch 1"), "{stopped}");
    }
}

#[test]
fn figures_are_at_hand_while_something_is_asked_for() {
    let mut kept: Vec<Logs> = Vec::new();
    let fit = Fit::epochs(9).on_epoch_end(|run| {
        let (logs, history) = (run.logs()?, run.history());
        run.trainer().set_learning_rate(0.05)?;
        if history.epochs.len() == 1 {
            run.stop(format!("{logs} is enough"));
        }
        kept.push(logs.clone());
        Ok(())
    });
    let history = trainer(0.1, Metric::RSquared).fit(line(), fit).unwrap();
    assert_eq!(history.epochs, kept);
    assert_eq!(history.stopped, Some(format!("{} is enough", kept[1])));
}

/// As a handler of a signal does.
#[test]
fn a_flag_stops_training_with_its_weights() {
    for device in [&Device::reference(), &Device::cpu(), gpu()] {
        let (flag, begun) = (AtomicBool::new(false), Cell::new(false));
        let mut trainer = logarithmic(device);
        let before = weights(&trainer);
        let history = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                flag.store(true, Ordering::Relaxed);
            });
            let fit = Fit::epochs(usize::MAX).on_refresh(|run| {
                begun.set(true);
                if flag.load(Ordering::Relaxed) {
                    run.stop("interrupted");
                }
                Ok(())
            });
            trainer.fit(points(1.0), fit).unwrap()
        });
        assert_eq!(history.stopped.as_deref(), Some("interrupted"));
        let (steps, after) = (trainer.steps(), weights(&trainer));
        assert!(begun.get() && steps > 0 && after != before && after.iter().all(|w| w.is_finite()));
        trainer.fit(points(1.0), Fit::epochs(1)).unwrap();
        assert_eq!(trainer.steps(), steps + 5, "it goes on from there");
    }
}

/// Of points, so many that the batches take a while.
fn many(count: usize) -> Samples<'static> {
    let x = (0..count).map(|i| 1.5 + (i as f32).sin()).collect::<Vec<_>>();
    Samples::new().input([1], x).target([1], vec![0.5; count])
}

/// A validation of hours is left at once; the epoch that it belongs to counts as not finished.
#[test]
fn a_flag_stops_a_validation() {
    for device in [&Device::reference(), &Device::cpu(), gpu()] {
        let (flag, within) = (AtomicBool::new(false), Cell::new(0));
        let mut trainer = logarithmic(device);
        let judged = many(4_000_000);
        let history = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(600));
                flag.store(true, Ordering::Relaxed);
            });
            let fit = Fit::epochs(3).validation(judged.clone()).resident_bytes(0).on_refresh(|run| {
                within.set(within.get() + u32::from(run.step() == run.steps_per_epoch()));
                if flag.load(Ordering::Relaxed) {
                    run.stop("interrupted");
                }
                Ok(())
            });
            trainer.fit(points(1.0), fit).unwrap()
        });
        assert_eq!(history.stopped.as_deref(), Some("interrupted"));
        assert!(within.get() > 0, "the callback was called while the validation went on");
        assert_eq!((trainer.steps(), history.epochs.len()), (5, 0));
        let after = trainer.weights().unwrap();
        // It goes on, and what was left of the evaluation is in no other one.
        let alone = logarithmic(device).evaluate(points(1.0)).unwrap().loss;
        let mut fresh = logarithmic(device);
        assert_eq!(fresh.evaluate(points(1.0)).unwrap().loss, alone);
        let loss = trainer.evaluate(points(1.0)).unwrap().loss;
        assert!(loss.is_finite());
        assert_eq!(trainer.evaluate(points(1.0)).unwrap().loss, loss);
        assert_eq!(trainer.weights().unwrap(), after);
    }
}

/// A stop after the last step of an epoch is one after its validation.
#[test]
fn a_stop_at_the_last_step_leaves_a_whole_epoch() {
    for (at, epochs) in [(5, 1), (7, 1), (10, 2)] {
        let stop = |run: &mut Run<'_>| -> Result<()> {
            if run.trainer().steps() == at {
                run.stop("enough");
            }
            Ok(())
        };
        let fit = Fit::epochs(5).validation(many(40)).on_steps(1, stop);
        let history = logarithmic(&Device::reference()).fit(points(1.0), fit).unwrap();
        assert_eq!((history.epochs.len(), history.get("val_loss").len()), (epochs, epochs), "step {at}");
        assert_eq!(history.stopped.as_deref(), Some("enough"));
    }
}

/// A callback that evaluates while a validation goes on does not disturb it.
#[test]
fn a_validation_is_its_own() {
    for device in [&Device::reference(), &Device::cpu(), gpu()] {
        let mut called = 0;
        // As many samples as it takes until the callback is due within the validation.
        for judged in (4..=12).map(|power| many(1000 << power)) {
            let fit = || Fit::epochs(2).validation(judged.clone());
            let alone = logarithmic(device).fit(points(1.0), fit()).unwrap();
            let evaluate = |run: &mut Run<'_>| -> Result<()> {
                if run.step() == run.steps_per_epoch() {
                    called += 1;
                    run.trainer().evaluate(points(1.0))?;
                }
                Ok(())
            };
            let history = logarithmic(device).fit(points(1.0), fit().on_refresh(evaluate)).unwrap();
            assert_eq!(history, alone);
            if called > 0 {
                break;
            }
        }
        assert!(called > 0, "{device:?}: the callback is never due");
    }
}

/// This test, in a process of its own, trains; its standard error is a pipe.
#[test]
fn an_epoch_is_a_line_where_there_is_no_terminal() {
    const CHILD: &str = "RETAPE_TEST_PRINTS";
    if let Ok(way) = std::env::var(CHILD) {
        let stop = |run: &mut Run<'_>| -> Result<()> {
            if run.epoch() == 1 {
                run.stop("enough");
            }
            Ok(())
        };
        let fit = Fit::epochs(10).progress(way == "lines").on_epoch_end(stop);
        let fit = if way == "bar only" { fit.callback(Progress::new().lines(false)) } else { fit };
        trainer(1e-5, Metric::RSquared).fit(line(), fit).unwrap();
        return;
    }
    let printed = |way: &str| -> Vec<String> {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "watching::an_epoch_is_a_line_where_there_is_no_terminal", "--nocapture"]);
        let output = child.env(CHILD, way).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
    };
    let lines = printed("lines");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].starts_with("epoch  1/10  loss ") && lines[0].ends_with("learning rate 1e-5"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("epoch  2/10  loss ") && lines[2] == "stopped: enough", "{lines:?}");
    for way in ["off", "bar only"] {
        assert_eq!(printed(way), [""; 0], "{way}");
    }
}

#[test]
fn kernels_are_counted_before_they_are_compiled() {
    let device = open_gpu();
    logged(log::Level::Info);
    let build = || {
        logarithmic(&device);
        logged(log::Level::Info).into_iter().filter(|line| line.starts_with("compiling ")).collect::<Vec<_>>()
    };
    let first = build();
    assert_eq!(first.len(), 1, "{first:?}");
    let count = first[0].strip_prefix("compiling ").and_then(|rest| rest.strip_suffix(" kernels"));
    assert!(count.unwrap().parse::<usize>().unwrap() > 1, "{first:?}");
    assert_eq!(build(), [""; 0], "they are there");
}

/// Told what the trainer's own callbacks are told.
struct Ends(usize);

impl Callback for Ends {
    fn on_train_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.0 = run.history().epochs.len();
        Ok(())
    }
}

#[test]
fn a_lost_training_ends_as_others_do() {
    let mut ends = Ends(0);
    logarithmic(&Device::reference()).fit(points(-1.0), Fit::epochs(4).callback(&mut ends)).unwrap();
    assert_eq!(ends.0, 1);
}

/// Gradients of two batches are summed: the one of the fifth batch waits for an update that is not made.
#[test]
fn gradients_that_are_no_numbers_are_not_used_at_the_end() {
    let trainer = Trainer::new(Sequential::new().add(Log).add(Dense::new(1)), [1]);
    let trainer = trainer.loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.01)).batch_size(8);
    let mut trainer = trainer.accumulate(2).build(&Device::reference()).unwrap();
    let mut x: Vec<f32> = (0..40).map(|i| 1.5 + (i as f32).sin()).collect();
    x[39] = -1.0;
    let samples = Samples::new().input([1], x).target([1], vec![0.5; 40]);
    let history = trainer.fit(samples, Fit::epochs(5).shuffle(false)).unwrap();
    assert_eq!((history.epochs.len(), trainer.updates()), (1, 2));
    assert!(history.stopped.is_some() && weights(&trainer).iter().all(|w| w.is_finite()));
}
