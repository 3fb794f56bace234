//! Curves of training.

use std::collections::HashSet;
use std::path::Path;

use super::output::{Target, check_any};
use super::panel::{self, Panel};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::train::{History, Logs};

/// What the figures of the data that was held back begin with.
const HELD_BACK: &str = "val_";
/// The figure of the step size.
const LEARNING_RATE: &str = "learning_rate";

impl History {
    /// Draws the figures over the epochs, counted from 1, into a file whose name ends in `.svg` or
    /// `.png`: a panel for each figure, with that of the validation data beside it (`loss` and
    /// `val_loss`). Figures that a metric has for each class (`recall_0`, `recall_1` and so on) share a
    /// panel, and those of the validation data another; the counts of a confusion matrix have none. A
    /// figure that is NaN, infinite or missing leaves a gap. `learning_rate` is drawn if it changes, with
    /// a logarithmic axis if its largest value is at least ten times its least.
    ///
    /// ```
    /// use retape::train::{History, Logs};
    ///
    /// let mut history = History::default();
    /// for epoch in 0..5 {
    ///     let mut logs = Logs::new();
    ///     logs.set("loss", 1.0 / f64::from(epoch + 1));
    ///     logs.set("val_loss", 1.2 / f64::from(epoch + 1));
    ///     history.epochs.push(logs);
    /// }
    /// let path = std::env::temp_dir().join(format!("history-{}.svg", std::process::id()));
    /// history.plot(&path)?;
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NothingToDraw`] if there are no epochs or no figures, [`Error::PictureFormat`] for
    /// another ending of the name, [`Error::Io`] if the file cannot be written; its folder must exist.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<()> {
        let target = Target::new(path)?;
        check_any(!self.epochs.is_empty(), "epoch in the history")?;
        let drawn: Vec<Panel> =
            self.grouped().iter().map(|(title, names)| self.panel(title, names)).collect();
        check_any(!drawn.is_empty(), "figure in the history")?;
        panel::save(&target, &drawn)
    }

    /// The figures of each panel, and what they are: in the order in which they first appear.
    fn grouped(&self) -> Vec<(&str, Vec<&str>)> {
        let names = self.names();
        let rates = self.get(LEARNING_RATE);
        let changes = rates.windows(2).any(|pair| pair[0] != pair[1]);
        let counts: HashSet<&str> = self.epochs.iter().flat_map(Logs::cells).collect();
        let shown = |name: &str| !counts.contains(name) && (changes || name != LEARNING_RATE);
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for name in names.iter().copied().filter(|name| shown(name)) {
            let figure = match metric(name, &names) {
                Some(metric) => metric,
                None => name.strip_prefix(HELD_BACK).filter(|figure| names.contains(figure)).unwrap_or(name),
            };
            match groups.iter_mut().find(|(title, _)| *title == figure) {
                Some((_, group)) => group.push(name),
                None => groups.push((figure, vec![name])),
            }
        }
        groups
    }

    fn panel(&self, title: &str, names: &[&str]) -> Panel {
        let empty = empty(title, &self.get(title));
        names.iter().fold(empty, |panel, name| panel.line(words(name), self.points(name)))
    }

    /// A figure over the epochs, NaN where an epoch has none.
    fn points(&self, name: &str) -> impl Iterator<Item = (f64, f64)> {
        let first = self.initial_epoch + 1;
        let value = move |logs: &Logs| logs.get(name).unwrap_or(f64::NAN);
        self.epochs.iter().enumerate().map(move |(i, logs)| ((first + i) as f64, value(logs)))
    }
}

/// What stands before the number of a class, as in `recall_3`, where another class has a figure too.
fn metric<'a>(name: &'a str, names: &[&str]) -> Option<&'a str> {
    let (metric, class) = name.rsplit_once('_')?;
    let another = if class == "0" { 1 } else { 0 };
    let digits = class.bytes().all(|byte| byte.is_ascii_digit());
    (digits && names.contains(&format!("{metric}_{another}").as_str())).then_some(metric)
}

/// `val_loss` as it is read: `validation loss`.
fn words(name: &str) -> String {
    match name.strip_prefix(HELD_BACK) {
        Some(figure) => format!("validation {}", figure.replace('_', " ")),
        None => name.replace('_', " "),
    }
}

/// A panel for a figure of these values over the epochs.
fn empty(figure: &str, values: &[f64]) -> Panel {
    let panel = Panel::new(words(figure)).axes("epoch", words(figure)).whole_x();
    if figure == LEARNING_RATE && decades(values) { panel.log_y() } else { panel }
}

/// Whether positive numbers differ by a factor of ten or more.
fn decades(values: &[f64]) -> bool {
    let positive = || values.iter().copied().filter(|v| v.is_finite() && *v > 0.0);
    positive().fold(0.0, f64::max) >= 10.0 * positive().fold(f64::INFINITY, f64::min)
}

/// Draws one figure of several runs into one picture, each run under its name.
///
/// ```
/// use retape::train::{History, Logs};
///
/// let run = |rate: f64| {
///     let logs = |epoch| {
///         let mut logs = Logs::new();
///         logs.set("loss", (-rate * f64::from(epoch)).exp());
///         logs
///     };
///     let mut history = History::default();
///     history.epochs.extend((0..10).map(logs));
///     history
/// };
/// let path = std::env::temp_dir().join(format!("compare-{}.png", std::process::id()));
/// retape::plot::compare(&path, "loss", &[("slow", &run(0.1)), ("fast", &run(0.5))])?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::NothingToDraw`] if no run has the figure; otherwise as [`History::plot`].
pub fn compare(path: impl AsRef<Path>, metric: &str, runs: &[(&str, &History)]) -> Result<()> {
    let target = Target::new(path)?;
    let having = runs.iter().filter(|(_, history)| !history.get(metric).is_empty());
    let all: Vec<f64> = runs.iter().flat_map(|(_, history)| history.get(metric)).collect();
    check_any(!all.is_empty(), format!("`{metric}` in any of the {} runs", runs.len()))?;
    let empty = empty(metric, &all);
    let panel = having.fold(empty, |panel, (name, history)| panel.line(*name, history.points(metric)));
    panel::save(&target, &[panel])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_share_a_panel() {
        let mut logs = Logs::new();
        let names = ["loss", "top_5_accuracy", "recall_0", "recall_1", "recall_2"];
        for prefix in ["", HELD_BACK] {
            names.iter().for_each(|name| logs.set(&format!("{prefix}{name}"), 0.5));
            let cells = ["0_0", "0_1", "1_0", "1_1"].map(|cell| (format!("{prefix}taken_{cell}"), 3.0));
            logs.set_matrix(format!("{prefix}taken"), cells);
        }
        // What is called like a count is none.
        logs.set("confusion_matrix_trace", 0.5);
        ["val_f1_0", "val_f1_1", "lonely_7"].iter().for_each(|name| logs.set(name, 0.5));
        let history = History { epochs: vec![logs], ..History::default() };
        let expected: [(&str, &[&str]); 7] = [
            ("loss", &["loss", "val_loss"]),
            ("top_5_accuracy", &["top_5_accuracy", "val_top_5_accuracy"]),
            ("recall", &["recall_0", "recall_1", "recall_2"]),
            ("val_recall", &["val_recall_0", "val_recall_1", "val_recall_2"]),
            ("confusion_matrix_trace", &["confusion_matrix_trace"]),
            ("val_f1", &["val_f1_0", "val_f1_1"]),
            ("lonely_7", &["lonely_7"]),
        ];
        let groups = history.grouped();
        assert!(groups.iter().map(|(title, names)| (*title, &names[..])).eq(expected), "{groups:?}");
    }
}
