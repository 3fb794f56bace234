//! A character model: an LSTM learns to foretell the next character of a text, and then writes.
//!
//! It teaches many-to-many, with a target at every step; truncated back-propagation through time, where
//! the state goes on from batch to batch on the device, until an epoch ends, and the gradient does not;
//! clipping by the global norm; and a session of one sequence and one step that writes with the parameters
//! of the training, from a state that starts at zeros.

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common::{Example, Flags, Outcome, Results, parameters_hash, positive, round};
use retape::data::{Characters, Samples, Windows, unigram_entropy, windows};
use retape::nn::{self, Recorded};
use retape::prelude::*;
use retape::random::Stream;

const EXAMPLE: Example = Example {
    name: "char_rnn",
    about: "Learns to write like a text, character by character, with a stateful LSTM.",
    unused: &["data"],
};

/// What is learnt from unless the user has a text.
const README: &str = include_str!("../README.md");

/// Features of a character, and units of the LSTM.
const FEATURES: usize = 32;
const UNITS: usize = 128;

/// The flags of this example alone.
#[derive(clap::Args)]
struct Own {
    /// The text to learn from, in UTF-8 [default: this crate's README]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Characters that a gradient goes back
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive)]
    length: usize,
    /// Characters to write when trained
    #[arg(long, value_name = "N", default_value_t = 400)]
    sample: usize,
    /// How freely to write: 0 takes the likeliest character each time, 1 draws from the model as it is
    #[arg(long, value_name = "T", default_value_t = 0.8, value_parser = temperature)]
    temperature: f64,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        Ok(_) => Err("it must be finite and not negative".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Character numbers `[batch, time]` to logits `[batch, time, characters]`.
fn model(characters: usize) -> Sequential {
    Sequential::new()
        .add(Embedding::new(characters, FEATURES))
        .add(Lstm::new(UNITS).return_sequences(true).stateful(true))
        .add(Dense::new(characters))
}

/// The text as samples in the order it is read: sample `i` of a batch goes on where sample `i` of the batch
/// before it ends.
fn samples(text: &Windows<'_>, length: usize) -> Samples<'static> {
    let (mut characters, mut targets) = (Vec::new(), Vec::new());
    let (mut batch, mut batch_targets) = (Vec::new(), Vec::new());
    for index in 0..text.len() {
        text.gather(index, &mut batch, &mut batch_targets);
        characters.extend_from_slice(&batch);
        targets.extend_from_slice(&batch_targets);
    }
    Samples::new().input([length], characters).target([length], targets)
}

/// The network that writes, with the parameters of a trainer: one sequence, one character at a time.
/// Among what was recorded are the states that go on from replay to replay: the LSTM's h and c.
struct Writer {
    session: Session,
    characters: Value,
    recorded: Recorded,
    log_p: Value,
}

impl Writer {
    fn new(trainer: &Trainer, model: &Sequential) -> retape::Result<Self> {
        let mut g = Graph::new();
        let characters = g.indices("characters", [1, 1]);
        let recorded = nn::record(model, &mut g, &[characters], Mode::Evaluation)?;
        let log_p = g.log_softmax(recorded.output()?, -1)?;
        let options = SessionOptions::new().share_parameters(trainer.session());
        let session = g.forward([log_p])?.session_with(trainer.device(), options)?;
        Ok(Writer { session, characters, recorded, log_p })
    }

    /// Writes `count` characters, the first of which is given, from a state of zeros.
    fn write(&mut self, first: u32, count: usize, temperature: f64, seed: u32) -> retape::Result<Vec<u32>> {
        let draws = Stream { seed, step: 0, stream: 3 };
        let Writer { session, characters, recorded, log_p } = self;
        recorded.states.iter().try_for_each(|&state| session.write(state, &[0.0; UNITS]))?;
        let mut written: Vec<u32> = [first].into_iter().take(count).collect();
        while written.len() < count {
            session.write(*characters, &written[written.len() - 1..])?;
            session.replay()?;
            let log_p = session.read(*log_p)?;
            written.push(draw(&log_p, temperature, draws.uniform(written.len() as u32)));
        }
        Ok(written)
    }
}

/// The character that a number between 0 and 1 falls on, where the share of each goes as
/// `p^(1 / temperature)`.
fn draw(log_p: &[f32], temperature: f64, mut at: f64) -> u32 {
    let likeliest = (0..log_p.len()).max_by(|&a, &b| log_p[a].total_cmp(&log_p[b])).unwrap_or(0);
    if temperature == 0.0 {
        return likeliest as u32;
    }
    let share = |&log_p_of: &f32| (f64::from(log_p_of - log_p[likeliest]) / temperature).exp();
    let shares: Vec<f64> = log_p.iter().map(share).collect();
    at *= shares.iter().sum::<f64>();
    for (character, share) in shares.iter().enumerate() {
        at -= share;
        if at < 0.0 {
            return character as u32;
        }
    }
    likeliest as u32
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let text = own.text.as_deref().map_or_else(|| Ok(README.to_owned()), read)?;
    let text: String = text.chars().take(flags.limit.unwrap_or(usize::MAX)).collect();
    let characters = Characters::build(&text);
    let numbers = characters.encode(&text)?;
    // A short text makes fewer rows.
    let rows = flags.batch.unwrap_or(8).min(numbers.len().saturating_sub(1) / own.length).max(1);
    let text = windows(&numbers, rows, own.length)?;
    let device = flags.open_device()?;
    println!("{} characters, {} different ones", numbers.len(), characters.len());
    let summary = model(characters.len()).summary([own.length])?;
    println!("{summary}");

    let unigram = unigram_entropy(&numbers);
    println!("cross-entropy of a character, in nats, which is the loss:");
    println!("  {unigram:.4}  from the characters' frequencies alone (unigram entropy)");
    let mut trainer = Trainer::new(model(characters.len()), [own.length])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Adam::new(8e-3).clip(Clip::GlobalNorm(1.0)))
        .batch_size(rows)
        .seed(flags.seed)
        .build(&device)?;
    // The batches keep their order, and each pass over the text begins without a past.
    let fit = flags.fit(20).shuffle(false).on_epoch_end(|run| run.trainer().reset_states());
    let history = trainer.fit(samples(&text, own.length), fit)?;

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("characters", numbers.len());
    results.set("different_characters", characters.len());
    results.set("epochs", history.epochs.len());
    results.set("batch", rows);
    results.set("length", own.length);
    results.set("parameters", summary.trainable);
    results.set("unigram_entropy", round(unigram, 6));
    if let Some(cross_entropy) = history.last("loss") {
        results.set("cross_entropy", round(cross_entropy, 6));
        results.set("perplexity", round(cross_entropy.exp(), 6));
    }

    let mut writer = Writer::new(&trainer, &model(characters.len()))?;
    let written = writer.write(numbers[0], own.sample, own.temperature, flags.seed)?;
    let sample = characters.decode(&written);
    println!("\n{sample}\n");
    results.set("temperature", own.temperature);
    results.set("sample", sample);
    results.set("parameters_hash", parameters_hash(trainer.session())?);
    results.history(history);
    Ok(results)
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|e| format!("cannot read `{}`: {e}", file.display()))
}
