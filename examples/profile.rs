//! What a training step takes, by kernel and by layer, and how far that is from what the device can do.
//!
//! It teaches `Session::profile`: a replay with a clock around each dispatch, set against a roofline that two built-in
//! kernels measure. With `--out`, it writes a trace that <https://ui.perfetto.dev> shows on a time line.

mod common;

use std::process::ExitCode;

use clap::Args;
use common::networks::Net;
use common::{Example, Flags, Outcome, Results, positive, round};
use retape::ProfileOptions;
use retape::session::{Breakdown, Cost, Profile};
use serde_json::{Value as Json, json};

const EXAMPLE: Example = Example {
    name: "profile",
    about: "Times every dispatch of a network's training step, and compares it with what the device can do.",
    unused: &["data", "epochs", "limit", "download"],
};

#[derive(Args)]
struct Own {
    /// The network to train
    #[arg(long, value_enum, value_name = "NETWORK", default_value = "mnist-cnn")]
    network: Net,
    /// How often the step is run; times are medians
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = positive)]
    repeats: usize,
    /// Use the host's clock even if the device has one
    #[arg(long)]
    host_clock: bool,
}

fn main() -> ExitCode {
    EXAMPLE.run_with(run)
}

fn run(flags: &Flags, own: Own) -> Outcome {
    let device = flags.open_device()?;
    let Own { network, repeats, host_clock } = own;
    let step = network.step(flags.batch.unwrap_or(network.batch()))?;
    let mut session = step.tape.session(&device)?;
    step.fill(&mut session, flags.seed)?;
    println!("a training step of {} for {} samples", network.flag(), step.batch);

    let profile = session.profile_with(ProfileOptions::new().repeats(repeats).host_clock(host_clock))?;
    let seconds = step.seconds(&mut session)?;
    println!("\n{profile}\n{}\n{}", profile.by_kernel(), profile.by_layer());
    println!("by {}; a replay as it is takes {:.3} ms", profile.clock, 1e3 * seconds);
    flags.write("trace.json", &profile.trace());
    if let Some(folder) = &flags.out {
        println!("{} opens in https://ui.perfetto.dev", folder.join("trace.json").display());
    }

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("network", network.flag());
    results.set("batch", step.batch);
    results.set("clock", format!("{:?}", profile.clock).to_lowercase());
    results.set("repeats", repeats);
    results.set("milliseconds_per_step", round(1e3 * seconds, 4));
    results.set("dispatches", profile.rows.len());
    results.set(
        "roofline",
        profile.roofline.map(|top| json!({ "gflops": round(top.gflops, 1), "gbps": round(top.gbps, 1) })),
    );
    results.set("total", figures(profile.total()));
    results.set("kernels", groups(&profile.by_kernel()));
    results.set("layers", groups(&profile.by_layer()));
    results.table(
        [
            "op",
            "operator",
            "layer",
            "kernel",
            "constants",
            "us",
            "multiply_adds",
            "bytes",
            "percent_of_roofline",
        ],
        rows(&profile),
    );
    Ok(results)
}

fn figures(cost: Cost) -> Json {
    json!({
        "us": round(cost.microseconds, 2),
        "gflops": round(cost.gflops(), 2),
        "gbps": round(cost.gbps(), 2),
        "percent_of_roofline": cost.percent_of_roofline().map(|percent| round(percent, 1)),
    })
}

fn groups(groups: &Breakdown) -> Json {
    let of = |group: &retape::session::ProfileGroup| json!({ "name": group.name, "dispatches": group.dispatches, "total": figures(group.cost) });
    groups.groups.iter().map(of).collect()
}

/// The dispatches in the order of the step, for the table that `--out` writes.
fn rows(profile: &Profile) -> impl Iterator<Item = [String; 9]> + '_ {
    profile.rows.iter().map(|row| {
        let cost = row.cost;
        [
            row.op.to_string(),
            row.operator.clone(),
            row.layer.clone(),
            row.kernel.clone(),
            row.constants.clone(),
            format!("{:.3}", cost.microseconds),
            cost.multiply_adds.to_string(),
            cost.bytes.to_string(),
            cost.percent_of_roofline().map_or_else(String::new, |percent| format!("{percent:.1}")),
        ]
    })
}
