//! Damaged files of weights and checkpoints, in little memory: each is taken up whole, or refused with an error
//! that names the file, and then the trainer is what it was.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common;
use crate::common::folder::Folder;
use crate::mutate::{in_little_memory, mutants};
use retape::data::Dataset;
use retape::prelude::*;
use retape::testing::sealed;
use retape::train::callbacks::EarlyStopping;
use retape::{Error, Result};

const COUNT: u32 = 300;
const TIME: Duration = Duration::from_secs(4);

fn points() -> Dataset {
    let labels = (0..20).map(|i| i % 3).collect();
    Dataset::new([4], common::data::noise(4 * 20, 6, -1.0, 1.0), labels, 3).unwrap()
}

fn trainer() -> Trainer {
    let model = Sequential::new().add(Dense::new(5)).add(BatchNorm::new()).add(Dense::new(3));
    Trainer::new(model, [4])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.02))
        .batch_size(8)
        .seed(17)
        .build(&Device::reference())
        .unwrap()
}

/// Hands mutants of a file to `load`, which reads them into a trainer that `good` is what it holds.
fn check(
    seed: u32,
    good: &Path,
    save: fn(&Trainer, &Path) -> Result<()>,
    load: fn(&mut Trainer, &Path) -> Result<()>,
) {
    let folder = Folder::new();
    let whole = fs::read(good).unwrap();
    let mut trainer = trainer();
    load(&mut trainer, good).unwrap();
    let contents = |trainer: &Trainer| {
        let path = folder.0.join("contents.safetensors");
        save(trainer, &path).unwrap();
        fs::read(path).unwrap()
    };
    let mut before = contents(&trainer);
    mutants(&[&whole], seed, COUNT, TIME, |number, bytes| {
        // Every other one with a right checksum: the damage is left for what reads on.
        let sealed = if number % 2 == 0 { sealed(bytes.to_vec()) } else { bytes.to_vec() };
        let path = folder.write("mutant.safetensors", &sealed);
        match load(&mut trainer, &path) {
            Ok(()) => {
                // It is usable.
                trainer.evaluate(points()).unwrap();
                trainer.predict(points()).unwrap();
                // Numbers that no training has may end it, with an error.
                let _ = trainer.fit(points(), Fit::epochs(1));
                load(&mut trainer, good).unwrap();
                before = contents(&trainer);
            }
            Err(error) => {
                assert!(error.to_string().contains(&path.display().to_string()), "mutant {number}: {error}");
                assert!(!matches!(error, Error::OutOfMemory { .. }), "mutant {number}: {error}");
                assert!(contents(&trainer) == before, "mutant {number} is left in the trainer");
            }
        }
    });
}

#[test]
#[ignore = "run by `damaged_files_are_told_in_little_memory`"]
fn damaged_files() {
    let folder = Folder::new();
    let mut trained = trainer();
    let fit = Fit::epochs(2).validation_split(0.2).callback(EarlyStopping::new("val_loss").patience(5));
    trained.fit(points(), fit).unwrap();

    let weights = folder.0.join("weights.safetensors");
    trained.save_weights(&weights).unwrap();
    check(21, &weights, |t, path| t.save_weights(path), |t, path| t.load_weights(path));

    let checkpoint = folder.0.join("checkpoint.safetensors");
    trained.save_checkpoint(&checkpoint).unwrap();
    let load = |t: &mut Trainer, path: &Path| t.load_checkpoint(path).map(drop);
    check(22, &checkpoint, |t, path| t.save_checkpoint(path), load);
}

#[test]
fn damaged_files_are_told_in_little_memory() {
    in_little_memory("mutants::damaged_files", 900 << 20);
}
