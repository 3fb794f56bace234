//! Training that is interrupted and goes on as if it had not been.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::prelude::*;
use retape::random::Stream;
use retape::train::TrainerBuilder;
use retape::train::callbacks::{Callback, EarlyStopping, ModelCheckpoint, ReduceOnPlateau, Run};
use retape::{Error, Result};

const EPOCHS: usize = 4;
const STEPS: u32 = 5 * EPOCHS as u32;

/// Points in six dimensions, of the class that a fixed linear map gives them.
pub fn points(count: usize) -> Dataset {
    let stream = Stream { seed: 5, step: 0, stream: 0 };
    let inputs: Vec<f32> = (0..6 * count as u32).map(|i| stream.normal(i) as f32).collect();
    let class = |p: &[f32]| u32::from(p[0] > p[3]) + 2 * u32::from(p[1] + p[2] > p[5]);
    let labels = inputs.chunks_exact(6).map(class).collect();
    Dataset::new([6], inputs, labels, 4).unwrap()
}

/// Everything that has a state: dropout, batch normalisation, moments.
fn network() -> Sequential {
    Sequential::new()
        .add(Dense::new(9).activation(Activation::Relu))
        .add(BatchNorm::new())
        .add(Dropout::new(0.3))
        .add(Dense::new(4))
}

pub fn builder(setup: Setup) -> TrainerBuilder {
    let optimizer: Box<dyn Optimizer> = match setup.adam {
        true => Box::new(Adam::new(0.02)),
        false => Box::new(Sgd::new(0.05).momentum(0.9)),
    };
    Trainer::new(network(), [6])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(optimizer)
        .metrics([Metric::Accuracy])
        .batch_size(8)
        .accumulate(setup.accumulate)
        .seed(17)
}

#[derive(Clone, Copy, Debug)]
pub struct Setup {
    adam: bool,
    accumulate: usize,
}

pub const ADAM: Setup = Setup { adam: true, accumulate: 1 };

/// Writes a checkpoint after this step, and ends training there: by an error or by asking to stop.
pub struct Kill {
    at: u32,
    path: PathBuf,
    by_error: bool,
    done: bool,
}

impl Kill {
    pub fn new(at: u32, path: &Path, by_error: bool) -> Self {
        Kill { at, path: path.to_owned(), by_error, done: false }
    }

    pub fn never() -> Self {
        Kill::new(u32::MAX, Path::new(""), false)
    }
}

impl Callback for Kill {
    fn every_steps(&self) -> Option<u32> {
        Some(1)
    }

    fn on_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        if self.done && self.by_error {
            return Err(Error::NothingToTrain);
        }
        if run.trainer().steps() == self.at {
            run.write_checkpoint(&self.path);
            if !self.by_error {
                run.stop("killed");
            }
            self.done = true;
        }
        Ok(())
    }
}

fn fit<'a>(validation: &'a Dataset, first: impl Callback + 'a) -> Fit<'a> {
    Fit::epochs(EPOCHS)
        .validation(validation)
        .callback(first)
        .callback(EarlyStopping::new("val_loss").patience(50).restore_best(true))
        .callback(ReduceOnPlateau::new("val_accuracy").patience(1).factor(0.5))
}

/// The training from beginning to end: the bytes of its last checkpoint, which has every parameter,
/// state, count and figure, and the bits of its history.
fn uninterrupted(device: &Device, setup: Setup, folder: &Folder) -> (Vec<u8>, Vec<u64>) {
    let (train, validation) = (points(37), points(11));
    let mut trainer = builder(setup).build(device).unwrap();
    let history = trainer.fit(&train, fit(&validation, Kill::never())).unwrap();
    (state(&trainer, folder), bits(&history))
}

pub fn state(trainer: &Trainer, folder: &Folder) -> Vec<u8> {
    let path = folder.0.join("state.safetensors");
    trainer.save_checkpoint(&path).unwrap();
    fs::read(path).unwrap()
}

fn bits(history: &retape::train::History) -> Vec<u64> {
    history.epochs.iter().flat_map(|logs| logs.iter().map(|(_, v)| v.to_bits())).collect()
}

/// A checkpoint after step `at` of the same training.
fn killed(device: &Device, setup: Setup, folder: &Folder, at: u32, by_error: bool) -> PathBuf {
    let (train, validation) = (points(37), points(11));
    let path = folder.0.join(format!("killed-{at}.safetensors"));
    let mut trainer = builder(setup).build(device).unwrap();
    let ended = trainer.fit(&train, fit(&validation, Kill::new(at, &path, by_error)));
    assert_eq!(ended.is_err(), by_error && at < STEPS, "step {at}");
    path
}

