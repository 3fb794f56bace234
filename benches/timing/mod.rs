//! What the benches share: the device they run on, the lines asked for, and the time of a step.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::time::{Duration, Instant};

use retape::prelude::*;
use retape::wgpu::PollType;

/// The device that `RETAPE_BENCH_DEVICE` names, else the GPU that `Device::gpu` finds.
pub fn device() -> Device {
    let device = match std::env::var("RETAPE_BENCH_DEVICE") {
        Ok(name) if !name.is_empty() => Device::named(&name),
        _ => Device::gpu(),
    };
    device.unwrap_or_else(|e| panic!("the benches need a GPU adapter: {e}"))
}

/// Whether a line of this name was asked for on the command line: by one of the words in it, or by none.
pub fn is_wanted(name: &str) -> bool {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}

/// The time of `steps` steps, from before they are encoded until they have run.
pub fn time(session: &mut Session, device: &Device, steps: usize) -> Duration {
    let start = Instant::now();
    session.replay_n(steps).expect("the step replays");
    wait(device);
    start.elapsed()
}

/// Waits until the device has done all that it was given.
pub fn wait(device: &Device) {
    if let Some((device, _)) = device.wgpu() {
        device.poll(PollType::wait_indefinitely()).expect("the device finishes");
    }
}

/// The time of one of `steps` steps.
pub fn step(session: &mut Session, device: &Device, steps: usize) -> Duration {
    time(session, device, steps) / steps as u32
}
