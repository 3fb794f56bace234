//! Checkpoints in memory, and trainings that outlive their device.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::checkpoints::{ADAM, builder, points, state};
use crate::common::folder::Folder;
use crate::common::gpu;
use crate::common::host::Host;
use retape::prelude::*;
use retape::train::callbacks::{EarlyStopping, ReduceOnPlateau};
use retape::train::{Checkpoint, History, Run};
use retape::{Error, Result, wgpu};

fn trainer(device: &Device) -> Trainer {
    builder(ADAM).build(device).unwrap()
}

fn fit<'a>(validation: &'a data::Dataset, epochs: usize) -> Fit<'a> {
    Fit::epochs(epochs)
        .validation(validation)
        .callback(EarlyStopping::new("val_loss").patience(50).restore_best(true))
        .callback(ReduceOnPlateau::new("val_accuracy").patience(1).factor(0.5))
}

fn bits(history: &History) -> Vec<u64> {
    history.epochs.iter().flat_map(|logs| logs.iter().map(|(_, v)| v.to_bits())).collect()
}

#[test]
fn a_checkpoint_in_memory_is_the_file() {
    let folder = Folder::new();
    let train = points(37);
    let [from_memory, saved] = ["memory", "saved"].map(|name| folder.0.join(name));
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut first = trainer(device);
        first.fit(&train, Fit::epochs(2)).unwrap();
        let checkpoint = first.checkpoint().unwrap();
        assert_eq!((checkpoint.epoch(), checkpoint.steps()), (2, 10));
        checkpoint.save(&from_memory).unwrap();
        first.save_checkpoint(&saved).unwrap();
        assert!(std::fs::read(&from_memory).unwrap() == std::fs::read(&saved).unwrap());

        let whole = trainer(device).fit(&train, Fit::epochs(4)).unwrap();
        for checkpoint in [&checkpoint, &Checkpoint::open(&saved).unwrap()] {
            let mut other = trainer(device);
            assert_eq!(other.fit(&train, Fit::epochs(4).resume_from(checkpoint)).unwrap(), whole);
            // Back again, with all that has happened since undone.
            assert_eq!(other.restore(checkpoint).unwrap(), 2);
            assert_eq!((other.steps(), other.weights().unwrap()), (10, first.weights().unwrap()));
            let rest = other.fit(&train, Fit::epochs(4).initial_epoch(2)).unwrap();
            assert_eq!(bits(&rest), bits(&whole)[bits(&whole).len() / 2..]);
        }
    }
}

#[test]
fn a_trainer_goes_on_on_a_new_device() {
    let train = points(37);
    let whole = trainer(gpu()).fit(&train, Fit::epochs(4)).unwrap();
    let (host, next) = (Host::open(false), Host::open(false));
    let mut first = trainer(&host.lent);
    first.fit(&train, Fit::epochs(2)).unwrap();
    let checkpoint = first.checkpoint().unwrap();
    host.device.destroy();
    assert!(matches!(first.fit(&train, Fit::epochs(3)), Err(Error::DeviceLost { .. })));
    assert_eq!(first.recover(&next.lent).unwrap(), 2);
    let rest = first.fit(&train, Fit::epochs(4).resume_from(&checkpoint)).unwrap();
    assert_eq!(bits(&rest), bits(&whole));
    // And on again, from a device that is there: nothing is lost.
    first.recover(gpu()).unwrap();
    assert_eq!(first.steps(), 20);
    let weights = first.weights().unwrap();
    assert_eq!(first.evaluate(&train).unwrap(), first.evaluate(&train).unwrap());
    assert_eq!(weights, first.weights().unwrap());
}

#[test]
fn what_cannot_be_recovered_stays_as_it_was() {
    let folder = Folder::new();
    let train = points(37);
    let mut there = trainer(gpu());
    there.fit(&train, Fit::epochs(1)).unwrap();
    let before = state(&there, &folder);
    let refused = there.recover(&Device::reference());
    assert!(matches!(refused, Err(Error::Argument { .. })), "{refused:?}");
    assert!(state(&there, &folder) == before);

    let host = Host::open(true);
    let mut lost = trainer(&host.lent);
    host.device.destroy();
    let refused = lost.recover(gpu());
    assert!(matches!(refused, Err(Error::DeviceLost { .. })), "{refused:?}");
    assert_eq!(host.heard(), 0);
}

/// Destroys the device of a trainer after some of its steps.
fn destroys(at: &[u32]) -> impl FnMut(&mut Run<'_>) -> Result<()> {
    let mut at = at.to_vec();
    move |run| {
        let trainer = run.trainer();
        if at.first() == Some(&trainer.steps()) {
            at.remove(0);
            let (device, _): (&wgpu::Device, _) = trainer.device().wgpu().expect("a GPU");
            device.destroy();
        }
        Ok(())
    }
}

