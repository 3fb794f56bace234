//! The training steps that a trainer keeps beside the one for whole batches.

use std::collections::HashMap;

use super::Trainer;
use super::recipe::{Step, Variant};
use crate::error::Result;

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
        let names = |(_, step): &(Variant, Step)| step.session.advanced().map(|(name, _)| name).collect();
        let names: Vec<Vec<String>> = self.training.iter().map(names).collect();
        let mut owners: HashMap<&str, usize> = HashMap::new();
        names.iter().flatten().for_each(|name| *owners.entry(name).or_default() += 1);
        let has_others = |name: &String| owners.get(name.as_str()).is_some_and(|&count| count > 1);
        (1..names.len()).filter(|&index| names[index].iter().all(has_others)).collect()
    }

    /// The number of training steps that are recorded, for tests.
    #[doc(hidden)]
    pub fn recorded_steps(&self) -> usize {
        self.training.len()
    }
}
