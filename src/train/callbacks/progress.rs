use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Callback, Run};
use crate::error::Result;
use crate::train::Logs;

/// What the bar shows: how much is done, the time left by that, and a message.
const TEMPLATE: &str = "{bar:24} {pos}/{len}  {eta} left  {msg}";

/// A bar on standard error with the epoch, the time left, the figures so far and the samples per
/// second; nothing at all where standard error is no terminal.
///
/// [`fit`](crate::train::Trainer::fit) shows one by itself, unless told not to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    /// Samples before this epoch.
    seen: usize,
    /// Samples that an interrupted training had seen of its epoch before this one went on.
    earlier: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

impl Progress {
    /// A bar that appears with the first epoch.
    pub fn new() -> Self {
        Progress { bar: ProgressBar::hidden(), begun: Instant::now(), seen: 0, earlier: 0 }
    }

    fn show(&self, run: &mut Run<'_>) -> Result<()> {
        let samples = (self.seen + run.samples()).saturating_sub(self.earlier);
        let (epoch, epochs) = (run.epoch() + 1, run.epochs());
        let message = message(epoch, epochs, run.logs()?, samples, self.begun.elapsed());
        self.bar.set_position(done(run));
        self.bar.set_message(message);
        Ok(())
    }
}

/// Steps done in all.
fn done(run: &Run<'_>) -> u64 {
    (run.epoch() as u64).saturating_mul(run.steps_per_epoch() as u64).saturating_add(run.step() as u64)
}

/// A bar over so many steps. The time left goes by the steps after those that are done already.
fn bar(target: ProgressDrawTarget, steps: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    // The template is a constant; without it the bar is plain.
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_position(done);
    bar.reset_eta();
    bar
}

/// What stands beside the bar; epochs count from 1.
fn message(epoch: usize, epochs: usize, logs: &Logs, samples: usize, elapsed: Duration) -> String {
    let rate = samples as f64 / elapsed.as_secs_f64().max(1e-9);
    format!("epoch {epoch}/{epochs}  {logs}  {rate:.0} samples/s")
}

/// The line that an epoch leaves above the bar, as wide for each.
fn line(epoch: usize, epochs: usize, logs: &Logs) -> String {
    let width = epochs.to_string().len();
    format!("epoch {epoch:width$}/{epochs}  {logs}")
}

impl Callback for Progress {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        let steps = (run.epochs() as u64).saturating_mul(run.steps_per_epoch() as u64);
        self.bar = bar(ProgressDrawTarget::stderr(), steps, done(run));
        (self.begun, self.seen, self.earlier) = (Instant::now(), 0, run.samples());
        Ok(())
    }

    fn refreshes(&self) -> bool {
        !self.bar.is_hidden()
    }

    fn on_refresh(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.show(run)
    }

    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        if !self.bar.is_hidden() {
            self.bar.println(line(run.epoch() + 1, run.epochs(), run.logs()?));
            self.show(run)?;
        }
        self.seen += run.samples();
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that keeps what is written, whatever it is moved over.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl Paper {
        fn text(&self) -> String {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.write_str("\n")
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logs() -> Logs {
        let mut logs = Logs::new();
        logs.set("loss", 0.25);
        logs.set("val_accuracy", 0.96875);
        logs
    }

    #[test]
    fn the_message_has_epoch_figures_and_rate() {
        let shown = |samples, elapsed| message(2, 10, &logs(), samples, elapsed);
        let figures = "epoch 2/10  loss 0.2500  val accuracy 0.9688";
        assert_eq!(shown(3_000, Duration::from_millis(1_500)), format!("{figures}  2000 samples/s"));
        assert_eq!(shown(0, Duration::ZERO), format!("{figures}  0 samples/s"), "before the first step");
        assert_eq!(line(2, 10, &logs()), "epoch  2/10  loss 0.2500  val accuracy 0.9688");
    }

    #[test]
    fn the_bar_shows_what_is_done_what_is_left_and_the_message() {
        let paper = Paper::default();
        let bar = bar(ProgressDrawTarget::term_like(Box::new(paper.clone())), 48, 24);
        bar.set_message(message(2, 4, &logs(), 100, Duration::from_secs(2)));
        bar.force_draw();
        let text = paper.text();
        assert!(text.contains("============>            24/48  0s left  epoch 2/4  loss 0.2500"), "{text}");
        assert!(text.contains("50 samples/s"), "{text}");
    }

    /// A thousand steps that were done in no time say nothing of the thousand to come.
    #[test]
    fn the_time_left_goes_by_the_steps_of_this_training() {
        let bar = bar(ProgressDrawTarget::hidden(), 2_000, 1_000);
        std::thread::sleep(Duration::from_millis(20));
        bar.set_position(1_001);
        // A step took 20 ms at least: 999 of them are left.
        assert!(bar.eta() > Duration::from_secs(10), "{:?}", bar.eta());
    }
}
