use std::any::Any;
use std::cell::OnceCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[cfg(feature = "checkpoints")]
use std::path::PathBuf;
#[cfg(feature = "checkpoints")]
use std::sync::Arc;

use super::Trainer;
use super::evaluate::weigh_classes;
use super::fault::Guard;
use super::feed::{Feed, bytes_of, epoch_order};
use super::journey::UnderWay;
use super::pace::Pace;
use super::split::split;
use crate::data::{Samples, SplitBy};
use crate::error::{Error, Result};
#[cfg(feature = "checkpoints")]
use crate::executor::Device;
use crate::session::Chain;
use crate::train::callbacks::{Callback, OnEpochEnd, OnRefresh, OnSteps, Position, Progress, Requests, Run};
use crate::train::{History, Logs};

/// Bytes of a data set that are kept on the device unless the program says otherwise: 2 GiB.
const RESIDENT_BYTES: u64 = 2 << 30;

/// How to train: what [`Trainer::fit`] takes.
#[must_use]
pub struct Fit<'a> {
    pub(super) epochs: usize,
    pub(super) initial_epoch: usize,
    pub(super) steps_per_epoch: Option<usize>,
    pub(super) shuffle: bool,
    pub(super) drop_last: bool,
    pub(super) validation: Option<Samples<'a>>,
    pub(super) validation_split: Option<(SplitBy, f64)>,
    pub(super) class_weights: Vec<(u32, f32)>,
    pub(super) resident_bytes: u64,
    pub(super) callbacks: Vec<Box<dyn Callback + 'a>>,
    pub(super) nan_guard: Option<u32>,
    #[cfg(feature = "checkpoints")]
    pub(super) resume: Option<Resume>,
    #[cfg(feature = "checkpoints")]
    pub(super) recover: Option<Recovery<'a>>,
    pub(super) progress: bool,
}

/// What to go on from: a file, or the bytes of one.
#[cfg(feature = "checkpoints")]
pub(super) enum Resume {
    File(PathBuf),
    Memory(Arc<Vec<u8>>),
}

/// What to do when a device is lost.
#[cfg(feature = "checkpoints")]
pub(super) struct Recovery<'a> {
    pub device: Box<dyn FnMut() -> Result<Device> + 'a>,
    pub tries: usize,
}

impl fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Fit");
        debug.field("epochs", &self.epochs).field("steps_per_epoch", &self.steps_per_epoch);
        debug.field("shuffle", &self.shuffle).field("validation_split", &self.validation_split);
        debug.field("callbacks", &self.callbacks.len()).finish_non_exhaustive()
    }
}

impl<'a> Fit<'a> {
    /// So many passes over the data, shuffled anew for each.
    pub fn epochs(epochs: usize) -> Self {
        Fit {
            epochs,
            initial_epoch: 0,
            steps_per_epoch: None,
            shuffle: true,
            drop_last: false,
            validation: None,
            validation_split: None,
            class_weights: Vec::new(),
            resident_bytes: RESIDENT_BYTES,
            callbacks: Vec::new(),
            nan_guard: None,
            #[cfg(feature = "checkpoints")]
            resume: None,
            #[cfg(feature = "checkpoints")]
            recover: None,
            progress: true,
        }
    }

