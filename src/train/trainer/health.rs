//! A look at once at everything that a training hands on from step to step.

use std::collections::BTreeSet;

use super::Trainer;
use super::recipe::Step;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, StateKind, Value};
use crate::session::{NonFinite, Session, SessionOptions};

impl Trainer {
    /// Parameters and states of a training step; of all but the first step those that the first
    /// does not have.
    pub(super) fn own_values(&self, index: usize) -> Vec<Value> {
        let first = &self.training[..index.min(1)];
        let shared: BTreeSet<_> = first.iter().flat_map(|(_, step)| step.keys()).collect();
        let all = self.training[index].1.session.advanced();
        all.filter(|(key, _)| !shared.contains(key)).map(|(_, value)| value).collect()
    }

    /// What must stay finite from step to step, by the session it is in: weights, what layers carry on,
    /// and summed gradients. What an optimiser keeps may be infinite while the weights are not, such as
    /// the mean of large squares; where it is NaN, so are the weights that it moves in the same step.
    fn handed_on(&self) -> impl Iterator<Item = (&Session, Vec<Value>)> {
        let all = self.training.iter().enumerate().map(|(index, (_, Step { session, .. }))| {
            let is_handed_on = |kind: StateKind| {
                kind.is_weight() || matches!(kind, StateKind::Carried | StateKind::GradientSum { .. })
            };
            let mut values = self.own_values(index);
            values.retain(|&v| {
                session.kind(v).is_some_and(is_handed_on) && session.type_of(v).dtype == DType::F32
            });
            (session, values)
        });
        all.filter(|(_, values)| !values.is_empty())
    }

    /// Tapes that look at once at everything that is handed on: its norm is no number if a part of it is none.
    fn norms(&self) -> Result<Vec<(Session, Value)>> {
        let norm = |(of, values): (&Session, Vec<Value>)| {
            let g = Graph::new();
            let recording = of.tape().recording();
            let state = |value: Value| Some(g.state_like(recording.key(value)?, recording.ty(value)));
            let norm = g.global_norm(&values.into_iter().filter_map(state).collect::<Vec<_>>())?;
            let options = SessionOptions::new().share_parameters(of);
            Ok((g.forward([norm])?.session_with(self.device(), options)?, norm))
        };
        self.handed_on().map(norm).collect()
    }

    /// Whether the loss of the epoch so far and all that is handed on is finite, by tapes that read one
    /// number back; where the norm is not, by reading everything: that of large numbers may overflow.
    pub(super) fn is_sound(&mut self) -> Result<bool> {
        let main = self.main();
        let loss = main.session.read_f64(main.sums()?.total)?;
        if loss.first().is_some_and(|loss| !loss.is_finite()) {
            return Ok(false);
        }
        let tapes = match self.health.take() {
            Some(tapes) => tapes,
            None => self.norms()?,
        };
        for (session, norm) in self.health.insert(tapes) {
            session.replay()?;
            if !session.read_f64(*norm)?.iter().all(|norm| norm.is_finite()) {
                return Ok(self.held_fault()?.is_none());
            }
        }
        Ok(true)
    }

    /// The first of what is handed on that is not finite.
    pub(super) fn held_fault(&self) -> Result<Option<NonFinite>> {
        let values =
            |(session, values): (_, Vec<Value>)| values.into_iter().map(move |value| (session, value));
        let mut all = self.handed_on().flat_map(values);
        all.find_map(|(session, value): (&Session, _)| session.non_finite_in(value, None).transpose())
            .transpose()
    }
}
