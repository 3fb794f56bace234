//! Functions of the program as callbacks.

use super::{Callback, Run};
use crate::error::Result;

/// Called after each epoch: [`Fit::on_epoch_end`](crate::train::Fit::on_epoch_end).
pub(crate) struct OnEpochEnd<F>(pub F);

impl<F: FnMut(&mut Run<'_>) -> Result<()>> Callback for OnEpochEnd<F> {
    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        (self.0)(run)
    }
}

/// Called after every so many steps: [`Fit::on_steps`](crate::train::Fit::on_steps).
pub(crate) struct OnSteps<F> {
    pub every: u32,
    pub function: F,
}

impl<F: FnMut(&mut Run<'_>) -> Result<()>> Callback for OnSteps<F> {
    fn every_steps(&self) -> Option<u32> {
        Some(self.every)
    }

    fn on_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        (self.function)(run)
    }
}

/// Called a few times a second: [`Fit::on_refresh`](crate::train::Fit::on_refresh).
pub(crate) struct OnRefresh<F>(pub F);

impl<F: FnMut(&mut Run<'_>) -> Result<()>> Callback for OnRefresh<F> {
    fn refreshes(&self) -> bool {
        true
    }

    fn on_refresh(&mut self, run: &mut Run<'_>) -> Result<()> {
        (self.0)(run)
    }
}
