//! Where training goes on: checkpoints, and weights by name.

use std::path::Path;

use super::Trainer;
use super::fit::Training;
use super::recipe::Variant;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::train::callbacks::Position;
use crate::train::checkpoint::{Checkpoint, Header, Journey, LoadOptions, LoadReport, Opened, own_something};

impl Trainer {
    /// Writes the model's weights to a safetensors file: [`Session::save_weights`] of the training
    /// session.
    ///
    /// # Errors
    /// As [`Session::save_weights`].
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.session().save_weights(path)
    }

    /// Reads all of the model's weights from a file: [`Session::load_weights`] of the training session.
    /// The optimiser's states and the step count stay as they are.
    ///
    /// # Errors
    /// As [`Session::load_weights`]; the model is as it was then.
    pub fn load_weights(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.session_mut().load_weights(path)?;
        self.hold_to_masks()
    }

    /// Reads the weights that fit by name and shape, and says which.
    ///
    /// # Errors
    /// As [`Session::load_weights_partial`].
    pub fn load_weights_partial(&mut self, path: impl AsRef<Path>) -> Result<LoadReport> {
        let report = self.session_mut().load_weights_partial(path)?;
        self.hold_to_masks().map(|()| report)
    }

    /// Reads the weights of some layers, or what fits.
    ///
    /// # Errors
    /// As [`Session::load_weights_with`].
    pub fn load_weights_with(&mut self, path: impl AsRef<Path>, options: &LoadOptions) -> Result<LoadReport> {
        let report = self.session_mut().load_weights_with(path, options)?;
        self.hold_to_masks().map(|()| report)
    }

    /// Writes everything that training goes on from: weights, optimiser states, counts, scalars, and the
    /// figures of the epochs of the last [`fit`](Trainer::fit). [`Fit::resume`](super::Fit::resume) goes on with
    /// the first epoch that was not finished. Within `fit`, a callback asks for a checkpoint by
    /// [`Run::write_checkpoint`](crate::train::Run::write_checkpoint), at any step.
    ///
    /// The file is written beside its place and renamed, so that an older one is replaced whole or not at
    /// all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; what reading a value from the device reports.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        Checkpoint::of_sessions(&self.sessions())?.save(path.as_ref(), &self.header(self.journey.clone()))
    }

    /// Takes up everything that a checkpoint holds, and returns the number of the epoch to go on with,
    /// for [`Fit::initial_epoch`](super::Fit::initial_epoch). Unlike [`Fit::resume`](super::Fit::resume),
    /// the training to come may be of other data and with other callbacks; an epoch that the checkpoint
    /// was written in begins again.
    ///
    /// # Errors
    /// As for [`Fit::resume`](super::Fit::resume), for what concerns the trainer. It is as it was then.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<usize> {
        let opened = Opened::open(path.as_ref())?;
        self.check_checkpoint(&opened, path.as_ref())?;
        self.take_up(&opened, |_| Ok(()))?;
        self.journey = between_epochs(&opened.header.journey);
        Ok(self.journey.position.epoch)
    }

    /// Remembers what a `fit` came to.
    pub(super) fn note_journey(&mut self, position: Position, history: &crate::train::History) {
        let history = history.clone();
        self.journey = between_epochs(&Journey { position, history, ..Journey::default() });
    }

    /// The sessions that parameters and states are in, the owner of most first.
    fn sessions(&self) -> Vec<&Session> {
        self.training.iter().map(|(_, step)| &step.session).collect()
    }

    fn header(&self, journey: Journey) -> Header {
        Header {
            seed: self.seed,
            batch: self.batch,
            accumulate: self.recipe.accumulate,
            steps: self.steps,
            updates: self.updates,
            optimizer_updates: self.optimizer_updates,
            base_rate: self.base_rate,
            rate_scale: self.rate_scale,
            schedule_from: self.schedule_from,
            scalars: self.scalars(),
            masked: self.recipe.masked.clone(),
            frozen: self.recipe.frozen.clone(),
            variants: self.variants_with_states(),
            weights: self.session().weight_names(),
            journey,
        }
    }

    /// Refuses a checkpoint of a trainer that would go on differently.
    fn check_checkpoint(&self, opened: &Opened, path: &Path) -> Result<()> {
        let header = &opened.header;
        same(path, "the seed", u64::from(header.seed), u64::from(self.seed))?;
        same(path, "the batch size", header.batch as u64, self.batch as u64)?;
        let accumulate = (header.accumulate as u64, self.recipe.accumulate as u64);
        same(path, "the number of batches to an update", accumulate.0, accumulate.1)
    }

    /// Puts the contents of a checkpoint in place, after `before_writing`. Where anything does not fit,
    /// nothing has changed.
    fn take_up(
        &mut self,
        opened: &Opened,
        before_writing: impl FnOnce(&mut Trainer) -> Result<()>,
    ) -> Result<()> {
        let header = &opened.header;
        let recipe = &mut self.recipe;
        let before = (recipe.masked.clone(), recipe.frozen.clone());
        let recorded_alike = before == (header.masked.clone(), header.frozen.clone());
        let known = self.training.len();
        let mut replaced = None;
        let placed = (|| {
            if !recorded_alike {
                self.recipe.masked.clone_from(&header.masked);
                self.recipe.frozen.clone_from(&header.frozen);
                let main = self.recorded_again()?;
                replaced = Some(std::mem::replace(&mut self.training, vec![main]));
            }
            let indices = header.variants.iter().map(|&variant| self.prepare(variant));
            let mut indices: Vec<usize> = indices.collect::<Result<_>>()?;
            indices.insert(0, 0);
            let sessions: Vec<&Session> = indices.iter().map(|&i| &self.training[i].1.session).collect();
            let placement = opened.place(&sessions)?;
            header.scalars.iter().try_for_each(|(name, _)| self.session().scalar(name).map(|_| ()))?;
            before_writing(self)?;
            Ok((indices, placement))
        })();
        let (indices, placement) = match placed {
            Ok(placed) => placed,
            Err(error) => {
                (self.recipe.masked, self.recipe.frozen) = before;
                match replaced {
                    Some(training) => self.training = training,
                    None => self.training.truncate(known),
                }
                return Err(error);
            }
        };
        if replaced.is_some() {
            (self.evaluation, self.prediction, self.health) = (None, None, None);
        }
        placement
            .write(|index, value, data| self.training[indices[index]].1.session.write_f64(value, data))?;
        self.forget_states_but(&header.variants);
        self.session_mut().restore_scalars(&header.scalars);
        (self.steps, self.updates) = (header.steps, header.updates);
        self.optimizer_updates = header.optimizer_updates;
        (self.base_rate, self.rate_scale) = (header.base_rate, header.rate_scale);
        self.schedule_from = header.schedule_from;
        Ok(())
    }

    /// The training steps that have states of their own.
    fn variants_with_states(&self) -> Vec<Variant> {
        let own = own_something(&self.sessions());
        let steps = self.training.iter().zip(own).skip(1);
        steps.filter(|&(_, own)| own).map(|(&(variant, _), _)| variant).collect()
    }

    /// Drops the steps with states that a checkpoint does not have: they start as they would have then.
    fn forget_states_but(&mut self, kept: &[Variant]) {
        let with_states = self.variants_with_states();
        let stays = |variant: &Variant| !with_states.contains(variant) || kept.contains(variant);
        self.training.retain(|(variant, _)| stays(variant));
    }
}

