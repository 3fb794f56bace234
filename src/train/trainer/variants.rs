//! The training steps that a trainer keeps beside the one for whole batches.

use std::collections::HashMap;
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
        if self.position_of(variant).is_none() {
            self.drop_spare_steps();
        }
        let index = self.add(variant)?;
        self.recent.retain(|&other| other != variant);
        self.recent.push(variant);
        Ok(index)
    }

    /// [`prepare`](Trainer::prepare) with all steps that there are kept in their places.
    pub(super) fn add(&mut self, variant: Variant) -> Result<usize> {
        if let Some(known) = self.position_of(variant) {
            return Ok(known);
        }
        // A state of the layers for so many rows is that of every step for them.
        let step = self.recorded(variant, &self.sessions())?;
        self.training.push((variant, step));
        Ok(self.training.len() - 1)
    }

    fn position_of(&self, variant: Variant) -> Option<usize> {
        self.training.iter().position(|&(known, _)| known == variant)
    }

    /// Makes room for one more step.
    fn drop_spare_steps(&mut self) {
        loop {
            let spare = self.spare_steps();
            if spare.len() < KEPT {
                break;
            }
            let used = |index: usize| self.recent.iter().position(|&v| v == self.training[index].0);
            let Some(oldest) = spare.into_iter().min_by_key(|&index| used(index)) else { break };
            self.training.remove(oldest);
        }
        let training = &self.training;
        self.recent.retain(|recent| training.iter().any(|(variant, _)| variant == recent));
    }

    /// The steps, but for the first, whose parameters and states others have too.
    fn spare_steps(&self) -> Vec<usize> {
        let keys = |(_, step): &(Variant, Step)| step.session.advanced().map(|(key, _)| key).collect();
        let keys: Vec<Vec<Arc<StateKey>>> = self.training.iter().map(keys).collect();
        let mut owners: HashMap<&StateKey, usize> = HashMap::new();
        keys.iter().flatten().for_each(|key| *owners.entry(key).or_default() += 1);
        let has_others = |key: &Arc<StateKey>| owners.get(&**key).is_some_and(|&count| count > 1);
        (1..keys.len()).filter(|&index| keys[index].iter().all(has_others)).collect()
    }

    /// The number of training steps that are recorded.
    pub(crate) fn recorded_steps(&self) -> usize {
        self.training.len()
    }
}