fn check_resume(device: &Device, setup: Setup, at: u32, by_error: bool, whole: &(Vec<u8>, Vec<u64>)) {
    let folder = Folder::new();
    let (train, validation) = (points(37), points(11));
    let path = killed(device, setup, &folder, at, by_error);
    let mut trainer = builder(setup).build(device).unwrap();
    let history = trainer.fit(&train, fit(&validation, Kill::never()).resume(&path)).unwrap();
    assert_eq!(history.epochs.len(), EPOCHS);
    assert_eq!(bits(&history), whole.1, "{setup:?}, step {at}: the figures differ");
    assert_eq!(trainer.steps(), STEPS);
    assert!(state(&trainer, &folder) == whole.0, "{setup:?}, step {at}: parameters or states differ");
}

#[test]
fn twenty_interrupted_trainings_end_as_if_they_had_not_been() {
    let stream = Stream { seed: 20, step: 0, stream: 3 };
    let folder = Folder::new();
    for (round, &(adam, accumulate)) in [(true, 1), (false, 1), (true, 2), (false, 3)].iter().enumerate() {
        let setup = Setup { adam, accumulate };
        let whole = uninterrupted(gpu(), setup, &folder);
        for trial in 0..5u32 {
            let at = 1 + stream.words(5 * round as u32 + trial)[0] % STEPS;
            check_resume(gpu(), setup, at, trial % 2 == 1, &whole);
        }
    }
}

#[test]
fn the_cpu_path_resumes_with_all_its_digits() {
    let folder = Folder::new();
    for (setup, steps) in [(ADAM, [1, 5, 13]), (Setup { adam: false, accumulate: 2 }, [4, 9, 20])] {
        let whole = uninterrupted(&Device::reference(), setup, &folder);
        for at in steps {
            check_resume(&Device::reference(), setup, at, false, &whole);
        }
    }
}

/// A window of batches that was left over when the epochs asked for were done goes on where there are more: the
/// checkpoint of an epoch is from before the update at the end.
#[test]
fn more_epochs_go_on_within_a_window() {
    let folder = Folder::new();
    let train = points(37);
    let path = folder.0.join("epoch.safetensors");
    let setup = Setup { adam: true, accumulate: 3 };
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut whole = builder(setup).build(device).unwrap();
        let history = whole.fit(&train, Fit::epochs(4)).unwrap();

        let mut first = builder(setup).build(device).unwrap();
        let write = |run: &mut Run<'_>| {
            run.write_checkpoint(&path);
            Ok(())
        };
        first.fit(&train, Fit::epochs(2).on_epoch_end(write)).unwrap();
        assert_eq!(first.updates(), 4, "10 batches, the last of which alone");
        let mut more = builder(setup).build(device).unwrap();
        assert_eq!(more.fit(&train, Fit::epochs(4).resume(&path)).unwrap(), history);
        assert_eq!(more.updates(), 7);
        assert!(state(&more, &folder) == state(&whole, &folder), "{device:?}");

        // Resumed for the same epochs, the window is used as it was.
        let mut same = builder(setup).build(device).unwrap();
        same.fit(&train, Fit::epochs(2).resume(&path)).unwrap();
        assert_eq!(same.weights().unwrap(), first.weights().unwrap(), "{device:?}");
        assert_eq!(same.updates(), first.updates());
    }
}

/// What the tests above would see if a part of the state were lost.
#[test]
fn less_than_a_checkpoint_ends_elsewhere() {
    let folder = Folder::new();
    let device = Device::reference();
    let (train, validation) = (points(37), points(11));
    let whole = uninterrupted(&device, ADAM, &folder);
    let path = killed(&device, ADAM, &folder, 10, false);

    let mut weights_only = builder(ADAM).build(&device).unwrap();
    weights_only.load_weights(&path).unwrap();
    let rest = fit(&validation, Kill::never()).initial_epoch(2);
    assert_ne!(bits(&weights_only.fit(&train, rest).unwrap()), whole.1[whole.1.len() / 2..]);

    // Between epochs, everything but the callbacks' memory and the figures is the trainer's.
    let mut between = builder(ADAM).build(&device).unwrap();
    assert_eq!(between.load_checkpoint(&path).unwrap(), 1, "step 10 is the last of epoch 1, before its end");
    assert_eq!((between.steps(), between.updates()), (10, 10));
}

