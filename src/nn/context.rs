use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::Location;

use super::layer::{Layer, LayerSpec, Mode, Recorded, RecordedLayer};
use super::{Constraint, Penalty};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, StateKind, Value};
use crate::ops::expect_dtype;
use crate::shape::{Shape, TensorType};

/// Records a model (a [`Sequential`](super::Sequential), a [`Model`](super::Model), any layer made
/// of others) with all its inputs and outputs, and tells what each layer declared. The model itself
/// adds nothing to the names. The log is warned of layers at which the mask of [padded
/// sequences](crate::nn#padded-sequences) ends.
///
/// # Errors
/// What a layer refuses, with the layer's name and line. The layers before it are recorded by then.
#[track_caller]
pub fn record(model: &dyn Layer, g: &mut Graph, inputs: &[Value], mode: Mode) -> Result<Recorded> {
    let recorded = record_frozen(model, g, inputs, mode, None)?;
    recorded.warn();
    Ok(recorded)
}

/// [`record`] with the layers of these full names frozen and all others trained, whatever they say
/// themselves: each by itself, not what is nested in it.
#[track_caller]
pub(crate) fn record_frozen(
    model: &dyn Layer,
    g: &mut Graph,
    inputs: &[Value],
    mode: Mode,
    frozen: Option<&BTreeSet<String>>,
) -> Result<Recorded> {
    let at = Location::caller();
    g.recorded_at(at, |g| {
        let frozen = frozen.cloned();
        let mut log = Log { mode, frozen, ..Log::default() };
        let recorded = LayerContext::new(g, &mut log, None).record(model, inputs)?;
        recorded.states.iter().for_each(|&state| g.note_kind(state, StateKind::Statistic));
        Ok(Recorded { layers: log.layers, warnings: log.warnings, ..recorded })
    })
}

/// What [`Layer::record`] works with: the graph, the mode, and the layer's names.
#[derive(Debug)]
pub struct LayerContext<'a> {
    graph: &'a mut Graph,
    log: &'a mut Log,
    /// The layer among those of the log; none for the model itself.
    layer: Option<usize>,
    /// Those of the layers it is made of.
    names: BTreeSet<String>,
    /// The shared layers among those that were named.
    shared: BTreeSet<u32>,
    /// A weight of an earlier call with the shape that this call needs.
    misfit: Option<(Value, Shape)>,
    /// Of a layer that works step by step, which steps of its inputs count.
    steps: Option<Value>,
    /// Whether the layer has asked for a mask.
    asked: Cell<bool>,
    /// The operators among those of the graph that are not the layer's own: those of the layers it is made of, and of
    /// penalties.
    others: Vec<Range<usize>>,
}

/// What all layers of a recording are told, and what is known of those recorded so far.
#[derive(Debug, Default)]
struct Log {
    mode: Mode,
    /// The full names of frozen layers; `None` where the layers say it themselves.
    frozen: Option<BTreeSet<String>>,
    layers: Vec<RecordedLayer>,
    /// The shared ones.
    shared: BTreeMap<u32, usize>,
    /// What states of the layers will be after the calls so far.
    carried: BTreeMap<Value, Value>,
    /// What the program is to hear of.
    warnings: Vec<String>,
}

impl<'a> LayerContext<'a> {
    fn new(graph: &'a mut Graph, log: &'a mut Log, layer: Option<usize>) -> Self {
        let (names, shared) = (BTreeSet::new(), BTreeSet::new());
        let (asked, others) = (Cell::new(false), Vec::new());
        LayerContext { graph, log, layer, names, shared, misfit: None, steps: None, asked, others }
    }

    /// Records the layer itself and tells what that made and declared.
    fn record(&mut self, layer: &dyn Layer, inputs: &[Value]) -> Result<Recorded> {
        let held = |graph: &Graph| (graph.recording().values.len(), nodes_of(graph));
        let before = held(self.graph);
        if layer.keeps_steps() {
            self.steps = self.joined_mask(inputs)?;
        }
        let outputs = layer.record_all(self, inputs);
        let outputs = self.graph.located(layer.kind(), self.fits(inputs).and(outputs))?;
        let masks: Vec<_> = outputs.iter().map(|&output| self.mask_within(output)).collect();
        for (&output, mask) in outputs.iter().zip(&masks) {
            self.note_mask(output, *mask);
        }
        let after = held(self.graph);
        if masks.iter().all(Option::is_none) && self.loses_mask(before.1..after.1) {
            self.warn_of_lost_mask(layer.kind());
        }
        let recording = self.graph.recording();
        let values = (before.0..after.0).map(|index| recording.value(index));
        let declared = values.filter(|&value| recording.kind(value).is_some());
        let (parameters, states) = declared.partition(|v| recording.values[v.index()].source.is_trained());
        let (layers, warnings) = (Vec::new(), Vec::new());
        Ok(Recorded { outputs, masks, parameters, states, layers, warnings, nodes: before.1..after.1 })
    }