    setters! {
        /// The number of the first epoch, counted from 0: as in Keras, training goes on from there *to* the
        /// epochs asked for. The order of the samples goes by this number.
        initial_epoch: usize => initial_epoch;
        /// Ends each epoch after so many batches, if the data has more. Without shuffling, the samples after
        /// them are never trained on.
        steps_per_epoch: usize => steps_per_epoch;
        /// Leaves out the last batch of an epoch where it is smaller than the others: some layers, such as a
        /// batch normalisation over a single sample, cannot be trained on what is left. Off by default; fewer
        /// samples than a batch are then refused.
        drop_last: bool => drop_last;
        /// Whether the samples are in another order in each epoch, by seed and epoch; they are by default.
        shuffle: bool => shuffle;
        /// Sets the last samples aside for validation: this fraction of them, before any shuffling.
        /// Of data in the order of its classes that leaves some on one side alone, of which the log warns:
        /// [`shuffled_split`](Fit::shuffled_split) and [`stratified_split`](Fit::stratified_split) draw them.
        validation_split: f64 => validation_split = Some((SplitBy::Position, validation_split));
        /// Sets this fraction of the samples aside for validation, drawn by the trainer's seed.
        shuffled_split: f64 => validation_split = Some((SplitBy::Chance, shuffled_split));
        /// Sets this fraction of the samples aside for validation, drawn by the trainer's seed so that every
        /// class has its share, as [`stratified_indices`](crate::data::stratified_indices) does. The class of a
        /// sample is its label, 0 or 1 or else -1 or 1 of a single f32 target, or the place of the 1 in a one-hot row.
        stratified_split: f64 => validation_split = Some((SplitBy::Class, stratified_split));
        /// How many bytes of data, for training and validation together, may stay on the device (2 GiB by
        /// default). What does not fit is uploaded batch by batch while the device works.
        resident_bytes: u64 => resident_bytes;
        /// Whether standard error says how training goes ([`Progress`]): with a bar on a terminal, with a line
        /// for each epoch elsewhere; it does by default. Without the feature `progress` there is no bar.
        progress: bool => progress;
    }

    /// Judges the model by these samples after each epoch; the figures are called `val_loss` and so on. The
    /// loss is weighted as the samples are; penalties of weights are not part of it, as they are of `loss`.
    /// A layer that carries its state on from batch to batch carries it through validation too.
    pub fn validation(mut self, data: impl Into<Samples<'a>>) -> Self {
        self.validation = Some(data.into());
        self
    }

    /// The weight of each class in the training loss, 1 for those not named: by label, by 0 or 1 of a single
    /// f32 target, or by the largest element of a one-hot row, or of one of shares that sum up to 1 where the
    /// loss takes a sample to be of one class. Of outputs `[batch, time, classes]`, each step counts by its own
    /// class, and by the weight of its sample or its own; a row of zeros, as padding may have, is of no class. Other
    /// targets, such as those of a regression, are refused.
    pub fn class_weights(mut self, weights: impl IntoIterator<Item = (u32, f32)>) -> Self {
        self.class_weights = weights.into_iter().collect();
        self
    }

