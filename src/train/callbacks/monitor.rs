use crate::error::{Error, Result};
use crate::train::Logs;

/// Whether small or large figures are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Told from the name: figures of agreement are to grow, all others to shrink.
    #[default]
    Auto,
    /// Smaller is better.
    Min,
    /// Larger is better.
    Max,
}

/// Parts of the names of figures that are to grow.
const TO_GROW: [&str; 9] =
    ["accuracy", "auc", "f1", "precision", "recall", "specificity", "r_squared", "r2", "cosine_similarity"];

/// A figure that is watched from epoch to epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    name: String,
    mode: Mode,
    min_delta: f64,
}

impl Monitor {
    /// Watches the figure of this name; anything better counts.
    pub fn new(name: &str) -> Self {
        Monitor { name: name.to_owned(), mode: Mode::Auto, min_delta: 0.0 }
    }

    /// Whether small or large figures are better.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// By how much a figure has to be better to count.
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta.abs();
        self
    }

    /// The figure's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a figure is better than the best so far. The first one is, NaN never.
    pub fn is_better(&self, figure: f64, best: Option<f64>) -> bool {
        let grows = match self.mode {
            Mode::Auto => TO_GROW.iter().any(|part| self.name.contains(part)),
            Mode::Min => false,
            Mode::Max => true,
        };
        match best {
            None => !figure.is_nan(),
            Some(best) if grows => figure > best + self.min_delta,
            Some(best) => figure < best - self.min_delta,
        }
    }

    /// The figure among those of an epoch.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the figures there are.
    pub fn figure(&self, logs: &Logs) -> Result<f64> {
        logs.get(&self.name).ok_or_else(|| Error::Unknown {
            what: "figure",
            name: self.name.clone(),
            known: logs.names().map(str::to_owned).collect(),
        })
    }
}
