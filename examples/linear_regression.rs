//! A line through six points by gradient descent: ice cream sales against temperature.
//!
//! It teaches regression targets, standardised inputs, and that descent on the mean squared error
//! ends where the formula for least squares does.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Progress, Results, round};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "linear_regression",
    about: "Fits a line to six days of temperature and sales, and predicts the sales at 30 degrees.",
    unused: &["data", "batch", "limit"],
};

const TEMPERATURES: [f32; 6] = [10.0, 12.0, 16.0, 20.0, 24.0, 26.0];
const SALES: [f32; 6] = [4.0, 5.0, 7.0, 10.0, 15.0, 16.0];
const QUESTION: f32 = 30.0;

/// Epochs between two lines of progress.
const ROW: usize = 20;

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let device = flags.open_device()?;
    // All six samples make one batch, so an epoch is a step.
    let epochs = flags.epochs.unwrap_or(200);

    // With mean 0 and deviation 1 the error's valley is round, and a step of 0.1 shrinks the way
    // to its bottom by a fifth, whatever the units were.
    let (temperatures, sales) = (Scale::of(&TEMPERATURES), Scale::of(&SALES));

    let mut g = Graph::new();
    let x = g.input("x", [6, 1]);
    let t = g.targets("t", [6, 1]);
    let w = g.parameter("w", [1, 1], Init::Zeros);
    let b = g.parameter("b", [1], Init::Zeros);
    let y = g.add(g.matmul(x, w)?, b)?;
    let loss = g.mean_squared_error(y, t)?;

    let tape = g.training_step(loss, &Sgd::new(0.1))?;
    let mut session = tape.session_with(&device, SessionOptions::new().seed(flags.seed))?;
    session.write(x, &temperatures.standardise(&TEMPERATURES))?;
    session.write(t, &sales.standardise(&SALES))?;

    let mut progress = Progress::new(epochs, 1);
    for done in (0..epochs).step_by(ROW) {
        let steps = ROW.min(epochs - done);
        session.replay_n(steps)?;
        progress.steps(steps);
        progress.epoch(done + steps, &[("loss", session.read_scalar(loss)?.into())]);
    }
    let history = progress.finish();

    // The line in the units of the data.
    let (w, b) = (f64::from(session.parameter("w")?[0]), f64::from(session.parameter("b")?[0]));
    let slope = w * sales.deviation / temperatures.deviation;
    let intercept = sales.mean + b * sales.deviation - slope * temperatures.mean;
    let prediction = slope * f64::from(QUESTION) + intercept;
    println!("sales = {slope:.5} temperature {intercept:+.5}");
    println!("at {QUESTION} degrees: {prediction:.5} (least squares: 18.84615)");

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", epochs);
    results.set("loss", session.read_scalar(loss)?);
    results.set("slope", round(slope, 6));
    results.set("intercept", round(intercept, 6));
    results.set("prediction", round(prediction, 6));
    results.history(history);
    Ok(results)
}

/// Mean and standard deviation of some numbers.
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    fn of(data: &[f32]) -> Self {
        let count = data.len() as f64;
        let mean = data.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = data.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        Scale { mean, deviation: variance.sqrt() }
    }

    fn standardise(&self, data: &[f32]) -> Vec<f32> {
        data.iter().map(|&v| ((f64::from(v) - self.mean) / self.deviation) as f32).collect()
    }
}
