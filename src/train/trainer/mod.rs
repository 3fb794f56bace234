//! Training as in Keras: `fit`, `evaluate`, `predict`.

mod average;
mod build;
mod classes;
mod evaluate;
mod fault;
mod feed;
mod fit;
mod freeze;
mod journey;
mod notice;
mod pace;
mod probabilities;
mod rates;
mod recipe;
#[cfg(feature = "checkpoints")]
mod resume;
mod split;
mod variants;

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "checkpoints")]
use std::sync::Mutex;

pub use build::TrainerBuilder;
pub use evaluate::{Evaluation, Predictions};
pub use fit::Fit;
pub(crate) use journey::Journey;
#[cfg(feature = "checkpoints")]
pub(crate) use journey::{Remembered, owners};
#[cfg(feature = "checkpoints")]
pub(crate) use rates::SavedRate;
pub(crate) use recipe::Variant;
pub use recipe::WeightInfo;
#[cfg(feature = "checkpoints")]
pub(crate) use recipe::is_within;

use self::feed::Feed;
use self::journey::between_epochs;
use self::notice::Notice;
use self::rates::Rate;
use self::recipe::{Recipe, Step, StepValues, Sums};
use crate::data::Samples;
use crate::error::{Error, Result};
use crate::executor::Device;
use crate::graph::{StateKind, Value};
use crate::session::{Chain, Session, SessionOptions, Snapshot};
use crate::shape::Shape;
use crate::tape::Tape;
use crate::train::accumulation::Window;
use crate::train::{Direction, Logs};

/// A model with everything that its training needs, on a device.
///
/// ```
/// use retape::prelude::*;
/// let data = data::Dataset::new([2], vec![0., 0., 0., 1., 1., 0., 1., 1.], vec![0, 1, 1, 0], 2)?;
/// let model = Sequential::new()
///     .add(Dense::new(8).activation(Activation::Tanh))
///     .add(Dense::new(2));
/// let mut trainer = Trainer::new(model, data.input_shape())
///     .loss(Loss::SparseCategoricalCrossEntropy)
///     .optimizer(Adam::new(0.05))
///     .metrics([Metric::Accuracy])
///     .batch_size(4)
///     .seed(1)
///     .build(&Device::cpu())?;
/// let history = trainer.fit(&data, Fit::epochs(200))?;
/// assert!(history.last("loss") < Some(0.1));
/// assert_eq!(trainer.predict_classes(&data)?, [0, 1, 1, 0]);
/// # Ok::<(), retape::Error>(())
/// ```
///
/// The training step is recorded once, for whole batches. The last batch of an epoch, if smaller, has a
/// step of its own over the same parameters, so that its samples count exactly as much as all others.
pub struct Trainer {
    device: Device,
    recipe: Recipe,
    batch: usize,
    seed: u32,
    /// The rates of all optimisers; the first is that of the optimiser of all that no group has.
    rates: Vec<Rate>,
    /// The training steps; the first one is for whole batches and owns the parameters. Of the others, the
    /// one used last is last.
    training: Vec<(Variant, Step)>,
    /// The steps of evaluation, of prediction, and of an update alone, once they are needed.
    beside: [Option<Step>; 3],
    /// Of the guard against NaN: a tape for each training step with something of its own, and its norm.
    health: Option<Vec<(Session, Value)>>,
    /// Batches trained on so far.
    steps: u32,
    /// Updates made so far.
    updates: u32,
    /// Those since the optimiser's states began: what its formulas count.
    optimizer_updates: u32,
    /// The batches since the last update, where that takes several.
    window: Window,
    /// If weights and averages are exchanged, whether the model was trained or given weights since.
    swapped: Option<bool>,
    /// Whether standard error says what takes time.
    progress: bool,
    /// The names of the classes that it was trained on, by label, where the data had them.
    class_names: Option<Arc<[String]>>,
    /// How far the last `fit` went.
    journey: Journey,
    /// Whether a `fit` is under way, whose callbacks have the trainer at hand.
    fitting: bool,
    /// The bytes of the last checkpoint that was taken, for when the device is lost.
    #[cfg(feature = "checkpoints")]
    kept: Mutex<Option<Arc<Vec<u8>>>>,
}

