//! Checkpoints, and weights by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::mem::replace;
use std::path::Path;
use std::sync::PoisonError;

use super::Trainer;
use super::feed::Feed;
use super::fit::{Fit, Recovery, Resume, Training};
use super::journey::{Journey, Remembered, between_epochs};
use super::rates::Rate;
use super::recipe::Recipe;
use crate::error::{Error, Result, list};
use crate::executor::Device;
use crate::session::Session;
use crate::train::callbacks::{Callback, Position};
use crate::train::checkpoint::{self, Checkpoint, Header, LoadOptions, LoadReport};

impl<'a> Fit<'a> {
    /// Goes on from a checkpoint as if training had never stopped: with the same data, options and
    /// callbacks, every number is the same, bit by bit. The epochs that `fit` is asked for may be more
    /// than before.
    ///
    /// A checkpoint goes on in a trainer of the same model and optimiser, on the reference where it was taken there
    /// and else on any other device, which must agree
    /// in the seed, the batch size and the number of batches to an update; its data in the number of
    /// samples, whether they are shuffled, the steps to an epoch, and the names of the classes, where both have
    /// some; and the callbacks that remember
    /// something, by [`Callback::identity`], must be the same in the same order. Where it was written within
    /// an epoch, the metrics must be the same too. The learning rate is that of the checkpoint, unless a
    /// schedule gives it. Each disagreement is an
    /// error of `fit`, before anything is written: [`Error::CheckpointMismatch`], [`Error::TensorNames`],
    /// [`Error::TensorMismatch`], [`Error::ClassMismatch`]; for what is no checkpoint [`Error::Corrupt`],
    /// [`Error::NotACheckpoint`], [`Error::CheckpointVersion`]. Which layers are frozen and which weights
    /// are pruned, the checkpoint says. For other data, [`Trainer::load_checkpoint`] is the place.
    ///
    /// Where the file is the `last.safetensors` of a
    /// [`ModelCheckpoint`](crate::train::callbacks::ModelCheckpoint) and damaged, training goes on from the
    /// `previous.safetensors` beside it, and the log is warned.
    pub fn resume(mut self, checkpoint: impl AsRef<Path>) -> Self {
        self.resume = Some(Resume::File(checkpoint.as_ref().to_owned()));
        self
    }

    /// [`resume`](Fit::resume) from a checkpoint in memory.
    pub fn resume_from(mut self, checkpoint: &Checkpoint) -> Self {
        self.resume = Some(Resume::Memory(checkpoint.bytes().clone()));
        self
    }

    /// Where the device is lost ([`Error::DeviceLost`]), opens another one by this function and goes on there as
    /// [`Trainer::recover`] does, with the epoch that was not finished; so many times, a function that fails
    /// included. Weights, states and what callbacks remember are read back after each epoch, to be gone on
    /// from. Any device but the reference takes over from any other; the reference keeps f64, so that a
    /// training that went on between the two would be another one: a function that opens the other kind ends `fit`
    /// with [`Error::Argument`]. On the same GPU and driver, the figures are the same as if nothing had happened,
    /// bit by bit.
    /// Callbacks that are called within an epoch see its first steps again; other sessions of the program on the
    /// device are lost.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let fit =
    /// Fit::epochs(100).recover(Device::gpu, 3)
    /// # ;
    /// ```
    pub fn recover(mut self, device: impl FnMut() -> Result<Device> + 'a, tries: usize) -> Self {
        self.recover = Some(Recovery { device: Box::new(device), tries });
        self
    }
}

