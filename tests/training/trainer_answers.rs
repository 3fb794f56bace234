//! What a trainer answers: probabilities where the loss takes logits, errors that name their cure, rates of a
//! schedule that begins within a training.

use crate::common::folder::Folder;
use retape::data::Samples;
use retape::prelude::*;
use retape::train::{LossFunction, Schedule};
use retape::{Error, Result};

/// A trainer of one linear layer for points in the plane.
fn linear(units: usize, loss: impl LossFunction + 'static) -> Result<Trainer> {
    let model = Sequential::new().add(Dense::new(units));
    Trainer::new(model, [2])
        .loss(loss)
        .optimizer(Sgd::new(0.1))
        .batch_size(4)
        .seed(3)
        .build(&Device::reference())
}

fn points() -> Samples<'static> {
    Samples::new().input([2], vec![0.5f32, -1.0, 2.0, 0.25, 300.0, 400.0, -0.1, 0.0, -300.0, 500.0])
}

#[test]
fn logits_become_probabilities() -> Result<()> {
    let mut trainer = linear(3, Loss::SparseCategoricalCrossEntropy)?;
    let (scores, sure) = (trainer.predict(points())?, trainer.predict_probabilities(points())?);
    assert_eq!((sure.len(), sure.shape), (5, Shape::from([3])));
    for (row, found) in scores.data.chunks(3).zip(sure.data.chunks(3)) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp = |score: f32| f64::from(score - largest).exp();
        let sum: f64 = row.iter().map(|&score| exp(score)).sum();
        for (&score, &found) in row.iter().zip(found) {
            assert!((f64::from(found) - exp(score) / sum).abs() < 1e-6, "{row:?} {found}");
        }
    }
    // A yes or no each, however many there are.
    for units in [1, 3] {
        let mut trainer = linear(units, Loss::BinaryCrossEntropy)?;
        let (scores, sure) = (trainer.predict(points())?, trainer.predict_probabilities(points())?);
        assert_eq!((sure.len(), sure.shape), (5, Shape::from([units])));
        for (&score, &found) in scores.data.iter().zip(&sure.data) {
            let expected = 1.0 / (1.0 + (-f64::from(score)).exp());
            assert!((f64::from(found) - expected).abs() < 1e-6, "{score} {found}");
        }
    }
    Ok(())
}

#[test]
fn probabilities_stay_and_numbers_have_none() -> Result<()> {
    let model = Sequential::new().add(Dense::new(2).activation(Activation::Softmax));
    let mut trainer = Trainer::new(model, [2])
        .loss(Loss::SparseCategoricalCrossEntropy.from_probabilities())
        .optimizer(Sgd::new(0.1))
        .build(&Device::reference())?;
    assert_eq!(trainer.predict_probabilities(points())?, trainer.predict(points())?);
    let refused = linear(1, Loss::MeanSquaredError)?.predict_probabilities(points());
    match refused {
        Err(Error::Argument { argument: "loss", value, .. }) => assert_eq!(value, "MeanSquaredError"),
        other => panic!("Error::Argument expected, {other:?} found"),
    }
    Ok(())
}

#[test]
fn targets_that_do_not_fit_name_the_cure() -> Result<()> {
    let refused = |mut trainer: Trainer, samples: Samples<'_>| match trainer.fit(samples, Fit::epochs(1)) {
        Err(error @ Error::TargetMismatch { .. }) => error.to_string(),
        other => panic!("Error::TargetMismatch expected, {other:?} found"),
    };
    let labels = vec![0u32, 1, 1, 0, 1];
    let message = refused(linear(2, Loss::CategoricalCrossEntropy)?, points().labels(labels.clone()));
    for part in ["u32[]", "f32[2]", "SparseCategoricalCrossEntropy", "one_hot", "f32"] {
        assert!(message.contains(part), "{message}");
    }
    let rows = points().target([2], vec![0.5f32; 10]);
    let message = refused(linear(2, Loss::SparseCategoricalCrossEntropy)?, rows);
    assert!(message.contains("u32 labels"), "{message}");
    assert!(message.contains("Loss::CategoricalCrossEntropy"), "{message}");

    // Three rows for each sample, and nobody flattens them.
    let model = Sequential::new().add(Reshape::new([3, 2])).add(Dense::new(4));
    let trainer = Trainer::new(model, [6]).loss(Loss::SparseCategoricalCrossEntropy).optimizer(Sgd::new(0.1));
    let images = Samples::new().input([6], vec![0.5f32; 30]).labels(labels);
    let message = refused(trainer.build(&Device::reference())?, images);
    assert!(message.contains("f32[3, 4]") && message.contains("Flatten"), "{message}");
    Ok(())
}

