//! What a trainer records: a training step, an evaluation, a prediction.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

#[cfg(feature = "checkpoints")]
use serde::{Deserialize, Serialize};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, StateKind, Value};
use crate::nn::{self, Layer, Mode, Recorded};
use crate::session::Session;
use crate::shape::Shape;
use crate::tape::{Recompute, Tape};
use crate::train::accumulation::{Divisor, GradientSum};
use crate::train::losses::each_step;
use crate::train::{LossFunction, MetricFunction, MetricInputs, Optimizer, ParameterGroup};

/// What a batch without any steps counts as: nothing beside one step, in f32, and enough to divide by.
const SMALLEST_COUNT: f64 = 1.0 / (1u64 << 40) as f64;

/// The program's choices, from which every tape is recorded.
pub(super) struct Recipe {
    pub model: Arc<dyn Layer>,
    /// The shape of one sample of each input.
    pub inputs: Vec<Shape>,
    pub loss: Box<dyn LossFunction>,
    pub optimizer: Box<dyn Optimizer>,
    /// Optimisers of some parameters alone.
    pub groups: Vec<Group>,
    pub metrics: Vec<Arc<dyn MetricFunction>>,
    /// How many of the metrics count every sample the same: the first ones. To the others, it counts by its
    /// weight.
    pub plain: usize,
    /// The parameters whose updates a mask holds at zero where they are pruned.
    pub masked: Vec<String>,
    /// The full names of the layers that are frozen, those nested in others by themselves.
    pub frozen: BTreeSet<String>,
    /// Over how many batches gradients are summed before an update.
    pub accumulate: usize,
    pub recompute: Option<Recompute>,
    /// Whether the model is recorded in half precision, as far as that goes.
    pub mixed_precision: bool,
    /// The line that built the trainer.
    pub at: &'static Location<'static>,
}

/// An optimiser and the weights that it moves.
pub(super) struct Group {
    pub which: Box<dyn Fn(&WeightInfo<'_>) -> bool + Send + Sync>,
    pub optimizer: Box<dyn Optimizer>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.optimizer.fmt(f)
    }
}

/// A weight of a model, to be chosen for a group of parameters.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightInfo<'a> {
    /// Its full name: `conv2d.weight`.
    pub name: &'a str,
    /// The full name of its layer: `conv2d`.
    pub layer: &'a str,
    /// Its shape.
    pub shape: Shape,
}

/// Which training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "checkpoints", derive(Serialize, Deserialize))]
pub(crate) struct Variant {
    pub rows: usize,
    /// How many weights a sample has: none, one, or one for each of its steps.
    pub weights: usize,
    /// Whether parameters move, or gradients are only added up.
    pub updates: bool,
}

/// A recorded step on its device.
pub(super) struct Step {
    pub session: Session,
    pub rows: usize,
    pub values: StepValues,
}

/// The values of a step that the program writes and reads.
#[derive(Clone, Debug)]
pub(super) struct StepValues {
    pub inputs: Vec<Value>,
    pub targets: Option<Value>,
    /// The weight of each sample, or of each of its steps.
    pub weights: Option<Value>,
    /// In evaluation, whether a sample counts.
    pub mask: Option<Value>,
    pub output: Value,
    /// Where an update takes several batches, what the sum of their gradients is divided by.
    pub divisor: Option<Divisor>,
    /// Which steps of the output are no padding, `[rows, time]`.
    pub steps: Option<Value>,
    /// The parameters and states of the model: its weights.
    pub model: Vec<Value>,
    pub sums: Option<Sums>,
}

/// The sums that a step adds to: the loss of all samples, for outputs with padding how many steps those are,
/// then those of each metric.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub total: Value,
    pub carry: Value,
    /// Whether steps are counted.
    pub counted: bool,
    /// The shape of the outputs as metrics see them.
    pub judged: Shape,
    /// Each metric, and how many numbers it has.
    pub metrics: Vec<(Arc<dyn MetricFunction>, usize)>,
}

