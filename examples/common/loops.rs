//! How a training goes that an example steps through itself, without `fit`.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use retape::prelude::*;
use retape::train::Logs;

use super::print_figures;

/// Shows how training goes: a moving bar on a terminal, and a line per epoch anywhere.
pub struct Progress {
    what: &'static str,
    bar: ProgressBar,
    epochs: usize,
    history: History,
    start: Instant,
}

impl Progress {
    /// For `epochs` epochs of `steps` steps each.
    pub fn new(epochs: usize, steps: usize) -> Self {
        Progress::of("epoch", epochs, steps)
    }

    /// The same for what is called something else.
    pub fn of(what: &'static str, epochs: usize, steps: usize) -> Self {
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new((epochs * steps) as u64);
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} steps, {eta} left");
        bar.set_style(style.expect("the template is well formed").progress_chars("=> "));
        Progress { what, bar, epochs, history: History::default(), start: Instant::now() }
    }

    /// So many more training steps were asked for.
    pub fn steps(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// An epoch is over: prints its figures and keeps them.
    pub fn epoch(&mut self, figures: &[(&str, f64)]) {
        let mut logs = Logs::new();
        figures.iter().for_each(|&(name, value)| logs.set(name, value));
        let number = self.history.epochs.len() + 1;
        self.bar.suspend(|| print_figures(self.what, number, self.epochs, &logs, self.start.elapsed()));
        self.history.epochs.push(logs);
    }

    /// Takes the bar away; what is left is the history.
    pub fn finish(self) -> History {
        self.bar.finish_and_clear();
        self.history
    }
}
