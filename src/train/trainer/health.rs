use super::Trainer;
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, Init, Value};
use crate::session::{NonFinite, Session, SessionOptions};
use crate::train::accumulation::SLOT;

/// A tape that looks at once at everything that a training hands on from step to step.
pub(super) struct Health {
    session: Session,
    norm: Value,
}

impl Health {
    /// Over what the training session has now.
    pub fn new(trainer: &Trainer) -> Result<Health> {
        let main = trainer.session();
        let g = Graph::new();
        let state = |value: Value| g.state(&main.name_of(value), main.shape_of(value), Init::Zeros);
        let states: Vec<Value> = trainer.handed_on().into_iter().map(state).collect();
        let norm = g.global_norm(&states)?;
        let options = SessionOptions::new().share_parameters(main);
        let session = g.forward([norm])?.session_with(trainer.device(), options)?;
        Ok(Health { session, norm })
    }

    /// The norm over all of it: NaN or infinite if a part of it is.
    pub fn norm(&mut self) -> Result<f64> {
        self.session.replay()?;
        Ok(self.session.read_f64(self.norm)?.first().copied().unwrap_or(f64::NAN))
    }
}

impl Trainer {
    /// What must stay finite from step to step: weights, what layers carry on, and summed gradients. What
    /// an optimiser keeps may be infinite while the weights are not, such as the mean of large squares;
    /// where it is NaN, so are the weights that it moves in the same step.
    fn handed_on(&self) -> Vec<Value> {
        let session = self.session();
        let recording = session.tape().recording();
        let of_model = |value| recording.is_weight(value) || recording.is_carried(value);
        let trained = session.parameter_names();
        let is_sum = |name: &str| {
            let weight = name.strip_suffix(SLOT).and_then(|name| name.strip_suffix('.'));
            self.recipe.accumulate > 1 && weight.is_some_and(|name| trained.contains(&name))
        };
        let all = session.advanced().filter(|&(_, value)| session.type_of(value).dtype == DType::F32);
        all.filter(|(name, value)| of_model(*value) || is_sum(name)).map(|(_, value)| value).collect()
    }

    /// Whether the loss of the epoch so far and all that is handed on is finite, by a tape that reads one
    /// number back; where the norm is not, by reading everything: that of large numbers may overflow.
    pub(super) fn is_sound(&mut self) -> Result<bool> {
        if !self.loss_is_finite()? {
            return Ok(false);
        }
        if self.health.is_none() {
            self.health = Some(Health::new(self)?);
        }
        let norm = self.health.as_mut().map_or(Ok(f64::NAN), Health::norm)?;
        Ok(norm.is_finite() || self.held_fault()?.is_none())
    }

    /// The first of what is handed on that is not finite.
    pub(super) fn held_fault(&self) -> Result<Option<NonFinite>> {
        for value in self.handed_on() {
            let found = self.session().non_finite_in(value, None)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