/// A graph with the model in it.
struct Recording {
    graph: Graph,
    /// Of the model alone: its inputs, its output and its weights.
    values: StepValues,
    model: Recorded,
}

impl Recipe {
    /// The tape of a training step.
    pub fn training(&self, variant: Variant) -> Result<(Tape, StepValues)> {
        let (graph, values, losses) = self.losses(variant)?;
        // All inputs are written, those too that nothing depends on.
        values.inputs.iter().try_for_each(|&input| graph.keep(input).map(drop))?;
        let sums = self.gradient_sums(values.divisor, true, variant.updates);
        let tape = graph.training_groups(&self.groups_of(&graph, losses, &sums)?)?;
        Ok(match self.recompute {
            Some(recompute) => (tape.recompute(recompute)?, values),
            None => (tape, values),
        })
    }

    /// The tape of an update by the gradients that are summed up; `variant` is any training step.
    pub fn update(&self, variant: Variant) -> Result<(Tape, StepValues)> {
        let (graph, values, losses) = self.losses(variant)?;
        let sums = self.gradient_sums(values.divisor, false, true);
        let tape = graph.updates_of_groups(&self.groups_of(&graph, losses, &sums)?)?;
        Ok((tape, values))
    }

    /// The model with its losses, whose gradients are those of a mean over the batch, or of a sum where more
    /// than one batch makes an update.
    fn losses(&self, variant: Variant) -> Result<(Graph, StepValues, Vec<Value>)> {
        let Recording { mut graph, mut values, .. } = self.record(variant.rows, Mode::Training)?;
        let g = &mut graph;
        let targets = self.targets(g, &mut values)?;
        values.weights = (variant.weights > 0).then(|| weights_input(g, variant.rows, variant.weights));
        let sum = g.sum(self.weighted_losses(g, targets, &values)?, &[], false)?;
        let count = values.steps.map(|steps| g.sum(steps, &[], false)).transpose()?;
        // A batch of nothing but padding has a loss of 0, and counts for next to nothing beside others.
        let least = |count: Value| g.maximum(count, g.scalar_constant(SMALLEST_COUNT));
        let counted = count.map(least).transpose()?;
        let loss = match counted {
            Some(counted) => g.div(sum, counted)?,
            None => g.mul(sum, g.scalar_constant(1.0 / variant.rows as f64))?,
        };
        let penalties = g.penalties();
        let mut total = sum;
        for &penalty in &penalties {
            let count = counted.unwrap_or_else(|| g.scalar_constant(variant.rows as f64));
            total = g.add(total, g.mul(penalty, count)?)?;
        }
        values.sums = Some(self.sums(g, "training", (total, count), targets, &values)?);
        // Weights that the loss does not depend on are weights all the same.
        values.model.iter().try_for_each(|&weight| g.keep(weight).map(drop))?;
        self.mask(g, &values.model)?;
        if self.accumulate > 1 {
            let samples = || Divisor::Samples(g.hidden_scalar("accumulated_samples", 1.0));
            values.divisor = Some(counted.map_or_else(samples, Divisor::Steps));
            return Ok((graph, values, vec![total]));
        }
        let losses = std::iter::once(loss).chain(penalties).collect();
        Ok((graph, values, losses))
    }

