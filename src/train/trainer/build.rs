use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Arc;

use super::Trainer;
use super::journey::Journey;
use super::recipe::{Group, Recipe, Variant, WeightInfo};
use crate::error::{Error, Result};
use crate::executor::Device;
use crate::nn::Layer;
use crate::shape::Shape;
use crate::tape::Recompute;
use crate::train::accumulation::Window;
use crate::train::metrics::Weighted;
use crate::train::{LossFunction, MetricFunction, Optimizer, Schedule};

/// What [`Trainer::new`] starts with; [`build`](TrainerBuilder::build) ends it.
#[derive(Debug)]
#[must_use]
pub struct TrainerBuilder {
    model: Arc<dyn Layer>,
    inputs: Vec<Shape>,
    loss: Option<Box<dyn LossFunction>>,
    optimizer: Option<Box<dyn Optimizer>>,
    metrics: Vec<Arc<dyn MetricFunction>>,
    weighted_metrics: Vec<Arc<dyn MetricFunction>>,
    groups: Vec<Group>,
    schedules: Vec<(Option<String>, Box<dyn Schedule>)>,
    batch: usize,
    accumulate: usize,
    recompute: Option<Recompute>,
    mixed_precision: bool,
    seed: u32,
    frozen: Vec<String>,
    progress: bool,
}

impl TrainerBuilder {
    pub(super) fn new(model: impl Layer, inputs: Vec<Shape>) -> Self {
        TrainerBuilder {
            model: Arc::new(model),
            inputs,
            loss: None,
            optimizer: None,
            metrics: Vec::new(),
            weighted_metrics: Vec::new(),
            groups: Vec::new(),
            schedules: Vec::new(),
            batch: 32,
            accumulate: 1,
            recompute: None,
            mixed_precision: false,
            seed: 0,
            frozen: Vec::new(),
            progress: true,
        }
    }

    /// What is minimised, by the model's first output.
    pub fn loss(mut self, loss: impl LossFunction + 'static) -> Self {
        self.loss = Some(Box::new(loss));
        self
    }

    /// How parameters move.
    pub fn optimizer(mut self, optimizer: impl Optimizer + 'static) -> Self {
        self.optimizer = Some(Box::new(optimizer));
        self
    }

