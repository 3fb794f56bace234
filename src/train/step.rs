//! The training step: losses, gradients, updates, and what parameters are held to afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::Optimizer;
use super::groups::gather;
use crate::error::{Error, Result};
use crate::graph::{Average, Context, Graph, Node, Phase, Rule, Value};
use crate::tape::{Tape, differentiate};

/// Parameters that one optimiser moves to lower the sum of some losses: what
/// [`Graph::training_groups`] takes several of.
#[derive(Clone, Debug)]
#[must_use]
pub struct ParameterGroup<'a> {
    pub(super) losses: Vec<Value>,
    pub(super) optimizer: &'a dyn Optimizer,
    pub(super) parameters: Option<Vec<Value>>,
    /// Whether the losses may depend on none of them.
    pub(super) may_rest: bool,
}

impl<'a> ParameterGroup<'a> {
    /// All parameters that no other group names.
    pub fn new(losses: impl Into<Vec<Value>>, optimizer: &'a dyn Optimizer) -> Self {
        ParameterGroup { losses: losses.into(), optimizer, parameters: None, may_rest: false }
    }

    /// These parameters alone; none, where all are frozen.
    pub fn parameters(mut self, parameters: impl Into<Vec<Value>>) -> Self {
        self.parameters = Some(parameters.into());
        self
    }
}

