//! What a device does at most, measured once.

use std::time::{Duration, Instant};

use super::{Session, SessionOptions};
use crate::error::Result;
use crate::executor::{Backend, Capacity, Device, Measured};
use crate::graph::Graph;
use crate::kernel::{Clock, DeviceKind, Roofline};
use crate::ops::Probe;
use crate::tape::Tape;

/// What was found about the CPU, which all its devices are.
static CPU: Measured = Measured::nothing();

/// A step of a probe is made longer until it takes this, as long as it is one of arithmetic.
const STEP: Duration = Duration::from_millis(5);
/// What a run takes at least, of as many steps as are needed for that, and how many runs there are: the best counts.
const RUN: Duration = Duration::from_millis(20);
const RUNS: usize = 5;

/// How often a step of arithmetic loops at first, and at most.
const LOOPS: [usize; 2] = [16, 16 << 10];

/// How much more or less than the host's clock the device's may show of a step, of which the host sees all.
const AGREEMENT: [f64; 2] = [0.5, 1.05];

impl Device {
    /// What the device does at most, by two built-in kernels: multiply-adds a second of numbers in registers, and bytes a
    /// second of a copy that no cache holds. [`Session::profile`] compares kernels with it. The first call for a device
    /// or one of its clones measures for some tenths of a second, with up to 256 MiB of the device's memory meanwhile; those that
    /// follow give the same. `None` for the reference, which is not made to be fast.
    ///
    /// ```
    /// # use retape::prelude::*;
    /// if let Some(roofline) = Device::cpu().roofline()? {
    ///     println!("{roofline}"); // 123.4 GFLOP/s, 12.3 GB/s
    /// }
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), and those of [`Session::replay`].
    pub fn roofline(&self) -> Result<Option<Roofline>> {
        Ok(self.capacity()?.map(|capacity| capacity.roofline))
    }

    /// The same with the clock that tells what a dispatch takes.
    pub(crate) fn capacity(&self) -> Result<Option<Capacity>> {
        let measured = match &self.backend {
            Backend::Reference => return Ok(None),
            Backend::Cpu => &CPU,
            Backend::Gpu(context) => &context.measured,
        };
        measured.get_or(|| Probes { device: self }.measure()).map(Some)
    }
}

/// The tape of a probe over so many rows.
pub(crate) fn probe(probe: Probe, rows: usize) -> Result<Tape> {
    let mut g = Graph::new();
    let x = g.input("x", [rows, 4]);
    let y = g.apply1(probe, &[x])?;
    g.forward([y])
}

/// The probes of a device.
struct Probes<'a> {
    device: &'a Device,
}

impl Probes<'_> {
    fn is_gpu(&self) -> bool {
        self.device.profile().is_some_and(|profile| profile.kind == DeviceKind::Gpu)
    }

    fn measure(&self) -> Result<Capacity> {
        let (flops, clock) = self.arithmetic()?;
        Ok(Capacity { roofline: Roofline::new(flops / 1e9, self.bandwidth()? / 1e9), clock })
    }

    fn session(&self, kind: Probe, rows: usize) -> Result<Session> {
        probe(kind, rows)?.session_with(self.device, SessionOptions::new())
    }

    /// Seconds of some steps, until they have run.
    fn seconds(&self, session: &mut Session, steps: usize) -> Result<f64> {
        let start = Instant::now();
        session.replay_n(steps)?;
        self.device.context().map_or(Ok(()), |context| context.wait())?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds of a step in the best of several runs.
    fn best(&self, session: &mut Session) -> Result<f64> {
        self.seconds(session, 1)?;
        let once = self.seconds(session, 1)?;
        let steps = (RUN.as_secs_f64() / once).clamp(1.0, 1e4).ceil();
        let mut best = once;
        for _ in 0..RUNS {
            best = best.min(self.seconds(session, steps as usize)? / steps);
        }
        Ok(best)
    }

    /// Bytes a second.
    fn bandwidth(&self) -> Result<f64> {
        // More than caches hold, but for software drivers, which would take long.
        let profile = self.device.profile();
        let most = profile.map_or(u64::MAX, |p| p.max_binding_bytes.min(p.max_buffer_bytes));
        let is_software = profile.is_some() && !self.is_gpu();
        let bytes = most.min(if is_software { 32 << 20 } else { 128 << 20 });
        let rows = (bytes / 16) as usize;
        let seconds = self.best(&mut self.session(Probe::Copy, rows)?)?;
        Ok(2.0 * 16.0 * rows as f64 / seconds)
    }

    /// Floating-point operations a second, and which clock is to be trusted.
    fn arithmetic(&self) -> Result<(f64, Clock)> {
        let rows = if self.is_gpu() { 1 << 18 } else { 1 << 10 };
        let [mut loops, most] = LOOPS;
        let mut first = self.session(Probe::MultiplyAdd { loops }, rows)?;
        self.seconds(&mut first, 1)?;
        let mut session = self.session(Probe::MultiplyAdd { loops }, rows)?;
        while loops < most && self.seconds(&mut session, 1)? < STEP.as_secs_f64() {
            loops *= 4;
            session = self.session(Probe::MultiplyAdd { loops }, rows)?;
        }
        let seconds = self.best(&mut session)?;
        let tape = session.replayed();
        let flops: f64 = tape.ops().iter().map(|node| 2.0 * tape.work_of(node).multiply_adds as f64).sum();
        Ok((flops / seconds, self.clock([&mut first, &mut session])?))
    }

    /// The device's clock, if it has one that shows something of a short step and agrees with the host's about a long one
    /// more often than not.
    fn clock(&self, [short, long]: [&mut Session; 2]) -> Result<Clock> {
        if !self.device.context().is_some_and(|context| context.has_clock()) {
            return Ok(Clock::Host);
        }
        let mut agreed = 0;
        for _ in 0..RUNS {
            let sum = |timed: Vec<(usize, f64)>| timed.iter().map(|(_, seconds)| seconds).sum::<f64>();
            let shown = sum(short.executor.timed(&short.scalars, Clock::Device)?);
            let start = Instant::now();
            let all = sum(long.executor.timed(&long.scalars, Clock::Device)?);
            let host = start.elapsed().as_secs_f64();
            log::debug!("of {host} s the device's clock shows {all} s, and {shown} s of a short step");
            let [least, most] = AGREEMENT.map(|share| share * host);
            agreed += usize::from(shown > 0.0 && (least..=most).contains(&all));
        }
        Ok(if 2 * agreed > RUNS { Clock::Device } else { Clock::Host })
    }
}
