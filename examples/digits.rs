//! Learns to read 1,797 handwritten digits of 8 x 8 pixels, in a few seconds on any device.
//!
//! It teaches a whole training: a model, its loss and its optimiser, a learning rate that falls by a
//! schedule, an order of samples that follows from the seed, and judging on samples never trained on.
//!
//! The digits are those of Alpaydin and Kaynak (UCI, 1998), in `examples/data`.

mod common;

use std::process::ExitCode;

use common::classifier::{self, bundled_digits};
use common::{Example, Flags, Outcome, falling};
#[cfg(feature = "plots")]
use retape::plot;
use retape::prelude::*;
use retape::train::ConfusionMatrix;

const EXAMPLE: Example = Example {
    name: "digits",
    about: "Trains a network to read handwritten digits, and judges it on a fifth of them that it never saw.",
    unused: &["data"],
};

const CLASSES: usize = 10;
const LEARNING_RATE: f32 = 5e-3;

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let device = flags.open_device()?;
    let data = flags.limited(bundled_digits(flags.seed)?);

    // 64 pixels, 64 and 32 ReLU units, 10 scores.
    let model = Sequential::new()
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(32).activation(Activation::Relu))
        .add(Dense::new(CLASSES));
    println!("{}", model.summary(data.input_shape())?);

    let (batch, epochs) = (flags.batch_size(32, data.train.len()), flags.epochs.unwrap_or(30));
    let mut trainer = Trainer::new(model, data.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(LEARNING_RATE))
        .schedule(falling(LEARNING_RATE, epochs, data.train.len(), batch))
        .metrics([Metric::Accuracy])
        .batch_size(batch)
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&data.train, flags.fit(epochs).validation(&data.test))?;

    let predictions = trainer.predict_classes(&data.test)?;
    let confusion = ConfusionMatrix::from_labels(data.test.labels(), &predictions, CLASSES)?;
    println!("\n{confusion}");
    print_digits(&data.test, &predictions);
    #[cfg(feature = "plots")]
    flags.picture("digits_confusion", |path| {
        let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        plot::confusion_matrix(path, confusion.counts(), &names)
    });
    Ok(classifier::results(EXAMPLE.name, &mut trainer, &data, history)?)
}

/// Draws digits side by side: those read wrongly first, then others.
fn print_digits(test: &data::Dataset, predictions: &[u32]) {
    let wrong = |&i: &usize| test.labels()[i] != predictions[i];
    let (mistakes, hits): (Vec<usize>, Vec<usize>) = (0..test.len()).partition(wrong);
    let shown: Vec<usize> = mistakes.into_iter().take(2).chain(hits).take(4).collect();
    println!();
    for row in 0..8 {
        let line = |&i: &usize| {
            let pixels = &test.input(i)[8 * row..][..8];
            let shade = |&p: &f32| [" ", ".", ":", "+", "#"][(p * 4.0).round() as usize].repeat(2);
            pixels.iter().map(shade).collect::<String>()
        };
        println!("  {}", shown.iter().map(line).collect::<Vec<_>>().join("   "));
    }
    let caption = |&i: &usize| {
        let (label, prediction) = (test.labels()[i], predictions[i]);
        let mark = if label == prediction { "" } else { " (wrong)" };
        format!("{:16}", format!("{label} read as {prediction}{mark}"))
    };
    println!("  {}\n", shown.iter().map(caption).collect::<Vec<_>>().join("   ").trim_end());
}
