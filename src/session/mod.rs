//! The session: a tape bound to a device, ready to replay.

mod chain;
mod faults;
mod on_gpu;
mod options;
mod snapshot;
mod verify;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

pub(crate) use chain::Chain;
pub use faults::NonFinite;
pub(crate) use options::Fed;
pub use options::SessionOptions;
pub use snapshot::Snapshot;
pub use verify::{HostData, OpCheck, Verification};

use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::executor::gpu::shared_layout;
use crate::executor::{Backend, CpuExecutor, Device, Executor, GpuExecutor, Links, ScalarTable};
use crate::graph::{Init, Source, StateKey, StateKind, Value};
use crate::shape::{Shape, TensorType};
use crate::tape::{Plan, Tape};

/// A tape on a device: it owns the buffers and everything else that a replay needs.
///
/// ```
/// use retape::prelude::*;
/// let mut g = Graph::new();
/// let x = g.input("x", [4]);
/// let y = g.exp(x)?;
/// let mut session = g.forward([y])?.session(&Device::cpu())?;
/// session.write(x, &[0.0, 1.0, -1.0, 2.0])?;
/// session.replay()?;
/// assert_eq!(session.read(y)?[0], 1.0);
/// # Ok::<(), retape::Error>(())
/// ```
pub struct Session {
    tape: Arc<Tape>,
    pub(crate) executor: Executor,
    scalars: ScalarTable,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Session");
        debug.field("ops", &self.tape.ops().len()).field("parameters", &self.parameter_names());
        debug.field("gpu", &self.executor.gpu().is_some()).finish_non_exhaustive()
    }
}

impl Tape {
    /// Binds the tape to a device: plans, allocates, compiles the kernels and initialises the
    /// parameters, once.
    ///
    /// # Errors
    /// Everything [`Tape::plan`] refuses; [`Error::OutOfMemory`]; [`Error::DeviceLost`].
    pub fn session(&self, device: &Device) -> Result<Session> {
        self.session_with(device, SessionOptions::new())
    }

    /// [`session`](Tape::session) with a seed or shared parameters.
    pub fn session_with(&self, device: &Device, options: SessionOptions<'_>) -> Result<Session> {
        let links = options.links(self)?;
        match &device.backend {
            Backend::Cpu => {
                let tape = Arc::new(self.clone());
                let executor = Executor::Cpu(CpuExecutor::new(tape.clone(), &links)?);
                Session::build(tape, executor, options)
            }
            Backend::Gpu(context) => {
                let plan = self.plan_with(&context.profile, &shared_layout(context, &links)?)?;
                self.session_planned(device, plan, &links, options)
            }
        }
    }

    pub(crate) fn session_planned(
        &self,
        device: &Device,
        plan: Plan,
        links: &Links<'_>,
        options: SessionOptions<'_>,
    ) -> Result<Session> {
        let Backend::Gpu(context) = &device.backend else { return Err(Error::NeedsGpu { what: "a plan" }) };
        let tape = Arc::new(self.clone());
        let gpu = GpuExecutor::new(context.clone(), tape.clone(), plan, links, options.guard)?;
        Session::build(tape, Executor::Gpu(Box::new(gpu)), options)
    }
}

impl Session {
    fn build(tape: Arc<Tape>, executor: Executor, options: SessionOptions<'_>) -> Result<Session> {
        let scalars = ScalarTable::new(&tape.recording().scalars, options.seed);
        let mut session = Session { executor, tape, scalars };
        session.initialise(&options)?;
        Ok(session)
    }

    /// Fills constants, and the parameters and states that are not shared with another session.
    fn initialise(&mut self, options: &SessionOptions<'_>) -> Result<()> {
        let tape = self.tape.clone();
        for value in tape.persistent() {
            let info = &tape.recording().values[value.index()];
            let name = info.name.as_deref().unwrap_or_default();
            match &info.source {
                Source::State(..) if options.shares(info.key.as_deref()) || options.is_fed(value) => {}
                // Storage starts as zeros, of either dtype.
                Source::State(_, Init::Zeros) => {}
                Source::State(_, init) => {
                    let data = init.fill(info.ty.shape, options.seed, name);
                    self.executor.write(value, bytemuck::cast_slice(&data))?;
                }
                Source::Constant(data) => self.executor.restore(value, data)?,
                Source::Input | Source::Labels | Source::Op { .. } => {}
            }
        }
        Ok(())
    }

