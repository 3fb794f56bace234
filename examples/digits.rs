//! Learns to read 1,797 handwritten digits of 8 x 8 pixels, in a few seconds on any device.
//!
//! It teaches a whole training: a training tape and an evaluation tape of another batch size that
//! share their parameters, a learning rate that changes without recording again, a running loss kept
//! on the tape so that nothing is read back within an epoch, an order of samples that follows from
//! the seed, and judging on samples never trained on.
//!
//! The digits are those of Alpaydin and Kaynak (UCI, 1998), compiled into the `smartcore` crate.

mod common;

use std::process::ExitCode;

use common::{Example, Flags, Outcome, Progress, Results, evaluate, parameters_hash, round};
use retape::prelude::*;
use retape::random::Stream;

const EXAMPLE: Example = Example {
    name: "digits",
    about: "Trains a network to read handwritten digits, and judges it on a fifth of them that it never saw.",
    unused: &["data"],
};

const PIXELS: usize = 64;
const CLASSES: usize = 10;
const LEARNING_RATE: f32 = 5e-3;

/// 64 pixels, 64 and 32 ReLU units, 10 logits. Both tapes record it: parameters are shared by name.
fn network(g: &mut Graph, x: Value) -> retape::Result<Value> {
    let layers = [(PIXELS, 64, "hidden1"), (64, 32, "hidden2"), (32, CLASSES, "output")];
    let mut h = x;
    for (inputs, outputs, name) in layers {
        h = g.layer(name, |g| {
            let w = g.parameter(&format!("{name}.w"), [inputs, outputs], Init::HeNormal);
            let b = g.parameter(&format!("{name}.b"), [outputs], Init::Zeros);
            let z = g.add(g.matmul(h, w)?, b)?;
            if name == "output" { Ok(z) } else { g.relu(z) }
        })?;
    }
    Ok(h)
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let device = flags.open_device()?;
    let epochs = flags.epochs.unwrap_or(30);
    let data::TrainTest { train, test } = load(flags)?;
    let batch = flags.batch.unwrap_or(32).min(train.len());
    println!("{} digits to learn from, {} to be judged by", train.len(), test.len());

    // The training step: forward, loss, backward and update on one tape.
    let mut g = Graph::new();
    let x = g.input("x", [batch, PIXELS]);
    let labels = g.labels("labels", [batch]);
    let logits = network(&mut g, x)?;
    let loss = g.softmax_cross_entropy(logits, labels)?;
    let loss_sum = g.state("loss_sum", [], Init::Zeros);
    g.assign(loss_sum, g.add(loss_sum, loss)?)?;
    let tape = g.training_step(loss, &Adam::new(LEARNING_RATE))?;
    let mut training = tape.session_with(&device, SessionOptions::new().seed(flags.seed))?;

    // The evaluation: the same network, another batch size, the same parameters.
    let mut g = Graph::new();
    let eval_x = g.input("x", [120, PIXELS]);
    let log_p = network(&mut g, eval_x)?;
    let log_p = g.log_softmax(log_p, 1)?;
    let options = SessionOptions::new().share_parameters(&training);
    let mut evaluation = g.forward([log_p])?.session_with(&device, options)?;

    let steps = train.len() / batch;
    let mut progress = Progress::new(epochs, steps);
    let (mut inputs, mut classes) = (Vec::new(), Vec::new());
    for epoch in 0..epochs {
        let order = Stream { seed: flags.seed, step: epoch as u32, stream: 1 }.permutation(train.len());
        training.write(loss_sum, &[0.0])?;
        // The learning rate falls to zero, so that training ends at rest and not mid-swing.
        let left = 1.0 - epoch as f32 / epochs as f32;
        training.set_scalar("learning_rate", LEARNING_RATE * left)?;
        // A last batch that is not full is left out; the next epoch's order is another one.
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
    print_confusion(test.labels(), &score.predictions);
    print_digits(&test, &score.predictions);
    println!("{:.1} % of the digits it never saw are read correctly", 100.0 * score.accuracy);

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

/// The digits in an order that the seed decides, the last fifth set aside for testing.
fn load(flags: &Flags) -> retape::Result<data::TrainTest> {
    let digits = smartcore::dataset::digits::load_dataset();
    let inputs = digits.data.iter().map(|pixel| pixel / 16.0).collect();
    let labels = digits.target.iter().map(|&label| label as u32).collect();
    let all = data::Dataset::new([PIXELS], inputs, labels, CLASSES as u32)?;
    let order = Stream { seed: flags.seed, step: 0, stream: 0 }.permutation(all.len());
    let (train, test) = all.select(&order).split_last(0.2)?;
    let limit = flags.limit.unwrap_or(usize::MAX);
    Ok(data::TrainTest { train: train.take(limit), test: test.take(limit) })
}

/// Rows are the classes, columns what they were taken for.
fn print_confusion(labels: &[u32], predictions: &[u32]) {
    let mut counts = [[0; CLASSES]; CLASSES];
    for (&label, &prediction) in labels.iter().zip(predictions) {
        counts[label as usize][prediction as usize] += 1;
    }
    println!("\n        read as");
    println!("digit   {}", (0..CLASSES).map(|class| format!("{class:4}")).collect::<String>());
    for (class, row) in counts.iter().enumerate() {
        let cell = |&count: &i32| if count == 0 { "   .".to_owned() } else { format!("{count:4}") };
        println!("{class:5}   {}", row.iter().map(cell).collect::<String>());
    }
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