    /// Adds a callback; they are called in this order.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Calls a function after each epoch, with all its figures in [`Run::logs`].
    pub fn on_epoch_end(self, function: impl FnMut(&mut Run<'_>) -> Result<()> + 'a) -> Self {
        self.callback(OnEpochEnd(function))
    }

    /// Calls a function after every `every` steps of the training.
    pub fn on_steps(self, every: u32, function: impl FnMut(&mut Run<'_>) -> Result<()> + 'a) -> Self {
        self.callback(OnSteps { every, function })
    }

    /// Calls a function a few times a second, between two submissions, those of a validation too: to show how training goes, or to
    /// [stop it](crate::train::callbacks#ctrl-c).
    pub fn on_refresh(self, function: impl FnMut(&mut Run<'_>) -> Result<()> + 'a) -> Self {
        self.callback(OnRefresh(function))
    }

    /// Looks for a NaN or an infinity in the loss, the weights, what the optimiser keeps, summed gradients
    /// ([`TrainerBuilder::accumulate`](super::TrainerBuilder::accumulate)) and what stateful layers carry on,
    /// after every `every` steps, at the end of each epoch, and before a callback is called after a step
    /// ([`Callback::every_steps`]) or between two ([`Callback::refreshes`]). If there is one, the steps since
    /// the last look are run again one by one, from a copy on the device, until the first that makes one;
    /// training stops before that step, with its parameters as they were then, and [`History::fault`] names
    /// the first operator of it that produced one, or what held it before: what callbacks do is kept.
    ///
    /// A look reads two numbers from the device, the loss and the norm of all the rest, and copies the
    /// parameters and states within it.
    pub fn nan_guard(mut self, every: u32) -> Self {
        self.nan_guard = Some(every.max(1));
        self
    }
}

/// A training under way.
pub(super) struct Training<'a, 'f> {
    pub trainer: &'a mut Trainer,
    pub feed: Feed<'a>,
    /// What the model is judged by after each epoch.
    pub validation: Option<Feed<'a>>,
    pub callbacks: Vec<Box<dyn Callback + 'f>>,
    pub position: Position,
    pub history: History,
    /// Why to stop, if a callback asked for it.
    pub stopped: Option<String>,
    /// Whether training ended because something was not finite.
    pub spoilt: bool,
    /// What is wrong with the figures, where something is.
    pub alarm: Option<String>,
    pub nan_guard: Option<u32>,
    /// What a callback panicked with, until all callbacks have been called.
    panicked: Option<Box<dyn Any + Send>>,
    pub shuffle: bool,
    /// How many of the callbacks the program gave: the first ones.
    pub given: usize,
    /// Whether what training goes on from, if the device is lost, is kept.
    #[cfg(feature = "checkpoints")]
    pub recovers: bool,
    /// That, as the bytes of a checkpoint, and why training was to stop then.
    #[cfg(feature = "checkpoints")]
    pub kept: Option<(Arc<Vec<u8>>, Option<String>)>,
    pace: Pace,
}

/// What callbacks are told.
#[derive(Clone, Copy)]
enum Event {
    TrainBegin,
    EpochBegin,
    Refresh,
    Step,
    EpochEnd,
    TrainEnd,
}

impl Trainer {
    /// Trains on the samples and returns the figures of every epoch.
    ///
    /// The loss of an epoch is the mean over its samples, each at the moment its batch was trained on,
    /// with weights applied and penalties added, as in Keras.
    ///
    /// Where the outputs are sequences with padding ([padded sequences](crate::nn#padded-sequences)), it is the
    /// mean over their steps without it: the sum of the weighted losses of steps that count over how many they
    /// are, as in Keras 3. A batch's gradient is that of its own mean, and the figures of an epoch and of
    /// [`evaluate`](Trainer::evaluate) are means over all steps, where Keras takes the mean of the batches'
    /// means. An update that [takes several batches](super::TrainerBuilder::accumulate) is by the mean over the steps
    /// of all of them. Labels of padding matter to nothing, but are labels. Metrics take each step for a sample.
    ///
    /// A loss that is NaN or infinite is said as soon as it is seen: by the bar, by a warning in the log, and in
    /// [`History::fault`]. After an epoch that left weights so too, training ends, for they would stay so;
    /// [`Fit::nan_guard`] ends it before the step that spoils them.
    ///
    /// An error that a callback returns, or that writing a checkpoint comes to, ends training when all
    /// callbacks have been called for the moment at hand, and so does a panic, which goes on then; [`Callback::on_train_end`] is not called, and no
    /// best weights are put back. Nothing is lost: the trainer has its weights and the figures of the epochs
    /// ([`history`](Trainer::history)), and [`save_checkpoint`](Trainer::save_checkpoint), to a place that
    /// can be written, is what [`Fit::resume`] goes on from, at the same step.
    ///
    /// # Errors
    /// Samples that are not what the model and the loss take, by the shapes of both
    /// ([`Error::ShapeMismatch`], [`Error::DTypeMismatch`], [`Error::TargetMismatch`],
    /// [`Error::LabelOutOfRange`], for a class weight too), or have other classes than the training data
    /// ([`Error::ClassMismatch`]); [`Error::NoLabels`] for a stratified split of others; [`Error::Argument`] for options outside their
    /// range; what a callback returns; and everything that a device reports.
    pub fn fit<'a>(&mut self, data: impl Into<Samples<'a>>, fit: Fit<'_>) -> Result<History> {
        // A callback may fit something else within an epoch, which goes on afterwards.
        let outer = if self.fitting { Some((self.epoch_sums()?, self.journey.clone())) } else { None };
        let fitted = UnderWay::new(self, fit.progress).trainer.fit_on(data, fit);
        if let Some((sums, journey)) = outer {
            self.journey = journey;
            fitted.as_ref().map_or(Ok(()), |_| self.session_mut().restore_contents(&sums))?;
        }
        fitted
    }

    fn fit_on<'a>(&mut self, data: impl Into<Samples<'a>>, fit: Fit<'_>) -> Result<History> {
        let given = fit.callbacks.len();
        let fit = if fit.progress { fit.callback(Progress::new()) } else { fit };
        let data = data.into();
        let known = self.class_names();
        #[cfg(feature = "checkpoints")]
        let checkpoint = fit.resume.as_ref().map(Resume::open).transpose()?;
        // What a checkpoint does not say, the trainer may know.
        #[cfg(feature = "checkpoints")]
        let known = checkpoint.as_ref().and_then(|c| c.header.class_names.as_deref()).or(known);
        data.expect_classes("training data", known)?;
        if let Some(validation) = &fit.validation {
            validation.expect_classes("validation data", data.class_names.as_deref().or(known))?;
        }
        let samples = self.samples(data)?;
        let judged = fit.validation.map(|data| self.samples(data)).transpose()?;
        let (mut train, held_out) = split(&samples, fit.validation_split, self.seed)?;
        if judged.is_some() && held_out.is_some() {
            let value = "given beside validation data";
            return Err(Error::argument("validation_split", value, "one of the two"));
        }
        if fit.steps_per_epoch == Some(0) {
            return Err(Error::argument("steps_per_epoch", 0, "an epoch has at least one step"));
        }
        if fit.drop_last && train.len() < self.batch {
            let value = format!("true for {} samples in batches of {}", train.len(), self.batch);
            return Err(Error::argument("drop_last", value, "one whole batch is needed"));
        }
        let output = self.main().rows_of_scores()?;
        weigh_classes(&mut train, &fit.class_weights, output, self.recipe.loss.scores())?;
        let samples = train.len();
        let all = if fit.drop_last { samples / self.batch } else { samples.div_ceil(self.batch) };
        let steps = fit.steps_per_epoch.map_or(all, |steps| steps.min(all));
        let judged = judged.as_ref().or(held_out.as_ref());
        let (feed, validation) = self.feeds(&train, judged, steps, fit.resident_bytes)?;
        let mut training = Training {
            trainer: self,
            feed,
            validation,
            pace: Pace::new(
                fit.callbacks.iter().any(|callback| callback.refreshes()),
                fit.nan_guard.is_some(),
            ),
            callbacks: fit.callbacks,
            position: Position { epoch: fit.initial_epoch, epochs: fit.epochs, steps, ..Position::default() },
            history: History { initial_epoch: fit.initial_epoch, ..History::default() },
            stopped: None,
            spoilt: false,
            alarm: None,
            nan_guard: fit.nan_guard,
            panicked: None,
            shuffle: fit.shuffle,
            given,
            #[cfg(feature = "checkpoints")]
            recovers: false,
            #[cfg(feature = "checkpoints")]
            kept: None,
        };
        #[cfg(feature = "checkpoints")]
        if let Some(checkpoint) = &checkpoint {
            training.resume(checkpoint)?;
        }
        #[cfg(feature = "checkpoints")]
        let resumes = checkpoint.is_some();
        #[cfg(not(feature = "checkpoints"))]
        let resumes = false;
        let before = (training.trainer.steps, training.trainer.class_names.clone());
        training.trainer.take_classes(&train);
        training.note(false);
        // A panic, too, leaves a trainer that knows how far training is.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(feature = "checkpoints")]
            return training.run_recovering(fit.recover, |trainer| {
                trainer.feeds(&train, judged, steps, fit.resident_bytes)
            });
            #[cfg(not(feature = "checkpoints"))]
            training.run()
        }));
        training.note(!matches!(ended, Ok(Ok(()))));
        // Weights stand for no classes that none of their steps has seen.
        if training.trainer.steps == before.0 && !resumes {
            training.trainer.class_names = before.1;
        }
        let ended = ended.unwrap_or_else(|panic| resume_unwind(panic));
        ended.map(|()| training.history)
    }

    /// The data of a training of so many steps to an epoch, where its device reads it.
    fn feeds<'a>(
        &mut self,
        train: &'a Samples<'_>,
        validation: Option<&'a Samples<'_>>,
        steps: usize,
        resident_bytes: u64,
    ) -> Result<(Feed<'a>, Option<Feed<'a>>)> {
        let weights = train.weights_each();
        // Training data comes first; validation data has what it leaves, or all where it is uploaded itself.
        let left = resident_bytes.checked_sub(bytes_of(train)).unwrap_or(resident_bytes);
        let validation = validation.map(|data| self.judge(data, left)).transpose()?;
        // A last batch that the model refuses is refused before anything is trained, if training reaches it.
        if steps > train.len() / self.batch {
            let (samples, batch) = (train.len() % self.batch, self.batch);
            let refused = |error: Error| match error {
                Error::Record { .. } if train.len() > batch => {
                    Error::LastBatch { samples, batch, source: Box::new(error) }
                }
                error => error,
            };
            self.prepare(self.variant(samples, weights)).map_err(refused)?;
        }
        let index = self.prepare(self.variant(self.batch, weights))?;
        let feed = Feed::new(&self.device, train, &self.training[index].1, resident_bytes)?;
        Ok((feed, validation))
    }
}

