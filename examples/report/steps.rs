//! Training steps of well-known networks.

use retape::prelude::*;
use serde_json::{Value as Json, json};

use crate::common::networks::Net;
use crate::common::round;
use crate::{Budget, Skipped, skipped_json};

/// What a session does beside its steps takes as long as so many of them.
const BESIDE: f64 = 8.0;

/// The time of a network's step.
pub struct Timed {
    pub network: &'static str,
    pub batch: usize,
    pub milliseconds: f64,
    /// Of the products alone.
    pub gflops: f64,
}

impl Timed {
    pub fn samples_per_second(&self) -> f64 {
        1e3 * self.batch as f64 / self.milliseconds
    }
}

/// What was timed, and what not.
pub struct Steps {
    pub timed: Vec<Timed>,
    pub skipped: Vec<Skipped>,
}

impl Steps {
    pub fn json(&self) -> Json {
        let row = |timed: &Timed| {
            json!({
                "network": timed.network,
                "batch": timed.batch,
                "milliseconds_per_step": round(timed.milliseconds, 4),
                "samples_per_second": round(timed.samples_per_second(), 1),
                "gflops": round(timed.gflops, 2),
            })
        };
        let timed: Vec<Json> = self.timed.iter().map(row).collect();
        json!({ "timed": timed, "skipped": skipped_json(&self.skipped) })
    }
}

/// Times the networks that there is time for, on a device whose products reach so many GFLOP/s.
pub fn run(device: &Device, gflops: f64, budget: &Budget) -> Steps {
    let (mut timed, mut skipped) = (Vec::new(), Vec::new());
    for network in Net::ALL {
        match measure(device, network, gflops, budget) {
            Ok(Some(found)) => {
                let [time, rate] = [found.milliseconds, found.samples_per_second()];
                println!(
                    "  {:10} batch {:4} {time:10.3} ms {rate:10.1} samples/s",
                    found.network, found.batch
                );
                timed.push(found);
            }
            Ok(None) => skipped.push(Skipped::new(network.flag(), "there was no time for it")),
            Err(error) => skipped.push(Skipped::new(network.flag(), error)),
        }
    }
    Steps { timed, skipped }
}

fn measure(device: &Device, network: Net, gflops: f64, budget: &Budget) -> retape::Result<Option<Timed>> {
    let step = network.step(network.batch())?;
    let types = |values: &[Value]| -> Vec<_> {
        values.iter().filter_map(|&value| step.tape.value(value).map(|info| info.ty)).collect()
    };
    let count =
        |node: &retape::graph::Node| node.op.multiply_adds(&types(&node.inputs), &types(&node.outputs));
    let flops = 2.0 * step.tape.ops().iter().map(count).sum::<u64>() as f64;
    if BESIDE * flops / gflops.max(0.1) / 1e9 > budget.left() {
        return Ok(None);
    }
    let mut session = step.tape.session(device)?;
    step.fill(&mut session, 1)?;
    let seconds = step.seconds(&mut session)?;
    Ok(Some(Timed {
        network: network.flag(),
        batch: step.batch,
        milliseconds: 1e3 * seconds,
        gflops: flops / seconds / 1e9,
    }))
}
