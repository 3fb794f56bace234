//! The session: a tape bound to a device, ready to replay.

mod chain;
mod faults;
mod on_gpu;
mod options;
mod profile;
mod roofline;
mod snapshot;
mod verify;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use half::f16;

pub(crate) use chain::Chain;
pub use faults::NonFinite;
pub use options::SessionOptions;
pub(crate) use options::{Compiling, Fed};
pub use profile::{Breakdown, Cost, Profile, ProfileGroup, ProfileOptions, ProfileRow};
pub(crate) use roofline::probe;
pub use snapshot::Snapshot;
pub use verify::{HostData, OpCheck, Verification};

use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::executor::gpu::shared_layout;
use crate::executor::{
    Backend, CpuExecutor, Device, Executor, GpuExecutor, Links, ReferenceExecutor, ScalarTable, cpu_profile,
    elements, numbers,
};
use crate::graph::{Init, Source, StateKey, StateKind, Value};
use crate::kernel::Scalar;
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
    pub(crate) scalars: ScalarTable,
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
    /// Everything [`Tape::plan`] refuses; [`Error::OutOfMemory`], on the CPU where what the session holds
    /// and a replay needs at its peak is more than there is; [`Error::DeviceLost`].
    pub fn session(&self, device: &Device) -> Result<Session> {
        self.session_with(device, SessionOptions::new())
    }

    /// [`session`](Tape::session) with a seed or shared parameters.
    pub fn session_with(&self, device: &Device, options: SessionOptions<'_>) -> Result<Session> {
        self.session_planned(device, None, options)
    }

    /// A session over a plan, or over the one that the device gets.
    pub(crate) fn session_planned(
        &self,
        device: &Device,
        plan: Option<Plan>,
        options: SessionOptions<'_>,
    ) -> Result<Session> {
        let links = options.links(self)?;
        let tape = Arc::new(self.clone());
        let executor = match (&device.backend, plan) {
            (Backend::Cpu, None) => {
                let replayed =
                    if options.fuse { Arc::new(self.fuse_chains(&cpu_profile())) } else { tape.clone() };
                Executor::Cpu(CpuExecutor::new(replayed, &links)?)
            }
            (Backend::Reference, None) => Executor::Reference(ReferenceExecutor::new(tape.clone(), &links)?),
            (Backend::Cpu | Backend::Reference, Some(_)) => return Err(Error::NeedsGpu { what: "a plan" }),
            (Backend::Gpu(context), given) => {
                // A plan of the caller's is one of the tape as it is.
                let fused = options.fuse && given.is_none();
                let replayed = if fused { Arc::new(self.fuse(&context.profile)) } else { tape.clone() };
                let planned = || replayed.plan_with(&context.profile, &shared_layout(context, &links)?);
                let plan = given.map_or_else(planned, Ok)?;
                let kernels = context.kernels_to_compile(&plan);
                if kernels > 0 {
                    log::info!("compiling {kernels} kernels");
                    options.compiling.inspect(|told| told.begins(kernels));
                }
                let gpu = GpuExecutor::new(context.clone(), replayed, plan, &links, options.guard)?;
                Executor::Gpu(Box::new(gpu))
            }
        };
        let scalars = ScalarTable::new(&tape.recording().scalars, options.seed);
        let mut session = Session { executor, tape, scalars };
        session.initialise(&links)?;
        Ok(session)
    }
}

impl Session {
    /// Fills constants, and the parameters and states that are not shared with another session.
    fn initialise(&mut self, links: &Links<'_>) -> Result<()> {
        let tape = self.tape.clone();
        let replayed = self.replayed().clone();
        for value in replayed.persistent() {
            if let Source::Constant(data) = &replayed.info(value).source {
                self.executor.restore(value, data)?;
            }
        }
        // Storage starts as zeros, of either dtype.
        let is_zero = |value: Value| matches!(tape.info(value).source, Source::State(_, Init::Zeros));
        self.reset(|value, _| !is_zero(value) && links.of(value).is_none())
    }

