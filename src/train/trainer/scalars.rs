//! Numbers that change from step to step, the same in all steps of a trainer.

use super::Trainer;
use crate::error::Result;
use crate::train::LEARNING_RATE;

impl Trainer {
    /// The value of a scalar that the model, the loss or a metric has declared
    /// ([`Graph::scalar`](crate::Graph::scalar)), or of the learning rate.
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) with the names there are.
    pub fn scalar(&self, name: &str) -> Result<f32> {
        let value = self.session().scalar(name)?;
        Ok(if name == LEARNING_RATE { self.learning_rate() } else { value })
    }

    /// Sets a scalar from the next batch on: of the training, whatever the size of the batch, of
    /// evaluation and of prediction. Checkpoints hold it. For `learning_rate` this is
    /// [`set_learning_rate`](Trainer::set_learning_rate).
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
        if name == LEARNING_RATE {
            return self.set_learning_rate(value);
        }
        self.session_mut().set_scalar(name, value)
    }

    /// Tells a training step how far training is.
    pub(super) fn set_scalars(&mut self, index: usize) {
        let rate = self.learning_rate();
        let (main, others) = self.training.split_at_mut(1);
        let main = &mut main[0].1.session;
        let session = match index.checked_sub(1) {
            None => main,
            Some(other) => {
                let session = &mut others[other].1.session;
                session.adopt_scalars(main);
                session
            }
        };
        session.set_step(self.steps);
        session.set_updates(self.optimizer_updates);
        if let Some(scalar) = session.scalar_of(LEARNING_RATE) {
            session.put_scalar(scalar, rate);
        }
    }
}
