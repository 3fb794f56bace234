//! The rates of a training: each optimiser's own, or by a schedule.

use super::Trainer;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::train::Schedule;

/// The rates of all optimisers.
#[derive(Debug)]
pub(super) struct Rates {
    /// The first is that of the optimiser of all that no group has.
    pub all: Vec<Rate>,
    /// What all are multiplied with.
    pub scale: f32,
}

/// The rate of an optimiser.
#[derive(Debug)]
pub(super) struct Rate {
    pub name: String,
    /// Without a schedule.
    pub base: f32,
    pub schedule: Option<Box<dyn Schedule>>,
    /// The updates that had been made when the schedule began.
    pub from: u32,
}

impl Rates {
    /// Those of a training step, with the schedules of some by name.
    pub fn new(session: &Session, schedules: Vec<(Option<String>, Box<dyn Schedule>)>) -> Result<Rates> {
        let rate = |(name, base): (&str, f64)| Rate {
            name: name.to_owned(),
            base: base as f32,
            schedule: None,
            from: 0,
        };
        let mut rates = Rates { all: session.rates().map(rate).collect(), scale: 1.0 };
        for (name, schedule) in schedules {
            rates.of_mut(name.as_deref())?.schedule = Some(schedule);
        }
        Ok(rates)
    }

    /// The rate of this name; the first for none.
    fn of_mut(&mut self, name: Option<&str>) -> Result<&mut Rate> {
        let found = self.all.iter().position(|rate| name.is_none_or(|name| rate.name == name));
        match found {
            Some(index) => Ok(&mut self.all[index]),
            None => {
                let known = self.all.iter().map(|rate| rate.name.clone()).collect();
                let name = name.unwrap_or(crate::train::LEARNING_RATE).to_owned();
                Err(Error::Unknown { what: "scalar", name, known })
            }
        }
    }

    /// What a checkpoint holds of each rate: its name, the optimiser's own, where its schedule began.
    #[cfg(feature = "checkpoints")]
    pub fn in_file(&self) -> Vec<(String, f64, u32)> {
        self.all.iter().map(|rate| (rate.name.clone(), f64::from(rate.base), rate.from)).collect()
    }

    /// Goes on with the rates of a checkpoint.
    #[cfg(feature = "checkpoints")]
    pub fn take_up(&mut self, rates: &[(String, f64, u32)], scale: f32) {
        self.scale = scale;
        for rate in &mut self.all {
            if let Some((_, base, from)) = rates.iter().find(|(name, ..)| *name == rate.name) {
                (rate.base, rate.from) = (*base as f32, *from);
            }
        }
    }

    /// A rate after so many updates.
    fn value(&self, rate: &Rate, updates: u32) -> f32 {
        let scheduled = updates.saturating_sub(rate.from);
        rate.schedule.as_ref().map_or(rate.base, |schedule| schedule.rate(scheduled)) * self.scale
    }
}

impl Trainer {
    /// The learning rate of the next update; with groups of parameters, that of those that no group has.
    pub fn learning_rate(&self) -> f32 {
        self.rates().next().map_or(0.0, |(_, rate)| rate)
    }

    /// The rates of the next update, each with its name.
    pub fn rates(&self) -> impl Iterator<Item = (&str, f32)> {
        let value = |rate| self.rates.value(rate, self.updates);
        self.rates.all.iter().map(move |rate| (rate.name.as_str(), value(rate)))
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

    pub(super) fn set_rate(&mut self, name: Option<&str>, value: f32) -> Result<()> {
        let argument = |value, expected| Err(Error::Argument { argument: "learning_rate", value, expected });
        if !(value.is_finite() && value >= 0.0) {
            return argument(value.to_string(), "it must be finite and not negative");
        }
        let scale = self.rates.scale;
        let rate = self.rates.of_mut(name)?;
        if rate.schedule.is_some() {
            return argument(value.to_string(), "the schedule gives it; `set_schedule` begins another");
        }
        rate.base = value;
        if let [_] = self.rates.all[..] {
            self.rates.scale = 1.0;
        } else if scale > 0.0 {
            // What scales all rates stays with the others.
            self.rates.of_mut(name)?.base = value / scale;
        }
        Ok(())
    }

    /// Multiplies all rates, those of schedules too, from now on.
    ///
    /// # Errors
    /// [`Error::Argument`] for a factor that is negative or not finite, or makes all factors together
    /// infinite.
    pub fn scale_learning_rate(&mut self, factor: f32) -> Result<()> {
        let scale = self.rates.scale * factor;
        if !(factor >= 0.0 && scale.is_finite()) {
            let (argument, value) = ("factor", factor.to_string());
            return Err(Error::Argument { argument, value, expected: "it must be finite and not negative" });
        }
        self.rates.scale = scale;
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
    /// # fn main() -> retape::Result<()> {
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
    /// # Ok(())
    /// # }
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

    fn begin_schedule(&mut self, name: Option<&str>, schedule: Box<dyn Schedule>) -> Result<()> {
        schedule.check()?;
        let (from, only) = (self.updates, self.rates.all.len() == 1);
        let rate = self.rates.of_mut(name)?;
        (rate.schedule, rate.from) = (Some(schedule), from);
        if only {
            self.rates.scale = 1.0;
        }
        Ok(())
    }
}
