//! The exclusive or, which no single layer can learn: two inputs, eight hidden tanh units, one
//! sigmoid output, trained with Adam.
//!
//! It teaches a training step: parameters, a loss, an optimiser, many replays of one tape, and a
//! second tape that shares the parameters.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Progress, Results, round};
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
    // Four samples make one batch, so an epoch is a step.
    let epochs = flags.epochs.unwrap_or(500);

    let mut g = Graph::new();
    let x = g.input("x", [4, 2]);
    let t = g.targets("t", [4, 1]);
    let w1 = g.parameter("w1", [2, 8], Init::GlorotUniform);
    let b1 = g.parameter("b1", [8], Init::Zeros);
    let w2 = g.parameter("w2", [8, 1], Init::GlorotUniform);
    let b2 = g.parameter("b2", [1], Init::Zeros);
    let hidden = g.tanh(g.add(g.matmul(x, w1)?, b1)?)?;
    let logits = g.add(g.matmul(hidden, w2)?, b2)?;
    let y = g.sigmoid(logits)?;
    let loss = g.sigmoid_binary_cross_entropy(logits, t)?;

    let tape = g.training_step(loss, &Adam::new(0.05))?;
    let mut session = tape.session_with(&device, SessionOptions::new().seed(flags.seed))?;
    session.write(x, INPUTS.as_flattened())?;
    session.write(t, &TARGETS)?;

    // The inputs stay as they are, so that many steps can be asked for at once.
    let mut progress = Progress::new(epochs, 1);
    for done in (0..epochs).step_by(ROW) {
        let steps = ROW.min(epochs - done);
        session.replay_n(steps)?;
        progress.steps(steps);
        progress.epoch(done + steps, &[("loss", session.read_scalar(loss)?.into())]);
    }
    let history = progress.finish();

    // The loss is made from the logits, so that the training step has no use for `y`: another tape
    // of the same graph computes it, with the parameters that the first one trained.
    let options = SessionOptions::new().share_parameters(&session);
    let mut answer = g.forward([y])?.session_with(&device, options)?;
    answer.write(x, INPUTS.as_flattened())?;
    answer.replay()?;
    let outputs = answer.read(y)?;
    println!(" a  b  a xor b  network");
    for ((input, target), output) in INPUTS.iter().zip(TARGETS).zip(&outputs) {
        println!("{:2} {:2} {target:8} {output:8.4}", input[0], input[1]);
    }
    let right = outputs.iter().zip(TARGETS).filter(|(y, t)| (**y > 0.5) == (*t > 0.5)).count();
    println!("{right} of 4 rows are right");

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", epochs);
    results.set("loss", session.read_scalar(loss)?);
    results.set("accuracy", right as f64 / 4.0);
    results.set("outputs", outputs.iter().map(|&y| round(y.into(), 6)).collect::<Vec<_>>());
    results.history(history);
    Ok(results)
}