#[test]
fn weights_are_for_classes_that_there_are() -> Result<()> {
    let labels = [0u32, 1, 1, 0, 1];
    let floats = labels.map(|label| label as f32);
    let cases = [
        (linear(2, Loss::SparseCategoricalCrossEntropy)?, points().labels(&labels)),
        (linear(1, Loss::BinaryCrossEntropy)?, points().target([1], &floats)),
    ];
    for (mut trainer, samples) in cases {
        trainer.fit(samples.clone(), Fit::epochs(1).class_weights([(0, 1.0), (1, 2.0)]))?;
        match trainer.fit(samples, Fit::epochs(1).class_weights([(1, 1.0), (5, 2.0)])) {
            Err(Error::LabelOutOfRange { name, index: 1, label: 5, limit: 2 }) => {
                assert_eq!(name, "class_weights")
            }
            other => panic!("Error::LabelOutOfRange expected, {other:?} found"),
        }
    }
    Ok(())
}

#[test]
fn a_schedule_begins_where_another_has_ended() -> Result<()> {
    let labelled = || points().labels(vec![0u32, 1, 1, 0, 1]);
    let model = Sequential::new().add(Dense::new(2));
    let mut trainer = Trainer::new(model, [2])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(0.1))
        .schedule(CosineDecay::new(0.1, 4))
        .batch_size(5)
        .build(&Device::reference())?;
    trainer.fit(labelled(), Fit::epochs(6))?;
    assert_eq!(trainer.learning_rate(), 0.0);
    let refused = trainer.set_learning_rate(0.01).expect_err("a schedule gives the rate");
    assert!(refused.to_string().contains("set_schedule"), "{refused}");
    assert!(trainer.set_schedule(CosineDecay::new(f32::NAN, 4)).is_err());
    assert_eq!(trainer.learning_rate(), 0.0, "what is refused changes nothing");

    let before = trainer.session().parameter("dense.weight")?;
    trainer.scale_learning_rate(0.5)?;
    let second = CosineDecay::new(0.02, 4);
    trainer.set_schedule(second)?;
    for update in 0..3 {
        assert_eq!(trainer.learning_rate(), second.rate(update));
        trainer.fit(labelled(), Fit::epochs(1))?;
    }
    assert_ne!(trainer.session().parameter("dense.weight")?, before);
    Ok(())
}

#[test]
fn a_checkpoint_holds_when_the_schedule_began() -> Result<()> {
    let folder = Folder::new();
    let path = folder.0.join("half.safetensors");
    let labelled = || points().labels(vec![0u32, 1, 1, 0, 1]);
    let second = || CosineDecay::new(0.5, 40);
    let mut straight = linear(2, Loss::SparseCategoricalCrossEntropy)?;
    straight.fit(labelled(), Fit::epochs(2))?;
    straight.set_schedule(second())?;
    straight.fit(labelled(), Fit::epochs(4).initial_epoch(2))?;
    straight.save_checkpoint(&path)?;
    straight.fit(labelled(), Fit::epochs(6).initial_epoch(4))?;

    let mut resumed = linear(2, Loss::SparseCategoricalCrossEntropy)?;
    resumed.set_schedule(second())?;
    assert_eq!(resumed.load_checkpoint(&path)?, 4);
    resumed.fit(labelled(), Fit::epochs(6).initial_epoch(4))?;
    assert_eq!(resumed.learning_rate(), straight.learning_rate());
    assert_eq!(resumed.learning_rate(), second().rate(straight.updates() - 4));
    let weights = |trainer: &Trainer| trainer.session().parameter("dense.weight");
    assert_eq!(weights(&resumed)?, weights(&straight)?);
    Ok(())
}