/// The same training at the beginning of the epoch that it is in, of any data.
fn between_epochs(journey: &Journey) -> Journey {
    let position = Position { epoch: journey.position.epoch, ..Position::default() };
    let mut history = journey.history.clone();
    (history.stopped, history.fault) = (None, None);
    Journey { position, history, data: None, callbacks: None }
}

fn same(path: &Path, what: &'static str, found: u64, expected: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::CheckpointMismatch { path: path.to_owned(), what, found, expected })
}

impl Training<'_, '_> {
    /// Writes where training is, with everything that the callbacks remember.
    pub(super) fn write_checkpoint(&mut self, path: &Path) -> Result<()> {
        let mut checkpoint = Checkpoint::of_sessions(&self.trainer.sessions())?;
        let mut callbacks = Vec::with_capacity(self.given);
        for (index, callback) in self.callbacks[..self.given].iter().enumerate() {
            let state = callback.save(self.trainer)?;
            checkpoint.add_callback(index, &state)?;
            callbacks.push(state.numbers);
        }
        let journey = Journey {
            position: self.position,
            history: self.history.clone(),
            data: Some(self.data),
            callbacks: Some(callbacks),
        };
        checkpoint.save(path, &self.trainer.header(journey))
    }

    /// Takes up where a checkpoint was written. Nothing is written before all of it is known to fit.
    pub(super) fn resume(&mut self, path: &Path) -> Result<()> {
        let opened = Opened::open(path)?;
        self.trainer.check_checkpoint(&opened, path)?;
        let journey = &opened.header.journey;
        if let Some((samples, shuffle)) = journey.data {
            same(path, "the number of samples", samples as u64, self.data.0 as u64)?;
            same(path, "shuffling", u64::from(shuffle), u64::from(self.data.1))?;
            same(
                path,
                "the number of steps to an epoch",
                journey.position.steps as u64,
                self.position.steps as u64,
            )?;
        }
        if let Some(callbacks) = &journey.callbacks {
            same(path, "the number of callbacks", callbacks.len() as u64, self.given as u64)?;
        }
        let callbacks = &mut self.callbacks;
        self.trainer.take_up(&opened, |trainer| {
            let states = opened.callback_states();
            callbacks.iter_mut().zip(&states).try_for_each(|(callback, state)| callback.load(state, trainer))
        })?;
        let Position { epoch, step, samples, .. } = journey.position;
        self.position = Position { epoch, step, samples, ..self.position };
        self.history = journey.history.clone();
        Ok(())
    }
}
