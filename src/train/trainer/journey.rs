//! How far a training is, and what the parts of it remember.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[cfg(feature = "checkpoints")]
use serde::{Deserialize, Serialize};

use super::Trainer;
use super::fit::Training;
use super::recipe::Variant;
use crate::error::Result;
use crate::graph::{StateKey, Value};
use crate::session::Session;
use crate::train::callbacks::Position;
#[cfg(feature = "checkpoints")]
use crate::train::checkpoint::{Epochs, Numbers};
use crate::train::{CallbackState, History};

/// How far a training is.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "checkpoints", derive(Serialize, Deserialize))]
pub(crate) struct Journey {
    pub position: Position,
    #[cfg_attr(feature = "checkpoints", serde(with = "Epochs"))]
    pub history: History,
    /// Within `fit`, the number of samples and whether they are shuffled.
    pub data: Option<(usize, bool)>,
    /// Within `fit`, what each callback is and remembers.
    pub callbacks: Option<Vec<Remembered>>,
    /// Whether there were callbacks within `fit`, of which it is not known what they remembered.
    #[cfg_attr(feature = "checkpoints", serde(default))]
    pub forgets: bool,
}

/// What a callback is and remembers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "checkpoints", derive(Serialize, Deserialize))]
pub(crate) struct Remembered {
    pub identity: String,
    #[cfg_attr(feature = "checkpoints", serde(with = "Numbers"))]
    pub state: CallbackState,
}

impl Trainer {
    /// The figures of the epochs of the last [`fit`](Trainer::fit), or of the checkpoint that was loaded
    /// since: what `fit` returned, and after an error all epochs that were finished.
    pub fn history(&self) -> &History {
        &self.journey.history
    }

    /// The sessions that parameters and states are in, the owner of most first.
    pub(super) fn sessions(&self) -> Vec<&Session> {
        self.training.iter().map(|(_, step)| &step.session).collect()
    }

    /// The training steps that have states of their own.
    pub(super) fn variants_with_states(&self) -> Vec<Variant> {
        let owners: BTreeSet<usize> = owners(&self.sessions()).into_values().map(|(_, i, _)| i).collect();
        owners.into_iter().filter(|&index| index > 0).map(|index| self.training[index].0).collect()
    }
}

/// Lets a trainer know that a `fit` is under way, and whether its progress is shown: as long as this lives, so that
/// what a panic of a callback leaves is a trainer at rest.
pub(super) struct UnderWay<'a> {
    pub trainer: &'a mut Trainer,
    before: [bool; 2],
}

impl<'a> UnderWay<'a> {
    pub fn new(trainer: &'a mut Trainer, progress: bool) -> Self {
        let before = [trainer.fitting, trainer.progress];
        [trainer.fitting, trainer.progress] = [true, progress];
        UnderWay { trainer, before }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        [self.trainer.fitting, self.trainer.progress] = self.before;
    }
}

/// The same training at the beginning of the epoch that it is in, of any data.
pub(super) fn between_epochs(journey: &Journey) -> Journey {
    let position = Position { epoch: journey.position.epoch, ..Position::default() };
    Journey { position, history: journey.history.clone(), ..Journey::default() }
}

/// The parameters and states of several sessions. What they share counts once, as the first one's.
pub(crate) fn owners<'a>(sessions: &[&'a Session]) -> BTreeMap<Arc<StateKey>, (&'a Session, usize, Value)> {
    let mut owners = BTreeMap::new();
    for (index, session) in sessions.iter().enumerate() {
        for (key, value) in session.advanced() {
            owners.entry(key).or_insert((*session, index, value));
        }
    }
    owners
}

impl Training<'_, '_> {
    /// Lets the trainer know how far training is: between two epochs, but after an error or a panic all that
    /// [`write_checkpoint`](Training::write_checkpoint) writes.
    pub(super) fn note(&mut self, failed: bool) {
        // The device that an error came from may not give what they remember, nor a callback that panics.
        let remembered = || catch_unwind(AssertUnwindSafe(|| self.remembered().ok())).ok().flatten();
        let callbacks = if failed { remembered() } else { None };
        let journey = self.journey(callbacks);
        self.trainer.journey = if failed { journey } else { between_epochs(&journey) };
    }

    /// Lets the trainer know at which step training is, for checkpoints that callbacks take of it: what they
    /// remember changes meanwhile.
    pub(super) fn mark(&mut self) {
        let data = (self.position.step > 0).then_some((self.feed.samples, self.shuffle));
        let journey = &mut self.trainer.journey;
        (journey.position, journey.data, journey.callbacks) = (self.position, data, None);
        journey.forgets = self.given > 0;
        if journey.history.epochs.len() != self.history.epochs.len() {
            journey.history = self.history.clone();
        }
    }

    /// What each callback that the program gave is and remembers.
    pub(super) fn remembered(&self) -> Result<Vec<Remembered>> {
        let given = self.callbacks[..self.given].iter();
        let remembered = given.map(|callback| {
            Ok(Remembered { identity: callback.identity(), state: callback.save(self.trainer)? })
        });
        remembered.collect()
    }

    pub(super) fn journey(&self, callbacks: Option<Vec<Remembered>>) -> Journey {
        let data = Some((self.feed.samples, self.shuffle));
        let forgets = callbacks.is_none() && self.given > 0;
        Journey { position: self.position, history: self.history.clone(), data, callbacks, forgets }
    }
}
