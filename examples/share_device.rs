//! A program that owns its wgpu device lends it to the engine, and uses the engine's buffers in its
//! own compute passes. Nothing crosses to the CPU on the way.
//!
//! It teaches embedding: `Device::from_wgpu`, `Session::buffer`, and that work is ordered by the
//! order in which it is submitted to the one queue.
//!
//! The host makes pixel coordinates in a pass of its own, straight into the input of a network that
//! was drawn at random; the engine replays the network; a second pass of the host turns the
//! network's output into grey levels. Only the finished picture is read back.

mod common;

use std::error::Error;
use std::process::ExitCode;

use common::{Example, Flags, Outcome, Results, announce};
use retape::prelude::*;
use retape::wgpu;

const EXAMPLE: Example = Example {
    name: "share_device",
    about: "Runs a tape on the host's own wgpu device, between two compute passes of the host that share its buffers.",
    unused: &["data", "epochs", "batch", "limit"],
};

const WIDTH: u32 = 64;
const HEIGHT: u32 = 24;
const PIXELS: u32 = WIDTH * HEIGHT;

/// The host's own kernels. They know nothing of the engine.
const HOST_SHADER: &str = "
const WIDTH = 64u;
const HEIGHT = 24u;

@group(0) @binding(0) var<storage, read> field: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@group(0) @binding(1) var<storage, read_write> grey: array<u32>;

// Rows (x, y) with both in -2 .. 2.
@compute @workgroup_size(64)
fn coordinates(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= WIDTH * HEIGHT { return; }
    let pixel = vec2<f32>(f32(id.x % WIDTH), f32(id.x / WIDTH));
    let at = 4.0 * (pixel + 0.5) / vec2<f32>(f32(WIDTH), f32(HEIGHT)) - 2.0;
    result[2u * id.x] = at.x;
    result[2u * id.x + 1u] = at.y;
}

// Grey levels 0 .. 255 from a field in 0 .. 1.
@compute @workgroup_size(64)
fn shade(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= WIDTH * HEIGHT { return; }
    grey[id.x] = u32(round(255.0 * clamp(field[id.x], 0.0, 1.0)));
}
";

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

/// A network with random weights, evaluated for every pixel at once.
fn network(g: &mut Graph) -> retape::Result<(Value, Value)> {
    let x = g.input("x", [PIXELS as usize, 2]);
    let w1 = g.parameter("w1", [2, 16], Init::Normal { mean: 0.0, std: 1.5 });
    let w2 = g.parameter("w2", [16, 16], Init::Normal { mean: 0.0, std: 0.8 });
    let w3 = g.parameter("w3", [16, 1], Init::Normal { mean: 0.0, std: 1.5 });
    let h1 = g.tanh(g.matmul(x, w1)?)?;
    let h2 = g.tanh(g.matmul(h1, w2)?)?;
    let y = g.sigmoid(g.matmul(h2, w3)?)?;
    Ok((x, y))
}

/// What the host runs its own kernels with.
struct Host<'a> {
    device: &'a wgpu::Device,
    queue: &'a wgpu::Queue,
    module: &'a wgpu::ShaderModule,
}

impl Host<'_> {
    /// One compute pass of the host's, a thread per pixel.
    fn pass(&self, entry: &str, bindings: &[(u32, wgpu::BindingResource<'_>)]) {
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: self.module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = bindings
            .iter()
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding: *binding, resource: resource.clone() })
            .collect();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(entry),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(PIXELS.div_ceil(64), 1, 1);
        }
        self.queue.submit([encoder.finish()]);
    }
}

/// Draws grey levels as text.
fn draw(levels: &[u32]) {
    for row in levels.chunks_exact(WIDTH as usize) {
        let shades = b" .:-=+*#%@";
        let line = row.iter().map(|&v| char::from(shades[v as usize * (shades.len() - 1) / 255]));
        println!("{}", line.collect::<String>());
    }
}