#[test]
fn fit_outlives_its_device_by_itself() {
    let folder = Folder::new();
    let (train, validation) = (points(37), points(11));
    let mut whole = trainer(gpu());
    let none = whole.fit(&train, fit(&validation, 4).on_steps(1, |_| Ok(()))).unwrap();
    // In the middle of an epoch, at its end, twice, in the first and in the last one.
    for at in [&[7][..], &[5], &[20], &[3, 18], &[10, 11]] {
        let mut opened = Vec::new();
        let mut open = || {
            let host = Host::open(true);
            opened.push(host);
            Ok(opened.last().expect("it was pushed").lent.clone())
        };
        let mut other = trainer(&open().unwrap());
        let fit = fit(&validation, 4).on_steps(1, destroys(at)).recover(&mut open, at.len());
        let history = other.fit(&train, fit).unwrap();
        assert_eq!(bits(&history), bits(&none), "{at:?}");
        assert!(state(&other, &folder) == state(&whole, &folder), "{at:?}");
        assert_eq!(opened.len(), 1 + at.len());
        assert!(opened.iter().all(|host| host.heard() == 0));
    }
}

#[test]
fn fit_tries_as_often_as_it_may() {
    let train = points(37);
    let no_adapter = || Error::NoAdapter { wanted: "today".to_owned(), found: Vec::new() };
    for (tries, fails, ends_well) in [(0, 0, false), (1, 0, false), (2, 0, true), (2, 1, false), (3, 1, true)]
    {
        let mut opened = 0;
        let mut hosts = Vec::new();
        let first = Host::open(true);
        let mut lost = trainer(&first.lent);
        let fit = Fit::epochs(3).on_steps(1, destroys(&[4, 8])).recover(
            || {
                opened += 1;
                if opened <= fails {
                    return Err(no_adapter());
                }
                hosts.push(Host::open(true));
                Ok(hosts[hosts.len() - 1].lent.clone())
            },
            tries,
        );
        let ended = lost.fit(&train, fit);
        let case = format!("{tries} tries, {fails} of which open nothing: {ended:?}");
        assert_eq!(ended.is_ok(), ends_well, "{case}");
        assert!(ends_well || matches!(ended, Err(Error::DeviceLost { .. })), "{case}");
        assert_eq!(opened, tries.min(2 + fails), "{case}");
    }
}

/// A training that was to stop where its device was lost does stop.
#[test]
fn a_stop_is_kept() {
    let train = points(37);
    let mut host = Some(Host::open(true));
    let mut lost = trainer(&host.as_ref().unwrap().lent);
    let device = host.take().unwrap().device;
    let fit = Fit::epochs(9)
        .on_epoch_end(|run| {
            if run.epoch() == 1 {
                run.stop("enough");
            }
            Ok(())
        })
        .callback(Ends(device))
        .recover(|| Ok(Host::open(true).lent), 1);
    let history = lost.fit(&train, fit).unwrap();
    assert_eq!((history.epochs.len(), history.stopped.as_deref()), (2, Some("enough")));
}

/// Needs the device at the end, which it destroys before.
struct Ends(wgpu::Device);

impl retape::train::Callback for Ends {
    fn on_train_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.0.destroy();
        run.trainer().weights().map(drop)
    }
}

/// Panics after a step of the training, or at the end of an epoch.
fn panics(step: Option<u32>, epoch: Option<usize>) -> Fit<'static> {
    Fit::epochs(4)
        .on_steps(1, move |run| {
            assert_ne!(Some(run.trainer().steps()), step, "it panics");
            Ok(())
        })
        .on_epoch_end(move |run| {
            assert_ne!(Some(run.epoch()), epoch, "it panics");
            Ok(())
        })
}

#[test]
fn after_a_panic_a_checkpoint_is_of_the_step_at_hand() {
    let folder = Folder::new();
    let train = points(37);
    let path = folder.0.join("panicked.safetensors");
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut whole = trainer(device);
        let history = whole.fit(&train, panics(None, None)).unwrap();
        for (step, epoch) in
            [(Some(1), None), (Some(7), None), (Some(10), None), (None, Some(0)), (None, Some(3))]
        {
            let mut panicked = trainer(device);
            let ended =
                catch_unwind(AssertUnwindSafe(|| panicked.fit(&train, panics(step, epoch)).map(drop)));
            assert!(ended.is_err());
            panicked.save_checkpoint(&path).unwrap();
            let mut resumed = trainer(device);
            let went_on = resumed.fit(&train, panics(None, None).resume(&path)).unwrap();
            assert_eq!(bits(&went_on), bits(&history), "{step:?}, {epoch:?}");
            assert!(state(&resumed, &folder) == state(&whole, &folder), "{step:?}, {epoch:?}");
        }
    }
}

