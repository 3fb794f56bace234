//! Another schedule in the middle of a training.

use super::Trainer;
use crate::error::Result;
use crate::train::{LEARNING_RATE, Schedule};

impl Trainer {
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
        schedule.check()?;
        self.session().scalar(LEARNING_RATE)?;
        self.schedule = Some(Box::new(schedule));
        (self.schedule_from, self.rate_scale) = (self.updates, 1.0);
        Ok(())
    }

    /// The updates made under the schedule.
    pub(super) fn scheduled(&self) -> u32 {
        self.updates.saturating_sub(self.schedule_from)
    }
}
