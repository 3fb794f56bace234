use super::{Callback, CallbackState, Direction, Monitor, Run};
use crate::error::{Result, Setting};
use crate::train::Trainer;

/// Multiplies the learning rate when a figure has not become better for some epochs: Keras's
/// `ReduceLROnPlateau`.
///
/// An epoch is better than the best so far if its figure is by more than `min_delta`. After `patience`
/// epochs in a row that are not, the rate is multiplied by `factor`, but not below `min_rate`, and the
/// count starts again; for `cooldown` epochs after that, nothing is counted.
#[derive(Clone, Debug)]
#[must_use]
pub struct ReduceOnPlateau {
    monitor: Monitor,
    factor: f32,
    patience: usize,
    cooldown: usize,
    min_rate: f32,
    waited: usize,
    cooling: usize,
    best: Option<f64>,
}

impl ReduceOnPlateau {
    /// Watches this figure: factor 0.1, patience 10, least improvement 1e-4, no cooldown, down to 0.
    pub fn new(figure: &str) -> Self {
        ReduceOnPlateau {
            monitor: Monitor::new(figure).min_delta(1e-4),
            factor: 0.1,
            patience: 10,
            cooldown: 0,
            min_rate: 0.0,
            waited: 0,
            cooling: 0,
            best: None,
        }
    }

    setters! {
        /// By how much a figure has to be better to count.
        min_delta: f64 => monitor.min_delta;
        /// Whether small or large figures are better; as the loss or the metric itself says by default
        /// ([`Direction::Auto`]).
        mode: Direction => monitor.mode;
        /// What the rate is multiplied by, between 0 and 1.
        factor: f32 => factor;
        /// How many epochs in a row may bring nothing better.
        patience: usize => patience;
        /// For how many epochs after a reduction nothing is counted.
        cooldown: usize => cooldown;
        /// The rate below which nothing is reduced, finite and not negative.
        min_rate: f32 => min_rate;
    }
}

impl Callback for ReduceOnPlateau {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.monitor.watch(run)?;
        Setting::decay("factor", self.factor).check()?;
        // No rate is above NaN or infinity: nothing would ever be reduced.
        Setting::not_negative("min_rate", self.min_rate).check()?;
        if run.history().epochs.is_empty() {
            (self.waited, self.cooling, self.best) = (0, 0, None);
        }
        Ok(())
    }

    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        let figure = self.monitor.figure(run.logs()?)?;
        if self.cooling > 0 {
            self.cooling -= 1;
            self.waited = 0;
        }
        if self.monitor.is_better(figure, self.best)? {
            (self.best, self.waited) = (Some(figure), 0);
        } else if self.cooling == 0 {
            self.waited += 1;
        }
        let rate = run.trainer().learning_rate();
        if self.waited >= self.patience.max(1) && rate > self.min_rate {
            run.trainer().scale_learning_rate(self.factor.max(self.min_rate / rate))?;
            (self.cooling, self.waited) = (self.cooldown, 0);
        }
        Ok(())
    }

    fn identity(&self) -> String {
        format!("ReduceOnPlateau({})", self.monitor.name())
    }

    fn save(&self, _: &Trainer) -> Result<CallbackState> {
        Ok(CallbackState::of([("waited", self.waited), ("cooling", self.cooling)], self.best))
    }

    fn load(&mut self, state: &CallbackState, _: &mut Trainer) -> Result<()> {
        (self.waited, self.cooling) = (state.count("waited")?, state.count("cooling")?);
        self.best = state.number("best");
        Ok(())
    }
}
