//! The same network on few images, four times: as it is, with a penalty on large weights, with dropout,
//! and stopped early.
//!
//! It teaches overfitting, how it shows in the loss of images that were held back, and what is done
//! against it.

mod common;

use std::process::ExitCode;

use common::classifier::{mnist_or_digits, parameters};
use common::{Example, Flags, Outcome, Results, round};
use retape::data::{Dataset, TrainTest};
#[cfg(feature = "plots")]
use retape::plot::{self, Panel};
use retape::prelude::*;
use retape::train::Evaluation;
use retape::train::callbacks::EarlyStopping;
use serde_json::json;

const EXAMPLE: Example = Example {
    name: "regularisation",
    about: "Trains a network on few images: plain, with an L2 penalty, with dropout, and stopped early.",
    unused: &[],
};

const EPOCHS: usize = 40;
const BATCH: usize = 32;
/// Images to learn from, or a sixth of all if that is less: of 60,000, hardly anything is overfitted.
const IMAGES: usize = 1000;
/// Epochs without a better loss after which training is stopped.
const PATIENCE: usize = 5;

/// What is done against overfitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Plain,
    L2,
    Dropout,
    EarlyStopping,
}

impl Remedy {
    const ALL: [Remedy; 4] = [Remedy::Plain, Remedy::L2, Remedy::Dropout, Remedy::EarlyStopping];

    fn name(self) -> &'static str {
        match self {
            Remedy::Plain => "plain",
            Remedy::L2 => "L2 penalty",
            Remedy::Dropout => "dropout",
            Remedy::EarlyStopping => "early stopping",
        }
    }

    /// The network with 256 hidden units.
    fn model(self) -> Sequential {
        let dense = |units| match self {
            Remedy::L2 => Dense::new(units).weight_penalty(Penalty::l2(1e-3)),
            _ => Dense::new(units),
        };
        let hidden = Sequential::new().add(Flatten).add(dense(256).activation(Activation::Relu));
        let hidden = if self == Remedy::Dropout { hidden.add(Dropout::new(0.5)) } else { hidden };
        hidden.add(dense(10))
    }
}

/// One training and what came of it.
struct Training {
    remedy: Remedy,
    history: History,
    train: Evaluation,
    held_back: Evaluation,
    test: Evaluation,
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let TrainTest { train, test } = mnist_or_digits(flags)?;
    let device = flags.open_device()?;
    // Half as many images again are held back to watch the training by.
    let images = flags.limit.unwrap_or(IMAGES.min(train.len() / 6)).min(train.len() / 3 * 2).max(1);
    let (train, held_back) = train.take((images + images.div_ceil(2)).max(2)).split_last(1.0 / 3.0)?;
    let test = test.take(flags.limit.unwrap_or(2 * images));
    println!(
        "{} images to learn from, {} held back, {} to be judged by",
        train.len(),
        held_back.len(),
        test.len()
    );

    // Digits of 8 x 8 pixels are so simple that it takes large steps to overfit them.
    let rate = if train.input_shape().numel() < 100 { 1e-2 } else { 1e-3 };

    let mut results = Results::new(EXAMPLE.name, &device);
    let mut trainings = Vec::new();
    for remedy in Remedy::ALL {
        println!("\n{}", remedy.name());
        let mut trainer = Trainer::new(remedy.model(), train.input_shape())
            .loss(Loss::SparseCategoricalCrossEntropy)
            .optimizer(Adam::new(rate))
            .metrics([Metric::Accuracy])
            .batch_size(flags.batch_size(BATCH, train.len()))
            .seed(flags.seed)
            .build(&device)?;
        let history = fit(flags, remedy, &mut trainer, &train, &held_back)?;
        results.set("batch", trainer.batch_size());
        results.set("parameters", parameters(trainer.session())?);
        let [train, held_back, test] = [&train, &held_back, &test].map(|part| trainer.evaluate(part));
        trainings.push(Training { remedy, history, train: train?, held_back: held_back?, test: test? });
    }
    print(&trainings);
    let best = best(&trainings);
    println!("least loss on the images held back: {}\n", best.remedy.name());
    #[cfg(feature = "plots")]
    if trainings.iter().any(|training| !training.history.epochs.is_empty()) {
        picture(flags, &trainings);
    }
    results.set("train_samples", train.len());
    results.set("validation_samples", held_back.len());
    results.set("test_samples", test.len());
    // Of the best; the runs have all of them.
    results.set("best", best.remedy.name());
    results.set("epochs", best.history.epochs.len());
    results.set("test_accuracy", accuracy(&best.test));
    results.set("test_loss", round(best.test.loss, 6));
    results.set("runs", trainings.iter().map(as_json).collect::<Vec<_>>());
    results.table(["run", "epoch", "loss", "val_loss"], trainings.iter().flat_map(rows));
    Ok(results)
}