    /// Writes an input, labels, a parameter or a state: `f32` or `u32` elements, row-major. The data
    /// takes effect with the next replay; inputs stay until written again.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::DTypeMismatch`], [`Error::LabelOutOfRange`],
    /// [`Error::NonFinite`] (targets only), [`Error::NotWritable`]. Nothing is written then.
    pub fn write<T: Element>(&mut self, value: Value, data: &[T]) -> Result<()> {
        let ty = self.expect::<T>("the data for", value)?;
        let recording = self.tape.recording();
        let info = &recording.values[value.index()];
        let name = || recording.describe(value);
        match info.source {
            Source::Op { .. } => {
                return Err(Error::NotWritable { name: name(), reason: "it is computed by the tape" });
            }
            Source::Constant(_) => {
                return Err(Error::NotWritable { name: name(), reason: "it is a constant" });
            }
            _ => {}
        }
        if data.len() != ty.numel() {
            return Err(Error::Length { name: name(), expected: ty, found: data.len() });
        }
        self.check_data(value, data)?;
        self.executor.write(value, bytemuck::cast_slice(data))
    }

    /// Refuses labels and indices past the limit of a value, and targets that are not finite.
    pub(crate) fn check_data<T: Element>(&self, value: Value, data: &[T]) -> Result<()> {
        let recording = self.tape.recording();
        let info = &recording.values[value.index()];
        let name = || recording.describe(value);
        if let Some(limit) = info.limit {
            let past = data.iter().position(|v| v.to_f64() >= f64::from(limit));
            if let Some(index) = past {
                let label = data[index].to_f64() as u32;
                return Err(Error::LabelOutOfRange { name: name(), index, label, limit });
            }
        }
        if matches!(info.source, Source::Labels) {
            let bad = data.iter().position(|v| !v.to_f64().is_finite());
            if let Some(index) = bad {
                let value = data[index].to_f64() as f32;
                return Err(Error::NonFinite { name: name(), index, value });
            }
        }
        Ok(())
    }

    /// [`write`](Session::write) of half-precision data, such as images or weights stored that way:
    /// widened to f32, which is exact.
    ///
    /// # Errors
    /// As [`write`](Session::write).
    pub fn write_f16(&mut self, value: Value, data: &[half::f16]) -> Result<()> {
        let wide: Vec<f32> = data.iter().map(|v| v.to_f32()).collect();
        self.write(value, &wide)
    }

    /// Runs the step once.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Gpu`].
    pub fn replay(&mut self) -> Result<()> {
        self.executor.replay(&mut self.scalars, 1)
    }

    /// Runs the step `steps` times on the same inputs.
    pub fn replay_n(&mut self, steps: usize) -> Result<()> {
        self.executor.replay(&mut self.scalars, steps)
    }

    /// The contents of an f32 value: an input, parameter, state, loss, or one that the tape keeps.
    /// Waits for the device.
    ///
    /// # Errors
    /// [`Error::NotKept`] if its buffer is reused within the step, [`Error::DTypeMismatch`] for
    /// u32 values, [`Error::Unknown`] for values that the tape does not hold.
    pub fn read(&self, value: Value) -> Result<Vec<f32>> {
        self.read_as(value)
    }

    /// The contents of a u32 value.
    pub fn read_u32(&self, value: Value) -> Result<Vec<u32>> {
        self.read_as(value)
    }

    /// The contents of an f32 value in f64: on the CPU path with all its digits.
    pub fn read_f64(&self, value: Value) -> Result<Vec<f64>> {
        self.check_readable(value)?;
        self.expect::<f32>("the type to read", value)?;
        self.contents(value)
    }

    /// The only element of a value, such as a loss.
    pub fn read_scalar(&self, value: Value) -> Result<f32> {
        let data = self.read(value)?;
        match data[..] {
            [only] => Ok(only),
            _ => {
                let recording = self.tape.recording();
                let (name, shape) = (recording.describe(value), recording.ty(value).shape);
                Err(Error::NotScalar { name, shape })
            }
        }
    }

