//! Every part of a checkpoint's header, one by one, made what no training has: refused by a typed error that leaves
//! the trainer as it was, or harmless.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::data::noise;
use crate::common::folder::Folder;
use retape::data::Dataset;
use retape::prelude::*;
use retape::testing::sealed;
use retape::train::Checkpoint;
use retape::train::callbacks::{EarlyStopping, Run};
use retape::{Error, Result};
use safetensors::SafeTensors;
use serde_json::{Value as Json, json};

fn points() -> Dataset {
    let labels = (0..20).map(|i| i % 3).collect();
    let data = Dataset::new([4], noise(4 * 20, 6, -1.0, 1.0), labels, 3).unwrap();
    data.with_class_names(&["ant", "bee", "cat"]).unwrap()
}

fn trainer() -> Trainer {
    let model = Sequential::new().add(Dense::new(3)).add(BatchNorm::new()).add(Dense::new(3));
    let built = Trainer::new(model, [4]).loss(Loss::SparseCategoricalCrossEntropy);
    let built = built.optimizer(Adam::new(0.02)).metrics([Metric::Accuracy, Metric::ConfusionMatrix]);
    built.batch_size(8).accumulate(2).seed(17).build(&Device::reference()).unwrap()
}

fn fit<'a>(epochs: usize) -> Fit<'a> {
    Fit::epochs(epochs).progress(false).callback(EarlyStopping::new("loss").patience(50))
}

/// A checkpoint within the second epoch.
fn checkpoint(folder: &Folder) -> Vec<u8> {
    let path = folder.0.join("good.safetensors");
    let write = |run: &mut Run<'_>| -> Result<()> {
        if run.trainer().steps() == 5 {
            run.write_checkpoint(&path);
        }
        Ok(())
    };
    trainer().fit(points(), fit(2).on_steps(1, write)).unwrap();
    fs::read(&path).unwrap()
}

/// The paths of all parts of some JSON, as pointers.
fn parts(json: &Json, at: String, all: &mut Vec<String>) {
    match json {
        // Tensors are alike.
        Json::Object(fields) => {
            fields.iter().take(if at == "/tensors" { 4 } else { 30 }).for_each(|(name, part)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                parts(part, format!("{at}/{name}"), all);
            })
        }
        Json::Array(items) => {
            items.iter().take(3).enumerate().for_each(|(i, part)| parts(part, format!("{at}/{i}"), all));
        }
        _ => {}
    }
    all.push(at);
}

/// What a part is replaced by, or `None` to leave it out.
fn replacements(part: &Json) -> Vec<Option<Json>> {
    let numbers = [
        json!(-1),
        json!(0),
        json!(7),
        json!(0.5),
        json!(1e39),
        json!(u32::MAX),
        json!(1u64 << 32),
        json!(u64::MAX),
    ];
    let texts = ["", "NaN", "inf", "1e400", "-1", "0", "unknown", "dense.weight", "\u{0}é\"\\"];
    let others = [json!(null), json!(true), json!([]), json!({}), json!("x"), json!([1, "a"])];
    let mut all: Vec<Option<Json>> = others.into_iter().map(Some).collect();
    match part {
        Json::Number(_) => all.extend(numbers.map(Some)),
        Json::String(_) => all.extend(texts.map(|text| Some(json!(text)))),
        Json::Array(items) => {
            // An item twice, and one less.
            all.extend(
                items.first().map(|item| Some(json!([&items[..], std::slice::from_ref(item)].concat()))),
            );
            all.extend((!items.is_empty()).then(|| Some(json!(items[1..]))));
        }
        _ => {}
    }
    all.push(None);
    all
}

fn replaced(own: &Json, at: &str, by: Option<&Json>) -> Json {
    let mut own = own.clone();
    if let Some(by) = by {
        *own.pointer_mut(at).unwrap() = by.clone();
        return own;
    }
    let (parent, name) = at.rsplit_once('/').unwrap();
    match own.pointer_mut(parent).unwrap() {
        Json::Object(fields) => drop(fields.remove(&name.replace("~1", "/").replace("~0", "~"))),
        Json::Array(items) => drop(items.remove(name.parse().unwrap())),
        _ => panic!("it has parts"),
    }
    own
}

#[test]
fn every_part_of_a_header_is_looked_at() {
    let folder = Folder::new();
    let whole = checkpoint(&folder);
    let (_, metadata) = SafeTensors::read_metadata(&whole).unwrap();
    let entries = metadata.metadata().clone().unwrap();
    let tensors = SafeTensors::deserialize(&whole).unwrap();
    let own: Json = serde_json::from_str(&entries["retape"]).unwrap();
    let mut all = Vec::new();
    parts(&own, String::new(), &mut all);
    all.retain(|at| !at.is_empty() && !at.starts_with("/checksum"));
    assert!(all.len() > 80, "{all:?}");

    let path = folder.0.join("changed.safetensors");
    let contents = |trainer: &Trainer| {
        let path = folder.0.join("contents.safetensors");
        trainer.save_checkpoint(&path).unwrap();
        fs::read(path).unwrap()
    };
    let fresh = contents(&trainer());
    let (mut wrong, mut taken, mut refused) = (Vec::new(), 0, 0);
    let mut trained = trainer();
    for at in &all {
        for by in replacements(own.pointer(at).unwrap()) {
            let changed = replaced(&own, at, by.as_ref());
            if changed == own {
                continue;
            }
            let mut entries = entries.clone();
            entries.insert("retape".to_owned(), changed.to_string());
            let file = sealed(safetensors::serialize(tensors.tensors(), Some(entries)).unwrap());
            fs::write(&path, &file).unwrap();
            let case = format!("{at} = {}", by.map_or("(nothing)".to_owned(), |by| by.to_string()));
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let resumed = trained.fit(points(), fit(3).resume(&path));
                if let Err(error) = &resumed {
                    assert!(contents(&trained) == fresh, "the trainer changed: {error}");
                    let typed = matches!(
                        error,
                        Error::Corrupt { .. }
                            | Error::CheckpointMismatch { .. }
                            | Error::CheckpointVersion { .. }
                            | Error::NotACheckpoint { .. }
                            | Error::TensorNames { .. }
                            | Error::TensorMismatch { .. }
                            | Error::ClassMismatch { .. }
                            | Error::Unknown { .. }
                    );
                    assert!(typed, "{error:?}");
                }
                let loaded = match Checkpoint::open(&path) {
                    Ok(checkpoint) => trainer().restore(&checkpoint).map(|epoch| assert!(epoch < 1 << 32)),
                    Err(error) => Err(error),
                };
                resumed.is_ok() || loaded.is_ok()
            }));
            match outcome {
                Ok(true) => {
                    taken += 1;
                    trained = trainer();
                }
                Ok(false) => refused += 1,
                Err(_) => {
                    wrong.push(case);
                    trained = trainer();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), taken + refused);
    assert!(refused > 2 * taken, "{taken} taken, {refused} refused");
}
