use std::sync::OnceLock;

use crate::error::Result;
use crate::kernel::{Clock, Roofline};

/// What was found about a device by running something on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub roofline: Roofline,
    /// The clock that tells what a dispatch takes.
    pub clock: Clock,
}

/// What was found, once it is looked for.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    found: OnceLock<Capacity>,
}

impl Measured {
    /// Before anything is measured.
    pub const fn nothing() -> Self {
        Measured { found: OnceLock::new() }
    }

    /// What `measure` finds, the first time. Nobody waits meanwhile, which could be for ever in tasks of one pool of
    /// threads: of several that measure at once, the first to end is believed by all.
    pub fn get_or(&self, measure: impl FnOnce() -> Result<Capacity>) -> Result<Capacity> {
        if let Some(&known) = self.found.get() {
            return Ok(known);
        }
        let capacity = measure()?;
        Ok(*self.found.get_or_init(|| capacity))
    }
}