fn fit(
    flags: &Flags,
    remedy: Remedy,
    trainer: &mut Trainer,
    train: &Dataset,
    held_back: &Dataset,
) -> retape::Result<History> {
    let fit = flags.fit_in_rows(EPOCHS, 10).validation(held_back);
    let fit = match remedy {
        Remedy::EarlyStopping => {
            fit.callback(EarlyStopping::new("val_loss").patience(PATIENCE).restore_best(true))
        }
        _ => fit,
    };
    let history = trainer.fit(train, fit)?;
    if let Some(reason) = &history.stopped {
        println!("stopped: {reason}");
    }
    Ok(history)
}

/// The training whose network has the least loss on the images that were held back: the test images are
/// not for choosing.
fn best(trainings: &[Training]) -> &Training {
    let least = trainings.iter().min_by(|a, b| a.held_back.loss.total_cmp(&b.held_back.loss));
    least.expect("there is one for each remedy")
}

/// Losses are those of the network as it is used: without dropout, and without the penalty.
fn print(trainings: &[Training]) {
    println!("\n{:16}  epochs  train loss  accuracy   test loss  accuracy", "");
    for Training { remedy, history, train, test, .. } in trainings {
        let accuracy = |score: &Evaluation| 100.0 * score.get("accuracy").unwrap_or(f64::NAN);
        println!(
            "{:16}  {:6}  {:10.4}  {:6.2} %  {:10.4}  {:6.2} %",
            remedy.name(),
            history.epochs.len(),
            train.loss,
            accuracy(train),
            test.loss,
            accuracy(test)
        );
    }
    println!();
}

fn accuracy(score: &Evaluation) -> Option<f64> {
    score.get("accuracy").map(|accuracy| round(accuracy, 6))
}

fn as_json(Training { remedy, history, train, test, .. }: &Training) -> serde_json::Value {
    json!({
        "name": remedy.name(),
        "epochs": history.epochs.len(),
        "train_loss": round(train.loss, 6),
        "train_accuracy": accuracy(train),
        "test_loss": round(test.loss, 6),
        "test_accuracy": accuracy(test),
    })
}

/// The losses of the images that were held back. Early stopping begins as the plain training does, which
/// is drawn wide and under it.
#[cfg(feature = "plots")]
fn picture(flags: &Flags, trainings: &[Training]) {
    let empty = Panel::new("validation loss").axes("epoch", "validation loss").whole_x();
    let panel = trainings.iter().fold(empty, |panel, Training { remedy, history, .. }| {
        let losses = (1..).map(f64::from).zip(history.get("val_loss"));
        match remedy {
            Remedy::Plain => panel.reference(remedy.name(), losses),
            _ => panel.line(remedy.name(), losses),
        }
    });
    flags.picture(EXAMPLE.name, |path| plot::panels(path, std::slice::from_ref(&panel)));
}

fn rows(Training { remedy, history, .. }: &Training) -> Vec<[String; 4]> {
    let losses = history.get("loss").into_iter().zip(history.get("val_loss")).enumerate();
    let row = |(index, (loss, val_loss)): (usize, (f64, f64))| {
        [remedy.name().to_owned(), (index + 1).to_string(), loss.to_string(), val_loss.to_string()]
    };
    losses.map(row).collect()
}