/// A training that only becomes worse, whose best weights are those of its first epoch: what a callback has to
/// remember.
fn worsening(device: &Device) -> Trainer {
    let model = Sequential::new().add(Dense::new(1).weight_init(Init::Zeros));
    let built = Trainer::new(model, [1]).loss(Loss::MeanSquaredError).optimizer(Sgd::new(0.9));
    built.batch_size(4).seed(1).build(device).unwrap()
}

fn line() -> data::Samples<'static> {
    let xs = vec![1.0f32, 2.0, -1.0, 0.5];
    data::Samples::new().input([1], xs.clone()).target([1], xs)
}

/// With a callback that remembers the best weights, one that remembers rates, and before, between or after them one
/// of the program's.
fn remembering<'a>(own: usize, at_end: impl FnMut(&mut Run<'_>) -> Result<()> + 'a) -> Fit<'a> {
    let (fit, mut at_end) = (Fit::epochs(5).progress(false).validation(line()), Some(at_end));
    let fit = (0..3).fold(fit, |mut fit, place| {
        if place == own {
            fit = fit.on_epoch_end(at_end.take().expect("it has one place"));
        }
        match place {
            0 => fit.callback(EarlyStopping::new("val_loss").patience(9).restore_best(true)),
            1 => fit.callback(ReduceOnPlateau::new("val_loss").patience(2).factor(0.5)),
            _ => fit,
        }
    });
    fit.on_steps(1, |_| Ok(()))
}

/// Whatever a callback of the program does, the others know of every epoch, once.
#[test]
fn after_a_panic_or_an_error_callbacks_remember_what_they_did() {
    let folder = Folder::new();
    let path = folder.0.join("panicked.safetensors");
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut whole = worsening(device);
        let history = whole.fit(line(), remembering(0, |_| Ok(()))).unwrap();
        let kept = whole.evaluate(line()).unwrap();
        assert!(kept.loss < 0.5 * history.last("val_loss").unwrap(), "the best weights are back");
        for (own, panics, epoch) in [(0, true, 2), (1, true, 0), (2, true, 3), (2, true, 4), (1, false, 2)] {
            let ends = |run: &mut Run<'_>| {
                assert!(!(panics && run.epoch() == epoch), "it panics");
                if run.epoch() == epoch { Err(Error::ForeignValue) } else { Ok(()) }
            };
            let mut ended = worsening(device);
            let outcome =
                catch_unwind(AssertUnwindSafe(|| ended.fit(line(), remembering(own, ends)).is_err()));
            assert_eq!(outcome.is_err(), panics);
            ended.save_checkpoint(&path).unwrap();
            let mut resumed = worsening(device);
            let went_on = resumed.fit(line(), remembering(own, |_| Ok(())).resume(&path)).unwrap();
            assert_eq!(bits(&went_on), bits(&history), "{own}, {epoch}");
            assert_eq!(resumed.evaluate(line()).unwrap(), kept, "{own}, {epoch}");
            assert!(state(&resumed, &folder) == state(&whole, &folder), "{own}, {epoch}");
        }
    }
}

/// What the trainer gives in a callback says nothing of callbacks.
#[test]
fn what_a_callback_takes_of_the_trainer_is_not_resumed_with_callbacks_that_remember() {
    let device = Device::reference();
    let mut taken = None;
    let takes = |run: &mut Run<'_>| {
        if run.epoch() == 2 {
            taken = Some(run.trainer().checkpoint()?);
        }
        Ok(())
    };
    let mut whole = worsening(&device);
    let history = whole.fit(line(), remembering(1, takes)).unwrap();
    let taken = taken.expect("there is an epoch 2");
    let mut other = worsening(&device);
    let before = other.weights().unwrap();
    let error = other.fit(line(), remembering(1, |_| Ok(())).resume_from(&taken)).unwrap_err();
    assert!(matches!(error, Error::CheckpointMismatch { .. }), "{error}");
    for fact in
        ["EarlyStopping(val_loss), ReduceOnPlateau(val_loss)", "Run::write_checkpoint", "load_checkpoint"]
    {
        assert!(error.to_string().contains(fact), "{error}");
    }
    assert_eq!(other.weights().unwrap(), before);
    // Without them, nothing is missing.
    let fit = Fit::epochs(3).progress(false).validation(line()).on_epoch_end(|_| Ok(()));
    let went_on = other.fit(line(), fit.resume_from(&taken)).unwrap();
    assert_eq!(went_on.get("val_loss"), history.get("val_loss")[..3]);
    assert_eq!(worsening(&device).restore(&taken).unwrap(), 2);
}

