//! The times of kernels, beside the roofline.

#[path = "../../benches/rows/mod.rs"]
mod rows;

use std::time::Instant;

use retape::ops::{ConvRoute, MatmulRoute};
use retape::prelude::*;
use retape::session::Cost;
use retape::tape::DeviceKind;
use retape::{ProfileOptions, Roofline};
use rows::convolutions::{CIFAR, Layer, MNIST, OTHERS, Part, RESNET, VGG};
use rows::{Row, Work, step, uniform};
use serde_json::{Value as Json, json};

use crate::common::round;
use crate::{Budget, Skipped, skipped_json};

/// How long a sample takes, about, and how many there are at most: the best of them counts.
const SAMPLE: f64 = 0.03;
const SAMPLES: usize = 5;

/// How much of its roofline a kernel reaches at least, as far as can be said beforehand, and of what the products
/// before it reached.
const EXPECTED: f64 = 0.03;
const OF_OTHERS: f64 = 0.4;

/// The time of a row.
pub struct Measured {
    pub name: String,
    /// What it does, in the time of a replay.
    pub cost: Cost,
    is_product: bool,
}

/// What was measured, and what not.
pub struct Kernels {
    pub measured: Vec<Measured>,
    pub skipped: Vec<Skipped>,
}

impl Kernels {
    /// What products and convolutions reach, the middle of them; 0 before anything is known.
    pub fn gflops(&self) -> f64 {
        let products = self.measured.iter().filter(|row| row.is_product);
        let mut rates: Vec<f64> = products.map(|row| row.cost.gflops()).collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(0.0)
    }

    pub fn json(&self) -> Json {
        let row = |Measured { name, cost, .. }: &Measured| {
            json!({
                "name": name,
                "us": round(cost.microseconds, 2),
                "gflops": round(cost.gflops(), 2),
                "gbps": round(cost.gbps(), 2),
                "percent_of_roofline": cost.percent_of_roofline().map(|percent| round(percent, 1)),
            })
        };
        let measured: Vec<Json> = self.measured.iter().map(row).collect();
        json!({ "measured": measured, "skipped": skipped_json(&self.skipped) })
    }
}

/// Times as many rows as there is time for.
pub fn run(device: &Device, roofline: Option<Roofline>, budget: &Budget) -> Kernels {
    let mut kernels = Kernels { measured: Vec::new(), skipped: Vec::new() };
    for row in all(device) {
        match measure(device, &row, roofline, kernels.gflops(), budget) {
            Ok(Some(found)) => {
                let cost = found.cost;
                let [time, gflops, gbps] = [cost.microseconds, cost.gflops(), cost.gbps()];
                println!("  {:48} {time:12.1} us {gflops:9.1} GFLOP/s {gbps:8.1} GB/s", found.name);
                kernels.measured.push(found);
            }
            Ok(None) => kernels.skipped.push(Skipped::new(&row.name, "there was no time for it")),
            Err(error) => kernels.skipped.push(Skipped::new(&row.name, error)),
        }
    }
    kernels
}

/// The time of a row, if there is enough for it.
fn measure(
    device: &Device,
    row: &Row,
    roofline: Option<Roofline>,
    others: f64,
    budget: &Budget,
) -> retape::Result<Option<Measured>> {
    let recorded = row.record()?;
    let [gflops, gbps] = roofline.map_or([1.0, 1.0], |top| [top.gflops, top.gbps]);
    let (is_product, about) = match recorded.work {
        Work::Flops(flops) => (true, flops as f64 / (EXPECTED * gflops).max(OF_OTHERS * others) / 1e9),
        Work::Bytes(bytes) => (false, bytes as f64 / (EXPECTED * gbps) / 1e9),
    };
    // A first step, a second and a profile.
    if 3.0 * about > budget.left() {
        return Ok(None);
    }
    let mut session = recorded.tape.session(device)?;
    for (value, data) in &recorded.inputs {
        match data {
            rows::Data::F32(data) => session.write(*value, data)?,
            rows::Data::U32(data) => session.write(*value, data)?,
        }
    }
    let mut run = |steps: usize| -> retape::Result<f64> {
        let start = Instant::now();
        session.replay_n(steps)?;
        wait(device);
        Ok(start.elapsed().as_secs_f64() / steps as f64)
    };
    run(1)?;
    let once = run(1)?;
    let steps = (SAMPLE / once).clamp(1.0, 1e4) as usize;
    let samples = ((budget.left() / once / steps as f64 / 4.0) as usize).min(SAMPLES);
    let best = (0..samples).try_fold(once, |best, _| run(steps).map(|time| best.min(time)))?;
    let mut cost = session.profile_with(ProfileOptions::new().repeats(1))?.total();
    cost.microseconds = 1e6 * best;
    Ok(Some(Measured { name: row.name.clone(), cost, is_product }))
}

