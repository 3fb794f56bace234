//! MNIST with one hidden layer: 784 pixels, 512 ReLU units, 10 classes, RMSprop, batches of 128.
//!
//! It teaches reading a data set from files, and judging on every test image although the batch
//! size does not divide their number. Five epochs reach what Keras reaches with the same settings.

mod common;

use std::process::ExitCode;

use common::classifier::{MNIST, Training};
use common::{Example, Flags, Outcome};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "mnist_mlp",
    about: "Trains a 784-512-10 network on MNIST with RMSprop, and judges it on all test images.",
    unused: &[],
};

/// The layers by hand: parameters, products, sums.
fn network(g: &mut Graph, x: Value, batch: usize, pixels: usize) -> retape::Result<Value> {
    let w1 = g.parameter("hidden.w", [pixels, 512], Init::GlorotUniform);
    let b1 = g.parameter("hidden.b", [512], Init::Zeros);
    let w2 = g.parameter("output.w", [512, 10], Init::GlorotUniform);
    let b2 = g.parameter("output.b", [10], Init::Zeros);
    let x = g.reshape(x, [batch, pixels])?;
    let hidden = g.relu(g.add(g.matmul(x, w1)?, b1)?)?;
    g.add(g.matmul(hidden, w2)?, b2)
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let folder = flags.data_folder("mnist", MNIST)?;
    let device = flags.open_device()?;
    let data = flags.limited(data::mnist(folder)?);
    let pixels = data.input_shape().numel();

    let optimizer = RmsProp::new(1e-3);
    let training = Training::new(&optimizer, flags, 5, 128);
    let record = |g: &mut Graph, x: Value, _| {
        let batch = g.shape(x)?.dims()[0];
        network(g, x, batch, pixels)
    };
    Ok(training.run(EXAMPLE.name, &device, flags.seed, &data, record)?)
}
