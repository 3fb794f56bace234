//! The sentiment of film reviews: an embedding, one recurrent layer and a sigmoid, on the Large Movie
//! Review Dataset (Maas et al., ACL 2011).
//!
//! It teaches many-to-one: texts become word numbers of one length, the embedding's padding tells the
//! recurrent layer how long each review is, and only the state after a review's last word is judged.
//! A choice of cells: a simple recurrence, an LSTM or a GRU.

mod common;

use std::process::ExitCode;

use common::cell::Cell;
use common::{Example, Flags, Outcome, Results, parameters_hash, positive, round, sigmoid};
use retape::data::{IMDB_CLASSES, Samples, Side, Texts, TrainTestTexts, Vocabulary, pad_sequences};
use retape::prelude::*;
use retape::random::Stream;

const EXAMPLE: Example = Example {
    name: "imdb",
    about: "Learns from film reviews whether they praise or damn, with a recurrent network.",
    unused: &[],
};

const CONTENTS: &str = "the folder aclImdb, or its archive aclImdb_v1.tar.gz, of the Large Movie Review Dataset \
                        (https://ai.stanford.edu/~amaas/data/sentiment/)";

/// Features of a word, and units of the recurrent layer.
const FEATURES: usize = 32;
/// Test reviews that are shown at the end, and how many of their characters.
const SHOWN: usize = 6;
const SHOWN_CHARACTERS: usize = 64;

/// The flags of this example alone.
#[derive(clap::Args)]
struct Own {
    /// The recurrent layer
    #[arg(long, value_enum, default_value = "lstm")]
    cell: Cell,
    /// Words with a number of their own: the most frequent ones, padding and unknown included
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    words: usize,
    /// Words of a review that are read; of longer ones, the last
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = positive)]
    max_len: usize,
}

/// Word numbers `[batch, time]` to a logit `[batch, 1]`.
fn model(cell: Cell, words: usize) -> Sequential {
    Sequential::new()
        .add(Embedding::new(words, FEATURES).padding_index(Vocabulary::PADDING))
        .add(cell.layer(FEATURES))
        .add(Dense::new(1))
}

/// Reviews as rows of word numbers, with 1 for praise. Reviews tend to sum up at the end, so that is
/// what stays of a long one. The padding comes after the words, where the recurrent layer never gets to.
fn reviews(texts: &Texts, vocabulary: &Vocabulary, max_len: usize) -> Samples<'static> {
    let numbers: Vec<Vec<u32>> = texts.texts().iter().map(|text| vocabulary.encode(text)).collect();
    let targets: Vec<f32> = texts.labels().iter().map(|&label| label as f32).collect();
    let words = pad_sequences(&numbers, max_len, Side::Post, Side::Pre);
    Samples::new().input([max_len], words).target([1], targets)
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let texts = flags.data_set("imdb", CONTENTS, |folder| data::imdb(folder))?;
    let device = flags.open_device()?;
    let texts = limited(texts, flags);
    let vocabulary = Vocabulary::build(texts.train.texts(), own.words)?;
    let train = reviews(&texts.train, &vocabulary, own.max_len);
    let test = reviews(&texts.test, &vocabulary, own.max_len);
    let (learn, judge, words) = (train.len(), test.len(), vocabulary.len());
    println!("{learn} reviews to learn from, {judge} to be judged by, {words} words");
    let model = model(own.cell, words);
    let summary = model.summary([own.max_len])?;
    println!("{summary}");

    let mut trainer = Trainer::new(model, [own.max_len])
        .loss(Loss::BinaryCrossEntropy)
        .optimizer(RmsProp::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(flags.batch_size(64, learn))
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&train, flags.fit(8).validation(&test))?;

    let score = trainer.evaluate(&test)?;
    let accuracy = score.get("accuracy").unwrap_or(f64::NAN);
    let logits = trainer.predict(&test)?.data;
    show(&texts.test, &logits.into_iter().map(sigmoid).collect::<Vec<_>>());
    println!("{:.2} % of {judge} test reviews are judged correctly", 100.0 * accuracy);

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("cell", own.cell.flag());
    results.set("words", words);
    results.set("max_len", own.max_len);
    results.set("epochs", history.epochs.len());
    results.set("batch", trainer.batch_size());
    results.set("parameters", summary.parameters);
    results.set("train_samples", learn);
    results.set("test_samples", judge);
    for (name, figure) in [("train_accuracy", "accuracy"), ("train_loss", "loss")] {
        if let Some(value) = history.last(figure) {
            results.set(name, round(value, 6));
        }
    }
    results.set("test_accuracy", round(accuracy, 6));
    results.set("test_loss", round(score.loss, 6));
    results.set("parameters_hash", parameters_hash(trainer.session())?);
    results.history(history);
    Ok(results)
}

/// The reviews in an order that the seed decides, and of those the part that `--limit` leaves: the
/// files have one class after the other.
fn limited(TrainTestTexts { train, test }: TrainTestTexts, flags: &Flags) -> TrainTestTexts {
    let part = |texts: Texts, stream| {
        let mut order = Stream { seed: flags.seed, step: 0, stream }.permutation(texts.len());
        order.truncate(flags.limit.unwrap_or(usize::MAX));
        texts.select(&order)
    };
    TrainTestTexts { train: part(train, 2), test: part(test, 3) }
}

/// Prints the end of a few reviews with what the network makes of them.
fn show(texts: &Texts, praise: &[f32]) {
    println!("\npredicted  probability  label     review");
    for ((text, &label), &p) in texts.texts().iter().zip(texts.labels()).zip(praise).take(SHOWN) {
        let (class, probability) = if p > 0.5 { (1, p) } else { (0, 1.0 - p) };
        let label = IMDB_CLASSES[label as usize];
        println!("{:9}  {probability:11.3}  {label:8}  {}", IMDB_CLASSES[class], shortened(text));
    }
    println!();
}

/// The end of a text, which is what the network reads of a long one, on one line.
fn shortened(text: &str) -> String {
    let line = text.replace("<br />", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let excess = line.chars().count().saturating_sub(SHOWN_CHARACTERS);
    if excess == 0 { line } else { format!("…{}", line.chars().skip(excess).collect::<String>()) }
}
