//! MNIST with one hidden layer: 784 pixels, 512 ReLU units, 10 classes, RMSprop, batches of 128.
//!
//! It teaches reading a data set from files, and judging on every test image although the batch
//! size does not divide their number. Five epochs reach what Keras reaches with the same settings.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Progress, Results, evaluate, parameters_hash, round};
use retape::prelude::*;
use retape::random::Stream;

const EXAMPLE: Example = Example {
    name: "mnist_mlp",
    about: "Trains a 784-512-10 network on MNIST with RMSprop, and judges it on all test images.",
    unused: &[],
};

const CONTENTS: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                        t10k-labels-idx1-ubyte (plain or .gz)";

fn network(g: &mut Graph, x: Value, pixels: usize) -> retape::Result<Value> {
    let w1 = g.parameter("hidden.w", [pixels, 512], Init::GlorotUniform);
    let b1 = g.parameter("hidden.b", [512], Init::Zeros);
    let w2 = g.parameter("output.w", [512, 10], Init::GlorotUniform);
    let b2 = g.parameter("output.b", [10], Init::Zeros);
    let hidden = g.relu(g.add(g.matmul(x, w1)?, b1)?)?;
    g.add(g.matmul(hidden, w2)?, b2)
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let folder = flags.data_folder("mnist", CONTENTS)?;
    let device = flags.open_device()?;
    let epochs = flags.epochs.unwrap_or(5);

    let data::TrainTest { train, test } = data::mnist(folder)?;
    let limit = flags.limit.unwrap_or(usize::MAX);
    let (train, test) = (train.take(limit), test.take(limit));
    let pixels = train.input_shape().numel();
    let batch = flags.batch.unwrap_or(128).min(train.len());
    println!("{} images to learn from, {} to be judged by", train.len(), test.len());

    let mut g = Graph::new();
    let x = g.input("x", [batch, pixels]);
    let labels = g.labels("labels", [batch]);
    let logits = network(&mut g, x, pixels)?;
    let loss = g.softmax_cross_entropy(logits, labels)?;
    let loss_sum = g.state("loss_sum", [], Init::Zeros);
    g.assign(loss_sum, g.add(loss_sum, loss)?)?;
    let tape = g.training_step(loss, &RmsProp::new(1e-3))?;
    let mut training = tape.session_with(&device, SessionOptions::new().seed(flags.seed))?;

    let mut g = Graph::new();
    let eval_x = g.input("x", [batch, pixels]);
    let logits = network(&mut g, eval_x, pixels)?;
    let log_p = g.log_softmax(logits, 1)?;
    let options = SessionOptions::new().share_parameters(&training);
    let mut evaluation = g.forward([log_p])?.session_with(&device, options)?;

    let steps = train.len() / batch;
    let mut progress = Progress::new(epochs, steps);
    let (mut inputs, mut classes) = (Vec::new(), Vec::new());
    for epoch in 0..epochs {
        let order = Stream { seed: flags.seed, step: epoch as u32, stream: 1 }.permutation(train.len());
        training.write(loss_sum, &[0.0])?;
        for indices in order.chunks_exact(batch) {
            train.gather(indices, &mut inputs, &mut classes);
            training.write(x, &inputs)?;
            training.write(labels, &classes)?;
            training.replay()?;
            progress.steps(1);
        }
        let train_loss = f64::from(training.read_scalar(loss_sum)?) / steps as f64;
        let score = evaluate(&mut evaluation, eval_x, log_p, &test)?;
        let figures = [("loss", train_loss), ("test_loss", score.loss), ("test_accuracy", score.accuracy)];
        progress.epoch(epoch + 1, &figures);
    }
    let history = progress.finish();

    let score = evaluate(&mut evaluation, eval_x, log_p, &test)?;
    println!("{:.2} % of {} test images are read correctly", 100.0 * score.accuracy, test.len());

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", epochs);
    results.set("train_samples", train.len());
    results.set("test_samples", test.len());
    results.set("test_accuracy", round(score.accuracy, 6));
    results.set("test_loss", round(score.loss, 6));
    results.set("parameters_hash", parameters_hash(&training)?);
    results.history(history);
    Ok(results)
}
