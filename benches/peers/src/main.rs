//! Times this crate, Burn and Meganeura side by side, on one adapter and in one run.
//!
//! ```text
//! cd benches/peers
//! cargo run --release                          # on the adapter that Device::gpu finds
//! cargo run --release -- step --limit 120      # rows whose names hold one of the words; --list names them
//! cargo run --release -- --device cpu step     # this crate on the CPU, and its reference
//! ```
//!
//! Every engine is given the same numbers. Its results (the outputs, or the losses of three training steps) are
//! compared with those of the reference in f64, and it is timed only if they agree. Then all take turns, of about a
//! quarter of a second each, and who begins changes from turn to turn; a time is the median of the turns, and a
//! ratio that of the ratios of the turns to this crate's. A step is timed until the device has run it; in a turn, the
//! steps are handed over one after the other and waited for at the end. The rows named `first` are the times from the
//! start of a process to the end of its first step, with all caches empty.

mod child;
mod engines;
#[path = "../../timing/mod.rs"]
mod timing;
mod work;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use retape::prelude::Device;

use child::Child;
use engines::Peer;
use timing::{Table, median};
use work::{ROWS, Row, Work};

/// How long a turn takes, about, in milliseconds.
const TURN: f64 = 250.0;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    lines: timing::Options,
    /// `gpu`, `cpu`, or part of an adapter's name.
    #[arg(long, default_value = "gpu")]
    device: String,
    /// The engines beside this crate, all of them if none is named.
    #[arg(long)]
    peer: Vec<Peer>,
    /// Turns of each engine.
    #[arg(long, default_value_t = 9)]
    turns: usize,
    /// Processes of each engine that a first step is timed in.
    #[arg(long, default_value_t = 3)]
    starts: usize,
    /// The most seconds that an engine may take for its first step, and for a turn.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Does the work of one row when told to on standard input.
    #[arg(long, hide = true)]
    serve: Option<Peer>,
}

/// A row, in turns or until the first step.
#[derive(Clone, Copy)]
struct Line {
    row: Row,
    first: bool,
}

impl Line {
    fn name(&self) -> String {
        format!("{}{}", if self.first { "first " } else { "" }, self.row.name)
    }
}

fn main() {
    let options = Options::parse();
    let steps = ROWS.into_iter().filter(|row| matches!(row.work, Work::Step(_)));
    let lines = ROWS.into_iter().map(|row| Line { row, first: false });
    let lines = lines.chain(steps.map(|row| Line { row, first: true }));
    let wanted = match options.lines.choose(lines, Line::name) {
        Ok(wanted) => wanted,
        Err(said) => return println!("{said}"),
    };
    let device = Device::select(&options.device).unwrap_or_else(|e| panic!("{e}"));
    if let Some(peer) = options.serve {
        return child::serve(peer, &wanted[0].row, &device);
    }
    conditions(&device);
    let mut turns = Table::new(2, &["row", "engine", "ms", "times retape's"]);
    let mut starts = Table::new(2, &["row", "engine", "ms", "times retape's"]);
    for line in wanted {
        let wanted = |peer: &Peer| match peer {
            Peer::Retape => true,
            Peer::SingleReplays if line.first => false,
            _ => peer.takes(&line.row, &device) && (options.peer.is_empty() || options.peer.contains(peer)),
        };
        let peers: Vec<Peer> = Peer::value_variants().iter().copied().filter(wanted).collect();
        let times =
            if line.first { first_steps(&options, &line, &peers) } else { in_turns(&options, &line, &peers) };
        tell(&line, &peers, times, if line.first { &mut starts } else { &mut turns });
    }
    turns.print();
    println!();
    starts.print();
}

/// What figures depend on.
fn conditions(device: &Device) {
    let system = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |name: &str| system.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let processor = line("model name").rsplit(": ").next().unwrap_or_default();
    let widest =
        ["avx512f", "avx2"].into_iter().find(|flag| line("flags").contains(flag)).unwrap_or("no AVX2");
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{}\n{device}", time::OffsetDateTime::now_utc().date());
    println!("{processor}, {threads} threads, {widest}");
    println!("load before: {}\n", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
}

/// The times of each engine, in milliseconds, or why it has none.
type Times = Vec<Result<Vec<f64>, String>>;

/// Adds the lines of a row: an engine's median, and that of its ratios to the first engine's.
fn tell(line: &Line, peers: &[Peer], times: Times, table: &mut Table) {
    let ours = times.first().and_then(|times| times.as_ref().ok()).cloned().unwrap_or_default();
    for (peer, times) in peers.iter().zip(times) {
        let cells = match times {
            Ok(times) => {
                let ratios: Vec<f64> = times.iter().zip(&ours).map(|(time, ours)| time / ours).collect();
                let ratio = if ratios.is_empty() { String::new() } else { format!("{:.2}", median(ratios)) };
                [digits(median(times)), ratio]
            }
            Err(why) => [why, String::new()],
        };
        table.row([line.name(), peer.name().to_owned()].into_iter().chain(cells));
    }
}

/// A number with three digits.
fn digits(number: f64) -> String {
    let decimals = (2 - number.log10().floor().clamp(-3.0, 2.0) as i32) as usize;
    format!("{number:.decimals$}")
}

/// A process of an engine whose results are right, and how many of its steps fill a turn.
fn ready(options: &Options, row: &Row, peer: Peer, expected: &[f32]) -> Result<(Child, usize), String> {
    let mut child = Child::start(peer, row, &options.device, Duration::from_secs(options.limit))?;
    eprintln!("  {} on {}, first after {:.1} s", peer.name(), child.device, child.first.as_secs_f64());
    child.check(row, expected)?;
    // Engines that tune themselves do so in the first steps.
    let mut once = f64::INFINITY;
    for _ in 0..5 {
        once = once.min(child.turn(1)?);
    }
    Ok((child, (TURN / once).clamp(1.0, 2000.0) as usize))
}

fn in_turns(options: &Options, line: &Line, peers: &[Peer]) -> Times {
    Table::begin(line.name());
    let expected = child::expected(&line.row).unwrap_or_else(|e| panic!("{}: {e}", line.name()));
    let mut running: Vec<Result<(Child, usize), String>> =
        peers.iter().map(|&peer| ready(options, &line.row, peer, &expected)).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for turn in 0..options.turns {
        for place in 0..peers.len() {
            let index = (turn + place) % peers.len();
            let Ok((child, steps)) = &mut running[index] else { continue };
            match child.turn(*steps) {
                Ok(time) => times[index].push(time),
                Err(why) => running[index] = Err(why),
            }
        }
    }
    running.into_iter().zip(times).map(|(running, times)| running.map(|_| times)).collect()
}

fn first_steps(options: &Options, line: &Line, peers: &[Peer]) -> Times {
    Table::begin(line.name());
    let mut times: Times = vec![Ok(Vec::new()); peers.len()];
    for _ in 0..options.starts {
        for (&peer, times) in peers.iter().zip(&mut times) {
            // One that takes too long once is not tried again.
            let Ok(found) = times else { continue };
            match Child::start(peer, &line.row, &options.device, Duration::from_secs(options.limit)) {
                Ok(child) => found.push(1e3 * child.first.as_secs_f64()),
                Err(why) => *times = Err(why),
            }
        }
    }
    times
}