impl Graph {
    pub(super) fn training_tape(&self, groups: &[ParameterGroup<'_>]) -> Result<Tape> {
        let found = self.group_gradients(groups)?;
        let (updates, norm) = self.record_updates(groups, &found)?;
        let mut losses: Vec<Value> = Vec::new();
        for &loss in groups.iter().flat_map(|group| &group.losses) {
            losses.extend((!losses.contains(&loss)).then_some(loss));
        }
        let outputs: Vec<Value> = losses.iter().copied().chain(norm).collect();
        let tape = Tape::collect(self, &outputs, &updates)?;
        Ok(tape.of_training(losses, found.into_iter().flatten().collect(), norm))
    }

    /// The tape of the updates of a training step alone, by optimisers that look at no gradient of it.
    #[track_caller]
    pub(super) fn updates_of_groups(&self, groups: &[ParameterGroup<'_>]) -> Result<Tape> {
        self.composed("training_step", || {
            let found = self.group_gradients(groups)?;
            Tape::of_updates(self, &self.record_updates(groups, &found)?.0)
        })
    }

    /// Records the updates of all groups, given their gradients, and what parameters are held to after them.
    /// Returns the operators, and the norm that gradients were clipped by.
    fn record_updates(
        &self,
        groups: &[ParameterGroup<'_>],
        gradients: &[Vec<(Value, Value)>],
    ) -> Result<(Vec<usize>, Option<Value>)> {
        let first_update = self.recording().nodes.len();
        let at = self.recording().context.at;
        let context = Context { phase: Phase::Update, at, ..Context::default() };
        self.noted(|data| data.gradient_norm.take());
        self.take_averages();
        // What training steps declared so far is left to their tapes.
        self.noted(|data| data.scalars.iter_mut().for_each(|scalar| scalar.retired |= scalar.of_step));
        for (group, gradients) in groups.iter().zip(gradients) {
            self.recording_as(context, || group.optimizer.record(self, gradients))?;
        }
        self.recording_as(context, || hold_to_rules(self, first_update))?;
        self.recording_as(context, || record_averages(self, &self.take_averages()))?;
        let norm = self.noted(|data| data.gradient_norm.take());
        Ok(((first_update..self.recording().nodes.len()).collect(), norm))
    }

    /// The parameters of each group with their gradients. Groups of the same losses are differentiated
    /// together.
    fn group_gradients(&self, groups: &[ParameterGroup<'_>]) -> Result<Vec<Vec<(Value, Value)>>> {
        let mut named = BTreeSet::new();
        for &parameter in groups.iter().flat_map(|group| group.parameters.iter().flatten()) {
            if !self.owns(parameter) {
                return Err(Error::ForeignValue);
            }
            let name = self.recording().describe(parameter);
            if !self.recording().values[parameter.index()].source.is_trained() {
                return Err(Error::NotWritable { name, reason: "only trained parameters are moved" });
            }
            Error::expect(named.insert(parameter), "parameters", format!("`{name}`"), "it is in two groups")?;
        }
        let rests = groups.iter().filter(|group| group.parameters.is_none()).count();
        let expected = "all groups but one name theirs";
        Error::expect(rests <= 1, "parameters", format!("{rests} groups of all others"), expected)?;
        let rest = || self.parameters().into_iter().filter(|p| !named.contains(p)).collect();
        let wrt: Vec<Vec<Value>> =
            groups.iter().map(|group| group.parameters.clone().unwrap_or_else(rest)).collect();
        let mut gradients: BTreeMap<Value, Option<Value>> = BTreeMap::new();
        for (first, group) in groups.iter().enumerate() {
            if groups[..first].iter().any(|before| before.losses == group.losses) {
                continue;
            }
            let alike = groups.iter().zip(&wrt).filter(|(other, _)| other.losses == group.losses);
            let all: Vec<Value> = alike.flat_map(|(_, wrt)| wrt.iter().copied()).collect();
            let found = differentiate(self, &group.losses, &all)?;
            gradients.extend(all.into_iter().zip(found));
        }
        let with_gradient = |parameter| Some((parameter, gradients[&parameter]?));
        let found: Vec<Vec<(Value, Value)>> =
            wrt.into_iter().map(|wrt| wrt.into_iter().filter_map(with_gradient).collect()).collect();
        let lacks = |(group, found): (&ParameterGroup<'_>, &Vec<_>)| {
            found.is_empty() && !group.may_rest && group.parameters.as_deref() != Some(&[])
        };
        if found.iter().all(Vec::is_empty) || groups.iter().zip(&found).any(lacks) {
            return Err(Error::NothingToTrain);
        }
        Ok(found)
    }

    /// Averages a parameter by what it holds at the end of a training step. Outside one, recorded at once.
    pub(super) fn average(&self, average: Average) -> Result<()> {
        if self.note_average(average) { Ok(()) } else { record_averages(self, &[average]) }
    }
}

/// Records what is noted about the parameters that the operators from `first_update` on overwrite: none
/// where gradients are only summed up for an update to come.
fn hold_to_rules(g: &Graph, first_update: usize) -> Result<()> {
    let moved: BTreeSet<Value> = {
        let recording = g.recording();
        let overwritten = recording.nodes[first_update..].iter().flat_map(Node::mutated);
        overwritten.map(|value| recording.root(value)).collect()
    };
    for Rule { parameter, op, others } in g.rules() {
        if !moved.contains(&parameter) {
            continue;
        }
        // What is read beside a parameter that is overwritten: the parameter itself as the step began.
        let as_begun = |other| {
            let same = g.recording().root(other) == g.recording().root(parameter);
            if same { g.copy(other) } else { Ok(other) }
        };
        let others = others.into_iter().map(as_begun);
        let inputs: Vec<Value> = std::iter::once(Ok(parameter)).chain(others).collect::<Result<_>>()?;
        g.apply_shared(op, &inputs)?;
    }
    Ok(())
}

/// Records averages, small ones together.
fn record_averages(g: &Graph, averages: &[Average]) -> Result<()> {
    for group in gather(averages, |a| Some(g.shape_of(a.parameter).numel())) {
        for alike in group.chunk_by(|a, b| a.decay == b.decay) {
            let pairs: Vec<(Value, Value)> = alike.iter().map(|a| (a.average, a.parameter)).collect();
            g.moving_averages(&pairs, alike[0].decay)?;
        }
    }
    Ok(())
}
