//! Pruning: weights set to zero and held there, or whole units taken out.
//!
//! Magnitude pruning (Han et al., NIPS 2015) sets the weights of the smallest magnitude to zero: so many of
//! all ([`Pruning::global`]), or so many of each layer ([`Pruning::per_layer`]), at once
//! ([`Trainer::prune`]) or step by step while training goes on ([`GradualPruning`]). What is pruned stays
//! zero through all training that follows. Unit pruning ([`prune_units`]) makes a smaller model of one.

mod gradual;
mod magnitude;
mod report;
mod units;

pub use gradual::GradualPruning;
pub use report::{LayerSparsity, Sparsity};
pub use units::prune_units;

use crate::error::{Error, Result};
use crate::graph::{StateKey, StateKind, Value};
use crate::session::Session;
use crate::train::Trainer;

/// Which share of which weights to prune. Weights are the trained parameters of two or more dimensions:
/// biases and the factors of normalisations are left alone.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Pruning {
    sparsity: f64,
    /// Whether the smallest are looked for in each layer, and not among all weights.
    per_layer: bool,
    layers: Option<Vec<String>>,
}

impl Pruning {
    /// This share of all weights, the smallest of all of them: layers with small weights lose more.
    pub fn global(sparsity: f64) -> Self {
        Pruning { sparsity, per_layer: false, layers: None }
    }

    /// This share of each layer's weights, the smallest of each.
    pub fn per_layer(sparsity: f64) -> Self {
        Pruning { sparsity, per_layer: true, layers: None }
    }

    /// Only in these layers, by their full names, those nested in them included.
    pub fn layers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.layers = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Those of the names that are wanted.
    fn choose(&self, names: &[String]) -> Result<Vec<String>> {
        let Some(layers) = &self.layers else { return Ok(names.to_vec()) };
        if let Some(unknown) = layers.iter().find(|layer| !names.iter().any(|name| is_in(name, layer))) {
            let layer =
                |name: &String| name.rsplit_once('.').map_or(name.clone(), |(layer, _)| layer.to_owned());
            let mut known: Vec<String> = names.iter().map(layer).collect();
            known.dedup();
            return Err(Error::unknown("layer with weights to prune", unknown, known));
        }
        let wanted = |name: &&String| layers.iter().any(|layer| is_in(name, layer));
        Ok(names.iter().filter(wanted).cloned().collect())
    }
}

/// Refuses a share of what is to be pruned that leaves nothing, or is none.
fn check_share(name: &'static str, share: f64) -> Result<()> {
    let is_share = (0.0..1.0).contains(&share);
    if is_share { Ok(()) } else { Err(Error::argument(name, share, "at least 0 and below 1")) }
}

/// Whether a parameter is one of a layer's, or of those nested in it.
fn is_in(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'))
}

impl Trainer {
    /// Sets the smallest weights to zero and holds them there from now on; returns how many are held there.
    /// Weights that were pruned before stay so: they count towards the share, and are more than it where it
    /// is smaller than theirs.
    ///
    /// The first pruning of a trainer records its steps again, with a mask for each weight.
    ///
    /// ```
    /// use retape::prelude::*;
    /// use retape::train::pruning::Pruning;
    /// # let data = data::Dataset::new([2], vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0], 2)?;
    /// # let model = Sequential::new().add(Dense::new(8).activation(Activation::Tanh)).add(Dense::new(2));
    /// # let mut trainer = Trainer::new(model, [2])
    /// #     .loss(Loss::SparseCategoricalCrossEntropy)
    /// #     .optimizer(Adam::new(0.05))
    /// #     .build(&Device::cpu())?;
    /// trainer.fit(&data, Fit::epochs(10))?;
    /// trainer.prune(&Pruning::global(0.5))?;
    /// trainer.fit(&data, Fit::epochs(10))?; // what is left adapts
    /// assert_eq!(trainer.sparsity()?.share(), 0.5);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a share outside `[0, 1)`; [`Error::Unknown`] for a layer that there is not.
    pub fn prune(&mut self, pruning: &Pruning) -> Result<Sparsity> {
        check_share("sparsity", pruning.sparsity)?;
        let names: Vec<String> = self.prunable().into_iter().map(|v| self.session().name_of(v)).collect();
        let chosen = pruning.choose(&names)?;
        // Recorded anew, the weights are other values of the same names.
        self.record_masks()?;
        let weight_and_mask = |name: &String| {
            let weight = self.session().find(&StateKey::named(name))?;
            Some((weight, self.session().state_of_kind(StateKind::Mask { of: weight })?))
        };
        let (weights, masks): (Vec<Value>, Vec<Value>) = chosen.iter().filter_map(weight_and_mask).unzip();
        let read = |values: &[Value]| -> Result<Vec<Vec<f64>>> {
            values.iter().map(|&value| self.session().read_f64(value)).collect()
        };
        let (weights, before) = (read(&weights)?, read(&masks)?);
        let together = if pruning.per_layer { 1 } else { weights.len().max(1) };
        let groups = weights.chunks(together).zip(before.chunks(together));
        let now = groups.flat_map(|(w, before)| magnitude::masks(w, before, pruning.sparsity));
        for (mask, now) in masks.into_iter().zip(now) {
            self.session_mut().write_f64(mask, &now)?;
        }
        self.hold_to_masks()?;
        self.count_zeros(|session, weight| session.state_of_kind(StateKind::Mask { of: weight }))
    }

    /// How many weights of each layer are zero, pruned or by themselves.
    ///
    /// # Errors
    /// As [`Session::read`](crate::Session::read).
    pub fn sparsity(&self) -> Result<Sparsity> {
        self.count_zeros(|_, weight| Some(weight))
    }

    /// The zeros of the weights that may be pruned, or of what else `array` gives for each.
    fn count_zeros(&self, array: impl Fn(&Session, Value) -> Option<Value>) -> Result<Sparsity> {
        let session = self.session();
        let layer = |weight: Value| {
            let data = session.read_f64(array(session, weight).unwrap_or(weight))?;
            let zeros = data.iter().filter(|&&w| w == 0.0).count();
            Ok(LayerSparsity { name: session.name_of(weight), weights: data.len(), zeros })
        };
        Ok(Sparsity { layers: self.prunable().into_iter().map(layer).collect::<Result<_>>()? })
    }
}
