use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::adapters::{self, Wanted, block_on};
use super::flight::{Flight, Submission};
use super::kernel_cache::KernelCache;
use super::pipelines::Pipelines;
use crate::error::{Error, Result};
use crate::executor::Measured;
use crate::kernel::{DeviceKind, DeviceProfile};

/// A wait that takes longer than this was for something: one that finds everything done takes a tenth.
const NOTICED: Duration = Duration::from_micros(100);

/// An open GPU device: shared by every session on it, and with whatever else the program does on it.
pub(crate) struct GpuContext {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub profile: DeviceProfile,
    pub pipelines: Mutex<Pipelines>,
    pub kernel_cache: KernelCache,
    info: wgpu::AdapterInfo,
    /// Why the device was lost, where that is told us.
    lost: Arc<OnceLock<String>>,
    /// Copies to the host so far.
    pub reads: AtomicU64,
    pub flight: Flight,
    pub measured: Measured,
}

impl GpuContext {
    pub fn open(wanted: Wanted<'_>) -> Result<Arc<GpuContext>> {
        let adapter = adapters::choose(wanted)?;
        let (device, queue) = adapters::open(&adapter)?;
        let context = GpuContext::new(adapter.get_info(), device, queue)?;
        // The device is ours, so its error reports are too.
        let lost = context.lost.clone();
        context.device.set_device_lost_callback(move |reason, message| {
            let _ = lost.set(format!("{reason:?} {message}").trim().to_owned());
        });
        // Our own calls catch their errors: these are of somebody who was lent the device.
        context.device.on_uncaptured_error(Arc::new(|error: wgpu::Error| log::error!("{error}")));
        Ok(Arc::new(context))
    }

    pub fn new(info: wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue) -> Result<GpuContext> {
        if let Some(missing) = adapters::missing(device.features(), &device.limits()) {
            return Err(Error::Unsupported { adapter: info.name, missing });
        }
        let profile = profile(&info, &device);
        let (pipelines, kernel_cache, lost, reads, flight, measured) = Default::default();
        let mut context = GpuContext {
            device,
            queue,
            profile,
            pipelines,
            kernel_cache,
            info,
            lost,
            reads,
            flight,
            measured,
        };
        context.check()?;
        context.kernel_cache = KernelCache::open(&context, &context.info);
        Ok(context)
    }

    /// Fails if the device was lost.
    pub fn check(&self) -> Result<()> {
        if !self.is_lost() {
            return Ok(());
        }
        // A destroyed device tells why when it is polled.
        let _ = self.polled(wgpu::PollType::Poll);
        let unknown = || "it was destroyed, or its driver gave it up".to_owned();
        let message = self.lost.get().cloned().unwrap_or_else(unknown);
        Err(Error::DeviceLost { device: self.profile.name.clone(), message })
    }

    /// Of a loss, wgpu tells the one handler that the device's owner has, and everything that is asked of the
    /// device afterwards does nothing, in silence. One that is there objects to a buffer without a use.
    fn is_lost(&self) -> bool {
        let objection = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        drop(self.make_buffer("", 4, wgpu::BufferUsages::empty()));
        block_on(objection.pop()).is_none()
    }

    /// Whether passes can be timed by the device's clock.
    pub fn has_clock(&self) -> bool {
        self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// An error that wgpu reported.
    pub fn failed(&self, message: String) -> Error {
        Error::Gpu { device: self.profile.name.clone(), message }
    }

    /// Runs `body`, turning wgpu's errors inside it into ours: no handler hears of them. Everything that is
    /// asked of the device is asked here. `bytes` is what it allocates.
    pub fn scoped<T>(&self, bytes: u64, body: impl FnOnce() -> T) -> Result<T> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let result = body();
        let internal = block_on(internal.pop());
        let validation = block_on(validation.pop());
        let memory = block_on(memory.pop());
        // What is made on a lost device is invalid, which is an error of its own where it is used.
        self.check()?;
        if memory.is_some() {
            return Err(Error::OutOfMemory { device: self.profile.name.clone(), bytes });
        }
        validation.or(internal).map_or(Ok(result), |error| Err(self.failed(error.to_string())))
    }

    /// Submits what `record` records, and what it makes: `bytes` of it.
    pub fn submit<T>(&self, bytes: u64, record: impl FnOnce(&mut wgpu::CommandEncoder) -> T) -> Result<T> {
        self.scoped(bytes, || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            let recorded = record(&mut encoder);
            self.queue.submit([encoder.finish()]);
            recorded
        })
    }

    /// Waits until a submission has run.
    ///
    /// Whether it still runs is told by how long that takes. To ask beforehand, by a wait without time, is not safe
    /// beside other threads: where one of them sees the end first, wgpu panics, and what it was about to tell is lost.
    pub fn wait_for(&self, submission: &Submission) -> Result<()> {
        let began = Instant::now();
        let submission_index = Some(submission.index.clone());
        self.poll(wgpu::PollType::Wait { submission_index, timeout: None })?;
        let ran = began.elapsed() > NOTICED;
        self.flight.end(submission, ran.then_some(began));
        Ok(())
    }

    /// Waits until everything submitted has run: steps first, to hear when they end.
    pub fn wait(&self) -> Result<()> {
        self.flight.newest().map_or(Ok(()), |newest| self.wait_for(&newest))?;
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    /// Lets what has arrived be told.
    pub fn poll(&self, until: wgpu::PollType) -> Result<()> {
        let polled = self.polled(until);
        self.check()?;
        polled.map_err(|message| self.failed(message))
    }

    /// wgpu panics where the driver gives the device up while it is waited for.
    fn polled(&self, until: wgpu::PollType) -> Result<(), String> {
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(until))) {
            Ok(polled) => polled.map(drop).map_err(|error| error.to_string()),
            Err(_) => Err("waiting for the device failed".to_owned()),
        }
    }

    /// A buffer for these uses; called where errors are [caught](GpuContext::scoped).
    pub fn make_buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let label = Some(label);
        self.device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
    }
}

fn profile(info: &wgpu::AdapterInfo, device: &wgpu::Device) -> DeviceProfile {
    let limits = device.limits();
    let subgroups = device.features().contains(wgpu::Features::SUBGROUP);
    DeviceProfile {
        name: info.name.clone(),
        kind: if info.device_type == wgpu::DeviceType::Cpu { DeviceKind::Cpu } else { DeviceKind::Gpu },
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_workgroup_size: [
            limits.max_compute_workgroup_size_x,
            limits.max_compute_workgroup_size_y,
            limits.max_compute_workgroup_size_z,
        ],
        max_param_bytes: limits.max_immediate_size.min(128),
        offset_alignment: limits.min_storage_buffer_offset_alignment,
        f16: device.features().contains(wgpu::Features::SHADER_F16),
        subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        max_loop_iterations: if info.driver == "llvmpipe" { 65_535 } else { u32::MAX },
        busy_invocations: busy_invocations(info.device_type),
    }
}

/// wgpu does not tell how many compute units there are. A unit has four groups of 256 at a time: 64 units for a
/// discrete GPU, of which some have half and some twice as many, 16 for one that shares the processor's memory.
fn busy_invocations(kind: wgpu::DeviceType) -> u32 {
    let units = if kind == wgpu::DeviceType::IntegratedGpu { 16 } else { 64 };
    units * 4 * 256
}

impl fmt::Display for GpuContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        adapters::describe(f, &self.info, &self.device.limits(), self.device.features())
    }
}
