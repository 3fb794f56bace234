//! What a trainer records: a training step, an evaluation, a prediction.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

#[cfg(feature = "checkpoints")]
use serde::{Deserialize, Serialize};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, StateKind, Value};
use crate::nn::{self, Layer, Mode, RecordedLayer};
use crate::session::Session;
use crate::shape::Shape;
use crate::tape::Tape;
use crate::train::accumulation::{GradientSum, Part};
use crate::train::weights::is_within;
use crate::train::{LossFunction, MetricFunction, MetricInputs, Optimizer, ParameterGroup};

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
    /// The parameters whose updates a mask holds at zero where they are pruned.
    pub masked: Vec<String>,
    /// The full names of the layers that are frozen, those nested in others by themselves.
    pub frozen: BTreeSet<String>,
    /// Over how many batches gradients are summed before an update.
    pub accumulate: usize,
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
    /// Whether each sample has a weight.
    pub weighted: bool,
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
    /// The weight of each sample.
    pub weights: Option<Value>,
    /// In evaluation, whether a sample counts.
    pub mask: Option<Value>,
    pub output: Value,
    /// The parameters and states of the model: its weights.
    pub weights_of_model: Vec<Value>,
    pub sums: Option<Sums>,
}

/// The sums that a step adds to: the loss of all samples, then those of each metric.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub total: Value,
    pub carry: Value,
    /// How many numbers each metric has.
    pub lengths: Vec<usize>,
}

/// A graph with the model in it.
struct Recording {
    graph: Graph,
    inputs: Vec<Value>,
    output: Value,
    model: Vec<Value>,
    layers: Vec<RecordedLayer>,
}

impl Recipe {
    /// The tape of a training step.
    pub fn training(&self, variant: Variant) -> Result<(Tape, StepValues)> {
        let Recording { mut graph, inputs, output, model, .. } = self.record(variant.rows, Mode::Training)?;
        let g = &mut graph;
        let targets = self.targets(g, output)?;
        let weights = variant.weighted.then(|| g.input("sample_weight", [variant.rows]));
        let rows = self.loss_rows(g, output, targets, variant.rows)?;
        let rows = weights.map_or(Ok(rows), |w| g.mul(rows, w))?;
        let sum = g.sum(rows, &[], false)?;
        let loss = g.mul(sum, g.scalar_constant(1.0 / variant.rows as f32))?;
        let metrics = MetricInputs { output, targets, scores: self.loss.scores(), mask: None };
        let penalties = g.penalties();
        let mut total = sum;
        for &penalty in &penalties {
            total = g.add(total, g.mul(penalty, g.scalar_constant(variant.rows as f32))?)?;
        }
        let sums = self.sums(g, "training", total, metrics)?;
        // Weights that the loss does not depend on are weights all the same.
        model.iter().try_for_each(|&weight| g.keep(weight).map(|_| ()))?;
        self.mask(g, &model)?;
        let losses: Vec<Value> = std::iter::once(loss).chain(penalties).collect();
        let tape = self.step(g, losses, variant.updates)?;
        let (targets, sums) = (Some(targets), Some(sums));
        Ok((tape, StepValues { inputs, targets, weights, mask: None, output, weights_of_model: model, sums }))
    }

    /// The step of an update, or that sums up gradients for one.
    fn step(&self, g: &Graph, losses: Vec<Value>, updates: bool) -> Result<Tape> {
        let optimizers: Vec<&dyn Optimizer> = std::iter::once(&self.optimizer)
            .chain(self.groups.iter().map(|group| &group.optimizer))
            .map(Box::as_ref)
            .collect();
        let part = |&optimizer| if updates { Part::Update(optimizer) } else { Part::Add };
        let sums: Vec<GradientSum<'_>> = optimizers
            .iter()
            .map(|optimizer| GradientSum { batches: self.accumulate, part: part(optimizer) })
            .collect();
        let parameters = self.parameters_of_groups(g)?;
        let groups = parameters.into_iter().enumerate().map(|(index, parameters)| {
            let optimizer = if self.accumulate == 1 { optimizers[index] } else { &sums[index] };
            ParameterGroup::new(losses.clone(), optimizer).parameters(parameters).may_rest()
        });
        g.training_groups(&groups.collect::<Vec<_>>())
    }