impl Trainer {
    /// The description of a trainer for samples of this shape, without the batch.
    #[expect(clippy::new_ret_no_self, reason = "a trainer needs its loss and its optimiser first")]
    pub fn new(model: impl crate::nn::Layer, input: impl Into<Shape>) -> TrainerBuilder {
        TrainerBuilder::new(model, vec![input.into()])
    }

    /// [`new`](Trainer::new) for a model of several inputs.
    pub fn with_inputs(model: impl crate::nn::Layer, inputs: impl Into<Vec<Shape>>) -> TrainerBuilder {
        TrainerBuilder::new(model, inputs.into())
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The session of the training step for whole batches: it has the parameters, the optimiser's
    /// states and the tape.
    pub fn session(&self) -> &Session {
        &self.main().session
    }

    /// The session of the training step, to write parameters.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.training[0].1.session
    }

    /// Samples of a whole batch.
    pub fn batch_size(&self) -> usize {
        self.batch
    }

    /// The number of batches trained on.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The number of updates made: as many as steps, but for gradients that are summed over several. It stays
    /// at `u32::MAX` where there are more.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// Lets stateful layers forget what they have seen: the states they carry from batch to batch are
    /// as at the start again, for every size of a batch. Weights and the optimiser's states stay.
    ///
    /// Keras does this by the same name between two sequences, such as after each epoch:
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let fit =
    /// Fit::epochs(20).shuffle(false).on_epoch_end(|run| run.trainer().reset_states())
    /// # ;
    /// ```
    ///
    /// # Errors
    /// What the device reports.
    pub fn reset_states(&mut self) -> Result<()> {
        let steps = self.training.iter_mut().map(|(_, step)| step);
        let mut steps = steps.chain(self.beside.iter_mut().flatten());
        steps.try_for_each(|step| step.session.reset(|_, kind| kind == StateKind::Carried))
    }

    /// A copy of the model's weights and running statistics on the device.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the device has no room for it.
    pub fn weights_snapshot(&self) -> Result<Snapshot> {
        self.session().snapshot_of(&self.main().values.model)
    }

    /// Puts back what [`weights_snapshot`](Trainer::weights_snapshot) copied. The optimiser's states and
    /// the step count stay as they are, and so does what has been pruned since.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a snapshot of another trainer.
    pub fn restore_weights(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.session_mut().restore_contents(snapshot)?;
        self.mark_changed();
        self.hold_to_masks()
    }

    /// The parameters and states of the model in the training session.
    pub(crate) fn weight_values(&self) -> &[Value] {
        &self.main().values.model
    }

    /// The weights that pruning applies to.
    pub(crate) fn prunable(&self) -> Vec<Value> {
        let session = self.session();
        let is_it = |&value: &Value| {
            session.kind(value) == Some(StateKind::Weight { trained: true })
                && session.shape_of(value).rank() > 1
        };
        self.weight_values().iter().copied().filter(is_it).collect()
    }

    /// Gives every weight that may be pruned a mask, unless they have them.
    pub(crate) fn record_masks(&mut self) -> Result<()> {
        let known = self.recipe.masked.len();
        let prunable = self.prunable().into_iter().map(|value| self.session().name_of(value));
        let more: Vec<String> = prunable.filter(|name| !self.recipe.masked.contains(name)).collect();
        if more.is_empty() {
            return Ok(());
        }
        self.recipe.masked.extend(more);
        self.record_again().inspect_err(|_| self.recipe.masked.truncate(known))
    }

    /// Records all steps anew, with the parameters and states that there are. Those for smaller batches
    /// that have states of their own are recorded at once, to keep them; others when they are needed.
    fn record_again(&mut self) -> Result<()> {
        let mut training = vec![self.recorded_again()?];
        for variant in self.variants_with_states() {
            let before = training.iter().chain(&self.training).map(|(_, step)| &step.session);
            let step = self.recorded(variant, &before.collect::<Vec<_>>())?;
            training.push((variant, step));
        }
        self.training = training;
        (self.beside, self.health) = (Default::default(), None);
        self.take_in_rates();
        Ok(())
    }

