//! What a program says of a graph itself: its values, their names and shapes.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Graph, Init, Op, Recording, Scalar, ScalarInfo, Source, StateKind, Value, ValueInfo};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::shape::{Shape, TensorType};

static NEXT_GRAPH: AtomicU32 = AtomicU32::new(0);

/// # Declarations, names and shapes
///
/// Inputs, parameters, states and constants, f32 or u32 of any static shape; f32 per-step scalars; layers and
/// names; and operators of the program's own.
impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        let data = Recording {
            id: NEXT_GRAPH.fetch_add(1, Ordering::Relaxed),
            layers: vec![String::new()],
            scalars: ["step", "seed", "updates"].map(ScalarInfo::count).to_vec(),
            ..Recording::default()
        };
        Graph { data: RefCell::new(data) }
    }

    /// An f32 input, written by the program before a replay.
    #[track_caller]
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> Value {
        self.declare(name, TensorType::f32(shape), Source::Input)
    }

    /// A u32 input of indices, such as word numbers. Written indices are checked against the
    /// smallest table that an operator looks them up in.
    #[track_caller]
    pub fn indices(&mut self, name: &str, shape: impl Into<Shape>) -> Value {
        self.declare(name, TensorType::u32(shape), Source::Input)
    }

    /// A u32 input of class labels. Written labels are checked against the number of classes.
    #[track_caller]
    pub fn labels(&mut self, name: &str, shape: impl Into<Shape>) -> Value {
        self.declare(name, TensorType::u32(shape), Source::Labels)
    }

    /// An f32 input of targets: regression values, probabilities or one-hot rows. A NaN or an
    /// infinity is refused when it is written.
    #[track_caller]
    pub fn targets(&mut self, name: &str, shape: impl Into<Shape>) -> Value {
        self.declare(name, TensorType::f32(shape), Source::Labels)
    }

    /// A trained parameter.
    #[track_caller]
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Value {
        self.declare(name, TensorType::f32(shape), Source::State(StateKind::Weight { trained: true }, init))
    }

    /// Persistent f32 state that is not trained: the tape itself advances it, through
    /// [`assign`](Graph::assign) or an optimiser.
    #[track_caller]
    pub fn state(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Value {
        self.state_of_kind(name, TensorType::f32(shape), StateKind::Own, init)
    }

    /// [`state`](Graph::state) in u32, all 0 at first, such as the labels of a batch that
    /// [`load_batch`](Graph::load_batch) fills.
    #[track_caller]
    pub fn state_u32(&self, name: &str, shape: impl Into<Shape>) -> Value {
        self.state_of_kind(name, TensorType::u32(shape), StateKind::Own, Init::Zeros)
    }

    /// Fixed contents: `f32` numbers or `u32` indices.
    ///
    /// # Errors
    /// [`Error::Length`] if the data does not fill the shape, [`Error::EmptyDimension`] if the
    /// shape has no elements.
    #[track_caller]
    pub fn constant<T: Element>(&self, shape: impl Into<Shape>, data: &[T]) -> Result<Value> {
        let ty = TensorType { shape: shape.into(), dtype: T::DTYPE };
        self.located("constant", ty.shape.check_size("constant"))?;
        if ty.numel() != data.len() {
            let name = "constant".to_owned();
            return self.located("constant", Err(Error::Length { name, expected: ty, found: data.len() }));
        }
        let data: Arc<[f64]> = data.iter().map(|&v| v.to_f64()).collect();
        let limit = (ty.dtype == DType::U32)
            .then(|| data.iter().fold(0.0f64, |m, &v| m.max(v)) as u32)
            .map(|largest| largest.saturating_add(1));
        Ok(self.push_value(ValueInfo { limit, ..ValueInfo::unnamed(ty, Source::Constant(data)) }))
    }

    /// A constant of one number, which broadcasts against anything. Kernels take the nearest f32 to an f64;
    /// the reference takes it as it is.
    pub fn scalar_constant(&self, value: impl Into<f64>) -> Value {
        let source = Source::Constant(Arc::from([value.into()]));
        self.push_value(ValueInfo::unnamed(TensorType::f32([]), source))
    }

    /// Declares a per-step scalar of type f32, or finds the one of this name.
    ///
    /// # Errors
    /// [`Error::ScalarDeclared`] if there is one of this name with another initial value.
    #[track_caller]
    pub fn scalar(&self, name: &str, initial: f32) -> Result<Scalar> {
        self.declared_scalar(name, initial, false)
    }

    /// Declares the rate of an optimiser: a scalar of its own, called `name` or, where that is taken, `name_2`
    /// or the next that is free. A trainer drives each rate by its schedule. An optimiser declares it once,
    /// whether or not it is given gradients.
    pub fn rate(&self, name: &str, initial: f32) -> Scalar {
        let numbered = (2u32..).map(|count| format!("{name}_{count}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| self.recording().live_scalar(name).is_none());
        self.push_scalar(&free.unwrap_or_default(), initial, true)
    }

    /// A stream of random numbers for an operator that draws: the number of streams that the graph has
    /// given out, so that the same program records the same numbers. An operator of the program's
    /// own draws from it with [`Stream::operator_words`](crate::random::Stream::operator_words) and,
    /// in its kernel, the prelude's `random_words`, at [`Scalar::STEP`] and [`Scalar::SEED`].
    pub fn random_stream(&self) -> u32 {
        let mut data = self.data.borrow_mut();
        let stream = data.random_streams;
        data.random_streams = stream.wrapping_add(1);
        stream
    }

    /// Records everything in `body` under a layer name, which appears in listings and errors.
    /// Nested names are joined with a dot.
    pub fn layer<T>(&mut self, name: &str, body: impl FnOnce(&mut Graph) -> T) -> T {
        self.layer_at(self.name_within(name), None, body)
    }

    /// Names a computed value, for listings and messages.
    ///
    /// # Errors
    /// [`Error::ForeignValue`]; [`Error::NotWritable`] for what was declared under a name.
    #[track_caller]
    pub fn name(&self, value: Value, name: &str) -> Result<Value> {
        self.operand_shape("name", value)?;
        let mut data = self.data.borrow_mut();
        let info = &mut data.values[value.index()];
        if info.source.is_persistent() {
            let name = info.name.clone().unwrap_or_else(|| "constant".to_owned());
            drop(data);
            let reason = "only computed values are named afterwards";
            return self.located("name", Err(Error::NotWritable { name, reason }));
        }
        info.name = Some(name.to_owned());
        Ok(value)
    }

    /// Makes every tape of this graph compute a value and keep it readable after each replay, such
    /// as the predictions beside the loss of a training step. Its buffer is then not reused within
    /// the step.
    /// A view of a parameter or state shows what the step leaves in it.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn keep(&self, value: Value) -> Result<Value> {
        self.operand_shape("keep", value)?;
        self.data.borrow_mut().kept.push(value);
        Ok(value)
    }

    /// The shape of a value.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn shape(&self, value: Value) -> Result<Shape> {
        self.operand_shape("shape", value)
    }

    /// Shape and dtype of a value.
    ///
    /// # Errors
    /// [`Error::ForeignValue`].
    #[track_caller]
    pub fn ty(&self, value: Value) -> Result<TensorType> {
        self.operand_shape("ty", value)?;
        Ok(self.type_of(value))
    }

    /// The values that are trained, in declaration order.
    pub fn parameters(&self) -> Vec<Value> {
        let data = self.data.borrow();
        let found = data.values.iter().enumerate().filter(|(_, info)| info.source.is_trained());
        found.map(|(index, _)| Value { graph: data.id, index: index as u32 }).collect()
    }

    /// The penalties noted by [`penalize`](Graph::penalize) and by layers that have one, scalars in the
    /// order they were recorded. A training step adds them to its loss where the program names them:
    /// `training_step([&[loss], &g.penalties()[..]].concat(), ..)`.
    pub fn penalties(&self) -> Vec<Value> {
        self.data.borrow().penalties.clone()
    }

    /// Records an operator: the seam through which built-in and user-defined operators alike
    /// enter the graph. Returns one value per output.
    ///
    /// # Errors
    /// [`Error::ForeignValue`], a mistake in the declaration of an input, and what the operator refuses.
    #[track_caller]
    pub fn apply(&self, op: impl Op, inputs: &[Value]) -> Result<Vec<Value>> {
        self.apply_shared(Arc::new(op), inputs)
    }

    /// [`apply`](Graph::apply) for an operator with one output.
    ///
    /// # Errors
    /// As [`apply`](Graph::apply); [`Error::Argument`] for an operator without outputs.
    #[track_caller]
    pub fn apply1(&self, op: impl Op, inputs: &[Value]) -> Result<Value> {
        let name = op.name();
        let outputs = self.apply(op, inputs)?;
        let first = outputs.first().copied();
        self.located(name, first.ok_or_else(|| Error::argument("outputs", "none", "apply1 needs one")))
    }
}
