use std::sync::Arc;

use super::{Constraint, Penalty};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Rule, StateKind, Value};
use crate::ops::{Elements, expect_dtype, same_shape};
use crate::shape::Shape;

/// # Penalties and constraints
///
/// Terms that keep f32 values small, as part of a loss; and what f32 parameters of any shape are held to
/// after every update.
impl Graph {
    /// Records a penalty of an f32 value, such as a parameter or the output of a layer, and notes it
    /// among the [`penalties`](Graph::penalties). One whose factors are 0 records nothing.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let w = g.parameter("w", [3], Init::Values(vec![1.0, -2.0, 0.5]));
    /// g.penalize(w, Penalty::elastic_net(0.5, 2.0))?;
    /// let penalty = g.penalties()[0];
    /// let mut session = g.forward([penalty])?.session(&Device::cpu())?;
    /// session.replay()?;
    /// assert_eq!(session.read_scalar(penalty)?, 0.5 * 3.5 + 2.0 * 5.25);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for a factor that is negative or not finite; [`Error::DTypeMismatch`];
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn penalize(&self, value: Value, penalty: Penalty) -> Result<()> {
        const NAME: &str = "penalize";
        self.operand_shape(NAME, value)?;
        self.located(NAME, penalty.check())?;
        let value = self.widened(value)?;
        self.located(NAME, expect_dtype("what is penalised", self.type_of(value), DType::F32))?;
        if let Some(term) = self.composed(NAME, || penalty.record(self, value))? {
            self.noted(|data| data.penalties.push(term));
        }
        Ok(())
    }

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
}

/// What constraints and masks are recorded with.
impl Graph {
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
