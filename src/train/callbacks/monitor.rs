use super::Run;
use crate::error::{Error, Result};
use crate::train::{Direction, Logs};

/// A figure that is watched from epoch to epoch.
///
/// A callback of the program's own asks it whether an epoch is the best so far:
///
/// ```
/// use retape::Result;
/// use retape::prelude::*;
/// use retape::train::callbacks::{Callback, Monitor, Run};
///
/// struct Bell {
///     monitor: Monitor,
///     best: Option<f64>,
/// }
///
/// impl Callback for Bell {
///     fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
///         self.monitor.watch(run)
///     }
///
///     fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
///         let figure = self.monitor.figure(run.logs()?)?;
///         if self.monitor.is_better(figure, self.best)? {
///             self.best = Some(figure);
///             println!("epoch {}: {figure}", run.epoch() + 1);
///         }
///         Ok(())
///     }
/// }
/// # let data = data::Samples::new().input([1], vec![-1.0, 0.0, 1.0]).target([1], vec![-3.0, -1.0, 1.0]);
/// # let mut trainer = Trainer::new(Sequential::new().add(Dense::new(1)), [1])
/// #     .loss(Loss::MeanSquaredError)
/// #     .optimizer(Sgd::new(0.1))
/// #     .build(&Device::cpu())?;
/// let mut bell = Bell { monitor: Monitor::new("loss"), best: None };
/// let history = trainer.fit(data, Fit::epochs(3).callback(&mut bell))?;
/// assert_eq!(bell.best, history.last("loss"));
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Monitor {
    name: String,
    pub(super) mode: Direction,
    /// Of [`Direction::Auto`], what the figure itself says.
    found: Direction,
    /// Either sign means the same.
    pub(super) min_delta: f64,
}

impl Monitor {
    /// Watches the figure of this name; anything better counts.
    pub fn new(name: &str) -> Self {
        Monitor { name: name.to_owned(), mode: Direction::Auto, found: Direction::Auto, min_delta: 0.0 }
    }

    setters! {
        /// Whether small or large figures are better; as the figure itself says by default.
        mode: Direction => mode;
        /// By how much a figure has to be better to count.
        min_delta: f64 => min_delta;
    }

    /// The figure's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Finds out whether the figure is to grow or to shrink, unless it has been told: before the first epoch.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the figures that the training has; [`Error::Argument`] where neither the loss
    /// nor a metric of the trainer says so.
    pub fn watch(&mut self, run: &Run<'_>) -> Result<()> {
        let figures = run.figures();
        let Some((_, direction)) = figures.iter().find(|(name, _)| *name == self.name) else {
            return Err(Error::unknown("figure", &self.name, figures.into_iter().map(|(name, _)| name)));
        };
        self.found = *direction;
        self.grows().map(drop)
    }

    fn grows(&self) -> Result<bool> {
        let mode = if self.mode == Direction::Auto { self.found } else { self.mode };
        match mode {
            Direction::Max => Ok(true),
            Direction::Min => Ok(false),
            Direction::Auto => Err(Error::argument(
                "mode",
                format!("`Auto` for the figure `{}`", self.name),
                "nobody has said whether it is to grow: give `mode(Direction::Max)` or \
                 `mode(Direction::Min)`, or declare it in the metric's `direction`",
            )),
        }
    }

    /// Whether a figure is better than the best so far. The first one is, NaN never.
    ///
    /// # Errors
    /// [`Error::Argument`] for [`Direction::Auto`] where [`watch`](Monitor::watch) has not found out.
    pub fn is_better(&self, figure: f64, best: Option<f64>) -> Result<bool> {
        let (grows, least) = (self.grows()?, self.min_delta.abs());
        Ok(match best {
            None => !figure.is_nan(),
            Some(best) if grows => figure > best + least,
            Some(best) => figure < best - least,
        })
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

    fn monitor(mode: Direction) -> Monitor {
        Monitor::new("loss").mode(mode)
    }

    #[test]
    fn a_direction_is_declared_whatever_the_name() {
        let better = |mode, figure, best| monitor(mode).is_better(figure, Some(best)).ok();
        assert_eq!(better(Direction::Min, 0.9, 1.0), Some(true));
        assert_eq!(better(Direction::Min, 1.1, 1.0), Some(false));
        assert_eq!(better(Direction::Max, 1.1, 1.0), Some(true));
        assert_eq!(better(Direction::Max, 0.9, 1.0), Some(false));
        let undecided = monitor(Direction::Auto).is_better(0.9, None);
        assert!(matches!(undecided, Err(Error::Argument { argument: "mode", .. })), "{undecided:?}");
    }

    #[test]
    fn nan_is_never_better_and_equal_is_not() {
        for mode in [Direction::Min, Direction::Max] {
            let better = |figure, best| monitor(mode).is_better(figure, best).unwrap();
            for best in [None, Some(0.0), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
                assert!(!better(f64::NAN, best), "{mode:?}, {best:?}");
            }
            assert!(better(0.0, None));
            assert!(!better(0.5, Some(0.5)));
        }
    }

    #[test]
    fn the_least_improvement_counts_in_either_direction() {
        // Powers of two, so that sums are exact.
        let falls = monitor(Direction::Min).min_delta(-0.25);
        assert!(falls.is_better(0.5, Some(1.0)).unwrap());
        assert!(!falls.is_better(0.75, Some(1.0)).unwrap());
        let grows = monitor(Direction::Max).min_delta(0.25);
        assert!(grows.is_better(0.75, Some(0.25)).unwrap());
        assert!(!grows.is_better(0.5, Some(0.25)).unwrap());
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
