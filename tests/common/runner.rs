//! Runs the examples as a user does: what they print last, what `--out` leaves behind, and how they
//! fail.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub use serde_json::Value as Json;

/// The folder of the built examples, beside the folder of this binary. `cargo test --test NAME`
/// builds no examples, so they are built here; where they are up to date this costs nothing.
fn examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let own = std::env::current_exe().expect("a running binary has a path");
        let profile = own.ancestors().nth(2).expect("test binaries lie in target/PROFILE/deps");
        let target = profile.parent().expect("profiles lie in the target folder");
        let name = match profile.file_name().and_then(|n| n.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--examples", "--profile", name, "--target-dir"])
            .arg(target)
            .args(["--no-default-features", "--features", &features().join(",")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the examples do not build");
        profile.join("examples")
    })
}

/// The features that these tests are built with: the examples have them too, so that nothing is built for
/// other ones.
fn features() -> Vec<&'static str> {
    let features = [
        ("default", cfg!(feature = "default")),
        ("checkpoints", cfg!(feature = "checkpoints")),
        ("data", cfg!(feature = "data")),
        ("plots", cfg!(feature = "plots")),
        ("progress", cfg!(feature = "progress")),
        ("images", cfg!(feature = "images")),
        ("download", cfg!(feature = "download")),
    ];
    features.into_iter().filter(|&(_, on)| on).map(|(name, _)| name).collect()
}

pub fn run(example: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(examples().join(example));
    command.args(flags).env_remove("RETAPE_DATA").env_remove("WGPU_ADAPTER_NAME");
    command.output().unwrap_or_else(|e| panic!("{example} does not start: {e}"))
}

/// The object of results that ends a successful run.
pub fn results(example: &str, flags: &[&str]) -> Json {
    let output = run(example, flags);
    let stdout = String::from_utf8(output.stdout).expect("examples print UTF-8");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} {flags:?}: {}\n{stdout}\n{stderr}", output.status);
    let last = stdout.lines().last().unwrap_or_default();
    let json: Json = serde_json::from_str(last).unwrap_or_else(|e| panic!("{example}: {e} in `{last}`"));
    assert!(json.is_object(), "{example}: `{last}`");
    assert_eq!(json["example"], example);
    assert!(json["device"].is_string() && json["seconds"].is_number(), "{example}: `{last}`");
    json
}

/// The one line that a failed run leaves on standard error. Drivers' own lines do not count.
pub fn failure(example: &str, flags: &[&str]) -> String {
    let output = run(example, flags);
    assert_eq!(output.status.code(), Some(1), "{example} {flags:?}: {output:?}");
    let stderr = String::from_utf8(output.stderr).expect("examples print UTF-8");
    let ours: Vec<&str> = stderr.lines().filter(|line| !line.contains("XDG_RUNTIME_DIR")).collect();
    let [line] = ours[..] else { panic!("{example} {flags:?}: one line expected:\n{stderr}") };
    line.strip_prefix("error: ")
        .unwrap_or_else(|| panic!("`{line}` does not begin with `error: `"))
        .to_owned()
}

pub fn number(results: &Json, key: &str) -> f64 {
    results[key].as_f64().unwrap_or_else(|| panic!("`{key}` is no number in {results}"))
}

/// The GPU that the tests run on, as the other tests choose it.
pub fn gpu() -> String {
    std::env::var("RETAPE_TEST_DEVICE").ok().filter(|n| !n.is_empty()).unwrap_or_else(|| "gpu".to_owned())
}

/// The results of an example that trains a classifier: what all of them report.
pub fn classifier(example: &str, flags: &[&str]) -> Json {
    let results = results(example, flags);
    for share in ["train_accuracy", "test_accuracy"] {
        assert!((0.0..=1.0).contains(&number(&results, share)), "{results}");
    }
    for key in ["train_loss", "test_loss"] {
        assert!(number(&results, key) >= 0.0, "{results}");
    }
    for key in ["epochs", "batch", "parameters", "train_samples", "test_samples"] {
        assert!(results[key].is_u64(), "no `{key}` in {results}");
    }
    assert!(results["parameters_hash"].is_string(), "{results}");
    results
}
