//! The training steps that a trainer keeps beside the one for whole batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Trainer;
use super::recipe::{Step, Variant};
use crate::error::Result;
use crate::graph::StateKey;

/// How many are kept, besides those that alone have the states of their layers for a size of a batch.
const KEPT: usize = 8;

impl Trainer {
    /// Makes the training step of a variant, unless it exists. Where there are too many, those that were
    /// used longest ago go, so what an earlier call returned is no longer the place of a step.
    pub(super) fn prepare(&mut self, variant: Variant) -> Result<usize> {
        while self.position_of(variant).is_none()
            && let spare = self.spare_steps()
            && spare.len() >= KEPT
        {
            self.training.remove(spare[0]);
            self.health = None;
        }
        let index = self.add(variant)?;
        if index == 0 {
            return Ok(0);
        }
        self.training[index..].rotate_left(1);
        Ok(self.training.len() - 1)
    }

    /// [`prepare`](Trainer::prepare) with all steps that there are kept in their places.
    pub(super) fn add(&mut self, variant: Variant) -> Result<usize> {
        if let Some(known) = self.position_of(variant) {
            return Ok(known);
        }
        // A state of the layers for so many rows is that of every step for them.
        let step = self.recorded(variant, &self.sessions())?;
        self.training.push((variant, step));
        self.health = None;
        Ok(self.training.len() - 1)
    }

    fn position_of(&self, variant: Variant) -> Option<usize> {
        self.training.iter().position(|&(known, _)| known == variant)
    }

    /// The steps, but for the first, whose parameters and states others have too.
    fn spare_steps(&self) -> Vec<usize> {
        let keys: Vec<_> = self.training.iter().map(|(_, step)| step.keys()).collect();
        let has_others = |key| keys.iter().filter(|keys| keys.contains(key)).nth(1).is_some();
        (1..keys.len()).filter(|&index| keys[index].iter().all(has_others)).collect()
    }

    /// The number of training steps that are recorded.
    pub(crate) fn recorded_steps(&self) -> usize {
        self.training.len()
    }
}

impl Step {
    /// What the parameters and states of the step are called across steps.
    pub fn keys(&self) -> BTreeSet<Arc<StateKey>> {
        self.session.advanced().map(|(key, _)| key).collect()
    }
}
