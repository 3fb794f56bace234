use super::{Schedule, anneal, schedule};
use crate::error::{Error, Result, Setting};

/// One rate for all updates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    rate: f32,
}

impl Constant {
    /// This rate.
    pub fn new(rate: f32) -> Self {
        Constant { rate }
    }
}

impl Schedule for Constant {
    fn rate(&self, _: u32) -> f32 {
        self.rate
    }

    fn check(&self) -> Result<()> {
        Setting::not_negative("rate", self.rate).check()
    }
}

/// The rate times a factor at regular updates or at given ones (PyTorch's `StepLR` and `MultiStepLR`):
/// `initial factor^k` after `k` of them. An update that is one of them has the new rate.
///
/// ```
/// use retape::train::schedules::{Schedule, StepDecay};
/// let every = StepDecay::every(1.0, 10, 0.5);
/// assert_eq!((every.rate(9), every.rate(10), every.rate(20)), (1.0, 0.5, 0.25));
/// let at = StepDecay::at(1.0, [3, 5], 0.5);
/// assert_eq!((at.rate(2), at.rate(3), at.rate(5), at.rate(50)), (1.0, 0.5, 0.25, 0.25));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StepDecay {
    initial: f32,
    steps: Steps,
    factor: f32,
}

#[derive(Clone, Debug, PartialEq)]
enum Steps {
    Every(u32),
    At(Vec<u32>),
}

impl StepDecay {
    /// From `initial`, times `factor` every so many updates.
    pub fn every(initial: f32, updates: u32, factor: f32) -> Self {
        StepDecay { initial, steps: Steps::Every(updates), factor }
    }

    /// From `initial`, times `factor` at each of these updates, in any order.
    pub fn at(initial: f32, updates: impl Into<Vec<u32>>, factor: f32) -> Self {
        StepDecay { initial, steps: Steps::At(updates.into()), factor }
    }
}

impl Schedule for StepDecay {
    fn rate(&self, update: u32) -> f32 {
        let steps = match &self.steps {
            Steps::Every(updates) => update.checked_div(*updates).map_or(0.0, f64::from),
            Steps::At(updates) => updates.iter().filter(|&&at| at <= update).count() as f64,
        };
        (f64::from(self.initial) * f64::from(self.factor).powf(steps)) as f32
    }

    fn check(&self) -> Result<()> {
        Setting::not_negative("initial", self.initial).check()?;
        Setting::not_negative("factor", self.factor).check()?;
        match self.steps {
            Steps::Every(updates) => Setting::count("updates", updates).check(),
            Steps::At(_) => Ok(()),
        }
    }
}

/// Given rates up to given updates (Keras's `PiecewiseConstantDecay`): `values[k]` up to and including
/// update `boundaries[k]`, and the last value, one more than there are boundaries, from then on.
///
/// ```
/// use retape::train::schedules::{PiecewiseConstant, Schedule};
/// let schedule = PiecewiseConstant::new([2, 4], [1.0, 0.5, 0.1]);
/// assert_eq!((schedule.rate(2), schedule.rate(3), schedule.rate(5)), (1.0, 0.5, 0.1));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PiecewiseConstant {
    boundaries: Vec<u32>,
    values: Vec<f32>,
}

impl PiecewiseConstant {
    /// These boundaries, ascending, and the rates between them.
    pub fn new(boundaries: impl Into<Vec<u32>>, values: impl Into<Vec<f32>>) -> Self {
        PiecewiseConstant { boundaries: boundaries.into(), values: values.into() }
    }
}

impl Schedule for PiecewiseConstant {
    fn rate(&self, update: u32) -> f32 {
        let passed = self.boundaries.iter().filter(|&&last| last < update).count();
        self.values.get(passed).copied().unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        if self.values.len() != self.boundaries.len() + 1 {
            let value = format!("{} values for {} boundaries", self.values.len(), self.boundaries.len());
            return Err(Error::argument("values", value, "one value more than boundaries"));
        }
        if !self.boundaries.is_sorted_by(|a, b| a < b) {
            return Err(Error::argument("boundaries", format!("{:?}", self.boundaries), "they must ascend"));
        }
        self.values.iter().try_for_each(|&rate| Setting::not_negative("values", rate).check())
    }
}

/// How far an update is in a decay, in whole periods if it goes by steps.
fn periods(update: f64, decay_steps: u32, staircase: bool) -> f64 {
    let passed = update / f64::from(decay_steps);
    if staircase { passed.floor() } else { passed }
}

