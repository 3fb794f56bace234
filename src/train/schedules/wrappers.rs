use std::fmt;

use super::Schedule;
use crate::error::{Result, Setting};

/// A linear rise before another schedule (Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677):
/// over `updates` updates from a start of 0 to the schedule's first rate, and then the schedule from its
/// beginning. Update `u < updates` has `start + (first - start) u / updates`.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct WarmUp<S> {
    inner: S,
    updates: u32,
    start: f32,
}

impl<S: Schedule> WarmUp<S> {
    /// The rise over so many updates, then `schedule`.
    pub fn new(schedule: S, updates: u32) -> Self {
        WarmUp { inner: schedule, updates, start: 0.0 }
    }

    setters! {
        /// Sets the rate of the first update; 0 by default.
        start: f32 => start;
    }
}

impl<S: Schedule> Schedule for WarmUp<S> {
    fn rate(&self, update: u32) -> f32 {
        if update >= self.updates {
            return self.inner.rate(update - self.updates);
        }
        let (start, first) = (f64::from(self.start), f64::from(self.inner.rate(0)));
        (start + (first - start) * f64::from(update) / f64::from(self.updates)) as f32
    }

    fn check(&self) -> Result<()> {
        Setting::not_negative("start", self.start).check()?;
        self.inner.check()
    }
}

/// A function of the update's number, counted from 0, as a schedule.
///
/// ```
/// use retape::train::schedules::{Schedule, ScheduleFn};
/// let schedule = ScheduleFn(|update| 1.0 / (1.0 + update as f32).sqrt());
/// assert_eq!(schedule.rate(3), 0.5);
/// ```
#[derive(Clone, Copy)]
pub struct ScheduleFn<F>(pub F);

impl<F> fmt::Debug for ScheduleFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScheduleFn(..)")
    }
}

impl<F: Fn(u32) -> f32 + Send + Sync> Schedule for ScheduleFn<F> {
    fn rate(&self, update: u32) -> f32 {
        (self.0)(update)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Constant, CosineDecay};
    use super::*;

    #[test]
    fn a_warm_up_ends_where_its_schedule_begins() {
        let schedule = WarmUp::new(CosineDecay::new(0.8, 10), 4).start(0.2);
        let rates: Vec<f32> = [0, 1, 2, 3, 4, 9, 14, 15].map(|u| schedule.rate(u)).to_vec();
        for (found, want) in rates.iter().zip([0.2, 0.35, 0.5, 0.65, 0.8, 0.4, 0.0, 0.0]) {
            assert!((found - want).abs() <= 1e-7, "{rates:?}");
        }
        assert_eq!(WarmUp::new(Constant::new(0.5), 0).rate(0), 0.5);
        let boxed: Box<dyn Schedule> = Box::new(Constant::new(-0.5));
        assert!(WarmUp::new(boxed, 3).check().is_err());
        assert!(WarmUp::new(Constant::new(0.5), 3).start(f32::NAN).check().is_err());
    }

    #[test]
    fn any_function_is_a_schedule() {
        let schedule = WarmUp::new(ScheduleFn(|update| 1.0 + update as f32), 2);
        assert_eq!([0, 1, 2, 5].map(|u| schedule.rate(u)), [0.0, 0.5, 1.0, 4.0]);
        assert!(schedule.check().is_ok());
    }
}
