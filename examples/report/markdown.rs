//! The report as text.

use std::fmt::Write;

use crate::{Report, Skipped};

/// How many of what was left out are named one by one.
const NAMED: usize = 20;

pub fn write(report: &Report) -> String {
    let mut text = format!("# {}\n\n```text\n{}\n```\n\n{}\n", report.device, report.details, report.system);
    let top = report.roofline.map_or_else(|| "not measured".to_owned(), |top| top.to_string());
    let _ = writeln!(text, "\nAt most: {top}. Dispatches are timed by {}.", report.clock);
    checks(&mut text, report);
    kernels(&mut text, report);
    steps(&mut text, report);
    text
}

fn checks(text: &mut String, report: &Report) {
    let checks = &report.checks;
    let verdict = if report.training.is_ok() && checks.failed.is_empty() { "passed" } else { "FAILED" };
    let _ = writeln!(text, "\n## Self-test: {verdict}\n");
    let _ = match &report.training {
        Ok(test) => writeln!(text, "A small network learns, at {:.3} ms a step.", test.milliseconds),
        Err(error) => writeln!(text, "A small network does not learn: {error}"),
    };
    let _ = writeln!(
        text,
        "Of the kernels, {} cases over {} operators agree with the f64 reference, {} differ, {} are refused by the \
         device's limits, and for {} there was no time.",
        checks.passed,
        checks.operators.len(),
        checks.failed.len(),
        checks.refused.len(),
        checks.left_out,
    );
    list(text, "What differs", &checks.failed);
    list(text, "What is refused", &checks.refused);
}

fn kernels(text: &mut String, report: &Report) {
    text.push_str(
        "\n## Kernels\n\n| kernel | us | GFLOP/s | GB/s | % of roofline |\n|---|---:|---:|---:|---:|\n",
    );
    for row in &report.kernels.measured {
        let cost = row.cost;
        let percent = cost.percent_of_roofline();
        let percent = percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1}"));
        let [time, gflops, gbps] = [cost.microseconds, cost.gflops(), cost.gbps()];
        let _ = writeln!(text, "| {} | {time:.1} | {gflops:.1} | {gbps:.1} | {percent} |", row.name);
    }
    list(text, "Not timed", &report.kernels.skipped);
}

fn steps(text: &mut String, report: &Report) {
    text.push_str(
        "\n## Training steps\n\n| network | batch | ms | samples/s | GFLOP/s |\n|---|---:|---:|---:|---:|\n",
    );
    for step in &report.steps.timed {
        let [time, rate, gflops] = [step.milliseconds, step.samples_per_second(), step.gflops];
        let _ = writeln!(text, "| {} | {} | {time:.3} | {rate:.1} | {gflops:.1} |", step.network, step.batch);
    }
    list(text, "Not timed", &report.steps.skipped);
}

/// What was left out, and why.
fn list(text: &mut String, title: &str, skipped: &[Skipped]) {
    if skipped.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:\n");
    for Skipped { name, why } in skipped.iter().take(NAMED) {
        let _ = writeln!(text, "- {name}: {why}");
    }
    if skipped.len() > NAMED {
        let _ = writeln!(text, "- and {} more, which report.json lists", skipped.len() - NAMED);
    }
}
