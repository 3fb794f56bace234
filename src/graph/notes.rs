//! What is noted about parameters and states while a graph is recorded.

use std::panic::Location;
use std::sync::Arc;

use super::{Average, Graph, Init, Phase, Rule, Source, StateKey, StateKind, Value, ValueInfo};
use crate::error::Result;
use crate::shape::TensorType;

impl Graph {
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

    /// A state that is what another graph calls by this key, to be shared with it.
    pub(crate) fn state_like(&self, key: &Arc<StateKey>, ty: TensorType) -> Value {
        let source = Source::State(StateKind::Own, Init::Zeros);
        let (name, key) = (Some(key.to_string()), Some(key.clone()));
        self.push_value(ValueInfo { name, key, ..ValueInfo::unnamed(ty, source) })
    }

    /// Says that a state of the program's own is of another kind.
    pub(crate) fn note_kind(&self, state: Value, kind: StateKind) {
        if let Source::State(own @ StateKind::Own, _) =
            &mut self.data.borrow_mut().values[state.index()].source
        {
            *own = kind;
        }
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
        let context = self.data.get_mut().context.called_at(at);
        self.within(context, body)
    }
}
