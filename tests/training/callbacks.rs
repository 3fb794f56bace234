//! What callbacks do to a training.

use std::cell::RefCell;

use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::prelude::*;
use retape::train::callbacks::{Callback, CsvLog, Direction, EarlyStopping, Monitor, ReduceOnPlateau};
use retape::{Error, Result};

/// `y = 2 x - 1` at a few points.
fn line() -> data::Samples<'static> {
    let x: Vec<f32> = (0..24).map(|i| i as f32 / 12.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 2.0 * x - 1.0).collect();
    data::Samples::new().input([1], x).target([1], y)
}

fn trainer(rate: f32) -> Trainer {
    Trainer::new(Sequential::new().add(Dense::new(1)), [1])
        .loss(Loss::MeanSquaredError)
        .optimizer(Sgd::new(rate))
        .batch_size(8)
        .seed(3)
        .build(gpu())
        .unwrap()
}

fn weights(trainer: &Trainer) -> Vec<f32> {
    let session = trainer.session();
    session.parameter_names().iter().flat_map(|name| session.parameter(name).unwrap()).collect()
}

#[test]
fn training_stops_when_nothing_becomes_better() {
    // A rate of 0: the loss of the first epoch is never bettered.
    for (patience, epochs) in [(0, 2), (1, 2), (3, 4)] {
        let fit = Fit::epochs(20).callback(EarlyStopping::new("loss").min_delta(1e-4).patience(patience));
        let history = trainer(0.0).fit(line(), fit).unwrap();
        assert_eq!(history.epochs.len(), epochs, "patience {patience}");
        assert!(history.stopped.unwrap().contains("`loss`"));
    }
    let history = trainer(0.1).fit(line(), Fit::epochs(6).callback(EarlyStopping::new("loss"))).unwrap();
    assert_eq!((history.epochs.len(), history.stopped), (6, None), "it becomes better every epoch");
    let demanding = EarlyStopping::new("loss").min_delta(100.0).patience(2);
    assert_eq!(trainer(0.1).fit(line(), Fit::epochs(6).callback(demanding)).unwrap().epochs.len(), 3);
    let upwards = EarlyStopping::new("loss").mode(Direction::Max);
    assert_eq!(trainer(0.1).fit(line(), Fit::epochs(6).callback(upwards)).unwrap().epochs.len(), 2);
    let unreached = EarlyStopping::new("loss").baseline(0.001).patience(2);
    let history = trainer(0.1).fit(line(), Fit::epochs(6).callback(unreached)).unwrap();
    assert_eq!(history.epochs.len(), 2);
    let (loss, stopped) = (history.get("loss"), history.stopped.unwrap());
    assert!(loss[1] < loss[0] && loss[1] > 0.001, "{loss:?}");
    let reason =
        "epoch 2: `loss` has not become better than the baseline of 0.001 for 2 epochs; the best was";
    assert!(stopped.starts_with(reason) && stopped.ends_with("in epoch 2"), "{stopped}");
    // Beyond it, the best is what counts.
    let reached = EarlyStopping::new("loss").baseline(100.0).patience(2);
    let stopped = trainer(0.0).fit(line(), Fit::epochs(9).callback(reached)).unwrap().stopped.unwrap();
    assert!(stopped.starts_with("epoch 3: `loss` has not become better for 2 epochs"), "{stopped}");
    let late = EarlyStopping::new("loss").min_delta(1e-4).start_from(4);
    assert_eq!(trainer(0.0).fit(line(), Fit::epochs(20).callback(late)).unwrap().epochs.len(), 6);
}

#[test]
fn the_best_weights_are_put_back() {
    // A rate so large that the loss grows from the first epoch on.
    let run = |restore: bool| {
        let seen = RefCell::new(Vec::new());
        let mut trainer = trainer(2.0);
        let fit = Fit::epochs(4)
            .shuffle(false)
            .callback(EarlyStopping::new("loss").patience(10).restore_best(restore))
            .on_epoch_end(|run| {
                seen.borrow_mut().push(weights(run.trainer()));
                Ok(())
            });
        let history = trainer.fit(line(), fit).unwrap();
        let loss = history.get("loss");
        assert!(loss.windows(2).all(|pair| pair[1] > pair[0]), "{loss:?}");
        (weights(&trainer), seen.into_inner())
    };
    let (kept, seen) = run(true);
    assert_eq!(kept, seen[0]);
    let (last, seen) = run(false);
    assert_eq!(last, seen[3]);
    assert_ne!(seen[0], seen[3]);
}

