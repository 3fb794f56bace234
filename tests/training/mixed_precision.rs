//! Trainers in mixed precision: activations in f16, everything that lasts in f32.

use crate::common;
use retape::data::Samples;
use retape::graph::Source;
use retape::prelude::*;
use retape::random::Stream;
use retape::tape::DeviceProfile;
use retape::{Error, Result};

/// Stripes along or across small images, with noise.
fn stripes(count: usize, seed: u32) -> Samples<'static> {
    let noise = Stream { seed, step: 0, stream: 0 };
    let pixel = |i: usize| {
        let (sample, place) = (i / 64, i % 64);
        let along = if sample.is_multiple_of(2) { place / 8 } else { place % 8 };
        let bright = if along.is_multiple_of(2) { 1.0 } else { -1.0 };
        bright + 2.0 * noise.uniform(i as u32) as f32 - 1.0
    };
    let images = (0..64 * count).map(pixel).collect::<Vec<f32>>();
    Samples::new().input([1, 8, 8], images).labels((0..count as u32).map(|i| i % 2).collect::<Vec<_>>())
}

fn trainer(device: &Device, mixed: bool) -> Result<Trainer> {
    let model = Sequential::new()
        .add(Conv2d::new(6, 3).bias(false))
        .add(BatchNorm::new())
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dense::new(16).activation(Activation::Gelu).weight_penalty(Penalty::l2(1e-4)))
        .add(Dropout::new(0.1))
        .add(Dense::new(2));
    Trainer::new(model, [1, 8, 8])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(3e-3))
        .metrics([Metric::Accuracy])
        .batch_size(20)
        .mixed_precision(mixed)
        .build(device)
}

/// The devices that have half precision.
fn devices() -> impl Iterator<Item = Device> {
    let has_half = |device: &Device| device.profile().is_none_or(|profile| profile.f16);
    [Device::reference(), Device::cpu(), common::gpu().clone()].into_iter().filter(has_half)
}

#[test]
fn a_network_learns_as_it_does_in_f32() -> Result<()> {
    for device in devices() {
        let accuracy = |mixed: bool| -> Result<f64> {
            let mut trainer = trainer(&device, mixed)?;
            trainer.fit(stripes(200, 1), Fit::epochs(4))?;
            Ok(trainer.evaluate(stripes(101, 2))?.get("accuracy").expect("it is counted"))
        };
        let (mixed, full) = (accuracy(true)?, accuracy(false)?);
        assert!(full > 0.95 && (mixed - full).abs() < 0.03, "{mixed}, in f32 {full}, on {device:?}");
    }
    Ok(())
}

#[test]
fn what_lasts_is_f32_and_what_passes_is_f16() -> Result<()> {
    let trainer = trainer(&Device::cpu(), true)?;
    let tape = trainer.session().tape();
    let ty = |value: Value| tape.value(value).expect("it is on the tape");
    for value in tape.persistent() {
        assert_ne!(ty(value).ty.dtype, DType::F16, "{:?}", ty(value).name);
    }
    let made = tape.ops().iter().flat_map(|node| &node.outputs).map(|&value| ty(value));
    let computed = |half: bool| {
        let of = made.clone().filter(|info| (info.ty.dtype == DType::F16) == half);
        of.filter(|info| matches!(info.source, Source::Op { .. })).map(|info| info.ty.numel()).max()
    };
    // The largest is the convolution's result.
    assert_eq!(computed(true), Some(20 * 6 * 6 * 6));
    assert!(trainer.session().tape().losses().iter().all(|&loss| ty(loss).ty.dtype == DType::F32));
    Ok(())
}

