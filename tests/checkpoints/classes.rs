//! The names of the classes that weights stand for stay with them.

use std::fs;

use crate::checkpoint_errors::{builder, cpu, points, refused, rewritten};
use crate::common::folder::Folder;
use crate::common::gpu;
use retape::data::Dataset;
use retape::prelude::*;
use retape::train::Checkpoint;
use retape::train::callbacks::ModelCheckpoint;
use retape::{Error, Result};

const NAMES: [&str; 3] = ["ant", "bee", "cat"];

/// The same samples; their classes in this order.
fn named(names: &[&str]) -> Dataset {
    points(20).with_class_names(names).unwrap()
}

fn is_mismatch<T>(result: &Result<T>, of: &str) -> bool {
    matches!(result, Err(Error::ClassMismatch { data, expected, .. }) if *data == of && expected == &NAMES)
}

/// It knows what it was trained on, and refuses what its figures would be wrong for.
fn check(mut trainer: Trainer, how: &str) {
    let (train, other) = (named(&NAMES), named(&["cat", "bee", "ant"]));
    assert_eq!(trainer.class_names().map(<[String]>::len), Some(3), "{how}");
    assert!(is_mismatch(&trainer.evaluate(&other), "data to evaluate"), "{how}");
    assert!(is_mismatch(&trainer.fit(&other, Fit::epochs(3)), "training data"), "{how}");
    assert!(is_mismatch(&trainer.train_on_batch(&other), "batch"), "{how}");
    let right = trainer.evaluate(&train).unwrap();
    trainer.evaluate(other.reorder_classes(&NAMES).unwrap()).unwrap();
    trainer.set_class_names(&["cat", "bee", "ant"]);
    assert_eq!(trainer.evaluate(named(&["cat", "bee", "ant"])).unwrap(), right, "{how}");
}

#[test]
fn a_checkpoint_has_the_names_of_the_classes() {
    let train = named(&NAMES);
    for device in [&Device::reference(), &Device::cpu(), gpu()] {
        let folder = Folder::new();
        let build = || builder(5).build(device).unwrap();
        let mut trained = build();
        let writes = ModelCheckpoint::new(&folder.0).every_steps(2);
        let last = writes.last_path();
        trained.fit(&train, Fit::epochs(2).callback(writes.clone())).unwrap();
        let memory = trained.checkpoint().unwrap();
        let between = folder.0.join("between.safetensors");
        trained.save_checkpoint(&between).unwrap();

        for path in [&last, &between] {
            let mut loaded = build();
            loaded.load_checkpoint(path).unwrap();
            check(loaded, "a file");
        }
        let mut restored = build();
        restored.restore(&memory).unwrap();
        check(restored, "memory");
        let mut moved = build();
        moved.recover_from(device, &memory).unwrap();
        check(moved, "on another device");
        // Data without names leaves them; those of the data are looked at before anything is written.
        let mut resumed = build();
        resumed.fit(points(20), Fit::epochs(3).resume(&between)).unwrap();
        check(resumed, "resumed");
    }
}

#[test]
fn training_goes_on_with_the_classes_that_it_was_of() {
    let folder = Folder::new();
    let path = folder.0.join("named.safetensors");
    let mut trained = cpu(5);
    trained.fit(named(&NAMES), Fit::epochs(2)).unwrap();
    trained.save_checkpoint(&path).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();

    let other = named(&["cat", "bee", "ant"]);
    for fit in [Fit::epochs(3).resume(&path), Fit::epochs(3).resume_from(&checkpoint)] {
        let error = refused(cpu(5), &other, fit);
        assert!(is_mismatch::<()>(&Err(error), "training data"));
    }
    let judged = Fit::epochs(3).resume(&path).validation(&other);
    assert!(is_mismatch::<()>(&Err(refused(cpu(5), &points(20), judged)), "validation data"));

    // A trainer of others becomes what the checkpoint is of.
    let mut foreign = cpu(5);
    foreign.set_class_names(&["x", "y", "z"]);
    foreign.fit(named(&NAMES), Fit::epochs(3).resume(&path)).unwrap();
    check(foreign, "of others before");
    let mut foreign = cpu(5);
    foreign.set_class_names(&["x", "y", "z"]);
    foreign.load_checkpoint(&path).unwrap();
    check(foreign, "of others before, loaded");

    // A file from before checkpoints had names, and one of a training without: any will do.
    let nameless = [
        rewritten(&folder, |own| drop(own.as_object_mut().unwrap().remove("class_names"))),
        folder.0.join("nameless.safetensors"),
    ];
    let mut without = cpu(5);
    without.fit(points(20), Fit::epochs(2)).unwrap();
    without.save_checkpoint(&nameless[1]).unwrap();
    for path in nameless {
        let mut loaded = cpu(5);
        loaded.load_checkpoint(&path).unwrap();
        assert_eq!(loaded.class_names(), None, "{}", path.display());
        loaded.evaluate(&other).unwrap();
    }
    let wrong = rewritten(&folder, |own| own["class_names"] = serde_json::json!(["ant", 2, "cat"]));
    assert!(matches!(cpu(5).load_checkpoint(&wrong), Err(Error::Corrupt { .. })));
    assert!(fs::remove_file(wrong).is_ok());
}
