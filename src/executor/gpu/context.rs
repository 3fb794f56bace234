use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::adapters::{self, Wanted, block_on};
use super::pipelines::PipelineCache;
use crate::error::{Error, Result};
use crate::kernel::{DeviceKind, DeviceProfile};

/// An open GPU device: shared by every session on it.
pub(crate) struct GpuContext {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub profile: DeviceProfile,
    pub pipelines: Mutex<PipelineCache>,
    info: wgpu::AdapterInfo,
    status: Arc<Status>,
    /// Copies to the host so far.
    pub reads: AtomicU64,
}

/// What the driver told us between calls.
#[derive(Default)]
struct Status {
    lost: OnceLock<String>,
    error: Mutex<Option<String>>,
}

impl GpuContext {
    pub fn open(wanted: Wanted<'_>) -> Result<Arc<GpuContext>> {
        let adapter = adapters::choose(wanted)?;
        let (device, queue) = adapters::open(&adapter)?;
        let context = GpuContext::new(adapter.get_info(), device, queue)?;
        // The device is ours, so its error reports are too.
        let status = context.status.clone();
        context.device.set_device_lost_callback(move |reason, message| {
            let _ = status.lost.set(format!("{reason:?} {message}").trim().to_owned());
        });
        let status = context.status.clone();
        context.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("{error}");
            let mut slot = status.error.lock().unwrap_or_else(PoisonError::into_inner);
            slot.get_or_insert_with(|| error.to_string());
        }));
        Ok(Arc::new(context))
    }

    pub fn new(info: wgpu::AdapterInfo, device: wgpu::Device, queue: wgpu::Queue) -> Result<GpuContext> {
        if let Some(missing) = adapters::missing(device.features(), &device.limits()) {
            return Err(Error::Unsupported { adapter: info.name, missing });
        }
        let profile = profile(&info, &device);
        let (pipelines, status, reads) = Default::default();
        Ok(GpuContext { device, queue, profile, pipelines, info, status, reads })
    }

    /// Fails if the device was lost or reported an error since the last call.
    pub fn check(&self) -> Result<()> {
        if let Some(message) = self.status.lost.get() {
            return Err(Error::DeviceLost { device: self.profile.name.clone(), message: message.clone() });
        }
        let error = self.status.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map_or(Ok(()), |message| Err(self.failed(message)))
    }

    /// [`check`](GpuContext::check) after work was submitted. A lost device is reported only to
    /// those who poll it.
    pub fn check_submitted(&self) -> Result<()> {
        self.poll(wgpu::PollType::Poll)
    }

    /// An error that wgpu reported.
    pub fn failed(&self, message: String) -> Error {
        Error::Gpu { device: self.profile.name.clone(), message }
    }

    /// Runs `body`, turning wgpu's errors inside it into ours. `bytes` is what it allocates.
    pub fn scoped<T>(&self, bytes: u64, body: impl FnOnce() -> T) -> Result<T> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let result = body();
        let internal = block_on(internal.pop());
        let validation = block_on(validation.pop());
        if block_on(memory.pop()).is_some() {
            return Err(Error::OutOfMemory { device: self.profile.name.clone(), bytes });
        }
        match validation.or(internal) {
            Some(error) => Err(self.failed(error.to_string())),
            None => self.check().map(|()| result),
        }
    }

    /// Submits what `record` records.
    pub fn submit<T>(&self, record: impl FnOnce(&mut wgpu::CommandEncoder) -> T) -> T {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let recorded = record(&mut encoder);
        self.queue.submit([encoder.finish()]);
        recorded
    }

    /// Waits until a submission has run.
    pub fn wait_for(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
    }

    /// Waits until everything submitted has run.
    pub fn wait(&self) -> Result<()> {
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    fn poll(&self, until: wgpu::PollType) -> Result<()> {
        let polled = self.device.poll(until);
        self.check()?;
        polled.map(|_| ()).map_err(|e| self.failed(e.to_string()))
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
        subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
        max_loop_iterations: if info.driver == "llvmpipe" { 65_535 } else { u32::MAX },
    }
}

impl fmt::Display for GpuContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        adapters::describe(f, &self.info, &self.device.limits(), self.device.features())
    }
}
