//! What this crate's own tests and benches look into. No part of the interface: it changes without notice.

use std::sync::atomic::Ordering;

pub use crate::executor::gpu::executor::RawDispatch;
pub use crate::ops::matmul::MatmulRoute;

use crate::error::Result;
use crate::executor::{Device, GpuExecutor};
use crate::graph::{Graph, Value};
use crate::kernel::Shader;
use crate::session::{Session, SessionOptions};
use crate::tape::{Plan, Tape};
use crate::train::Trainer;

/// [`Graph::matmul_with`] by a certain kernel, and its gradients likewise.
#[track_caller]
pub fn matmul_routed(g: &Graph, [a, b]: [Value; 2], transposed: [bool; 2], by: MatmulRoute) -> Result<Value> {
    g.matmul_by(a, b, transposed, by)
}

/// Sessions with guards around their buffers, over plans of the caller's.
pub trait GuardedSession {
    /// A GPU session over a plan.
    fn session_with_plan(&self, device: &Device, plan: Plan, options: SessionOptions<'_>) -> Result<Session>;
}

impl GuardedSession for Tape {
    fn session_with_plan(&self, device: &Device, plan: Plan, options: SessionOptions<'_>) -> Result<Session> {
        self.session_planned(device, Some(plan), options)
    }
}

/// Guard bytes as an option.
pub trait Guard {
    /// Surrounds every GPU buffer with guard bytes.
    fn guard(self) -> Self;
}

impl Guard for SessionOptions<'_> {
    fn guard(mut self) -> Self {
        self.guard = true;
        self
    }
}

/// What lies below a session.
pub trait Inspect {
    /// The step's dispatches as wgpu objects.
    fn raw_dispatches(&self) -> Vec<RawDispatch>;
    /// Fills every result buffer and all guards with NaNs.
    fn poison(&self);
    /// The buffers whose guards were overwritten.
    fn broken_guards(&self) -> Result<Vec<usize>>;
}

impl Inspect for Session {
    fn raw_dispatches(&self) -> Vec<RawDispatch> {
        self.executor.gpu().map_or_else(Vec::new, GpuExecutor::raw_dispatches)
    }

    fn poison(&self) {
        if let Some(gpu) = self.executor.gpu() {
            gpu.poison();
        }
    }

    fn broken_guards(&self) -> Result<Vec<usize>> {
        self.executor.gpu().map_or(Ok(Vec::new()), GpuExecutor::broken_guards)
    }
}

/// How often anything was read back from a device; 0 on the CPU path.
pub fn readbacks(device: &Device) -> u64 {
    device.context().map_or(0, |context| context.reads.load(Ordering::Relaxed))
}

/// The training steps that a trainer has recorded.
pub fn recorded_steps(trainer: &Trainer) -> usize {
    trainer.recorded_steps()
}

/// The validated module of a shader, and its analysis.
pub fn module(shader: &Shader) -> Result<(&naga::Module, &naga::valid::ModuleInfo)> {
    shader.module()
}

/// A shader reduced to one entry point, its `override` constants replaced by their values.
pub fn specialise(shader: &Shader, entry: &'static str, constants: &[(&str, f64)]) -> Result<naga::Module> {
    shader.specialise(entry, constants)
}
