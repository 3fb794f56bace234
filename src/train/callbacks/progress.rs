use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Callback, Run};
use crate::error::Result;

/// A bar on standard error with the epoch, the time left, the figures so far and the samples per
/// second; nothing at all where standard error is no terminal.
///
/// [`fit`](crate::train::Trainer::fit) shows one by itself, unless told not to.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    /// Samples before this epoch.
    seen: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

impl Progress {
    /// A bar that appears with the first epoch.
    pub fn new() -> Self {
        Progress { bar: ProgressBar::hidden(), begun: Instant::now(), seen: 0 }
    }

    fn show(&self, run: &mut Run<'_>, samples: usize) -> Result<()> {
        let rate = samples as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_position(done(run));
        let epoch = format!("epoch {}/{}", run.epoch() + 1, run.epochs());
        let logs = run.logs()?.to_string();
        self.bar.set_message(format!("{epoch}  {logs}  {rate:.0} samples/s"));
        Ok(())
    }
}

/// Steps done in all.
fn done(run: &Run<'_>) -> u64 {
    (run.epoch() as u64).saturating_mul(run.steps_per_epoch() as u64).saturating_add(run.step() as u64)
}

impl Callback for Progress {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        let bar = ProgressBar::new((run.epochs() as u64).saturating_mul(run.steps_per_epoch() as u64));
        // The template is a constant; without it the bar is plain.
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}  {eta} left  {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_position(done(run));
        bar.reset_eta();
        (self.bar, self.begun, self.seen) = (bar, Instant::now(), 0);
        Ok(())
    }

    fn refreshes(&self) -> bool {
        !self.bar.is_hidden()
    }

    fn on_refresh(&mut self, run: &mut Run<'_>) -> Result<()> {
        let samples = self.seen + run.samples();
        self.show(run, samples)
    }

    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.seen += run.samples();
        if self.bar.is_hidden() {
            return Ok(());
        }
        let (epoch, epochs) = (run.epoch() + 1, run.epochs());
        let width = epochs.to_string().len();
        let logs = run.logs()?.to_string();
        self.bar.println(format!("epoch {epoch:width$}/{epochs}  {logs}"));
        let samples = self.seen;
        self.show(run, samples)
    }

    fn on_train_end(&mut self, _: &mut Run<'_>) -> Result<()> {
        self.bar.finish_and_clear();
        Ok(())
    }
}

/// An error of `fit` takes the bar away as well.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
