//! Checkpoints, and weights by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::mem::replace;
use std::path::Path;

use super::Trainer;
use super::fit::Training;
use super::journey::{Journey, Remembered, between_epochs};
use super::rates::Rate;
use super::recipe::Recipe;
use crate::error::{Error, Result, list};
use crate::session::Session;
use crate::train::callbacks::{Callback, Position};
use crate::train::checkpoint::{self, Header, LoadOptions, LoadReport, Opened};

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
        self.load_weights_with(path, &LoadOptions::new()).map(drop)
    }

    /// Reads the weights that fit by name and shape, and says which.
    ///
    /// # Errors
    /// As [`Session::load_weights_partial`].
    pub fn load_weights_partial(&mut self, path: impl AsRef<Path>) -> Result<LoadReport> {
        self.load_weights_with(path, &LoadOptions::new().partial())
    }

    /// Reads the weights of some layers, or what fits.
    ///
    /// # Errors
    /// As [`Session::load_weights_with`].
    pub fn load_weights_with(&mut self, path: impl AsRef<Path>, options: &LoadOptions) -> Result<LoadReport> {
        let report = self.session_mut().load_weights_with(path, options)?;
        self.mark_changed();
        self.hold_to_masks().map(|()| report)
    }

    /// Writes everything that training goes on from: weights, optimiser states, counts, scalars, and the
    /// figures of the epochs of the last [`fit`](Trainer::fit). [`Fit::resume`](super::Fit::resume) goes on with
    /// the first epoch that was not finished. Within `fit`, a callback asks for a checkpoint by
    /// [`Run::write_checkpoint`](crate::train::Run::write_checkpoint), at any step.
    ///
    /// After an error of `fit`, such as a checkpoint that could not be written, the file also holds how far
    /// the epoch was and what the callbacks remembered, those given by value too: resumed, with the same
    /// data, options and callbacks, training goes on as if there had been no error, bit by bit.
    ///
    /// The file is written beside its place and renamed, so that an older one is replaced whole or not at
    /// all.
    ///
    /// # Format
    /// A safetensors file; a GPU writes F32 and the CPU path F64, each with all its digits. The entry
    /// `retape` of its metadata is JSON of version 2, of the kind `checkpoint`. `weights` lists the tensors
    /// that are weights, under their own names. `tensors` says of every tensor what it is: a state by its
    /// `role`, its `name` and what it is there for (`of`), so that nothing hangs on how tensors are called,
    /// or an array of a callback. Version 1, which had these relations in the names only, is refused with
    /// [`Error::CheckpointVersion`]; [`load_weights`](Trainer::load_weights) reads the weights in it.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; what reading a value from the device reports.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.write(path.as_ref(), self.journey.clone())
    }

    /// Takes up everything that a checkpoint holds, and returns the number of the epoch to go on with,
    /// for [`Fit::initial_epoch`](super::Fit::initial_epoch). Unlike [`Fit::resume`](super::Fit::resume),
    /// the training to come may be of other data, with other callbacks and other metrics; an epoch that the
    /// checkpoint was written in begins again. The learning rate is that of the checkpoint, whatever this
    /// trainer's was: [`set_learning_rate`](Trainer::set_learning_rate) comes after it.
    ///
    /// # Errors
    /// As for [`Fit::resume`](super::Fit::resume): the model, the optimiser, the kind of device, the seed,
    /// the batch size and the number of batches to an update must agree. The trainer is as it was then.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<usize> {
        let opened = Opened::open(path.as_ref())?;
        self.check_checkpoint(&opened, path.as_ref())?;
        self.take_up(&opened, false, |_| Ok(()))?;
        self.journey = between_epochs(&opened.header.journey);
        Ok(self.journey.position.epoch)
    }

    /// Writes the trainer as it is, at this point of a journey.
    fn write(&self, path: &Path, journey: Journey) -> Result<()> {
        let header = Header {
            seed: self.seed,
            batch: self.batch,
            accumulate: self.recipe.accumulate,
            steps: self.steps,
            updates: self.updates,
            optimizer_updates: self.optimizer_updates,
            window: self.window,
            swapped: self.swapped,
            rates: self.rates.iter().map(Rate::saved).collect(),
            scalars: self.scalars(),
            masked: self.recipe.masked.clone(),
            frozen: self.recipe.frozen.clone(),
            variants: self.variants_with_states(),
            weights: self.session().weight_names(),
            tensors: BTreeMap::new(),
            metrics: self.metric_names(),
            journey,
        };
        checkpoint::save(path, &self.sessions(), header)
    }

    /// The scalars of the training as they are now, all but the rates.
    fn scalars(&self) -> Vec<(String, f64)> {
        let is_rate = |name: &str| self.rates().any(|(rate, _)| rate == name);
        let all = self.session().scalars.named().filter(|(name, _)| !is_rate(name));
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The names of the figures of all metrics.
    fn metric_names(&self) -> Vec<String> {
        let output = self.session().shape_of(self.main().values.output);
        self.recipe.metrics.iter().flat_map(|metric| metric.result_names(output)).collect()
    }

    /// Refuses a checkpoint of a trainer that would go on differently.
    fn check_checkpoint(&self, opened: &Opened, path: &Path) -> Result<()> {
        let header = &opened.header;
        same(path, "the seed", header.seed, self.seed)?;
        same(path, "the batch size", header.batch, self.batch)?;
        same(path, "the number of batches to an update", header.accumulate, self.recipe.accumulate)?;
        let there: Vec<&str> = header.rates.iter().map(|rate| rate.name.as_str()).collect();
        let here: Vec<&str> = self.rates().map(|(name, _)| name).collect();
        same(path, "the rates of the optimisers", there.join(", "), here.join(", "))
    }

    /// Puts the contents of a checkpoint in place, after `before_writing`. Where anything does not fit,
    /// nothing has changed. The sums of the epoch count where training goes on `within` it.
    fn take_up(
        &mut self,
        opened: &Opened,
        within: bool,
        before_writing: impl FnOnce(&mut Trainer) -> Result<()>,
    ) -> Result<()> {
        let header = &opened.header;
        let Recipe { masked, frozen, .. } = &mut self.recipe;
        let recorded_alike = *masked == header.masked && *frozen == header.frozen;
        let before = (replace(masked, header.masked.clone()), replace(frozen, header.frozen.clone()));
        let known = self.training.len();
        let mut replaced = None;
        let placed = (|| {
            if !recorded_alike {
                let main = self.recorded_again()?;
                replaced = Some(replace(&mut self.training, vec![main]));
            }
            let others = header.variants.iter().map(|&variant| self.add(variant));
            let indices: Vec<usize> = std::iter::once(Ok(0)).chain(others).collect::<Result<_>>()?;
            let sessions: Vec<&Session> = indices.iter().map(|&i| &self.training[i].1.session).collect();
            let placement = opened.place(&sessions, within)?;
            header.scalars.iter().try_for_each(|(name, _)| self.session().scalar(name).map(drop))?;
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
            self.beside = Default::default();
        }
        for (index, value, data) in placement {
            self.training[indices[index]].1.session.write_f64(value, &data)?;
        }
        // Steps with states that those of the checkpoint do not have start as they would have then.
        let known: BTreeSet<_> = indices.iter().flat_map(|&i| self.training[i].1.keys()).collect();
        self.training.retain(|(_, step)| step.keys().is_subset(&known));
        self.health = None;
        let scalars = &mut self.session_mut().scalars;
        header.scalars.iter().for_each(|(name, value)| scalars.restore(name, *value));
        (self.steps, self.updates) = (header.steps, header.updates);
        (self.optimizer_updates, self.window) = (header.optimizer_updates, header.window);
        self.take_in_rates();
        self.rates.iter_mut().for_each(|rate| rate.take_up(&header.rates));
        self.swapped = header.swapped;
        Ok(())
    }
}

/// Refuses a checkpoint that differs in something.
fn same<T: PartialEq + Display>(path: &Path, what: &'static str, found: T, expected: T) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_string(), expected.to_string());
    Err(Error::CheckpointMismatch { path: path.to_owned(), what, found, expected })
}

/// The callbacks that take up what others remembered, each by its position there and here. Those that
/// remember nothing, on either side, may be missing.
fn matched(path: &Path, there: &[Remembered], here: &[(String, bool)]) -> Result<Vec<(usize, usize)>> {
    let there: Vec<_> = there.iter().map(|c| (c.identity.clone(), !c.state.is_empty())).collect();
    let remembers =
        |name: &String| there.iter().chain(here).any(|(other, remembers)| *remembers && other == name);
    let [(from, names_there), (to, names_here)] = [&there[..], here].map(|callbacks| {
        let those = callbacks.iter().enumerate().filter(|(_, (name, _))| remembers(name));
        let (places, names): (Vec<usize>, Vec<String>) =
            those.map(|(i, (name, _))| (i, name.clone())).unzip();
        (places, list(&names))
    });
    same(path, "the callbacks that remember something", names_there, names_here)?;
    Ok(from.into_iter().zip(to).collect())
}

impl Training<'_, '_> {
    /// Writes where training is, with everything that the callbacks remember.
    pub(super) fn write_checkpoint(&mut self, path: &Path) -> Result<()> {
        self.trainer.write(path, self.journey(Some(self.remembered()?)))
    }

    /// What each callback that the program gave is, and whether it remembers anything.
    fn who_remembers(&self) -> Vec<(String, bool)> {
        // What cannot be read here, such as weights of another trainer, is something.
        let remembers = |callback: &dyn Callback| callback.save(self.trainer).map_or(true, |s| !s.is_empty());
        let given = self.callbacks[..self.given].iter();
        given.map(|callback| (callback.identity(), remembers(callback.as_ref()))).collect()
    }

    /// Takes up where a checkpoint was written. Nothing is written before all of it is known to fit.
    pub(super) fn resume(&mut self, path: &Path) -> Result<()> {
        let opened = Opened::open(path)?;
        self.trainer.check_checkpoint(&opened, path)?;
        let journey = &opened.header.journey;
        if let Some((samples, shuffle)) = journey.data {
            same(path, "the number of samples", samples, self.feed.samples)?;
            same(path, "shuffling", u8::from(shuffle), u8::from(self.shuffle))?;
            same(path, "the number of steps to an epoch", journey.position.steps, self.position.steps)?;
        }
        let within = journey.position.step > 0;
        if within {
            same(path, "the metrics", list(&opened.header.metrics), list(&self.trainer.metric_names()))?;
        }
        let states = opened.callbacks();
        let pairs = match journey.callbacks {
            Some(_) => matched(path, &states, &self.who_remembers())?,
            None => Vec::new(),
        };
        let callbacks = &mut self.callbacks;
        self.trainer.take_up(&opened, within, |trainer| {
            pairs.iter().try_for_each(|&(from, to)| callbacks[to].load(&states[from].state, trainer))
        })?;
        let Position { epoch, step, samples, .. } = journey.position;
        self.position = Position { epoch, step, samples, ..self.position };
        self.history = journey.history.clone();
        Ok(())
    }
}