    /// Writes an input, labels, a parameter or a state: `f32`, `f16` or `u32` elements, row-major. An f32 value takes
    /// `f16` elements too, and an f16 value `f32` elements, which are rounded to the nearest. The data takes effect
    /// with the next replay; inputs stay until written again.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::DTypeMismatch`], [`Error::LabelOutOfRange`],
    /// [`Error::NonFinite`] (targets only), [`Error::NotWritable`]. Nothing is written then.
    pub fn write<T: Element>(&mut self, value: Value, data: &[T]) -> Result<()> {
        self.expect::<T>("the data for", value)?;
        let refused = |reason| Err(Error::NotWritable { name: self.name_of(value), reason });
        match self.tape.info(value).source {
            Source::Op { .. } => return refused("it is computed by the tape"),
            Source::Constant(_) => return refused("it is a constant"),
            _ => self.check_length(value, data.len())?,
        }
        self.check_data(value, data)?;
        let dtype = self.type_of(value).dtype;
        if T::DTYPE == dtype {
            return self.executor.write(value, bytemuck::cast_slice(data));
        }
        let data: Vec<f64> = data.iter().map(|number| number.to_f64()).collect();
        self.executor.write(value, &elements(dtype, &data))
    }

    /// Refuses labels and indices past the limit of a value, and targets that are not finite.
    pub(crate) fn check_data<T: Element>(&self, value: Value, data: &[T]) -> Result<()> {
        let info = self.tape.info(value);
        let name = || self.name_of(value);
        if let Some(limit) = info.limit
            && let Some(index) = data.iter().position(|v| v.to_f64() >= f64::from(limit))
        {
            let label = data[index].to_f64() as u32;
            return Err(Error::LabelOutOfRange { name: name(), index, label, limit });
        }
        if matches!(info.source, Source::Labels)
            && let Some(index) = data.iter().position(|v| !v.to_f64().is_finite())
        {
            let value = data[index].to_f64() as f32;
            return Err(Error::NonFinite { name: name(), index, value });
        }
        Ok(())
    }

    /// Refuses data of another length than a value has.
    fn check_length(&self, value: Value, found: usize) -> Result<()> {
        let expected = self.type_of(value);
        if expected.numel() == found {
            return Ok(());
        }
        Err(Error::Length { name: self.name_of(value), expected, found })
    }

    /// Runs the step once. On a GPU it is handed over, in several submissions if it is
    /// [large](Device::set_submission_time), and runs behind the host; only where much is under way already does
    /// the call wait.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Gpu`]. Of a step in several submissions the first may have run then: it is not
    /// counted, but parameters and states may be partly those after it.
    pub fn replay(&mut self) -> Result<()> {
        self.executor.replay(&mut self.scalars, 1)
    }

    /// Runs the step `steps` times on the same inputs.
    pub fn replay_n(&mut self, steps: usize) -> Result<()> {
        self.executor.replay(&mut self.scalars, steps)
    }

    /// The contents of an f32 value: an input, parameter, state, loss, or one that the tape keeps. Those of an f16
    /// value are widened, which is exact. Waits for the device.
    ///
    /// # Errors
    /// [`Error::NotKept`] if its buffer is reused within the step, [`Error::DTypeMismatch`] for
    /// u32 values, [`Error::Unknown`] for values that the tape does not hold.
    pub fn read(&self, value: Value) -> Result<Vec<f32>> {
        self.read_as(value)
    }

    /// The contents of an f16 value; those of an f32 value are rounded to the nearest.
    pub fn read_f16(&self, value: Value) -> Result<Vec<f16>> {
        self.read_as(value)
    }

    /// The contents of a u32 value.
    pub fn read_u32(&self, value: Value) -> Result<Vec<u32>> {
        self.read_as(value)
    }

    /// The contents of an f32 or f16 value in f64: on the reference with all its digits.
    pub fn read_f64(&self, value: Value) -> Result<Vec<f64>> {
        self.expect_readable::<f32>(value)?;
        self.contents(value)
    }

    /// The only element of a value, such as a loss.
    pub fn read_scalar(&self, value: Value) -> Result<f32> {
        match self.read(value)?[..] {
            [only] => Ok(only),
            _ => Err(Error::NotScalar { name: self.name_of(value), shape: self.shape_of(value) }),
        }
    }

