use std::collections::HashSet;
use std::fmt;

use crate::session::NonFinite;

/// The figures of one pass over the data, by name: `loss`, `accuracy`, `val_loss`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Logs {
    pub(crate) figures: Vec<(String, f64)>,
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
}

/// `loss 0.0357  accuracy 0.9883`.
impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |(name, value): (&str, f64)| format!("{} {value:.4}", name.replace('_', " "));
        f.write_str(&self.iter().map(figure).collect::<Vec<_>>().join("  "))
    }
}

/// What `fit` returns: the figures of every epoch.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// The first epoch's number, counted from 0.
    pub initial_epoch: usize,
    /// The figures of each epoch, in order.
    pub epochs: Vec<Logs>,
    /// Why training ended before the last epoch, if it did.
    pub stopped: Option<String>,
    /// The first NaN or infinity, where [`Fit::nan_guard`](super::Fit::nan_guard) found one.
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
