//! Everything that calls wgpu: adapters, the device, pipelines, buffers, read-back and the
//! executor that replays a plan.

mod adapters;
mod chain;
mod context;
pub(crate) mod executor;
mod flight;
#[cfg_attr(not(feature = "cache"), path = "no_kernel_cache.rs")]
mod kernel_cache;
pub(crate) mod pace;
mod pipelines;
mod range;
mod readback;
mod sharing;
mod snapshot;
mod timing;

pub use adapters::{AdapterReport, adapters};
pub(crate) use adapters::{Wanted, named_by_environment};
pub(crate) use chain::GpuChain;
pub(crate) use context::GpuContext;
pub(crate) use executor::GpuExecutor;
pub(crate) use flight::FULL;
pub use range::BufferRange;
pub(crate) use sharing::shared_layout;
