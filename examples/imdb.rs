//! The sentiment of film reviews: an embedding, one recurrent layer and a sigmoid, on the Large Movie
//! Review Dataset (Maas et al., ACL 2011).
//!
//! It teaches many-to-one: texts become word numbers of one length, the embedding's padding tells the
//! recurrent layer how long each review is, and only the state after a review's last word is judged.
//! A choice of cells: a simple recurrence, an LSTM or a GRU.

mod common;

use std::process::ExitCode;

use common::cell::Cell;
use common::{Example, Flags, Outcome, Progress, Results, parameters_hash, positive, round};
use retape::data::{IMDB_CLASSES, Side, Texts, TrainTestTexts, Vocabulary, pad_sequences};
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

/// Reviews as rows of word numbers, with 1 for praise.
struct Reviews {
    words: Vec<u32>,
    max_len: usize,
    targets: Vec<f32>,
}

impl Reviews {
    /// Reviews tend to sum up at the end, so that is what stays of a long one. The padding comes after
    /// the words, where the recurrent layer never gets to.
    fn new(texts: &Texts, vocabulary: &Vocabulary, max_len: usize) -> Self {
        let numbers: Vec<Vec<u32>> = texts.texts().iter().map(|text| vocabulary.encode(text)).collect();
        Reviews {
            words: pad_sequences(&numbers, max_len, Side::Post, Side::Pre),
            max_len,
            targets: texts.labels().iter().map(|&label| label as f32).collect(),
        }
    }

    fn len(&self) -> usize {
        self.targets.len()
    }
}

/// The network recorded twice, for training and for judging, with one set of parameters.
struct Classifier {
    training: Step,
    evaluation: Step,
    loss_sum: Value,
    right_sum: Value,
    /// The outputs of judging: a probability and a loss for each review.
    p: Value,
    losses: Value,
    batch: usize,
}

/// A session and what is written for each batch.
struct Step {
    session: Session,
    words: Value,
    targets: Value,
}

impl Step {
    /// Replays the step on the reviews at `indices`.
    fn replay(&mut self, reviews: &Reviews, indices: &[usize]) -> retape::Result<()> {
        let row = |&index: &usize| &reviews.words[index * reviews.max_len..][..reviews.max_len];
        let words: Vec<u32> = indices.iter().flat_map(row).copied().collect();
        let targets: Vec<f32> = indices.iter().map(|&index| reviews.targets[index]).collect();
        self.session.write(self.words, &words)?;
        self.session.write(self.targets, &targets)?;
        self.session.replay()
    }
}

/// Means over reviews.
#[derive(Clone, Copy)]
struct Figures {
    loss: f64,
    accuracy: f64,
}

impl Classifier {
    fn new(
        device: &Device,
        seed: u32,
        model: &Sequential,
        batch: usize,
        max_len: usize,
    ) -> retape::Result<Self> {
        let optimizer = RmsProp::new(1e-3);
        let mut g = Graph::new();
        let words = g.indices("words", [batch, max_len]);
        let targets = g.targets("targets", [batch, 1]);
        let logits = model.record(&mut g, words, Mode::Training)?;
        let loss = g.sigmoid_binary_cross_entropy(logits, targets)?;
        // Sums over an epoch stay on the device: nothing is read back before its end.
        let praise = g.greater(logits, g.scalar_constant(0.0))?;
        let right = g.sum(g.equal(praise, targets)?, &[], false)?;
        let loss_sum = g.state("loss_sum", [], Init::Zeros);
        let right_sum = g.state("right_sum", [], Init::Zeros);
        g.assign(loss_sum, g.add(loss_sum, loss)?)?;
        g.assign(right_sum, g.add(right_sum, right)?)?;
        let tape = g.training_step(loss, &optimizer)?;
        let session = tape.session_with(device, SessionOptions::new().seed(seed))?;
        let training = Step { session, words, targets };

        let mut g = Graph::new();
        let words = g.indices("words", [batch, max_len]);
        let targets = g.targets("targets", [batch, 1]);
        let logits = model.record(&mut g, words, Mode::Evaluation)?;
        let p = g.sigmoid(logits)?;
        let losses = g.sigmoid_binary_cross_entropy_elements(logits, targets)?;
        let options = SessionOptions::new().share_parameters(&training.session);
        let session = g.forward([p, losses])?.session_with(device, options)?;
        let evaluation = Step { session, words, targets };
        Ok(Classifier { training, evaluation, loss_sum, right_sum, p, losses, batch })
    }

