use super::{Callback, CallbackState, Direction, Monitor, Run};
use crate::error::Result;
use crate::session::Snapshot;
use crate::train::Trainer;
use crate::train::figures::rounded;

/// Stops training when a figure has not become better for some epochs.
///
/// An epoch is better than the best so far if its figure is by more than `min_delta`; NaN never is. After
/// `patience` epochs in a row that are not, training stops: with patience 0, after the first of them.
/// This is Keras's `EarlyStopping`.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::callbacks::EarlyStopping;
/// # let fit =
/// Fit::epochs(100)
///     .validation_split(0.2)
///     .callback(EarlyStopping::new("val_loss").patience(3).restore_best(true))
/// # ;
/// ```
///
/// Given by reference, it says afterwards what was best, and when:
///
/// ```
/// use retape::prelude::*;
/// use retape::train::callbacks::EarlyStopping;
/// # let data = data::Samples::new().input([1], vec![-1.0, 0.0, 1.0]).target([1], vec![-3.0, -1.0, 1.0]);
/// # let mut trainer = Trainer::new(Sequential::new().add(Dense::new(1)), [1])
/// #     .loss(Loss::MeanSquaredError)
/// #     .optimizer(Sgd::new(0.1))
/// #     .build(&Device::cpu())?;
/// let mut stopping = EarlyStopping::new("loss").patience(3);
/// let history = trainer.fit(data, Fit::epochs(5).callback(&mut stopping))?;
/// assert_eq!(stopping.best_epoch(), Some(4));
/// assert_eq!(stopping.best(), history.last("loss"));
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct EarlyStopping {
    monitor: Monitor,
    patience: usize,
    baseline: Option<f64>,
    start_from: usize,
    restore: bool,
    waited: usize,
    best: Option<f64>,
    best_epoch: usize,
    best_weights: Option<Snapshot>,
    stopped: bool,
}

impl EarlyStopping {
    /// Watches this figure: patience 0, no least improvement, the last weights stay.
    pub fn new(figure: &str) -> Self {
        EarlyStopping {
            monitor: Monitor::new(figure),
            patience: 0,
            baseline: None,
            start_from: 0,
            restore: false,
            waited: 0,
            best: None,
            best_epoch: 0,
            best_weights: None,
            stopped: false,
        }
    }

    setters! {
        /// By how much a figure has to be better to count.
        min_delta: f64 => monitor.min_delta;
        /// Whether small or large figures are better; as the loss or the metric itself says by default
        /// ([`Direction::Auto`]).
        mode: Direction => monitor.mode;
        /// How many epochs in a row may bring nothing better before training stops.
        patience: usize => patience;
        /// Stops as well where the figure does not become better than this.
        baseline: f64 => baseline;
        /// Looks at nothing before this epoch, counted from 0.
        start_from: usize => start_from;
        /// Whether the weights of the best epoch are put back at the end, also where training was not
        /// stopped early. The optimiser's states stay as they are.
        restore_best: bool => restore;
    }

    /// Why training stops after an epoch, counted from 1.
    fn reason(&self, epoch: usize) -> Result<String> {
        let (name, waited) = (self.monitor.name(), self.waited);
        let s = if waited == 1 { "" } else { "s" };
        let best = self.best.map_or("and was never a number".to_owned(), |best| {
            format!("the best was {} in epoch {}", rounded(best), self.best_epoch + 1)
        });
        // Where the best is no better than the baseline, that is what was waited for.
        let than = match (self.best, self.baseline) {
            (Some(best), Some(baseline)) if !self.monitor.is_better(best, Some(baseline))? => {
                format!(" than the baseline of {}", rounded(baseline))
            }
            _ => String::new(),
        };
        Ok(format!("epoch {epoch}: `{name}` has not become better{than} for {waited} epoch{s}; {best}"))
    }

    /// The best figure so far; none before the first that is a number.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// The epoch that had it, counted from 0.
    pub fn best_epoch(&self) -> Option<usize> {
        self.best.map(|_| self.best_epoch)
    }
}

impl Callback for EarlyStopping {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.monitor.watch(run)?;
        // A training that is resumed has loaded what was known by then.
        if run.history().epochs.is_empty() {
            (self.waited, self.best, self.best_weights, self.stopped) = (0, None, None, false);
        }
        // One that had stopped by then stays so.
        if self.stopped {
            run.stop(self.reason(run.epoch())?);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        let epoch = run.epoch();
        let figure = self.monitor.figure(run.logs()?)?;
        if epoch < self.start_from {
            return Ok(());
        }
        self.waited += 1;
        if self.monitor.is_better(figure, self.best)? {
            (self.best, self.best_epoch) = (Some(figure), epoch);
            if self.restore {
                self.best_weights = Some(run.trainer().weights_snapshot()?);
            }
            // What is the best so far, but not better than the baseline, is waited through.
            if self.monitor.is_better(figure, self.baseline)? {
                self.waited = 0;
            }
        }
        if self.waited > 0 && self.waited >= self.patience {
            self.stopped = true;
            run.stop(self.reason(epoch + 1)?);
        }
        Ok(())
    }

    fn on_train_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        match &self.best_weights {
            Some(weights) if self.restore => run.trainer().restore_weights(weights),
            _ => Ok(()),
        }
    }

    fn identity(&self) -> String {
        format!("EarlyStopping({})", self.monitor.name())
    }

    fn save(&self, trainer: &Trainer) -> Result<CallbackState> {
        let stopped = usize::from(self.stopped);
        let counts = [("waited", self.waited), ("best_epoch", self.best_epoch), ("stopped", stopped)];
        let mut state = CallbackState::of(counts, self.best);
        if let Some(weights) = &self.best_weights {
            state.arrays = trainer.session().read_snapshot(weights)?;
        }
        Ok(state)
    }

    fn load(&mut self, state: &CallbackState, trainer: &mut Trainer) -> Result<()> {
        (self.waited, self.best_epoch) = (state.count("waited")?, state.count("best_epoch")?);
        self.best = state.number("best");
        self.stopped = state.count("stopped")? == 1;
        let has_weights = !state.arrays.is_empty();
        let weights = has_weights.then(|| trainer.session_mut().snapshot_from(&state.arrays));
        self.best_weights = weights.transpose()?;
        Ok(())
    }
}
