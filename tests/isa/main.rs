//! The kernels of training steps as a real GPU compiler makes them, on a machine without a GPU: Mesa's RADV on its
//! null device. They spill no registers, and their loops hold what they held before.
//!
//! `cargo test --test isa -- --nocapture` prints the tables, `RETAPE_ISA_BASELINE=write` writes the baselines anew.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod assembly;
mod kernels;
mod loops;
#[path = "../common/steps.rs"]
mod networks;
mod radv;
mod steps;
mod table;
mod waste;

use std::process::Command;

use table::Row;

/// The body of the other tests' child processes.
#[test]
#[ignore = "it runs in a process of its own, for one GPU"]
fn compiled_for_one_gpu() {
    let device = radv::NullDevice::open().unwrap_or_else(|e| panic!("{e}"));
    println!("driver\t{}\t{}", device.name, device.version);
    for (name, kernel) in kernels::all() {
        let compiled =
            device.compile(&kernel.words(), kernel.entry).unwrap_or_else(|e| panic!("{name}: {e}"));
        println!("{}", Row::new(name, &compiled).line());
    }
}

/// The table of a GPU family, and the driver that made it.
fn compiled(family: &str) -> (String, Vec<Row>) {
    let Some(driver) = radv::driver() else {
        panic!(
            "these tests need Mesa's RADV; on Debian or Ubuntu: sudo apt-get install -y mesa-vulkan-drivers"
        )
    };
    let output = Command::new(std::env::current_exe().expect("a running binary has a path"))
        .args(["--ignored", "--exact", "--nocapture", "compiled_for_one_gpu"])
        .env("RADV_FORCE_FAMILY", family)
        .env("VK_DRIVER_FILES", driver)
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{family}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    let driver = text.lines().find_map(|line| line.strip_prefix("driver\t")).expect("the driver is named");
    (driver.replace('\t', ", "), text.lines().filter_map(Row::parse).collect())
}

fn check(family: &str) -> (String, Vec<Row>) {
    let (driver, rows) = compiled(family);
    println!("{family}: {driver}\n{}", table::table(&rows));
    assert!(rows.len() > 100, "{family}: {} kernels", rows.len());
    let spilling: Vec<_> = rows.iter().filter(|row| row.spills > 0).map(|row| &row.name).collect();
    assert!(spilling.is_empty(), "{family} spills registers in {spilling:#?}");
    (driver, rows)
}

#[test]
fn loops_hold_what_they_held_on_navi21() {
    let (driver, rows) = check("navi21");
    table::check_baseline("navi21", &driver, &rows);
    // Share, registers and subgroups of the large tile, of f32 operands that are stored in rows of whole quads: those
    // of half precision are widened as they are brought in.
    let of = |tile: &str, not: &[&str]| -> Vec<&Row> {
        let fits = |row: &&Row| row.name.contains(tile) && !not.iter().any(|not| row.name.contains(not));
        let found: Vec<_> = rows.iter().filter(fits).collect();
        assert!(!found.is_empty(), "no kernel is {tile}");
        found
    };
    for row in of("matmul_blocks", &["ONES", "RAGGED", "f16"]).into_iter().filter(|row| row.has_quads()) {
        if row.name.contains("ROWS=128 COLUMNS=128") {
            assert!(row.share() >= 0.85 && row.registers <= 128 && row.subgroups >= 8, "{row:?}");
        } else if row.name.contains("ROWS=64 COLUMNS=64") {
            assert!(row.share() >= 0.79 && row.registers <= 128 && row.subgroups >= 8, "{row:?}");
        }
    }
    // Without whole quads, the four of a piece may lie in two images.
    let picked = of("conv_blocks", &["RAGGED", "f16"]).into_iter();
    for row in picked.filter(|row| row.name.contains("ROWS=128 COLUMNS=128")) {
        let least = match (row.name.contains("MODE=2"), row.name.contains("QUADS_A")) {
            (true, true) => 0.72,
            (true, false) => 0.70,
            _ => 0.75,
        };
        assert!(row.share() >= least && row.subgroups >= 6, "{row:?}");
    }
}

#[test]
fn loops_hold_what_they_held_on_vega10() {
    let (driver, rows) = check("vega10");
    table::check_baseline("vega10", &driver, &rows);
}

#[test]
fn nothing_is_spilled_on_polaris10() {
    check("polaris10");
}