    /// [`read`](Session::read) without blocking the thread: the copy is submitted at once, and the
    /// future is ready when it has arrived.
    pub fn read_async(&self, value: Value) -> Result<impl Future<Output = Result<Vec<f32>>> + use<>> {
        self.expect_readable::<f32>(value)?;
        let pending = match self.executor.gpu().filter(|_| self.fixed(value).is_none()) {
            Some(gpu) => Ok(gpu.read_async(value)?),
            None => Err(self.bytes(value)?),
        };
        let ty = self.type_of(value);
        Ok(async move {
            let bytes = match pending {
                Ok(on_device) => on_device.await?,
                Err(bytes) => bytes,
            };
            Ok(numbers(ty.dtype, &bytes).take(ty.numel()).map(|number| number as f32).collect())
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
        self.tape.parameters().filter_map(|v| self.tape.info(v).name.as_deref()).collect()
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

    /// The number of steps replayed so far.
    pub fn step(&self) -> u32 {
        self.scalars.count(Scalar::STEP)
    }

    /// Sets the step count and the number of updates, as when training resumes. Where the two
    /// differ, [`set_updates`](Session::set_updates) follows.
    pub fn set_step(&mut self, step: u32) {
        self.scalars.set_count(Scalar::STEP, step);
        self.set_updates(step);
    }

    /// The number of updates so far: what optimisers count by. Every replay adds one to it, as to the
    /// step count, which random operators draw by. It stays at `u32::MAX`.
    pub fn updates(&self) -> u32 {
        self.scalars.count(Scalar::UPDATES)
    }

    /// Sets the number of updates from the next replay on; the step count stays.
    pub fn set_updates(&mut self, updates: u32) {
        self.scalars.set_count(Scalar::UPDATES, updates);
    }

    /// The seed of the random operators.
    pub fn seed(&self) -> u32 {
        self.scalars.count(Scalar::SEED)
    }

    /// Sets the seed of the random operators from the next replay on. Parameters stay as they are.
    pub fn set_seed(&mut self, seed: u32) {
        self.scalars.set_count(Scalar::SEED, seed);
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
            let info = tape.info(value);
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
        self.check_length(value, data.len())?;
        self.executor.restore(value, data)
    }

    /// The elements of a constant on a device that need not hold it.
    fn fixed(&self, value: Value) -> Option<Vec<u8>> {
        let info = self.executor.fused()?.info(value);
        match &info.source {
            Source::Constant(data) => Some(elements(info.ty.dtype, data)),
            _ => None,
        }
    }

    /// A value's elements.
    fn bytes(&self, value: Value) -> Result<Vec<u8>> {
        self.fixed(value).map_or_else(|| self.executor.read(value), Ok)
    }

    /// A value's contents with every digit the executor has.
    fn contents(&self, value: Value) -> Result<Vec<f64>> {
        if let Some(elements) = self.fixed(value) {
            return Ok(numbers(self.replayed().info(value).ty.dtype, &elements).collect());
        }
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

    /// The tape.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// The tape whose operators the device goes through: [fused](Tape::fuse), unless
    /// [the options](SessionOptions::fuse) say otherwise or the device is the reference.
    pub fn replayed(&self) -> &Arc<Tape> {
        self.executor.fused().unwrap_or(&self.tape)
    }

    /// What is there as long as the session.
    pub(crate) fn life(&self) -> Weak<Tape> {
        Arc::downgrade(&self.tape)
    }

    /// The plan of a GPU session; `None` on the CPU.
    pub fn plan(&self) -> Option<&Plan> {
        self.executor.gpu().map(|gpu| &gpu.plan)
    }

    fn named_parameter(&self, name: &str) -> Result<Value> {
        let found = self.tape.parameters().find(|&v| self.tape.info(v).name.as_deref() == Some(name));
        found.ok_or_else(|| Error::unknown("parameter", name, self.parameter_names()))
    }

    fn expect<T: Element>(&self, what: &str, value: Value) -> Result<()> {
        let (found, expected) = (T::DTYPE, self.tape.expect(value)?.ty.dtype);
        if found == expected || (found.is_float() && expected.is_float()) {
            return Ok(());
        }
        Err(Error::DTypeMismatch { what: format!("{what} `{}`", self.name_of(value)), found, expected })
    }

    pub(crate) fn check_readable(&self, value: Value) -> Result<()> {
        self.tape.expect(value)?;
        let persistent = self.tape.info(self.tape.root(value)).source.is_persistent();
        if persistent || self.tape.kept().any(|k| k == value) {
            return Ok(());
        }
        Err(Error::NotKept { name: self.name_of(value) })
    }

    fn expect_readable<T: Element>(&self, value: Value) -> Result<()> {
        self.check_readable(value)?;
        self.expect::<T>("the type to read", value)
    }

    fn read_as<T: Element>(&self, value: Value) -> Result<Vec<T>> {
        self.expect_readable::<T>(value)?;
        let (dtype, bytes) = (self.type_of(value).dtype, self.bytes(value)?);
        if T::DTYPE == dtype {
            return Ok(bytemuck::pod_collect_to_vec(&bytes));
        }
        Ok(numbers(dtype, &bytes).map(T::from_f64).collect())
    }
}
