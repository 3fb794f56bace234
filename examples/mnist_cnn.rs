//! MNIST with two convolutions: 38,390 parameters, RMSprop, batches of 128.
//!
//! It teaches a model of layers: shapes are inferred, the summary shows them, and the same model
//! is recorded once for training and once for judging.

mod common;

use std::process::ExitCode;

use common::classifier::{MNIST, Training};
use common::{Example, Flags, Outcome};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "mnist_cnn",
    about: "Trains a small convolutional network on MNIST with RMSprop, and judges it on all test images.",
    unused: &[],
};

fn model() -> Sequential {
    Sequential::new()
        .add(Conv2d::new(10, 5).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Conv2d::new(20, 5).activation(Activation::Relu))
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10))
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let folder = flags.data_folder("mnist", MNIST)?;
    let device = flags.open_device()?;
    let data = flags.limited(data::mnist(folder)?);
    let model = model();
    println!("{}", model.summary(data.input_shape())?);

    let optimizer = RmsProp::new(1e-3);
    let training = Training::new(&optimizer, flags, 5, 128);
    Ok(training.run(EXAMPLE.name, &device, flags.seed, &data, |g, x, mode| model.record(g, x, mode))?)
}
