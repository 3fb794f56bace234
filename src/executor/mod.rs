//! What runs a tape: the CPU in f32, the reference in f64, or a GPU.

mod cpu;
mod device;
pub mod gpu;
mod measured;
mod memory;
mod reference;
mod scalars;

pub(crate) use cpu::{CpuExecutor, profile as cpu_profile};
pub(crate) use device::Backend;
pub use device::Device;
pub(crate) use gpu::GpuExecutor;
pub(crate) use measured::{Capacity, Measured};
pub(crate) use reference::{ReferenceExecutor, needed};
pub(crate) use scalars::ScalarTable;

use std::sync::Arc;

use half::f16;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::kernel::Clock;
use crate::tape::Tape;

/// A tape on a device: its storage, and how its operators are run.
pub(crate) enum Executor {
    Cpu(CpuExecutor),
    Reference(ReferenceExecutor),
    Gpu(Box<GpuExecutor>),
}

/// A value of a tape that has the storage of a value of another executor.
#[derive(Clone, Copy)]
pub(crate) struct Link<'a> {
    pub own: Value,
    pub executor: &'a Executor,
    pub theirs: Value,
}

/// What an executor has in common with others.
#[derive(Clone, Default)]
pub(crate) struct Links<'a> {
    /// Parameters and states.
    pub shared: Vec<Link<'a>>,
    /// States that are inputs of other executors.
    pub fed: Vec<Link<'a>>,
}

/// Copies of values on their device, one after the other.
pub(crate) enum Copies {
    Cpu(Vec<Vec<f32>>),
    Reference(Vec<Vec<f64>>),
    Gpu(Vec<wgpu::Buffer>),
}

impl<'a> Links<'a> {
    /// What a value has the storage of.
    pub fn of(&self, own: Value) -> Option<&Link<'a>> {
        self.fed.iter().chain(&self.shared).find(|link| link.own == own)
    }
}

/// The error where copies of a session on one device meet a session on another.
fn elsewhere() -> Error {
    Error::share("the snapshot is of a session on another device")
}