    /// The trained parameters that no group has, then those of each group.
    fn parameters_of_groups(&self, g: &Graph) -> Result<Vec<Vec<Value>>> {
        let recording = g.recording();
        let mut parameters = vec![Vec::new(); 1 + self.groups.len()];
        let mut chosen = vec![false; parameters.len()];
        chosen[0] = true;
        for (index, info) in recording.values.iter().enumerate() {
            let Some(StateKind::Weight { trained }) = info.source.state_kind() else { continue };
            let layer = recording.layers[info.layer].as_str();
            let weight =
                WeightInfo { name: info.name.as_deref().unwrap_or_default(), layer, shape: info.ty.shape };
            let group =
                self.groups.iter().position(|group| (group.which)(&weight)).map_or(0, |group| 1 + group);
            chosen[group] = true;
            if trained {
                parameters[group].push(recording.value(index));
            }
        }
        if let Some(empty) = chosen.iter().position(|chosen| !chosen) {
            let (argument, value) = ("parameter_group", format!("group {empty}"));
            return Err(Error::Argument { argument, value, expected: "it chooses a weight of the model" });
        }
        Ok(parameters)
    }

    /// The tape of an evaluation; a sample counts as its mask says, 1 or 0.
    pub fn evaluation(&self, rows: usize) -> Result<(Tape, StepValues)> {
        let Recording { mut graph, inputs, output, model, .. } = self.record(rows, Mode::Evaluation)?;
        let g = &mut graph;
        let targets = self.targets(g, output)?;
        let mask = g.input("sample_mask", [rows]);
        let losses = self.loss_rows(g, output, targets, rows)?;
        let weights = g.input("sample_weight", [rows]);
        // A sample that does not count may have any loss, an infinite one too.
        let counted = g.select(mask, g.mul(losses, weights)?, g.scalar_constant(0.0))?;
        let sum = g.sum(counted, &[], false)?;
        let metrics = MetricInputs { output, targets, scores: self.loss.scores(), mask: Some(mask) };
        let sums = self.sums(g, "evaluation", sum, metrics)?;
        let tape = g.forward([])?;
        let (targets, weights, mask) = (Some(targets), Some(weights), Some(mask));
        let sums = Some(sums);
        Ok((tape, StepValues { inputs, targets, weights, mask, output, weights_of_model: model, sums }))
    }

    /// The tape of a prediction.
    pub fn prediction(&self, rows: usize) -> Result<(Tape, StepValues)> {
        let Recording { graph, inputs, output, model, .. } = self.record(rows, Mode::Evaluation)?;
        let tape = graph.forward([output])?;
        Ok((
            tape,
            StepValues {
                inputs,
                targets: None,
                weights: None,
                mask: None,
                output,
                weights_of_model: model,
                sums: None,
            },
        ))
    }

