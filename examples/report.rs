//! What there is to know about a device: whether every kernel computes right, what the device does at most, and how close
//! kernels and training steps come to that.
//!
//! It leaves two files in the folder that `--out` names, to send or to keep: `report.md` to read and `report.json` for
//! programs. `docs/devices.md` says how to read them.

mod common;

#[path = "report/checks.rs"]
mod checks;
#[path = "report/kernels.rs"]
mod kernels;
#[path = "report/markdown.rs"]
mod markdown;
#[path = "report/steps.rs"]
mod steps;

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use common::self_test::self_test;
use common::{Example, Flags, Outcome, Results, positive, round};
use retape::prelude::*;
use serde_json::{Value as Json, json};

const EXAMPLE: Example = Example {
    name: "report",
    about: "Checks every kernel of a device, measures what it does, and writes both down to be sent.",
    unused: &["data", "epochs", "batch", "limit", "seed", "download"],
};

#[derive(Args)]
struct Own {
    /// About how long it may take; what there is no time for is left out, and listed [default: 600]
    #[arg(long, value_name = "N", value_parser = positive)]
    seconds: Option<usize>,
    /// The same as `--seconds 60`
    #[arg(long)]
    quick: bool,
}

/// Seconds that a report takes about, unless the user says how many.
const SECONDS: usize = 600;
const QUICK: usize = 60;

/// Shares of the time: for checks, kernels and training steps.
const SHARES: [f64; 3] = [0.45, 0.3, 0.25];

/// The time for a part of the report.
pub struct Budget {
    end: Instant,
}

impl Budget {
    fn of(seconds: f64) -> Budget {
        Budget { end: Instant::now() + std::time::Duration::from_secs_f64(seconds) }
    }

    /// Seconds that are left.
    pub fn left(&self) -> f64 {
        self.end.saturating_duration_since(Instant::now()).as_secs_f64()
    }
}

/// Something that was left out, and why.
pub struct Skipped {
    pub name: String,
    pub why: String,
}

impl Skipped {
    pub fn new(name: &str, why: impl ToString) -> Skipped {
        Skipped { name: name.to_owned(), why: why.to_string() }
    }

    fn json(&self) -> Json {
        json!({ "name": self.name, "why": self.why })
    }
}

/// All that was found.
pub struct Report {
    device: String,
    /// What `Display` of the device shows.
    details: String,
    system: String,
    roofline: Option<retape::Roofline>,
    clock: String,
    training: Result<common::self_test::SelfTest, String>,
    checks: checks::Checks,
    kernels: kernels::Kernels,
    steps: steps::Steps,
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let device = flags.open_device()?;
    let seconds = own.seconds.unwrap_or(if own.quick { QUICK } else { SECONDS }) as f64;
    println!("\nwhat it does at most ...");
    let roofline = device.roofline()?;
    let clock = clock(&device)?;
    println!("{}, timed by {clock}", roofline.map_or_else(|| "unknown".to_owned(), |top| top.to_string()));

    let [for_checks, for_kernels, for_steps] = SHARES.map(|share| share * seconds);
    println!("\na small training ...");
    let training = self_test(&device).map_err(|error| error.to_string());
    println!("\nkernels against the f64 reference ...");
    let checks = checks::run(&device, &Budget::of(for_checks));
    println!("\ntimes of kernels ...");
    let kernels = kernels::run(&device, roofline, &Budget::of(for_kernels));
    println!("\ntraining steps ...");
    let steps = steps::run(&device, kernels.gflops(), &Budget::of(for_steps));

    let report = Report {
        device: device.name().to_owned(),
        details: device.to_string(),
        system: system(),
        roofline,
        clock,
        training,
        checks,
        kernels,
        steps,
    };
    let text = markdown::write(&report);
    flags.write("report.md", &text);
    match &flags.out {
        Some(folder) => println!("\n{} and report.json are what to send", folder.join("report.md").display()),
        None => println!("\n{text}\nwith `--out DIR`, this is written as report.md and report.json"),
    }
    Ok(results(&device, &report))
}

/// The clock that profiles of the device have.
fn clock(device: &Device) -> retape::Result<String> {
    let mut g = Graph::new();
    let x = g.input("x", [4]);
    let mut session = g.forward([g.exp(x)?])?.session(device)?;
    Ok(session.profile()?.clock.to_string())
}

fn system() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let [os, arch] = [std::env::consts::OS, std::env::consts::ARCH];
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    format!("retape {}, {os} {arch}, {threads} threads{build}", env!("CARGO_PKG_VERSION"))
}

fn results(device: &Device, report: &Report) -> Results {
    let mut results = Results::new(EXAMPLE.name, device);
    results.set("details", report.details.lines().map(str::trim).collect::<Vec<_>>());
    results.set("system", report.system.as_str());
    let top = report.roofline;
    results.set(
        "roofline",
        top.map(|top| json!({ "gflops": round(top.gflops, 1), "gbps": round(top.gbps, 1) })),
    );
    results.set("clock", report.clock.as_str());
    let training = match &report.training {
        Ok(test) => json!({ "passed": true, "milliseconds_per_step": round(test.milliseconds, 4) }),
        Err(error) => json!({ "passed": false, "error": error }),
    };
    results.set("training", training);
    results.set("checks", report.checks.json());
    results.set("kernels", report.kernels.json());
    results.set("steps", report.steps.json());
    results.set("passed", report.training.is_ok() && report.checks.failed.is_empty());
    results
}

/// A list of what was left out.
pub fn skipped_json(skipped: &[Skipped]) -> Json {
    skipped.iter().map(Skipped::json).collect()
}
