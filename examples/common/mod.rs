//! What the examples share: one set of flags, a line for each epoch, and the object of results that
//! ends every run.
#![allow(dead_code, reason = "each example uses its own part")]

pub mod cell;
pub mod classifier;
pub mod loops;
pub mod networks;
pub mod self_test;

use std::cell::RefCell;
use std::error::Error;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Command, FromArgMatches};
use retape::prelude::*;
use retape::train::Logs;
use serde_json::{Map, Value as Json};

/// What an example returns: its results, or any error.
pub type Outcome = Result<Results, Box<dyn Error>>;

/// The flags of every example.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Where to run: `auto` (a hardware GPU, else the CPU), `cpu`, `reference`, `gpu`, or part of an
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
    /// Folder to write results into: NAME.json, NAME.csv with a row per epoch, NAME.svg and NAME.png
    /// with the curves of training, and further pictures; made if missing
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Fetch the data set if it is not there (of a program built with `--features download`)
    #[arg(long)]
    pub download: bool,
    /// What could not be written there.
    #[arg(skip)]
    unwritten: RefCell<Vec<String>>,
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
    /// results as one JSON object. An error becomes one line on standard error and exit code 1: before
    /// the run if nothing can be written where `--out` says, and beside the results if only some of the
    /// files cannot.
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
        end_with_the_reader();
        println!("{}", self.about);
        let start = Instant::now();
        let tried = flags.try_out().map_err(Box::from);
        let ended = tried.and_then(|()| body(&flags, own)).and_then(|mut results| {
            results.set("seconds", round(start.elapsed().as_secs_f64(), 3));
            results.save(self.name, &flags);
            println!("{}", Json::Object(results.fields));
            let unwritten = flags.unwritten.take();
            if unwritten.is_empty() { Ok(()) } else { Err(unwritten.join("; ").into()) }
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

/// Makes the program end quietly where nobody reads on, as in `digits | head -3`, and with an error where
/// standard output fails otherwise. `println!` panics in both cases.
fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if !message.starts_with("failed printing to stdout") {
            return report(panic);
        }
        if !message.contains("Broken pipe") {
            eprintln!("error: {message}");
        }
        std::process::exit(1);
    }));
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

    /// What `read` makes of the folder of one data set. With `--download`, what is not there is fetched.
    ///
    /// # Errors
    /// If it is not there, with what belongs in it; with `--download`, if it cannot be fetched; and those of
    /// `read`.
    pub fn data_set<T>(
        &self,
        name: &str,
        contents: &str,
        read: impl Fn(&Path) -> retape::Result<T>,
    ) -> Result<T, Box<dyn std::error::Error>> {
        if !self.download {
            return Ok(read(&self.data_folder(name, contents)?)?);
        }
        let base = self.data_base();
        // An archive is in the folder that its own folder would be in.
        let place = || Some(base.join(name)).filter(|folder| folder.is_dir()).unwrap_or(base.clone());
        if let Ok(data) = read(&place()) {
            return Ok(data);
        }
        fetch(name, &base)?;
        Ok(read(&place())?)
    }

    /// The folder that those of data sets are in: `--data`, else `$RETAPE_DATA`, else `data`.
    fn data_base(&self) -> PathBuf {
        self.named_data().unwrap_or_else(|| PathBuf::from("data"))
    }

    /// The folder of one data set.
    ///
    /// # Errors
    /// If it is not there, with what belongs in it.
    pub fn data_folder(&self, name: &str, contents: &str) -> Result<PathBuf, String> {
        let folder = self.data_base().join(name);
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(format!(
            "there is no folder `{}`: put {contents} into it, name the folder above it with `--data DIR` or `RETAPE_DATA`, or \
             have it fetched with `--features download` and `--download`",
            folder.display()
        ))
    }

    /// Whether the user says where data is.
    pub fn names_data(&self) -> bool {
        self.named_data().is_some()
    }

    fn named_data(&self) -> Option<PathBuf> {
        let from_env = || std::env::var_os("RETAPE_DATA").filter(|v| !v.is_empty()).map(PathBuf::from);
        self.data.clone().or_else(from_env)
    }

    /// The samples of a training step: `--batch`, else these, but never more than there are.
    pub fn batch_size(&self, default: usize, samples: usize) -> usize {
        self.batch.unwrap_or(default).min(samples)
    }

    /// How to train: `--epochs`, else so many, each with a line on standard output.
    pub fn fit<'a>(&self, epochs: usize) -> Fit<'a> {
        self.fit_in_rows(epochs, 1)
    }

    /// [`fit`](Flags::fit) with a line after every `row` epochs.
    pub fn fit_in_rows<'a>(&self, epochs: usize, row: usize) -> Fit<'a> {
        printed(self.epochs.unwrap_or(epochs), row)
    }

    /// Makes the folder that `--out` names if it is missing, and a file in it that is gone at once.
    fn try_out(&self) -> Result<(), String> {
        let Some(folder) = &self.out else { return Ok(()) };
        let failed = |e: std::io::Error| format!("cannot write into `{}`: {e}", folder.display());
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = folder.join(format!("probe-{}", std::process::id()));
        std::fs::write(&file, "probe").and_then(|()| std::fs::remove_file(&file)).map_err(failed)
    }

    /// Writes a file into the folder that `--out` names; a failure is reported after the results.
    pub fn write(&self, name: &str, text: &str) {
        let Some(path) = self.out.as_ref().map(|folder| folder.join(name)) else { return };
        if let Err(error) = std::fs::write(&path, text) {
            self.unwritten.borrow_mut().push(format!("cannot write `{}`: {error}", path.display()));
        }
    }

    /// Lets `draw` make the pictures NAME.svg and NAME.png in the folder that `--out` names, and says
    /// so; a failure is reported after the results.
    pub fn picture(&self, name: &str, mut draw: impl FnMut(&Path) -> retape::Result<()>) {
        let Some(folder) = &self.out else { return };
        let (svg, png) = (folder.join(format!("{name}.svg")), folder.join(format!("{name}.png")));
        match draw(&svg).and_then(|()| draw(&png)) {
            Ok(()) => println!("drawn as {} and {}", svg.display(), png.display()),
            Err(error) => self.unwritten.borrow_mut().push(error.to_string()),
        }
    }
}

