use std::sync::Arc;

use crate::error::{Result, Setting};
use crate::graph::Op;
use crate::ops::{ConstrainNorm, Elements, Units};
use crate::shape::Shape;

/// What a parameter is held to after every update. Norms are L2 norms, each over the elements of a unit:
/// in a layer, over the inputs of each of its outputs.
///
/// The formulas are Keras's, with its epsilon of 1e-7, but for one thing: a unit whose norm is within
/// the limits keeps its bits. In Keras it is scaled by `norm / (norm + 1e-7)` after every update, a decay
/// that adds up.
///
/// Norms are those of the weights however large, f32's range or not. A unit with a NaN or an infinity
/// becomes NaN.
///
/// ```
/// use retape::prelude::*;
/// let model = Sequential::new()
///     .add(Dense::new(64).activation(Activation::Relu).weight_constraint(Constraint::MaxNorm { limit: 3.0 }))
///     .add(Dropout::new(0.5))
///     .add(Dense::new(10));
/// # let mut g = Graph::new();
/// # let x = g.input("x", [8, 4]);
/// # let y = model.record(&mut g, x, Mode::Training)?;
/// # let tape = g.training_step(g.mean(y, &[], false)?, &Sgd::new(0.1))?;
/// # assert!(tape.to_string().contains("constrain_norm"));
/// # Ok::<(), retape::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constraint {
    /// Norms of at most `limit`: `w limit / (norm + 1e-7)` where the norm is larger (Srebro and Shraibman,
    /// COLT 2005; with dropout, Hinton et al., arXiv 1207.0580, 2012).
    MaxNorm {
        /// The largest norm allowed, more than 0.
        limit: f32,
    },
    /// Norms of 1: `w / (norm + 1e-7)`.
    UnitNorm,
    /// No negative elements: `max(w, 0)`.
    NonNegative,
    /// Norms between two limits: `w (rate clamp(norm, min, max) + (1 - rate) norm) / (norm + 1e-7)` where
    /// the norm is outside.
    MinMaxNorm {
        /// The smallest norm allowed, at least 0.
        min: f32,
        /// The largest norm allowed, at least `min` and more than 0.
        max: f32,
        /// The share of the way to the nearer limit that each update goes, above 0 and at most 1: Keras's
        /// default is 1, all of it.
        rate: f32,
    },
}

impl Constraint {
    /// The operator that overwrites a parameter, whose units lie along these axes of a view of it.
    pub(super) fn operator(self, view: Shape, axes: &[isize]) -> Result<Arc<dyn Op>> {
        let units = Units::over(view, axes)?;
        let (low, high, rate) = match self {
            Constraint::NonNegative => return Ok(Arc::new(Elements::NonNegative)),
            Constraint::UnitNorm => (1.0, 1.0, 1.0),
            Constraint::MaxNorm { limit } => {
                Setting::normal("limit", limit).check()?;
                (0.0, limit, 1.0)
            }
            Constraint::MinMaxNorm { min, max, rate } => {
                let within = (0.0..=max).contains(&min);
                Setting::normal("max", max).check()?;
                Setting::normal("rate", rate).check()?;
                Setting::new("min", min, within, "it must be at least 0 and at most max").check()?;
                Setting::new("rate", rate, rate <= 1.0, "it must be at most 1").check()?;
                (min, max, rate)
            }
        };
        Ok(Arc::new(ConstrainNorm { low, high, rate, units }))
    }
}
