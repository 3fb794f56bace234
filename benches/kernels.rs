//! Kernels at named shapes: GFLOP/s of products, GB/s of everything else.
//!
//! ```text
//! cargo bench --bench kernels                    # on the GPU that Device::gpu finds
//! cargo bench --bench kernels -- matmul          # rows whose name contains `matmul`
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench kernels
//! ```
//!
//! Before a row is timed, its results are compared with the f64 reference; a row that differs stops
//! the run. A time is that of one step: a replay of many steps, waited for, over their number.

mod rows;
mod timing;

use std::cell::{Cell, OnceCell};
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use retape::prelude::*;
use rows::{Row, Work};

fn main() {
    let device = timing::device();
    println!("{device}\n");
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(300))
        .without_plots()
        .configure_from_args();
    let measured: Vec<_> =
        rows::rows().iter().filter_map(|row| measure(&mut criterion, &device, row)).collect();
    criterion.final_summary();
    print_table(&measured);
}

/// A row's name, work and best time of a step in seconds.
struct Measured {
    name: String,
    work: Work,
    seconds: f64,
}

impl Measured {
    /// In GFLOP/s or GB/s.
    fn rate(&self) -> f64 {
        let (Work::Flops(work) | Work::Bytes(work)) = self.work;
        work as f64 / self.seconds / 1e9
    }

    fn is_product(&self) -> bool {
        matches!(self.work, Work::Flops(_))
    }
}

/// `None` for a row that the name filter leaves out.
fn measure(criterion: &mut Criterion, device: &Device, row: &Row) -> Option<Measured> {
    let recorded = row.record().unwrap_or_else(|e| panic!("{}: {e}", row.name));
    let best = Cell::new(f64::INFINITY);
    let checked = OnceCell::new();
    let mut session = recorded.tape.session(device).unwrap_or_else(|e| panic!("{}: {e}", row.name));
    let mut group = criterion.benchmark_group(if matches!(recorded.work, Work::Flops(_)) {
        "products"
    } else {
        "memory"
    });
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(match recorded.work {
        Work::Flops(flops) => Throughput::Elements(flops),
        Work::Bytes(bytes) => Throughput::Bytes(bytes),
    });
    group.bench_function(&row.name, |b| {
        checked.get_or_init(|| {
            let found = session.verify(&recorded.host_data()).unwrap_or_else(|e| panic!("{}: {e}", row.name));
            assert!(found.passes(), "{} differs from its reference\n{found}", row.name);
        });
        b.iter_custom(|steps| {
            let taken = timing::time(&mut session, device, steps as usize);
            best.set(best.get().min(taken.as_secs_f64() / steps as f64));
            taken
        });
    });
    group.finish();
    let seconds = best.get();
    seconds.is_finite().then(|| Measured { name: row.name.clone(), work: recorded.work, seconds })
}

/// One line per row: best time, rate, and the rate in percent of the best row of the same kind.
fn print_table(measured: &[Measured]) {
    let width = measured.iter().map(|m| m.name.len()).max().unwrap_or(0);
    for (product, unit) in [(true, "GFLOP/s"), (false, "GB/s")] {
        let of_kind: Vec<_> = measured.iter().filter(|m| m.is_product() == product).collect();
        let top = of_kind.iter().map(|m| m.rate()).fold(0.0, f64::max);
        if !of_kind.is_empty() {
            println!("\n{:width$}  {:>12}  {unit:>8}  of best", "", "time");
        }
        for m in of_kind {
            let (time, rate) = (m.seconds * 1e6, m.rate());
            println!("{:width$}  {time:9.1} us  {rate:8.2}  {:6.1}%", m.name, 100.0 * rate / top);
        }
    }
}
