use super::Update;
use super::count::UpdateCount;
use super::rules::{Accumulate, Assign, MovingAverage};
use crate::error::Setting;
use crate::graph::{Init, StateKind};
use crate::ops::common::*;

/// # States and what overwrites them
impl Graph {
    /// A zero-initialised f32 state of a parameter's shape beside it, for an optimiser: `w` has `w.momentum`.
    /// Recording a second training step on the same graph makes states of its own.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn slot(&self, parameter: Value, name: &str) -> Result<Value> {
        self.slot_with(parameter, name, Init::Zeros)
    }

    /// [`slot`](Graph::slot), of the same shape, with other contents to begin with.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn slot_with(&self, parameter: Value, name: &str, init: Init) -> Result<Value> {
        let shape = self.operand_shape("slot", parameter)?;
        self.slot_of(parameter, name, shape, init)
    }

    /// A slot whose shape is not the parameter's.
    #[track_caller]
    pub(crate) fn slot_of(
        &self,
        parameter: Value,
        name: &str,
        shape: impl Into<Shape>,
        init: Init,
    ) -> Result<Value> {
        self.operand_shape("slot", parameter)?;
        let kind = StateKind::Slot { of: parameter };
        Ok(self.state_of_kind(name, TensorType::f32(shape), kind, init))
    }

    /// Overwrites a state or a parameter with `value` at the end of the step: every operator of the
    /// step, other assignments included, reads the old contents. Either is f32 or u32 of any shape, and the
    /// other has the same.
    ///
    /// # Errors
    /// [`Error::NotWritable`] unless `state` is a state or a parameter; [`Error::ShapeMismatch`] with both
    /// shapes; [`Error::DTypeMismatch`].
    #[track_caller]
    pub fn assign(&self, state: Value, value: Value) -> Result<()> {
        self.check_writable("assign", state)?;
        let value = self.as_begun("assign", value)?;
        self.apply(Update::new(Assign, Vec::new(), 1), &[state, value]).map(|_| ())
    }

    /// The number of the update being computed, from 1 (the `t` of an optimiser's formula), as an f32 value
    /// of shape `[]`: [`Scalar::UPDATES`](crate::graph::Scalar::UPDATES) and one. f32 counts to
    /// 2^24 = 16,777,216 without rounding.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let g = Graph::new();
    /// let t = g.update_count()?;
    /// let mut session = g.forward([t])?.session(&Device::cpu())?;
    /// session.replay_n(3)?;
    /// assert_eq!(session.read_scalar(t)?, 3.0);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// None: it has no operands that could be wrong.
    #[track_caller]
    pub fn update_count(&self) -> Result<Value> {
        self.apply1(UpdateCount, &[])
    }

    /// Adds `value` to a running sum that `total` and `carry` hold together, both states of its shape
    /// that begin with zeros: `total` is the sum rounded to f32, and `carry` what that rounding took, so
    /// that `total + carry` has twice f32's precision however many numbers are added (Dekker, Numer. Math.
    /// 18, 1971, by Knuth's TwoSum, The Art of Computer Programming 2, section 4.2.2). Plain addition is
    /// off by 1e-4 or so of a sum of 100,000 numbers of one size.
    ///
    /// A sum that is infinite or NaN stays so in `total`. The kernel keeps drivers from simplifying the
    /// differences away; one that does so nevertheless loses the carry and nothing else.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let loss = g.input("loss", []);
    /// let (total, carry) = (g.state("total", [], Init::Zeros), g.state("carry", [], Init::Zeros));
    /// g.accumulate(total, carry, loss)?;
    /// let mut session = g.forward(Vec::new())?.session(&Device::cpu())?;
    /// session.write(loss, &[0.5])?;
    /// session.replay_n(3)?;
    /// assert_eq!(session.read_scalar(total)?, 1.5);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotWritable`] unless `total` and `carry` are states or parameters, and two of them;
    /// [`Error::ShapeMismatch`]; [`Error::DTypeMismatch`] unless all are f32.
    #[track_caller]
    pub fn accumulate(&self, total: Value, carry: Value, value: Value) -> Result<()> {
        self.check_writable("accumulate", total)?;
        self.check_writable("accumulate", carry)?;
        if total == carry {
            let (name, reason) = (self.recording().describe(carry), "it is the total already");
            return self.located("accumulate", Err(Error::NotWritable { name, reason }));
        }
        let value = self.as_begun("accumulate", value)?;
        self.apply(Update::new(Accumulate, Vec::new(), 1), &[total, carry, value]).map(|_| ())
    }

    /// Moves averages, the first of each pair, towards what the others hold once the updates recorded so
    /// far have run.
    pub(crate) fn moving_averages(&self, pairs: &[(Value, Value)], rho: f32) -> Result<()> {
        let (averages, others): (Vec<Value>, Vec<Value>) = pairs.iter().copied().unzip();
        let operands = [averages, others].concat();
        let settings = vec![Setting::decay("rho", rho)];
        self.apply(Update::new(MovingAverage { rho }, settings, pairs.len()), &operands).map(|_| ())
    }

    /// Fails unless a value is a state or a parameter.
    #[track_caller]
    fn check_writable(&self, op: &'static str, state: Value) -> Result<()> {
        self.operand_shape(op, state)?;
        if self.recording().kind(state).is_some() {
            return Ok(());
        }
        let (name, reason) =
            (self.recording().describe(state), "only states and parameters are overwritten by a step");
        self.located(op, Err(Error::NotWritable { name, reason }))
    }

    /// A value as it is when the step begins: a copy of a state or parameter, which another update may
    /// overwrite first.
    #[track_caller]
    fn as_begun(&self, op: &'static str, value: Value) -> Result<Value> {
        self.operand_shape(op, value)?;
        let root = self.recording().root(value);
        let kind = self.recording().kind(root);
        if kind.is_some() { self.copy(value) } else { Ok(value) }
    }
}