/// Whether a callback is called after this step of the training.
fn is_due(callback: &dyn Callback, step: u32) -> bool {
    callback.every_steps().is_some_and(|every| step.is_multiple_of(every.max(1)))
}

impl Training<'_, '_> {
    pub(super) fn run(&mut self) -> Result<()> {
        self.tell(Event::TrainBegin, &OnceCell::new())?;
        #[cfg(feature = "checkpoints")]
        self.keep()?;
        self.go_on()
    }

    /// What is left of the training.
    pub(super) fn go_on(&mut self) -> Result<()> {
        while self.position.epoch < self.position.epochs && self.stopped.is_none() {
            if self.position.step == 0 {
                self.trainer.training[0].1.reset_sums()?;
                self.tell(Event::EpochBegin, &OnceCell::new())?;
            }
            self.steps()?;
            if self.position.step < self.position.steps {
                break;
            }
            let mut logs = self.trainer.running_logs(self.position.samples)?;
            let Some(judged) = self.validate()? else { break };
            logs.append(&judged);
            for (name, rate) in self.trainer.rates() {
                logs.set(name, f64::from(rate));
            }
            self.judge_figures(&logs)?;
            self.end_epoch(logs)?;
        }
        self.flush()?;
        self.history.stopped = self.stopped.take();
        let last = self.history.epochs.last().cloned();
        self.tell(Event::TrainEnd, &last.map_or_else(OnceCell::new, OnceCell::from))
    }

