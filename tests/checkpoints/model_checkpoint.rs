//! Which checkpoints the callback writes, and what becomes of those that cannot be written.

use std::fs;
use std::path::PathBuf;

use crate::checkpoints::{ADAM, builder, points};
use crate::common::folder::Folder;
use retape::Error;
use retape::prelude::*;
use retape::train::callbacks;
use retape::train::callbacks::ModelCheckpoint;

#[test]
fn checkpoints_are_written_when_asked_for() {
    let folder = Folder::new();
    let train = points(37);
    let files = |name: &str| {
        let mut names: Vec<String> = fs::read_dir(folder.0.join(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".lock")
            .collect();
        names.sort();
        names
    };
    let run = |name: &str, configure: &dyn Fn(ModelCheckpoint) -> ModelCheckpoint| {
        let callback = configure(ModelCheckpoint::new(folder.0.join(name)));
        builder(ADAM)
            .build(&Device::reference())
            .unwrap()
            .fit(&train, Fit::epochs(3).callback(callback))
            .unwrap()
    };
    let epoch =
        |path: PathBuf| builder(ADAM).build(&Device::reference()).unwrap().load_checkpoint(path).unwrap();

    run("a/b", &|c| c);
    assert_eq!(files("a/b"), ["last.safetensors", "previous.safetensors"]);
    assert_eq!(epoch(folder.0.join("a/b/last.safetensors")), 3);
    assert_eq!(epoch(folder.0.join("a/b/previous.safetensors")), 2);

    run("two", &|c| c.every_epochs(2).keep_all());
    assert_eq!(files("two"), ["epoch_0002.safetensors", "last.safetensors"]);
    assert_eq!(epoch(folder.0.join("two/last.safetensors")), 2);

    // Every 7 steps of 15, in epochs of 5: the last one after step 14.
    run("steps", &|c| c.every_epochs(100).every_steps(7));
    assert_eq!(files("steps"), ["last.safetensors", "previous.safetensors"]);
    let mut trainer = builder(ADAM).build(&Device::reference()).unwrap();
    assert_eq!(trainer.load_checkpoint(folder.0.join("steps/last.safetensors")).unwrap(), 2);
    assert_eq!(trainer.steps(), 14);

    for (figure, mode) in [("loss", callbacks::Direction::Auto), ("loss", callbacks::Direction::Max)] {
        let largest = mode != callbacks::Direction::Auto;
        let history = run("best", &|c| c.best(figure).mode(mode));
        assert_eq!(files("best"), ["best.safetensors", "last.safetensors", "previous.safetensors"]);
        let losses = history.get("loss");
        let better = |a: f64, b: f64| if largest { a > b } else { a < b };
        let best = (1..3).fold(0, |best, i| if better(losses[i], losses[best]) { i } else { best });
        assert_eq!(epoch(folder.0.join("best/best.safetensors")), best + 1, "{losses:?}");
    }
    let missing = ModelCheckpoint::new(folder.0.join("c")).best("val_loss");
    let error =
        builder(ADAM).build(&Device::reference()).unwrap().fit(&train, Fit::epochs(1).callback(missing));
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
        let mut trainer = builder(ADAM).build(&Device::reference()).unwrap();
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
    let build = || builder(ADAM).build(&Device::reference()).unwrap();
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
    let mut trainer = builder(ADAM).build(&Device::reference()).unwrap();
    let error = trainer.fit(&train, Fit::epochs(1).callback(ModelCheckpoint::new(&file)));
    assert!(matches!(&error, Err(Error::Io { path, .. }) if *path == file), "{error:?}");
    assert_eq!(fs::read(&file).unwrap(), b"in the way");

    // A folder where the file of the second epoch should be.
    let callback = ModelCheckpoint::new(folder.0.join("run")).keep_all();
    let (first, second) = (callback.epoch_path(0), callback.epoch_path(1));
    fs::create_dir_all(second.join("full")).unwrap();
    let mut trainer = builder(ADAM).build(&Device::reference()).unwrap();
    let error = trainer.fit(&train, Fit::epochs(3).callback(callback));
    assert!(matches!(&error, Err(Error::Io { path, .. }) if *path == second), "{error:?}");
    assert_eq!(trainer.steps(), 10, "two epochs were trained, and their weights are here");

    let mut two = builder(ADAM).build(&Device::reference()).unwrap();
    two.fit(&train, Fit::epochs(2)).unwrap();
    assert_eq!(trainer.weights().unwrap(), two.weights().unwrap());
    let mut older = builder(ADAM).build(&Device::reference()).unwrap();
    assert_eq!(older.load_checkpoint(&first).unwrap(), 1);
    assert_eq!(older.load_checkpoint(folder.0.join("run/last.safetensors")).unwrap(), 1);
    assert_eq!(fs::read_dir(folder.0.join("run")).unwrap().count(), 4, "beside the lock, nothing is left");
}

/// Two callbacks of a training may share a folder; two trainings may not, and are told who is there.
#[test]
fn a_folder_is_one_trainings() {
    let folder = Folder::new();
    let train = points(37);
    let shared = folder.0.join("shared");
    let fit = || {
        let first = ModelCheckpoint::new(&shared);
        Fit::epochs(2)
            .progress(false)
            .callback(first)
            .callback(ModelCheckpoint::new(shared.join(".")).best("loss"))
    };
    let refused = |fitted: retape::Result<retape::train::History>| {
        let Err(Error::Argument { argument: "folder", value, .. }) = fitted else { panic!("{fitted:?}") };
        assert!(value.contains("shared, where another thread of this program is at a training"), "{value}");
    };
    let mut tries = 0;
    let within = fit().on_epoch_end(|_| {
        std::thread::scope(|scope| {
            let other = || builder(ADAM).build(&Device::reference())?.fit(&train, fit());
            refused(scope.spawn(other).join().expect("it does not panic"));
        });
        tries += 1;
        Ok(())
    });
    builder(ADAM).build(&Device::reference()).unwrap().fit(&train, within).unwrap();
    assert_eq!(tries, 2);

    // Once it has ended, others may, and of many at once the first.
    let start = std::sync::Barrier::new(4);
    let all: Vec<_> = std::thread::scope(|scope| {
        let train = || {
            let mut trainer = builder(ADAM).build(&Device::reference())?;
            start.wait();
            let fitted = trainer.fit(&train, fit());
            start.wait();
            fitted
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(train)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let (ended, others): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert!(!ended.is_empty());
    others.into_iter().for_each(refused);
}