    /// [`read`](Session::read) without blocking the thread: the copy is submitted at once, and the
    /// future is ready when it has arrived.
    pub fn read_async(&self, value: Value) -> Result<impl Future<Output = Result<Vec<f32>>> + use<>> {
        self.check_readable(value)?;
        self.expect::<f32>("the type to read", value)?;
        let pending = match self.executor.gpu() {
            Some(gpu) => Ok(gpu.read_async(value)?),
            None => Err(self.executor.read(value)?),
        };
        Ok(async move {
            let bytes = match pending {
                Ok(on_device) => on_device.await?,
                Err(bytes) => bytes,
            };
            Ok(bytemuck::pod_collect_to_vec(&bytes))
        })
    }

    /// A parameter's contents, by name.
    pub fn parameter(&self, name: &str) -> Result<Vec<f32>> {
        self.read(self.named_parameter(name)?)
    }

    /// Overwrites a parameter, by name.
    pub fn set_parameter(&mut self, name: &str, data: &[f32]) -> Result<()> {
        self.write(self.named_parameter(name)?, data)
    }

    /// The names of the parameters that the tape uses, trained and frozen, in declaration order.
    pub fn parameter_names(&self) -> Vec<&str> {
        let recording = self.tape.recording();
        let names = self.parameters().filter_map(|v| recording.values[v.index()].name.as_deref());
        names.collect()
    }

    /// Sets a per-step scalar from the next replay on, such as `learning_rate`.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the names there are.
    pub fn set_scalar(&mut self, name: &str, value: f32) -> Result<()> {
        self.scalars.set(name, f64::from(value))
    }

    /// The current value of a per-step scalar.
    pub fn scalar(&self, name: &str) -> Result<f32> {
        self.scalars.get(name).map(|v| v as f32)
    }

    /// The scalars by name, without the counts and the seed.
    #[cfg(feature = "checkpoints")]
    pub(crate) fn named_scalars(&self) -> impl Iterator<Item = (&str, f64)> {
        self.scalars.named()
    }

    /// Puts scalars back that were [`named_scalars`](Session::named_scalars); others stay.
    #[cfg(feature = "checkpoints")]
    pub(crate) fn restore_scalars(&mut self, scalars: &[(String, f64)]) {
        scalars.iter().for_each(|(name, value)| self.scalars.restore(name, *value));
    }

    /// Sets the scalars that another session has too as they are there.
    pub(crate) fn adopt_scalars(&mut self, other: &Session) {
        self.scalars.adopt(&other.scalars);
    }

    /// The number of steps replayed so far.
    pub fn step(&self) -> u32 {
        self.scalars.step()
    }

    /// Sets the step count and the number of updates, as when training resumes. Where the two
    /// differ, [`set_updates`](Session::set_updates) follows.
    pub fn set_step(&mut self, step: u32) {
        self.scalars.set_step(step);
        self.scalars.set_updates(step);
    }

    /// The number of updates so far: what optimisers count by. Every replay adds one to it, as to the
    /// step count, which random operators draw by.
    pub fn updates(&self) -> u32 {
        self.scalars.updates()
    }

    /// Sets the number of updates from the next replay on; the step count stays.
    pub fn set_updates(&mut self, updates: u32) {
        self.scalars.set_updates(updates);
    }

    /// The seed of the random operators.
    pub fn seed(&self) -> u32 {
        self.scalars.seed()
    }

    /// Sets the seed of the random operators from the next replay on. Parameters stay as they are.
    pub fn set_seed(&mut self, seed: u32) {
        self.scalars.set_seed(seed);
    }

