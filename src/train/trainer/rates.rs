//! Numbers that change from step to step, the same in all steps of a trainer: the rates, each optimiser's own or
//! by a schedule, and other scalars.

use super::Trainer;
use super::recipe::Step;
use crate::error::{Error, Result, Setting};
use crate::train::accumulation::{Divisor, Window};
use crate::train::{LEARNING_RATE, Schedule};

/// The rate of an optimiser.
#[derive(Debug)]
pub(super) struct Rate {
    pub name: String,
    /// Without a schedule.
    base: f32,
    /// What it is multiplied with.
    scale: f32,
    schedule: Option<Box<dyn Schedule>>,
    /// The updates that had been made when the schedule began.
    from: u32,
}

/// What a checkpoint holds of a rate.
#[cfg(feature = "checkpoints")]
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SavedRate {
    pub name: String,
    pub base: f64,
    pub scale: f64,
    pub from: u32,
}

impl Rate {
    /// The rate after so many updates.
    pub fn value(&self, updates: u32) -> f32 {
        let scheduled = updates.saturating_sub(self.from);
        self.schedule.as_ref().map_or(self.base, |schedule| schedule.rate(scheduled)) * self.scale
    }

    #[cfg(feature = "checkpoints")]
    pub fn saved(&self) -> SavedRate {
        let (base, scale) = (self.base.into(), self.scale.into());
        SavedRate { name: self.name.clone(), base, scale, from: self.from }
    }

    /// Goes on with what a checkpoint has of this rate.
    #[cfg(feature = "checkpoints")]
    pub fn take_up(&mut self, saved: &[SavedRate]) {
        if let Some(saved) = saved.iter().find(|saved| saved.name == self.name) {
            (self.base, self.scale, self.from) = (saved.base as f32, saved.scale as f32, saved.from);
        }
    }
}

impl Trainer {
    /// Adds the rates of the training step that are new.
    pub(super) fn take_in_rates(&mut self) {
        for (name, base) in self.training[0].1.session.scalars.rates() {
            if self.rates.iter().all(|rate| rate.name != name) {
                let (name, base) = (name.to_owned(), base as f32);
                self.rates.push(Rate { name, base, scale: 1.0, schedule: None, from: 0 });
            }
        }
    }

    /// The rate of this name; the first for none.
    fn rate_mut(&mut self, name: Option<&str>) -> Result<&mut Rate> {
        let known: Vec<String> = self.rates.iter().map(|rate| rate.name.clone()).collect();
        let found = self.rates.iter_mut().find(|rate| name.is_none_or(|name| rate.name == name));
        found.ok_or_else(|| Error::unknown("scalar", name.unwrap_or(LEARNING_RATE), known))
    }

    /// The learning rate of the next update; with groups of parameters, that of those that no group has.
    pub fn learning_rate(&self) -> f32 {
        self.rates().next().map_or(0.0, |(_, rate)| rate)
    }

    /// The rates of the next update, each with its name.
    pub fn rates(&self) -> impl Iterator<Item = (&str, f32)> {
        self.rates.iter().map(|rate| (rate.name.as_str(), rate.value(self.updates)))
    }

    /// Sets the learning rate from the next update on; that of a group by
    /// [`set_scalar`](Trainer::set_scalar).
    ///
    /// # Errors
    /// [`Error::Argument`] for a rate that is negative or not finite, and where a schedule gives the rate:
    /// [`set_schedule`](Trainer::set_schedule) begins another, a constant one too;
    /// [`Error::Unknown`] for an optimiser without one.
    pub fn set_learning_rate(&mut self, rate: f32) -> Result<()> {
        self.set_rate(None, rate)
    }

    fn set_rate(&mut self, name: Option<&str>, value: f32) -> Result<()> {
        Setting::not_negative("learning_rate", value).check()?;
        let rate = self.rate_mut(name)?;
        let expected = "the schedule gives it; `set_schedule` begins another";
        Error::expect(rate.schedule.is_none(), "learning_rate", value, expected)?;
        (rate.base, rate.scale) = (value, 1.0);
        Ok(())
    }

    /// Multiplies all rates, those of schedules too, from now on.
    ///
    /// # Errors
    /// [`Error::Argument`] for a factor that is negative or not finite, or makes all factors together
    /// infinite.
    pub fn scale_learning_rate(&mut self, factor: f32) -> Result<()> {
        let fits = |rate: &Rate| (rate.scale * factor).is_finite();
        let valid = factor >= 0.0 && self.rates.iter().all(fits);
        Setting::new("factor", factor, valid, "it must be finite and not negative").check()?;
        self.rates.iter_mut().for_each(|rate| rate.scale *= factor);
        Ok(())
    }

