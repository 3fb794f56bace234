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
mod wrappers;

pub use cycles::{CosineDecayRestarts, OneCycle};
pub use decays::{
    Constant, CosineDecay, ExponentialDecay, InverseTimeDecay, PiecewiseConstant, PolynomialDecay, StepDecay,
};
pub use wrappers::{ScheduleFn, WarmUp};

use std::fmt;

use crate::error::{Error, Result};

/// The learning rate of each update.
pub trait Schedule: fmt::Debug + Send + Sync {
    /// The rate of an update, counted from 0.
    fn rate(&self, update: u32) -> f32;

    /// Whether the settings give a rate for every update.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first setting that does not.
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

fn check(argument: &'static str, value: f32, valid: bool, expected: &'static str) -> Result<()> {
    if valid { Ok(()) } else { Err(Error::Argument { argument, value: value.to_string(), expected }) }
}

fn check_rate(argument: &'static str, rate: f32) -> Result<()> {
    check(argument, rate, rate.is_finite() && rate >= 0.0, "it must be finite and not negative")
}

fn check_positive(argument: &'static str, value: f32) -> Result<()> {
    check(argument, value, value.is_finite() && value > 0.0, "it must be positive and finite")
}

/// A share of a rate.
fn check_share(argument: &'static str, value: f32) -> Result<()> {
    check(argument, value, (0.0..=1.0).contains(&value), "it must be from 0 to 1")
}

fn check_updates(argument: &'static str, updates: u32) -> Result<()> {
    if updates > 0 {
        return Ok(());
    }
    Err(Error::Argument { argument, value: updates.to_string(), expected: "it must be at least 1" })
}

/// From `start` to `end` along half a cosine.
fn anneal(start: f64, end: f64, share: f64) -> f64 {
    end + 0.5 * (start - end) * (1.0 + (std::f64::consts::PI * share).cos())
}