/// What every executor does by a method of the same signature.
macro_rules! every {
    ($($(#[$doc:meta])* $method:ident($($argument:ident: $type:ty),*);)+) => {
        impl Executor {$(
            $(#[$doc])*
            pub fn $method(&mut self, $($argument: $type),*) -> Result<()> {
                match self {
                    Executor::Cpu(cpu) => cpu.$method($($argument),*),
                    Executor::Reference(own) => own.$method($($argument),*),
                    Executor::Gpu(gpu) => gpu.$method($($argument),*),
                }
            }
        )+}
    };
}

every! {
    /// Overwrites a persistent value; `bytes` has its length.
    write(value: Value, bytes: &[u8]);
    /// Puts back what [`read_f64`](Executor::read_f64) gave.
    restore(value: Value, data: &[f64]);
    /// Runs `steps` steps, advancing the step scalar after each.
    replay(scalars: &mut ScalarTable, steps: usize);
    /// Runs one operator alone, as part of a step.
    run_op(op: usize, scalars: &ScalarTable);
}

impl Executor {
    /// The current contents of a value's storage.
    pub fn read(&self, value: Value) -> Result<Vec<u8>> {
        match self {
            Executor::Cpu(cpu) => Ok(cpu.read(value)),
            Executor::Reference(own) => Ok(own.read(value)),
            Executor::Gpu(gpu) => gpu.read(value),
        }
    }

    /// The same of several values, with every digit the executor has and one copy from the device.
    pub fn read_f64(&self, values: &[Value]) -> Result<Vec<Vec<f64>>> {
        match self {
            Executor::Cpu(cpu) => Ok(values.iter().map(|&value| cpu.read_f64(value)).collect()),
            Executor::Reference(own) => Ok(values.iter().map(|&value| own.read_f64(value)).collect()),
            Executor::Gpu(gpu) => gpu.read_f64(values),
        }
    }

    /// Copies values within the device.
    pub fn copy(&self, values: &[Value]) -> Result<Copies> {
        match self {
            Executor::Cpu(cpu) => Ok(Copies::Cpu(values.iter().map(|&value| cpu.elements(value)).collect())),
            Executor::Reference(_) => self.read_f64(values).map(Copies::Reference),
            Executor::Gpu(gpu) => gpu.copy(values).map(Copies::Gpu),
        }
    }

    /// Puts copies into these values, in their order; sizes are the caller's to check.
    pub fn put_back(&mut self, copies: &Copies, values: &[Value]) -> Result<()> {
        match (self, copies) {
            (Executor::Cpu(cpu), Copies::Cpu(data)) => {
                let put = |(&value, data): (&Value, &Vec<f32>)| cpu.write(value, bytemuck::cast_slice(data));
                values.iter().zip(data).try_for_each(put)
            }
            (Executor::Reference(own), Copies::Reference(data)) => {
                values.iter().zip(data).try_for_each(|(&value, data)| own.restore(value, data))
            }
            (Executor::Gpu(gpu), Copies::Gpu(buffers)) => gpu.put_back(buffers, values),
            _ => Err(elsewhere()),
        }
    }

    /// Reads copies back.
    pub fn read_copies(&self, copies: &Copies) -> Result<Vec<Vec<f64>>> {
        match (self, copies) {
            (_, Copies::Cpu(data)) => {
                Ok(data.iter().map(|copy| copy.iter().copied().map(f64::from).collect()).collect())
            }
            (_, Copies::Reference(data)) => Ok(data.clone()),
            (Executor::Gpu(gpu), Copies::Gpu(buffers)) => gpu.read_copies(buffers),
            _ => Err(elsewhere()),
        }
    }

    /// Runs a step without counting it, and says what each dispatch of it took, on the CPU each operator: the operator's
    /// number and seconds, in order. The device's clock is for GPUs that [have one](gpu::GpuContext::has_clock).
    pub fn timed(&mut self, scalars: &ScalarTable, clock: Clock) -> Result<Vec<(usize, f64)>> {
        match self {
            Executor::Cpu(cpu) => Ok(cpu.timed(scalars)),
            Executor::Reference(own) => own.timed(scalars),
            Executor::Gpu(gpu) => {
                let seconds = match clock {
                    Clock::Device => gpu.timed_by_device(scalars)?,
                    Clock::Host => gpu.timed_by_host(scalars)?,
                };
                Ok(gpu.plan.dispatches.iter().map(|dispatch| dispatch.op).zip(seconds).collect())
            }
        }
    }

    /// What it runs on.
    pub fn device(&self) -> Device {
        let backend = match self {
            Executor::Cpu(_) => Backend::Cpu,
            Executor::Reference(_) => Backend::Reference,
            Executor::Gpu(gpu) => Backend::Gpu(gpu.context().clone()),
        };
        Device { backend }
    }

    /// The GPU executor, if it is one.
    pub fn gpu(&self) -> Option<&GpuExecutor> {
        match self {
            Executor::Cpu(_) | Executor::Reference(_) => None,
            Executor::Gpu(gpu) => Some(gpu),
        }
    }

    /// The tape that it replays, where that is not the recorded one: it need not hold constants.
    pub fn fused(&self) -> Option<&Arc<Tape>> {
        match self {
            Executor::Cpu(cpu) => Some(cpu.tape()),
            Executor::Reference(_) => None,
            Executor::Gpu(gpu) => Some(gpu.tape()),
        }
    }

    /// Whether it computes in f64.
    #[cfg(feature = "checkpoints")]
    pub fn is_reference(&self) -> bool {
        matches!(self, Executor::Reference(_))
    }

    /// What it runs on, for errors.
    fn place(&self) -> &'static str {
        match self {
            Executor::Cpu(_) => "the CPU",
            Executor::Reference(_) => "the reference",
            Executor::Gpu(_) => "a GPU",
        }
    }
}

/// A number as what the CPU computes with: an index, or an f32 that the type may hold.
fn word(dtype: DType, number: f64) -> u32 {
    match dtype {
        DType::F32 | DType::F16 => (dtype.stored(number) as f32).to_bits(),
        DType::U32 => number as u32,
    }
}

/// Numbers as the bytes of elements.
pub(crate) fn elements(dtype: DType, numbers: &[f64]) -> Vec<u8> {
    match dtype {
        DType::F16 => numbers.iter().flat_map(|&number| f16::from_f64(number).to_ne_bytes()).collect(),
        DType::F32 | DType::U32 => {
            numbers.iter().flat_map(|&number| word(dtype, number).to_ne_bytes()).collect()
        }
    }
}

/// Elements as numbers.
pub(crate) fn numbers(dtype: DType, bytes: &[u8]) -> impl Iterator<Item = f64> + '_ {
    bytes.chunks_exact(dtype.bytes()).map(move |element| match (dtype, element) {
        (DType::F16, &[a, b]) => f16::from_ne_bytes([a, b]).to_f64(),
        (DType::U32, &[a, b, c, d]) => f64::from(u32::from_ne_bytes([a, b, c, d])),
        (_, &[a, b, c, d]) => f64::from(f32::from_ne_bytes([a, b, c, d])),
        _ => 0.0,
    })
}

impl Copies {
    /// Elements of each copy.
    pub fn lengths(&self) -> Vec<usize> {
        match self {
            Copies::Cpu(data) => data.iter().map(Vec::len).collect(),
            Copies::Reference(data) => data.iter().map(Vec::len).collect(),
            Copies::Gpu(buffers) => buffers.iter().map(|buffer| buffer.size() as usize / 4).collect(),
        }
    }
}
