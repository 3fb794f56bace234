use super::Session;
use crate::error::Result;
use crate::executor::Device;
use crate::executor::gpu::{FULL, GpuChain};

/// Steps of several sessions on one device, one after the other. On a GPU they are encoded together
/// into few submissions and run behind the host; on the CPU each runs at once.
///
/// What is written to a session takes effect before everything in the submission that follows, so
/// [`submit`](Chain::submit) goes before a write that must not reach the steps encoded so far.
pub(crate) struct Chain {
    gpu: Option<GpuChain>,
}

impl Chain {
    pub fn new(device: &Device) -> Chain {
        Chain { gpu: device.context().cloned().map(|context| GpuChain::new(context, FULL)) }
    }

    /// Adds a step of a session, with its scalars as they are now.
    pub fn step(&mut self, session: &mut Session) -> Result<()> {
        let Session { executor, scalars, .. } = session;
        match (&mut self.gpu, executor.gpu()) {
            (Some(chain), Some(gpu)) => gpu.record_step(scalars, chain),
            _ => executor.replay(scalars, 1),
        }
    }

    /// Hands over what is encoded.
    pub fn submit(&mut self) -> Result<()> {
        self.gpu.as_mut().map_or(Ok(()), GpuChain::submit)
    }
}
