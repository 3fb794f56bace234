use std::collections::HashSet;
use std::fmt;

use super::figures::{GAP, rounded, wrapped};
use super::metrics::ConfusionMatrix;
use crate::session::NonFinite;

/// The figures of one pass over the data, by name: `loss`, `accuracy`, `val_loss`.
///
/// Shown in one line, with four significant digits or more. The counts of a confusion matrix are no part
/// of it: [`matrices`](Logs::matrices) has them as tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    pub(crate) figures: Vec<(String, f64)>,
    /// Each matrix: its name, where its counts begin among the figures, and how many they are.
    pub(crate) matrices: Vec<(String, usize, usize)>,
}

impl Logs {
    /// No figures.
    pub fn new() -> Self {
        Logs::default()
    }

    /// Adds a figure, or replaces the one of this name.
    pub fn set(&mut self, name: &str, value: f64) {
        match self.figures.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.figures.push((name.to_owned(), value)),
        }
    }

    /// The figure of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(n, _)| n == name).map(|&(_, value)| value)
    }

    /// All figures in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.figures.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The names of all figures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.figures.iter().map(|(name, _)| name.as_str())
    }

    /// Adds the counts of a matrix, which are figures as well; one of a name that there is stays as it is.
    pub(crate) fn set_matrix(&mut self, name: String, counts: impl IntoIterator<Item = (String, f64)>) {
        if self.matrices.iter().any(|(known, ..)| *known == name) {
            return;
        }
        let first = self.figures.len();
        self.figures.extend(counts);
        self.matrices.push((name, first, self.figures.len() - first));
    }

    /// Adds the figures of others.
    pub(crate) fn append(&mut self, others: &Logs) {
        others.in_line().for_each(|(name, value)| self.set(name, value));
        for (name, first, length) in &others.matrices {
            self.set_matrix(name.clone(), others.figures[*first..first + length].iter().cloned());
        }
    }

    /// The confusion matrices among the figures, each by the name of its metric: `confusion_matrix`,
    /// `val_confusion_matrix`.
    pub fn matrices(&self) -> impl Iterator<Item = (&str, ConfusionMatrix)> {
        self.matrices.iter().filter_map(|(name, first, length)| {
            let cells = self.figures.get(*first..first + length)?;
            let counts: Vec<u64> = cells.iter().map(|(_, count)| count.round() as u64).collect();
            Some((name.as_str(), ConfusionMatrix::from_counts(&counts).ok()?))
        })
    }

    /// The names of the counts of matrices.
    #[cfg(feature = "plots")]
    pub(crate) fn cells(&self) -> impl Iterator<Item = &str> {
        let cells =
            self.matrices.iter().filter_map(|(_, first, length)| self.figures.get(*first..first + length));
        cells.flatten().map(|(name, _)| name.as_str())
    }

    /// The figures that are no counts of a matrix.
    pub(crate) fn in_line(&self) -> impl Iterator<Item = (&str, f64)> {
        let is_cell =
            |at: usize| self.matrices.iter().any(|(_, first, length)| (*first..first + length).contains(&at));
        self.iter().enumerate().filter(move |(at, _)| !is_cell(*at)).map(|(_, figure)| figure)
    }

    /// Each figure as a part of a line: `val loss 0.03571`.
    pub(crate) fn parts(&self) -> impl Iterator<Item = String> {
        self.in_line().map(|(name, value)| format!("{} {}", name.replace('_', " "), rounded(value)))
    }
}

/// `loss 0.03571  accuracy 0.9883`.
impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&wrapped(self.parts(), GAP, usize::MAX))
    }
}

/// What `fit` returns: the figures of every epoch.
///
/// Shown as a table of a row for each epoch, counted from 1, below it why training ended early.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// The first epoch's number, counted from 0.
    pub initial_epoch: usize,
    /// The figures of each epoch, in order.
    pub epochs: Vec<Logs>,
    /// Why training ended before the last epoch, if it did.
    pub stopped: Option<String>,
    /// The first NaN or infinity: the operator that made it, where [`Fit::nan_guard`](super::Fit::nan_guard)
    /// looked for it, else the figure that it was seen in, `loss` or `val_loss`.
    pub fault: Option<NonFinite>,
}

impl History {
    /// A figure over the epochs: `history.get("val_loss")`. An epoch that has none is left out.
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.epochs.iter().filter_map(|logs| logs.get(name)).collect()
    }

    /// The names of all figures, in the order they first appear.
    pub fn names(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.epochs.iter().flat_map(Logs::names).filter(|&name| seen.insert(name)).collect()
    }

    /// The last figure of this name.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }
}

/// ```text
/// epoch    loss  val loss  learning rate
///     1  1.2444    0.4553          0.001
///     2  0.2772    0.2104          1e-5
/// ```
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        for (name, _) in self.epochs.iter().flat_map(Logs::in_line) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let head = names.iter().map(|name| name.replace('_', " "));
        let mut rows = vec![std::iter::once("epoch".to_owned()).chain(head).collect::<Vec<_>>()];
        for (epoch, logs) in (self.initial_epoch + 1..).zip(&self.epochs) {
            let cell = |name: &&str| logs.get(name).map(rounded).unwrap_or_default();
            rows.push(std::iter::once(epoch.to_string()).chain(names.iter().map(cell)).collect());
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=names.len()).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
            write!(f, "{}{}", if number == 0 { "" } else { "\n" }, cells.collect::<Vec<_>>().join("  "))?;
        }
        match (&self.stopped, &self.fault) {
            (Some(reason), _) => write!(f, "\nstopped: {reason}"),
            (None, Some(fault)) => write!(f, "\nwarning: `{}` was {}", fault.value, fault.element),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_figures_and_no_counts() {
        let mut logs = Logs::new();
        logs.set("loss", 0.25);
        let cells = [3.0, 1.0, 0.0, 12.0].into_iter().enumerate();
        let cells = cells.map(|(i, n)| (format!("confusion_matrix_{}_{}", i / 2, i % 2), n));
        logs.set_matrix("confusion_matrix".to_owned(), cells);
        logs.set("learning_rate", 1e-5);
        assert_eq!(logs.to_string(), "loss 0.2500  learning rate 1e-5");
        assert_eq!((logs.get("confusion_matrix_1_1"), logs.iter().count()), (Some(12.0), 6));
        let matrices: Vec<_> = logs.matrices().collect();
        assert_eq!(matrices.len(), 1);
        assert_eq!((matrices[0].0, matrices[0].1.counts()), ("confusion_matrix", &[3, 1, 0, 12][..]));
    }

    #[test]
    fn a_history_is_a_table() {
        let epoch = |figures: &[(&str, f64)]| {
            let mut logs = Logs::new();
            figures.iter().for_each(|(name, value)| logs.set(name, *value));
            logs
        };
        let epochs = vec![
            epoch(&[("loss", 1.25), ("learning_rate", 0.001)]),
            epoch(&[("loss", f64::NAN), ("learning_rate", 1e-5), ("val_loss", 0.062_54)]),
        ];
        let mut history = History { initial_epoch: 8, epochs, ..History::default() };
        let table = [
            "epoch    loss  learning rate  val loss",
            "    9  1.2500          0.001          ",
            "   10     NaN           1e-5   0.06254",
        ];
        assert_eq!(history.to_string(), table.join("\n"));
        history.stopped = Some("epoch 10: enough".to_owned());
        assert_eq!(history.to_string().lines().last(), Some("stopped: epoch 10: enough"));
        assert_eq!(History::default().to_string(), "epoch");
    }
}
