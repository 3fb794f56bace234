use super::Trainer;
use crate::error::Result;
use crate::graph::{Graph, Init, Value};
use crate::session::{Session, SessionOptions};

/// A tape that looks at all weights of a training at once.
pub(super) struct Health {
    session: Session,
    norm: Value,
}

impl Health {
    /// Over the weights that the training session has now.
    pub fn new(trainer: &Trainer) -> Result<Health> {
        let main = trainer.session();
        let g = Graph::new();
        let state = |&value: &Value| g.state(&main.name_of(value), main.shape_of(value), Init::Zeros);
        let weights: Vec<Value> = trainer.weight_values().iter().map(state).collect();
        let norm = g.global_norm(&weights)?;
        let options = SessionOptions::new().share_parameters(main);
        let session = g.forward([norm])?.session_with(trainer.device(), options)?;
        Ok(Health { session, norm })
    }

    /// The norm over all weights: NaN or infinite if one of them is.
    pub fn norm(&mut self) -> Result<f64> {
        self.session.replay()?;
        Ok(self.session.read_f64(self.norm)?.first().copied().unwrap_or(f64::NAN))
    }
}
