//! CIFAR-10 with three convolutions: 122,570 parameters, Adam, batches of 32.
//!
//! It teaches colour images and CIFAR-10's binary format. As many of the five training files as
//! are there are read; one of them, 10,000 images, is enough to learn something.

mod common;

use std::process::ExitCode;

use common::classifier::{self, CIFAR10};
use common::{Example, Flags, Outcome};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "cifar10_cnn",
    about: "Trains a convolutional network on the colour photographs of CIFAR-10 with Adam.",
    unused: &[],
};

fn model() -> Sequential {
    Sequential::new()
        .add(Conv2d::new(32, 3).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(64, 3).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(64, 3).activation(Activation::Relu))
        .add(Flatten)
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(10))
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let data = flags.data_set("cifar-10-batches-bin", CIFAR10, |folder| data::cifar10(folder))?;
    let device = flags.open_device()?;
    let data = flags.limited(data);
    let model = model();
    println!("{}", model.summary(data.input_shape())?);

    let mut trainer = Trainer::new(model, data.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(flags.batch_size(32, data.train.len()))
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&data.train, flags.fit(10).validation(&data.test))?;
    Ok(classifier::results(EXAMPLE.name, &mut trainer, &data, history)?)
}
