//! Kernels at named shapes: GFLOP/s of products, GB/s of everything else.
//!
//! ```text
//! cargo bench --bench kernels                    # on the GPU that Device::gpu finds
//! cargo bench --bench kernels -- matmul          # rows whose name contains `matmul`
//! cargo bench --bench kernels -- --list          # their names
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench kernels
//! ```
//!
//! Before a row is timed, its results are compared with the f64 reference; a row that differs stops
//! the run. A time is that of one step: a replay of many steps, waited for, over their number; the best of ten.

mod rows;
mod timing;

use retape::Error;
use retape::prelude::*;
use rows::{Row, Work};
use timing::Table;

/// How long a sample takes, about, and how many there are: the best of them counts.
const SAMPLE: f64 = 0.03;
const SAMPLES: usize = 10;

fn main() {
    let Some((device, rows)) = timing::wanted(rows::rows(), |row| row.name.clone()) else { return };
    let measured: Vec<_> = rows.iter().filter_map(|row| measure(&device, row)).collect();
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

/// Nothing of a row that the device has no precision for.
fn measure(device: &Device, row: &Row) -> Option<Measured> {
    let recorded = row.record().unwrap_or_else(|e| panic!("{}: {e}", row.name));
    let mut session = match recorded.tape.session(device) {
        Ok(session) => session,
        Err(error) if matches!(error.root(), Error::NoHalfPrecision { .. }) => {
            eprintln!("{}: {error}", row.name);
            return None;
        }
        Err(error) => panic!("{}: {error}", row.name),
    };
    let found = session.verify(&recorded.host_data()).unwrap_or_else(|e| panic!("{}: {e}", row.name));
    assert!(found.passes(), "{} differs from its reference\n{found}", row.name);

    let once = timing::step(&mut session, device, 3).as_secs_f64();
    let steps = (SAMPLE / once).clamp(1.0, 1e5) as usize;
    let mut seconds: [f64; SAMPLES] =
        std::array::from_fn(|_| timing::step(&mut session, device, steps).as_secs_f64());
    seconds.sort_by(f64::total_cmp);
    let [best, median] = [seconds[0], seconds[SAMPLES / 2]];
    eprintln!("{}: {:.1} us, median {:.1} us", row.name, best * 1e6, median * 1e6);
    Some(Measured { name: row.name.clone(), work: recorded.work, seconds: best })
}

/// One line per row: best time, rate, and the rate in percent of the best row of the same kind.
fn print_table(measured: &[Measured]) {
    for (product, unit) in [(true, "GFLOP/s"), (false, "GB/s")] {
        let of_kind: Vec<_> = measured.iter().filter(|m| m.is_product() == product).collect();
        let top = of_kind.iter().map(|m| m.rate()).fold(0.0, f64::max);
        let mut table = Table::new(1, &["row", "us", unit, "% of best"]);
        for m in of_kind {
            let rate = m.rate();
            let shown = [m.seconds * 1e6, rate, 100.0 * rate / top];
            let [time, rate, share] = shown.map(|number| format!("{number:.1}"));
            table.row([m.name.clone(), time, rate, share]);
        }
        println!();
        table.print();
    }
}
