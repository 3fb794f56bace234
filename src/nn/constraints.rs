use std::sync::Arc;

use crate::dtype::DType;
use crate::error::{Error, Result, Setting};
use crate::graph::{Graph, Op, Rule, StateKind, Value};
use crate::ops::{ConstrainNorm, Elements, Units, expect_dtype, same_shape};
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
    fn operator(self, view: Shape, axes: &[isize]) -> Result<Arc<dyn Op>> {
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

/// # What parameters are held to
impl Graph {
    /// Holds a parameter to a constraint: every [`training_step`](Graph::training_step) recorded
    /// afterwards applies it when the optimiser has moved the parameter, on the device. Several
    /// constraints and [masks](Graph::mask) of one parameter are applied in their order.
    ///
    /// A norm is over the elements along `axes`, one for each index over the others; no axes means all
    /// elements together. A dense weight `[in, units]` has its units along axis 0, a convolution's
    /// `[out, in / groups, kh, kw]` along axes 1 to 3. [`Constraint::NonNegative`] needs no axes.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let w = g.parameter("w", [2, 2], Init::Values(vec![3.0, 0.3, 4.0, 0.4]));
    /// g.constrain(w, Constraint::MaxNorm { limit: 1.0 }, &[0])?;
    /// let loss = g.sum(w, &[], false)?;
    /// let mut session = g.training_step(loss, &Sgd::new(0.0))?.session(&Device::cpu())?;
    /// session.replay()?;
    /// let close = |a: f32, b: f32| (a - b).abs() < 1e-6;
    /// let w = session.parameter("w")?;
    /// assert!(close(w[0], 0.6) && close(w[2], 0.8)); // of norm 5
    /// assert_eq!([w[1], w[3]], [0.3, 0.4]); // of norm 0.5
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotWritable`] unless it is a parameter, [`Error::Axis`], [`Error::Argument`] for limits
    /// out of range.
    #[track_caller]
    pub fn constrain(&self, parameter: Value, constraint: Constraint, axes: &[isize]) -> Result<()> {
        let view = self.operand_shape("constrain", parameter)?;
        self.constrain_view(parameter, constraint, view, axes)
    }

    /// [`constrain`](Graph::constrain) with the axes of another shape of as many elements.
    #[track_caller]
    pub(crate) fn constrain_view(
        &self,
        parameter: Value,
        constraint: Constraint,
        view: Shape,
        axes: &[isize],
    ) -> Result<()> {
        self.expect_source("constrain", parameter, false)?;
        let op = self.located("constrain", constraint.operator(view, axes))?;
        self.noted(|data| data.rules.push(Rule { parameter, op, others: Vec::new() }));
        Ok(())
    }

    /// Multiplies a parameter with a mask of its shape after every update of a
    /// [`training_step`](Graph::training_step) recorded afterwards, as [`constrain`](Graph::constrain)
    /// does: elements whose mask is 0 stay 0. The mask is read as it is by then; one that is a
    /// [`state`](Graph::state) may be written or assigned between updates.
    ///
    /// # Errors
    /// [`Error::NotWritable`] unless it is a parameter, [`Error::ShapeMismatch`] with both shapes,
    /// [`Error::DTypeMismatch`].
    #[track_caller]
    pub fn mask(&self, parameter: Value, mask: Value) -> Result<()> {
        self.expect_source("mask", parameter, false)?;
        self.expect_mask("mask", parameter, mask)?;
        let rule = Rule { parameter, op: Arc::new(Elements::Masked), others: vec![mask] };
        self.noted(|data| data.rules.push(rule));
        Ok(())
    }

    /// Applies a constraint to an f32 parameter or state of any shape once in every replay: the operator that
    /// [`constrain`](Graph::constrain) adds to training steps, for a step that is recorded by hand. As
    /// with [`assign`](Graph::assign), everything else in the step reads the old contents.
    ///
    /// # Errors
    /// As [`constrain`](Graph::constrain).
    #[track_caller]
    pub fn apply_constraint(&self, parameter: Value, constraint: Constraint, axes: &[isize]) -> Result<()> {
        const NAME: &str = "apply_constraint";
        self.expect_source(NAME, parameter, true)?;
        let op = self.located(NAME, constraint.operator(self.shape_of(parameter), axes))?;
        self.composed(NAME, || self.apply_shared(op, &[parameter])).map(|_| ())
    }

    /// Multiplies an f32 parameter or state with a mask of its shape once in every replay, as
    /// [`apply_constraint`](Graph::apply_constraint) applies a constraint.
    ///
    /// # Errors
    /// As [`mask`](Graph::mask).
    #[track_caller]
    pub fn apply_mask(&self, parameter: Value, mask: Value) -> Result<()> {
        const NAME: &str = "apply_mask";
        self.expect_source(NAME, parameter, true)?;
        self.expect_mask(NAME, parameter, mask)?;
        self.composed(NAME, || {
            // A parameter that masks itself is read as the step began.
            let own = self.recording().root(mask) == self.recording().root(parameter);
            let mask = if own { self.copy(mask)? } else { mask };
            self.apply(Elements::Masked, &[parameter, mask]).map(|_| ())
        })
    }

    /// Refuses what no update moves: anything but parameters, and states where those count too.
    #[track_caller]
    fn expect_source(&self, op: &'static str, value: Value, or_state: bool) -> Result<()> {
        self.operand_shape(op, value)?;
        let kind = self.recording().kind(value);
        let is_trained = kind == Some(StateKind::Weight { trained: true });
        let (fits, reason) = match or_state {
            true => (kind.is_some(), "only parameters and states are overwritten"),
            false => (is_trained, "only parameters are held to a constraint or a mask"),
        };
        let name = self.recording().describe(value);
        self.located(op, if fits { Ok(()) } else { Err(Error::NotWritable { name, reason }) })
    }

    #[track_caller]
    fn expect_mask(&self, op: &'static str, parameter: Value, mask: Value) -> Result<()> {
        let (wanted, found) = (self.shape_of(parameter), self.operand_shape(op, mask)?);
        self.located(op, expect_dtype("the mask", self.type_of(mask), DType::F32))?;
        self.located(op, same_shape("a mask needs the shape of its parameter", wanted, found))
    }
}