impl Resume {
    pub(super) fn open(&self) -> Result<Checkpoint> {
        match self {
            Resume::File(path) => Checkpoint::open_newest(path),
            Resume::Memory(bytes) => Checkpoint::in_memory(bytes.clone()),
        }
    }
}

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

    /// Writes everything that training goes on from: weights, optimiser states, counts, scalars, the
    /// [names of the classes](Trainer::class_names), and the figures of the epochs of the last
    /// [`fit`](Trainer::fit). [`Fit::resume`](super::Fit::resume) goes on with the first epoch that was not
    /// finished. Within `fit`, a callback asks for a checkpoint by
    /// [`Run::write_checkpoint`](crate::train::Run::write_checkpoint), at any step.
    ///
    /// After an error of `fit`, such as a checkpoint that could not be written, or a panic, the file also holds
    /// how far the epoch was and what the callbacks remembered, those given by value too: resumed, with the same
    /// data, options and callbacks, training goes on as if there had been no error, bit by bit. One that is
    /// written in a callback holds nothing that callbacks remember, and is not resumed with any that do.
    ///
    /// The file is written beside its place and renamed, so that an older one is replaced whole or not at
    /// all. Links are followed; what is no regular file is not replaced.
    ///
    /// # Format
    /// A safetensors file; the reference writes F64 and other devices F32, each with all its digits. The entry
    /// `retape` of its metadata is JSON of version 3, of the kind `checkpoint`. `checksum` is the CRC-32 of all
    /// bytes of the file, with `00000000` in its own place: a file that was damaged anywhere is refused.
    /// `weights` lists the tensors that are weights, under their own names. `tensors` says of every tensor what
    /// it is: a state by its `role`, its `name` and what it is there for (`of`), so that nothing hangs on how
    /// tensors are called, or an array of a callback. Version 2, which had no checksum, and version 1, which had
    /// these relations in the names only, are refused with [`Error::CheckpointVersion`];
    /// [`load_weights`](Trainer::load_weights) reads the weights in them.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; what reading a value from the device reports.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.taken(self.journey.clone())?.save(path)
    }

    /// What [`save_checkpoint`](Trainer::save_checkpoint) writes, in memory. The trainer keeps the last one as
    /// well, for [`recover`](Trainer::recover). In a callback, it is of the step at hand, without what callbacks
    /// remember: [`Fit::resume_from`](super::Fit::resume_from) takes it where none does, and
    /// [`restore`](Trainer::restore) at any time.
    ///
    /// # Errors
    /// What reading a value from the device reports.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let checkpoint = self.taken(self.journey.clone())?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint.bytes().clone());
        Ok(checkpoint)
    }

    /// Takes up everything that a checkpoint holds, and returns the number of the epoch to go on with,
    /// for [`Fit::initial_epoch`](super::Fit::initial_epoch). Unlike [`Fit::resume`](super::Fit::resume),
    /// the training to come may be of other data, with other callbacks and other metrics; an epoch that the
    /// checkpoint was written in begins again. The learning rate is that of the checkpoint, whatever this
    /// trainer's was: [`set_learning_rate`](Trainer::set_learning_rate) comes after it. So are the names of the
    /// classes: data of other ones is refused from there on, unless
    /// [`set_class_names`](Trainer::set_class_names) tells others.
    ///
    /// # Errors
    /// As for [`Fit::resume`](super::Fit::resume): the model, the optimiser, the seed, the batch size and the
    /// number of batches to an update must agree. Numbers of the reference, which are f64, are rounded. The trainer is as it was then.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<usize> {
        self.restore(&Checkpoint::open_newest(path.as_ref())?)
    }

    /// [`load_checkpoint`](Trainer::load_checkpoint) of a checkpoint in memory.
    ///
    /// # Errors
    /// As [`load_checkpoint`](Trainer::load_checkpoint).
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<usize> {
        self.check_checkpoint(checkpoint)?;
        self.take_up(checkpoint, [false, false], |_| Ok(()))?;
        self.journey = between_epochs(&checkpoint.header.journey);
        Ok(self.journey.position.epoch)
    }

    /// Goes on on another device, such as after [`Error::DeviceLost`]: everything is recorded there anew and takes
    /// up what the device at hand holds, or where that gives nothing back any more, the last
    /// [`checkpoint`](Trainer::checkpoint). It has to hold what the one before did, f64 on the reference and f32 on any other, so that
    /// the same bits go on. Returns the
    /// number of the epoch to go on with. [`Fit::recover`](super::Fit::recover) does all of it within `fit`.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let data = data::Dataset::new([2], vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0], 2)?;
    /// # let mut trainer = Trainer::new(Sequential::new().add(Dense::new(2)), data.input_shape())
    /// #     .loss(Loss::SparseCategoricalCrossEntropy)
    /// #     .optimizer(Adam::new(0.05))
    /// #     .build(&Device::cpu())?;
    /// trainer.fit(&data, Fit::epochs(3))?;
    /// trainer.checkpoint()?;
    /// // The device is lost, and another one is opened.
    /// let epoch = trainer.recover(&Device::cpu())?;
    /// trainer.fit(&data, Fit::epochs(5).initial_epoch(epoch))?;
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::DeviceLost`] without a checkpoint; otherwise as [`recover_from`](Trainer::recover_from).
    pub fn recover(&mut self, device: &Device) -> Result<usize> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let taken = self.taken(self.journey.clone());
        let checkpoint = taken.or_else(|lost| Checkpoint::in_memory(kept.ok_or(lost)?))?;
        self.recover_from(device, &checkpoint)
    }

    /// [`recover`](Trainer::recover) from a certain checkpoint of this trainer, such as one in a file.
    ///
    /// # Errors
    /// As [`load_checkpoint`](Trainer::load_checkpoint) and [`TrainerBuilder::build`](super::TrainerBuilder::build);
    /// [`Error::Argument`] between the reference and another device. The trainer is as it was then.
    pub fn recover_from(&mut self, device: &Device, checkpoint: &Checkpoint) -> Result<usize> {
        self.check_checkpoint(checkpoint)?;
        let Header { masked, frozen, journey, .. } = &*checkpoint.header;
        let before = replace(&mut self.device, device.clone());
        let recipe = (
            replace(&mut self.recipe.masked, masked.clone()),
            replace(&mut self.recipe.frozen, frozen.clone()),
        );
        let variant = self.training[0].0;
        let mut training = Vec::new();
        let within = journey.position.step > 0;
        let moved = self.recorded(variant, &[]).and_then(|main| {
            training = replace(&mut self.training, vec![(variant, main)]);
            self.take_up(checkpoint, [within, true], |_| Ok(()))
        });
        if let Err(error) = moved {
            (self.recipe.masked, self.recipe.frozen) = recipe;
            let was = replace(&mut self.device, before);
            if !training.is_empty() {
                self.training = training;
            }
            return Err(match error {
                Error::TensorMismatch { .. } if was.is_reference() != self.device.is_reference() => {
                    let expected = "the reference holds f64 and other devices f32: training goes on on one that \
                                    holds the same";
                    Error::argument(
                        "device",
                        format!("{:?} after {:?}", was.name(), self.device.name()),
                        expected,
                    )
                }
                error => error,
            });
        }
        self.beside = Default::default();
        let callbacks = journey.callbacks.as_ref().map(|_| checkpoint.callbacks());
        self.journey = Journey { callbacks, ..journey.clone() };
        Ok(journey.position.epoch)
    }

    /// The trainer as it is, at this point of a journey.
    pub(super) fn taken(&self, journey: Journey) -> Result<Checkpoint> {
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
            class_names: self.class_names.clone(),
            journey,
        };
        checkpoint::take(&self.sessions(), header)
    }

    /// The scalars of the training as they are now, all but the rates.
    fn scalars(&self) -> Vec<(String, f64)> {
        let is_rate = |name: &str| self.rates().any(|(rate, _)| rate == name);
        let all = self.session().scalars.named().filter(|(name, _)| !is_rate(name));
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The names of the figures of all metrics, which come after the loss.
    fn metric_names(&self) -> Vec<String> {
        self.main().figures().into_iter().skip(1).map(|(name, _)| name).collect()
    }

    /// Refuses a checkpoint of a trainer that would go on differently.
    fn check_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        let (header, path) = (&checkpoint.header, checkpoint.path());
        same(path, "the seed", header.seed, self.seed)?;
        same(path, "the batch size", header.batch, self.batch)?;
        same(path, "the number of batches to an update", header.accumulate, self.recipe.accumulate)?;
        let there: Vec<&str> = header.rates.iter().map(|rate| rate.name.as_str()).collect();
        let here: Vec<&str> = self.rates().map(|(name, _)| name).collect();
        same(path, "the rates of the optimisers", there.join(", "), here.join(", "))?;
        let weights = self.session().weight_names();
        if let Some(unknown) = header.masked.iter().find(|name| !weights.contains(name)) {
            same(path, "the pruned weights", unknown.clone(), list(&weights))?;
        }
        if header.frozen.is_empty() {
            return Ok(());
        }
        match self.recipe.layers(&header.frozen) {
            Err(Error::Unknown { name, known, .. }) => same(path, "the frozen layers", name, list(&known)),
            known => known.map(drop),
        }
    }

    /// Refuses a scalar that there is not, and one that no program could have set.
    fn check_scalar(&self, path: &Path, name: &str, value: f64) -> Result<()> {
        let here = self.session().scalars.get(name)?;
        if (value as f32).is_finite() || value.to_bits() == here.to_bits() {
            return Ok(());
        }
        Err(Error::corrupt(path, format!("its metadata has {value} as the scalar `{name}`")))
    }

    /// Puts the contents of a checkpoint in place, after `before_writing`. Where anything does not fit,
    /// nothing has changed. The sums of the epoch count where training goes on `within` it.
    fn take_up(
        &mut self,
        checkpoint: &Checkpoint,
        [within, exact]: [bool; 2],
        before_writing: impl FnOnce(&mut Trainer) -> Result<()>,
    ) -> Result<()> {
        let header = &checkpoint.header;
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
            let placement = checkpoint.place(&sessions, within, exact)?;
            let path = checkpoint.path();
            header.scalars.iter().try_for_each(|(name, value)| self.check_scalar(path, name, *value))?;
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
        self.class_names = header.class_names.clone();
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

impl<'a> Training<'a, '_> {
    /// Writes where training is, with everything that the callbacks remember.
    pub(super) fn write_checkpoint(&mut self, path: &Path) -> Result<()> {
        self.taken()?.save_newest(path)
    }

    fn taken(&self) -> Result<Checkpoint> {
        self.trainer.taken(self.journey(Some(self.remembered()?)))
    }

    /// What each callback that the program gave is, and whether it remembers anything.
    fn who_remembers(&self) -> Vec<(String, bool)> {
        // What cannot be read here, such as weights of another trainer, is something.
        let remembers = |callback: &dyn Callback| callback.save(self.trainer).map_or(true, |s| !s.is_empty());
        let given = self.callbacks[..self.given].iter();
        given.map(|callback| (callback.identity(), remembers(callback.as_ref()))).collect()
    }

    /// Refuses callbacks that remember something where a checkpoint does not say what.
    fn forgotten(&self, path: &Path) -> Result<()> {
        let here = self.who_remembers().into_iter().filter(|(_, remembers)| *remembers);
        let here: Vec<String> = here.map(|(name, _)| name).collect();
        let there = "not known, for a callback took the checkpoint of the trainer; `Run::write_checkpoint` keeps \
                     what they remember, and `Trainer::load_checkpoint` goes on without,";
        let found = if here.is_empty() { list(&here) } else { there.to_owned() };
        same(path, "the callbacks that remember something", found, list(&here))
    }

    /// Takes up where a checkpoint was written. Nothing is written before all of it is known to fit.
    pub(super) fn resume(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.trainer.check_checkpoint(checkpoint)?;
        let (journey, path) = (&checkpoint.header.journey, checkpoint.path());
        if let Some((samples, shuffle)) = journey.data {
            same(path, "the number of samples", samples, self.feed.samples)?;
            same(path, "shuffling", u8::from(shuffle), u8::from(self.shuffle))?;
            same(path, "the number of steps to an epoch", journey.position.steps, self.position.steps)?;
        }
        let within = journey.position.step > 0;
        if within {
            same(path, "the metrics", list(&checkpoint.header.metrics), list(&self.trainer.metric_names()))?;
        }
        let states = checkpoint.callbacks();
        let pairs = match journey.callbacks {
            Some(_) => matched(path, &states, &self.who_remembers())?,
            None if journey.forgets => {
                self.forgotten(path)?;
                Vec::new()
            }
            None => Vec::new(),
        };
        let callbacks = &mut self.callbacks;
        self.trainer.take_up(checkpoint, [within, true], |trainer| {
            pairs.iter().try_for_each(|&(from, to)| {
                let loaded = callbacks[to].load(&states[from].state, trainer);
                loaded.map_err(|error| match error {
                    error @ Error::Argument { .. } => {
                        Error::corrupt(path, format!("{}: {error}", states[from].identity))
                    }
                    error => error,
                })
            })
        })?;
        self.go_to_journey(journey);
        Ok(())
    }

    fn go_to_journey(&mut self, journey: &Journey) {
        let Position { epoch, step, samples, .. } = journey.position;
        self.position = Position { epoch, step, samples, ..self.position };
        self.history = journey.history.clone();
    }

    /// Keeps what training goes on from if its device is lost, where that is asked for.
    pub(super) fn keep(&mut self) -> Result<()> {
        if self.recovers {
            self.kept = Some((self.taken()?.bytes().clone(), self.stopped.clone()));
        }
        Ok(())
    }

    /// Trains; where the device is lost, goes on on the next one.
    pub(super) fn run_recovering(
        &mut self,
        recovery: Option<Recovery<'_>>,
        feeds: impl Fn(&mut Trainer) -> Result<(Feed<'a>, Option<Feed<'a>>)>,
    ) -> Result<()> {
        self.recovers = recovery.is_some();
        let mut ended = self.run();
        let Some(Recovery { mut device, mut tries }) = recovery else { return ended };
        while let Err(error @ Error::DeviceLost { .. }) = &ended
            && let Some((kept, stopped)) = self.kept.clone()
            && tries > 0
        {
            let checkpoint = Checkpoint::in_memory(kept)?;
            tries -= 1;
            log::warn!("{error}; training goes on with epoch {} on another device", checkpoint.epoch() + 1);
            let opened = device();
            if opened.is_err() && tries > 0 {
                continue;
            }
            ended = self.recover(&opened?, &checkpoint, &feeds).and_then(|()| {
                self.stopped = stopped;
                self.go_on()
            });
        }
        ended
    }

    /// Takes up a checkpoint of this training on another device.
    fn recover(
        &mut self,
        device: &Device,
        checkpoint: &Checkpoint,
        feeds: impl Fn(&mut Trainer) -> Result<(Feed<'a>, Option<Feed<'a>>)>,
    ) -> Result<()> {
        self.trainer.recover_from(device, checkpoint)?;
        (self.feed, self.validation) = feeds(self.trainer)?;
        for (callback, was) in self.callbacks.iter_mut().zip(checkpoint.callbacks()) {
            callback.load(&was.state, self.trainer)?;
        }
        self.go_to_journey(&checkpoint.header.journey);
        (self.stopped, self.spoilt) = (None, false);
        Ok(())
    }
}
