//! What this crate's own tests and benches look into. No part of the interface: it changes without notice.

use std::sync::atomic::Ordering;
use std::time::Duration;

pub use crate::executor::gpu::executor::RawDispatch;

use crate::error::Result;
use crate::executor::gpu::pace;
use crate::executor::{Device, GpuExecutor, Links, needed};
use crate::kernel::Shader;
use crate::ops::Probe;
use crate::session::{Session, SessionOptions, probe};
use crate::tape::{Plan, Tape};
use crate::train::Trainer;

/// A GPU session over a plan of the caller's.
pub fn session_with_plan(
    tape: &Tape,
    device: &Device,
    plan: Plan,
    options: SessionOptions<'_>,
) -> Result<Session> {
    tape.session_planned(device, Some(plan), options)
}

/// Surrounds every GPU buffer with guard bytes.
pub fn guarded(mut options: SessionOptions<'_>) -> SessionOptions<'_> {
    options.guard = true;
    options
}

/// The step's dispatches as wgpu objects.
pub fn raw_dispatches(session: &Session) -> Vec<RawDispatch> {
    session.executor.gpu().map_or_else(Vec::new, GpuExecutor::raw_dispatches)
}

/// The same with pipelines that have not run, on a device that compiles everything anew from here on.
pub fn fresh_dispatches(session: &Session) -> Vec<RawDispatch> {
    let made = session.executor.gpu().map_or_else(|| Ok(Vec::new()), GpuExecutor::fresh_dispatches);
    made.unwrap_or_else(|error| panic!("{error}"))
}

/// Fills every result buffer and all guards with NaNs.
pub fn poison(session: &Session) {
    let poisoned = session.executor.gpu().map_or(Ok(()), GpuExecutor::poison);
    poisoned.unwrap_or_else(|error| panic!("{error}"));
}

/// The buffers whose guards were overwritten.
pub fn broken_guards(session: &Session) -> Result<Vec<usize>> {
    session.executor.gpu().map_or(Ok(Vec::new()), GpuExecutor::broken_guards)
}

/// The bytes that a session of the reference reserves for a tape.
pub fn reserved(tape: &Tape) -> u64 {
    needed(tape, &Links::default())
}

/// How often anything was read back from a device; 0 on the CPU.
pub fn readbacks(device: &Device) -> u64 {
    device.context().map_or(0, |context| context.reads.load(Ordering::Relaxed))
}

/// How many submissions of steps were handed over to a device; 0 on the CPU.
pub fn submissions(device: &Device) -> u64 {
    device.context().map_or(0, |context| context.flight.submitted.load(Ordering::Relaxed))
}

/// How many of a plan's dispatches go into each submission of its first replay, where one should take `about` as long
/// as this; and what the device of the plan is expected to take for each dispatch, in seconds.
pub fn submissions_of(plan: &Plan, about: Duration) -> (Vec<usize>, Vec<f64>) {
    let guesses: Vec<f64> = plan.dispatches.iter().map(|d| pace::guess(plan.profile.kind, d.work)).collect();
    (pace::submissions(&guesses, about.as_secs_f64()), guesses)
}

/// The tapes of the probes by which a device's roofline is measured, over so many rows: a copy, and multiply-adds.
pub fn probes(rows: usize, loops: usize) -> [Result<Tape>; 2] {
    [probe(Probe::Copy, rows), probe(Probe::MultiplyAdd { loops }, rows)]
}

/// A checkpoint or file of weights that was changed, with the checksum of what it is now.
#[cfg(feature = "checkpoints")]
pub fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    crate::train::seal(&mut file);
    file
}

/// The training steps that a trainer has recorded.
pub fn recorded_steps(trainer: &Trainer) -> usize {
    trainer.recorded_steps()
}

/// The validated module of a shader, and its analysis.
pub fn module(shader: &Shader) -> Result<(&naga::Module, &naga::valid::ModuleInfo)> {
    shader.module()
}

/// A shader reduced to one entry point, its `override` constants replaced by their values, over buffers of which
/// those with these binding numbers are of half precision.
pub fn specialise(
    shader: &Shader,
    entry: &'static str,
    constants: &[(&str, f64)],
    halves: &[u32],
) -> Result<naga::Module> {
    shader.specialise(entry, constants, halves)
}