    /// The training step for whole batches as it is recorded now, over the parameters and states that
    /// there are.
    fn recorded_again(&self) -> Result<(Variant, Step)> {
        let &(variant, ref main) = &self.training[0];
        let mut step = self.recorded(variant, &[&main.session])?;
        step.session.scalars.adopt(&main.session.scalars);
        Ok((variant, step))
    }

    /// The training step of a variant, with the parameters and states of earlier ones.
    fn recorded(&self, variant: Variant, earlier: &[&Session]) -> Result<Step> {
        self.on_device(self.recipe.training(variant)?, variant.rows, earlier)
    }

    /// A recorded step with the parameters and states of earlier ones.
    fn on_device(&self, step: (Tape, StepValues), rows: usize, earlier: &[&Session]) -> Result<Step> {
        let (tape, values) = step;
        let notice = Notice::new(self.progress);
        let options = SessionOptions::new().seed(self.seed).share_with(earlier).compiling(&notice);
        Ok(Step { session: tape.session_with(&self.device, options)?, rows, values })
    }

    fn main(&self) -> &Step {
        &self.training[0].1
    }

    /// The variant of the next step for a batch of `rows` samples.
    fn variant(&self, rows: usize, weights: usize) -> Variant {
        let updates = self.window.batches + 1 >= self.recipe.accumulate;
        Variant { rows, weights, updates }
    }

    /// Adds a training step to a chain. Its batch is loaded.
    fn train(&mut self, index: usize, chain: &mut Chain) -> Result<()> {
        self.set_scalars(index);
        self.mark_changed();
        let (variant, step) = &mut self.training[index];
        chain.step(&mut step.session)?;
        // What counts steps goes round, as the streams of random numbers do.
        self.steps = self.steps.wrapping_add(1);
        self.window = self.window.with(variant.rows);
        if variant.updates {
            self.count_update();
        }
        Ok(())
    }

    fn count_update(&mut self) {
        self.window = Window::default();
        self.updates = self.updates.saturating_add(1);
        self.optimizer_updates = self.optimizer_updates.saturating_add(1);
    }

    /// Where gradients of fewer batches are summed up than
    /// [`accumulate`](TrainerBuilder::accumulate) asks for, makes the update by their mean now, and says
    /// whether there were any. [`fit`](Trainer::fit) does so where it ends; a program that trains by
    /// [`train_on_batch`](Trainer::train_on_batch) may do so at the end of its epochs.
    ///
    /// # Errors
    /// What the device reports.
    pub fn flush_gradients(&mut self) -> Result<bool> {
        if self.window.batches == 0 {
            return Ok(false);
        }
        self.update_step()?.session.replay()?;
        self.mark_changed();
        self.count_update();
        Ok(true)
    }