    /// Gives each parameter that may be pruned its mask. A frozen one stays as it is anyway; its mask stays
    /// in the tape, for when it is trained again.
    fn mask(&self, g: &Graph, model: &[Value]) -> Result<()> {
        for &weight in model {
            let name = g.recording().describe(weight);
            if !self.masked.contains(&name) {
                continue;
            }
            let kind = StateKind::Mask { of: weight };
            let mask = g.keep(g.state_of_kind("mask", g.ty(weight)?, kind, Init::Ones))?;
            let is_trained = g.recording().values[weight.index()].source.is_trained();
            if is_trained {
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
            self.record(2, Mode::Training)?.layers.into_iter().map(|layer| layer.name).collect();
        let mut chosen = BTreeSet::new();
        for name in names {
            let name = name.as_ref();
            let within = known.iter().filter(|layer| is_within(layer, name));
            let before = chosen.len();
            chosen.extend(within.cloned());
            if chosen.len() == before && !chosen.contains(name) {
                return Err(Error::Unknown { what: "layer", name: name.to_owned(), known });
            }
        }
        Ok(chosen)
    }

    /// The layers that the model itself freezes, those nested in others by themselves.
    pub fn frozen_by_the_model(&self, rows: usize) -> Result<BTreeSet<String>> {
        let layers = self.record_frozen(rows, Mode::Training, None)?.layers;
        Ok(layers.into_iter().filter(|layer| !layer.trainable).map(|layer| layer.name).collect())
    }

    fn record(&self, rows: usize, mode: Mode) -> Result<Recording> {
        self.record_frozen(rows, mode, Some(&self.frozen))
    }

    fn record_frozen(&self, rows: usize, mode: Mode, frozen: Option<&BTreeSet<String>>) -> Result<Recording> {
        let mut graph = Graph::on_behalf_of(self.at);
        let mut inputs = Vec::new();
        for (index, sample) in self.inputs.iter().enumerate() {
            let dims: Vec<usize> = std::iter::once(rows).chain(sample.dims().iter().copied()).collect();
            let shape = Shape::new(&dims)?;
            let name = if index == 0 { "input".to_owned() } else { format!("input_{index}") };
            inputs.push(match self.model.input_dtype(index) {
                DType::F32 => graph.input(&name, shape),
                DType::U32 => graph.indices(&name, shape),
            });
        }
        let recorded = nn::record_frozen(self.model.as_ref(), &mut graph, &inputs, mode, frozen)?;
        let output = recorded.output()?;
        let declared = recorded.parameters.into_iter().chain(recorded.states);
        let mut model: Vec<Value> = declared
            .filter(|&value| graph.recording().kind(value).is_some_and(StateKind::is_weight))
            .collect();
        // In the order of their declaration, whether frozen or not.
        model.sort_unstable();
        Ok(Recording { graph, inputs, output, model, layers: recorded.layers })
    }

    fn targets(&self, g: &mut Graph, output: Value) -> Result<Value> {
        let ty = self.loss.targets(g.shape(output)?)?;
        Ok(match ty.dtype {
            DType::U32 => g.labels("target", ty.shape),
            DType::F32 => g.targets("target", ty.shape),
        })
    }

    /// The loss of each sample.
    fn loss_rows(&self, g: &Graph, output: Value, targets: Value, rows: usize) -> Result<Value> {
        let losses = self.loss.record(g, output, targets)?;
        let (found, expected) = (g.shape(losses)?, Shape::from([rows]));
        if found == expected {
            return Ok(losses);
        }
        Err(Error::shape_mismatch("a loss gives a number for each sample", found, expected))
    }

    /// Adds the loss and the metrics of a batch to states that hold the sums of all batches.
    fn sums(&self, g: &Graph, stage: &str, loss: Value, inputs: MetricInputs) -> Result<Sums> {
        let mut parts = vec![g.reshape(loss, [1])?];
        let mut lengths = Vec::new();
        for metric in &self.metrics {
            let sums = metric.record(g, inputs)?;
            let length = g.shape(sums)?.numel();
            parts.push(g.reshape(sums, [length])?);
            lengths.push(length);
        }
        let all = if parts.len() == 1 { parts[0] } else { g.concat(&parts, 0)? };
        let ty = g.ty(all)?;
        let sum = |part| g.state_of_kind(&format!("{stage}.{part}"), ty, StateKind::Accumulator, Init::Zeros);
        let (total, carry) = (sum("total"), sum("carry"));
        g.accumulate(total, carry, all)?;
        Ok(Sums { total, carry, lengths })
    }
}
