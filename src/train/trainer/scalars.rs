//! Numbers that change from step to step, the same in all steps of a trainer.

use super::Trainer;
use crate::error::Result;

impl Trainer {
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
        let (rates, updates) = (&self.rates, self.updates);
        let (before, from) = self.training.split_at_mut(index);
        let session = &mut from[0].1.session;
        if let Some((_, main)) = before.first() {
            session.scalars.adopt(&main.session.scalars);
        }
        session.set_step(self.steps);
        session.set_updates(self.optimizer_updates);
        session
            .scalars
            .put_rates(|name| rates.iter().find(|rate| rate.name == name).map(|rate| rate.value(updates)));
    }
}