/// The error is that of what was opened, not of what does not fit it.
#[test]
fn another_kind_of_device_is_named() {
    let train = points(37);
    let host = Host::open(true);
    let mut lost = trainer(&host.lent);
    let error =
        lost.fit(&train, Fit::epochs(3).on_steps(1, destroys(&[7])).recover(|| Ok(Device::reference()), 2));
    let Err(error @ Error::Argument { argument: "device", .. }) = error else { panic!("{error:?}") };
    assert!(
        error.to_string().contains("\"reference\" after") && error.to_string().contains("f64"),
        "{error}"
    );
    // The trainer is the one of the device that is lost, and goes on on one of its kind.
    assert!(lost.device().is_gpu());
}

/// What a callback trains on besides is no step of the epoch: a checkpoint that it takes then is of the step at hand,
/// and what is trained from there is what the training itself comes to.
#[test]
fn what_a_callback_trains_on_leaves_the_step_at_hand() {
    let folder = Folder::new();
    let (train, other) = (points(37), points(11));
    let path = folder.0.join("within.safetensors");
    let besides: [fn(&mut Trainer, &data::Dataset) -> Result<()>; 3] = [
        |trainer, other| trainer.train_on_batch(other).map(drop),
        |trainer, other| trainer.fit(other, Fit::epochs(2)).map(drop),
        |trainer, other| trainer.evaluate(other).map(drop),
    ];
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        for besides in besides {
            let fit = |saves: bool| {
                let (path, other) = (&path, &other);
                Fit::epochs(3).on_steps(1, move |run| {
                    if (run.epoch(), run.step()) == (1, 3) {
                        besides(run.trainer(), other)?;
                        if saves {
                            run.trainer().save_checkpoint(path)?;
                        }
                    }
                    Ok(())
                })
            };
            let mut whole = trainer(device);
            let history = whole.fit(&train, fit(true)).unwrap();
            assert_eq!(whole.history(), &history);
            let mut resumed = trainer(device);
            let went_on = resumed.fit(&train, fit(false).resume(&path)).unwrap();
            assert_eq!(bits(&went_on), bits(&history));
            assert!(state(&resumed, &folder) == state(&whole, &folder));
        }
    }
}

/// Nothing is under way after a panic: the figures are those of the next training.
#[test]
fn a_training_after_a_panic_is_one_of_its_own() {
    let train = points(37);
    let mut panicked = trainer(&Device::reference());
    let ended = catch_unwind(AssertUnwindSafe(|| panicked.fit(&train, panics(Some(7), None)).map(drop)));
    assert!(ended.is_err());
    let history = panicked.fit(&train, Fit::epochs(3)).unwrap();
    assert_eq!((history.epochs.len(), panicked.history()), (3, &history));
    panicked.train_on_batch(&train).unwrap();
    assert_eq!(panicked.checkpoint().unwrap().epoch(), 3);
}

/// A schedule is asked in the middle of what goes to the device at once.
#[test]
fn after_a_panic_of_a_schedule_no_step_is_lost() {
    use retape::train::schedules::ScheduleFn;
    let folder = Folder::new();
    let train = points(37);
    let path = folder.0.join("panicked.safetensors");
    // Once: a checkpoint asks as well.
    let panicked_before = Arc::new(AtomicBool::new(false));
    let rate = |panics: bool| {
        let before = panicked_before.clone();
        ScheduleFn(move |update| {
            assert!(!panics || update != 13 || before.swap(true, Ordering::Relaxed), "it panics");
            0.01 / (1.0 + update as f32)
        })
    };
    let build = |panics| builder(ADAM).schedule(rate(panics)).build(gpu()).unwrap();
    let history = build(false).fit(&train, Fit::epochs(4)).unwrap();
    let mut panicked = build(true);
    let ended = catch_unwind(AssertUnwindSafe(|| panicked.fit(&train, Fit::epochs(4)).map(drop)));
    assert!(ended.is_err());
    assert_eq!(panicked.steps(), 13);
    panicked.save_checkpoint(&path).unwrap();
    let went_on = build(false).fit(&train, Fit::epochs(4).resume(&path)).unwrap();
    assert_eq!(bits(&went_on), bits(&history));
}
