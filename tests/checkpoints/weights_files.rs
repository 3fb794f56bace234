//! Weights in files: by name, whole or in part, from here and from elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common;
use crate::common::folder::Folder;
use crate::common::gpu;
use half::{bf16, f16};
use retape::data::Dataset;
use retape::prelude::*;
use retape::train::{LoadOptions, LoadReport, StoredType, Weights};
use retape::{Error, half};
use safetensors::tensor::{Dtype, TensorView};

fn network(classes: usize) -> Sequential {
    Sequential::new()
        .add(Conv2d::new(3, [3, 3]).activation(Activation::Relu))
        .add(BatchNorm::new())
        .add(Conv2d::new(2, [3, 3]).trainable(false))
        .add(Flatten)
        .add(Dense::new(classes))
}

fn trainer(device: &Device, classes: usize, seed: u32) -> Trainer {
    Trainer::new(network(classes), [1, 6, 6])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.01))
        .batch_size(4)
        .seed(seed)
        .build(device)
        .unwrap()
}

fn images() -> Dataset {
    let labels = (0..10).map(|i| i % 3).collect();
    Dataset::new([1, 6, 6], common::data::noise(10 * 36, 8, -1.0, 1.0), labels, 3).unwrap()
}

const NAMES: [&str; 10] = [
    "conv2d.weight",
    "conv2d.bias",
    "batch_norm.scale",
    "batch_norm.shift",
    "batch_norm.running_mean",
    "batch_norm.running_variance",
    "conv2d_1.weight",
    "conv2d_1.bias",
    "dense.weight",
    "dense.bias",
];

/// The weights with every digit, which the file has as well.
fn exact(trainer: &Trainer, folder: &Folder) -> Vec<u8> {
    let path = folder.0.join("exact.safetensors");
    trainer.save_weights(&path).unwrap();
    fs::read(path).unwrap()
}

/// Writes somebody else's file.
fn foreign(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn weights_come_back_to_the_last_digit() {
    let folder = Folder::new();
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let path = folder.0.join("weights.safetensors");
        let mut one = trainer(device, 3, 1);
        one.fit(images(), Fit::epochs(2)).unwrap();
        one.save_weights(&path).unwrap();
        let mut names = one.session().weight_names();
        names.sort();
        let mut all = NAMES.map(str::to_owned);
        all.sort();
        assert_eq!(names, all);

        let mut other = trainer(device, 3, 2);
        other.fit(images(), Fit::epochs(1)).unwrap();
        assert_ne!(other.weights().unwrap(), one.weights().unwrap());
        let steps = other.steps();
        other.load_weights(&path).unwrap();
        assert_eq!(other.weights().unwrap(), one.weights().unwrap());
        assert_eq!(exact(&other, &folder), exact(&one, &folder));
        assert_eq!(other.predict(images()).unwrap(), one.predict(images()).unwrap());
        assert_eq!(other.steps(), steps);
    }
}

/// A file has what the device computed with; either device reads either.
#[test]
fn files_go_from_device_to_device() {
    let folder = Folder::new();
    let (path, back) = (folder.0.join("a"), folder.0.join("b"));
    let (on_gpu, mut on_cpu) = (trainer(gpu(), 3, 1), trainer(&Device::reference(), 3, 2));
    on_gpu.save_weights(&path).unwrap();
    on_cpu.load_weights(&path).unwrap();
    assert_eq!(on_cpu.weights().unwrap(), on_gpu.weights().unwrap());
    on_cpu.save_weights(&back).unwrap();
    let dtype = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor("dense.bias").unwrap().dtype()
    };
    assert_eq!((dtype(&path), dtype(&back)), (Dtype::F32, Dtype::F64));
    let mut again = trainer(gpu(), 3, 3);
    again.load_weights(&back).unwrap();
    assert_eq!(again.weights().unwrap(), on_gpu.weights().unwrap());
}

#[test]
fn a_checkpoint_is_a_file_of_weights_too() {
    let folder = Folder::new();
    let path = folder.0.join("checkpoint.safetensors");
    let mut one = trainer(gpu(), 3, 1);
    one.fit(images(), Fit::epochs(1)).unwrap();
    one.save_checkpoint(&path).unwrap();
    let mut other = trainer(gpu(), 3, 2);
    other.load_weights(&path).unwrap();
    assert_eq!(other.weights().unwrap(), one.weights().unwrap());
    // And the other way round it is an error.
    one.save_weights(&path).unwrap();
    assert!(matches!(other.load_checkpoint(&path), Err(Error::NotACheckpoint { .. })));
}

