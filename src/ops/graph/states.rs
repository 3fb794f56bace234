use crate::error::Setting;
use crate::graph::{Init, Source, StateKind};
use crate::ops::batch::LoadBatch;
use crate::ops::common::*;
use crate::ops::update::{Accumulate, Assign, MovingAverage, Update, UpdateCount};

/// # States and batches
///
/// f32 states of optimisers, in the shapes of their parameters; what overwrites a state at the end of a step;
/// and batches `[rows, ..sample]`, f32 or u32, out of resident data `[n, ..sample]`.
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

    /// Overwrites `batch` at the end of the step with rows of `data`, so that data uploaded once
    /// feeds a whole epoch of replays:
    /// `batch[i] = data[order[min(step * stride + i, m - 1)]]`, with the session's step count
    /// ([`Scalar::STEP`](crate::graph::Scalar::STEP), [`Session::set_step`](crate::Session::set_step)). `batch`
    /// is a state `[rows, ..sample]`, f32 or u32; `data` is `[n, ..sample]` of the same dtype; `order` is u32
    /// `[m]`, and written orders are checked to be below `n`. A `stride` of `rows` goes through the
    /// order batch by batch; past its end, the order's last row fills the batch.
    ///
    /// Other operators of the same tape read the batch that the step began with, as with
    /// [`assign`](Graph::assign). To load and use a batch in one go, record the loading as a tape of
    /// its own, whose session shares the batch's states with the one that trains
    /// ([`SessionOptions::share_parameters`](crate::SessionOptions::share_parameters)), and replay it
    /// first. Of `data` and `order`, what the tape's updates recorded earlier left in them counts.
    ///
    /// Data and batches may be larger than a device binds at a time: a dispatch for each range of rows
    /// that fits, or for two of long rows, then copies the rows it holds.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let data = g.input("data", [5, 2]);
    /// let order = g.indices("order", [4]);
    /// let batch = g.state("batch", [2, 2], Init::Zeros);
    /// g.load_batch(batch, data, order, 2)?;
    /// let mut session = g.forward([])?.session(&Device::cpu())?;
    /// session.write(data, &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5])?;
    /// session.write(order, &[4u32, 1, 0, 3])?;
    /// session.replay()?;
    /// assert_eq!(session.read(batch)?, [4.0, 4.5, 1.0, 1.5]);
    /// session.replay()?;
    /// assert_eq!(session.read(batch)?, [0.0, 0.5, 3.0, 3.5]);
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotWritable`] unless `batch` is a state, or where `data` or `order` are the batch;
    /// [`Error::ShapeMismatch`] for samples of another shape; [`Error::Rank`];
    /// [`Error::DTypeMismatch`]; [`Error::LabelOutOfRange`] for a constant order past the data.
    #[track_caller]
    pub fn load_batch(&self, batch: Value, data: Value, order: Value, stride: u32) -> Result<()> {
        self.load_batches(&[(batch, data)], order, stride)
    }

    /// [`load_batch`](Graph::load_batch) of several columns of the same samples, such as images, labels and
    /// weights: pairs of a batch and its data, all of as many rows. Beside rows of 32 numbers or more, the
    /// same dispatch moves a column of single numbers, such as labels or weights; other columns take their own.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let (images, labels) = (g.input("images", [60_000, 784]), g.indices("labels", [60_000]));
    /// let order = g.indices("order", [60_000]);
    /// let (x, y) = (g.state("x", [128, 784], Init::Zeros), g.state_u32("y", [128]));
    /// g.load_batches(&[(x, images), (y, labels)], order, 128)?;
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`load_batch`](Graph::load_batch); [`Error::ShapeMismatch`] for batches or data of other
    /// numbers of rows; [`Error::Argument`] for no columns; [`Error::NotWritable`] for a batch that is given
    /// twice, or is the data of another.
    #[track_caller]
    pub fn load_batches(&self, columns: &[(Value, Value)], order: Value, stride: u32) -> Result<()> {
        let (batches, data): (Vec<Value>, Vec<Value>) = columns.iter().copied().unzip();
        let inputs = [batches, data, vec![order]].concat();
        for &operand in &inputs {
            self.operand_shape("load_batch", operand)?;
        }
        if columns.is_empty() {
            return self
                .located("load_batch", Err(Error::argument("columns", "none", "at least one column")));
        }
        for (index, &batch) in inputs[..columns.len()].iter().enumerate() {
            let recording = self.recording();
            let reason = if !matches!(recording.values[batch.index()].source, Source::State(..)) {
                "a batch is loaded into a state"
            } else if inputs[columns.len()..].iter().any(|&v| recording.root(v) == batch) {
                "a batch is not loaded from itself"
            } else if inputs[..index].contains(&batch) {
                "a batch is loaded once"
            } else {
                continue;
            };
            let name = recording.describe(batch);
            return self.located("load_batch", Err(Error::NotWritable { name, reason }));
        }
        let batches = (0..columns.len()).collect();
        self.apply(LoadBatch { stride, batches }, &inputs).map(|_| ())
    }
}

/// What updates of states are recorded with.
impl Graph {
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
