//! A line through six points by gradient descent: ice cream sales against temperature.
//!
//! It teaches regression targets, data brought to one scale and back, and that descent on the mean
//! squared error ends where the formula for least squares does.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Results, round};
use retape::data::Standardize;
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
    // With mean 0 and deviation 1 the error's valley is round, and a step of 0.1 shrinks the way
    // to its bottom by a fifth, whatever the units were.
    let (temperature, sale) = (Standardize::fit(&TEMPERATURES, 1)?, Standardize::fit(&SALES, 1)?);
    let (mut inputs, mut targets) = (TEMPERATURES, SALES);
    temperature.transform(&mut inputs)?;
    sale.transform(&mut targets)?;
    let samples = data::Samples::new().input([1], &inputs).target([1], &targets);

    // One unit without an activation is a line.
    let mut trainer = Trainer::new(Sequential::new().add(Dense::new(1).named("line")), [1])
        .loss(Loss::MeanSquaredError)
        .optimizer(Sgd::new(0.1))
        // All six samples make one batch, so an epoch is a step.
        .batch_size(inputs.len())
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&samples, flags.fit_in_rows(200, ROW))?;

    // The answer, back in the units of the data.
    let mut question = [QUESTION];
    temperature.transform(&mut question)?;
    let mut answer = trainer.predict(data::Samples::new().input([1], &question))?.data;
    sale.inverse(&mut answer)?;
    let prediction = f64::from(answer[0]);

    // And the line itself.
    let parameter = |name| Ok::<_, retape::Error>(f64::from(trainer.session().parameter(name)?[0]));
    let (w, b) = (parameter("line.weight")?, parameter("line.bias")?);
    let slope = w * sale.std[0] / temperature.std[0];
    let intercept = sale.mean[0] + b * sale.std[0] - slope * temperature.mean[0];
    println!("sales = {slope:.5} temperature {intercept:+.5}");
    println!("at {QUESTION} degrees: {prediction:.5} (least squares: 18.84615)");

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", history.epochs.len());
    results.set("batch", trainer.batch_size());
    results.set("train_samples", TEMPERATURES.len());
    // The same six: the mean squared error in deviations of the sales.
    results.set("test_samples", TEMPERATURES.len());
    results.set("test_loss", round(trainer.evaluate(&samples)?.loss, 6));
    results.set("slope", round(slope, 6));
    results.set("intercept", round(intercept, 6));
    results.set("prediction", round(prediction, 6));
    results.history(history);
    Ok(results)
}