/// Weights go from one precision to the other, and predictions are f32 in both.
#[test]
fn weights_move_between_precisions() -> Result<()> {
    for device in devices() {
        let mut trained = trainer(&device, true)?;
        trained.fit(stripes(200, 1), Fit::epochs(2))?;
        let predicted = |mixed: bool| -> Result<Vec<f32>> {
            let mut other = trainer(&device, mixed)?;
            for name in trained.session().parameter_names() {
                other.session_mut().set_parameter(name, &trained.session().parameter(name)?)?;
            }
            assert_eq!(
                other.session().parameter("dense.weight")?,
                trained.session().parameter("dense.weight")?
            );
            Ok(other.predict(stripes(20, 3))?.data)
        };
        let (mixed, full) = (predicted(true)?, predicted(false)?);
        assert!(mixed.iter().zip(&full).all(|(a, b)| (a - b).abs() < 0.02), "{mixed:?}, in f32 {full:?}");
        assert_ne!(mixed, full, "it is in half precision");
    }
    Ok(())
}

#[test]
fn a_device_without_half_precision_says_which_layer_wants_it() -> Result<()> {
    let trainer = trainer(&Device::cpu(), true)?;
    let error = trainer.session().tape().plan(&DeviceProfile::baseline()).expect_err("there is no f16");
    let Error::NoHalfPrecision { layer, .. } = error.root() else { panic!("{error}") };
    assert_eq!(layer, "conv2d");
    Ok(())
}

/// A sequence or an image of a few numbers for each of two classes.
fn samples(shape: &[usize]) -> Samples<'static> {
    let shape = retape::Shape::new(shape).expect("the rank fits");
    let noise = Stream { seed: 5, step: 0, stream: 0 };
    let numbers = (0..8 * shape.numel() as u32).map(|i| noise.uniform(i) as f32).collect::<Vec<_>>();
    Samples::new().input(shape, numbers).labels((0..8).map(|i| i % 2).collect::<Vec<u32>>())
}

/// Layers that work in f32, or that were given f32 before, take what others made in f16.
#[test]
fn layers_of_either_precision_follow_each_other() -> Result<()> {
    let dense = |units| Dense::new(units).activation(Activation::Relu);
    let models = [
        (Sequential::new().add(dense(8)).add(Lstm::new(6)).add(Dense::new(2)), &[5, 4][..]),
        (Sequential::new().add(dense(4)).add(Masking::new(0.0)).add(Gru::new(5)).add(Dense::new(2)), &[5, 4]),
        (
            Sequential::new().add(dense(8)).add(ActivityPenalty::new(Penalty::l2(0.1))).add(Dense::new(2)),
            &[4],
        ),
        (
            Sequential::new()
                .add(ConvTranspose2d::new(3, 3))
                .add(Conv2d::new(2, 2))
                .add(Flatten)
                .add(Dense::new(2)),
            &[2, 5, 4],
        ),
    ];
    for (model, dims) in models {
        let shape = retape::Shape::new(dims)?;
        for device in devices() {
            let mut trainer = Trainer::new(model.clone(), shape)
                .loss(Loss::SparseCategoricalCrossEntropy)
                .optimizer(Adam::new(1e-2))
                .batch_size(8)
                .mixed_precision(true)
                .build(&device)?;
            let history = trainer.fit(samples(dims), Fit::epochs(40))?;
            let [first, last] = [0, 39].map(|epoch| history.get("loss")[epoch]);
            assert!(last < first, "from {first} to {last} on {device:?}:\n{}", model.summary(shape)?);
        }
    }
    Ok(())
}

#[test]
fn numbers_of_both_precisions_lie_side_by_side() -> Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [3, 4]);
    let w = g.parameter("w", [4, 2], Init::GlorotUniform);
    let both = g.autocast(|g| {
        let y = g.matmul(x, w)?;
        g.concat(&[x, y], 1)
    })?;
    assert_eq!(g.ty(both)?.dtype, DType::F16);
    let loss = g.mean(g.square(g.cast(both, DType::F32)?)?, &[], false)?;
    let tape = g.training_step(loss, &Sgd::new(0.1))?;
    for device in devices() {
        let mut session = tape.session(&device)?;
        let checked = session.verify(&[(x, (&vec![0.3f32; 12]).into())])?;
        assert!(checked.passes(), "{checked}");
    }
    Ok(())
}
