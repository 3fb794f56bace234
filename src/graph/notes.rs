//! What is noted about parameters and states while a graph is recorded.

use std::panic::Location;

use super::{Average, Graph, Phase, Recording, Rule, Source, Value};
use crate::error::Result;

impl Graph {
    /// Adds a term of the loss.
    pub(crate) fn note_penalty(&self, term: Value) {
        self.data.borrow_mut().penalties.push(term);
    }

    /// The penalties noted by [`penalize`](Graph::penalize) and by layers that have one, scalars in the
    /// order they were recorded. A training step adds them to its loss where the program names them:
    /// `training_step([&[loss], &g.penalties()[..]].concat(), ..)`.
    pub fn penalties(&self) -> Vec<Value> {
        self.data.borrow().penalties.clone()
    }

    /// Adds a rule that a parameter is held to after each update.
    pub(crate) fn note_rule(&self, rule: Rule) {
        self.data.borrow_mut().rules.push(rule);
    }

    /// Notes an average to be recorded when everything that moves the parameter in a training step is,
    /// constraints and masks too. False outside of one.
    pub(crate) fn note_average(&self, average: Average) -> bool {
        let data = &mut *self.data.borrow_mut();
        let in_step = data.context.phase == Phase::Update;
        data.averages.extend(in_step.then_some(average));
        in_step
    }

    /// The averages noted since the last call.
    pub(crate) fn take_averages(&self) -> Vec<Average> {
        std::mem::take(&mut self.data.borrow_mut().averages)
    }

    /// The rules noted, in their order.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.data.borrow().rules.clone()
    }

    /// Says that a state of a layer is none of its model's weights.
    pub(crate) fn note_carried(&self, state: Value) {
        self.data.borrow_mut().carried.push(state);
    }

    /// Takes the states that a model declared for weights, but for those it only carries along.
    pub(crate) fn note_model_states(&self, states: &[Value]) {
        let data = &mut *self.data.borrow_mut();
        data.model_states.extend(states.iter().filter(|state| !data.carried.contains(state)));
    }

    /// Attributes what this crate records in `body` to the caller's line, and puts `op`, the layer and
    /// the line on an error that has none.
    #[track_caller]
    pub(crate) fn composed<T>(&self, op: &'static str, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let context = self.data.borrow().context.called_at(Location::caller());
        let result = self.recording_as(context, body);
        self.located(op, result)
    }

    /// Attributes what this crate records in `body` to a line.
    pub(crate) fn recorded_at<T>(
        &mut self,
        at: &'static Location<'static>,
        body: impl FnOnce(&mut Graph) -> T,
    ) -> T {
        let context = self.data.borrow().context.called_at(at);
        let outer = std::mem::replace(&mut self.data.borrow_mut().context, context);
        let result = body(self);
        self.data.borrow_mut().context = outer;
        result
    }
}

impl Recording {
    /// Whether a value is a weight of a model: a parameter, or a state that a model declared.
    pub(crate) fn is_weight(&self, value: Value) -> bool {
        let is_parameter = matches!(self.values[value.index()].source, Source::Parameter(_));
        is_parameter || self.model_states.contains(&value)
    }

    /// Whether a value is a state that a layer carries from replay to replay.
    pub(crate) fn is_carried(&self, value: Value) -> bool {
        self.carried.contains(&value)
    }
}
