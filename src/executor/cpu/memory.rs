use super::steps::Step;
use crate::executor::Links;
use crate::graph::Value;
use crate::tape::{Layout, Tape};

/// The most bytes in use at a time: the buffers but those of other sessions, what references need that stand in
/// for operators, and a copy of the largest value that can be read.
pub(super) fn needed(tape: &Tape, layout: &Layout, steps: &[Step], links: &Links<'_>) -> u64 {
    let buffers = layout.buffers.iter().fold(0u64, |sum, buffer| sum.saturating_add(buffer.bytes));
    let bytes = |&value: &Value| 4 * tape.recording().ty(value).numel() as u64;
    let persistent = tape.persistent();
    let foreign: u64 = persistent.iter().filter(|&&value| links.of(value).is_some()).map(bytes).sum();
    let readable = tape.kept().collect::<Vec<_>>();
    // As f64 beside its f32.
    let copied = persistent.iter().chain(&readable).map(|value| bytes(value).saturating_mul(3)).max();
    let reference = steps.iter().map(|step| step.reference_bytes(tape)).max();
    let extra = copied.unwrap_or(0).max(reference.unwrap_or(0));
    buffers.saturating_sub(foreign).saturating_add(extra)
}
