//! What the benches share: the lines asked for, the device they run on, the time of a step, and the table.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::fmt::Display;
use std::time::{Duration, Instant};

use clap::Parser;
use retape::prelude::*;
use retape::wgpu::PollType;

/// What a bench is told on the command line.
#[derive(Parser)]
pub struct Options {
    /// Lines whose names contain one of these words; all of them without a word.
    words: Vec<String>,
    /// Names the lines and measures none.
    #[arg(long)]
    list: bool,
    /// Words are whole names.
    #[arg(long)]
    exact: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        let matches = |word: &String| if self.exact { name == word } else { name.contains(word.as_str()) };
        self.words.is_empty() || self.words.iter().any(matches)
    }

    /// The lines to measure; or, where none is to be, what is said instead.
    pub fn choose<L>(
        &self,
        lines: impl IntoIterator<Item = L>,
        name: impl Fn(&L) -> String,
    ) -> Result<Vec<L>, String> {
        let mut names = Vec::new();
        let mut wanted = Vec::new();
        for line in lines {
            let name = name(&line);
            if self.wants(&name) {
                wanted.push((name.clone(), line));
            }
            names.push(name);
        }
        if wanted.is_empty() {
            let asked = self.words.join("` or `");
            return Err(format!("no line's name has `{asked}`; there are\n  {}", names.join("\n  ")));
        }
        if self.list {
            let names: Vec<_> = wanted.iter().map(|(name, _)| format!("{name}: benchmark")).collect();
            return Err(names.join("\n"));
        }
        Ok(wanted.into_iter().map(|(_, line)| line).collect())
    }
}

/// The lines of a bench that the command line asks for, and the device, which is opened for them; `None` where
/// nothing is to be measured.
pub fn wanted<L>(
    lines: impl IntoIterator<Item = L>,
    name: impl Fn(&L) -> String,
) -> Option<(Device, Vec<L>)> {
    let wanted = chosen(lines, name)?;
    let device = device();
    println!("{device}\n");
    Some((device, wanted))
}

/// The lines alone.
pub fn chosen<L>(lines: impl IntoIterator<Item = L>, name: impl Fn(&L) -> String) -> Option<Vec<L>> {
    let chosen = Options::parse().choose(lines, name);
    chosen.inspect_err(|said| println!("{said}")).ok()
}

/// The device that `RETAPE_BENCH_DEVICE` selects (an adapter, for benches of kernels), else the GPU that `Device::gpu` finds.
pub fn device() -> Device {
    let device = match std::env::var("RETAPE_BENCH_DEVICE") {
        Ok(name) if !name.is_empty() => Device::select(&name),
        _ => Device::gpu(),
    };
    device.unwrap_or_else(|e| panic!("the benches need a device: {e}"))
}

/// The time of `steps` steps, from before they are encoded until they have run.
pub fn time(session: &mut Session, device: &Device, steps: usize) -> Duration {
    let start = Instant::now();
    session.replay_n(steps).expect("the step replays");
    wait(device);
    start.elapsed()
}

/// Waits until the device has done all that it was given.
pub fn wait(device: &Device) {
    if let Some((device, _)) = device.wgpu() {
        device.poll(PollType::wait_indefinitely()).expect("the device finishes");
    }
}

/// The time of one of `steps` steps.
pub fn step(session: &mut Session, device: &Device, steps: usize) -> Duration {
    time(session, device, steps) / steps as u32
}

/// The middle of some numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// What a run ends with: a table in Markdown, its columns aligned. Rows are told of as they come.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of text, from the left; numbers follow.
    texts: usize,
}

impl Table {
    pub fn new(texts: usize, head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(|&name| name.to_owned()).collect()], texts }
    }

    /// Says that a line is measured, to whoever waits at the terminal.
    pub fn begin(name: impl Display) {
        eprintln!("{name} ...");
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it, if it has rows.
    pub fn print(&self) {
        let columns = self.rows[0].len();
        let width = |i: usize| self.rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0).max(2);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cell = |(i, text): (usize, &String)| {
                let width = widths[i];
                if i < self.texts { format!("| {text:width$} ") } else { format!("| {text:>width$} ") }
            };
            println!("{}|", row.iter().enumerate().map(cell).collect::<String>());
        };
        if self.rows.len() > 1 {
            line(&self.rows[0]);
            let rule = |(i, width): (usize, &usize)| {
                if i < self.texts {
                    format!("|{}", "-".repeat(width + 2))
                } else {
                    format!("|{}:", "-".repeat(width + 1))
                }
            };
            println!("{}|", widths.iter().enumerate().map(rule).collect::<String>());
            self.rows[1..].iter().for_each(line);
        }
    }
}
