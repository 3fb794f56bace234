//! The exclusive or, which no single layer can learn: two inputs, eight hidden tanh units, one
//! output, trained with Adam.
//!
//! It teaches the smallest training: samples, a model, a loss, an optimiser, `fit` and `predict`. The
//! network's output is a logit, which the loss takes as it is; its sigmoid is the probability of a 1.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Results, round, sigmoid};
#[cfg(feature = "plots")]
use retape::plot;
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "xor",
    about: "Learns the exclusive or with a hidden layer of eight tanh units, trained with Adam.",
    unused: &["data", "batch", "limit"],
};

const INPUTS: [[f32; 2]; 4] = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
const TARGETS: [f32; 4] = [0.0, 1.0, 1.0, 0.0];

/// Epochs between two lines of progress.
const ROW: usize = 50;

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let device = flags.open_device()?;
    let samples = data::Samples::new().input([2], INPUTS.as_flattened()).target([1], &TARGETS);

    let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(1));
    let mut trainer = Trainer::new(model, [2])
        .loss(Loss::BinaryCrossEntropy)
        .optimizer(Adam::new(0.05))
        .metrics([Metric::Accuracy])
        .batch_size(INPUTS.len())
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&samples, flags.fit_in_rows(500, ROW))?;

    let outputs = probabilities(&mut trainer, &INPUTS)?;
    println!(" a  b  a xor b  network");
    for ((input, target), output) in INPUTS.iter().zip(TARGETS).zip(&outputs) {
        println!("{:2} {:2} {target:8} {output:8.4}", input[0], input[1]);
    }
    // There are no others to judge it by.
    let score = trainer.evaluate(&samples)?;
    let accuracy = score.get("accuracy").unwrap_or(f64::NAN);
    println!("{} of 4 rows are right", 4.0 * accuracy);

    #[cfg(feature = "plots")]
    flags.picture("xor_boundary", |path| {
        let points: Vec<_> = INPUTS.into_iter().zip(TARGETS.map(|t| t as u32)).collect();
        plot::decision_boundary(
            path,
            -0.5..1.5,
            -0.5..1.5,
            |plane| probabilities(&mut trainer, plane),
            &points,
        )
    });

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", history.epochs.len());
    results.set("batch", trainer.batch_size());
    results.set("train_samples", INPUTS.len());
    results.set("test_samples", INPUTS.len());
    results.set("test_accuracy", accuracy);
    results.set("test_loss", round(score.loss, 6));
    results.set("outputs", outputs.iter().map(|&y| round(y.into(), 6)).collect::<Vec<_>>());
    results.history(history);
    Ok(results)
}

/// How likely each pair has the exclusive or.
fn probabilities(trainer: &mut Trainer, pairs: &[[f32; 2]]) -> retape::Result<Vec<f32>> {
    let logits = trainer.predict(data::Samples::new().input([2], pairs.as_flattened()))?.data;
    Ok(logits.into_iter().map(sigmoid).collect())
}
