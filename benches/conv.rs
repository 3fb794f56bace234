//! Convolutions of known networks by every route: milliseconds of the forward pass and of both
//! gradients, and how the route that the rule chooses compares with the best.
//!
//! ```text
//! cargo bench --bench conv                  # every layer, on the GPU that Device::gpu finds
//! cargo bench --bench conv -- mnist cifar   # layers whose names hold one of the words
//! cargo bench --bench conv -- --list        # their names
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench conv
//! ```
//!
//! Routes are timed in turns, and each keeps its best time, so that a busy machine slows all of them
//! alike. The chosen route's dispatches are those of one of the others, whose turns count for it too. A
//! route whose patches exceed the device's limits shows as a dash.

mod rows;
mod timing;

use std::time::Duration;

use retape::ops::ConvRoute;
use retape::prelude::*;
use rows::convolutions::{CIFAR, Layer, MNIST, OTHERS, Part, RESNET, VGG};
use timing::Table;

/// Turns that each route gets; a single one where it takes longer than `LONG`.
const TURNS: usize = 7;
const LONG: Duration = Duration::from_millis(700);

fn main() {
    let networks: [(&[Layer], usize); 5] =
        [(&MNIST, 128), (&CIFAR, 32), (&VGG, 1), (&RESNET, 1), (&OTHERS, 8)];
    let layers = networks.iter().flat_map(|&(layers, batch)| layers.iter().map(move |&layer| (layer, batch)));
    let Some((device, layers)) = timing::wanted(layers, |(layer, _)| layer.name.to_owned()) else { return };
    let head = ["layer", "", "direct", "im2col", "implicit", "chosen", "GFLOP/s", "chosen / best"];
    let mut table = Table::new(2, &head);
    let mut ratios = Vec::new();
    for (layer, batch) in layers {
        for part in Part::ALL {
            Table::begin(format_args!("{} {}", layer.name, part.name()));
            ratios.push(line(&device, layer, batch, part, &mut table));
        }
    }
    println!("milliseconds; GFLOP/s of the chosen route, counting padding\n");
    table.print();
    let over = ratios.iter().filter(|&&r| r > 1.1).count();
    let worst = ratios.iter().fold(1.0f64, |worst, &r| worst.max(r));
    println!(
        "\n{} products; {over} more than 10 % slower than the best route, at most {worst:.2}",
        ratios.len()
    );
}

/// A route ready to run.
struct Runner {
    session: Session,
    best: Duration,
}

impl Runner {
    fn new(device: &Device, layer: Layer, batch: usize, part: Part, route: ConvRoute) -> Option<Runner> {
        let recorded = layer.row(batch, part, route).record().expect("a row records");
        let mut session = recorded.tape.session(device).ok()?;
        for (value, data) in &recorded.inputs {
            if let rows::Data::F32(data) = data {
                session.write(*value, data).expect("the input fits");
            }
        }
        let mut runner = Runner { session, best: Duration::MAX };
        // The first run compiles the kernels; the second says how many fit a turn.
        let first = timing::step(&mut runner.session, device, 1);
        runner.best = if first > LONG { first } else { timing::step(&mut runner.session, device, 1) };
        Some(runner)
    }
}

/// What a session dispatches, to tell plans apart.
fn dispatches(session: &Session) -> Vec<String> {
    let plan = session.plan().expect("the session is on a GPU");
    let shown = |d: &retape::tape::Dispatch| {
        format!("{} {} {:?} {:?} {:?}", d.shader.name(), d.entry, d.constants, d.groups, d.params)
    };
    plan.dispatches.iter().map(shown).collect()
}

/// Measures one line; returns the chosen route's time over the best one's.
fn line(device: &Device, layer: Layer, batch: usize, part: Part, table: &mut Table) -> f64 {
    let routes = [ConvRoute::Direct, ConvRoute::Im2col, ConvRoute::Implicit, ConvRoute::Auto];
    let mut runners = routes.map(|route| Runner::new(device, layer, batch, part, route));
    for turn in 0..TURNS {
        for runner in runners.iter_mut().flatten() {
            if turn > 0 && runner.best > LONG {
                continue;
            }
            let steps = (Duration::from_millis(20).as_nanos() / runner.best.as_nanos().max(1)).clamp(1, 200);
            runner.best = runner.best.min(timing::step(&mut runner.session, device, steps as usize));
        }
    }
    let same = |runner: &Runner, other: &Runner| dispatches(&runner.session) == dispatches(&other.session);
    if let [forced @ .., Some(chosen)] = &mut runners
        && let Some(other) = forced.iter_mut().flatten().find(|other| same(chosen, other))
    {
        chosen.best = chosen.best.min(other.best);
        other.best = chosen.best;
    }
    let milliseconds = |runner: &Option<Runner>| runner.as_ref().map(|r| r.best.as_secs_f64() * 1e3);
    let times: Vec<Option<f64>> = runners.iter().map(milliseconds).collect();
    let best = times.iter().flatten().fold(f64::INFINITY, |best, &t| best.min(t));
    let chosen = times[3].expect("the rule chooses a route that fits the device");
    let show = |time: &Option<f64>| time.map_or("-".to_owned(), |t| format!("{t:.3}"));
    let rate = layer.flops(batch) as f64 / chosen / 1e6;
    let names = [layer.name, part.name()].map(str::to_owned);
    let rates = [format!("{rate:.1}"), format!("{:.2}", chosen / best)];
    table.row(names.into_iter().chain(times.iter().map(show)).chain(rates));
    chosen / best
}
