//! MNIST with two convolutions: 38,390 parameters, RMSprop, batches of 128.
//!
//! It teaches a model of layers, whose shapes are inferred and shown by its summary, and a tenth of
//! the training images held back: training is watched on those, and judged on the test images once. With
//! `--mixed-precision`, what passes between layers is in half precision.

mod common;

use std::process::ExitCode;

use common::classifier::{self, MNIST};
use common::{Example, Flags, Outcome};
#[cfg(feature = "plots")]
use retape::plot;
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "mnist_cnn",
    about: "Trains a small convolutional network on MNIST with RMSprop, and judges it on all test images.",
    unused: &[],
};

/// The flags of this example alone.
#[derive(clap::Args)]
struct Own {
    /// Activations and their gradients in f16, weights in f32
    #[arg(long)]
    mixed_precision: bool,
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let data = flags.data_set("mnist", MNIST, |folder| data::mnist(folder))?;
    let device = flags.open_device()?;
    let data = flags.limited(data);

    let model = Sequential::new()
        .add(Conv2d::new(10, [5, 5]).activation(Activation::Relu))
        .add(MaxPool2d::new([2, 2]))
        .add(Conv2d::new(20, [5, 5]).activation(Activation::Relu))
        .add(MaxPool2d::new([2, 2]))
        .add(Flatten)
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10));
    println!("{}", model.summary(data.input_shape())?);

    let mut trainer = Trainer::new(model, data.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(RmsProp::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(flags.batch_size(128, data.train.len()))
        .mixed_precision(own.mixed_precision)
        .seed(flags.seed)
        .build(&device)?; // records the tape, plans memory, compiles kernels: once

    let history = trainer.fit(&data.train, flags.fit(5).validation_split(0.1))?;
    #[cfg(feature = "plots")]
    flags.picture("mnist_cnn_filters", |path| {
        let weights = trainer.session().parameter("conv2d.weight")?;
        plot::filters(path, &weights, [10, 1, 5, 5], plot::FilterOptions::default())
    });
    Ok(classifier::results(EXAMPLE.name, &mut trainer, &data, history)?)
}
