//! What losses say of outputs and targets, and what they refuse.

use std::sync::Arc;

use retape::prelude::*;
use retape::train::{LossFunction, Scores};
use retape::{Error, TensorType};

/// Whether an error is of this variant.
macro_rules! is {
    ($variant:ident) => {
        |error: &Error| matches!(error, Error::$variant { .. })
    };
}

#[test]
fn scores_say_what_outputs_are() {
    let of = |loss: &dyn LossFunction| loss.scores();
    for loss in [Loss::SparseCategoricalCrossEntropy, Loss::CategoricalCrossEntropy] {
        assert_eq!(of(&loss), Scores::Logits);
        assert_eq!(of(&loss.label_smoothing(0.1)), Scores::Logits);
        assert_eq!(of(&loss.from_probabilities()), Scores::Probabilities);
    }
    let binary = Loss::BinaryCrossEntropy;
    assert_eq!(of(&binary), Scores::IndependentLogits);
    assert_eq!(of(&binary.label_smoothing(0.1)), Scores::IndependentLogits);
    assert_eq!(of(&binary.from_probabilities()), Scores::IndependentProbabilities);
    assert_eq!(of(&Loss::NegativeLogLikelihood), Scores::Logits);
    assert_eq!(of(&Loss::Hinge), Scores::IndependentLogits);
    assert_eq!(of(&Loss::CategoricalHinge), Scores::Logits);
    assert_eq!(of(&Loss::KlDivergence), Scores::Probabilities);
    assert_eq!(of(&Loss::MeanSquaredError), Scores::Values);
    let chosen: Box<dyn LossFunction> = Box::new(binary.from_probabilities());
    let shared: Arc<dyn LossFunction> = Arc::new(Loss::SquaredHinge);
    assert_eq!((of(&chosen), of(&shared)), (Scores::IndependentProbabilities, Scores::IndependentLogits));
}

#[test]
fn targets_follow_the_outputs() {
    let shape = |dims: &[usize]| Shape::new(dims).unwrap();
    let ty = |loss: &dyn LossFunction, dims| loss.targets(shape(dims)).unwrap();
    let sparse = Loss::SparseCategoricalCrossEntropy;
    assert_eq!(ty(&sparse, &[8, 10]), TensorType::u32([8]));
    assert_eq!(ty(&sparse.label_smoothing(0.1), &[8, 20, 10]), TensorType::u32([8, 20]));
    assert_eq!(ty(&Loss::BinaryCrossEntropy, &[8, 1]), TensorType::f32([8, 1]));
    assert_eq!(ty(&Loss::MeanSquaredError, &[8]), TensorType::f32([8]));
    assert_eq!(ty(&(Arc::new(sparse) as Arc<dyn LossFunction>), &[8, 10]), TensorType::u32([8]));
    for (loss, dims) in [(sparse, &[8][..]), (Loss::CategoricalHinge, &[8]), (Loss::LogCosh, &[])] {
        let error = loss.targets(shape(dims)).unwrap_err();
        assert!(matches!(error.root(), Error::Rank { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("{} at ", loss.name())), "{error}");
        assert!(error.to_string().contains("losses.rs:"), "{error}");
    }
}

/// A label past the classes is refused when it is written.
#[test]
fn labels_are_checked_against_the_classes() {
    let losses: [&dyn LossFunction; 3] = [
        &Loss::SparseCategoricalCrossEntropy,
        &Loss::SparseCategoricalCrossEntropy.from_probabilities().label_smoothing(0.1),
        &Loss::NegativeLogLikelihood,
    ];
    for loss in losses {
        let mut g = Graph::new();
        let (y, t) = (g.input("y", [2, 3]), g.labels("t", [2]));
        let samples = loss.record(&g, y, t).unwrap();
        let mut session = g.forward([samples]).unwrap().session(&Device::reference()).unwrap();
        session.write(t, &[2u32, 0]).unwrap();
        let past = session.write(t, &[0u32, 3]).unwrap_err();
        assert!(matches!(past, Error::LabelOutOfRange { label: 3, limit: 3, .. }), "{loss:?}: {past}");
    }
}

/// A refused loss: the loss's name, both shapes, the program's line.
#[test]
fn what_does_not_fit_is_refused() {
    let mut g = Graph::new();
    let y = g.input("y", [4, 3]);
    let (column, row) = (g.targets("column", [4, 1]), g.targets("row", [4]));
    let (labels, matrix) = (g.labels("labels", [4]), g.labels("matrix", [4, 3]));
    let refused = |loss: &dyn LossFunction, y, t, is: fn(&Error) -> bool, facts: &[&str]| {
        let error = loss.record(&g, y, t).unwrap_err();
        let text = error.to_string();
        assert!(is(error.root()), "{loss:?}: {text}");
        assert!(facts.iter().all(|fact| text.contains(fact)), "{loss:?}: {text}");
    };
    let shapes = |t| ["[4, 3]", t];
    refused(
        &Loss::MeanSquaredError,
        y,
        column,
        is!(ShapeMismatch),
        &["mean_squared_error", "[4, 3]", "[4, 1]"],
    );
    refused(
        &Loss::BinaryCrossEntropy,
        y,
        row,
        is!(ShapeMismatch),
        &["binary_cross_entropy", "[4, 3]", "[4]"],
    );
    refused(&Loss::SparseCategoricalCrossEntropy, y, matrix, is!(ShapeMismatch), &shapes("against [4, 3]"));
    refused(&Loss::SparseCategoricalCrossEntropy, y, row, is!(DTypeMismatch), &["f32", "u32"]);
    refused(&Loss::Huber { delta: 1.0 }, y, matrix, is!(DTypeMismatch), &["huber", "u32"]);
    refused(&Loss::MeanSquaredError, matrix, y, is!(DTypeMismatch), &["the output"]);
    refused(&Loss::NegativeLogLikelihood, row, labels, is!(Rank), &["negative_log_likelihood", "[4]"]);
    for delta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        refused(&Loss::Huber { delta }, y, y, is!(Argument), &["delta"]);
    }
    for smoothing in [-0.1, 1.5, f32::NAN] {
        let smoothed = Loss::CategoricalCrossEntropy.label_smoothing(smoothing);
        refused(&smoothed, y, y, is!(Argument), &["categorical_cross_entropy", "label_smoothing"]);
    }
    // Options that a loss does not have.
    let facts = ["mean_squared_error", "from_probabilities", "only cross-entropies"];
    refused(&Loss::MeanSquaredError.from_probabilities(), y, y, is!(Argument), &facts);
    refused(&Loss::Hinge.label_smoothing(0.0), y, y, is!(Argument), &["hinge", "label_smoothing"]);
    let other = Graph::new();
    let foreign = Loss::Poisson.record(&other, y, y).unwrap_err();
    assert!(matches!(foreign.root(), Error::ForeignValue), "{foreign}");
    let at = Loss::Poisson.record(&g, y, row).unwrap_err().to_string();
    assert!(at.contains("poisson at ") && at.contains("losses.rs:"), "{at}");
}