schedule! {
    /// `initial decay_rate^(update / decay_steps)` (Keras's `ExponentialDecay`; PyTorch's `ExponentialLR` is
    /// that with 1 for `decay_steps`).
    ExponentialDecay
    new {
        /// From `initial`, times `decay_rate` every `decay_steps` updates, little by little.
        initial, decay_steps, decay_rate: positive
    }
    flag {
        /// Decays at whole multiples of `decay_steps` only.
        staircase
    }
}

impl ExponentialDecay {
    fn at(&self, update: f64) -> f64 {
        let passed = periods(update, self.decay_steps, self.staircase);
        f64::from(self.initial) * f64::from(self.decay_rate).powf(passed)
    }
}

schedule! {
    /// `initial / (1 + decay_rate update / decay_steps)` (Keras's `InverseTimeDecay`).
    InverseTimeDecay
    new {
        /// From `initial`, divided by `1 + decay_rate` after `decay_steps` updates.
        initial, decay_steps, decay_rate: not_negative
    }
    flag {
        /// Decays at whole multiples of `decay_steps` only.
        staircase
    }
}

impl InverseTimeDecay {
    fn at(&self, update: f64) -> f64 {
        let passed = periods(update, self.decay_steps, self.staircase);
        f64::from(self.initial) / (1.0 + f64::from(self.decay_rate) * passed)
    }
}

schedule! {
    /// `(initial - end) (1 - update / decay_steps)^power + end`, and `end` from `decay_steps` on (Keras's
    /// `PolynomialDecay`); linear by default.
    PolynomialDecay
    new {
        /// From `initial` to an end of 1e-4, which [`end`](PolynomialDecay::end) replaces.
        initial, decay_steps
    }
    set {
        /// Sets the rate at the end.
        end: not_negative = 1e-4,
        /// Sets the power, positive; 1 by default.
        power: positive = 1.0,
    }
    flag {
        /// Goes on past `decay_steps`: the decay then spans the next whole multiple of it, so that the rate
        /// jumps up there and comes down again, from less each time.
        cycle
    }
}

impl PolynomialDecay {
    fn at(&self, update: f64) -> f64 {
        let length = f64::from(self.decay_steps);
        let length = if self.cycle { length * (update / length).ceil().max(1.0) } else { length };
        let left = (1.0 - update / length).max(0.0);
        let (initial, end) = (f64::from(self.initial), f64::from(self.end));
        (initial - end) * left.powf(f64::from(self.power)) + end
    }
}

schedule! {
    /// Half a cosine from `initial` to `alpha initial`, which it stays at from `decay_steps` on (Loshchilov
    /// and Hutter, SGDR, ICLR 2017; Keras's `CosineDecay`):
    ///
    /// `initial ((1 - alpha) (1 + cos(pi update / decay_steps)) / 2 + alpha)`.
    CosineDecay
    new {
        /// From `initial` to 0.
        initial, decay_steps
    }
    set {
        /// Sets the share of `initial` that is left, from 0 to 1; 0 by default.
        alpha: share = 0.0,
    }
}