    /// The layer as it was recorded by earlier calls.
    fn earlier(&self) -> Option<&RecordedLayer> {
        self.layer.map(|layer| &self.log.layers[layer]).filter(|layer| layer.calls() > 0)
    }

    /// What earlier calls of the layer declared under a full name.
    fn declared(&mut self, name: &str, shape: Shape) -> Option<Value> {
        let layer = self.earlier()?;
        let recording = self.graph.recording();
        let is_it = |v: &&Value| recording.values[v.index()].name.as_deref() == Some(name);
        let value = *layer.parameters.iter().chain(&layer.states).find(is_it)?;
        if recording.ty(value).shape != shape {
            self.misfit.get_or_insert((value, shape));
        }
        Some(value)
    }

    /// Whether penalties and constraints of a value are recorded: in training, unless the layer is frozen
    /// or an earlier call of it has declared the value.
    fn restrains(&self, value: Value) -> bool {
        let declares =
            |layer: &RecordedLayer| layer.parameters.contains(&value) || layer.states.contains(&value);
        self.log.mode == Mode::Training && self.is_trainable() && !self.earlier().is_some_and(declares)
    }

    /// The graph to record into.
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// What the model is recorded for.
    pub fn mode(&self) -> Mode {
        self.log.mode
    }

    /// Whether the layer's parameters are trained; not for a frozen layer.
    pub fn is_trainable(&self) -> bool {
        self.layer.is_none_or(|layer| self.log.layers[layer].trainable)
    }

    /// The layer's full name.
    pub fn name(&self) -> String {
        self.graph.layer_name()
    }

    /// The only input of a layer that takes one.
    ///
    /// # Errors
    /// [`Error::Argument`] with the number of inputs there are.
    pub fn one(&self, inputs: &[Value]) -> Result<Value> {
        match inputs {
            &[x] => Ok(x),
            _ => Err(Error::argument("inputs", inputs.len(), "this layer takes one")),
        }
    }

    /// What `record` makes of `x` in training; `x` itself in evaluation.
    pub(super) fn in_training(
        &self,
        x: Value,
        record: impl FnOnce(&Graph) -> Result<Value>,
    ) -> Result<Value> {
        match self.log.mode {
            Mode::Training => record(self.graph),
            Mode::Evaluation => Ok(x),
        }
    }

    /// Declares a parameter: `weight` of the layer `conv2d` is called `conv2d.weight`. That of a
    /// frozen layer is not trained.
    #[track_caller]
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Value {
        let kind = StateKind::Weight { trained: self.is_trainable() };
        self.state_of_kind(name, shape.into(), kind, init)
    }

    /// Declares a state that is not trained: the tape itself advances it, through
    /// [`Graph::assign`]. Summaries count its elements as parameters that are not trained.
    #[track_caller]
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Value {
        self.state_of_kind(name, shape.into(), StateKind::Own, init)
    }

    #[track_caller]
    fn state_of_kind(&mut self, name: &str, shape: Shape, kind: StateKind, init: Init) -> Value {
        let name = self.graph.name_within(name);
        match self.declared(&name, shape) {
            Some(state) => state,
            None => self.graph.state_of_kind(&name, TensorType::f32(shape), kind, init),
        }
    }

