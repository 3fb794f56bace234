//! Checkpoints that are broken, or of another training: a typed error, and a trainer as it was.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::prelude::*;
use retape::testing::sealed;
use retape::train::callbacks::{CsvLog, EarlyStopping, ModelCheckpoint, ReduceOnPlateau};
use retape::train::{History, TrainerBuilder};
use retape::{Error, Result};
use safetensors::SafeTensors;

pub fn points(count: usize) -> Dataset {
    let labels = (0..count as u32).map(|i| i % 3).collect();
    Dataset::new([4], common::data::noise(4 * count, 6, -1.0, 1.0), labels, 3).unwrap()
}

pub fn builder(width: usize) -> TrainerBuilder {
    let model = Sequential::new().add(Dense::new(width)).add(BatchNorm::new()).add(Dense::new(3));
    Trainer::new(model, [4])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .batch_size(8)
        .seed(17)
}

pub fn cpu(width: usize) -> Trainer {
    builder(width).build(&Device::reference()).unwrap()
}

/// A checkpoint of two epochs over 20 samples, with a callback.
pub fn checkpoint(folder: &Folder) -> PathBuf {
    let path = folder.0.join("good.safetensors");
    let to = path.clone();
    let fit = Fit::epochs(2).on_epoch_end(move |run| {
        run.write_checkpoint(&to);
        Ok(())
    });
    cpu(5).fit(points(20), fit).unwrap();
    path
}

pub fn resume<'a>(path: &Path) -> Fit<'a> {
    Fit::epochs(3).on_epoch_end(|_| Ok(())).resume(path)
}

/// The trainer's contents, in every digit.
fn contents(trainer: &Trainer, folder: &Folder) -> Vec<u8> {
    let path = folder.0.join("contents.safetensors");
    trainer.save_checkpoint(&path).unwrap();
    fs::read(path).unwrap()
}

/// Lets a trainer resume from what it cannot, by `fit` and by itself, and returns the error of `fit`.
pub fn refused(mut trainer: Trainer, data: &Dataset, fit: Fit<'_>) -> Error {
    let folder = Folder::new();
    let before = contents(&trainer, &folder);
    let result: Result<History> = trainer.fit(data, fit);
    assert!(contents(&trainer, &folder) == before, "the trainer is not as it was");
    assert_eq!(trainer.steps(), 0);
    result.expect_err("it does not fit")
}

