use super::Trainer;
use crate::error::{Error, Result};
use crate::train::AVERAGE;

impl Trainer {
    /// Exchanges the weights and their moving averages, as an optimiser with
    /// [`ema`](crate::train::Optimizer::ema) keeps them: Keras's `SwapEMAWeights`. Between two calls, the
    /// model computes with the averages.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # fn main() -> retape::Result<()> {
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
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unknown`] if the optimiser keeps no averages.
    pub fn swap_averages(&mut self) -> Result<()> {
        let names = self.session().parameter_names().into_iter().map(str::to_owned);
        let pairs: Vec<_> = names.map(|name| (format!("{name}.{AVERAGE}"), name)).collect();
        let kept = |average: &str| self.session().advanced_value(average).is_ok();
        if !pairs.iter().any(|(average, _)| kept(average)) {
            let (name, known) = (AVERAGE.to_owned(), Vec::new());
            return Err(Error::Unknown { what: "state of the optimiser", name, known });
        }
        if self.optimizer_updates == 0 {
            // Before the first update an average is the weight itself.
            return Ok(());
        }
        for (average, weight) in &pairs {
            // A parameter that the loss does not depend on has none.
            let Ok(averaged) = self.weight(average) else { continue };
            let current = self.weight(weight)?;
            self.set_weight(weight, &averaged)?;
            self.set_weight(average, &current)?;
        }
        Ok(())
    }
}
