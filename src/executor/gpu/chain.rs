use std::sync::Arc;
use std::time::Instant;

use super::context::GpuContext;
use super::pace::{self, Load};
use crate::error::Result;

/// Steps of one or several sessions of a device, encoded one after the other into submissions of about the time that
/// the device's [`Flight`](super::flight::Flight) has for one. They end wherever that is reached, within a step too.
pub(crate) struct GpuChain {
    context: Arc<GpuContext>,
    open: Option<Open>,
    load: Load,
    /// Whether the host may have nothing under way.
    early: bool,
    /// How many small submissions may be under way.
    most: usize,
}

/// An encoder with the pass that is being recorded; the pass ends first.
struct Open {
    pass: wgpu::ComputePass<'static>,
    encoder: wgpu::CommandEncoder,
}

impl GpuChain {
    pub fn new(context: Arc<GpuContext>, most: usize) -> Self {
        GpuChain { context, open: None, load: Load::default(), early: true, most }
    }

    /// The pass to record the next dispatches into, of which that many go in: those are expected to take `guesses`.
    /// Hands over what is recorded where none does.
    pub fn pass(&mut self, guesses: &[f64]) -> Result<(&mut wgpu::ComputePass<'static>, usize)> {
        let is_full = |load: &Load, limit| guesses.first().is_some_and(|&guess| !load.takes(guess, limit));
        if is_full(&self.load, self.limit()) {
            self.hand_over()?;
            self.early = false;
        }
        let limit = self.limit();
        let open = match self.open.take() {
            Some(open) => open,
            None => self.context.scoped(0, || Open::new(&self.context.device))?,
        };
        let count = self.load.fill(guesses, limit);
        Ok((&mut self.open.insert(open).pass, count))
    }

    fn limit(&self) -> f64 {
        pace::limit(self.context.flight.guesses(), self.early)
    }

    /// Hands over what is recorded, and waits until no more than a few submissions are under way.
    pub fn submit(&mut self) -> Result<()> {
        self.early = true;
        self.hand_over()
    }

    fn hand_over(&mut self) -> Result<()> {
        let Some(Open { pass, encoder }) = self.open.take() else { return Ok(()) };
        let Load { guess, .. } = std::mem::take(&mut self.load);
        let from = Instant::now();
        let submitted = self.context.scoped(0, || {
            drop(pass);
            self.context.queue.submit([encoder.finish()])
        })?;
        let oldest = self.context.flight.begin(submitted, from, guess, self.most);
        oldest.map_or(Ok(()), |oldest| self.context.wait_for(&oldest))
    }
}

impl Open {
    fn new(device: &wgpu::Device) -> Open {
        let mut encoder = device.create_command_encoder(&Default::default());
        Open { pass: encoder.begin_compute_pass(&Default::default()).forget_lifetime(), encoder }
    }
}

/// Steps that are encoded are counted as done, whatever came in the way of the next one: an error, or a panic of
/// the program's. Of a step that an error ends there is nothing left to hand over.
impl Drop for GpuChain {
    fn drop(&mut self) {
        if let Err(error) = self.submit() {
            log::debug!("steps were not submitted: {error}");
        }
    }
}