#[test]
fn the_same_training_resumes() {
    let folder = Folder::new();
    let path = checkpoint(&folder);
    let history = cpu(5).fit(points(20), resume(&path)).unwrap();
    assert_eq!(history.epochs.len(), 3);
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever_it_ends() {
    let folder = Folder::new();
    let good = fs::read(checkpoint(&folder)).unwrap();
    let path = folder.0.join("cut.safetensors");
    let mut trainer = cpu(5);
    let before = contents(&trainer, &folder);
    let data = points(20);
    for end in (0..good.len()).step_by(100).chain([1, 7, 8, 9, good.len() - 1]) {
        fs::write(&path, &good[..end]).unwrap();
        for error in [
            trainer.load_checkpoint(&path).map(|_| ()),
            trainer.load_weights(&path),
            trainer.fit(&data, resume(&path)).map(|_| ()),
        ] {
            assert!(matches!(&error, Err(Error::Corrupt { path: p, .. }) if *p == path), "{end}: {error:?}");
        }
    }
    assert!(contents(&trainer, &folder) == before);
    let longer = [&good[..], &[0]].concat();
    fs::write(&path, longer).unwrap();
    assert!(matches!(trainer.load_checkpoint(&path), Err(Error::Corrupt { .. })));
}

#[test]
fn a_training_of_other_numbers_is_refused() {
    let folder = Folder::new();
    let path = checkpoint(&folder);
    let (data, more) = (points(20), points(21));
    let build = |builder: TrainerBuilder| builder.build(&Device::reference()).unwrap();
    let plain = || cpu(5);
    let cases: Vec<(&str, [u64; 2], Trainer, &Dataset, Fit<'_>)> = vec![
        ("the seed", [17, 18], build(builder(5).seed(18)), &data, resume(&path)),
        ("the batch size", [8, 7], build(builder(5).batch_size(7)), &data, resume(&path)),
        ("the number of batches to an update", [1, 2], build(builder(5).accumulate(2)), &data, resume(&path)),
        ("the number of samples", [20, 21], plain(), &more, resume(&path)),
        ("shuffling", [1, 0], plain(), &data, resume(&path).shuffle(false)),
        ("the number of steps to an epoch", [3, 2], plain(), &data, resume(&path).steps_per_epoch(2)),
    ];
    for (name, numbers, trainer, data, fit) in cases {
        match refused(trainer, data, fit) {
            Error::CheckpointMismatch { what, found, expected, path: named } => {
                let numbers = numbers.map(|n| n.to_string());
                assert_eq!((what, [found, expected], &named), (name, numbers, &path));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn other_tensors_are_refused_by_name_and_shape() {
    let folder = Folder::new();
    let path = checkpoint(&folder);
    let data = points(20);
    match refused(cpu(6), &data, resume(&path)) {
        Error::TensorMismatch { name, types, .. } => {
            assert!(name.starts_with("batch_norm."), "{name}");
            assert_eq!(types.map(|t| (t.dtype, t.shape)), [5, 6].map(|n| ("F64".to_owned(), vec![n])));
        }
        other => panic!("{other:?}"),
    }
    let on_gpu = builder(5).build(gpu()).unwrap();
    match refused(on_gpu, &data, resume(&path)) {
        Error::TensorMismatch { types, .. } => assert_eq!(types.map(|t| t.dtype), ["F64", "F32"]),
        other => panic!("{other:?}"),
    }
    let momentum = builder(5).optimizer(Sgd::new(0.1).momentum(0.5)).build(&Device::reference()).unwrap();
    match refused(momentum, &data, resume(&path)) {
        Error::TensorNames { missing, unexpected, .. } => {
            assert!(missing.contains(&"dense.weight.velocity".to_owned()), "{missing:?}");
            assert!(unexpected.contains(&"dense.weight.m".to_owned()), "{unexpected:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// Writes the checkpoint again with its own metadata changed, or its tensors left out.
pub fn rewritten(folder: &Folder, change: impl Fn(&mut serde_json::Value)) -> PathBuf {
    let bytes = fs::read(checkpoint(folder)).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut entries = metadata.metadata().clone().unwrap();
    let mut own: serde_json::Value = serde_json::from_str(&entries["retape"]).unwrap();
    change(&mut own);
    entries.insert("retape".to_owned(), own.to_string());
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let path = folder.0.join("changed.safetensors");
    fs::write(&path, sealed(safetensors::serialize(file.tensors(), Some(entries)).unwrap())).unwrap();
    path
}

#[test]
fn files_of_others_and_of_the_future_are_refused() {
    let folder = Folder::new();
    let data = points(20);
    let missing = folder.0.join("none");
    for path in [&missing, &folder.0] {
        let error = refused(cpu(5), &data, resume(path));
        assert!(matches!(&error, Error::Io { path: named, .. } if named == path), "{error:?}");
    }
    let text = folder.write("text", b"This is no file of tensors, but it is longer than a header's length.");
    assert!(matches!(refused(cpu(5), &data, resume(&text)), Error::Corrupt { .. }));

    let bytes = fs::read(checkpoint(&folder)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let theirs = folder.write("theirs", &safetensors::serialize(tensors, None).unwrap());
    assert!(matches!(refused(cpu(5), &data, resume(&theirs)), Error::NotACheckpoint { .. }));

    let path = rewritten(&folder, |_| ());
    assert_eq!(cpu(5).load_checkpoint(&path).unwrap(), 2, "the file is as good as before");
    for version in [1, 2, 4] {
        let path = rewritten(&folder, |own| own["version"] = version.into());
        let error = refused(cpu(5), &data, resume(&path));
        let Error::CheckpointVersion { found, newest, .. } = error else { panic!("{error:?}") };
        assert_eq!((found, newest), (version, 3));
        // The error of an older one says what to do, which does it.
        assert_eq!(error.to_string().contains("`load_weights`"), version < 4, "{error}");
        let loaded = cpu(5).load_weights(&path);
        assert_eq!(matches!(loaded, Err(Error::CheckpointVersion { .. })), version == 4, "{loaded:?}");
        assert_eq!(loaded.is_ok(), version < 4);
    }
    for change in [
        (|own| own["version"] = "one".into()) as fn(&mut serde_json::Value),
        |own| own["steps"] = (-1).into(),
        |own| own["rates"][0]["base"] = "fast".into(),
        |own| own["journey"]["position"]["step"] = 99.into(),
        |own| own["journey"]["history"] = "none".into(),
    ] {
        let path = rewritten(&folder, change);
        let error = refused(cpu(5), &data, resume(&path));
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    }
}

/// A callback that refuses what it is given: nothing has been written by then.
#[test]
fn a_callback_that_cannot_go_on_is_asked_first() {
    let folder = Folder::new();
    let path = folder.0.join("stopping.safetensors");
    let to = path.clone();
    let fit =
        |epochs| Fit::epochs(epochs).callback(EarlyStopping::new("loss").patience(9).restore_best(true));
    let writes = move |run: &mut retape::train::Run<'_>| {
        run.write_checkpoint(&to);
        Ok(())
    };
    cpu(5).fit(points(20), fit(2).on_epoch_end(writes)).unwrap();
    let good = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&good).unwrap();
    // An array of the best weights of another length.
    let (_, metadata) = SafeTensors::read_metadata(&good).unwrap();
    let name = "callback/0/dense.bias";
    let short = vec![0u8; 16];
    let tensors = file.tensors().into_iter().map(|(n, view)| match n == name {
        true => (n, safetensors::tensor::TensorView::new(view.dtype(), vec![2], &short).unwrap()),
        false => (n, view),
    });
    let tensors: Vec<_> = tensors.collect();
    assert!(tensors.iter().any(|(n, _)| n == name));
    let changed = safetensors::serialize(tensors, metadata.metadata().clone()).unwrap();
    let bad = folder.write("bad.safetensors", &sealed(changed));
    let again = |path: &Path| fit(3).on_epoch_end(|_| Ok(())).resume(path);
    assert!(matches!(refused(cpu(5), &points(20), again(&bad)), Error::Length { .. }));
    // None at all.
    let tensors: Vec<_> = file.tensors().into_iter().filter(|(n, _)| n != name).collect();
    let fewer = safetensors::serialize(tensors, metadata.metadata().clone()).unwrap();
    let bad = folder.write("fewer.safetensors", &sealed(fewer));
    match refused(cpu(5), &points(20), again(&bad)) {
        Error::TensorNames { missing, unexpected, .. } => {
            assert_eq!((missing, unexpected), (vec![name.to_owned()], Vec::new()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(cpu(5).fit(points(20), again(&path)).unwrap().epochs.len(), 3);
}

/// Their sums count until the end of the epoch only.
#[test]
fn other_metrics_are_refused_within_an_epoch_only() {
    let folder = Folder::new();
    let (within, between) = (folder.0.join("within.safetensors"), folder.0.join("between.safetensors"));
    let data = points(20);
    let write = |path| {
        move |run: &mut retape::train::Run<'_>| {
            run.write_checkpoint(path);
            Ok(())
        }
    };
    let mut first = cpu(5);
    first.fit(&data, Fit::epochs(2).on_steps(5, write(&within)).on_epoch_end(write(&between))).unwrap();
    let metered = || builder(5).metrics([Metric::Accuracy]).build(&Device::reference()).unwrap();

    match refused(metered(), &data, Fit::epochs(3).resume(&within)) {
        Error::CheckpointMismatch { what, found, expected, .. } => {
            assert_eq!((what, &found[..], &expected[..]), ("the metrics", "none", "accuracy"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(metered().load_checkpoint(&within).unwrap(), 1);

    let rest = first.fit(&data, Fit::epochs(3).initial_epoch(2)).unwrap();
    let mut resumed = metered();
    let history = resumed.fit(&data, Fit::epochs(3).resume(&between)).unwrap();
    assert_eq!(history.last("loss"), rest.last("loss"));
    assert!(history.last("accuracy").is_some());
    assert_eq!(resumed.weights().unwrap(), first.weights().unwrap());
}

/// Callbacks take up what they remembered themselves, never what another one did.
#[test]
fn callbacks_are_told_apart_by_what_they_are() {
    let folder = Folder::new();
    let path = folder.0.join("callbacks.safetensors");
    let data = points(20);
    let best = || ModelCheckpoint::new(folder.0.join("models")).best("loss");
    let stopping = |figure| EarlyStopping::new(figure).patience(9);
    let fit = Fit::epochs(2).callback(best()).callback(stopping("loss")).on_epoch_end(|run| {
        run.write_checkpoint(&path);
        Ok(())
    });
    cpu(5).fit(&data, fit).unwrap();

    // Functions, logs, and checkpoints of no best one remember nothing: they may come and go.
    let resume = || Fit::epochs(3).resume(&path);
    let more =
        resume().on_steps(1, |_| Ok(())).callback(best()).callback(CsvLog::new(folder.0.join("a.csv")));
    let more = more.callback(ModelCheckpoint::new(folder.0.join("more"))).callback(stopping("loss"));
    assert_eq!(cpu(5).fit(&data, more).unwrap().epochs.len(), 3);

    let there = "ModelCheckpoint(loss), EarlyStopping(loss)";
    for (fit, here) in [
        (resume().callback(stopping("loss")).callback(best()), "EarlyStopping(loss), ModelCheckpoint(loss)"),
        (
            resume().callback(best()).callback(stopping("val_loss")),
            "ModelCheckpoint(loss), EarlyStopping(val_loss)",
        ),
        (resume().callback(best()), "ModelCheckpoint(loss)"),
        (resume(), "none"),
        (
            resume().callback(best()).callback(stopping("loss")).callback(ReduceOnPlateau::new("loss")),
            "ModelCheckpoint(loss), EarlyStopping(loss), ReduceOnPlateau(loss)",
        ),
    ] {
        let before = [there.to_owned(), here.to_owned()];
        match refused(cpu(5), &data, fit) {
            Error::CheckpointMismatch { what, found, expected, .. } => {
                assert_eq!((what, [found, expected]), ("the callbacks that remember something", before));
            }
            other => panic!("{here}: {other:?}"),
        }
    }
}

/// What was frozen, and pruned, is so again.
#[test]
fn a_checkpoint_says_what_is_frozen_and_pruned() {
    use retape::train::pruning::Pruning;
    let folder = Folder::new();
    let path = folder.0.join("frozen.safetensors");
    let data = points(20);
    let mut first = cpu(5);
    first.freeze(["dense"]).unwrap();
    first.fit(&data, Fit::epochs(1)).unwrap();
    first.prune(&Pruning::global(0.5)).unwrap();
    first.save_checkpoint(&path).unwrap();
    let mut resumed = cpu(5);
    let history = resumed.fit(&data, Fit::epochs(2).resume(&path)).unwrap();
    let rest = first.fit(&data, Fit::epochs(2).initial_epoch(1)).unwrap();
    assert_eq!(history.epochs[1], rest.epochs[0]);
    assert_eq!(resumed.frozen().collect::<Vec<_>>(), ["dense"]);
    assert_eq!(resumed.weights().unwrap(), first.weights().unwrap());
    assert_eq!(resumed.sparsity().unwrap(), first.sparsity().unwrap());

    // Where the rest does not fit, nothing has been frozen.
    let mut other = builder(6).build(&Device::reference()).unwrap();
    let before = contents(&other, &folder);
    assert!(matches!(other.load_checkpoint(&path), Err(Error::TensorMismatch { .. })));
    assert_eq!(other.frozen().count(), 0);
    assert!(contents(&other, &folder) == before);
}
