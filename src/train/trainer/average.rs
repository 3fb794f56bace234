use super::Trainer;
use crate::error::{Error, Result};
use crate::graph::{Role, Value};
use crate::train::AVERAGE;

impl Trainer {
    /// Exchanges the weights and their moving averages, as an optimiser with
    /// [`ema`](crate::train::Optimizer::ema) keeps them: Keras's `SwapEMAWeights`. Between two calls, the
    /// model computes with the averages.
    ///
    /// Layers that are frozen in between go back to the weights they were trained to, as if they had been
    /// frozen before: a frozen layer has no average. Where layers are unfrozen in between, the optimiser starts
    /// anew and all of its averages with it, so that the model has its trained weights again. Where the model was
    /// trained or given weights in between, by other ways than [`session_mut`](Trainer::session_mut), what it has
    /// by then are its weights, and freezing exchanges nothing.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let data = data::Dataset::new([2], vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0], 2)?;
    /// # let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(2));
    /// let mut trainer = Trainer::new(model, [2])
    ///     .loss(Loss::SparseCategoricalCrossEntropy)
    ///     .optimizer(Sgd::new(0.1).ema(0.99))
    ///     .build(&Device::cpu())?;
    /// trainer.fit(&data, Fit::epochs(10))?;
    /// trainer.swap_averages()?;
    /// println!("with the averages: {}", trainer.evaluate(&data)?);
    /// trainer.swap_averages()?;
    /// trainer.fit(&data, Fit::epochs(10))?; // goes on with the weights
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] if the optimiser keeps no averages.
    pub fn swap_averages(&mut self) -> Result<()> {
        if self.states_of_weights(Role::Average).is_empty() {
            return Err(Error::unknown("state of the optimiser", AVERAGE, [""; 0]));
        }
        self.exchange_averages()
    }

    /// Exchanges the averages that there are and their weights.
    pub(super) fn exchange_averages(&mut self) -> Result<()> {
        let averages = self.states_of_weights(Role::Average);
        // Before the first update an average is the weight itself.
        if averages.is_empty() || self.optimizer_updates == 0 {
            return Ok(());
        }
        for (average, weight) in averages {
            let both = self.session().executor.read_f64(&[average, weight])?;
            self.session_mut().write_f64(weight, &both[0])?;
            self.session_mut().write_f64(average, &both[1])?;
        }
        self.swapped = if self.swapped.is_none() { Some(false) } else { None };
        Ok(())
    }

    /// Notes that the model has other weights than before.
    pub(in crate::train) fn mark_changed(&mut self) {
        self.swapped = self.swapped.map(|_| true);
    }

    /// The states of a role that are there for weights, each with its weight.
    pub(super) fn states_of_weights(&self, role: Role) -> Vec<(Value, Value)> {
        let session = self.session();
        let states = session.advanced().filter(|(key, _)| key.role == role);
        states.filter_map(|(_, state)| Some((state, session.kind(state)?.of()?))).collect()
    }
}
