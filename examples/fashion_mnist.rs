//! Fashion-MNIST: clothes instead of digits, in MNIST's format, with a choice of networks.
//!
//! It teaches dropout: the network is recorded with it for training and without it for judging,
//! and both sessions share one set of parameters.

mod common;

use std::process::ExitCode;

use common::classifier::Training;
use common::{Example, Flags, Outcome};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "fashion_mnist",
    about: "Trains a network on Fashion-MNIST, fully connected or convolutional with dropout.",
    unused: &[],
};

const CONTENTS: &str = "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and \
                        t10k-labels-idx1-ubyte.gz of Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist)";

/// The flags of this example alone.
#[derive(clap::Args)]
struct Own {
    /// The network: `mlp`, dense layers of 300 and 100 units; `cnn`, five convolutions with 64 to
    /// 256 filters, for a GPU; `small-cnn`, the same with a quarter of the filters
    #[arg(long, value_enum, default_value = "mlp")]
    model: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    Mlp,
    Cnn,
    SmallCnn,
}

fn mlp() -> Sequential {
    Sequential::new()
        .add(Flatten)
        .add(Dense::new(300).activation(Activation::Relu))
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10))
}

/// Convolutions that keep the size, pools that halve it, twice as many filters after each pool.
fn cnn(filters: usize) -> Sequential {
    let conv = |filters, kernel: usize| {
        Conv2d::new(filters, kernel).padding(Padding::Same).activation(Activation::Relu)
    };
    Sequential::new()
        .add(conv(filters, 7))
        .add(MaxPool2d::new(2))
        .add(conv(2 * filters, 3))
        .add(conv(2 * filters, 3))
        .add(MaxPool2d::new(2))
        .add(conv(4 * filters, 3))
        .add(conv(4 * filters, 3))
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dropout::new(0.5))
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dropout::new(0.5))
        .add(Dense::new(10))
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let folder = flags.data_folder("fashion-mnist", CONTENTS)?;
    let device = flags.open_device()?;
    let data = flags.limited(data::fashion_mnist(folder)?);
    let (sgd, adam) = (Sgd::new(0.01), Adam::new(1e-3));
    let (model, optimizer, epochs): (_, &dyn Optimizer, _) = match own.model {
        Choice::Mlp => (mlp(), &sgd, 30),
        Choice::Cnn => (cnn(64), &adam, 10),
        Choice::SmallCnn => (cnn(16), &adam, 10),
    };
    println!("{}", model.summary(data.input_shape())?);

    let training = Training::new(optimizer, flags, epochs, 32);
    let record = |g: &mut Graph, x, mode| model.record(g, x, mode);
    let mut results = training.run(EXAMPLE.name, &device, flags.seed, &data, record)?;
    results.set("model", format!("{:?}", own.model));
    Ok(results)
}