fn run(flags: &Flags) -> Outcome {
    // The host's device, opened as the host likes. The engine asks for immediates, 128 bytes of
    // them, and for nothing else.
    let (adapter, device, queue) = pollster::block_on(open(&flags.device))?;
    let engine = Device::from_wgpu(&adapter, device.clone(), queue.clone())?;
    announce(&engine);

    let mut g = Graph::new();
    let (x, y) = network(&mut g)?;
    let mut session = g.forward([y])?.session_with(&engine, SessionOptions::new().seed(flags.seed))?;

    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("host"),
        source: wgpu::ShaderSource::Wgsl(HOST_SHADER.into()),
    });
    let picture = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("picture"),
        size: 4 * u64::from(PIXELS),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let host = Host { device: &device, queue: &queue, module: &module };
    host.pass("coordinates", &[(1, session.buffer(x)?.binding())]);
    session.replay()?;
    host.pass("shade", &[(0, session.buffer(y)?.binding()), (1, picture.as_entire_binding())]);
    let levels = read_back(&device, &queue, &picture)?;

    draw(&levels);

    // The same picture on the CPU, from the same seed: the proof that the buffers were the right
    // ones.
    let mut reference =
        session.tape().session_with(&Device::cpu(), SessionOptions::new().seed(flags.seed))?;
    reference.write(x, &session.read(x)?)?;
    reference.replay()?;
    let expected = reference.read(y)?;
    let off = |(&level, &y): (&u32, &f32)| (level as f32 - 255.0 * y).abs();
    let distances: Vec<f32> = levels.iter().zip(&expected).map(off).collect();
    let worst = distances.iter().copied().fold(0.0, f32::max);
    println!("largest distance from the CPU: {worst:.3} of 255 grey levels, 0.5 by rounding");
    // One by one, since a maximum passes over NaN.
    let agrees = distances.iter().all(|&distance| distance <= 0.51);
    if !agrees {
        return Err("the picture is not the one that the CPU gives".into());
    }

    let mut results = Results::new(EXAMPLE.name, &engine);
    results.set("pixels", PIXELS);
    results.set("largest_difference", worst);
    Ok(results)
}

/// Opens a device for the host: the adapter whose name contains `name`, hardware before software.
async fn open(name: &str) -> Result<(wgpu::Adapter, wgpu::Device, wgpu::Queue), Box<dyn Error>> {
    if name == "cpu" {
        return Err("there is no wgpu device to share on the CPU; `--device gpu` takes any adapter".into());
    }
    let any = ["auto", "gpu"].contains(&name);
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let mut found = instance.enumerate_adapters(wgpu::Backends::all()).await;
    found.sort_by_key(|a| a.get_info().device_type == wgpu::DeviceType::Cpu);
    let names: Vec<String> = found.iter().map(|a| a.get_info().name).collect();
    let fits = |a: &wgpu::Adapter| any || a.get_info().name.to_lowercase().contains(&name.to_lowercase());
    let Some(adapter) = found.into_iter().find(fits) else {
        let wanted = if any { "at all".to_owned() } else { format!("whose name contains `{name}`") };
        return Err(retape::Error::NoAdapter { wanted, found: names }.into());
    };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("host"),
        required_features: wgpu::Features::IMMEDIATES,
        required_limits: wgpu::Limits { max_immediate_size: 128, ..adapter.limits() },
        ..Default::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await?;
    Ok((adapter, device, queue))
}

/// The contents of a buffer of u32.
fn read_back(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    buffer: &wgpu::Buffer,
) -> Result<Vec<u32>, Box<dyn Error>> {
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("staging"),
        size: buffer.size(),
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
    queue.submit([encoder.finish()]);
    let (sender, receiver) = std::sync::mpsc::channel();
    staging.slice(..).map_async(wgpu::MapMode::Read, move |mapped| {
        let _ = sender.send(mapped);
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    receiver.recv()??;
    let words = bytemuck::pod_collect_to_vec(&staging.slice(..).get_mapped_range()?);
    Ok(words)
}
