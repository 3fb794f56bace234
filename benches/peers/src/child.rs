//! Engines in processes of their own: one that takes too long can be given up, and each starts with empty caches.
//!
//! A process does the work of its row once, answers `ready` with its device, and then a line for every line it is
//! told, until there are no more:
//!
//! | told | answer |
//! |---|---|
//! | `results` | the numbers that are compared, separated by spaces |
//! | `turn N` | the milliseconds that one of N steps took |
//! | `data` | the numbers given to all engines, a line `NAME AxBxC numbers` for each tensor, then `end` |
//!
//! Answers begin with `peers: `, to be told from what an engine prints.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use retape::prelude::Device;
use tempfile::TempDir;

use crate::engines::{Engine, Peer};
use crate::work::{Row, Tensor, Work, operands};

const MARK: &str = "peers: ";

fn answer(text: impl std::fmt::Display) {
    println!("{MARK}{text}");
}

/// What the process of an engine does.
pub fn serve(peer: Peer, row: &Row, device: &Device) {
    let mut engine = match peer.prepare(row, device) {
        Ok(engine) => engine,
        Err(missing) => return answer(format_args!("has {missing}")),
    };
    engine.run(1);
    answer(format_args!("ready {}", engine.device()));
    for line in std::io::stdin().lines() {
        let line = line.expect("commands are text");
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("results", _) => answer(text(&results(&mut *engine, row))),
            ("turn", steps) => {
                let steps: usize = steps.parse().expect("a turn has a number of steps");
                let start = Instant::now();
                engine.run(steps);
                answer(1e3 * start.elapsed().as_secs_f64() / steps as f64);
            }
            ("data", _) => {
                for Tensor { name, shape, data } in given(row) {
                    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
                    answer(format_args!("{name} {} {}", shape.join("x"), text(&data)));
                }
                answer("end");
            }
            _ => panic!("`{line}` is no command"),
        }
    }
}

/// The results of the first times, of which one is done.
fn results(engine: &mut dyn Engine, row: &Row) -> Vec<f32> {
    let mut found = engine.result();
    for _ in 1..row.compared() {
        engine.run(1);
        found.extend(engine.result());
    }
    found
}

/// The results that all engines are to have, by the reference in f64.
pub fn expected(row: &Row) -> Result<Vec<f32>, String> {
    let mut reference = Peer::Reference.prepare(row, &Device::reference())?;
    reference.run(1);
    Ok(results(&mut *reference, row))
}

fn given(row: &Row) -> Vec<Tensor> {
    match row.work {
        Work::Step(network) => {
            [network.inputs(), network.targets()].into_iter().chain(network.weights()).collect()
        }
        _ => operands(&row.work),
    }
}

fn text(numbers: &[f32]) -> String {
    numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(" ")
}

/// The process of an engine, seen from the one that asks.
pub struct Child {
    process: Process,
    commands: ChildStdin,
    answers: Receiver<String>,
    limit: Duration,
    /// Its caches, and what it says of a failure.
    folder: TempDir,
    pub device: String,
    /// From the start of the process until it had done its work once.
    pub first: Duration,
}

impl Child {
    /// Starts it with empty caches and waits for its first result.
    ///
    /// # Errors
    /// What an engine lacks, why it stopped, or that it took longer than the limit.
    pub fn start(peer: Peer, row: &Row, device: &str, limit: Duration) -> Result<Child, String> {
        let start = Instant::now();
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut process = command(peer, row, device, folder.path()).spawn().map_err(|e| e.to_string())?;
        let commands = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(answer) = line.strip_prefix(MARK)
                    && sender.send(answer.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        let (device, first) = (String::new(), Duration::ZERO);
        let mut child = Child { process, commands, answers, limit, folder, device, first };
        let said = child.wait("no step")?;
        child.first = start.elapsed();
        child.device = said.strip_prefix("ready ").ok_or_else(|| said.clone())?.to_owned();
        Ok(child)
    }

    /// The results, compared with what they are to be.
    ///
    /// # Errors
    /// By how much they differ.
    pub fn check(&mut self, row: &Row, expected: &[f32]) -> Result<(), String> {
        let said = self.ask("results")?;
        let found: Vec<f32> = said.split(' ').map(|n| n.parse().unwrap_or(f32::NAN)).collect();
        if found.len() != expected.len() {
            return Err(format!("{} results, not {}", found.len(), expected.len()));
        }
        let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let far = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / largest);
        // The largest number, or a NaN.
        let far = far.fold(0.0f32, |worst, far| if far <= worst { worst } else { far });
        if far <= row.tolerance() { Ok(()) } else { Err(format!("results are off by {far:.1e}")) }
    }

    /// The milliseconds of one of so many steps.
    ///
    /// # Errors
    /// Why it stopped, or that it took longer than the limit.
    pub fn turn(&mut self, steps: usize) -> Result<f64, String> {
        let said = self.ask(&format!("turn {steps}"))?;
        said.parse().map_err(|_| format!("`{said}` is no time"))
    }

    fn ask(&mut self, command: &str) -> Result<String, String> {
        // What is wrong with a process that does not listen is found by waiting for its answer.
        let _ = writeln!(self.commands, "{command}");
        self.wait("no answer")
    }

    fn wait(&mut self, missing: &str) -> Result<String, String> {
        match self.answers.recv_timeout(self.limit) {
            Ok(said) => Ok(said),
            Err(RecvTimeoutError::Timeout) => Err(format!("{missing} within {} s", self.limit.as_secs())),
            Err(RecvTimeoutError::Disconnected) => {
                let said = fs::read_to_string(errors(self.folder.path())).unwrap_or_default();
                eprintln!("{said}");
                let panic = said.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
                Err(format!("stops: {}", panic.or(said.lines().last()).unwrap_or("without a word")))
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn errors(folder: &Path) -> std::path::PathBuf {
    folder.join("errors")
}

/// This program as the process of an engine, with all that it could find from earlier runs in a folder.
fn command(peer: Peer, row: &Row, device: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program is known"));
    command.args([
        "--serve",
        peer.to_possible_value().expect("every engine has a word").get_name(),
        "--device",
        device,
        "--exact",
        "--",
        row.name,
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(File::create(errors(folder)).map_or_else(|_| Stdio::inherit(), Stdio::from));
    // Some keep what they have found below the current folder.
    command.current_dir(folder);
    for variable in ["HOME", "XDG_CACHE_HOME", "MESA_SHADER_CACHE_DIR", "RETAPE_KERNEL_CACHE"] {
        command.env(variable, folder);
    }
    command
}
