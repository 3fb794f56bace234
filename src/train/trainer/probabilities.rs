//! Outputs as probabilities, by what the loss takes them for.

use super::{Predictions, Trainer};
use crate::data::Samples;
use crate::error::{Error, Result};
use crate::train::Scores;

impl Trainer {
    /// What a model that ends in a softmax or a sigmoid would [`predict`](Trainer::predict), in the shape of
    /// its outputs.
    ///
    /// The loss says what the outputs `y` are. Logits become `exp(y) / sum(exp y)` over the last axis, or
    /// `1 / (1 + exp(-y))`, the probability of class 1, where that axis has a single one and where each output
    /// is a yes or no of its own, as under the binary cross-entropy. Probabilities stay as they are. Of the hinge losses, whose scores are margins, the results rank samples and classes as
    /// the scores do, and are not calibrated.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut trainer = Trainer::new(Sequential::new().add(Dense::new(3)), [2])
    ///     .loss(Loss::SparseCategoricalCrossEntropy)
    ///     .optimizer(Sgd::new(0.1))
    ///     .build(&Device::cpu())?;
    /// let sure = trainer.predict_probabilities(data::Samples::new().input([2], &[0.5f32, -1.0]))?;
    /// assert!((sure.data.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a loss whose outputs stand for no probabilities, such as the mean squared
    /// error; otherwise as [`predict`](Trainer::predict).
    pub fn predict_probabilities<'a>(&mut self, data: impl Into<Samples<'a>>) -> Result<Predictions> {
        let normalize: fn(&mut [f32]) = match self.recipe.loss.scores() {
            Scores::Logits => of_logits,
            Scores::IndependentLogits => |row| row.iter_mut().for_each(|score| *score = sigmoid(*score)),
            Scores::Probabilities | Scores::IndependentProbabilities => |_| {},
            Scores::Values => {
                let value = format!("{:?}", self.recipe.loss);
                let expected = "probabilities are what the outputs of a cross-entropy stand for; `predict` \
                                gives outputs as they are";
                return Err(Error::argument("loss", value, expected));
            }
        };
        let mut predictions = self.predict(data)?;
        let classes = predictions.shape.dims().last().copied().unwrap_or(1);
        predictions.data.chunks_exact_mut(classes).for_each(normalize);
        Ok(predictions)
    }
}

/// The softmax of a row, in f64; the sigmoid of a single score.
fn of_logits(row: &mut [f32]) {
    if let [score] = row {
        *score = sigmoid(*score);
        return;
    }
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = row.iter().map(|&score| (f64::from(score) - f64::from(largest)).exp());
    let sum: f64 = exponentials.clone().sum();
    let shares: Vec<f32> = exponentials.map(|share| (share / sum) as f32).collect();
    row.copy_from_slice(&shares);
}

fn sigmoid(score: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(score)).exp())) as f32
}