/// Waits until the device has done all that it was given.
fn wait(device: &Device) {
    if let Some((device, _)) = device.wgpu() {
        // A loss of the device is an error of the next call.
        let _ = device.poll(retape::wgpu::PollType::wait_indefinitely());
    }
}

/// What is timed, the quick ones first within each kind.
fn all(device: &Device) -> Vec<Row> {
    let is_gpu = device.profile().is_some_and(|profile| profile.kind == DeviceKind::Gpu);
    let mut all = memory(if is_gpu { 4096 } else { 2048 });
    all.extend([512, 1024].map(square));
    let layers = |name: &Row| name.name.ends_with("auto") && !name.name.contains("512x512x512");
    all.extend(rows::products::rows().into_iter().filter(layers));
    let parts =
        |(layer, batch): (Layer, usize)| Part::ALL.map(|part| layer.row(batch, part, ConvRoute::Auto));
    let small = [(MNIST[0], 128), (MNIST[1], 128), (CIFAR[0], 32), (CIFAR[1], 32), (CIFAR[2], 32)];
    all.extend(small.into_iter().flat_map(parts));
    all.extend(rows::recurrent::rows());
    all.extend(OTHERS.into_iter().flat_map(|layer| parts((layer, 8))));
    all.push(square(2048));
    let large = [RESNET[0], RESNET[4], RESNET[8], RESNET[13], RESNET[18], VGG[3], VGG[5], VGG[7]];
    all.extend(large.into_iter().flat_map(|layer| parts((layer, 8))));
    all.push(square(4096));
    all
}

/// A product of square matrices.
fn square(n: usize) -> Row {
    Row::arithmetic(format!("matmul {n}x{n}x{n}"), 2 * (n * n * n) as u64, move |g| {
        let a = uniform(g, "a", [n, n], [-1.0, 1.0]);
        let b = uniform(g, "b", [n, n], [-1.0, 1.0]);
        Ok(step(g.matmul_by(a.0, b.0, MatmulOptions::new().route(MatmulRoute::Auto))?, vec![a, b]))
    })
}

/// Operators that memory limits, of `[n, n]` elements.
fn memory(n: usize) -> Vec<Row> {
    type Of = fn(&mut Graph, Value, usize) -> retape::Result<Value>;
    let of: [(&str, Of); 9] = [
        ("copy", |g, x, _| g.copy(x)),
        ("relu", |g, x, _| g.relu(x)),
        ("gelu", |g, x, _| g.gelu(x)),
        ("transpose", |g, x, _| g.transpose(x, &[1, 0])),
        ("sum of rows", |g, x, _| g.sum(x, &[1], false)),
        ("sum of columns", |g, x, _| g.sum(x, &[0], false)),
        ("softmax of rows", |g, x, _| g.softmax(x, 1)),
        ("max_pool2d 2x2", |g, x, n| {
            let images = g.reshape(x, [n / 16, 16, n / 16, 16])?;
            g.max_pool2d(images, PoolOptions::new(2).stride([2, 2]))
        }),
        ("batch_norm", |g, x, n| {
            let images = g.reshape(x, [n / 16, 16, n / 16, 16])?;
            Ok(g.batch_norm(images, None, None, 1e-5)?.y())
        }),
    ];
    let row = |(name, build): (&str, Of)| {
        Row::memory(format!("{name} [{n}, {n}]"), move |g| {
            let x = uniform(g, "x", [n, n], [-1.0, 1.0]);
            Ok(step(build(g, x.0, n)?, vec![x]))
        })
    };
    let mut rows: Vec<Row> = of.into_iter().map(row).collect();
    rows.push(Row::memory(format!("add [{n}, {n}]"), move |g| {
        let a = uniform(g, "a", [n, n], [-1.0, 1.0]);
        let b = uniform(g, "b", [n, n], [-1.0, 1.0]);
        Ok(step(g.add(a.0, b.0)?, vec![a, b]))
    }));
    rows.push(Row::memory(format!("adam [{n}, {n}]"), move |g| {
        let w = g.parameter("w", [n, n], Init::Ones);
        let dw = uniform(g, "dw", [n, n], [-1.0, 1.0]);
        Adam::new(1e-3).record(g, &[(w, dw.0)])?;
        Ok(rows::Step { outputs: Vec::new(), inputs: vec![dw] })
    }));
    rows
}
