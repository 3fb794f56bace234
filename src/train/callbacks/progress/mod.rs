#[cfg(feature = "progress")]
mod bar;

use std::time::Instant;

#[cfg(feature = "progress")]
use bar::Bar;

use super::{Callback, Run};
use crate::error::Result;
use crate::train::figures::{GAP, wrapped};

/// How training goes, on standard error: on a terminal a bar with the epoch, the time left, the figures so far
/// and the samples per second, which leaves a line for each epoch; elsewhere, such as in the log of a server,
/// a line for each epoch alone. A loss that is no number is said at once, and at the end why training
/// stopped early.
///
/// [`fit`](crate::train::Trainer::fit) has one by itself, unless
/// [`Fit::progress`](crate::train::Fit::progress) tells it not to. Without the feature `progress` there are
/// lines on terminals too.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::callbacks::Progress;
/// # let fit =
/// // The bar on a terminal, nothing elsewhere.
/// Fit::epochs(10).progress(false).callback(Progress::new().lines(false))
/// # ;
/// ```
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Progress {
    bar: Bar,
    lines: bool,
    begun: Instant,
    /// Samples before this epoch.
    seen: usize,
    /// Samples that an interrupted training had seen of its epoch before this one went on.
    earlier: usize,
    /// What has been said of figures that are no numbers.
    alarm: Option<String>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

impl Progress {
    /// A bar or lines that begin with the first epoch.
    pub fn new() -> Self {
        Progress { bar: Bar::hidden(), lines: true, begun: Instant::now(), seen: 0, earlier: 0, alarm: None }
    }

    setters! {
        /// Whether there is a line for each epoch where standard error is no terminal; there is by default.
        lines: bool => lines;
    }

    fn show(&mut self, run: &Run<'_>) -> Result<()> {
        if self.bar.is_hidden() {
            return Ok(());
        }
        let samples = (self.seen + run.samples()).saturating_sub(self.earlier);
        let rate = samples as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        let parts = parts(run, 1)?.chain([format!("{rate:.0} samples/s")]);
        self.bar.show(steps(run)[0], parts);
        Ok(())
    }

    /// A line that stays.
    fn print(&self, parts: impl IntoIterator<Item = String>, gap: &str) {
        if !self.bar.is_hidden() {
            self.bar.print(parts, gap);
        } else if self.lines {
            let line = wrapped(parts, gap, usize::MAX);
            // A pipe that was closed is no reason to lose a training. What tests print by the macro is theirs.
            let _ = std::panic::catch_unwind(|| eprintln!("{line}"));
        }
    }

    fn say(&self, sentence: &str) {
        self.print(sentence.split(' ').map(str::to_owned), " ");
    }

    /// Says once what is wrong with the figures.
    fn warn(&mut self, run: &Run<'_>) {
        if self.alarm.as_deref() != run.alarm {
            self.alarm = run.alarm.map(str::to_owned);
            run.alarm.iter().for_each(|alarm| self.say(&format!("warning: {alarm}")));
        }
    }
}

/// Steps done, and steps in all.
fn steps(run: &Run<'_>) -> [u64; 2] {
    let of_epoch = run.steps_per_epoch() as u64;
    let epochs = |epochs: usize| (epochs as u64).saturating_mul(of_epoch);
    [epochs(run.epoch()).saturating_add(run.step() as u64), epochs(run.epochs())]
}

/// The parts of a line: the epoch, counted from 1 and so wide, and the figures.
fn parts(run: &Run<'_>, width: usize) -> Result<impl Iterator<Item = String>> {
    let (epoch, epochs) = (run.epoch() + 1, run.epochs());
    Ok(std::iter::once(format!("epoch {epoch:width$}/{epochs}")).chain(run.logs()?.parts()))
}

impl Callback for Progress {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        let [done, all] = steps(run);
        self.bar = Bar::on_terminal(all, done);
        (self.begun, self.seen, self.earlier, self.alarm) = (Instant::now(), 0, run.samples(), None);
        Ok(())
    }

    fn refreshes(&self) -> bool {
        Bar::is_possible()
    }

    fn on_refresh(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.warn(run);
        self.show(run)
    }

    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.print(parts(run, run.epochs().to_string().len())?, GAP);
        self.warn(run);
        self.show(run)?;
        self.seen += run.samples();
        Ok(())
    }

    fn on_train_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.bar.clear();
        let stopped = run.history().stopped.as_ref().filter(|reason| self.alarm.as_ref() != Some(reason));
        if let Some(reason) = stopped {
            self.say(&format!("stopped: {reason}"));
        }
        Ok(())
    }
}

/// What there is of a bar without the feature `progress`.
#[cfg(not(feature = "progress"))]
#[derive(Debug)]
struct Bar;

#[cfg(not(feature = "progress"))]
impl Bar {
    fn hidden() -> Self {
        Bar
    }

    fn on_terminal(_: u64, _: u64) -> Self {
        Bar
    }

    fn is_possible() -> bool {
        false
    }

    fn is_hidden(&self) -> bool {
        true
    }

    fn show(&self, _: u64, _: impl IntoIterator<Item = String>) {}

    fn print(&self, _: impl IntoIterator<Item = String>, _: &str) {}

    fn clear(&self) {}
}