#[test]
fn training_goes_on_from_what_a_trainer_saved_between_two_fits() {
    let folder = Folder::new();
    let train = points(37);
    let path = folder.0.join("between.safetensors");
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut whole = builder(ADAM).build(device).unwrap();
        let history = whole.fit(&train, Fit::epochs(4)).unwrap();

        let mut first = builder(ADAM).build(device).unwrap();
        first.fit(&train, Fit::epochs(2)).unwrap();
        first.save_checkpoint(&path).unwrap();

        let mut resumed = builder(ADAM).build(device).unwrap();
        let all = resumed.fit(&train, Fit::epochs(4).resume(&path)).unwrap();
        assert_eq!(all, history);
        assert!(state(&resumed, &folder) == state(&whole, &folder));

        let mut loaded = builder(ADAM).build(device).unwrap();
        let epoch = loaded.load_checkpoint(&path).unwrap();
        let rest = loaded.fit(&train, Fit::epochs(4).initial_epoch(epoch)).unwrap();
        assert_eq!((rest.initial_epoch, &rest.epochs[..]), (2, &history.epochs[2..]));

        // Nothing is left to do, and more may be asked for.
        assert_eq!(resumed.fit(&train, Fit::epochs(2).resume(&path)).unwrap().epochs.len(), 2);
        assert_eq!(resumed.fit(&train, Fit::epochs(5).resume(&path)).unwrap().epochs.len(), 5);
    }
}

/// Does not take the end of this epoch.
struct Refuse(usize);

impl Callback for Refuse {
    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        if run.epoch() == self.0 { Err(Error::NothingToTrain) } else { Ok(()) }
    }
}

/// What the trainer writes after the error, elsewhere, ends as if there had been none.
fn check_error(
    device: &Device,
    first: impl Callback,
    steps: u32,
    epochs: usize,
    whole: &(Vec<u8>, Vec<u64>),
) {
    let folder = Folder::new();
    let (train, validation) = (points(37), points(11));
    let path = folder.0.join("elsewhere.safetensors");
    let mut trainer = builder(ADAM).build(device).unwrap();
    assert!(trainer.fit(&train, fit(&validation, first)).is_err(), "step {steps}");
    let figures = whole.1.len() / EPOCHS;
    assert_eq!((trainer.steps(), bits(trainer.history())), (steps, whole.1[..epochs * figures].to_vec()));
    trainer.save_checkpoint(&path).unwrap();

    let resumed = builder(ADAM).build(device).unwrap();
    for mut trainer in [resumed, trainer] {
        let history = trainer.fit(&train, fit(&validation, Kill::never()).resume(&path)).unwrap();
        assert_eq!(bits(&history), whole.1, "step {steps}: the figures differ");
        assert_eq!((trainer.steps(), trainer.history()), (STEPS, &history));
        assert!(state(&trainer, &folder) == whole.0, "step {steps}: parameters or states differ");
    }
}

#[test]
fn training_goes_on_after_an_error_as_if_there_had_been_none() {
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let folder = Folder::new();
        let whole = uninterrupted(device, ADAM, &folder);
        // A folder where the file should be, at a step within an epoch, at its last one, and after it.
        let blocked = folder.0.join("last.safetensors");
        fs::create_dir_all(blocked.join("full")).unwrap();
        check_error(device, Kill::new(7, &blocked, true), 7, 1, &whole);
        check_error(device, Kill::new(10, &blocked, true), 10, 1, &whole);
        check_error(device, ModelCheckpoint::new(&folder.0).every_epochs(2), 10, 2, &whole);
        // The callbacks after it have counted the epoch.
        check_error(device, Refuse(2), 15, 3, &whole);
    }
}

/// Training on something else leaves the epoch that an error was in.
#[test]
fn a_batch_after_an_error_begins_anew() {
    let folder = Folder::new();
    let (train, validation) = (points(37), points(11));
    let path = folder.0.join("batch.safetensors");
    let mut trainer = builder(ADAM).build(&Device::reference()).unwrap();
    trainer.fit(&train, fit(&validation, Kill::new(7, &folder.0.join("none/file"), true))).unwrap_err();
    trainer.train_on_batch(points(8)).unwrap();
    trainer.save_checkpoint(&path).unwrap();
    let history = trainer.fit(&train, Fit::epochs(2).resume(&path)).unwrap();
    assert_eq!((history.epochs.len(), trainer.steps()), (2, 7 + 1 + 5));
}