    /// One pass over the reviews, in an order that follows from the seed and the epoch. A last batch
    /// that is not full is left out; the next epoch's order is another one.
    fn epoch(
        &mut self,
        reviews: &Reviews,
        seed: u32,
        epoch: u32,
        progress: &Progress,
    ) -> retape::Result<Figures> {
        let order = Stream { seed, step: epoch, stream: 1 }.permutation(reviews.len());
        self.training.session.write(self.loss_sum, &[0.0])?;
        self.training.session.write(self.right_sum, &[0.0])?;
        for indices in order.chunks_exact(self.batch) {
            self.training.replay(reviews, indices)?;
            progress.steps(1);
        }
        let sum = |value| self.training.session.read_scalar(value).map(f64::from);
        let steps = (reviews.len() / self.batch) as f64;
        Ok(Figures {
            loss: sum(self.loss_sum)? / steps,
            accuracy: sum(self.right_sum)? / (steps * self.batch as f64),
        })
    }

    /// Judges every review, and tells how likely each is praise. The last batch is filled up with
    /// copies of the last review, which do not count.
    fn judge(&mut self, reviews: &Reviews) -> retape::Result<(Figures, Vec<f32>)> {
        let (mut loss, mut praise) = (0.0, Vec::with_capacity(reviews.len()));
        for start in (0..reviews.len()).step_by(self.batch) {
            let indices: Vec<usize> = (start..start + self.batch).map(|i| i.min(reviews.len() - 1)).collect();
            self.evaluation.replay(reviews, &indices)?;
            let count = self.batch.min(reviews.len() - start);
            praise.extend_from_slice(&self.evaluation.session.read(self.p)?[..count]);
            let losses = self.evaluation.session.read(self.losses)?;
            loss += losses[..count].iter().copied().map(f64::from).sum::<f64>();
        }
        let right = praise.iter().zip(&reviews.targets).filter(|&(&p, &t)| (p > 0.5) == (t > 0.5)).count();
        let count = reviews.len() as f64;
        Ok((Figures { loss: loss / count, accuracy: right as f64 / count }, praise))
    }
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let folder = flags.data_folder("imdb", CONTENTS)?;
    let device = flags.open_device()?;
    let texts = limited(data::imdb(folder)?, flags);
    let vocabulary = Vocabulary::build(texts.train.texts(), own.words)?;
    let train = Reviews::new(&texts.train, &vocabulary, own.max_len);
    let test = Reviews::new(&texts.test, &vocabulary, own.max_len);
    let (learn, judge, words) = (train.len(), test.len(), vocabulary.len());
    println!("{learn} reviews to learn from, {judge} to be judged by, {words} words");
    let model = model(own.cell, words);
    let summary = model.summary([own.max_len])?;
    println!("{summary}");

    let epochs = flags.epochs.unwrap_or(8);
    let batch = flags.batch.unwrap_or(64).min(train.len());
    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("cell", own.cell.flag());
    results.set("words", words);
    results.set("max_len", own.max_len);
    results.set("epochs", epochs);
    results.set("batch", batch);
    results.set("parameters", summary.parameters);
    results.set("train_samples", learn);
    results.set("test_samples", judge);

    let mut classifier = Classifier::new(&device, flags.seed, &model, batch, own.max_len)?;
    let mut progress = Progress::new(epochs, train.len() / batch);
    let mut best = 0.0f64;
    for epoch in 0..epochs {
        let Figures { loss, accuracy } = classifier.epoch(&train, flags.seed, epoch as u32, &progress)?;
        let (score, _) = classifier.judge(&test)?;
        best = best.max(score.accuracy);
        let judged = [("test_loss", score.loss), ("test_accuracy", score.accuracy)];
        progress.epoch(epoch + 1, &[&[("loss", loss), ("accuracy", accuracy)], &judged[..]].concat());
        results.set("train_accuracy", round(accuracy, 6));
        results.set("train_loss", round(loss, 6));
    }
    results.history(progress.finish());

    let (score, praise) = classifier.judge(&test)?;
    show(&texts.test, &praise);
    println!("{:.2} % of {judge} test reviews are judged correctly", 100.0 * score.accuracy);
    results.set("test_accuracy", round(score.accuracy, 6));
    results.set("best_test_accuracy", round(best.max(score.accuracy), 6));
    results.set("test_loss", round(score.loss, 6));
    results.set("parameters_hash", parameters_hash(&classifier.training.session)?);
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
