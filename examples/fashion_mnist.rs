//! Fashion-MNIST: clothes instead of digits, in MNIST's format, with a choice of networks.
//!
//! It teaches dropout, which is there while the network learns and gone when it is judged, and a
//! choice of model and optimiser at run time.

mod common;

use std::process::ExitCode;

use common::classifier;
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
    let data = flags.data_set("fashion-mnist", CONTENTS, |folder| data::fashion_mnist(folder))?;
    let device = flags.open_device()?;
    let data = flags.limited(data);
    let (model, optimizer, epochs): (_, Box<dyn Optimizer>, _) = match own.model {
        Choice::Mlp => (mlp(), Box::new(Sgd::new(0.01)), 30),
        Choice::Cnn => (cnn(64), Box::new(Adam::new(1e-3)), 10),
        Choice::SmallCnn => (cnn(16), Box::new(Adam::new(1e-3)), 10),
    };
    println!("{}", model.summary(data.input_shape())?);

    let mut trainer = Trainer::new(model, data.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(optimizer)
        .metrics([Metric::Accuracy])
        .batch_size(flags.batch_size(32, data.train.len()))
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&data.train, flags.fit(epochs).validation(&data.test))?;
    let mut results = classifier::results(EXAMPLE.name, &mut trainer, &data, history)?;
    results.set("model", format!("{:?}", own.model));
    Ok(results)
}