impl CosineDecay {
    fn at(&self, update: f64) -> f64 {
        let share = (update / f64::from(self.decay_steps)).min(1.0);
        f64::from(self.initial) * anneal(1.0, f64::from(self.alpha), share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `schedule` at these updates, against numbers worked out by hand.
    fn expect(schedule: &dyn Schedule, rates: &[(u32, f64)]) {
        schedule.check().expect("the settings are valid");
        for &(update, want) in rates {
            let error = (f64::from(schedule.rate(update)) - want).abs();
            assert!(error <= 1e-7 * want.abs().max(1e-3), "{schedule:?} at {update}: want {want}");
        }
    }

    #[test]
    fn steps() {
        expect(&Constant::new(0.25), &[(0, 0.25), (u32::MAX, 0.25)]);
        expect(
            &StepDecay::every(0.1, 30, 0.1),
            &[(0, 0.1), (29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001), (90, 1e-4)],
        );
        expect(&StepDecay::at(0.1, [80, 30], 0.1), &[(29, 0.1), (30, 0.01), (79, 0.01), (80, 0.001)]);
        expect(&StepDecay::at(0.1, [], 0.1), &[(0, 0.1), (1000, 0.1)]);
        let pieces = PiecewiseConstant::new([1000, 1100], [1.0, 0.5, 0.1]);
        expect(&pieces, &[(0, 1.0), (1000, 1.0), (1001, 0.5), (1100, 0.5), (1101, 0.1), (u32::MAX, 0.1)]);
    }

    #[test]
    fn exponential_and_inverse_time() {
        let smooth = ExponentialDecay::new(0.1, 100, 0.25);
        expect(&smooth, &[(0, 0.1), (50, 0.05), (100, 0.025), (200, 0.00625), (u32::MAX, 0.0)]);
        expect(&smooth.staircase(), &[(0, 0.1), (99, 0.1), (100, 0.025), (199, 0.025), (200, 0.00625)]);
        let inverse = InverseTimeDecay::new(0.1, 10, 0.5);
        expect(&inverse, &[(0, 0.1), (10, 0.1 / 1.5), (20, 0.05), (25, 0.1 / 2.25)]);
        expect(&inverse.staircase(), &[(9, 0.1), (10, 0.1 / 1.5), (19, 0.1 / 1.5), (20, 0.05)]);
    }

    #[test]
    fn polynomial() {
        let linear = PolynomialDecay::new(0.1, 100).end(0.01);
        expect(&linear, &[(0, 0.1), (50, 0.055), (99, 0.0109), (100, 0.01), (101, 0.01), (u32::MAX, 0.01)]);
        expect(&linear.power(2.0), &[(0, 0.1), (50, 0.0325), (100, 0.01)]);
        // Past 100 the decay spans 200 updates: at 150, a quarter of it is left.
        let cycle = linear.cycle();
        expect(&cycle, &[(0, 0.1), (50, 0.055), (100, 0.01), (150, 0.0325), (200, 0.01), (250, 0.025)]);
        expect(&PolynomialDecay::new(0.1, 10), &[(10, 1e-4)]);
    }

    #[test]
    fn cosine() {
        let cosine = CosineDecay::new(0.2, 90);
        expect(&cosine, &[(0, 0.2), (30, 0.15), (45, 0.1), (60, 0.05), (90, 0.0), (91, 0.0)]);
        expect(&cosine.alpha(0.1), &[(0, 0.2), (45, 0.11), (90, 0.02), (u32::MAX, 0.02)]);
    }

    /// As in a search for the largest rate that a training bears.
    #[test]
    fn rates_may_grow() {
        expect(&ExponentialDecay::new(1e-4, 10, 10.0), &[(0, 1e-4), (10, 1e-3), (40, 1.0)]);
        expect(&StepDecay::every(0.1, 5, 2.0), &[(4, 0.1), (5, 0.2), (10, 0.4)]);
    }

    #[test]
    fn bad_settings_are_named() {
        let bad: [(&str, Box<dyn Schedule>); 16] = [
            ("rate", Box::new(Constant::new(f32::NAN))),
            ("initial", Box::new(StepDecay::every(-1.0, 1, 0.5))),
            ("updates", Box::new(StepDecay::every(1.0, 0, 0.5))),
            ("factor", Box::new(StepDecay::at(1.0, [1], -0.5))),
            ("values", Box::new(PiecewiseConstant::new([1], [1.0]))),
            ("boundaries", Box::new(PiecewiseConstant::new([2, 2], [1.0, 0.5, 0.1]))),
            ("values", Box::new(PiecewiseConstant::new([2], [1.0, f32::INFINITY]))),
            ("decay_steps", Box::new(ExponentialDecay::new(1.0, 0, 0.5))),
            ("decay_rate", Box::new(ExponentialDecay::new(1.0, 1, 0.0))),
            ("decay_steps", Box::new(InverseTimeDecay::new(1.0, 0, 0.5))),
            ("decay_rate", Box::new(InverseTimeDecay::new(1.0, 1, -0.5))),
            ("end", Box::new(PolynomialDecay::new(1.0, 1).end(-1.0))),
            ("power", Box::new(PolynomialDecay::new(1.0, 1).power(0.0))),
            ("decay_steps", Box::new(PolynomialDecay::new(1.0, 0))),
            ("decay_steps", Box::new(CosineDecay::new(1.0, 0))),
            ("alpha", Box::new(CosineDecay::new(1.0, 1).alpha(1.5))),
        ];
        for (name, schedule) in bad {
            let found = schedule.check();
            assert!(
                matches!(found, Err(Error::Argument { argument, .. }) if argument == name),
                "{name}: {found:?}"
            );
        }
    }
}