    /// Trains on one batch, with its weights if it has them, and returns its loss and metrics as they were
    /// before the update. A size that has not come before records a step of its own.
    ///
    /// In a callback of [`fit`](Trainer::fit), the batch is none of its epoch: neither figures nor the position that
    /// a checkpoint is of count it.
    ///
    /// With [`accumulate(k)`](TrainerBuilder::accumulate), every `k`-th batch makes an update, by the mean
    /// gradient of the samples of `k` batches; the others are only summed up. Batches that are left over wait
    /// for the next ones, of this method or of `fit`, or for
    /// [`flush_gradients`](Trainer::flush_gradients).
    ///
    /// # Errors
    /// As [`fit`](Trainer::fit).
    pub fn train_on_batch<'a>(&mut self, batch: impl Into<Samples<'a>>) -> Result<Logs> {
        let batch = batch.into();
        self.agree_in_classes("batch", &batch)?;
        let samples = self.samples(batch)?;
        // A callback may train within an epoch, whose sums go on.
        let sums = self.epoch_sums()?;
        let logs = self.train_on_samples(&samples);
        self.session_mut().restore_contents(&sums)?;
        logs
    }

    /// A copy of what the epoch has summed up.
    fn epoch_sums(&self) -> Result<Snapshot> {
        let &Sums { total, carry, .. } = self.main().sums()?;
        self.session().snapshot_of(&[total, carry])
    }

    fn train_on_samples(&mut self, samples: &Samples<'_>) -> Result<Logs> {
        let count = samples.len();
        let index = self.prepare(self.variant(count, samples.weights_each()))?;
        if !self.fitting {
            self.journey = between_epochs(&self.journey);
        }
        self.training[0].1.reset_sums()?;
        let mut chain = Chain::new(&self.device);
        let step = &mut self.training[index].1;
        let mut feed = Feed::new(&self.device, samples, step, 0)?;
        feed.load(step, 0, &mut chain)?;
        self.train(index, &mut chain)?;
        self.take_classes(samples);
        chain.submit()?;
        self.running_logs(count)
    }

    /// Refuses samples that are not what the model and the loss take.
    fn check(&self, samples: &Samples<'_>) -> Result<()> {
        samples.check()?;
        self.recipe.check_inputs(samples)?;
        self.main().check_targets(samples)?;
        self.main().check_weights(samples)
    }

    /// The figures of an epoch in which `samples` samples were seen; none before the first.
    pub(crate) fn running_logs(&self, samples: usize) -> Result<Logs> {
        if samples == 0 { Ok(Logs::new()) } else { self.main().logs(samples, "") }
    }

    /// The figures of an evaluation, each with whether it is to grow or to shrink.
    pub(crate) fn figures(&self) -> Vec<(String, Direction)> {
        self.main().figures()
    }
}

impl Step {
    fn sums(&self) -> Result<&Sums> {
        self.values.sums.as_ref().ok_or(Error::ForeignValue)
    }

    fn reset_sums(&mut self) -> Result<()> {
        let &Sums { total, carry, .. } = self.sums()?;
        let zeros = vec![0.0; self.session.shape_of(total).numel()];
        self.session.write(total, &zeros)?;
        self.session.write(carry, &zeros)
    }

    /// Reads the sums and says what they come to.
    fn logs(&self, samples: usize, prefix: &str) -> Result<Logs> {
        let Sums { total, carry, counted, judged, metrics } = self.sums()?;
        let parts = self.session.executor.read_f64(&[*total, *carry])?;
        let totals: Vec<f64> = parts[0].iter().zip(&parts[1]).map(|(total, carry)| total + carry).collect();
        let mut logs = Logs::new();
        let count = if *counted { totals[1].max(1.0) } else { samples as f64 };
        logs.set(&format!("{prefix}loss"), totals[0] / count);
        let mut rest = &totals[1 + usize::from(*counted)..];
        for (metric, length) in metrics {
            let (own, after) = rest.split_at(*length);
            rest = after;
            let names = metric.result_names(*judged).into_iter().map(|name| format!("{prefix}{name}"));
            let results = names.zip(metric.results(own));
            if metric.is_matrix() {
                logs.set_matrix(format!("{prefix}{}", metric.name()), results);
            } else {
                results.for_each(|(name, result)| logs.set(&name, result));
            }
        }
        Ok(logs)
    }

    /// The names of what [`logs`](Step::logs) gives, each with whether it is to grow or to shrink.
    fn figures(&self) -> Vec<(String, Direction)> {
        let metrics = self.values.sums.iter().flat_map(|sums| sums.metrics.iter().map(|m| (m, sums.judged)));
        let of_metrics = metrics.flat_map(|((metric, _), judged)| {
            let direction = metric.direction();
            metric.result_names(judged).into_iter().map(move |name| (name, direction))
        });
        std::iter::once(("loss".to_owned(), Direction::Min)).chain(of_metrics).collect()
    }
}

impl fmt::Debug for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Trainer");
        debug.field("model", &self.recipe.model).field("loss", &self.recipe.loss);
        debug.field("optimizer", &self.recipe.optimizer).field("device", &self.device);
        debug.field("batch_size", &self.batch).field("steps", &self.steps).finish_non_exhaustive()
    }
}