/// Fetches the data set of a folder of this name among others in `base`, unless it is there.
#[cfg(feature = "download")]
fn fetch(name: &str, base: &Path) -> Result<(), String> {
    let download = data::download::Download::new().folder(base).progress(|file| {
        if file.bytes == 0 {
            println!("fetching {}", file.path.display());
        }
    });
    let fetched = match name {
        "mnist" => download.mnist().map(drop),
        "fashion-mnist" => download.fashion_mnist().map(drop),
        "cifar-10-batches-bin" => download.cifar10().map(drop),
        _ => download.imdb().map(drop),
    };
    fetched.map_err(|error| error.to_string())
}

#[cfg(not(feature = "download"))]
fn fetch(_: &str, _: &Path) -> Result<(), String> {
    Err("`--download` needs a program that is built with `--features download`".to_owned())
}

/// So many epochs, with a line on standard output after every `row` of them and after the last.
pub fn printed<'a>(epochs: usize, row: usize) -> Fit<'a> {
    let start = Instant::now();
    // Without a terminal, the lines on standard output are enough.
    Fit::epochs(epochs).progress(std::io::stderr().is_terminal()).on_epoch_end(move |run| {
        let (number, epochs) = (run.epoch() + 1, run.epochs());
        if (number.is_multiple_of(row) || number == epochs) && !bar_prints_epochs() {
            print_figures("epoch", number, epochs, run.logs()?, start.elapsed());
        }
        Ok(())
    })
}

/// On a terminal, the bar of `fit` leaves a line for each epoch itself.
fn bar_prints_epochs() -> bool {
    cfg!(feature = "progress") && std::io::stderr().is_terminal() && std::io::stdout().is_terminal()
}

/// Prints the figures of an epoch or an iteration, counted from 1.
pub fn print_figures(what: &str, number: usize, of_all: usize, figures: &Logs, since_start: Duration) {
    let width = of_all.to_string().len();
    println!("{what} {number:width$}/{of_all}  {figures}  {:.1} s", since_start.as_secs_f64());
}

/// Says in one line which device it is; `doctor` shows the rest.
pub fn announce(device: &Device) {
    println!("device: {}", device.to_string().lines().next().unwrap_or_default());
}

/// The results of a run, in the order they were set.
#[derive(Default)]
pub struct Results {
    fields: Map<String, Json>,
    history: History,
    table: String,
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

    /// Adds the epochs of a run, which `--out` writes as a table and draws.
    pub fn history(&mut self, history: History) {
        self.table = table(&history);
        self.history = history;
    }

    /// Sets the table that `--out` writes, where it is not that of the epochs.
    pub fn table<const N: usize>(&mut self, columns: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        let rows = rows.into_iter().map(|row| row.join(",") + "\n");
        self.table = columns.join(",") + "\n" + &rows.collect::<String>();
    }

    fn save(&self, name: &str, flags: &Flags) {
        flags.write(&format!("{name}.json"), &format!("{:#}\n", Json::Object(self.fields.clone())));
        if !self.table.is_empty() {
            flags.write(&format!("{name}.csv"), &self.table);
        }
        #[cfg(feature = "plots")]
        if !self.history.epochs.is_empty() {
            flags.picture(name, |path| self.history.plot(path));
        }
    }
}

/// A history as comma-separated values, with a header; nothing without epochs.
fn table(history: &History) -> String {
    let columns = history.names();
    if columns.is_empty() {
        return String::new();
    }
    let mut table = format!("epoch,{}\n", columns.join(","));
    for (number, logs) in (history.initial_epoch + 1..).zip(&history.epochs) {
        let cell = |&column: &&str| logs.get(column).map(|value| value.to_string()).unwrap_or_default();
        let cells: Vec<String> = columns.iter().map(cell).collect();
        table += &format!("{number},{}\n", cells.join(","));
    }
    table
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

/// A learning rate that falls from this to zero along a line, as long as training goes, so that it ends
/// at rest and not mid-swing.
pub fn falling(rate: f32, epochs: usize, samples: usize, batch: usize) -> PolynomialDecay {
    let steps = epochs * samples.div_ceil(batch);
    PolynomialDecay::new(rate, steps.max(1) as u32).end(0.0)
}

/// The mean squared difference of two rows of numbers.
pub fn mean_squared(predictions: &[f32], targets: &[f32]) -> f64 {
    let squares = predictions.iter().zip(targets).map(|(p, t)| f64::from(p - t).powi(2));
    squares.sum::<f64>() / targets.len() as f64
}

/// The probability that a logit stands for.
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// A number with so many decimals, as results are printed.
pub fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}
