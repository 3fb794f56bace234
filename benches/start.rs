//! How long a program waits for its first training step: from the start of its process until the step has
//! run, with empty and with kept caches, and what each kernel's first run adds.
//!
//! ```text
//! cargo bench --bench start
//! cargo bench --bench start -- cnn   # lines whose names hold one of the words; --list names them
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench start
//! ```
//!
//! Each of seven runs is a process of its own, this program called anew; medians count. Caches are the one of
//! this crate and the driver's, if that is Mesa's: for "empty" the first is in a new folder and the second off,
//! for "kept" both are in a folder that an uncounted run has filled. Caches of other drivers are left as they
//! are. A process opens the device, builds the trainer (records, plans, makes pipelines) and makes a step of 128
//! images; "process" is all that, and what the system takes to start and to tell of it. Software drivers compile
//! a kernel where it first runs, which the building of a session has them do: the other lines tell the time of
//! each kernel's first run alone, beyond that of its second.

mod timing;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use retape::data::Dataset;
use retape::prelude::*;
use retape::random::Stream;
use retape::testing::*;
use timing::{Table, median};

const RUNS: usize = 7;
const BATCH: usize = 128;
/// Names the network in the environment of a process that is timed.
const CHILD: &str = "RETAPE_BENCH_START";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Empty,
    Kept,
    Kernels,
}

#[derive(Clone, Copy)]
struct Line {
    network: &'static str,
    measure: Measure,
}

const NETWORKS: [&str; 2] = ["mnist cnn", "784-512-10"];

impl Line {
    fn name(&self) -> String {
        let what = match self.measure {
            Measure::Empty => "empty caches",
            Measure::Kept => "kept caches",
            Measure::Kernels => "kernels",
        };
        format!("{}, {what}", self.network)
    }
}

fn main() {
    if let Ok(network) = std::env::var(CHILD) {
        return if std::env::args().len() > 1 { kernels(&network) } else { child(&network) };
    }
    let measures = [Measure::Empty, Measure::Kept, Measure::Kernels];
    let lines = NETWORKS.into_iter().flat_map(|network| measures.map(|measure| Line { network, measure }));
    let Some((_, lines)) = timing::wanted(lines, Line::name) else { return };
    let mut starts = Table::new(1, &["network", "process", "device", "trainer", "first step", "second step"]);
    for line in lines.iter().filter(|line| line.measure != Measure::Kernels) {
        Table::begin(line.name());
        let medians = processes(line).map(median);
        starts.row([line.name()].into_iter().chain(medians.map(|time| format!("{time:.0}"))));
    }
    starts.print();
    for line in lines.iter().filter(|line| line.measure == Measure::Kernels) {
        println!("\n{}: ms that a first run takes beyond a second\n", line.name());
        let mut table = Table::new(1, &["kernel", "first", "second"]);
        let said = output(line, &Folder::new().0);
        said.lines().for_each(|row| table.row(row.split('\t').map(str::to_owned)));
        table.print();
    }
}

/// The times of the columns, in milliseconds, of every run.
fn processes(line: &Line) -> [Vec<f64>; 5] {
    let folder = Folder::new();
    let mut times: [Vec<f64>; 5] = Default::default();
    let warm = usize::from(line.measure == Measure::Kept);
    for run in 0..RUNS + warm {
        let caches = if line.measure == Measure::Kept { "kept".to_owned() } else { run.to_string() };
        let found = process(line, &folder.0.join(caches));
        if run >= warm {
            times.iter_mut().zip(found).for_each(|(times, time)| times.push(time));
        }
    }
    times
}

fn process(line: &Line, caches: &Path) -> [f64; 5] {
    let start = Instant::now();
    let said = output(line, caches);
    let whole = millis(start);
    let mut phases = said.split_whitespace().map(|time| time.parse::<f64>().expect("times are printed"));
    let mut next = || phases.next().expect("there is a time for each phase");
    [whole - next(), next(), next(), next(), next()]
}

