//! Training that is interrupted and goes on as if it had not been.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::{Column, ColumnData, Dataset, Samples};
use retape::prelude::*;
use retape::random::Stream;
use retape::train::callbacks::{Callback, EarlyStopping, ModelCheckpoint, ReduceOnPlateau, Run};
use retape::train::{TrainerBuilder, callbacks};
use retape::{Error, Result};

const EPOCHS: usize = 4;
const STEPS: u32 = 5 * EPOCHS as u32;

/// Points in six dimensions, of the class that a fixed linear map gives them.
fn points(count: usize) -> Dataset {
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

fn builder(setup: Setup) -> TrainerBuilder {
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
struct Setup {
    adam: bool,
    accumulate: usize,
}

const ADAM: Setup = Setup { adam: true, accumulate: 1 };

/// Writes a checkpoint after this step, and ends training there: by an error or by asking to stop.
struct Kill {
    at: u32,
    path: PathBuf,
    by_error: bool,
    done: bool,
}

impl Kill {
    fn new(at: u32, path: &Path, by_error: bool) -> Self {
        Kill { at, path: path.to_owned(), by_error, done: false }
    }

    fn never() -> Self {
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

fn state(trainer: &Trainer, folder: &Folder) -> Vec<u8> {
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
        let whole = uninterrupted(&Device::cpu(), setup, &folder);
        for at in steps {
            check_resume(&Device::cpu(), setup, at, false, &whole);
        }
    }
}

/// What the tests above would see if a part of the state were lost.
#[test]
fn less_than_a_checkpoint_ends_elsewhere() {
    let folder = Folder::new();
    let device = Device::cpu();
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
    for device in [gpu(), &Device::cpu()] {
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

/// Seven sequences: in batches of four, a whole one and one of three.
fn sequences() -> Samples<'static> {
    let column = |shape: Shape, seed| {
        let data = common::data::noise(7 * shape.numel(), seed, -1.0, 1.0);
        Column { shape, data: ColumnData::F32(data.into()) }
    };
    let targets = Some(column(Shape::from([1]), 4));
    Samples { inputs: vec![column(Shape::from([3, 2]), 3)], targets, weights: None }
}

fn stateful(accumulate: usize) -> TrainerBuilder {
    let model = Sequential::new().add(Lstm::new(4).stateful(true)).add(Dense::new(1));
    let trainer = Trainer::new(model, [3, 2]).loss(Loss::MeanSquaredError).optimizer(Adam::new(0.02));
    trainer.batch_size(4).accumulate(accumulate).seed(2)
}

/// A state for each size of a batch, which no weights file has.
#[test]
fn the_states_of_stateful_layers_go_on() {
    let folder = Folder::new();
    for (device, accumulate) in [gpu(), &Device::cpu()].into_iter().flat_map(|d| [1, 2, 3].map(|a| (d, a))) {
        let build = || stateful(accumulate).build(device).unwrap();
        let mut whole = build();
        let history = whole.fit(sequences(), Fit::epochs(3).callback(Kill::never())).unwrap();
        for at in 1..=5 {
            let path = folder.0.join("stateful.safetensors");
            let cut = Fit::epochs(3).callback(Kill::new(at, &path, false));
            build().fit(sequences(), cut).unwrap();
            let mut resumed = build();
            let fit = Fit::epochs(3).callback(Kill::never()).resume(&path);
            let case = format!("{device:?}, {accumulate} batches to an update, step {at}");
            assert_eq!(resumed.fit(sequences(), fit).unwrap(), history, "{case}");
            assert!(state(&resumed, &folder) == state(&whole, &folder), "{case}");
        }
        let names = whole.session().weight_names();
        assert!(names.contains(&"lstm.recurrent_weight".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("lstm.h_")), "{names:?}");
    }
}

/// At a learning rate of 0, losses change with the states alone: there is one for each size of a batch,
/// whether its step makes an update and whether its samples have weights.
#[test]
fn every_step_for_a_size_has_the_same_states() {
    let folder = Folder::new();
    for device in [gpu(), &Device::cpu()] {
        let still = |accumulate: usize| stateful(accumulate).optimizer(Sgd::new(0.0)).build(device).unwrap();
        let fit = |epochs: usize| Fit::epochs(epochs).shuffle(false);
        let expected = still(1).fit(sequences(), fit(6)).unwrap().get("loss");
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "{expected:?}");
        let check = |losses: &[f64], case: &str| {
            let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6;
            assert!(losses.iter().zip(&expected[6 - losses.len()..]).all(close), "{case}: {losses:?}");
        };
        for accumulate in [2, 3] {
            check(&still(accumulate).fit(sequences(), fit(6)).unwrap().get("loss"), "accumulate");
        }

        let (weights, path) = (vec![1.0; 7], folder.0.join("weighted.safetensors"));
        let mut trainer = still(3);
        trainer.fit(sequences(), fit(2)).unwrap();
        let weighted = || sequences().weights(&weights);
        trainer.fit(weighted(), fit(4).initial_epoch(2)).unwrap();
        trainer.save_checkpoint(&path).unwrap();
        check(&trainer.fit(weighted(), fit(6).initial_epoch(4)).unwrap().get("loss"), "weighted");

        // The states of a checkpoint take the place of those that there are.
        for mut other in [still(3), trainer] {
            assert_eq!(other.load_checkpoint(&path).unwrap(), 4);
            check(&other.fit(sequences(), fit(6).initial_epoch(4)).unwrap().get("loss"), "loaded");
        }
    }
}

/// What a checkpoint has no state for starts anew.
#[test]
fn states_that_a_checkpoint_does_not_have_are_forgotten() {
    let folder = Folder::new();
    let path = folder.0.join("whole-batches.safetensors");
    let still = || stateful(3).optimizer(Sgd::new(0.0)).build(&Device::cpu()).unwrap();
    let fit = || Fit::epochs(4).shuffle(false);
    still().save_checkpoint(&path).unwrap();
    let mut trainer = still();
    let history = trainer.fit(sequences(), fit()).unwrap();
    trainer.load_checkpoint(&path).unwrap();
    assert_eq!(trainer.fit(sequences(), fit()).unwrap(), history);
}

#[test]
fn checkpoints_are_written_when_asked_for() {
    let folder = Folder::new();
    let train = points(37);
    let files = |name: &str| {
        let mut names: Vec<String> = fs::read_dir(folder.0.join(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let run = |name: &str, configure: &dyn Fn(ModelCheckpoint) -> ModelCheckpoint| {
        let callback = configure(ModelCheckpoint::new(folder.0.join(name)));
        builder(ADAM).build(&Device::cpu()).unwrap().fit(&train, Fit::epochs(3).callback(callback)).unwrap()
    };
    let epoch = |path: PathBuf| builder(ADAM).build(&Device::cpu()).unwrap().load_checkpoint(path).unwrap();

    run("a/b", &|c| c);
    assert_eq!(files("a/b"), ["last.safetensors"]);
    assert_eq!(epoch(folder.0.join("a/b/last.safetensors")), 3);

    run("two", &|c| c.every_epochs(2).keep_all());
    assert_eq!(files("two"), ["epoch_0002.safetensors", "last.safetensors"]);
    assert_eq!(epoch(folder.0.join("two/last.safetensors")), 2);

    // Every 7 steps of 15, in epochs of 5: the last one after step 14.
    run("steps", &|c| c.every_epochs(100).every_steps(7));
    assert_eq!(files("steps"), ["last.safetensors"]);
    let mut trainer = builder(ADAM).build(&Device::cpu()).unwrap();
    assert_eq!(trainer.load_checkpoint(folder.0.join("steps/last.safetensors")).unwrap(), 2);
    assert_eq!(trainer.steps(), 14);

    for (figure, mode) in [("loss", callbacks::Direction::Auto), ("loss", callbacks::Direction::Max)] {
        let largest = mode != callbacks::Direction::Auto;
        let history = run("best", &|c| c.best(figure).mode(mode));
        assert_eq!(files("best"), ["best.safetensors", "last.safetensors"]);
        let losses = history.get("loss");
        let better = |a: f64, b: f64| if largest { a > b } else { a < b };
        let best = (1..3).fold(0, |best, i| if better(losses[i], losses[best]) { i } else { best });
        assert_eq!(epoch(folder.0.join("best/best.safetensors")), best + 1, "{losses:?}");
    }
    let missing = ModelCheckpoint::new(folder.0.join("c")).best("val_loss");
    let error = builder(ADAM).build(&Device::cpu()).unwrap().fit(&train, Fit::epochs(1).callback(missing));
    assert!(matches!(error, Err(Error::Unknown { what: "figure", .. })), "{error:?}");
}

/// A resumed training knows how good the best one was.
#[test]
fn the_best_so_far_is_remembered() {
    let folder = Folder::new();
    let train = points(37);
    let run = |epochs: usize, resume: bool| {
        let callback = ModelCheckpoint::new(&folder.0).best("learning_rate").mode(callbacks::Direction::Min);
        let last = callback.last_path();
        let fit = Fit::epochs(epochs).callback(callback);
        let mut trainer = builder(ADAM).build(&Device::cpu()).unwrap();
        trainer.fit(&train, if resume { fit.resume(last) } else { fit }).unwrap();
    };
    run(1, false);
    let best = fs::read(folder.0.join("best.safetensors")).unwrap();
    // The rate stays the same, so nothing is better than the first epoch.
    run(3, true);
    assert!(fs::read(folder.0.join("best.safetensors")).unwrap() == best);
}

/// By the object that was given by reference, or else by the figure that the program names.
#[test]
fn a_worse_training_does_not_replace_the_best_one() {
    let folder = Folder::new();
    let train = points(37);
    let best = || ModelCheckpoint::new(&folder.0).best("loss");
    let file = || fs::read(folder.0.join("best.safetensors")).unwrap();
    let build = || builder(ADAM).build(&Device::cpu()).unwrap();
    let mut first = best();
    let history = build().fit(&train, Fit::epochs(3).callback(&mut first)).unwrap();
    let figure = history.get("loss").into_iter().fold(f64::INFINITY, f64::min);
    let written = file();

    let history = build().fit(&train, Fit::epochs(1).callback(&mut first)).unwrap();
    assert!(history.last("loss") > Some(figure));
    assert!(file() == written, "a second training");
    // From its beginning, with the weights of an epoch that was not the best.
    let mut loaded = build();
    loaded.load_checkpoint(folder.0.join("last.safetensors")).unwrap();
    loaded.set_learning_rate(0.0).unwrap();
    loaded.fit(&train, Fit::epochs(2).initial_epoch(1).callback(&mut first)).unwrap();
    assert!(file() == written, "one that goes on");

    build().fit(&train, Fit::epochs(1).callback(best().initial_value_threshold(figure))).unwrap();
    assert!(file() == written, "a new object");
    build().fit(&train, Fit::epochs(1).callback(best().initial_value_threshold(1e9))).unwrap();
    assert!(file() != written, "the threshold is beaten");
    let refused = build().fit(&train, Fit::epochs(1).callback(best().initial_value_threshold(f64::NAN)));
    assert!(matches!(refused, Err(Error::Argument { argument: "initial_value_threshold", .. })));
}

#[test]
fn a_checkpoint_that_cannot_be_written_loses_nothing() {
    let folder = Folder::new();
    let train = points(37);
    // A file where the folder should be.
    let file = folder.write("file", b"in the way");
    let mut trainer = builder(ADAM).build(&Device::cpu()).unwrap();
    let error = trainer.fit(&train, Fit::epochs(1).callback(ModelCheckpoint::new(&file)));
    assert!(matches!(&error, Err(Error::Io { path, .. }) if *path == file), "{error:?}");
    assert_eq!(fs::read(&file).unwrap(), b"in the way");

    // A folder where the file of the second epoch should be.
    let callback = ModelCheckpoint::new(folder.0.join("run")).keep_all();
    let (first, second) = (callback.epoch_path(0), callback.epoch_path(1));
    fs::create_dir_all(second.join("full")).unwrap();
    let mut trainer = builder(ADAM).build(&Device::cpu()).unwrap();
    let error = trainer.fit(&train, Fit::epochs(3).callback(callback));
    assert!(matches!(&error, Err(Error::Io { path, .. }) if *path == second), "{error:?}");
    assert_eq!(trainer.steps(), 10, "two epochs were trained, and their weights are here");

    let mut two = builder(ADAM).build(&Device::cpu()).unwrap();
    two.fit(&train, Fit::epochs(2)).unwrap();
    assert_eq!(trainer.weights().unwrap(), two.weights().unwrap());
    let mut older = builder(ADAM).build(&Device::cpu()).unwrap();
    assert_eq!(older.load_checkpoint(&first).unwrap(), 1);
    assert_eq!(older.load_checkpoint(folder.0.join("run/last.safetensors")).unwrap(), 1);
    assert_eq!(fs::read_dir(folder.0.join("run")).unwrap().count(), 3, "no temporary file is left");
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
    for device in [gpu(), &Device::cpu()] {
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
    let mut trainer = builder(ADAM).build(&Device::cpu()).unwrap();
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
    let mut trainer = builder(ADAM).build(&Device::cpu()).unwrap();
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
    let mut whole = builder(ADAM).build(&Device::cpu()).unwrap();
    let history = whole.fit(&train, fit()).unwrap();
    let mut resumed = builder(ADAM).build(&Device::cpu()).unwrap();
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
    builder(ADAM).build(&Device::cpu()).unwrap().fit(points(37), fit).unwrap();
}

/// An optimiser whose slots are called as the crate calls what it keeps itself, and as a weight is called.
#[derive(Debug)]
struct Confusing;

impl Optimizer for Confusing {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        for &(w, dw) in gradients {
            let mut step = g.scalar_constant(0.0);
            for (name, decay) in [("mask", 0.3), ("average", 0.4), ("gradient", 0.5), ("bias", 0.6)] {
                let slot = g.slot(w, name)?;
                let next = g.add(g.mul(slot, g.scalar_constant(decay))?, dw)?;
                g.assign(slot, next)?;
                step = g.add(step, next)?;
            }
            g.assign(w, g.sub(w, g.mul(step, g.scalar_constant(0.02))?)?)?;
        }
        Ok(())
    }
}

/// A dense layer whose bias is called as the slot `bias` of its weight is.
#[derive(Debug)]
struct Dotted;

impl Layer for Dotted {
    fn kind(&self) -> &'static str {
        "dotted"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let weight = cx.parameter("weight", [6, 7], Init::GlorotUniform);
        let bias = cx.parameter("weight.bias", [7], Init::Uniform { low: -0.5, high: 0.5 });
        cx.graph().add(cx.graph().matmul(x, weight)?, bias)
    }
}

/// What a state is, a checkpoint says; its name says nothing.
#[test]
fn states_of_the_same_names_are_kept_apart() {
    use retape::train::pruning::Pruning;
    let build = |device: &Device| {
        let model = Sequential::new().add(Dotted.named("a")).add(Activation::Tanh).add(Dense::new(4));
        let trainer = Trainer::new(model, [6]).loss(Loss::SparseCategoricalCrossEntropy);
        trainer.optimizer(Confusing.ema(0.5)).batch_size(8).accumulate(2).seed(3).build(device).unwrap()
    };
    for device in [gpu(), &Device::cpu()] {
        let (folder, train) = (Folder::new(), points(37));
        let path = folder.0.join("half.safetensors");
        let mut whole = build(device);
        whole.fit(&train, Fit::epochs(1)).unwrap();
        whole.prune(&Pruning::global(0.5)).unwrap();
        whole.save_checkpoint(&path).unwrap();
        let half = fs::read(&path).unwrap();
        let rest = whole.fit(&train, Fit::epochs(3).initial_epoch(1)).unwrap();

        let mut resumed = build(device);
        let history = resumed.fit(&train, Fit::epochs(3).resume(&path)).unwrap();
        assert_eq!(history.epochs[1..], rest.epochs);
        // Their histories differ: one training was of two.
        let [one, other] = [&resumed, &whole].map(|trainer| state(trainer, &folder));
        let tensors = |bytes| -> BTreeMap<String, Vec<u8>> {
            let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
            file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect()
        };
        assert!(tensors(&one) == tensors(&other), "other bits");
        let sparsity = resumed.sparsity().unwrap();
        assert_eq!(sparsity, whole.sparsity().unwrap());
        for trainer in [&mut whole, &mut resumed] {
            trainer.swap_averages().unwrap();
        }
        assert_eq!(resumed.weights().unwrap(), whole.weights().unwrap());
        let weight = resumed.weights().unwrap().get("a.weight").unwrap().data.clone();
        let zeros = weight.iter().filter(|&&w| w == 0.0).count();
        assert!(zeros > 0 && zeros < weight.len(), "{zeros} of {}", weight.len());

        let file = safetensors::SafeTensors::deserialize(&half).unwrap();
        let count = |part: &str| file.names().iter().filter(|name| name.contains(part)).count();
        // 4 weights, with 4 slots, a mean and a sum of gradients each; 2 masks; 2 sums of the epoch.
        assert_eq!(file.len(), 4 * 7 + 2 + 2, "{:?}", file.names());
        assert_eq!(
            count("a.weight.bias"),
            2 + 6,
            "the bias, what there is for it, and the slot of `a.weight`"
        );
    }
}
