//! wgpu devices that belong to the test and not to the engine.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::open_gpu;
use retape::prelude::*;
use retape::wgpu;

/// A device of the test's own, which it may lend and destroy.
pub struct Host {
    pub device: wgpu::Device,
    pub lent: Device,
    /// What its error handler has heard.
    pub heard: Arc<Mutex<Vec<String>>>,
    /// How often its handler for a lost device was called.
    pub lost: Arc<AtomicU32>,
}

impl Host {
    /// With handlers for errors and for a loss, or without any: wgpu panics at an error then.
    pub fn open(handlers: bool) -> Host {
        let name = open_gpu().name().to_owned();
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        let adapter = adapters.into_iter().find(|a| a.get_info().name == name).expect("the same adapter");
        let descriptor = wgpu::DeviceDescriptor {
            required_features: adapter.features() & (wgpu::Features::IMMEDIATES | wgpu::Features::SUBGROUP),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
        let (heard, lost) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU32::new(0)));
        if handlers {
            let to = heard.clone();
            device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
                to.lock().expect("nobody panics here").push(error.to_string());
            }));
            let to = lost.clone();
            device.set_device_lost_callback(move |_, _| _ = to.fetch_add(1, Ordering::Relaxed));
        }
        let lent = Device::from_wgpu(&adapter, device.clone(), queue).expect("it has what is needed");
        Host { device, lent, heard, lost }
    }

    /// Does something wrong on the device, as another user of it may.
    pub fn err(&self) {
        let usage = wgpu::BufferUsages::empty();
        let wrong = wgpu::BufferDescriptor { label: None, size: 4, usage, mapped_at_creation: false };
        drop(self.device.create_buffer(&wrong));
    }

    pub fn heard(&self) -> usize {
        self.heard.lock().expect("nobody panics here").len()
    }
}
