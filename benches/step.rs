//! What the host does for a training step: recording, planning and binding once, and encoding at
//! every replay, against a bare wgpu loop over the same dispatches in the same run.
//!
//! ```text
//! cargo bench --bench step
//! cargo bench --bench step -- xor   # networks whose names hold one of the words; --list names them
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench step
//! ```
//!
//! The bare loop is what a careful program would write: one command encoder, one compute pass, and
//! per dispatch the pipeline, bind group and immediates only where they differ from the dispatch
//! before. Replays and bare loops take turns and the device is idle before each, because some
//! drivers make a submission wait for the one before it. Times are medians.

mod timing;

use std::hint::black_box;
use std::time::Instant;

use retape::prelude::*;
use retape::testing::*;
use retape::wgpu;
use timing::{Table, median, wait};

/// Turns of each loop.
const TURNS: usize = 400;

fn main() {
    let networks = [
        Network { name: "xor 2-8-1, batch 4", widths: &[2, 8, 1], batch: 4 },
        Network { name: "64-32-32-32-10, batch 32", widths: &[64, 32, 32, 32, 10], batch: 32 },
        Network { name: "784-128-10, batch 64", widths: &[784, 128, 10], batch: 64 },
        Network { name: "784-512-10, batch 128", widths: &[784, 512, 10], batch: 128 },
    ];
    let Some((device, networks)) = timing::wanted(networks, |network| network.name.to_owned()) else {
        return;
    };
    let mut once = Table::new(1, &["network", "dispatches", "record", "plan", "first", "session"]);
    let mut steps = Table::new(
        1,
        &[
            "network",
            "our host",
            "bare host",
            "bare encode",
            "bare submit",
            "our whole",
            "bare whole",
            "ours - bare per dispatch",
        ],
    );
    for network in &networks {
        Table::begin(network.name);
        measure(network, &device, &mut once, &mut steps);
    }
    println!(
        "once, ms: record = graph, gradients and updates; first = session with its kernels to compile\n"
    );
    once.print();
    println!("\nper step, us: host = encode and submit; whole = until the device has run it\n");
    steps.print();
}

/// A perceptron with Adam.
struct Network {
    name: &'static str,
    widths: &'static [usize],
    batch: usize,
}

impl Network {
    fn record(&self) -> retape::Result<Tape> {
        let mut g = Graph::new();
        let mut x = g.input("x", [self.batch, self.widths[0]]);
        let outputs = self.widths[self.widths.len() - 1];
        let target = g.targets("target", [self.batch, outputs]);
        for (layer, width) in self.widths.windows(2).enumerate() {
            let w = g.parameter(&format!("w{layer}"), [width[0], width[1]], Init::GlorotUniform);
            let b = g.parameter(&format!("b{layer}"), [width[1]], Init::Zeros);
            x = g.add(g.matmul(x, w)?, b)?;
            if layer + 2 < self.widths.len() {
                x = g.relu(x)?;
            }
        }
        let loss = g.mean(g.square(g.sub(x, target)?)?, &[], false)?;
        g.training_step(loss, &Adam::new(1e-3))
    }
}

/// Adds a network's line to either table. Times are medians.
fn measure(network: &Network, device: &Device, once: &mut Table, steps: &mut Table) {
    let (gpu, queue) = device.wgpu().expect("the device is a GPU");
    let profile = device.profile().expect("the device is a GPU");
    let tape = network.record().unwrap_or_else(|e| panic!("{}: {e}", network.name));
    let first = middle(1, || drop(tape.session(device).expect("the step fits")));
    let record = middle(21, || drop(black_box(network.record())));
    let plan = middle(21, || drop(black_box(tape.plan(profile))));
    let bind = middle(21, || drop(tape.session(device).expect("the step fits")));
    let mut session = tape.session(device).expect("the step fits");
    let raw = raw_dispatches(&session);
    let line = |cells: &[(f64, usize)]| -> Vec<String> {
        let shown = cells.iter().map(|&(number, digits)| format!("{number:.digits$}"));
        [network.name.to_owned()].into_iter().chain(shown).collect()
    };
    let milliseconds = [(record / 1e3, 2), (plan / 1e3, 2), (first / 1e3, 1), (bind / 1e3, 2)];
    once.row(line(&[&[(raw.len() as f64, 0)][..], &milliseconds].concat()));

    let mut ours: [Vec<f64>; 2] = Default::default();
    let mut bare: [Vec<f64>; 4] = Default::default();
    for turn in 0..TURNS {
        // Whoever goes second finds warmer caches: they take turns at that too.
        for replay in [turn % 2 == 0, turn % 2 != 0] {
            if replay {
                add(&mut ours, replay_once(device, &mut session));
            } else {
                add(&mut bare, bare_once(device, gpu, queue, &raw));
            }
        }
    }
    let ([ours, ours_whole], [encode, submit, bare, bare_whole]) = (ours.map(median), bare.map(median));
    let excess = (ours - bare) / raw.len() as f64;
    let micros = [ours, bare, encode, submit, ours_whole, bare_whole].map(|time| (time, 1));
    steps.row(line(&[&micros[..], &[(excess, 3)]].concat()));
}

fn add<const N: usize>(samples: &mut [Vec<f64>; N], values: [f64; N]) {
    samples.iter_mut().zip(values).for_each(|(samples, value)| samples.push(value));
}

/// A replay on the idle device: until it returns, and until it has run.
fn replay_once(device: &Device, session: &mut Session) -> [f64; 2] {
    wait(device);
    let start = Instant::now();
    session.replay().expect("the step replays");
    let host = micros(start);
    wait(device);
    [host, micros(start)]
}

/// The bare loop on the idle device: encoding, submitting, both, and until it has run.
fn bare_once(
    device: &Device,
    gpu: &wgpu::Device,
    queue: &wgpu::Queue,
    dispatches: &[RawDispatch],
) -> [f64; 4] {
    wait(device);
    let start = Instant::now();
    let commands = encode(gpu, dispatches);
    let encoded = micros(start);
    queue.submit([commands]);
    let host = micros(start);
    wait(device);
    [encoded, host - encoded, host, micros(start)]
}

/// The bare loop, up to the finished command buffer.
fn encode(device: &wgpu::Device, dispatches: &[RawDispatch]) -> wgpu::CommandBuffer {
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let mut last: Option<&RawDispatch> = None;
        for d in dispatches {
            let switched = last.is_none_or(|l| l.pipeline != d.pipeline);
            if switched {
                pass.set_pipeline(&d.pipeline);
            }
            if last.is_none_or(|l| l.bind_group != d.bind_group) {
                pass.set_bind_group(0, &d.bind_group, &[]);
            }
            if !d.params.is_empty() && (switched || last.is_none_or(|l| l.params != d.params)) {
                pass.set_immediates(0, &d.params);
            }
            let [x, y, z] = d.groups;
            pass.dispatch_workgroups(x, y, z);
            last = Some(d);
        }
    }
    encoder.finish()
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// The median time of a call in microseconds.
fn middle(times: usize, mut call: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        call();
        micros(start)
    };
    median((0..times).map(time).collect())
}
