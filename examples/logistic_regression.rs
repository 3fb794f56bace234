//! Logistic regression: a single sigmoid unit tells two clouds of points apart, and learns logic gates.
//!
//! It teaches a binary classifier, whose output is the logit of class 1; the binary cross-entropy; and
//! what a single unit can do: anything that a straight line divides, which the exclusive or is not.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Results, parameters_hash, round, sigmoid};
use retape::data::{Dataset, Samples};
#[cfg(feature = "plots")]
use retape::plot;
use retape::prelude::*;
use retape::random::Stream;
use serde_json::json;

const EXAMPLE: Example = Example {
    name: "logistic_regression",
    about: "Divides two clouds of points by a line, and learns AND and OR, with a single sigmoid unit.",
    unused: &["data"],
};

/// Points of both clouds together, and of which each cloud has half.
const POINTS: usize = 400;
/// The middles of the clouds, and the deviation of their points.
const MIDDLES: [[f64; 2]; 2] = [[-1.0, -0.5], [1.0, 0.8]];
const DEVIATION: f64 = 0.7;

/// All inputs of a gate of two, and what gates make of them.
const BITS: [[f32; 2]; 4] = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
const GATES: [(&str, [f32; 4]); 3] =
    [("AND", [0.0, 0.0, 0.0, 1.0]), ("OR", [0.0, 1.0, 1.0, 1.0]), ("XOR", [0.0, 1.0, 1.0, 0.0])];
/// Epochs that a gate takes.
const GATE_EPOCHS: usize = 200;

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

/// A single unit: `w1 x1 + w2 x2 + b`, the logit of class 1.
fn unit(device: &Device, seed: u32, optimizer: Sgd, batch: usize) -> retape::Result<Trainer> {
    Trainer::new(Sequential::new().add(Dense::new(1).named("unit")), [2])
        .loss(Loss::BinaryCrossEntropy)
        .optimizer(optimizer)
        .metrics([Metric::Accuracy])
        .batch_size(batch)
        .seed(seed)
        .build(device)
}

fn run(flags: &Flags) -> Outcome {
    let device = flags.open_device()?;
    let [train, test] = clouds(flags.seed, flags.limit.unwrap_or(POINTS))?.split([0.8, 0.2], flags.seed)?;
    println!("{} points to learn from, {} to be judged by", train.len(), test.len());

    let batch = flags.batch_size(32, train.len());
    let mut trainer = unit(&device, flags.seed, Sgd::new(0.5), batch)?;
    let (train, test_samples) = (samples(&train), samples(&test));
    let history = trainer.fit(&train, flags.fit(20).validation(&test_samples))?;
    let score = trainer.evaluate(&test_samples)?;
    let accuracy = score.get("accuracy").unwrap_or(f64::NAN);
    let (w, b) = weights(&trainer)?;
    println!("P(class 1) = sigmoid({:.4} x {:+.4} y {b:+.4})", w[0], w[1]);
    println!("{:.1} % of the points it never saw lie on their side of the line", 100.0 * accuracy);

    #[cfg(feature = "plots")]
    flags.picture("logistic_regression_boundary", |path| {
        let at = |index: usize| [test.input(index)[0], test.input(index)[1]];
        let points: Vec<_> = (0..test.len()).map(|index| (at(index), test.labels()[index])).collect();
        let classify = |plane: &[[f32; 2]]| {
            let logits = trainer.predict(Samples::new().input([2], plane.as_flattened()))?.data;
            Ok(logits.into_iter().map(sigmoid).collect())
        };
        plot::decision_boundary(path, -4.0..4.0, -4.0..4.0, classify, &points)
    });

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", history.epochs.len());
    results.set("batch", batch);
    results.set("train_samples", train.len());
    results.set("test_samples", test.len());
    results.set("weights", w.map(|w| round(w.into(), 6)).to_vec());
    results.set("bias", round(b.into(), 6));
    results.set("test_accuracy", round(accuracy, 6));
    results.set("test_loss", round(score.loss, 6));
    results.set("parameters_hash", parameters_hash(trainer.session())?);
    results.set("gates", gates(&device, flags.seed)?);
    results.history(history);
    Ok(results)
}

/// Trains a unit for each gate, prints what it says, and returns the share of right rows.
fn gates(device: &Device, seed: u32) -> retape::Result<serde_json::Value> {
    println!("\n a  b{}", GATES.map(|(name, _)| format!("  {name:>10}")).concat());
    let (mut columns, mut accuracies) = (Vec::new(), json!({}));
    for (name, targets) in GATES {
        let table = Samples::new().input([2], BITS.as_flattened()).target([1], &targets);
        let mut trainer = unit(device, seed, Sgd::new(2.0), BITS.len())?;
        trainer.fit(&table, Fit::epochs(GATE_EPOCHS))?;
        columns.push(trainer.predict(&table)?.data);
        accuracies[name] = trainer.evaluate(&table)?.get("accuracy").into();
    }
    for (row, [a, b]) in BITS.iter().enumerate() {
        let cell = |(column, (_, targets)): (&Vec<f32>, &(_, [f32; 4]))| {
            format!("  {:6.3} ({})", sigmoid(column[row]), targets[row])
        };
        println!("{a:2} {b:2}{}", columns.iter().zip(&GATES).map(cell).collect::<String>());
    }
    println!("in brackets, what the gate gives\n");
    Ok(accuracies)
}

fn weights(trainer: &Trainer) -> retape::Result<([f32; 2], f32)> {
    let weight = trainer.session().parameter("unit.weight")?;
    let bias = trainer.session().parameter("unit.bias")?;
    Ok(([weight[0], weight[1]], bias[0]))
}

/// Points around two middles in turn, normally distributed.
fn clouds(seed: u32, points: usize) -> retape::Result<Dataset> {
    let stream = Stream { seed, step: 0, stream: 2 };
    let point = |i: usize| {
        let middle = MIDDLES[i % 2];
        [0, 1].map(|axis| (middle[axis] + DEVIATION * stream.normal((2 * i + axis) as u32)) as f32)
    };
    Dataset::new([2], (0..points).flat_map(point).collect(), (0..points as u32).map(|i| i % 2).collect(), 2)
}

/// The binary cross-entropy takes the class of each sample as a number.
fn samples(data: &Dataset) -> Samples<'_> {
    let targets: Vec<f32> = data.labels().iter().map(|&label| label as f32).collect();
    Samples::new().input([2], data.inputs()).target([1], targets)
}