#[test]
fn a_figure_that_there_is_not_is_named() {
    for stopping in [EarlyStopping::new("val_loss"), EarlyStopping::new("val_loss").start_from(15)] {
        let error = trainer(0.1).fit(line(), Fit::epochs(2).callback(stopping)).unwrap_err();
        let named = matches!(&error, Error::Unknown { what: "figure", name, .. } if name == "val_loss");
        assert!(named && error.to_string().contains("loss, learning_rate"), "{error}");
    }
}

#[test]
fn a_plateau_reduces_the_learning_rate() {
    let rates = |plateau: ReduceOnPlateau, epochs: usize| {
        let mut trainer = trainer(0.1);
        // Nothing is better by 100, so every epoch after the first is part of a plateau.
        let fit = Fit::epochs(epochs).callback(plateau.min_delta(100.0));
        let rates: Vec<f32> =
            trainer.fit(line(), fit).unwrap().get("learning_rate").iter().map(|&r| r as f32).collect();
        (rates, trainer.learning_rate())
    };
    let plateau = || ReduceOnPlateau::new("loss").factor(0.5);
    let (by_epoch, after) = rates(plateau().patience(2), 6);
    assert_eq!(by_epoch, [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]);
    assert_eq!(after, 0.025);
    let (by_epoch, _) = rates(plateau().patience(1).cooldown(2), 7);
    assert_eq!(by_epoch, [0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125]);
    let (_, after) = rates(plateau().patience(1).min_rate(0.03), 7);
    assert_eq!(after, 0.03);
    let refused = trainer(0.1).fit(line(), Fit::epochs(1).callback(ReduceOnPlateau::new("loss").factor(1.0)));
    assert!(matches!(refused, Err(Error::Argument { argument: "factor", .. })));
    for rate in [-0.1, f32::NAN, f32::INFINITY] {
        let refused = trainer(0.1).fit(line(), Fit::epochs(1).callback(plateau().min_rate(rate)));
        assert!(matches!(refused, Err(Error::Argument { argument: "min_rate", .. })), "{rate}");
    }
}

#[test]
fn a_log_has_a_line_for_each_epoch() {
    let folder = Folder::new();
    let path = folder.0.join("log.csv");
    let mut trainer = trainer(0.1);
    let history = trainer.fit(line(), Fit::epochs(3).callback(CsvLog::new(&path))).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "epoch,loss,learning_rate");
    assert_eq!(lines.len(), 4);
    let cells: Vec<&str> = lines[3].split(',').collect();
    assert_eq!((cells[0], cells[1].parse::<f64>().unwrap()), ("3", history.last("loss").unwrap()));

    let more = Fit::epochs(5).initial_epoch(3).callback(CsvLog::new(&path));
    trainer.fit(line(), more).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let first: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(first, ["epoch", "1", "2", "3", "4", "5"]);

    let nowhere = folder.0.join("no such folder").join("log.csv");
    let error = trainer.fit(line(), Fit::epochs(1).callback(CsvLog::new(&nowhere))).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == nowhere), "{error}");
}

#[test]
fn functions_are_called_where_they_asked_to_be() {
    let calls = RefCell::new(Vec::new());
    let note =
        |what: &str, epoch: usize, step: usize| calls.borrow_mut().push(format!("{what} {epoch}.{step}"));
    let fit = Fit::epochs(2)
        .on_steps(2, |run| {
            note("step", run.epoch(), run.step());
            Ok(())
        })
        .on_epoch_end(|run| {
            note("epoch", run.epoch(), run.step());
            if run.logs()?.get("loss").is_none() {
                run.stop("there is no loss");
            }
            Ok(())
        });
    let history = trainer(0.1).fit(line(), fit).unwrap();
    // Three steps an epoch.
    assert_eq!(calls.into_inner(), ["step 0.2", "epoch 0.3", "step 1.1", "step 1.3", "epoch 1.3"]);
    assert_eq!(history.stopped, None);

    let stop = Fit::epochs(9).on_steps(4, |run| {
        run.stop("enough");
        Ok(())
    });
    let mut trainer = trainer(0.1);
    let history = trainer.fit(line(), stop).unwrap();
    assert_eq!((history.stopped.as_deref(), trainer.steps()), (Some("enough"), 4));
    assert_eq!(history.epochs.len(), 1, "an epoch that was not finished has no figures");
}

#[test]
fn an_error_of_a_callback_ends_training() {
    let refuse = |_: &mut retape::train::Run<'_>| -> Result<()> {
        Dataset::new([1], vec![0.0], vec![9], 3).map(|_| ())
    };
    let error = trainer(0.1).fit(line(), Fit::epochs(2).on_epoch_end(refuse)).unwrap_err();
    assert!(matches!(error, Error::LabelOutOfRange { .. }));
}

