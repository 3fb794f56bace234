use std::collections::VecDeque;
use std::sync::Arc;

use super::context::GpuContext;
use crate::error::Result;

/// Submissions that may be under way at once: the device never waits for the host, and what is
/// uploaded ahead stays bounded.
const IN_FLIGHT: usize = 3;

/// Steps of one or several sessions of a device, encoded one after the other into few submissions.
pub(crate) struct GpuChain {
    context: Arc<GpuContext>,
    open: Option<Open>,
    dispatches: usize,
    submitted: VecDeque<wgpu::SubmissionIndex>,
}

/// An encoder with the pass that is being recorded; the pass ends first.
struct Open {
    pass: wgpu::ComputePass<'static>,
    encoder: wgpu::CommandEncoder,
}

impl GpuChain {
    pub fn new(context: Arc<GpuContext>) -> Self {
        GpuChain { context, open: None, dispatches: 0, submitted: VecDeque::new() }
    }

    /// The pass to record the next `dispatches` dispatches into; submits what is recorded where more
    /// than `limit` would come together.
    pub fn pass(&mut self, dispatches: usize, limit: usize) -> Result<&mut wgpu::ComputePass<'static>> {
        if self.dispatches + dispatches > limit {
            self.submit()?;
        }
        self.dispatches += dispatches;
        let open = match self.open.take() {
            Some(open) => open,
            None => self.context.scoped(0, || Open::new(&self.context.device))?,
        };
        Ok(&mut self.open.insert(open).pass)
    }

    /// Hands over what is recorded, and waits until no more than a few submissions are under way.
    pub fn submit(&mut self) -> Result<()> {
        let Some(Open { pass, encoder }) = self.open.take() else { return Ok(()) };
        self.dispatches = 0;
        let submitted = self.context.scoped(0, || {
            drop(pass);
            self.context.queue.submit([encoder.finish()])
        });
        self.submitted.push_back(submitted?);
        if self.submitted.len() > IN_FLIGHT
            && let Some(oldest) = self.submitted.pop_front()
        {
            self.context.wait_for(oldest)?;
        }
        Ok(())
    }
}

impl Open {
    fn new(device: &wgpu::Device) -> Open {
        let mut encoder = device.create_command_encoder(&Default::default());
        Open { pass: encoder.begin_compute_pass(&Default::default()).forget_lifetime(), encoder }
    }
}

/// Steps that are encoded are counted as done, whatever came in the way of the next one: an error, or a panic of
/// the program's.
impl Drop for GpuChain {
    fn drop(&mut self) {
        if let Err(error) = self.submit() {
            log::debug!("steps were not submitted: {error}");
        }
    }
}
