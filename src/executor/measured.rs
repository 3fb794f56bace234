use std::sync::{Mutex, PoisonError};

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
    found: Mutex<Option<Capacity>>,
}

impl Measured {
    /// Before anything is measured.
    pub const fn nothing() -> Self {
        Measured { found: Mutex::new(None) }
    }

    /// What `measure` finds, the first time; others wait meanwhile, so that none disturbs it.
    pub fn get_or(&self, measure: impl FnOnce() -> Result<Capacity>) -> Result<Capacity> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *found {
            return Ok(known);
        }
        let capacity = measure()?;
        *found = Some(capacity);
        Ok(capacity)
    }
}
