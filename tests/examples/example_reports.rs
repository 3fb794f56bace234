//! The examples that look at a device: what they find, and the files that they leave.

use std::fs;

use crate::folder::Folder;
use crate::runner::{Json, failure, gpu, number, results, run};

#[test]
fn profile_times_a_networks_step() {
    for (device, clock) in [("cpu", "host"), (&gpu()[..], "")] {
        let folder = Folder::new();
        let flags = [
            "--device",
            device,
            "--network",
            "lenet5",
            "--batch",
            "3",
            "--repeats",
            "2",
            "--out",
            folder.path(),
        ];
        let found = results("profile", &flags);
        assert_eq!(
            (&found["network"], &found["batch"], &found["repeats"]),
            (&"lenet5".into(), &3.into(), &2.into())
        );
        let used = found["clock"].as_str().expect("a clock");
        assert!(if clock.is_empty() { ["device", "host"].contains(&used) } else { used == clock }, "{found}");
        let total = number(&found["total"], "us");
        for groups in ["kernels", "layers"] {
            let groups = found[groups].as_array().expect("a list");
            let sum: f64 = groups.iter().map(|group| number(&group["total"], "us")).sum();
            assert!(
                !groups.is_empty() && (sum - total).abs() < 0.01 * (total + groups.len() as f64),
                "{found}"
            );
        }
        assert!(number(&found["roofline"], "gflops") > 0.0 && number(&found, "milliseconds_per_step") > 0.0);

        let read = |name: &str| fs::read_to_string(folder.0.join(name)).expect("it was written");
        let trace: Json = serde_json::from_str(&read("trace.json")).expect("it is JSON");
        let events = trace["traceEvents"].as_array().expect("a list");
        let dispatches = number(&found, "dispatches") as usize;
        assert_eq!(events.iter().filter(|e| e["ph"] == "X" && e["tid"] == 1).count(), dispatches);
        assert_eq!(read("profile.csv").lines().count(), dispatches + 1);
    }
    assert!(!run("profile", &["--network", "nosuch"]).status.success());
    let message = failure("profile", &["--device", "cpu", "--network", "vgg16", "--batch", "100000000"]);
    assert!(message.contains("elements") || message.contains("memory"), "{message}");
}

#[test]
fn report_checks_and_measures_a_device() {
    for device in ["cpu", &gpu()] {
        let folder = Folder::new();
        let found = results("report", &["--device", device, "--seconds", "6", "--out", folder.path()]);
        assert_eq!((&found["passed"], &found["training"]["passed"]), (&true.into(), &true.into()), "{found}");
        let checks = &found["checks"];
        assert!(number(checks, "passed") > 30.0, "{checks}");
        assert_eq!(checks["failed"], Json::Array(Vec::new()));
        assert!(checks["operators"].as_array().expect("a list").len() > 30, "{checks}");
        assert!(number(&found["roofline"], "gbps") > 0.0);
        // What there is no time for is named.
        for (part, rows) in [("kernels", "measured"), ("steps", "timed")] {
            let count = |what: &str| found[part][what].as_array().expect("a list").len();
            assert!(count("skipped") + count(rows) >= 9, "{}", found[part]);
        }

        let written = fs::read_to_string(folder.0.join("report.json")).expect("it was written");
        assert_eq!(serde_json::from_str::<Json>(&written).expect("it is JSON"), found);
        let text = fs::read_to_string(folder.0.join("report.md")).expect("it was written");
        for part in ["## Self-test: passed", "## Kernels", "## Training steps", "GFLOP/s"] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
    }
}
