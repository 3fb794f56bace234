use std::collections::BTreeSet;

use super::Trainer;
use crate::error::Result;
use crate::graph::{Role, StateKind};

impl Trainer {
    /// Freezes layers from now on, those nested in them included: their parameters stay as they are, no
    /// gradient is computed for them, and batch normalisation uses its running statistics. Names are full
    /// ones, as in the summary: `conv2d_1`, `block.dense`.
    ///
    /// The steps are recorded again over the same weights, on the device; what the optimiser keeps for
    /// parameters that are trained as before stays. Values of the tapes before are no longer this
    /// trainer's.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let data = data::Dataset::new([2], vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0], 2)?;
    /// # let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(2));
    /// # let mut trainer = Trainer::new(model, [2])
    /// #     .loss(Loss::SparseCategoricalCrossEntropy)
    /// #     .optimizer(Adam::new(0.05))
    /// #     .build(&Device::cpu())?;
    /// // Fine-tuning in two phases: the head alone, then everything at a tenth of the rate.
    /// trainer.freeze(["dense"])?;
    /// let before = trainer.weights()?;
    /// trainer.fit(&data, Fit::epochs(20))?;
    /// let head = trainer.weights()?;
    /// assert_eq!(head.get("dense.weight"), before.get("dense.weight"));
    /// assert_ne!(head.get("dense_1.weight"), before.get("dense_1.weight"));
    ///
    /// trainer.unfreeze(["dense"])?;
    /// trainer.set_learning_rate(0.005)?;
    /// let history = trainer.fit(&data, Fit::epochs(20))?;
    /// assert_ne!(trainer.weights()?.get("dense.weight"), before.get("dense.weight"));
    /// assert!(history.last("loss") < Some(history.get("loss")[0]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`](crate::Error::Unknown) with the layers there are;
    /// [`Error::NothingToTrain`](crate::Error::NothingToTrain) if none is left to train. The trainer is
    /// as it was then.
    pub fn freeze<S: AsRef<str>>(&mut self, layers: impl IntoIterator<Item = S>) -> Result<()> {
        let more = self.recipe.layers(layers)?;
        self.set_frozen(self.recipe.frozen.union(&more).cloned().collect())
    }

    /// Trains layers again that were frozen, those nested in them included. The optimiser starts anew, as
    /// where Keras compiles a model again: moments of some layers that are old beside those of others that
    /// begin would be corrected by the wrong count of updates. A schedule goes on, at a rate of 0 where it
    /// has ended: [`set_schedule`](Trainer::set_schedule) begins another. It makes no difference whether
    /// layers were frozen by [`freeze`](Trainer::freeze), by
    /// [`TrainerBuilder::freeze`](crate::train::TrainerBuilder::freeze), or in the model, by
    /// [`Layer::trainable`](crate::nn::Layer::trainable).
    ///
    /// # Errors
    /// As [`freeze`](Trainer::freeze).
    pub fn unfreeze<S: AsRef<str>>(&mut self, layers: impl IntoIterator<Item = S>) -> Result<()> {
        let fewer = self.recipe.layers(layers)?;
        self.set_frozen(self.recipe.frozen.difference(&fewer).cloned().collect())
    }

    /// The full names of the layers that are frozen, nested ones by themselves.
    pub fn frozen(&self) -> impl Iterator<Item = &str> {
        self.recipe.frozen.iter().map(String::as_str)
    }

    fn set_frozen(&mut self, frozen: BTreeSet<String>) -> Result<()> {
        if self.recipe.frozen == frozen {
            return Ok(());
        }
        // A layer that is frozen loses its average: by then, what was trained must be in the weights.
        let swapped = self.swapped == Some(false);
        if swapped {
            self.exchange_averages()?;
        }
        let before = std::mem::replace(&mut self.recipe.frozen, frozen);
        let mut recorded = self.record_again();
        if recorded.is_err() {
            self.recipe.frozen = before;
        } else if !before.is_subset(&self.recipe.frozen) {
            // The optimiser's states begin anew; gradients that are summed up go on to the next update.
            self.optimizer_updates = 0;
            use StateKind::{Average, Own, Slot};
            recorded = self.session_mut().reset(|_, kind| matches!(kind, Slot { .. } | Average { .. } | Own));
        }
        let exchanged = if swapped { self.exchange_averages() } else { Ok(()) };
        recorded.and(exchanged)
    }

    /// Sets what is pruned to zero again, where weights were put in from elsewhere; averages too.
    pub(crate) fn hold_to_masks(&mut self) -> Result<()> {
        for (mask, of) in self.states_of_weights(Role::Mask) {
            let mask = self.session().read_f64(mask)?;
            if !mask.contains(&0.0) {
                continue;
            }
            let average = self.session().state_of_kind(StateKind::Average { of });
            for held in std::iter::once(of).chain(average) {
                let mut weight = self.session().read_f64(held)?;
                weight.iter_mut().zip(&mask).for_each(|(w, keep)| *w *= keep);
                self.session_mut().write_f64(held, &weight)?;
            }
        }
        Ok(())
    }
}
