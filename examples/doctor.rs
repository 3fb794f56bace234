//! What this machine can run the engine on: every GPU adapter, hardware or software, and the CPU
//! path, each with its limits, a verdict, and a small training step checked operator by operator.
//!
//! It teaches what to look at, and what to send, when something does not work.

mod common;

use std::process::ExitCode;

use common::self_test::{SelfTest, self_test};
use common::{Example, Outcome, Results, round};
use retape::prelude::*;
use serde_json::{Value as Json, json};

const EXAMPLE: Example = Example {
    name: "doctor",
    about: "Looks at every device of this machine: what it is, what it allows, and whether it computes right.",
    unused: &["device", "data", "epochs", "batch", "limit", "seed"],
};

fn main() -> ExitCode {
    EXAMPLE.run(|_| run())
}

fn run() -> Outcome {
    let adapters = retape::gpu::adapters();
    let mut rows = Vec::new();
    for adapter in &adapters {
        println!("\n{adapter}");
        let test = match &adapter.problem {
            Some(_) => None,
            // `Device::named` takes part of a name: the whole one is the surest.
            None => Some(Device::named(&adapter.info.name).and_then(|device| self_test(&device))),
        };
        rows.push(json!({
            "name": adapter.info.name,
            "kind": format!("{:?}", adapter.info.device_type),
            "backend": adapter.info.backend.to_string(),
            "driver": format!("{} {}", adapter.info.driver, adapter.info.driver_info).trim(),
            "verdict": adapter.verdict(),
            "self_test": report(test),
        }));
    }

    let here = |device: Device, verdict: &str| {
        println!("\n{device}");
        println!("  verdict    always there: {verdict}");
        json!({ "threads": cpu_threads(), "self_test": report(Some(self_test(&device))) })
    };
    let cpu = here(Device::cpu(), "for who has no GPU");
    let reference = here(Device::reference(), "for results rather than speed");

    if adapters.is_empty() {
        println!("\nNo GPU adapter was found. A software one, which needs no hardware, is installed by");
        println!("  Debian, Ubuntu   apt-get install mesa-vulkan-drivers");
        println!("  Fedora           dnf install mesa-vulkan-drivers");
        println!("  Arch             pacman -S vulkan-swrast");
        println!("and a hardware GPU needs its vendor's Vulkan driver.");
    }
    // What `--device auto` and `Device::auto` come to.
    let auto = Device::auto()?;
    println!("\n`auto` runs on {}", auto.name());

    let mut results = Results::new(EXAMPLE.name, &auto);
    results.set("adapters", rows);
    results.set("cpu", cpu);
    results.set("reference", reference);
    Ok(results)
}

/// Prints the outcome of a self-test, and gives it back as JSON.
fn report(test: Option<retape::Result<SelfTest>>) -> Json {
    match test {
        None => Json::Null,
        Some(Ok(SelfTest { verified, milliseconds })) => {
            print!("  self-test  passed: it trains, {milliseconds:.3} ms per small step");
            if verified > 0 {
                print!("; {verified} operators agree with the f64 reference");
            }
            println!();
            json!({
                "passed": true,
                "verified_ops": verified,
                "milliseconds_per_step": round(milliseconds, 4),
            })
        }
        Some(Err(error)) => {
            println!("  self-test  FAILED: {error}");
            json!({ "passed": false, "error": error.to_string() })
        }
    }
}

fn cpu_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