    /// The optimisers of all that no group has and of the groups, given what is summed up.
    fn gradient_sums(&self, divisor: Option<Divisor>, adds: bool, updates: bool) -> Vec<GradientSum<'_>> {
        let optimizers = std::iter::once(&self.optimizer).chain(self.groups.iter().map(|g| &g.optimizer));
        let recorded = Arc::new(OnceLock::new());
        let sums = optimizers.map(|o| {
            let optimizer: Option<&dyn Optimizer> = updates.then_some(&**o);
            GradientSum { divisor, adds, optimizer, recorded: recorded.clone() }
        });
        sums.collect()
    }

    /// The parameters with the optimisers that have them.
    fn groups_of<'a>(
        &self,
        g: &Graph,
        losses: Vec<Value>,
        sums: &'a [GradientSum<'_>],
    ) -> Result<Vec<ParameterGroup<'a>>> {
        let groups = sums.iter().zip(self.parameters_of_groups(g)?).map(|(optimizer, parameters)| {
            let (losses, parameters) = (losses.clone(), Some(parameters));
            ParameterGroup { losses, optimizer, parameters, may_rest: true }
        });
        Ok(groups.collect())
    }

    /// The trained parameters that no group has, then those of each group.
    fn parameters_of_groups(&self, g: &Graph) -> Result<Vec<Vec<Value>>> {
        let recording = g.recording();
        let mut parameters = vec![None; 1 + self.groups.len()];
        parameters[0] = Some(Vec::new());
        for (index, info) in recording.values.iter().enumerate() {
            let Some(StateKind::Weight { trained }) = info.source.state_kind() else { continue };
            let layer = recording.layers[info.layer].as_str();
            let weight =
                WeightInfo { name: info.name.as_deref().unwrap_or_default(), layer, shape: info.ty.shape };
            let group =
                self.groups.iter().position(|group| (group.which)(&weight)).map_or(0, |group| 1 + group);
            let parameters = parameters[group].get_or_insert_default();
            parameters.extend(trained.then(|| recording.value(index)));
        }
        let chosen = |(group, parameters): (usize, Option<_>)| {
            let expected = "it chooses a weight of the model";
            parameters.ok_or_else(|| Error::argument("parameter_group", format!("group {group}"), expected))
        };
        parameters.into_iter().enumerate().map(chosen).collect()
    }

    /// The tape of an evaluation of samples with so many weights each; a sample counts as its mask says, 1 or 0.
    pub fn evaluation(&self, rows: usize, weights: usize) -> Result<(Tape, StepValues)> {
        let Recording { mut graph, mut values, .. } = self.record(rows, Mode::Evaluation)?;
        let g = &mut graph;
        let targets = self.targets(g, &mut values)?;
        let mask = g.input("sample_mask", [rows]);
        (values.weights, values.mask) = (Some(weights_input(g, rows, weights)), Some(mask));
        if let Some(steps) = values.steps {
            values.steps = Some(g.mul(steps, g.reshape(mask, [rows, 1])?)?);
        }
        let losses = self.weighted_losses(g, targets, &values)?;
        // A sample that does not count may have any loss, an infinite one too.
        let losses = match values.steps {
            Some(_) => losses,
            None => g.select(mask, losses, g.scalar_constant(0.0))?,
        };
        let count = values.steps.map(|steps| g.sum(steps, &[], false)).transpose()?;
        let sum = g.sum(losses, &[], false)?;
        values.sums = Some(self.sums(g, "evaluation", (sum, count), targets, &values)?);
        Ok((g.forward(values.inputs.clone())?, values))
    }

    /// The tape of a prediction.
    pub fn prediction(&self, rows: usize) -> Result<(Tape, StepValues)> {
        let Recording { graph, values, .. } = self.record(rows, Mode::Evaluation)?;
        Ok((graph.forward([&[values.output], &values.inputs[..]].concat())?, values))
    }

    /// Gives each parameter that may be pruned its mask. A frozen one stays as it is anyway; its mask stays
    /// in the tape, for when it is trained again.
    fn mask(&self, g: &Graph, model: &[Value]) -> Result<()> {
        for &weight in model.iter().filter(|&&weight| self.masked.contains(&g.recording().describe(weight))) {
            let kind = StateKind::Mask { of: weight };
            let mask = g.keep(g.state_of_kind("mask", g.ty(weight)?, kind, Init::Ones))?;
            if g.recording().values[weight.index()].source.is_trained() {
                g.mask(weight, mask)?;
            }
        }
        Ok(())
    }

    /// The layers that these names stand for: those of the names, and what is nested in them.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that no layer has.
    pub fn layers<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<BTreeSet<String>> {
        let known: Vec<String> =
            self.record(2, Mode::Training)?.model.layers.into_iter().map(|layer| layer.name).collect();
        let mut chosen = BTreeSet::new();
        for name in names {
            let name = name.as_ref();
            if !known.iter().any(|layer| is_within(layer, name)) {
                return Err(Error::unknown("layer", name, known));
            }
            chosen.extend(known.iter().filter(|layer| is_within(layer, name)).cloned());
        }
        Ok(chosen)
    }

    /// The layers that the model itself freezes, those nested in others by themselves. The log is told what the
    /// program is to hear of the model.
    pub fn frozen_by_the_model(&self, rows: usize) -> Result<BTreeSet<String>> {
        let model = self.record_frozen(rows, Mode::Training, None)?.model;
        model.warn();
        Ok(model.layers.into_iter().filter(|layer| !layer.trainable).map(|layer| layer.name).collect())
    }

    fn record(&self, rows: usize, mode: Mode) -> Result<Recording> {
        self.record_frozen(rows, mode, Some(&self.frozen))
    }

    fn record_frozen(&self, rows: usize, mode: Mode, frozen: Option<&BTreeSet<String>>) -> Result<Recording> {
        let mut graph = Graph::on_behalf_of(self.at);
        let mut inputs = Vec::new();
        for (index, sample) in self.inputs.iter().enumerate() {
            let shape = Shape::new(&[&[rows], sample.dims()].concat())?;
            let name = if index == 0 { "input".to_owned() } else { format!("input_{index}") };
            inputs.push(match self.model.input_dtype(index) {
                DType::F32 | DType::F16 => graph.input(&name, shape),
                DType::U32 => graph.indices(&name, shape),
            });
        }
        let record = |g: &mut Graph| nn::record_frozen(self.model.as_ref(), g, &inputs, mode, frozen);
        let recorded = if self.mixed_precision { graph.autocast(record)? } else { record(&mut graph)? };
        let output = graph.cast(recorded.output()?, DType::F32)?;
        let steps = recorded.masks.first().copied().flatten();
        let declared = recorded.parameters.iter().chain(&recorded.states).copied();
        let is_weight = |&value: &Value| graph.recording().kind(value).is_some_and(StateKind::is_weight);
        let mut model: Vec<Value> = declared.filter(is_weight).collect();
        // In the order of their declaration, whether frozen or not.
        model.sort_unstable();
        let values = StepValues {
            inputs,
            targets: None,
            weights: None,
            mask: None,
            output,
            divisor: None,
            steps,
            model,
            sums: None,
        };
        Ok(Recording { graph, values, model: recorded })
    }

    fn targets(&self, g: &mut Graph, values: &mut StepValues) -> Result<Value> {
        let output = g.shape(values.output)?;
        g.composed("loss", || self.loss.check(output))?;
        let ty = self.loss.targets(output)?;
        Ok(*values.targets.insert(match ty.dtype {
            DType::U32 => g.labels("target", ty.shape),
            DType::F32 | DType::F16 => g.targets("target", ty.shape),
        }))
    }

    /// The weighted loss of each sample, or where the output has padding of each step, 0 there.
    fn weighted_losses(&self, g: &Graph, targets: Value, values: &StepValues) -> Result<Value> {
        let &StepValues { output, steps, weights, .. } = values;
        let shape = g.shape(output)?;
        let rows = shape.dims()[0];
        let by_step = weights.map_or(Ok(false), |weights| Ok(g.shape(weights)?.rank() == 2))?;
        let (losses, expected) = match steps {
            Some(steps) => (self.loss.record_steps(g, output, targets)?, g.shape(steps)?),
            None if by_step => {
                (self.loss.record_steps(g, output, targets)?, Shape::from([rows, shape.dims()[1]]))
            }
            None => (self.loss.record(g, output, targets)?, Shape::from([rows])),
        };
        let found = g.shape(losses)?;
        Error::agree(found == expected, "a loss gives a number for each sample", found, expected)?;
        let weights = match weights {
            Some(weights) if steps.is_some() && !by_step => Some(g.reshape(weights, [rows, 1])?),
            weights => weights,
        };
        let weighted = weights.map_or(Ok(losses), |weights| g.mul(losses, weights))?;
        match steps {
            Some(steps) => g.select(steps, weighted, g.scalar_constant(0.0)),
            None if by_step => g.mean(weighted, &[1], false),
            None => Ok(weighted),
        }
    }

    /// Adds the loss of a batch, for outputs with padding how many steps count, and its metrics to states that
    /// hold the sums of all batches. Metrics take the steps of outputs with padding for samples, and weighted ones
    /// those of all outputs that have some, whether this batch has weights of steps or not: the sums are the same.
    fn sums(
        &self,
        g: &Graph,
        stage: &str,
        (loss, count): (Value, Option<Value>),
        targets: Value,
        values: &StepValues,
    ) -> Result<Sums> {
        let &StepValues { mut output, mut mask, steps, mut weights, .. } = values;
        let mut targets = targets;
        let is_weighted = self.plain < self.metrics.len();
        let dims = |value: Value| g.shape_of(value).dims().to_vec();
        let may_have_weights_of_steps =
            dims(output).len() > 2 && dims(targets).get(..2) == dims(output).get(..2);
        if steps.is_some() || (is_weighted && may_have_weights_of_steps) {
            let time = g.shape(output)?.dims()[1];
            let each = |value: Value| {
                let shape = g.shape(value)?;
                let rows = shape.dims()[0];
                let of_steps = g.reshape(value, [rows, shape.numel() / rows])?;
                g.reshape(g.broadcast_to(of_steps, [rows, time])?, [rows * time])
            };
            mask = steps.or(mask).map(each).transpose()?;
            weights = weights.filter(|_| is_weighted).map(each).transpose()?;
            (output, targets) = (each_step(g, output)?, each_step(g, targets)?);
        }
        let by_weight = match (mask, weights) {
            (Some(mask), Some(weights)) if is_weighted => Some(g.mul(weights, mask)?),
            _ => weights.or(mask),
        };
        let mut parts = vec![g.reshape(loss, [1])?];
        if let Some(count) = count {
            parts.push(g.reshape(count, [1])?);
        }
        let mut metrics = Vec::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            let mask = if index < self.plain { mask } else { by_weight };
            let sums =
                metric.record(g, MetricInputs { output, targets, scores: self.loss.scores(), mask })?;
            let length = g.shape(sums)?.numel();
            parts.push(g.reshape(sums, [length])?);
            metrics.push((metric.clone(), length));
        }
        let all = if parts.len() == 1 { parts[0] } else { g.concat(&parts, 0)? };
        let ty = g.ty(all)?;
        let sum = |part| g.state_of_kind(&format!("{stage}.{part}"), ty, StateKind::Accumulator, Init::Zeros);
        let (total, carry) = (sum("total"), sum("carry"));
        g.accumulate(total, carry, all)?;
        Ok(Sums { total, carry, counted: count.is_some(), judged: g.shape(output)?, metrics })
    }
}

/// The input of the weights of a batch, so many for each sample.
fn weights_input(g: &mut Graph, rows: usize, weights: usize) -> Value {
    let name = "sample_weight";
    if weights > 1 { g.input(name, [rows, weights]) } else { g.input(name, [rows]) }
}

/// Whether a dotted name is `outer` or starts with it and a dot.
pub(crate) fn is_within(name: &str, outer: &str) -> bool {
    name.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
