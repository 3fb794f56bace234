use std::cell::OnceCell;
#[cfg(feature = "checkpoints")]
use std::path::{Path, PathBuf};

#[cfg(feature = "checkpoints")]
use serde::{Deserialize, Serialize};

use super::Callback;
use crate::error::Result;
use crate::train::{Direction, History, Logs, Trainer};

/// The training that a callback is called from: where it is, its figures, and what may be asked of it.
#[derive(Debug)]
pub struct Run<'a> {
    pub(crate) trainer: &'a mut Trainer,
    pub(crate) position: Position,
    pub(crate) history: &'a History,
    /// The figures, once they are known.
    pub(crate) logs: &'a OnceCell<Logs>,
    /// Whether each epoch ends with a validation.
    pub(crate) validates: bool,
    /// What is wrong with the figures, where something is.
    pub(crate) alarm: Option<&'a str>,
    pub(crate) requests: &'a mut Requests,
}

/// Where a training is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "checkpoints", derive(Serialize, Deserialize))]
pub(crate) struct Position {
    pub epoch: usize,
    #[cfg_attr(feature = "checkpoints", serde(skip))]
    pub epochs: usize,
    /// Steps of this epoch that are done.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Samples that the steps done so far have seen.
    pub samples: usize,
}

/// What callbacks asked for in one call.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub stop: Option<String>,
    #[cfg(feature = "checkpoints")]
    pub checkpoints: Vec<PathBuf>,
}

impl<'a> Run<'a> {
    /// The epoch, counted from 0.
    pub fn epoch(&self) -> usize {
        self.position.epoch
    }

    /// How many epochs training goes on to, those before a resumed one included.
    pub fn epochs(&self) -> usize {
        self.position.epochs
    }

    /// The steps of this epoch that are done.
    pub fn step(&self) -> usize {
        self.position.step
    }

    /// The steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.position.steps
    }

    /// The samples of this epoch that are done.
    pub fn samples(&self) -> usize {
        self.position.samples
    }

    /// The figures of the epoch so far; after it, all of them, those of the validation included.
    /// During an epoch, the first call of a moment reads them from the device. They are not lent by the
    /// `Run`, which may be asked for something while they are at hand:
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let fit =
    /// Fit::epochs(100).on_epoch_end(|run| {
    ///     let logs = run.logs()?;
    ///     if logs.get("loss") < Some(0.01) {
    ///         run.stop(format!("good enough: {logs}"));
    ///     }
    ///     Ok(())
    /// })
    /// # ;
    /// ```
    ///
    /// # Errors
    /// As [`Session::read`](crate::Session::read).
    pub fn logs(&self) -> Result<&'a Logs> {
        if let Some(known) = self.logs.get() {
            return Ok(known);
        }
        let logs = self.trainer.running_logs(self.position.samples)?;
        Ok(self.logs.get_or_init(|| logs))
    }

    /// The figures that each epoch has when it is over, each with whether it is to grow or to shrink, as far
    /// as the loss and the metrics say so.
    pub(crate) fn figures(&self) -> Vec<(String, Direction)> {
        let own = self.trainer.figures();
        let held_out = own.iter().filter(|_| self.validates);
        let held_out: Vec<_> =
            held_out.map(|(name, direction)| (format!("val_{name}"), *direction)).collect();
        let rates = self.trainer.rates().map(|(name, _)| (name.to_owned(), Direction::Auto)).collect();
        [own, held_out, rates].concat()
    }

    /// The epochs before this one.
    pub fn history(&self) -> &'a History {
        self.history
    }

    /// The trainer, for its weights and its sessions.
    pub fn trainer(&mut self) -> &mut Trainer {
        self.trainer
    }

    /// Ends training after this call; the first reason is kept.
    pub fn stop(&mut self, reason: impl Into<String>) {
        self.requests.stop.get_or_insert_with(|| reason.into());
    }

    /// Writes a checkpoint when all callbacks have been called, so that it holds what they remember. One called
    /// `last.safetensors` leaves the file that it takes the place of as `previous.safetensors`.
    #[cfg(feature = "checkpoints")]
    pub fn write_checkpoint(&mut self, path: impl AsRef<Path>) {
        self.requests.checkpoints.push(path.as_ref().to_owned());
    }
}

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