/// One that the user may not write to and, since root may, one where no file can be made.
#[cfg(target_os = "linux")]
#[test]
fn a_read_only_folder_loses_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, train) = (Folder::new(), points(37));
    let path = folder.0.join("last.safetensors");
    let mut trainer = builder(ADAM).build(&Device::reference()).unwrap();
    trainer.fit(&train, Fit::epochs(1)).unwrap();
    trainer.save_checkpoint(&path).unwrap();
    let before = fs::read(&path).unwrap();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o555)).unwrap();
    let root = fs::write(folder.0.join("probe"), b"").is_ok();
    trainer.fit(&train, Fit::epochs(1)).unwrap();
    let weights = trainer.weights().unwrap();
    for path in [path.as_path(), Path::new("/proc/last.safetensors")].into_iter().skip(usize::from(root)) {
        for error in [trainer.save_checkpoint(path), trainer.save_weights(path)] {
            assert!(matches!(&error, Err(Error::Io { path: named, .. }) if named == path), "{error:?}");
        }
    }
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(fs::read(&path).unwrap() == before, "the older checkpoint");
    assert_eq!(trainer.weights().unwrap(), weights);
}

#[test]
fn the_killed_process_left_a_whole_checkpoint() {
    if let Some(folder) = std::env::var_os("RETAPE_TEST_FOLDER") {
        return train_until_killed(&folder);
    }
    let folder = Folder::new();
    let path = folder.0.join("last.safetensors");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "checkpoints::the_killed_process_left_a_whole_checkpoint", "--nocapture"])
        .env("RETAPE_TEST_FOLDER", &folder.0)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !path.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::thread::sleep(std::time::Duration::from_millis(13));
    child.kill().unwrap();
    child.wait().unwrap();

    let train = points(37);
    let fit = || {
        let callback = ModelCheckpoint::new(folder.0.join("other")).every_steps(1);
        Fit::epochs(50).callback(callback).on_epoch_end(|_| Ok(()))
    };
    let mut whole = builder(ADAM).build(&Device::reference()).unwrap();
    let history = whole.fit(&train, fit()).unwrap();
    let mut resumed = builder(ADAM).build(&Device::reference()).unwrap();
    resumed.load_checkpoint(&path).unwrap();
    assert!(resumed.steps() < 250, "the child was killed on its way");
    assert_eq!(resumed.fit(&train, fit().resume(&path)).unwrap(), history);
    assert!(state(&resumed, &folder) == state(&whole, &folder));
}

/// What the test above starts and kills: the same test, in a process of its own.
fn train_until_killed(folder: &std::ffi::OsStr) {
    let callback = ModelCheckpoint::new(folder).every_steps(1);
    let slow = |_: &mut Run<'_>| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        Ok(())
    };
    let fit = Fit::epochs(50).callback(callback).on_epoch_end(slow);
    builder(ADAM).build(&Device::reference()).unwrap().fit(points(37), fit).unwrap();
}

/// Weights and checkpoints go from every device to every other; only the reference has more digits.
#[test]
fn weights_and_checkpoints_move_between_all_devices() {
    let folder = Folder::new();
    let data = points(40);
    let devices = [&Device::reference(), &Device::cpu(), gpu()];
    for from in devices {
        let mut trained = builder(ADAM).build(from).unwrap();
        trained.fit(&data, Fit::epochs(1).progress(false)).unwrap();
        let (checkpoint, weights) = (folder.0.join("checkpoint"), folder.0.join("weights"));
        trained.save_checkpoint(&checkpoint).unwrap();
        trained.save_weights(&weights).unwrap();
        for to in devices {
            let mut other = builder(ADAM).build(to).unwrap();
            assert_eq!(other.load_checkpoint(&checkpoint).unwrap(), 1);
            assert!(other.weights().unwrap() == trained.weights().unwrap(), "{from:?} to {to:?}");
            // Training goes on, by all that the optimiser kept.
            let more = other.fit(&data, Fit::epochs(2).initial_epoch(1).progress(false)).unwrap();
            assert!(more.get("loss")[0].is_finite());
            let mut other = builder(ADAM).build(to).unwrap();
            other.load_weights(&weights).unwrap();
            assert!(other.weights().unwrap() == trained.weights().unwrap(), "{from:?} to {to:?}");
        }
    }
}
