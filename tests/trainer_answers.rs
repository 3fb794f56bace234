//! What a trainer answers: probabilities where the loss takes logits, and errors that name their cure.

use retape::data::Samples;
use retape::prelude::*;
use retape::train::LossFunction;
use retape::{Error, Result};

/// A trainer of one linear layer for points in the plane.
fn linear(units: usize, loss: impl LossFunction + 'static) -> Result<Trainer> {
    let model = Sequential::new().add(Dense::new(units));
    Trainer::new(model, [2]).loss(loss).optimizer(Sgd::new(0.1)).batch_size(4).seed(3).build(&Device::cpu())
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
    let mut trainer = linear(1, Loss::BinaryCrossEntropy)?;
    let (scores, sure) = (trainer.predict(points())?, trainer.predict_probabilities(points())?);
    assert_eq!((sure.len(), sure.shape), (5, Shape::from([1])));
    for (&score, &found) in scores.data.iter().zip(&sure.data) {
        let expected = 1.0 / (1.0 + (-f64::from(score)).exp());
        assert!((f64::from(found) - expected).abs() < 1e-6, "{score} {found}");
    }
    Ok(())
}

#[test]
fn probabilities_stay_and_numbers_have_none() -> Result<()> {
    let model = Sequential::new().add(Dense::new(2).activation(Activation::Softmax));
    let mut trainer = Trainer::new(model, [2])
        .loss(Loss::SparseCategoricalCrossEntropy.from_probabilities())
        .optimizer(Sgd::new(0.1))
        .build(&Device::cpu())?;
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
    let message = refused(trainer.build(&Device::cpu())?, images);
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
