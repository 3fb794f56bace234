use crate::error::{Error, Result};
use crate::train::Logs;

/// Whether small or large figures are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
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
#[must_use]
pub struct Monitor {
    name: String,
    pub(super) mode: Direction,
    /// Either sign means the same.
    pub(super) min_delta: f64,
}

impl Monitor {
    /// Watches the figure of this name; anything better counts.
    pub fn new(name: &str) -> Self {
        Monitor { name: name.to_owned(), mode: Direction::Auto, min_delta: 0.0 }
    }

    setters! {
        /// Whether small or large figures are better.
        mode: Direction => mode;
        /// By how much a figure has to be better to count.
        min_delta: f64 => min_delta;
    }

    /// The figure's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a figure is better than the best so far. The first one is, NaN never.
    pub fn is_better(&self, figure: f64, best: Option<f64>) -> bool {
        let grows = match self.mode {
            Direction::Auto => TO_GROW.iter().any(|part| self.name.contains(part)),
            Direction::Min => false,
            Direction::Max => true,
        };
        let least = self.min_delta.abs();
        match best {
            None => !figure.is_nan(),
            Some(best) if grows => figure > best + least,
            Some(best) => figure < best - least,
        }
    }

    /// The figure among those of an epoch.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the figures there are.
    pub fn figure(&self, logs: &Logs) -> Result<f64> {
        logs.get(&self.name).ok_or_else(|| Error::unknown("figure", &self.name, logs.names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_is_better_but_for_figures_of_agreement() {
        for name in ["loss", "val_loss", "mean_squared_error", "val_perplexity"] {
            let monitor = Monitor::new(name);
            assert!(monitor.is_better(0.9, Some(1.0)) && !monitor.is_better(1.1, Some(1.0)), "{name}");
        }
        for name in
            ["accuracy", "val_accuracy", "top_5_accuracy", "auc", "val_f1", "precision_0", "r_squared"]
        {
            let monitor = Monitor::new(name);
            assert!(monitor.is_better(1.1, Some(1.0)) && !monitor.is_better(0.9, Some(1.0)), "{name}");
        }
    }

    #[test]
    fn a_mode_that_is_named_goes_before_the_name() {
        assert!(Monitor::new("accuracy").mode(Direction::Min).is_better(0.1, Some(0.2)));
        assert!(Monitor::new("loss").mode(Direction::Max).is_better(0.3, Some(0.2)));
    }

    #[test]
    fn nan_is_never_better_and_equal_is_not() {
        for mode in [Direction::Auto, Direction::Min, Direction::Max] {
            let monitor = Monitor::new("loss").mode(mode);
            for best in [None, Some(0.0), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
                assert!(!monitor.is_better(f64::NAN, best), "{mode:?}, {best:?}");
            }
            assert!(monitor.is_better(0.0, None));
            assert!(!monitor.is_better(0.5, Some(0.5)));
        }
    }

    #[test]
    fn the_least_improvement_counts_in_either_direction() {
        // Powers of two, so that sums are exact.
        let falls = Monitor::new("loss").min_delta(-0.25);
        assert!(falls.is_better(0.5, Some(1.0)));
        assert!(!falls.is_better(0.75, Some(1.0)));
        let grows = Monitor::new("accuracy").min_delta(0.25);
        assert!(grows.is_better(0.75, Some(0.25)));
        assert!(!grows.is_better(0.5, Some(0.25)));
    }

    #[test]
    fn a_figure_that_there_is_not_is_named_with_those_there_are() {
        let mut logs = Logs::new();
        logs.set("loss", 1.0);
        logs.set("accuracy", 0.5);
        assert_eq!(Monitor::new("accuracy").figure(&logs).ok(), Some(0.5));
        let Err(Error::Unknown { name, known, .. }) = Monitor::new("val_loss").figure(&logs) else {
            panic!("there is no such figure")
        };
        assert_eq!((name.as_str(), known), ("val_loss", vec!["loss".to_owned(), "accuracy".to_owned()]));
    }
}