    /// The figures of the validation data, if there is any; none where a callback ends training meanwhile. One
    /// that did so after the last step of the epoch has its figures.
    fn validate(&mut self) -> Result<Option<Logs>> {
        let Some(feed) = &self.validation else { return Ok(Some(Logs::new())) };
        let mut judging = self.trainer.begin_judging(feed)?;
        let before = self.stopped.take();
        while let Some(feed) = &mut self.validation
            && self.stopped.is_none()
            && judging.step(feed)?
        {
            if self.pace.shows() {
                judging.chain.submit()?;
                judging.wait()?;
                self.tell(Event::Refresh, &OnceCell::new())?;
            }
        }
        let finished = self.stopped.is_none();
        self.stopped = before.or(self.stopped.take());
        let logs = self.trainer.end_judging(judging, finished.then_some("val_"))?;
        Ok(finished.then_some(logs))
    }

    /// Hands the figures of an epoch to the history and the callbacks. What is asked for by a callback
    /// is done as of the beginning of the next epoch.
    fn end_epoch(&mut self, logs: Logs) -> Result<()> {
        let logs = OnceCell::from(logs);
        let (requests, called) = self.call(Event::EpochEnd, &logs);
        self.history.epochs.extend(logs.into_inner());
        self.position = Position { epoch: self.position.epoch + 1, step: 0, samples: 0, ..self.position };
        self.granted(called, requests)?;
        #[cfg(feature = "checkpoints")]
        self.keep()?;
        Ok(())
    }

    /// The steps of an epoch that are left.
    fn steps(&mut self) -> Result<()> {
        let mut chain = Chain::new(&self.trainer.device);
        let order = epoch_order(self.feed.samples, self.shuffle, self.trainer.seed, self.position.epoch);
        self.feed.set_order(order, &mut chain)?;
        self.pace.begin_epoch();
        let mut guard = self.guard()?;
        while self.position.step < self.position.steps && self.stopped.is_none() {
            self.step(&mut chain)?;
            let now = self.trainer.steps;
            let calls = self.callbacks.iter().any(|callback| is_due(callback.as_ref(), now));
            let ends = self.position.step == self.position.steps;
            // No checkpoint is written of what has not been looked at.
            if calls
                || guard.as_ref().is_some_and(|guard| ends || now.wrapping_sub(guard.steps) >= guard.every)
            {
                self.pause(&mut guard, calls.then_some(Event::Step), &mut chain)?;
            }
            if self.stopped.is_none() && self.pace.refreshes() {
                self.pause(&mut guard, Some(Event::Refresh), &mut chain)?;
            }
        }
        chain.submit()
    }