    /// The parameters and states that the tape uses, in declaration order.
    pub(crate) fn advanced(&self) -> impl Iterator<Item = (Arc<StateKey>, Value)> + '_ {
        let recording = self.tape.recording();
        let states = self.tape.persistent().into_iter().filter(|&value| recording.kind(value).is_some());
        states.filter_map(|value| Some((recording.key(value)?.clone(), value)))
    }

    /// What a state is.
    pub(crate) fn kind(&self, value: Value) -> Option<StateKind> {
        self.tape.recording().kind(value)
    }

    /// The state of this kind, such as the mask of a weight.
    pub(crate) fn state_of_kind(&self, kind: StateKind) -> Option<Value> {
        self.tape.persistent().into_iter().find(|&value| self.kind(value) == Some(kind))
    }

    /// The name of a value of the tape.
    pub(crate) fn name_of(&self, value: Value) -> String {
        self.tape.recording().describe(value)
    }

    /// Puts the states that `which` chooses back to how they began.
    pub(crate) fn reset(&mut self, which: impl Fn(Value, StateKind) -> bool) -> Result<()> {
        let tape = self.tape.clone();
        for value in tape.persistent() {
            let info = &tape.recording().values[value.index()];
            if let Source::State(kind, init) = &info.source
                && which(value, *kind)
            {
                let name = info.name.as_deref().unwrap_or_default();
                let data = init.fill(info.ty.shape, self.seed(), name);
                self.executor.write(value, bytemuck::cast_slice(&data))?;
            }
        }
        Ok(())
    }

    /// Overwrites a parameter or a state with every digit the executor has.
    pub(crate) fn write_f64(&mut self, value: Value, data: &[f64]) -> Result<()> {
        let ty = self.tape.recording().ty(value);
        if ty.numel() != data.len() {
            let (name, found) = (self.name_of(value), data.len());
            return Err(Error::Length { name, expected: ty, found });
        }
        self.executor.restore(value, data)
    }

    /// [`read_f64`](Session::read_f64) of several values, with one copy from the device.
    pub(crate) fn read_together(&self, values: &[Value]) -> Result<Vec<Vec<f64>>> {
        self.executor.read_f64(values)
    }

    /// A value's contents with every digit the executor has.
    fn contents(&self, value: Value) -> Result<Vec<f64>> {
        Ok(self.executor.read_f64(&[value])?.pop().unwrap_or_default())
    }

    /// Shape and dtype of a value of the tape.
    pub(crate) fn type_of(&self, value: Value) -> TensorType {
        self.tape.recording().ty(value)
    }

    /// The shape of a value of the tape.
    pub(crate) fn shape_of(&self, value: Value) -> Shape {
        self.tape.recording().ty(value).shape
    }

    /// The rates of optimisers by name, in the order of their declaration.
    pub(crate) fn rates(&self) -> impl Iterator<Item = (&str, f64)> {
        self.scalars.rates()
    }

    /// Sets the rates that `value` has one for.
    pub(crate) fn put_rates(&mut self, value: impl Fn(&str) -> Option<f32>) {
        self.scalars.put_rates(value);
    }

    /// The tape.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// What is there as long as the session.
    pub(crate) fn life(&self) -> Weak<Tape> {
        Arc::downgrade(&self.tape)
    }

    /// The plan of a GPU session; `None` on the CPU path, which needs none.
    pub fn plan(&self) -> Option<&Plan> {
        self.executor.gpu().map(|gpu| gpu.plan())
    }

    fn parameters(&self) -> impl Iterator<Item = Value> + '_ {
        let is_parameter = |v: &Value| matches!(self.kind(*v), Some(StateKind::Weight { .. }));
        self.tape.persistent().into_iter().filter(is_parameter)
    }

    fn named_parameter(&self, name: &str) -> Result<Value> {
        let recording = self.tape.recording();
        let mut parameters = self.parameters();
        let found = parameters.find(|v| recording.values[v.index()].name.as_deref() == Some(name));
        found.ok_or_else(|| {
            let known = self.parameter_names().into_iter().map(str::to_owned).collect();
            Error::Unknown { what: "parameter", name: name.to_owned(), known }
        })
    }

    fn expect<T: Element>(&self, what: &str, value: Value) -> Result<TensorType> {
        if !self.tape.holds(value) {
            return Err(self.tape.unknown_value(value));
        }
        let recording = self.tape.recording();
        let ty = recording.ty(value);
        if ty.dtype != T::DTYPE {
            let what = format!("{what} `{}`", recording.describe(value));
            return Err(Error::DTypeMismatch { what, found: T::DTYPE, expected: ty.dtype });
        }
        Ok(ty)
    }

    pub(crate) fn check_readable(&self, value: Value) -> Result<()> {
        if !self.tape.holds(value) {
            return Err(self.tape.unknown_value(value));
        }
        let recording = self.tape.recording();
        let root = self.tape.root(value);
        let persistent = recording.values[root.index()].source.is_persistent();
        if persistent || self.tape.kept().any(|k| k == value) {
            return Ok(());
        }
        Err(Error::NotKept { name: recording.describe(value) })
    }

    fn read_as<T: Element>(&self, value: Value) -> Result<Vec<T>> {
        self.check_readable(value)?;
        self.expect::<T>("the type to read", value)?;
        Ok(bytemuck::pod_collect_to_vec(&self.executor.read(value)?))
    }
}
