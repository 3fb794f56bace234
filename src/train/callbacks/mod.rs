//! What happens around training: early stopping, logs, checkpoints, and functions of the program.
//!
//! # Ctrl-C
//! A training that is interrupted keeps what it has learnt where the handler of the signal sets a flag, and a
//! callback looks at it: between two submissions, a few times a second. `fit` returns as after any early
//! stop, and the program goes on with the weights as they are, or saves them.
//!
//! ```
//! use std::sync::atomic::{AtomicBool, Ordering};
//!
//! use retape::prelude::*;
//!
//! static INTERRUPTED: AtomicBool = AtomicBool::new(false);
//!
//! # let data = data::Samples::new().input([1], vec![-1.0, 0.0, 1.0]).target([1], vec![-3.0, -1.0, 1.0]);
//! # let mut trainer = Trainer::new(Sequential::new().add(Dense::new(1)), [1])
//! #     .loss(Loss::MeanSquaredError)
//! #     .optimizer(Sgd::new(0.1))
//! #     .build(&Device::cpu())?;
//! // Of the crate `ctrlc`: ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))?;
//! # std::thread::spawn(|| {
//! #     std::thread::sleep(std::time::Duration::from_millis(100));
//! #     INTERRUPTED.store(true, Ordering::Relaxed);
//! # });
//! let fit = Fit::epochs(1_000_000_000).on_refresh(|run| {
//!     if INTERRUPTED.load(Ordering::Relaxed) {
//!         // `run.write_checkpoint("interrupted.safetensors")` is for `Fit::resume` to go on from this step.
//!         run.stop("Ctrl-C");
//!     }
//!     Ok(())
//! });
//! let history = trainer.fit(data, fit)?;
//! assert_eq!(history.stopped.as_deref(), Some("Ctrl-C"));
//! // trainer.save_weights("interrupted.safetensors")?;
//! # Ok::<(), retape::Error>(())
//! ```
//!
//! An epoch that was not finished, its validation included, has no figures in the history. Callbacks are told
//! that training ends, so that one that puts the best weights back ([`EarlyStopping::restore_best`]) does.

#[cfg(feature = "checkpoints")]
mod checkpoint;
#[cfg(feature = "data")]
mod csv_log;
mod early_stopping;
mod monitor;
mod progress;
mod reduce_on_plateau;
mod run;

pub use super::Direction;
#[cfg(feature = "checkpoints")]
pub use checkpoint::ModelCheckpoint;
#[cfg(feature = "data")]
pub use csv_log::CsvLog;
pub use early_stopping::EarlyStopping;
pub use monitor::Monitor;
pub use progress::Progress;
pub use reduce_on_plateau::ReduceOnPlateau;
pub use run::Run;
pub(crate) use run::{OnEpochEnd, OnRefresh, OnSteps, Position, Requests};

use super::Trainer;
use crate::error::{Error, Result};

/// Called by [`fit`](super::Trainer::fit) as training goes.
///
/// Callbacks are called in the order they were given. What they ask of the [`Run`], such as to
/// stop or to write a checkpoint, is done when all of them have been called. An error that one returns ends
/// training when the others have been called too; before the first epoch, at once. One that is given by
/// mutable reference is there after the training, for what it found out and for another training.
#[expect(unused_variables, reason = "by default a callback does nothing")]
pub trait Callback {
    /// Before the first epoch.
    fn on_train_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// Before each epoch.
    fn on_epoch_begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether [`on_refresh`](Callback::on_refresh) is wanted.
    fn refreshes(&self) -> bool {
        false
    }

    /// A few times a second, between two steps or two batches of the validation, if some callback wants it.
    fn on_refresh(&mut self, run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// After how many steps each [`on_step`](Callback::on_step) is wanted; `None` for never.
    fn every_steps(&self) -> Option<u32> {
        None
    }

    /// After every so many steps, counted from the first of the training.
    fn on_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// After each epoch, its validation included: [`Run::logs`] has its figures.
    fn on_epoch_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// After the last epoch, or where training stopped early; not where it ended with an error.
    fn on_train_end(&mut self, run: &mut Run<'_>) -> Result<()> {
        Ok(())
    }

    /// What a checkpoint has to hold so that the callback goes on as if training had not been
    /// interrupted. What is empty is nothing: the callback may then be left out, or added, when training is
    /// resumed.
    fn save(&self, trainer: &Trainer) -> Result<CallbackState> {
        Ok(CallbackState::default())
    }

    /// Takes up what [`save`](Callback::save) gave.
    fn load(&mut self, state: &CallbackState, trainer: &mut Trainer) -> Result<()> {
        Ok(())
    }

    /// What tells callbacks apart in a checkpoint: a training is resumed with the same ones, of those that
    /// remember something, in the same order. The name of the type by default, without its path and its
    /// parameters; a callback that watches a figure names it as well: `EarlyStopping(val_loss)`.
    fn identity(&self) -> String {
        plain_name(std::any::type_name::<Self>())
    }
}

/// The name of a type without its path and its parameters.
fn plain_name(full: &str) -> String {
    // The arrow of a function's type closes no parameters.
    let (mut name, mut depth) = (full.replace("->", ""), 0_usize);
    name.retain(|letter| {
        depth += usize::from(letter == '<');
        let is_outside = depth == 0;
        depth = depth.saturating_sub(usize::from(letter == '>'));
        is_outside
    });
    name.rsplit(':').next().unwrap_or_default().to_owned()
}

/// The hooks of the callback that is pointed to.
macro_rules! hooks {
    ($($hook:ident),+) => {
        $(
            fn $hook(&mut self, run: &mut Run<'_>) -> Result<()> {
                (**self).$hook(run)
            }
        )+
    };
}

impl<C: Callback + ?Sized> Callback for &mut C {
    hooks! { on_train_begin, on_epoch_begin, on_refresh, on_step, on_epoch_end, on_train_end }

    fn refreshes(&self) -> bool {
        (**self).refreshes()
    }

    fn every_steps(&self) -> Option<u32> {
        (**self).every_steps()
    }

    fn save(&self, trainer: &Trainer) -> Result<CallbackState> {
        (**self).save(trainer)
    }

    fn load(&mut self, state: &CallbackState, trainer: &mut Trainer) -> Result<()> {
        (**self).load(state, trainer)
    }

    fn identity(&self) -> String {
        (**self).identity()
    }
}

/// What a callback remembers, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallbackState {
    /// Numbers.
    pub numbers: Vec<(String, f64)>,
    /// Arrays, such as the best weights so far.
    pub arrays: Vec<(String, Vec<f64>)>,
}

impl CallbackState {
    /// These counts, and the figure that was best.
    pub(crate) fn of<const N: usize>(counts: [(&str, usize); N], best: Option<f64>) -> Self {
        let counts = counts.map(|(name, count)| (name.to_owned(), count as f64));
        let best = best.map(|figure| ("best".to_owned(), figure));
        CallbackState { numbers: counts.into_iter().chain(best).collect(), arrays: Vec::new() }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.arrays.is_empty()
    }

    /// The number of this name.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.numbers.iter().find(|(n, _)| n == name).map(|&(_, number)| number)
    }

    /// The count of this name; 0 without one.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that counts nothing.
    pub(crate) fn count(&self, name: &str) -> Result<usize> {
        let number = self.number(name).unwrap_or(0.0);
        let fits = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
        let value = format!("{number} as `{name}`");
        Error::expect(fits, "state of a callback", value, "a count")?;
        Ok(number as usize)
    }
}