    /// Submits what is encoded, looks for what is not finite, tells callbacks how far training is, and moves
    /// the guard past what they do.
    fn pause(&mut self, guard: &mut Option<Guard>, event: Option<Event>, chain: &mut Chain) -> Result<()> {
        chain.submit()?;
        if let Some(guard) = guard {
            self.look(guard)?;
        }
        if let Some(event) = event.filter(|_| self.stopped.is_none()) {
            let logs = OnceCell::new();
            if matches!(event, Event::Refresh) {
                let running = self.trainer.running_logs(self.position.samples)?;
                self.hear(logs.get_or_init(|| running));
            }
            self.tell(event, &logs)?;
        }
        if self.stopped.is_none() {
            *guard = self.guard()?;
        }
        Ok(())
    }

    /// Adds the next step of the epoch to a chain.
    pub(super) fn step(&mut self, chain: &mut Chain) -> Result<usize> {
        let (step, batch) = (self.position.step, self.trainer.batch);
        let rows = batch.min(self.feed.samples - step * batch);
        let variant = self.trainer.variant(rows, self.feed.weights);
        let prepared = self.trainer.prepare(variant);
        if prepared.is_err() {
            // The steps that are counted are done.
            chain.submit()?;
        }
        let index = prepared?;
        self.feed.load(&mut self.trainer.training[index].1, step, chain)?;
        self.trainer.train(index, chain)?;
        self.position.step += 1;
        self.position.samples += rows;
        self.mark();
        Ok(index)
    }

    /// Calls the callbacks, then does what they asked for.
    fn tell(&mut self, event: Event, logs: &OnceCell<Logs>) -> Result<()> {
        let (requests, called) = self.call(event, logs);
        self.granted(called, requests)
    }

    /// Calls the callbacks, all of them whatever one does, so that they agree how far training is; but
    /// before it has begun, the first error is the end. Returns what they ask for, and the first error; a panic
    /// is kept for when that is [granted](Training::granted).
    fn call(&mut self, event: Event, logs: &OnceCell<Logs>) -> (Requests, Result<()>) {
        self.mark();
        let (mut requests, mut called) = (Requests::default(), Ok(()));
        let now = self.trainer.steps;
        for callback in &mut self.callbacks {
            let mut run = Run {
                trainer: self.trainer,
                position: self.position,
                history: &self.history,
                logs,
                validates: self.validation.is_some(),
                alarm: self.alarm.as_deref(),
                requests: &mut requests,
            };
            let told = catch_unwind(AssertUnwindSafe(|| match event {
                Event::TrainBegin => callback.on_train_begin(&mut run),
                Event::EpochBegin => callback.on_epoch_begin(&mut run),
                Event::Refresh if callback.refreshes() => callback.on_refresh(&mut run),
                Event::Step if is_due(callback.as_ref(), now) => callback.on_step(&mut run),
                Event::Refresh | Event::Step => Ok(()),
                Event::EpochEnd => callback.on_epoch_end(&mut run),
                Event::TrainEnd => callback.on_train_end(&mut run),
            }));
            let failed = !matches!(told, Ok(Ok(())));
            match told {
                Ok(told) => called = called.and(told),
                Err(panic) => _ = self.panicked.get_or_insert(panic),
            }
            if failed && matches!(event, Event::TrainBegin) {
                return (Requests::default(), called);
            }
        }
        (requests, called)
    }

    /// Does what was asked for, then ends with what the calls ended with.
    fn granted(&mut self, called: Result<()>, requests: Requests) -> Result<()> {
        let granted = self.grant(requests);
        match self.panicked.take() {
            Some(panic) => resume_unwind(panic),
            None => called.and(granted),
        }
    }

    fn grant(&mut self, requests: Requests) -> Result<()> {
        if self.stopped.is_none() {
            self.stopped = requests.stop;
        }
        #[cfg(feature = "checkpoints")]
        requests.checkpoints.iter().try_for_each(|path| self.write_checkpoint(path))?;
        Ok(())
    }
}
