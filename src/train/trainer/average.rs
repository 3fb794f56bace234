use super::Trainer;
use crate::error::{Error, Result};
use crate::graph::{StateKind, Value};
use crate::train::AVERAGE;

impl Trainer {
    /// Exchanges the weights and their moving averages, as an optimiser with
    /// [`ema`](crate::train::Optimizer::ema) keeps them: Keras's `SwapEMAWeights`. Between two calls, the
    /// model computes with the averages.
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
        let session = self.session();
        let pair = |(_, average): (_, Value)| match session.kind(average)? {
            StateKind::Average { of } => Some((average, of)),
            _ => None,
        };
        let pairs: Vec<(Value, Value)> = session.advanced().filter_map(pair).collect();
        if pairs.is_empty() {
            let (name, known) = (AVERAGE.to_owned(), Vec::new());
            return Err(Error::Unknown { what: "state of the optimiser", name, known });
        }
        if self.optimizer_updates == 0 {
            // Before the first update an average is the weight itself.
            return Ok(());
        }
        for (average, weight) in pairs {
            let both = self.session().executor.read_f64(&[average, weight])?;
            self.session_mut().write_f64(weight, &both[0])?;
            self.session_mut().write_f64(average, &both[1])?;
        }
        Ok(())
    }
}
