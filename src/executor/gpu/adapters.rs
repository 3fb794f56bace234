use std::fmt;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result, list};

/// What the engine cannot do without.
const NEEDED: wgpu::Features = wgpu::Features::IMMEDIATES;
/// What it uses where it is there.
const USEFUL: wgpu::Features = wgpu::Features::SUBGROUP
    .union(wgpu::Features::PIPELINE_CACHE)
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::TIMESTAMP_QUERY);

/// Bytes of immediates that kernel parameters may take.
const PARAM_BYTES: u32 = 128;

/// One adapter of this machine, as `doctor` shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdapterReport {
    /// What wgpu says about the adapter.
    pub info: wgpu::AdapterInfo,
    /// Its limits.
    pub limits: wgpu::Limits,
    /// All its features.
    pub features: wgpu::Features,
    /// What the engine would use of them.
    pub features_used: wgpu::Features,
    /// Why the engine cannot run on it, if it cannot.
    pub problem: Option<String>,
}

impl AdapterReport {
    /// One line: whether the engine runs here, and how well to expect it to.
    pub fn verdict(&self) -> String {
        match (&self.problem, self.info.device_type) {
            (Some(problem), _) => format!("unusable: it lacks {problem}"),
            (None, wgpu::DeviceType::Cpu) => "usable by name: a software driver, correct but slow".to_owned(),
            (None, wgpu::DeviceType::DiscreteGpu) => "good: a discrete GPU".to_owned(),
            (None, wgpu::DeviceType::IntegratedGpu) => "good: an integrated GPU".to_owned(),
            (None, _) => "usable".to_owned(),
        }
    }
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, &self.info, &self.limits, self.features_used)?;
        write!(f, "\n  verdict    {}", self.verdict())
    }
}

/// Every adapter that `WGPU_BACKEND` allows.
pub fn adapters() -> Vec<AdapterReport> {
    let report = |adapter: wgpu::Adapter| AdapterReport {
        info: adapter.get_info(),
        limits: adapter.limits(),
        features: adapter.features(),
        features_used: adapter.features() & (NEEDED | USEFUL),
        problem: missing(adapter.features(), &adapter.limits()),
    };
    enumerate().into_iter().map(report).collect()
}

/// What a device lacks to run kernels, in words.
pub(super) fn missing(features: wgpu::Features, limits: &wgpu::Limits) -> Option<String> {
    if !features.contains(NEEDED) {
        return Some("immediates (push constants), which carry kernel parameters".to_owned());
    }
    if limits.max_immediate_size < PARAM_BYTES {
        return Some(format!("{PARAM_BYTES} bytes of immediates, it has {}", limits.max_immediate_size));
    }
    (limits.max_compute_invocations_per_workgroup < 256).then(|| "compute workgroups of 256".to_owned())
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::all());
    // Set explicitly: the default turns on debugging and indirect-call validation. WGPU_VALIDATION
    // and WGPU_DEBUG still switch them on.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    block_on(wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::all()))
}

/// The outcome of one of wgpu's futures. Outside browsers they are ready from the start.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// Lower is better.
fn rank(info: &wgpu::AdapterInfo) -> u32 {
    use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
    let low_power = matches!(wgpu::PowerPreference::from_env(), Some(wgpu::PowerPreference::LowPower));
    match (info.device_type, low_power) {
        (DiscreteGpu, false) | (IntegratedGpu, true) => 0,
        (IntegratedGpu, false) | (DiscreteGpu, true) => 1,
        (VirtualGpu, _) => 2,
        (Other, _) => 3,
        (Cpu, _) => 4,
    }
}

/// Which adapter to take.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// A hardware GPU, or the one that `WGPU_ADAPTER_NAME` names.
    Hardware,
    /// Any GPU, hardware first, or the one that `WGPU_ADAPTER_NAME` names.
    Any,
    /// The one of this name.
    Named(&'a str),
}

/// The name of the adapter that has to be there, if the environment gives one.
pub(crate) fn named_by_environment() -> Option<String> {
    std::env::var("WGPU_ADAPTER_NAME").ok().filter(|n| !n.is_empty())
}

/// The best adapter of the kind wanted.
pub(super) fn choose(wanted: Wanted<'_>) -> Result<wgpu::Adapter> {
    let name = match wanted {
        Wanted::Named(name) => Some(name.to_owned()),
        Wanted::Hardware | Wanted::Any => named_by_environment(),
    };
    let all = enumerate();
    let fits = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        match &name {
            Some(name) => {
                [info.name, info.driver].iter().any(|s| s.to_lowercase().contains(&name.to_lowercase()))
            }
            None => matches!(wanted, Wanted::Any) || info.device_type != wgpu::DeviceType::Cpu,
        }
    };
    let best = all.iter().filter(|a| fits(a)).min_by_key(|a| rank(&a.get_info()));
    best.cloned().ok_or_else(|| Error::NoAdapter {
        wanted: match name {
            Some(name) => format!("whose name contains `{name}`"),
            None if matches!(wanted, Wanted::Any) => "at all".to_owned(),
            None => "in hardware".to_owned(),
        },
        found: all.iter().map(|a| a.get_info().name).collect(),
    })
}

/// Opens a device with the adapter's own limits and the features the engine uses.
pub(super) fn open(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue)> {
    let name = || adapter.get_info().name;
    if let Some(missing) = missing(adapter.features(), &adapter.limits()) {
        return Err(Error::Unsupported { adapter: name(), missing });
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("retape"),
        required_features: adapter.features() & (NEEDED | USEFUL),
        required_limits: adapter.limits(),
        ..Default::default()
    };
    block_on(adapter.request_device(&descriptor))
        .map_err(|e| Error::DeviceRequest { adapter: name(), message: e.to_string() })
}

/// The lines that `Display` of a device or an adapter shows.
pub(super) fn describe(
    f: &mut fmt::Formatter<'_>,
    info: &wgpu::AdapterInfo,
    limits: &wgpu::Limits,
    features: wgpu::Features,
) -> fmt::Result {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(f, "{} ({:?})", info.name, info.device_type)?;
    writeln!(f, "  driver     {} {}", info.driver, info.driver_info)?;
    writeln!(f, "  backend    {}", info.backend)?;
    writeln!(
        f,
        "  limits     binding {:.0} MiB, buffer {:.0} MiB, {} storage buffers per kernel",
        mib(limits.max_storage_buffer_binding_size),
        mib(limits.max_buffer_size),
        limits.max_storage_buffers_per_shader_stage
    )?;
    writeln!(
        f,
        "             workgroups {} per dimension, {} invocations, {} KiB memory",
        limits.max_compute_workgroups_per_dimension,
        limits.max_compute_invocations_per_workgroup,
        limits.max_compute_workgroup_storage_size / 1024
    )?;
    let names: Vec<_> = features.iter_names().map(|(name, _)| name.to_lowercase()).collect();
    write!(f, "  features   {}", list(&names))?;
    if features.contains(wgpu::Features::SUBGROUP) {
        write!(f, " (subgroups of {} to {})", info.subgroup_min_size, info.subgroup_max_size)?;
    }
    Ok(())
}
