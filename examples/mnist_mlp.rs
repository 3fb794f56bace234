//! MNIST with one hidden layer: 784 pixels, 512 ReLU units, 10 classes, RMSprop, batches of 128.
//!
//! It teaches reading a data set from files, and judging on every test image although the batch
//! size does not divide their number. Five epochs reach what Keras reaches with the same settings.

mod common;

use std::process::ExitCode;

use common::classifier::{self, MNIST};
use common::{Example, Flags, Outcome};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "mnist_mlp",
    about: "Trains a 784-512-10 network on MNIST with RMSprop, and judges it on all test images.",
    unused: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let data = flags.data_set("mnist", MNIST, |folder| data::mnist(folder))?;
    let device = flags.open_device()?;
    let data = flags.limited(data);

    let model =
        Sequential::new().add(Flatten).add(Dense::new(512).activation(Activation::Relu)).add(Dense::new(10));
    let mut trainer = Trainer::new(model, data.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(RmsProp::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(flags.batch_size(128, data.train.len()))
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&data.train, flags.fit(5).validation(&data.test))?;
    Ok(classifier::results(EXAMPLE.name, &mut trainer, &data, history)?)
}