#[test]
fn figures_are_compared_by_what_they_are() {
    let better = |monitor: Monitor, figure: f64, best: Option<f64>| monitor.is_better(figure, best).unwrap();
    let (grows, falls) = (
        || Monitor::new("val_accuracy").mode(Direction::Max),
        || Monitor::new("val_loss").mode(Direction::Min),
    );
    assert!(better(grows(), 0.9, Some(0.8)));
    assert!(!better(falls(), 0.9, Some(0.8)));
    assert!(better(falls(), 0.7, Some(0.8)));
    assert!(!better(falls().min_delta(0.2), 0.7, Some(0.8)));
    for monitor in [grows(), falls()] {
        assert!(!better(monitor.clone(), f64::NAN, None));
        assert!(!better(monitor.clone(), f64::NAN, Some(0.5)));
        assert!(!better(monitor, 0.5, Some(0.5)));
    }
}

#[test]
fn epochs_that_come_again_are_logged_once() {
    let folder = Folder::new();
    let path = folder.0.join("log.csv");
    let mut trainer = trainer(0.1);
    trainer.fit(line(), Fit::epochs(4).callback(CsvLog::new(&path))).unwrap();
    let before = std::fs::read_to_string(&path).unwrap();
    trainer.fit(line(), Fit::epochs(5).initial_epoch(2).callback(CsvLog::new(&path))).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let first: Vec<&str> = text.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(first, ["epoch", "1", "2", "3", "4", "5"]);
    assert!(text.lines().take(3).eq(before.lines().take(3)), "{before}{text}");
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no other file is left");

    let more = Fit::epochs(1).callback(CsvLog::new(&path).append());
    trainer.fit(line(), more).unwrap();
    let added = std::fs::read_to_string(&path).unwrap();
    assert!(added.starts_with(&text) && added.lines().count() == 7, "{added}");
}

#[test]
fn the_best_is_kept_below_a_baseline_too() {
    let mut trainer = trainer(2.0);
    let stopping = EarlyStopping::new("loss").baseline(0.0).patience(3).restore_best(true);
    let mut first = Vec::new();
    let fit = Fit::epochs(9).shuffle(false).callback(stopping).on_epoch_end(|run| {
        if run.epoch() == 0 {
            first = weights(run.trainer());
        }
        Ok(())
    });
    let history = trainer.fit(line(), fit).unwrap();
    assert_eq!(history.epochs.len(), 3);
    assert_eq!(weights(&trainer), first);
}

#[test]
fn a_stopped_training_stays_stopped_when_resumed() {
    let folder = Folder::new();
    let path = folder.0.join("last.safetensors");
    let fit = |path: &std::path::Path| {
        let path = path.to_owned();
        Fit::epochs(9)
            .callback(EarlyStopping::new("loss").min_delta(100.0).patience(2).restore_best(true))
            .on_epoch_end(move |run| {
                run.write_checkpoint(&path);
                Ok(())
            })
    };
    let mut whole = trainer(0.1);
    let history = whole.fit(line(), fit(&path)).unwrap();
    let mut resumed = trainer(0.1);
    let again = resumed.fit(line(), fit(&folder.0.join("other.safetensors")).resume(&path)).unwrap();
    assert_eq!(history, again);
    assert_eq!(weights(&whole), weights(&resumed));
}

#[test]
fn the_learning_rate_is_set_and_schedules_are_checked() {
    let mut trainer = trainer(0.1);
    trainer.set_learning_rate(0.0).unwrap();
    let before = weights(&trainer);
    trainer.fit(line(), Fit::epochs(1)).unwrap();
    assert_eq!(weights(&trainer), before);
    for rate in [-1.0, f32::NAN] {
        let refused = trainer.set_learning_rate(rate);
        assert!(matches!(refused, Err(Error::Argument { argument: "learning_rate", .. })));
    }
    let scheduled = |schedule: ExponentialDecay| {
        Trainer::new(Sequential::new().add(Dense::new(1)), [1])
            .loss(Loss::MeanSquaredError)
            .optimizer(Sgd::new(0.1))
            .schedule(schedule)
            .build(gpu())
    };
    assert!(scheduled(ExponentialDecay::new(0.1, 0, 0.5)).is_err());
    let mut decaying = scheduled(ExponentialDecay::new(0.1, 10, 0.5)).unwrap();
    assert!(decaying.set_learning_rate(0.5).is_err(), "the schedule gives it");

    trainer.set_learning_rate(0.25).unwrap();
    for factor in [-1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let refused = trainer.scale_learning_rate(factor);
        assert!(matches!(refused, Err(Error::Argument { argument: "factor", .. })), "{factor}");
    }
    let large = 2f32.powi(100);
    trainer.scale_learning_rate(large).unwrap();
    assert!(trainer.scale_learning_rate(large).is_err(), "both together are infinite");
    trainer.scale_learning_rate(0.5 / large).unwrap();
    assert_eq!(trainer.learning_rate(), 0.125);
}