/// What this program prints in a process for a line, with its caches in a folder.
fn output(line: &Line, caches: &Path) -> String {
    let mesa = caches.join("mesa");
    fs::create_dir_all(&mesa).expect("folders can be made in the system's temporary folder");
    let output = Command::new(std::env::current_exe().expect("this program is known"))
        .env(CHILD, line.network)
        .env("RETAPE_KERNEL_CACHE", caches)
        .env("MESA_SHADER_CACHE_DIR", &mesa)
        .env("MESA_SHADER_CACHE_DISABLE", if line.measure == Measure::Kept { "false" } else { "true" })
        .args((line.measure == Measure::Kernels).then_some("kernels"))
        .output()
        .expect("this program runs again");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Times the phases of a start and prints them, in milliseconds, after what the second step took with the end.
fn child(network: &str) {
    let start = Instant::now();
    let device = timing::device();
    let opened = millis(start);
    let mut trainer = trainer(network, &device);
    let built = millis(start);
    let data = samples();
    let prepared = millis(start);
    let step = |trainer: &mut Trainer| {
        let start = Instant::now();
        let logs = trainer.train_on_batch(&data).expect("the step runs");
        assert!(logs.get("loss").is_some_and(f64::is_finite));
        millis(start)
    };
    let first = step(&mut trainer);
    let second = step(&mut trainer);
    // A program would have its samples already, and makes no second step before its first.
    let beside = prepared - built + second;
    println!("{beside} {opened} {} {first} {second}", built - opened);
}

fn trainer(network: &str, device: &Device) -> Trainer {
    let relu = Activation::Relu;
    let model = match network {
        "mnist cnn" => Sequential::new()
            .add(Conv2d::new(10, [5, 5]).activation(relu))
            .add(MaxPool2d::new([2, 2]))
            .add(Conv2d::new(20, [5, 5]).activation(relu))
            .add(MaxPool2d::new([2, 2]))
            .add(Flatten)
            .add(Dense::new(100).activation(relu)),
        _ => Sequential::new().add(Flatten).add(Dense::new(512).activation(relu)),
    };
    Trainer::new(model.add(Dense::new(10)), [1, 28, 28])
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(RmsProp::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(BATCH)
        .progress(false)
        .build(device)
        .expect("the trainer is built")
}

/// Prints the kernels of a training step, the one that takes longest to compile first. They run one by one.
fn kernels(network: &str) {
    let device = timing::device();
    let trainer = trainer(network, &device);
    let plan = trainer.session().plan().expect("the device is a GPU");
    let mut found: Vec<(String, f64, f64)> = Vec::new();
    let raw = fresh_dispatches(trainer.session());
    for (index, (dispatch, planned)) in raw.iter().zip(&plan.dispatches).enumerate() {
        if raw[..index].iter().any(|earlier| earlier.pipeline == dispatch.pipeline) {
            continue;
        }
        let [first, second] = [run(&device, dispatch), run(&device, dispatch)];
        found.push((format!("{} {}", planned.shader.name(), planned.entry), first - second, second));
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.iter().for_each(|(name, first, second)| println!("{name}\t{first:.1}\t{second:.1}"));
    let total: f64 = found.iter().map(|(_, first, _)| first).sum();
    println!("all\t{total:.1}\t");
}

/// The milliseconds of one dispatch on its own.
fn run(device: &Device, dispatch: &RawDispatch) -> f64 {
    let (gpu, queue) = device.wgpu().expect("the device is a GPU");
    let start = Instant::now();
    let mut encoder = gpu.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&dispatch.pipeline);
        pass.set_bind_group(0, &dispatch.bind_group, &[]);
        if !dispatch.params.is_empty() {
            pass.set_immediates(0, &dispatch.params);
        }
        let [x, y, z] = dispatch.groups;
        pass.dispatch_workgroups(x, y, z);
    }
    queue.submit([encoder.finish()]);
    timing::wait(device);
    millis(start)
}

/// Noise of the size of MNIST's images, of random classes.
fn samples() -> Dataset {
    let stream = Stream { seed: 1, step: 0, stream: 0 };
    let pixels = (0..(BATCH * 784) as u32).map(|i| stream.uniform(i) as f32).collect();
    let labels = (0..BATCH as u32).map(|i| stream.words(i)[1] % 10).collect();
    Dataset::new([1, 28, 28], pixels, labels, 10).expect("the samples fit together")
}

/// A folder of this process among the system's temporary files, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let folder = std::env::temp_dir().join(format!("retape-start-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
