//! What a compiler made of each kernel, as a table, and against what it made before.

use std::fmt::Write;
use std::path::PathBuf;

use crate::assembly;
use crate::radv::Compiled;

/// A kernel of a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    /// Multiply-adds of the inner loop, all of its instructions, and its loads.
    pub fma: usize,
    pub instructions: usize,
    pub loads: usize,
    /// Registers of a thread, and how many of them are spilled to memory.
    pub registers: u64,
    pub spills: u64,
    /// Subgroups that a unit holds at a time.
    pub subgroups: u64,
    pub workgroup_bytes: u64,
}

/// By how much the share of multiply-adds may fall short of the baseline.
const SLACK: f64 = 0.01;

impl Row {
    pub fn new(name: String, compiled: &Compiled) -> Row {
        let number =
            |wanted: &str| compiled.statistics.iter().find(|(name, _)| name == wanted).map_or(0, |s| s.1);
        let mix = assembly::inner_loop(&compiled.assembly).unwrap_or_default();
        Row {
            name,
            fma: mix.fma,
            instructions: mix.all,
            loads: mix.loads,
            registers: number("VGPRs"),
            spills: number("Spilled VGPRs") + number("Spilled SGPRs"),
            subgroups: number("Subgroups per SIMD"),
            workgroup_bytes: number("LDS size"),
        }
    }

    /// The part of its inner loop's instructions that are multiply-adds.
    pub fn share(&self) -> f64 {
        self.fma as f64 / self.instructions.max(1) as f64
    }

    /// Whether both operands of a product have rows of whole quads.
    pub fn has_quads(&self) -> bool {
        self.name.contains("QUADS_A=1") && self.name.contains("QUADS_B=1")
    }

    pub fn line(&self) -> String {
        let Row { name, fma, instructions, loads, registers, spills, subgroups, workgroup_bytes } = self;
        format!(
            "{fma}\t{instructions}\t{loads}\t{registers}\t{spills}\t{subgroups}\t{workgroup_bytes}\t{name}"
        )
    }

    pub fn parse(line: &str) -> Option<Row> {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[fma, instructions, loads, registers, spills, subgroups, workgroup_bytes, name] = &fields[..]
        else {
            return None;
        };
        Some(Row {
            name: name.to_owned(),
            fma: fma.parse().ok()?,
            instructions: instructions.parse().ok()?,
            loads: loads.parse().ok()?,
            registers: registers.parse().ok()?,
            spills: spills.parse().ok()?,
            subgroups: subgroups.parse().ok()?,
            workgroup_bytes: workgroup_bytes.parse().ok()?,
        })
    }
}

pub fn table(rows: &[Row]) -> String {
    let mut text = "share   fma   all loads  VGPRs spills subgroups  bytes  kernel\n".to_owned();
    for row in rows {
        let Row { name, fma, instructions, loads, registers, spills, subgroups, workgroup_bytes } = row;
        let _ = writeln!(
            text,
            "{:5.2} {fma:5} {instructions:5} {loads:5} {registers:6} {spills:6} {subgroups:9} {workgroup_bytes:6}  {name}",
            row.share()
        );
    }
    text
}

/// Compares with the baseline of the family, which says of what driver it is. Kernels that are not in it are new;
/// another driver's figures are no worse and no better.
pub fn check_baseline(family: &str, driver: &str, rows: &[Row]) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/isa/{family}.tsv"));
    if std::env::var("RETAPE_ISA_BASELINE").is_ok_and(|v| v == "write") {
        let lines: Vec<_> = rows.iter().map(Row::line).collect();
        std::fs::write(&file, format!("{driver}\n{}\n", lines.join("\n")))
            .expect("the baseline can be written");
        return;
    }
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let known = text.lines().next().unwrap_or_default();
    if known != driver {
        println!("{family}: the baseline is of {known}, which says nothing of {driver}");
        return;
    }
    let before: Vec<Row> = text.lines().filter_map(Row::parse).collect();
    let worse = rows.iter().filter_map(|row| {
        let old = before.iter().find(|old| old.name == row.name)?;
        let slower = row.share() < old.share() - SLACK || row.subgroups < old.subgroups;
        slower.then(|| format!("was {}\nis  {}", old.line(), row.line()))
    });
    let worse: Vec<_> = worse.collect();
    assert!(worse.is_empty(), "{family}: slower than before\n{}", worse.join("\n"));
    let missing = rows.iter().filter(|row| row.fma >= 64 && !before.iter().any(|old| old.name == row.name));
    let missing: Vec<_> = missing.map(|row| &row.name).collect();
    assert!(missing.is_empty(), "{family}: not in the baseline: {missing:#?}");
}
