//! What was learned from some digits helps with others: a network learns 0 to 4 from all of MNIST's
//! images of them; its convolutions, frozen, then read 5 to 9 after a few images. The same network from
//! scratch has only those few.
//!
//! It teaches weights files: saved whole, loaded in part, by the names of layers; and freezing.

mod common;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use common::classifier::MNIST;
use common::{Example, Flags, Outcome, Results, positive, printed, round};
use retape::data::Dataset;
#[cfg(feature = "plots")]
use retape::plot;
use retape::prelude::*;
use retape::train::{Evaluation, LoadOptions, TrainerBuilder};

const EXAMPLE: Example = Example {
    name: "transfer_learning",
    about: "Learns the digits 0 to 4, keeps the convolutions, and learns 5 to 9 from a few images.",
    unused: &[],
};

/// The layers that are taken over.
const BASE: [&str; 2] = ["conv2d", "conv2d_1"];
const CLASSES: u32 = 5;

#[derive(Args)]
struct Own {
    /// Images of 5 to 9 to learn from
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = positive)]
    few: usize,
    /// Passes over them
    #[arg(long, value_name = "N", default_value_t = 10)]
    tune_epochs: usize,
}

/// Two convolutions, and a head of this many units.
fn model(units: usize) -> Sequential {
    Sequential::new()
        .add(Conv2d::new(10, 5).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(20, 5).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dense::new(units).activation(Activation::Relu))
        .add(Dense::new(CLASSES as usize))
}

/// The samples of five digits, as classes 0 to 4.
fn digits(data: &Dataset, first: u32) -> Result<Dataset, String> {
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for (index, &label) in data.labels().iter().enumerate() {
        if (first..first + CLASSES).contains(&label) {
            inputs.extend_from_slice(data.input(index));
            labels.push(label - first);
        }
    }
    if labels.is_empty() {
        let (last, searched) = (first + CLASSES - 1, data.len());
        return Err(format!("there is no image of {first} to {last} among {searched}: raise `--limit`"));
    }
    Dataset::new(data.input_shape(), inputs, labels, CLASSES).map_err(|e| e.to_string())
}

/// Where the weights go in between.
fn weights_file(flags: &Flags) -> Result<PathBuf, String> {
    let folder = flags.out.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make `{}`: {e}", folder.display()))?;
    Ok(folder.join(format!("transfer_learning-{}.safetensors", std::process::id())))
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let data = flags.data_set("mnist", MNIST, |folder| data::mnist(folder))?;
    let device = flags.open_device()?;
    let data = flags.limited(data);

    let (all, others) = (digits(&data.train, 0)?, digits(&data.test, 0)?);
    let (few, test) = (digits(&data.train, 5)?.take(own.few), digits(&data.test, 5)?);

    println!("\n0 to 4, from all images:");
    let mut first = trainer(flags, model(100), &all).build(&device)?;
    let learned = first.fit(&all, flags.fit(3))?;
    let base = judge(&mut first, &others)?;
    let weights = weights_file(flags)?;
    first.save_weights(&weights)?;

    println!("\n5 to 9, from {} images, with the convolutions that were learned from 0 to 4:", few.len());
    let mut tuned = trainer(flags, model(50), &few).freeze(BASE).build(&device)?;
    let loaded = tuned.load_weights_with(&weights, &LoadOptions::new().layers(BASE));
    let removed = std::fs::remove_file(&weights);
    removed.map_err(|e| format!("cannot remove `{}`: {e}", weights.display()))?;
    let loaded = loaded?;
    println!("{loaded}: {}", loaded.loaded.join(", "));
    let history = tuned.fit(&few, printed(own.tune_epochs, 1).validation(&test))?;
    let transferred = judge(&mut tuned, &test)?;

    println!("\nThe same from scratch:");
    let mut scratch = trainer(flags, model(50), &few).build(&device)?;
    let alone = scratch.fit(&few, printed(own.tune_epochs, 1).validation(&test))?;
    let from_scratch = judge(&mut scratch, &test)?;
    #[cfg(feature = "plots")]
    if own.tune_epochs > 0 {
        let runs = [("with the convolutions of 0 to 4", &history), ("from scratch", &alone)];
        flags.picture("transfer_learning_scratch", |path| plot::compare(path, "val_accuracy", &runs));
    }

    let operators = |trainer: &Trainer| trainer.session().tape().ops().len();
    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("base_epochs", learned.epochs.len());
    results.set("base_samples", all.len());
    results.set("base_accuracy", round(accuracy(&base), 6));
    results.set("loaded", loaded.loaded.len());
    results.set("epochs", history.epochs.len());
    results.set("batch", tuned.batch_size());
    results.set("train_samples", few.len());
    results.set("test_samples", test.len());
    results.set("test_accuracy", round(accuracy(&transferred), 6));
    results.set("test_loss", round(transferred.loss, 6));
    results.set("scratch_accuracy", round(accuracy(&from_scratch), 6));
    results.set("scratch_loss", round(from_scratch.loss, 6));
    results.set("operators", operators(&tuned));
    results.set("scratch_operators", operators(&scratch));
    results.history(history);
    Ok(results)
}

fn trainer(flags: &Flags, model: Sequential, train: &Dataset) -> TrainerBuilder {
    Trainer::new(model, train.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(flags.batch_size(32, train.len()))
        .seed(flags.seed)
}

/// Reads the test images and says how well.
fn judge(trainer: &mut Trainer, test: &Dataset) -> retape::Result<Evaluation> {
    let score = trainer.evaluate(test)?;
    println!("{:.2} % of {} test images are read correctly", 100.0 * accuracy(&score), test.len());
    Ok(score)
}

fn accuracy(score: &Evaluation) -> f64 {
    score.get("accuracy").unwrap_or(f64::NAN)
}
