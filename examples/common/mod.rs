//! What the examples share: one set of flags, a progress line, and the object of results that ends
//! every run.
#![allow(dead_code, reason = "each example uses its own part")]

pub mod cell;
pub mod classifier;
pub mod regression;

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Command, FromArgMatches};
use indicatif::{ProgressBar, ProgressStyle};
#[cfg(feature = "plots")]
use retape::plot::{self, Panel};
use retape::prelude::*;
use serde_json::{Map, Value as Json};

/// What an example returns: its results, or any error.
pub type Outcome = Result<Results, Box<dyn Error>>;

/// The flags of every example.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Where to run: `auto` (a hardware GPU, else the CPU path), `cpu`, `gpu`, or part of an
    /// adapter's name such as `llvmpipe`
    #[arg(long, value_name = "auto|cpu|gpu|NAME", default_value = "auto")]
    pub device: String,
    /// Folder that holds the data sets, such as `mnist/` [default: $RETAPE_DATA, else `data`]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Passes over the training data
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Samples per training step
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// Use only this many samples of each part of the data
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Seed of the initial parameters and of the order of the samples
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u32,
    /// Folder to write results into: NAME.json, and NAME.csv with a row per epoch; made if missing
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Reads a number of which there is at least one.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// One example: its name, what it says about itself, and the flags that mean nothing to it.
pub struct Example {
    pub name: &'static str,
    pub about: &'static str,
    pub unused: &'static [&'static str],
}

impl Example {
    /// Reads the flags, says what the example does, runs it, and ends standard output with its
    /// results as one JSON object. An error becomes one line on standard error and exit code 1.
    pub fn run(&self, body: impl FnOnce(&Flags) -> Outcome) -> ExitCode {
        self.run_with(|flags, NoOthers {}| body(flags))
    }