    /// Takes the learning rate from `schedule` from now on, which counts updates from the next one: its
    /// update 0. The optimiser's states stay.
    ///
    /// This is for fine-tuning after a schedule that has come to its end, as where Keras compiles a model
    /// again; [`Constant`](crate::train::schedules::Constant) is a schedule too.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let data = data::Dataset::new([2], vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0], 2)?;
    /// # let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(2));
    /// let mut trainer = Trainer::new(model, [2])
    ///     .loss(Loss::SparseCategoricalCrossEntropy)
    ///     .optimizer(Adam::new(0.05))
    ///     .schedule(CosineDecay::new(0.05, 10))
    ///     .freeze(["dense"])
    ///     .build(&Device::cpu())?;
    /// trainer.fit(&data, Fit::epochs(10))?;
    /// assert_eq!(trainer.learning_rate(), 0.0);
    /// trainer.unfreeze(["dense"])?;
    /// trainer.set_schedule(CosineDecay::new(0.005, 10))?;
    /// assert_eq!(trainer.learning_rate(), 0.005);
    /// trainer.fit(&data, Fit::epochs(10))?;
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// A checkpoint holds when the schedule began, not the schedule: a program that goes on from one sets the
    /// same schedule first.
    ///
    /// # Errors
    /// What the schedule's [`check`](Schedule::check) finds; [`Error::Unknown`](crate::Error::Unknown) for an
    /// optimiser without a learning rate. The rate is as it was then.
    pub fn set_schedule(&mut self, schedule: impl Schedule + 'static) -> Result<()> {
        self.begin_schedule(None, Box::new(schedule))
    }

    /// [`set_schedule`](Trainer::set_schedule) for the rate of this name, of a group of parameters.
    ///
    /// # Errors
    /// As there, with the names there are.
    pub fn set_schedule_of(&mut self, rate: &str, schedule: impl Schedule + 'static) -> Result<()> {
        self.begin_schedule(Some(rate), Box::new(schedule))
    }

    pub(super) fn begin_schedule(&mut self, name: Option<&str>, schedule: Box<dyn Schedule>) -> Result<()> {
        schedule.check()?;
        let from = self.updates;
        let rate = self.rate_mut(name)?;
        (rate.schedule, rate.scale, rate.from) = (Some(schedule), 1.0, from);
        Ok(())
    }

    /// The value of a scalar that the model, the loss or a metric has declared
    /// ([`Graph::scalar`](crate::Graph::scalar)), or of a rate.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) with the names there are.
    pub fn scalar(&self, name: &str) -> Result<f32> {
        let value = self.session().scalar(name)?;
        Ok(self.rates().find(|(rate, _)| *rate == name).map_or(value, |(_, rate)| rate))
    }

    /// Sets a scalar from the next batch on: of the training, whatever the size of the batch, of
    /// evaluation and of prediction. Checkpoints hold it. For a rate this is what
    /// [`set_learning_rate`](Trainer::set_learning_rate) does.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let fit =
    /// // Noise that fades from epoch to epoch, in a layer that declares `g.scalar("noise", 1.0)`.
    /// Fit::epochs(20).on_epoch_end(|run| {
    ///     let noise = 0.9 * run.trainer().scalar("noise")?;
    ///     run.trainer().set_scalar("noise", noise)
    /// })
    /// # ;
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) with the names there are;
    /// [`Error::Argument`](crate::Error::Argument) for a value that is not finite.
    pub fn set_scalar(&mut self, name: &str, value: f32) -> Result<()> {
        if self.rates().any(|(rate, _)| rate == name) {
            return self.set_rate(Some(name), value);
        }
        self.session_mut().set_scalar(name, value)
    }

    /// Tells a training step how far training is.
    pub(super) fn set_scalars(&mut self, index: usize) {
        let window = self.window.with(self.training[index].0.rows);
        let (before, from) = self.training.split_at_mut(index);
        let step = &mut from[0].1;
        if let Some((_, main)) = before.first() {
            step.session.scalars.adopt(&main.session.scalars);
        }
        step.take_up(&self.rates, [self.steps, self.updates, self.optimizer_updates], window);
    }
}

impl Step {
    /// Takes up the counts of steps, of updates and of those that the optimiser's formulas count, the rates, and
    /// the window that the step is in.
    pub(super) fn take_up(&mut self, rates: &[Rate], counts: [u32; 3], window: Window) {
        let [steps, updates, optimizer_updates] = counts;
        let session = &mut self.session;
        session.set_step(steps);
        session.set_updates(optimizer_updates);
        if let Some(Divisor::Samples(samples)) = self.values.divisor {
            session.scalars.set_count(samples, window.samples);
        }
        session
            .scalars
            .put_rates(|name| rates.iter().find(|rate| rate.name == name).map(|rate| rate.value(updates)));
    }
}
