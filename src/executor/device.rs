use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::gpu::{GpuContext, Wanted, named_by_environment};
use crate::kernel::DeviceProfile;

/// Where sessions run: a GPU, the CPU, or the reference. Cheap to clone; clones are the same
/// device and share its compiled kernels.
///
/// `Display` tells what it is: adapter, driver, backend, limits and features in use.
#[derive(Clone)]
pub struct Device {
    pub(crate) backend: Backend,
}

#[derive(Clone)]
pub(crate) enum Backend {
    Cpu,
    Reference,
    Gpu(Arc<GpuContext>),
}

impl Device {
    /// A hardware GPU if there is one, otherwise the CPU. A software driver is taken only
    /// if `WGPU_ADAPTER_NAME` names it.
    ///
    /// # Errors
    /// If a GPU is there but cannot be opened.
    pub fn auto() -> Result<Device> {
        match Device::open(Wanted::Hardware) {
            Err(Error::NoAdapter { .. }) if named_by_environment().is_none() => Ok(Device::cpu()),
            opened => opened,
        }
    }

    /// The CPU, in f32: sessions replay the fused tape on buffers that are planned and used again as a GPU's are,
    /// by as many threads as rayon's pool has, with results that do not depend on how many. What a
    /// [`Session::verify`](crate::Session::verify) allows a GPU's kernels, it is held to as well.
    ///
    /// Sessions that share parameters take turns: one waits until the other's replay has ended. Replay such
    /// sessions on threads of your own, not in tasks of rayon's pool: a worker that waits for parts of one's step
    /// may take up the task with the other, which then waits for the one beneath it for ever.
    pub fn cpu() -> Device {
        Device { backend: Backend::Cpu }
    }

    /// The reference: every operator of the recorded tape in f64, from its formula. Made to be right and not to be fast; what
    /// [`Session::verify`](crate::Session::verify) and tests compare with.
    pub fn reference() -> Device {
        Device { backend: Backend::Reference }
    }

    /// A GPU, hardware or software, by wgpu's environment variables: `WGPU_BACKEND` (such as
    /// `vulkan`), `WGPU_ADAPTER_NAME` (part of a name) and `WGPU_POWER_PREF` (`high` or `low`).
    ///
    /// # Errors
    /// [`Error::NoAdapter`](crate::Error::NoAdapter), listing those there are;
    /// [`Error::Unsupported`](crate::Error::Unsupported).
    pub fn gpu() -> Result<Device> {
        Device::open(Wanted::Any)
    }

    /// The adapter whose name or driver contains `name`, ignoring case: `Device::named("llvmpipe")`.
    ///
    /// # Errors
    /// [`Error::NoAdapter`](crate::Error::NoAdapter), listing those there are;
    /// [`Error::Argument`](crate::Error::Argument) for an empty name, which all contain.
    pub fn named(name: &str) -> Result<Device> {
        if name.trim().is_empty() {
            let expected = "it must be part of an adapter's name; `Device::auto` chooses by itself";
            return Err(Error::argument("name", format!("`{name}`"), expected));
        }
        Device::open(Wanted::Named(name))
    }

    /// `auto`, `cpu`, `reference`, `gpu`, or part of an adapter's name: what the examples' `--device` takes.
    pub fn select(what: &str) -> Result<Device> {
        match what {
            "auto" => Device::auto(),
            "cpu" => Ok(Device::cpu()),
            "reference" => Ok(Device::reference()),
            "gpu" => Device::gpu(),
            name => Device::named(name),
        }
    }

    /// Whether sessions run on a GPU (or a software driver).
    pub fn is_gpu(&self) -> bool {
        self.context().is_some()
    }

    /// Whether it computes in f64.
    pub(crate) fn is_reference(&self) -> bool {
        matches!(self.backend, Backend::Reference)
    }

    /// A short name: the adapter's, `cpu` or `reference`.
    pub fn name(&self) -> &str {
        match &self.backend {
            Backend::Cpu => "cpu",
            Backend::Reference => "reference",
            Backend::Gpu(context) => &context.profile.name,
        }
    }

    /// The properties that plans depend on; `None` on the CPU, which needs none for kernels.
    pub fn profile(&self) -> Option<&DeviceProfile> {
        self.context().map(|context| &context.profile)
    }

    /// A device over a wgpu device that the program already owns. The program keeps its error and
    /// device-lost handlers. They hear nothing of what a call here returns as an error, and what others do wrong on
    /// the device is told to them and to nobody here. After a loss, of which only the device-lost handler is
    /// told why, every call fails with [`Error::DeviceLost`](crate::Error::DeviceLost). Buffers of a session can be
    /// used in the program's own command encoders through [`Session::buffer`](crate::Session::buffer).
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the device was opened without `Features::IMMEDIATES` or with
    /// less than 128 bytes of them; [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Device> {
        let context = GpuContext::new(adapter.get_info(), device, queue)?;
        Ok(Device { backend: Backend::Gpu(Arc::new(context)) })
    }

    /// Sets about how long a submission to a GPU should take: 100 ms unless this is called. It holds from the next replay
    /// on for all sessions and trainers of the device and its clones, and changes nothing about what they compute.
    ///
    /// Steps are handed over in submissions of as many dispatches as that time is enough for by their
    /// [work](crate::tape::Work) and by how fast the device has been so far: several small steps in one, a large step in
    /// several, one dispatch at least. Before anything is measured the device is taken to be slow, so that the first
    /// submissions are short. Make them shorter where the GPU draws frames too, longer where handing over costs much;
    /// Windows ends a submission after 2 s, and resets the device.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use retape::prelude::*;
    /// let device = Device::auto()?;
    /// device.set_submission_time(Duration::from_millis(4));
    /// # Ok::<(), retape::Error>(())
    /// ```
    pub fn set_submission_time(&self, about: Duration) {
        if let Some(context) = self.context() {
            context.flight.set_submission(about);
        }
    }

    /// The wgpu device and queue under a GPU device.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.context().map(|context| (&context.device, &context.queue))
    }

    fn open(wanted: Wanted<'_>) -> Result<Device> {
        Ok(Device { backend: Backend::Gpu(GpuContext::open(wanted)?) })
    }

    pub(crate) fn context(&self) -> Option<&Arc<GpuContext>> {
        match &self.backend {
            Backend::Cpu | Backend::Reference => None,
            Backend::Gpu(context) => Some(context),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.context() {
            None => {
                let kind = if self.is_reference() { "reference, f64" } else { "CPU, f32" };
                write!(f, "{kind}, {} threads", rayon::current_num_threads())
            }
            Some(context) => fmt::Display::fmt(context, f),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}
