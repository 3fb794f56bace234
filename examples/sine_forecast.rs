//! Many to one: a recurrent network sees a window of a noisy curve and predicts the next value. Then
//! it goes on by itself: each prediction becomes the newest value of the window for the next one.
//!
//! It teaches recurrent layers on a time series, a loss that says something only beside that of a
//! naive forecast, and that a good next value is not yet a good forecast of a hundred.

mod common;

use std::f32::consts::TAU;
use std::process::ExitCode;

use common::cell::Cell;
use common::{Example, Flags, Outcome, Results, falling, mean_squared, parameters_hash, round};
use retape::data::Samples;
use retape::plot::{self, Panel};
use retape::prelude::*;
use retape::random::Stream;

const EXAMPLE: Example = Example {
    name: "sine_forecast",
    about: "Learns to predict the next value of a noisy sum of two sines, then forecasts from its own predictions.",
    unused: &["data"],
};

/// Values that the network sees.
const WINDOW: usize = 40;
/// Values of the series that it learns from, and that it is judged by.
const TRAIN: usize = 1200;
const TEST: usize = 400;
/// The deviation of the noise on every value.
const NOISE: f32 = 0.05;
/// Forecasts that are judged, from windows so many values apart.
const FORECASTS: usize = 32;
const APART: usize = 10;
const UNITS: usize = 32;
const LEARNING_RATE: f32 = 1e-2;

/// The flags of this example alone.
#[derive(clap::Args)]
struct Own {
    /// The recurrent layer
    #[arg(long, value_enum, default_value = "lstm")]
    cell: Cell,
    /// Values to forecast from the network's own predictions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), default_value = "100")]
    steps: u16,
}

/// The network's name in the picture.
fn title(cell: Cell) -> &'static str {
    match cell {
        Cell::Simple => "simple RNN",
        Cell::Lstm => "LSTM",
        Cell::Gru => "GRU",
    }
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let device = flags.open_device()?;
    let (epochs, steps) = (flags.epochs.unwrap_or(20), usize::from(own.steps));
    let limit = flags.limit.unwrap_or(usize::MAX);
    // As many values to be judged by as the forecasts need.
    let judged = TEST.max(WINDOW + (FORECASTS - 1) * APART + steps);
    let series = series(flags.seed, TRAIN + judged);
    let (past, future) = series.split_at(TRAIN);
    let (train, test) = (windows(past, limit), windows(future, limit));
    let batch = flags.batch_size(32, train.len());
    println!("windows of {WINDOW} values: {} to learn from, {} to be judged by", train.len(), test.len());

    // Values to one value: the recurrent layer gives its last output only.
    let model = Sequential::new().add(own.cell.layer(UNITS)).add(Dense::new(1));
    println!("{}", model.summary([WINDOW, 1])?);
    let mut trainer = Trainer::new(model, [WINDOW, 1])
        .loss(Loss::MeanSquaredError)
        // Gradients through 40 steps may explode: their common norm is kept within 1.
        .optimizer(Adam::new(LEARNING_RATE).clip(Clip::GlobalNorm(1.0)))
        .schedule(falling(LEARNING_RATE, epochs, train.len(), batch))
        .batch_size(batch)
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&train, flags.fit(epochs).validation(&test))?;

    let test_loss = trainer.evaluate(&test)?.loss;
    let naive_loss = mean_squared(&future[WINDOW - 1..][..test.len()], &future[WINDOW..][..test.len()]);
    println!("mean squared error of the next value: {test_loss:.5}");
    println!("  of the naive forecast, the last value once more: {naive_loss:.5}");
    println!("  of the noise, which nothing predicts: {:.5}", NOISE * NOISE);

    let forecasts = forecast(&mut trainer, future, steps)?;
    let [error, naive_error] = errors(&forecasts, future);
    println!(
        "{steps} values from its own predictions: off by {error:.3}, the naive forecast {naive_error:.3}"
    );

    let next = trainer.predict(windows(&future[..WINDOW + steps], steps))?.data;
    let panel = panel(own.cell, future, next, forecasts[0].clone());
    flags.picture("sine_forecast_series", |path| plot::panels(path, std::slice::from_ref(&panel)));

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("cell", own.cell.flag());
    results.set("epochs", epochs);
    results.set("batch", batch);
    results.set("train_samples", train.len());
    results.set("test_samples", test.len());
    results.set("test_loss", round(test_loss, 6));
    results.set("naive_loss", round(naive_loss, 6));
    results.set("forecast_steps", steps);
    results.set("forecast_error", round(error, 6));
    results.set("naive_forecast_error", round(naive_error, 6));
    results.set("parameters_hash", parameters_hash(trainer.session())?);
    results.history(history);
    Ok(results)
}

/// Two sines whose periods have no common multiple among the values, and noise.
fn series(seed: u32, n: usize) -> Vec<f32> {
    let noise = Stream { seed, step: 0, stream: 2 };
    let value = |i: usize| {
        let t = i as f32;
        0.7 * (TAU * t / 25.0).sin() + 0.3 * (TAU * t / 11.3).sin() + NOISE * noise.normal(i as u32) as f32
    };
    (0..n).map(value).collect()
}

/// The first windows, at most `limit`, each with the value that follows it.
fn windows(series: &[f32], limit: usize) -> Samples<'static> {
    let len = (series.len() - WINDOW).min(limit);
    let inputs: Vec<f32> = series.windows(WINDOW).take(len).flatten().copied().collect();
    Samples::new().input([WINDOW, 1], inputs).target([1], series[WINDOW..][..len].to_vec())
}

/// The values that follow the first windows when the network sees its own predictions only.
fn forecast(trainer: &mut Trainer, series: &[f32], steps: usize) -> retape::Result<Vec<Vec<f32>>> {
    let mut all: Vec<Vec<f32>> = (0..FORECASTS).map(|i| series[i * APART..][..WINDOW].to_vec()).collect();
    for step in 0..steps {
        let newest: Vec<f32> = all.iter().flat_map(|values| &values[step..]).copied().collect();
        let next = trainer.predict(Samples::new().input([WINDOW, 1], newest))?.data;
        all.iter_mut().zip(next).for_each(|(values, next)| values.push(next));
    }
    all.iter_mut().for_each(|values| drop(values.drain(..WINDOW)));
    Ok(all)
}

/// The root of the mean squared error over all forecasts, and that of the last value held.
fn errors(forecasts: &[Vec<f32>], series: &[f32]) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (number, forecast) in forecasts.iter().enumerate() {
        let (seen, rest) = series.split_at(number * APART + WINDOW);
        let truth = &rest[..forecast.len()];
        sums[0] += mean_squared(forecast, truth);
        sums[1] += mean_squared(&vec![seen[seen.len() - 1]; truth.len()], truth);
    }
    sums.map(|sum| (sum / forecasts.len() as f64).sqrt())
}

fn panel(cell: Cell, truth: &[f32], next: Vec<f32>, forecast: Vec<f32>) -> Panel {
    let shown = truth[..WINDOW + forecast.len()].iter().copied().map(f64::from);
    Panel::new(format!("{} on a part of the series it never saw", title(cell)))
        .axes("time", "value")
        .reference("the series", (0..).map(f64::from).zip(shown))
        .sequence("next value, from the 40 before it", WINDOW, next)
        .sequence("forecast, from its own predictions", WINDOW, forecast)
}
