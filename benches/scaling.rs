//! How the time of a training step grows with the batch, the depth, the time steps and the width of a network: the
//! exponent `p` of `time = c size^p`, fitted to the logarithms by least squares.
//!
//! ```text
//! cargo bench --bench scaling
//! cargo bench --bench scaling -- width   # lines whose names hold one of the words; --list names them
//! RETAPE_BENCH_DEVICE=cpu cargo bench --bench scaling   # or part of an adapter's name
//! ```
//!
//! Each size is twice the one before. Those of a line take turns, so that a busy machine slows all of them alike;
//! times are medians. The work grows linearly with the batch, the depth and the time steps, and with the square of
//! the width: less than that in the exponent is what every step costs whatever its size. The last column is how the last
//! doubling grows, where that share is least.

mod timing;

use retape::prelude::*;
use timing::{Table, median};

const SIZES: usize = 5;
const TURNS: usize = 9;
/// How long a turn takes, about, in seconds.
const TURN: f64 = 0.05;

/// What doubles from one network to the next.
#[derive(Clone, Copy)]
enum Line {
    Batch,
    Depth,
    TimeSteps,
    Width,
}

impl Line {
    const ALL: [Line; 4] = [Line::Batch, Line::Depth, Line::TimeSteps, Line::Width];

    fn name(self) -> &'static str {
        match self {
            Line::Batch => "batch, 784-512-10",
            Line::Depth => "depth, hidden layers of 128, batch 128",
            Line::TimeSteps => "time steps, LSTM 32->64, batch 32",
            Line::Width => "width, three layers, batch 128",
        }
    }

    fn smallest(self) -> usize {
        match self {
            Line::Batch => 32,
            Line::Depth => 2,
            Line::TimeSteps => 12,
            Line::Width => 64,
        }
    }

    /// A training step with Adam of the network of a size.
    fn record(self, size: usize) -> retape::Result<Tape> {
        let hidden = |units| Dense::new(units).activation(Activation::Relu);
        let (model, shape) = match self {
            Line::Batch => (Sequential::new().add(hidden(512)), vec![size, 784]),
            Line::Depth => ((0..size).fold(Sequential::new(), |m, _| m.add(hidden(128))), vec![128, 128]),
            Line::TimeSteps => (Sequential::new().add(Lstm::new(64)), vec![32, size, 32]),
            Line::Width => ((0..3).fold(Sequential::new(), |m, _| m.add(hidden(size))), vec![128, size]),
        };
        let mut g = Graph::new();
        let (x, labels) = (g.input("x", Shape::new(&shape)?), g.labels("labels", [shape[0]]));
        let y = model.add(Dense::new(10)).record(&mut g, x, Mode::Training)?;
        g.training_step(g.softmax_cross_entropy(y, labels)?, &Adam::new(1e-3))
    }
}

fn main() {
    let Some((device, lines)) = timing::wanted(Line::ALL, |line| line.name().to_owned()) else { return };
    let mut head = vec!["what doubles".to_owned(), "from".to_owned()];
    head.extend((0..SIZES).map(|doublings| format!("ms x{}", 1 << doublings)));
    head.extend(["exponent", "last doubling"].map(str::to_owned));
    let mut table = Table::new(1, &head.iter().map(String::as_str).collect::<Vec<_>>());
    for line in lines {
        Table::begin(line.name());
        let times = measure(&device, line);
        let shown =
            times.iter().map(|&time| if time < 1.0 { format!("{time:.3}") } else { format!("{time:.1}") });
        let last = (times[SIZES - 1] / times[SIZES - 2]).log2();
        let cells = [line.name().to_owned(), line.smallest().to_string()].into_iter().chain(shown);
        table.row(cells.chain([slope(&times), last].map(|p| format!("{p:.2}"))));
    }
    table.print();
}

/// The milliseconds of a step of each size.
fn measure(device: &Device, line: Line) -> Vec<f64> {
    let session = |doublings| {
        let made = line.record(line.smallest() << doublings).and_then(|tape| tape.session(device));
        made.unwrap_or_else(|e| panic!("{}: {e}", line.name()))
    };
    let mut sessions: Vec<Session> = (0..SIZES).map(session).collect();
    // The first step compiles kernels; the second says how many fit a turn.
    let steps: Vec<usize> = sessions
        .iter_mut()
        .map(|session| {
            timing::step(session, device, 1);
            (TURN / timing::step(session, device, 1).as_secs_f64()).clamp(1.0, 500.0) as usize
        })
        .collect();
    let mut times = vec![Vec::new(); SIZES];
    for _ in 0..TURNS {
        for ((session, &steps), times) in sessions.iter_mut().zip(&steps).zip(&mut times) {
            times.push(1e3 * timing::step(session, device, steps).as_secs_f64());
        }
    }
    times.into_iter().map(median).collect()
}

/// The slope of the line through the binary logarithms of times at sizes that double.
fn slope(times: &[f64]) -> f64 {
    let middle = (times.len() - 1) as f64 / 2.0;
    let offsets = || (0..times.len()).map(|i| i as f64 - middle);
    let rise: f64 = times.iter().zip(offsets()).map(|(time, x)| x * time.log2()).sum();
    rise / offsets().map(|x| x * x).sum::<f64>()
}