    /// [`run`](Example::run) with flags that only this example has.
    pub fn run_with<Own: Args>(&self, body: impl FnOnce(&Flags, Own) -> Outcome) -> ExitCode {
        let mut command = Own::augment_args(Flags::augment_args(Command::new(self.name))).about(self.about);
        for flag in self.unused {
            command = command.mut_arg(flag, |arg| arg.help("Accepted and unused: it means nothing here"));
        }
        let matches = command.get_matches();
        let read = Flags::from_arg_matches(&matches).and_then(|f| Ok((f, Own::from_arg_matches(&matches)?)));
        let (flags, own) = read.unwrap_or_else(|error| error.exit());
        println!("{}", self.about);
        let start = Instant::now();
        let ended = body(&flags, own).and_then(|mut results| {
            results.set("seconds", round(start.elapsed().as_secs_f64(), 3));
            results.save(self.name, &flags)?;
            println!("{}", Json::Object(results.fields));
            Ok(())
        });
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// The flags of an example that has only those of every example.
#[derive(Args)]
struct NoOthers {}

impl Flags {
    /// Opens the device and says which it is.
    pub fn open_device(&self) -> retape::Result<Device> {
        let device = Device::select(&self.device)?;
        announce(&device);
        Ok(device)
    }

    /// The folder of one data set: `--data`, else `$RETAPE_DATA`, else `data`, joined with `name`.
    ///
    /// # Errors
    /// If it is not there, with what belongs in it.
    pub fn data_folder(&self, name: &str, contents: &str) -> Result<PathBuf, String> {
        let from_env = || std::env::var_os("RETAPE_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
        let base = self.data.clone().or_else(from_env).unwrap_or_else(|| PathBuf::from("data"));
        let folder = base.join(name);
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(format!(
            "there is no folder `{}`: put {contents} into it, or name the folder above it with `--data DIR` or `RETAPE_DATA`",
            folder.display()
        ))
    }

    /// Draws the panels as NAME.svg and NAME.png into the folder that `--out` names, which is made if
    /// missing, and says so.
    #[cfg(feature = "plots")]
    pub fn plot(&self, name: &str, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
        let Some(folder) = &self.out else { return Ok(()) };
        let failed = |e: std::io::Error| format!("cannot plot into `{}`: {e}", folder.display());
        std::fs::create_dir_all(folder).map_err(failed)?;
        let (svg, png) = (folder.join(format!("{name}.svg")), folder.join(format!("{name}.png")));
        plot::panels(&svg, panels)?;
        plot::panels(&png, panels)?;
        println!("drawn as {} and {}", svg.display(), png.display());
        Ok(())
    }
}

/// Says in one line which device it is; `doctor` shows the rest.
pub fn announce(device: &Device) {
    println!("device: {}", device.to_string().lines().next().unwrap_or_default());
}

/// The results of a run, in the order they were set.
#[derive(Default)]
pub struct Results {
    fields: Map<String, Json>,
    history: Vec<Epoch>,
}

impl Results {
    /// Results that begin with the example and the device.
    pub fn new(example: &str, device: &Device) -> Self {
        let mut results = Results::default();
        results.set("example", example);
        results.set("device", device.name());
        results
    }

    /// Sets one result; names are snake case.
    pub fn set(&mut self, name: &str, value: impl Into<Json>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    /// Adds the epochs of a run, which `--out` writes as a table.
    pub fn history(&mut self, history: Vec<Epoch>) {
        self.history = history;
    }

    fn save(&self, name: &str, flags: &Flags) -> Result<(), String> {
        let Some(folder) = &flags.out else { return Ok(()) };
        let failed = |e: std::io::Error| format!("cannot write into `{}`: {e}", folder.display());
        std::fs::create_dir_all(folder).map_err(failed)?;
        let json = serde_json::to_string_pretty(&self.fields).map_err(|e| failed(e.into()))?;
        std::fs::write(folder.join(format!("{name}.json")), json + "\n").map_err(failed)?;
        if let Some(first) = self.history.first() {
            let columns: Vec<&str> = first.figures.iter().map(|&(column, _)| column).collect();
            let mut table = format!("epoch,{}\n", columns.join(","));
            for Epoch { number, figures } in &self.history {
                let cells: Vec<String> = figures.iter().map(|(_, value)| value.to_string()).collect();
                table += &format!("{number},{}\n", cells.join(","));
            }
            std::fs::write(folder.join(format!("{name}.csv")), table).map_err(failed)?;
        }
        Ok(())
    }
}

/// Shows how training goes: a moving bar on a terminal, and a line per epoch anywhere.
pub struct Progress {
    bar: ProgressBar,
    epochs: usize,
    history: Vec<Epoch>,
    start: Instant,
}

/// The figures of one epoch, counted from 1.
pub struct Epoch {
    number: usize,
    figures: Vec<(&'static str, f64)>,
}

impl Progress {
    /// For `epochs` epochs of `steps` steps each.
    pub fn new(epochs: usize, steps: usize) -> Self {
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new((epochs * steps) as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {eta} left{msg}");
        bar.set_style(style.expect("the template is well formed").progress_chars("=> "));
        Progress { bar, epochs, history: Vec::new(), start: Instant::now() }
    }

    /// So many more training steps were asked for.
    pub fn steps(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// An epoch, counted from 1, is over: prints its figures and keeps them.
    pub fn epoch(&mut self, number: usize, figures: &[(&'static str, f64)]) {
        let mut shown = String::new();
        for (name, value) in figures {
            let _ = write!(shown, "  {} {value:.4}", name.replace('_', " "));
        }
        let width = self.epochs.to_string().len();
        let seconds = self.start.elapsed().as_secs_f64();
        self.bar.suspend(|| println!("epoch {number:width$}/{}{shown}  {seconds:.1} s", self.epochs));
        self.bar.set_message(shown);
        self.history.push(Epoch { number, figures: figures.to_vec() });
    }

    /// Takes the bar away; what is left is the history.
    pub fn finish(self) -> Vec<Epoch> {
        self.bar.finish_and_clear();
        self.history
    }
}

/// The results of judging a classifier.
pub struct Score {
    /// Mean cross-entropy over all samples.
    pub loss: f64,
    /// The share of samples whose largest output is their class.
    pub accuracy: f64,
    /// The class that each sample was taken for.
    pub predictions: Vec<u32>,
}

/// Judges a classifier on every sample. `session` computes `log_p`, the logarithm of the class
/// probabilities, for a whole batch of `x`: the last batch is filled up with copies of the last
/// sample, which do not count.
pub fn evaluate(
    session: &mut Session,
    x: Value,
    log_p: Value,
    data: &data::Dataset,
) -> retape::Result<Score> {
    let shape =
        |value| session.tape().value(value).expect("the tape holds its values").ty.shape.dims().to_vec();
    let (batch, classes) = (shape(x)[0], shape(log_p)[1]);
    let (mut inputs, mut labels, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    let (mut loss, mut predictions) = (0.0, Vec::with_capacity(data.len()));
    for start in (0..data.len()).step_by(batch) {
        indices.clear();
        indices.extend((start..start + batch).map(|i| i.min(data.len() - 1)));
        data.gather(&indices, &mut inputs, &mut labels);
        session.write(x, &inputs)?;
        session.replay()?;
        let log_p = session.read(log_p)?;
        let count = batch.min(data.len() - start);
        for (row, &label) in log_p.chunks_exact(classes).zip(&labels).take(count) {
            loss -= f64::from(row[label as usize]);
            let best = (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            predictions.push(best.unwrap_or(0) as u32);
        }
    }
    let right = predictions.iter().zip(data.labels()).filter(|(p, l)| p == l).count();
    let count = data.len() as f64;
    Ok(Score { loss: loss / count, accuracy: right as f64 / count, predictions })
}

/// FNV-1a over the bits of all parameters, as text: equal exactly when training went the same way.
pub fn parameters_hash(session: &Session) -> retape::Result<String> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for name in session.parameter_names() {
        for number in session.parameter(name)? {
            for byte in number.to_le_bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    Ok(format!("{hash:016x}"))
}

/// A number with so many decimals, as results are printed.
pub fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