#[test]
fn a_session_of_the_programs_own_has_weights_too() {
    let folder = Folder::new();
    let path = folder.0.join("own.safetensors");
    let session = |seed| {
        let mut g = Graph::new();
        let (x, labels) = (g.input("x", [4, 1, 6, 6]), g.labels("labels", [4]));
        let logits = network(3).record(&mut g, x, Mode::Training).unwrap();
        let loss = g.softmax_cross_entropy(logits, labels).unwrap();
        let tape = g.training_step(loss, &Adam::new(0.1)).unwrap();
        let mut session = tape.session_with(gpu(), SessionOptions::new().seed(seed)).unwrap();
        session.write(x, &common::data::noise(4 * 36, 1, -1.0, 1.0)).unwrap();
        session.replay().unwrap();
        session
    };
    let (one, mut other) = (session(1), session(2));
    assert_eq!(one.weight_names(), NAMES);
    one.save_weights(&path).unwrap();
    other.load_weights(&path).unwrap();
    for name in one.parameter_names() {
        assert_eq!(one.parameter(name).unwrap(), other.parameter(name).unwrap(), "{name}");
    }
    // The same names as in a trainer.
    trainer(gpu(), 3, 5).load_weights(&path).unwrap();
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let path = folder.0.join("five.safetensors");
    let mut three = trainer(gpu(), 3, 1);
    let before = three.weights().unwrap();
    trainer(gpu(), 5, 2).save_weights(&path).unwrap();
    match three.load_weights(&path) {
        Err(Error::TensorMismatch { name, types, .. }) => {
            let shape = |n: usize| StoredType { dtype: "F32".to_owned(), shape: vec![n] };
            assert_eq!((name.as_str(), *types), ("dense.bias", [shape(5), shape(3)]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(three.weights().unwrap(), before);

    let bytes = |n: usize| vec![0u8; 4 * n];
    foreign(&path, &[("dense.bias", Dtype::F32, &[3], bytes(3)), ("other", Dtype::F32, &[1], bytes(1))]);
    match three.load_weights(&path) {
        Err(Error::TensorNames { missing, unexpected, .. }) => {
            assert_eq!((missing.len(), unexpected), (9, vec!["other".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    foreign(&path, &[("dense.bias", Dtype::I32, &[3], bytes(3))]);
    let report = three.load_weights_partial(&path).unwrap();
    assert_eq!((report.loaded.len(), report.skipped[0].found.dtype.as_str()), (0, "I32"));
    assert_eq!(three.weights().unwrap(), before);
}

#[test]
fn what_fits_is_taken_and_reported() {
    let folder = Folder::new();
    let path = folder.0.join("five.safetensors");
    let (five, mut three) = (trainer(gpu(), 5, 2), trainer(gpu(), 3, 1));
    five.save_weights(&path).unwrap();
    let before = three.weights().unwrap();
    let report = three.load_weights_partial(&path).unwrap();
    let (loaded, skipped) = (report.loaded.len(), report.skipped.len());
    assert_eq!((loaded, skipped, report.missing.len(), report.unexpected.len()), (8, 2, 0, 0));
    let expected = "loaded 8; skipped: dense.bias (F32 [5], here F32 [3]), \
                    dense.weight (F32 [8, 5], here F32 [8, 3])";
    assert_eq!(report.to_string(), expected);
    let (now, there) = (three.weights().unwrap(), five.weights().unwrap());
    for name in NAMES {
        let source: &Weights = if name.starts_with("dense") { &before } else { &there };
        assert_eq!(now.get(name), source.get(name), "{name}");
    }
    assert_ne!(now.get("conv2d.weight"), before.get("conv2d.weight"));
}

#[test]
fn layers_are_chosen_by_name() {
    let folder = Folder::new();
    let path = folder.0.join("five.safetensors");
    trainer(gpu(), 5, 2).save_weights(&path).unwrap();
    let mut three = trainer(gpu(), 3, 1);
    let before = three.weights().unwrap();
    // Strictly: all of these layers, and nothing is said about the others.
    let report = three.load_weights_with(&path, &LoadOptions::new().layers(["conv2d"])).unwrap();
    assert_eq!(report.loaded, ["conv2d.bias", "conv2d.weight"]);
    let mut expected = LoadReport::default();
    expected.loaded = report.loaded.clone();
    assert_eq!(report, expected);
    let now = three.weights().unwrap();
    assert_ne!(now.get("conv2d.weight"), before.get("conv2d.weight"));
    assert_eq!(now.get("conv2d_1.weight"), before.get("conv2d_1.weight"));

    let strict = LoadOptions::new().layers(["conv2d_1", "dense"]);
    assert!(matches!(three.load_weights_with(&path, &strict), Err(Error::TensorMismatch { .. })));
    assert_eq!(three.weights().unwrap(), now);
    match three.load_weights_with(&path, &LoadOptions::new().layers(["conv"])) {
        Err(Error::Unknown { name, known, .. }) => {
            assert_eq!(name, "conv");
            assert_eq!(known, ["conv2d", "batch_norm", "conv2d_1", "dense"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_types_of_numbers_are_converted() {
    let folder = Folder::new();
    let path = folder.0.join("foreign.safetensors");
    let numbers = [0.1, -65504.0, 3e-6];
    let of = |dtype| -> Vec<u8> {
        match dtype {
            Dtype::F16 => numbers.iter().flat_map(|&v| f16::from_f64(v).to_le_bytes()).collect(),
            Dtype::BF16 => numbers.iter().flat_map(|&v| bf16::from_f64(v).to_le_bytes()).collect(),
            Dtype::F64 => numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
            _ => numbers.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        }
    };
    let expected: BTreeMap<&str, [f32; 3]> = BTreeMap::from([
        ("F16", numbers.map(|v| f16::from_f64(v).to_f32())),
        ("BF16", numbers.map(|v| bf16::from_f64(v).to_f32())),
        ("F32", numbers.map(|v| v as f32)),
        ("F64", numbers.map(|v| v as f32)),
    ]);
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut three = trainer(device, 3, 1);
        for dtype in [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64] {
            foreign(&path, &[("dense.bias", dtype, &[3], of(dtype))]);
            assert_eq!(three.load_weights_partial(&path).unwrap().loaded, ["dense.bias"], "{dtype}");
            let found = three.weights().unwrap().get("dense.bias").unwrap().data.clone();
            assert_eq!(found, expected[dtype.to_string().as_str()], "{dtype}");
        }
    }
}

/// A second output that is not trained on has weights like any other.
#[test]
fn weights_outside_the_loss_are_weights() {
    use retape::train::callbacks::EarlyStopping;
    let folder = Folder::new();
    let path = folder.0.join("two.safetensors");
    let build = |device: &Device, seed| {
        let mut net = Network::new();
        let x = net.input();
        let flat = net.add(Flatten, x);
        let body = net.add(Dense::new(4).activation(Activation::Relu), flat);
        let a = net.add(Dense::new(3).named("a"), body);
        let b = net.add(Dense::new(2).named("b"), body);
        let loss = Loss::SparseCategoricalCrossEntropy;
        let trainer = Trainer::new(net.outputs([a, b]), [1, 6, 6]).loss(loss).optimizer(Adam::new(0.01));
        trainer.batch_size(4).seed(seed).build(device).unwrap()
    };
    let names = ["dense.weight", "dense.bias", "a.weight", "a.bias", "b.weight", "b.bias"];
    for device in [gpu(), &Device::cpu(), &Device::reference()] {
        let mut one = build(device, 1);
        let fit = Fit::epochs(2).callback(EarlyStopping::new("loss").patience(9).restore_best(true));
        one.fit(images(), fit).unwrap();
        let weights = one.weights().unwrap();
        assert_eq!(weights.arrays.iter().map(|array| array.name.clone()).collect::<Vec<_>>(), names);
        assert_eq!(one.session().weight_names(), names);
        let outside = one.session().parameter("b.weight").unwrap();
        assert_eq!(weights.get("b.weight").unwrap().data, outside);
        assert!(outside.iter().any(|&w| w != 0.0), "initialised as all are");

        one.save_weights(&path).unwrap();
        let mut other = build(device, 2);
        assert_ne!(other.weights().unwrap(), weights);
        other.load_weights(&path).unwrap();
        assert_eq!(other.weights().unwrap(), weights);
        let mut set = build(device, 3);
        set.set_weights(&weights).unwrap();
        assert_eq!(set.weights().unwrap(), weights);

        one.save_checkpoint(&path).unwrap();
        let mut resumed = build(device, 1);
        resumed.session_mut().set_parameter("b.bias", &[5.0, 6.0]).unwrap();
        let history = resumed.fit(images(), Fit::epochs(3).resume(&path)).unwrap();
        assert_eq!(history.epochs.len(), 1 + 2);
        assert_eq!(resumed.weights().unwrap().get("b.bias"), weights.get("b.bias"));
        assert_ne!(resumed.weights().unwrap().get("a.bias"), weights.get("a.bias"));
    }
}
