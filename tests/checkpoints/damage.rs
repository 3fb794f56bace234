//! Files that were damaged, folders that two write to.

use std::fs::{self, File};
use std::io::Write;

use crate::checkpoint_errors::{builder, checkpoint, cpu, points, refused, resume, rewritten};
use crate::common::folder::Folder;
use crate::common::logs::logged;
use log::Level;
use retape::Error;
use retape::prelude::*;
use retape::train::callbacks::ModelCheckpoint;
use serde_json::Value as Json;

/// What a header is made to say, and how.
type Change = (&'static str, fn(&mut Json));

#[test]
fn damage_anywhere_is_refused() {
    let folder = Folder::new();
    // Large enough for a block of 5,000 bytes of tensors.
    let wide = || builder(400).build(&Device::reference()).unwrap();
    let [whole, weights, bad] = ["whole", "weights", "bad"].map(|name| folder.0.join(name));
    wide().save_checkpoint(&whole).unwrap();
    wide().save_weights(&weights).unwrap();
    for path in [whole, weights] {
        let good = fs::read(&path).unwrap();
        assert!(good.len() > 10_000);
        let mut trainer = wide();
        trainer.load_weights(&path).unwrap();
        let mut check = |bytes: &[u8], what: String| {
            fs::write(&bad, bytes).unwrap();
            for result in [trainer.load_weights(&bad), trainer.load_checkpoint(&bad).map(drop)] {
                let refused = matches!(
                    result,
                    Err(Error::Corrupt { .. }
                        | Error::CheckpointVersion { .. }
                        | Error::NotACheckpoint { .. })
                );
                assert!(refused, "{what}: {result:?}");
            }
        };
        for start in [good.len() - 5000, good.len() - 7000, 4000] {
            let mut zeros = good.clone();
            zeros[start..start + 5000].fill(0);
            if zeros != good {
                check(&zeros, format!("zeros from {start}"));
            }
        }
        for index in (good.len() / 2..good.len()).step_by(997) {
            let mut flipped = good.clone();
            flipped[index] ^= 1;
            check(&flipped, format!("byte {index}"));
        }
        let mut swapped = good.clone();
        swapped[good.len() / 2..].rotate_left(8);
        assert!(swapped != good);
        check(&swapped, "moved by a number".to_owned());
    }
}

/// With a right checksum: somebody wrote these numbers.
#[test]
fn numbers_that_no_training_has_are_refused() {
    let folder = Folder::new();
    let data = points(20);
    let changes: [Change; 19] = [
        ("a rate past f32", |own| own["rates"][0]["base"] = 1e300.into()),
        ("a rate that is null", |own| own["rates"][0]["base"] = Json::Null),
        ("a scale past f32", |own| own["rates"][0]["scale"] = (-1e39).into()),
        ("a negative rate", |own| own["rates"][0]["base"] = (-0.1).into()),
        ("factors past f32", |own| {
            own["rates"][0]["base"] = 1e30.into();
            own["rates"][0]["scale"] = 1e30.into();
        }),
        ("a weight without numbers", |own| own["weights"][0] = "dense_9.weight".into()),
        ("averages that nobody keeps", |own| own["swapped"] = true.into()),
        ("fewer samples than batches", |own| {
            own["journey"]["position"]["step"] = 2.into();
            own["journey"]["position"]["samples"] = 8.into();
        }),
        ("an epoch of 2^64", |own| own["journey"]["position"]["epoch"] = 18_446_744_073_709_551_616.0.into()),
        ("an epoch of 2^64 - 1", |own| own["journey"]["position"]["epoch"] = u64::MAX.into()),
        ("an epoch of 2^32", |own| {
            own["journey"]["position"]["epoch"] = (1u64 << 32).into();
            own["journey"]["history"]["initial_epoch"] = ((1u64 << 32) - 2).into();
        }),
        ("an epoch that the history has not", |own| own["journey"]["position"]["epoch"] = 9.into()),
        ("a history from 2^64 - 1", |own| own["journey"]["history"]["initial_epoch"] = u64::MAX.into()),
        ("more samples than batches", |own| own["journey"]["position"]["samples"] = 1.into()),
        ("steps past their number", |own| own["journey"]["position"]["step"] = u64::MAX.into()),
        ("more updates than there were", |own| own["optimizer_updates"] = 1_000_000.into()),
        ("a batch of nothing", |own| {
            own["variants"] = serde_json::json!([{ "rows": 0, "weighted": false, "updates": true }]);
        }),
        ("a word for the figures of an epoch", |own| {
            own["journey"]["history"]["epochs"][0] = "much".into();
        }),
        ("a negative count", |own| own["updates"] = (-1).into()),
    ];
    for (what, change) in changes {
        let error = refused(cpu(5), &data, resume(&rewritten(&folder, change)));
        assert!(matches!(error, Error::Corrupt { .. }), "{what}: {error:?}");
    }
    let names: [Change; 2] = [
        ("the pruned weights", |own| own["masked"] = serde_json::json!(["dense_9.weight"])),
        ("the frozen layers", |own| own["frozen"] = serde_json::json!(["dense", "dense_9"])),
    ];
    for (what, change) in names {
        let path = rewritten(&folder, change);
        for error in [refused(cpu(5), &data, resume(&path)), cpu(5).load_checkpoint(&path).unwrap_err()] {
            let Error::CheckpointMismatch { what: named, found, .. } = &error else { panic!("{error:?}") };
            assert_eq!(*named, what);
            assert!(found.starts_with("dense_9"), "{error}");
        }
    }
    let scalar = rewritten(&folder, |own| own["scalars"] = serde_json::json!([["nothing", "1"]]));
    assert!(matches!(refused(cpu(5), &data, resume(&scalar)), Error::Unknown { .. }));
}

#[test]
fn the_checkpoint_before_the_last_one_is_there_where_that_is_damaged() {
    let folder = Folder::new();
    let data = points(20);
    let writes = ModelCheckpoint::new(&folder.0);
    let [last, previous] = [writes.last_path(), writes.previous_path()];
    let whole = cpu(5).fit(&data, Fit::epochs(3)).unwrap();
    cpu(5).fit(&data, Fit::epochs(1).callback(writes.clone())).unwrap();
    assert!(!previous.exists(), "the first one has none before it");
    cpu(5).fit(&data, Fit::epochs(2).callback(writes)).unwrap();
    let epochs = |path| cpu(5).load_checkpoint(path).unwrap();
    assert_eq!([epochs(&last), epochs(&previous)], [2, 1]);
    logged(Level::Warn);

    let good = fs::read(&last).unwrap();
    let mut zeros = good.clone();
    let end = zeros.len();
    zeros[end - 200..].fill(0);
    for damaged in [Some(&zeros[..]), Some(&good[..end / 2]), Some(&[]), None] {
        match damaged {
            Some(bytes) => fs::write(&last, bytes).unwrap(),
            None => fs::remove_file(&last).unwrap(),
        }
        assert_eq!(epochs(&last), 1, "training goes on from the one before");
        let warned = logged(Level::Warn);
        assert_eq!(warned.len(), 1, "{warned:?}");
        let goes_on = format!("; training goes on from {}, the checkpoint before it", previous.display());
        assert!(warned[0].ends_with(&goes_on) && warned[0].contains(&*last.to_string_lossy()), "{warned:?}");
        assert_eq!(warned[0].contains("No such file"), damaged.is_none(), "it says why: {warned:?}");
        let history = cpu(5).fit(&data, Fit::epochs(3).resume(&last)).unwrap();
        assert_eq!(history, whole);
        assert_eq!(logged(Level::Warn), warned);
    }
    // Nobody's last one is looked for elsewhere, and where both are damaged the error is of the newer one.
    let other = folder.write("other.safetensors", &zeros);
    assert!(matches!(cpu(5).load_checkpoint(&other), Err(Error::Corrupt { path, .. }) if path == other));
    fs::write(&last, &zeros).unwrap();
    fs::write(&previous, &zeros).unwrap();
    let error = cpu(5).load_checkpoint(&last).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, .. } if *path == last), "{error}");
    assert!(error.to_string().contains("older"), "{error}");
    assert_eq!(logged(Level::Warn), [""; 0], "nothing goes on from them");
}

#[test]
fn a_folder_is_one_programs() {
    let folder = Folder::new();
    let data = points(20);
    let fit = || Fit::epochs(1).callback(ModelCheckpoint::new(&folder.0));
    let mut lock = File::create(folder.0.join(".lock")).unwrap();
    lock.try_lock().unwrap();
    lock.write_all(b"1").unwrap();
    let error = cpu(5).fit(&data, fit()).unwrap_err();
    let Error::Argument { argument: "folder", value, .. } = &error else { panic!("{error:?}") };
    assert!(value.contains("process 1 "), "{error}");
    assert!(!folder.0.join(ModelCheckpoint::LAST).exists());
    // The other one has ended.
    drop(lock);
    cpu(5).fit(&data, fit()).unwrap();
    // Trainings of one program may take turns, also where a callback is there after its training.
    let mut kept = ModelCheckpoint::new(&folder.0);
    cpu(5).fit(&data, Fit::epochs(1).callback(&mut kept)).unwrap();
    cpu(5).fit(&data, fit()).unwrap();
    cpu(5).fit(&data, Fit::epochs(1).callback(&mut kept)).unwrap();
    let left = checkpoint(&folder);
    assert!(left.exists());
}
