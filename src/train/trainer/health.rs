use std::collections::BTreeSet;

use super::Trainer;
use super::recipe::{Step, Variant};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, StateKind, Value};
use crate::session::{NonFinite, Session, SessionOptions};

/// Tapes that look at once at everything that a training hands on from step to step.
pub(super) struct Health {
    /// One for each training step with something of its own, and its norm.
    tapes: Vec<(Session, Value)>,
    /// The training steps there were.
    variants: Vec<Variant>,
}

impl Health {
    /// Over what the training sessions have now.
    pub fn new(trainer: &Trainer) -> Result<Health> {
        let mut tapes = Vec::new();
        for (of, values) in trainer.handed_on() {
            let g = Graph::new();
            let recording = of.tape().recording();
            let state = |value: Value| Some(g.state_like(recording.key(value)?, recording.ty(value)));
            let norm = g.global_norm(&values.into_iter().filter_map(state).collect::<Vec<_>>())?;
            let options = SessionOptions::new().share_parameters(of);
            tapes.push((g.forward([norm])?.session_with(trainer.device(), options)?, norm));
        }
        Ok(Health { tapes, variants: trainer.variants() })
    }

    /// Whether the norm over all of it is a number: it is none if a part of it is none.
    pub fn is_finite(&mut self) -> Result<bool> {
        for (session, norm) in &mut self.tapes {
            session.replay()?;
            if !session.read_f64(*norm)?.iter().all(|norm| norm.is_finite()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Trainer {
    fn variants(&self) -> Vec<Variant> {
        self.training.iter().map(|&(variant, _)| variant).collect()
    }

    /// Parameters and states of a training step; of all but the first step those that the first
    /// does not have.
    pub(super) fn own_values(&self, index: usize) -> Vec<Value> {
        let main = self.session();
        if index == 0 {
            return main.advanced().map(|(_, value)| value).collect();
        }
        let shared: BTreeSet<_> = main.advanced().map(|(key, _)| key).collect();
        let all = self.training[index].1.session.advanced();
        all.filter(|(key, _)| !shared.contains(key)).map(|(_, value)| value).collect()
    }

    /// What must stay finite from step to step, by the session it is in: weights, what layers carry on,
    /// and summed gradients. What an optimiser keeps may be infinite while the weights are not, such as
    /// the mean of large squares; where it is NaN, so are the weights that it moves in the same step.
    fn handed_on(&self) -> Vec<(&Session, Vec<Value>)> {
        let is_handed_on = |kind: StateKind| {
            kind.is_weight() || matches!(kind, StateKind::Carried | StateKind::GradientSum { .. })
        };
        let mut all = Vec::new();
        for (index, (_, Step { session, .. })) in self.training.iter().enumerate() {
            let mut values = self.own_values(index);
            values.retain(|&v| {
                session.kind(v).is_some_and(is_handed_on) && session.type_of(v).dtype == DType::F32
            });
            if !values.is_empty() {
                all.push((session, values));
            }
        }
        all
    }

    /// Whether the loss of the epoch so far and all that is handed on is finite, by tapes that read one
    /// number back; where the norm is not, by reading everything: that of large numbers may overflow.
    pub(super) fn is_sound(&mut self) -> Result<bool> {
        if !self.loss_is_finite()? {
            return Ok(false);
        }
        let variants = self.variants();
        if self.health.as_ref().is_none_or(|health| health.variants != variants) {
            self.health = Some(Health::new(self)?);
        }
        let looks_sound = self.health.as_mut().map_or(Ok(false), Health::is_finite)?;
        Ok(looks_sound || self.held_fault()?.is_none())
    }

    /// The first of what is handed on that is not finite.
    pub(super) fn held_fault(&self) -> Result<Option<NonFinite>> {
        for (session, values) in self.handed_on() {
            for value in values {
                let found = session.non_finite_in(value, None)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }
}