    /// What is measured beside the loss. Every sample counts the same, whatever weights there are.
    pub fn metrics<M: MetricFunction + 'static>(mut self, metrics: impl IntoIterator<Item = M>) -> Self {
        self.metrics = shared(metrics);
        self
    }

    /// What is measured with each sample counting by its weight, as it does in the loss: the weights of
    /// samples, in training multiplied with those of classes ([`class_weights`](super::Fit::class_weights)). One
    /// of the [`metrics`](TrainerBuilder::metrics) that is measured this way too is called
    /// `weighted_accuracy`, others by their own name, as in Keras.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let samples = data::Samples::new().input([1], &[0.0f32, 0.0]).labels(&[0, 1]).weights(vec![3.0, 1.0]);
    /// let mut trainer = Trainer::new(Sequential::new().add(Dense::new(2)), [1])
    ///     .loss(Loss::SparseCategoricalCrossEntropy)
    ///     .optimizer(Sgd::new(0.1))
    ///     .metrics([Metric::Accuracy])
    ///     .weighted_metrics([Metric::Accuracy])
    ///     .build(&Device::cpu())?;
    /// // Class 0 is the first of equal ones: right for the first sample, which counts three times.
    /// let found = trainer.evaluate(samples)?;
    /// assert_eq!((found.get("accuracy"), found.get("weighted_accuracy")), (Some(0.5), Some(0.75)));
    /// # Ok::<(), retape::Error>(())
    /// ```
    pub fn weighted_metrics<M: MetricFunction + 'static>(
        mut self,
        metrics: impl IntoIterator<Item = M>,
    ) -> Self {
        self.weighted_metrics = shared(metrics);
        self
    }

    /// Gives the weights that `which` chooses an optimiser of their own: of several groups, the first that
    /// chooses a weight has it. Clipping by a global norm counts the gradients of its group.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # let base = Sequential::new().add(Dense::new(8));
    /// let model = Sequential::new().add(base.named("base")).add(Dense::new(2));
    /// let trainer = Trainer::new(model, [4])
    ///     .loss(Loss::SparseCategoricalCrossEntropy)
    ///     .optimizer(AdamW::new(1e-3))
    ///     // A slower base; and biases, of one dimension, without weight decay.
    ///     .parameter_group(|w| w.layer.starts_with("base"), AdamW::new(1e-5).rate_name("base_rate"))
    ///     .parameter_group(|w| w.shape.rank() == 1, Adam::new(1e-3))
    ///     .schedule_of("base_rate", CosineDecay::new(1e-5, 1000))
    ///     .build(&Device::cpu())?;
    /// assert_eq!(trainer.scalar("base_rate")?, 1e-5);
    /// # Ok::<(), retape::Error>(())
    /// ```
    pub fn parameter_group(
        mut self,
        which: impl Fn(&WeightInfo<'_>) -> bool + Send + Sync + 'static,
        optimizer: impl Optimizer + 'static,
    ) -> Self {
        self.groups.push(Group { which: Box::new(which), optimizer: Box::new(optimizer) });
        self
    }

    /// The learning rate of each update, in place of the optimiser's.
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedules.push((None, Box::new(schedule)));
        self
    }

    /// The rate of this name at each update, in place of its optimiser's
    /// ([`rate_name`](crate::train::Adam::rate_name)).
    pub fn schedule_of(mut self, rate: &str, schedule: impl Schedule + 'static) -> Self {
        self.schedules.push((Some(rate.to_owned()), Box::new(schedule)));
        self
    }

    setters! {
        /// Samples per training step; 32 by default.
        batch_size: usize => batch;
        /// Sums the gradients of so many batches up for each update, a window; 1 by default. The update takes
        /// their mean over what the loss is a mean of, the window's samples, or of outputs with padding its steps
        /// without it: those of a last, smaller batch, or of one with more padding, count as much as all others. So
        /// it is as one batch of them all, but for what a layer makes of a batch, such as its normalisation, and
        /// for penalties of activity, each batch's of which counts by its share of the window. Windows go on from epoch to epoch. One that is not full where [`Trainer::fit`] ends
        /// makes its update there, after the callbacks of the last epoch, whose figures and checkpoints are
        /// from before it: so more epochs, resumed from such a checkpoint, are those of one long training.
        accumulate: usize => accumulate;
        /// Makes results of layers again for the gradients rather than keep them: less memory, at most a second
        /// forward pass, and the same numbers ([`Tape::recompute`](crate::Tape::recompute)). Nothing by default.
        recompute: Recompute => recompute;
        /// Records the model in [mixed precision](crate::Graph::autocast): activations and their gradients in f16,
        /// which halves the memory and the bytes that they take, weights and losses in f32, as Keras's
        /// `mixed_float16`. Training, evaluation and prediction; off by default. Gradients below 6e-8 are 0 in f16,
        /// and activations above 65,504 infinite. On the CPU, which computes in f32 all the same, it only rounds.
        /// Weights and checkpoints are those of f32.
        mixed_precision: bool => mixed_precision;
        /// The seed of the initial parameters, of the random operators and of the order of the samples; 0
        /// by default.
        seed: u32 => seed;
        /// Whether a terminal says how many kernels are compiled, as long as that takes; it does by default.
        /// During [`fit`](Trainer::fit), [`Fit::progress`](super::Fit::progress) decides.
        progress: bool => progress;
    }

    /// Freezes layers, those nested in them included: their parameters stay as they are, no gradient is
    /// computed for them, and batch normalisation uses its running statistics. Names are full ones, as in
    /// the summary: `conv2d_1`, `block.dense`. [`Trainer::unfreeze`] trains them again.
    pub fn freeze<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.frozen.extend(layers.into_iter().map(Into::into));
        self
    }

    /// Records the training step, plans it and compiles its kernels.
    ///
    /// # Errors
    /// [`Error::Argument`] for a missing loss or optimiser and for a batch of no samples;
    /// [`Error::Unknown`] for a layer to freeze that there is not; everything that recording and
    /// planning the step refuse.
    #[track_caller]
    pub fn build(self, device: &Device) -> Result<Trainer> {
        for (argument, value) in [("batch_size", self.batch), ("accumulate", self.accumulate)] {
            Error::expect(value > 0, argument, value, "at least 1")?;
        }
        let missing = |argument| Error::argument(argument, "missing", "a trainer needs one");
        let plain = self.metrics.len();
        let is_taken = |metric: &dyn MetricFunction| self.metrics.iter().any(|m| m.name() == metric.name());
        let weighted = self.weighted_metrics.into_iter().map(|metric| match is_taken(&*metric) {
            true => Arc::new(Weighted(metric)),
            false => metric,
        });
        let metrics = self.metrics.iter().cloned().chain(weighted).collect();
        let mut recipe = Recipe {
            model: self.model,
            inputs: self.inputs,
            loss: self.loss.ok_or_else(|| missing("loss"))?,
            optimizer: self.optimizer.ok_or_else(|| missing("optimizer"))?,
            groups: self.groups,
            metrics,
            plain,
            accumulate: self.accumulate,
            recompute: self.recompute,
            mixed_precision: self.mixed_precision,
            at: Location::caller(),
            masked: Vec::new(),
            frozen: BTreeSet::new(),
        };
        recipe.frozen = recipe.frozen_by_the_model(self.batch)?;
        if !self.frozen.is_empty() {
            recipe.frozen.append(&mut recipe.layers(&self.frozen)?);
        }
        let mut trainer = Trainer {
            device: device.clone(),
            recipe,
            batch: self.batch,
            seed: self.seed,
            rates: Vec::new(),
            training: Vec::new(),
            beside: [const { None }; 3],
            health: None,
            steps: 0,
            updates: 0,
            optimizer_updates: 0,
            window: Window::default(),
            swapped: None,
            progress: self.progress,
            class_names: None,
            journey: Journey::default(),
            fitting: false,
            #[cfg(feature = "checkpoints")]
            kept: Default::default(),
        };
        self.schedules.iter().try_for_each(|(_, schedule)| schedule.check())?;
        trainer.prepare(Variant { rows: self.batch, weights: 0, updates: true })?;
        trainer.take_in_rates();
        for (name, schedule) in self.schedules {
            trainer.begin_schedule(name.as_deref(), schedule)?;
        }
        Ok(trainer)
    }
}

fn shared<M: MetricFunction + 'static>(metrics: impl IntoIterator<Item = M>) -> Vec<Arc<dyn MetricFunction>> {
    metrics.into_iter().map(|metric| Arc::new(metric) as Arc<dyn MetricFunction>).collect()
}
