//! Learning-rate schedules: the rate of each update.
//!
//! ```
//! use retape::train::schedules::{CosineDecay, Schedule, WarmUp};
//!
//! let schedule = WarmUp::new(CosineDecay::new(0.1, 1000), 100);
//! assert_eq!(schedule.rate(0), 0.0);
//! assert_eq!(schedule.rate(50), 0.05);
//! assert_eq!(schedule.rate(100), 0.1);
//! assert_eq!(schedule.rate(5000), 0.0);
//! ```

mod cycles;
mod decays;
mod settings;
mod wrappers;

pub use cycles::{CosineDecayRestarts, OneCycle};
pub use decays::{
    Constant, CosineDecay, ExponentialDecay, InverseTimeDecay, PiecewiseConstant, PolynomialDecay, StepDecay,
};
pub use wrappers::{ScheduleFn, WarmUp};

use std::fmt;

use crate::error::Result;
use settings::schedule;

/// The learning rate of each update.
pub trait Schedule: fmt::Debug + Send + Sync {
    /// The rate of an update, counted from 0.
    fn rate(&self, update: u32) -> f32;

    /// Whether the settings give a rate for every update.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) naming the first setting that does not.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A schedule chosen at run time is one.
impl<S: Schedule + ?Sized> Schedule for Box<S> {
    fn rate(&self, update: u32) -> f32 {
        (**self).rate(update)
    }

    fn check(&self) -> Result<()> {
        (**self).check()
    }
}

/// From `start` to `end` along half a cosine.
fn anneal(start: f64, end: f64, share: f64) -> f64 {
    end + 0.5 * (start - end) * (1.0 + (std::f64::consts::PI * share).cos())
}
