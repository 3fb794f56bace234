use super::{Pruning, check_share};
use crate::error::{Error, Result};
use crate::train::Trainer;
use crate::train::callbacks::{Callback, CallbackState, Run};

/// Prunes more and more while training goes on, by the cubic schedule of Zhu and Gupta, "To prune, or not
/// to prune" (2017): from update `begin` to update `end`, every `every` updates,
///
/// ```text
/// s = s_final + (s_initial - s_final) (1 - (t - begin) / (end - begin))^3
/// ```
///
/// A `begin` of 0 is before the first step, and from `end` on the share is `s_final`. What has been pruned
/// stays so. With [`EarlyStopping`](crate::train::callbacks::EarlyStopping) that puts the best weights back,
/// those are pruned as the last ones are; let it
/// [start](crate::train::callbacks::EarlyStopping::start_from) when pruning has ended.
///
/// ```
/// use retape::prelude::*;
/// use retape::train::pruning::{GradualPruning, Pruning};
/// # let fit =
/// Fit::epochs(10).callback(GradualPruning::new(Pruning::global(0.9), 100, 1000).every(50))
/// # ;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct GradualPruning {
    pruning: Pruning,
    initial: f64,
    begin: u32,
    end: u32,
    every: u32,
    /// The updates before the training.
    from: u32,
    /// The update that has been seen to.
    seen: u32,
}

impl GradualPruning {
    /// Up to the share that `pruning` asks for, from update `begin` to update `end` of the training, from 0
    /// and every 100 updates.
    pub fn new(pruning: Pruning, begin: u32, end: u32) -> Self {
        GradualPruning { pruning, initial: 0.0, begin, end, every: 100, from: 0, seen: 0 }
    }

    setters! {
        /// The share that is pruned first.
        initial: f64 => initial;
        /// After how many updates each more is pruned.
        every: u32 => every;
    }

    /// The share to be pruned after so many updates.
    pub fn sparsity(&self, update: u32) -> f64 {
        if update < self.begin {
            return 0.0;
        }
        if update >= self.end {
            return self.pruning.sparsity;
        }
        let left = 1.0 - f64::from(update - self.begin) / f64::from(self.end - self.begin);
        self.pruning.sparsity + (self.initial - self.pruning.sparsity) * left.powi(3)
    }

    /// Prunes as much as there is to be after this update.
    fn see_to(&mut self, update: u32, trainer: &mut Trainer) -> Result<()> {
        self.seen = update;
        let is_due =
            (self.begin..self.end).contains(&update) && (update - self.begin).is_multiple_of(self.every);
        if is_due || update == self.end {
            trainer.prune(&Pruning { sparsity: self.sparsity(update), ..self.pruning.clone() })?;
        }
        Ok(())
    }
}

impl Callback for GradualPruning {
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        check_share("sparsity", self.pruning.sparsity)?;
        check_share("sparsity", self.initial)?;
        if self.end < self.begin || self.every == 0 {
            let value = format!("{} to {} every {}", self.begin, self.end, self.every);
            return Err(Error::argument("updates", value, "it ends after it begins, and goes by 1 or more"));
        }
        let updates = run.trainer().updates();
        let begins = run.history().epochs.is_empty() && run.step() == 0;
        if begins {
            self.from = updates;
        }
        self.seen = updates.saturating_sub(self.from);
        // So that no step is recorded again while training goes on.
        run.trainer().record_masks()?;
        if begins { self.see_to(0, run.trainer()) } else { Ok(()) }
    }

    fn every_steps(&self) -> Option<u32> {
        Some(1)
    }

    fn on_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        let update = run.trainer().updates().saturating_sub(self.from);
        // A step that only adds to the gradients is no update.
        if update == self.seen { Ok(()) } else { self.see_to(update, run.trainer()) }
    }

    fn save(&self, _: &Trainer) -> Result<CallbackState> {
        Ok(CallbackState::of([("from", self.from as usize)], None))
    }

    fn load(&mut self, state: &CallbackState, _: &mut Trainer) -> Result<()> {
        self.from = state.count("from")? as u32;
        Ok(())
    }
}