/// Batches of four and, at the end, of three; nothing is learnt, so that only what a layer carries over
/// tells one epoch from the next.
#[test]
fn stateful_layers_forget_when_they_are_told_to() {
    let x: Vec<f32> = (0..7 * 3).map(|i| (i as f32 / 5.0).sin()).collect();
    let samples = || data::Samples::new().input([3, 1], &x[..]).target([1], &x[..7]);
    for device in [&Device::reference(), &Device::cpu(), gpu()] {
        let losses = |forgets: bool| {
            let model = Sequential::new().add(Lstm::new(4).stateful(true)).add(Dense::new(1));
            let trainer = Trainer::new(model, [3, 1]).loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.0));
            let mut trainer = trainer.batch_size(4).seed(3).build(device).unwrap();
            let fit = Fit::epochs(3).shuffle(false).on_epoch_end(move |run| match forgets {
                true => run.trainer().reset_states(),
                false => Ok(()),
            });
            trainer.fit(samples(), fit).unwrap().get("loss")
        };
        let [forgetful, carried] = [true, false].map(losses);
        assert_eq!(forgetful, [forgetful[0]; 3]);
        assert_eq!(carried[0], forgetful[0]);
        assert!(carried[1] != carried[0] && carried[2] != carried[1], "{carried:?}");
    }
}

/// Counts every second step.
struct Counting(usize);

impl Callback for Counting {
    fn every_steps(&self) -> Option<u32> {
        Some(2)
    }

    fn on_step(&mut self, _: &mut retape::train::Run<'_>) -> Result<()> {
        self.0 += 1;
        Ok(())
    }
}

/// A callback around another.
struct Around<F>(F);

impl<F: Callback> Callback for Around<F> {}

#[test]
fn a_callback_has_a_name_to_be_told_apart_by() {
    struct Local<F>(F);
    impl<F: Fn(u8) -> Option<u8>> Callback for Local<F> {}
    let mut stopping = EarlyStopping::new("val_loss");
    let reference: &mut dyn Callback = &mut stopping;
    assert_eq!(reference.identity(), "EarlyStopping(val_loss)");
    assert_eq!(ReduceOnPlateau::new("loss").identity(), "ReduceOnPlateau(loss)");
    assert_eq!(CsvLog::new("log.csv").identity(), "CsvLog");
    assert_eq!(Around(Around(Counting(0))).identity(), "Around");
    assert_eq!(Local(|n: u8| n.checked_add(1)).identity(), "Local");
    assert_eq!(Local(u8::checked_neg as fn(u8) -> Option<u8>).identity(), "Local");
}

/// Callbacks that remember something, in two trainings and one that goes on.
#[test]
fn callbacks_given_by_reference_are_there_afterwards() {
    let folder = Folder::new();
    let (path, saved) = (folder.0.join("log.csv"), folder.0.join("saved.safetensors"));
    let mut stopping = EarlyStopping::new("loss").patience(2).restore_best(true);
    let mut plateau = ReduceOnPlateau::new("loss").min_delta(100.0).patience(2);
    let mut log = CsvLog::new(&path);
    let logged = || {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut counting = Counting(0);

    // The loss falls, and then grows from the first epoch on.
    for (rate, epochs, best) in [(0.1, 4, 3), (2.0, 3, 0)] {
        let mut trainer = trainer(rate);
        let fit = Fit::epochs(4).shuffle(false).callback(&mut stopping).callback(&mut log);
        let history = trainer.fit(line(), fit.callback(&mut plateau)).unwrap();
        assert_eq!(history.epochs.len(), epochs);
        let figure = history.epochs[best].get("loss");
        assert_eq!((stopping.best_epoch(), stopping.best()), (Some(best), figure), "rate {rate}");
        assert_eq!(logged().len(), 1 + epochs);
    }
    trainer(0.1).fit(line(), Fit::epochs(2).callback(&mut counting)).unwrap();
    assert_eq!(counting.0, 3, "six steps, and each second one counts");

    let write = |run: &mut retape::train::Run<'_>| -> Result<()> {
        run.write_checkpoint(&saved);
        Ok(())
    };
    let mut short = trainer(0.1);
    short.fit(line(), Fit::epochs(2).callback(&mut stopping).callback(&mut log).on_epoch_end(write)).unwrap();
    let resumed = Fit::epochs(3).callback(&mut stopping).callback(&mut log).on_epoch_end(write);
    let history = trainer(0.1).fit(line(), resumed.resume(&saved)).unwrap();
    assert_eq!((stopping.best_epoch(), stopping.best()), (Some(2), history.last("loss")));
    assert_eq!(logged(), ["epoch", "1", "2", "3"]);
}