    /// A state that only goes from one replay to the next, such as that of a stateful recurrent layer:
    /// checkpoints of a training hold it, files of weights do not.
    #[track_caller]
    pub fn carried_state(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Value {
        let state = self.state(name, shape, init);
        self.graph.note_kind(state, StateKind::Carried);
        state
    }

    /// What a carried state holds after the calls of the layer so far.
    pub(super) fn carried(&self, state: Value) -> Value {
        self.log.carried.get(&state).copied().unwrap_or(state)
    }

    /// Lets a carried state have this value from now on, without a gradient.
    pub(super) fn carry(&mut self, state: Value, value: Value) -> Result<()> {
        self.graph.assign(state, value)?;
        let value = self.graph.stop_gradient(value)?;
        self.log.carried.insert(state, value);
        Ok(())
    }

    /// Adds a penalty of a parameter, or of anything the layer computes, to
    /// [`Graph::penalties`]: in training, and unless the layer is frozen. That of a parameter of a
    /// [shared](Layer::shared) layer counts once. Of a sequence with a [mask](LayerContext::mask), padding is
    /// not penalised.
    ///
    /// # Errors
    /// As [`Graph::penalize`].
    #[track_caller]
    pub fn penalize(&mut self, value: Value, penalty: Penalty) -> Result<()> {
        if !self.restrains(value) {
            return Ok(());
        }
        let before = nodes_of(self.graph);
        let value = match self.mask_within(value) {
            Some(mask) => {
                self.graph.composed("penalize", || without_padding(self.graph, value, mask, 0.0))?
            }
            None => value,
        };
        self.graph.penalize(value, penalty)?;
        self.others.push(before..nodes_of(self.graph));
        Ok(())
    }

    /// Holds a parameter to a constraint after every update ([`Graph::constrain`]): in training, and
    /// unless the layer is frozen.
    ///
    /// # Errors
    /// As [`Graph::constrain`].
    #[track_caller]
    pub fn constrain(&mut self, parameter: Value, constraint: Constraint, axes: &[isize]) -> Result<()> {
        let view = self.graph.shape(parameter)?;
        self.constrain_view(parameter, constraint, view, axes)
    }

    /// [`constrain`](LayerContext::constrain) with the axes of another shape of as many elements.
    #[track_caller]
    pub(super) fn constrain_view(
        &mut self,
        parameter: Value,
        constraint: Constraint,
        view: Shape,
        axes: &[isize],
    ) -> Result<()> {
        if self.restrains(parameter) {
            self.graph.constrain_view(parameter, constraint, view, axes)?;
        }
        Ok(())
    }

    /// Says which steps of `sequence` `[batch, time, ..]` count: `mask`, f32 `[batch, time]`, is 1 for those and
    /// 0 for padding, wherever it stands. Layers that treat each step by itself pass the mask on
    /// ([`Layer::keeps_steps`]), in this model and in those that the graph records later; recurrent layers and
    /// poolings over time leave padding out; and so do the loss, the metrics and the
    /// [penalties](LayerContext::penalize) of a trainer.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for a mask of another shape; [`Error::DTypeMismatch`]; [`Error::ForeignValue`].
    pub fn set_mask(&mut self, sequence: Value, mask: Value) -> Result<()> {
        let (shape, found) = (self.graph.shape(sequence)?, self.graph.ty(mask)?);
        let mask = self.graph.widened(mask)?;
        let [batch, time] = steps_of(shape)?;
        let what = "a mask has a number for each step of the sequences";
        Error::agree(found.shape == Shape::from([batch, time]), what, found.shape, shape)?;
        expect_dtype("the mask", self.graph.type_of(mask), DType::F32)?;
        self.note_mask(sequence, Some(mask));
        Ok(())
    }

    /// [`set_mask`](LayerContext::set_mask) for sequences with all padding behind them: `lengths`, u32
    /// `[batch]`, from 0 to `time`, are the numbers of steps that count.
    ///
    /// # Errors
    /// As [`set_mask`](LayerContext::set_mask).
    pub fn set_lengths(&mut self, sequence: Value, lengths: Value) -> Result<()> {
        let (shape, found) = (self.graph.shape(sequence)?, self.graph.ty(lengths)?);
        let [batch, time] = steps_of(shape)?;
        Error::agree(found.shape.dims() == [batch], "lengths and sequences", found.shape, shape)?;
        let mask = self.graph.sequence_mask(lengths, time)?;
        self.set_mask(sequence, mask)
    }

    /// Which steps of a sequence count, f32 `[batch, time]`, if a layer has said so: an embedding with a padding
    /// index, a [`Masking`](super::Masking), a [`SequenceLengths`](super::SequenceLengths).
    pub fn mask(&self, sequence: Value) -> Option<Value> {
        self.asked.set(true);
        self.known_mask(sequence)
    }

    fn known_mask(&self, sequence: Value) -> Option<Value> {
        self.graph.recording().masks.get(&sequence).copied()
    }

    /// Whether the layer, whose operators are among these, has read masked sequences as if there were no padding:
    /// by operators of its own, and without asking for the mask.
    fn loses_mask(&self, nodes: Range<usize>) -> bool {
        let recording = self.graph.recording();
        let is_own = |node: &usize| !self.others.iter().any(|others| others.contains(node));
        let reads =
            |node: usize| recording.nodes[node].inputs.iter().any(|x| recording.masks.contains_key(x));
        !self.asked.get() && nodes.filter(is_own).any(reads)
    }

    fn warn_of_lost_mask(&mut self, kind: &str) {
        let name = if self.layer.is_some() { self.name() } else { kind.to_owned() };
        let at = self.graph.recording().context.at.map_or_else(String::new, |at| format!(" at {at}"));
        let warning = format!(
            "the mask of padded sequences ends at the layer `{name}`{at}: what stands at padding goes into its \
             result, and by it into the loss and the metrics; pool over time or take the last state of a recurrent \
             layer before it, keep outputs [batch, time, ..] as they are, or let a layer of the program's own say \
             by `Layer::keeps_steps` or `LayerContext::mask` what it makes of padding"
        );
        if !self.log.warnings.contains(&warning) {
            self.log.warnings.push(warning);
        }
    }

    fn note_mask(&mut self, sequence: Value, mask: Option<Value>) {
        self.graph.noted(|data| mask.map(|mask| data.masks.insert(sequence, mask)));
    }

    /// The mask of something that the layer computes: its own, or where the layer works step by step that of
    /// the inputs.
    fn mask_within(&self, value: Value) -> Option<Value> {
        let shape = |value: Value| self.graph.shape_of(value);
        let fits = |&mask: &Value| shape(value).dims().starts_with(shape(mask).dims());
        self.known_mask(value).or_else(|| self.steps.filter(fits))
    }

    /// Which steps count in any of the inputs that have a mask.
    fn joined_mask(&mut self, inputs: &[Value]) -> Result<Option<Value>> {
        let mut masks: Vec<Value> = inputs.iter().filter_map(|&input| self.known_mask(input)).collect();
        masks.sort_unstable();
        masks.dedup();
        let Some((&first, others)) = masks.split_first() else { return Ok(None) };
        let shape = |mask: Value| self.graph.shape_of(mask);
        // Inputs of other shapes are the layer's to refuse.
        let others = others.iter().filter(|&&mask| shape(mask) == shape(first));
        others.copied().try_fold(first, |joined, mask| self.graph.maximum(joined, mask)).map(Some)
    }

    /// Records a layer that this one is made of, under this layer's name, and returns its first
    /// output.
    ///
    /// # Errors
    /// What that layer refuses, with its name; [`Error::DuplicateName`] for a name given twice.
    #[track_caller]
    pub fn add(&mut self, layer: impl Into<LayerSpec>, inputs: impl Into<Vec<Value>>) -> Result<Value> {
        self.add_all(layer, inputs).map(|outputs| outputs[0])
    }

    /// [`add`](LayerContext::add) for a layer of several outputs.
    ///
    /// # Errors
    /// As [`add`](LayerContext::add).
    #[track_caller]
    pub fn add_all(
        &mut self,
        layer: impl Into<LayerSpec>,
        inputs: impl Into<Vec<Value>>,
    ) -> Result<Vec<Value>> {
        let spec = layer.into().added_at(Location::caller());
        self.add_spec(&spec, inputs.into())
    }

    /// Records a layer of this one; there are as many outputs as it said, at least one.
    pub(super) fn add_spec(&mut self, spec: &LayerSpec, inputs: Vec<Value>) -> Result<Vec<Value>> {
        let kind = spec.layer().kind();
        let layer = match self.place(spec, &inputs) {
            Ok(layer) => layer,
            Err(error) => {
                let name = self.graph.name_within(kind);
                return self.graph.layer_at(name, spec.at, |g| g.located(kind, Err(error)));
            }
        };
        let log = &mut *self.log;
        let others = &mut self.others;
        self.graph.layer_at(log.layers[layer].name.clone(), spec.at, |graph| {
            let made = LayerContext::new(graph, log, Some(layer)).record(spec.layer(), &inputs)?;
            graph.located(kind, expect_outputs(spec.layer().outputs(), made.outputs.len()))?;
            let entry = &mut log.layers[layer];
            if entry.calls.is_empty() {
                entry.outputs.clone_from(&made.outputs);
            }
            entry.parameters.extend(made.parameters);
            entry.states.extend(made.states);
            others.push(made.nodes.clone());
            entry.calls.push(made.nodes);
            log.shared.extend(spec.shared.map(|id| (id, layer)));
            Ok(made.outputs)
        })
    }

    /// Where a layer of this one is in the log: anew, or as an earlier call recorded it.
    fn place(&mut self, spec: &LayerSpec, inputs: &[Value]) -> Result<usize> {
        let again = self.earlier().is_some();
        if let Some((id, &layer)) = spec.shared.and_then(|id| Some((id, self.log.shared.get(&id)?))) {
            // Where this layer is called again, the names of others follow as they did at first.
            if again && self.log.layers[layer].parent == self.layer && self.shared.insert(id) {
                self.child_name(spec)?;
            }
            return Ok(layer);
        }
        self.shared.extend(spec.shared);
        let name = self.child_name(spec)?;
        let name = self.graph.name_within(&name);
        let mut layers = self.log.layers.iter();
        if again && let Some(known) = layers.position(|l| l.parent == self.layer && l.name == name) {
            return Ok(known);
        }
        let parent = self.layer.map(|parent| &self.log.layers[parent]);
        let trainable = match &self.log.frozen {
            Some(frozen) => !frozen.contains(&name),
            None => spec.trainable && parent.is_none_or(|parent| parent.trainable),
        };
        let depth = parent.map_or(0, |parent| parent.depth + 1);
        self.log.layers.push(RecordedLayer {
            name,
            kind: spec.layer().kind(),
            depth,
            inputs: inputs.to_vec(),
            outputs: Vec::new(),
            parameters: Vec::new(),
            states: Vec::new(),
            calls: Vec::new(),
            parent: self.layer,
            trainable,
        });
        Ok(self.log.layers.len() - 1)
    }

    /// Refuses inputs that need weights of other shapes than those of the first call.
    fn fits(&self, inputs: &[Value]) -> Result<()> {
        let (Some((weight, needed)), Some(first)) = (self.misfit, self.earlier()) else { return Ok(()) };
        let recording = self.graph.recording();
        let shape = |value: &Value| recording.ty(*value).shape;
        let pairs = first.inputs.iter().zip(inputs).map(|(a, b)| [shape(a), shape(b)]);
        let inputs = pairs.reduce(|kept, next| if kept[0] == kept[1] { next } else { kept });
        Err(Error::SharedWeight {
            name: recording.describe(weight),
            inputs: Box::new(inputs.unwrap_or([Shape::scalar(); 2])),
            weights: Box::new([recording.ty(weight).shape, needed]),
        })
    }

    /// The name of a layer of this one.
    fn child_name(&mut self, spec: &LayerSpec) -> Result<String> {
        let kind = spec.layer().kind();
        let name = match &spec.name {
            Some(name) if name.is_empty() || name.contains('.') => {
                let (value, expected) = (format!("`{name}`"), "a layer's name is not empty and has no dots");
                return Err(Error::argument("name", value, expected));
            }
            Some(name) if self.names.contains(name) => {
                let cure = "; to call one layer several times with the same weights, make it `shared()` and \
                            add `&layer` each time";
                return Err(Error::DuplicateName { name: name.clone(), cure });
            }
            Some(name) => name.clone(),
            None => {
                let numbered = (1..).map(|count| format!("{kind}_{count}"));
                let mut names = std::iter::once(kind.to_owned()).chain(numbered);
                names.find(|name| !self.names.contains(name)).unwrap_or_default()
            }
        };
        self.names.insert(name.clone());
        Ok(name)
    }
}

/// How many operators a graph has so far.
fn nodes_of(graph: &Graph) -> usize {
    graph.recording().nodes.len()
}

/// Batch and time of sequences.
fn steps_of(shape: Shape) -> Result<[usize; 2]> {
    match *shape.dims() {
        [batch, time, ..] => Ok([batch, time]),
        _ => Err(Error::Rank { shape, expected: "at least 2 ([batch, time, ..])" }),
    }
}

/// The sequence `[batch, time, ..]` with `filler` wherever its mask `[batch, time]` has padding.
pub(super) fn without_padding(g: &Graph, sequence: Value, mask: Value, filler: f32) -> Result<Value> {
    g.select(over_features(g, mask, g.shape(sequence)?)?, sequence, g.scalar_constant(filler))
}

/// The mask `[batch, time]` for each element of sequences of this shape.
pub(super) fn each_element(g: &Graph, mask: Value, sequences: Shape) -> Result<Value> {
    g.broadcast_to(over_features(g, mask, sequences)?, sequences)
}

/// The mask `[batch, time, 1, ..]` beside sequences of this shape.
fn over_features(g: &Graph, mask: Value, sequences: Shape) -> Result<Value> {
    let dims = sequences.dims().iter().enumerate().map(|(i, &n)| if i < 2 { n } else { 1 });
    g.reshape(mask, Shape::new(&dims.collect::<Vec<_>>())?)
}

fn expect_outputs(expected: usize, found: usize) -> Result<()> {
    let value = format!("{found} where {expected} were announced");
    Error::expect(found == expected.max(1), "outputs", value, "a layer makes as many as it announces")
}
