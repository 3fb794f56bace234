//! Recurrent networks by both routes, forward and as a whole training step.
//!
//! ```text
//! cargo bench --bench rnn                # every line, on the GPU that Device::gpu finds
//! cargo bench --bench rnn -- lstm "50 64"  # lines whose names hold one of the words
//! cargo bench --bench rnn -- --list      # their names
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench rnn
//! ```
//!
//! Batches of 32, 32 features; the training step is that of one layer, a dense unit on its last state,
//! mean squared error and SGD. A name is `cell time hidden`. All forms of a line are checked against
//! each other, then timed in turns, and each keeps its best time.

mod timing;

use std::time::Duration;

use retape::ops::{GruReset, Recurrence, RecurrentOptions, RecurrentRoute, RecurrentWeights};
use retape::prelude::*;
use retape::{Result, random::Stream};
use timing::Table;

const BATCH: usize = 32;
const FEATURES: usize = 32;
const TURNS: usize = 5;
/// What takes longer than this is timed once.
const LONG: Duration = Duration::from_millis(700);
const ROUTES: [RecurrentRoute; 2] = [RecurrentRoute::Steps, RecurrentRoute::Sequence];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Simple,
    Lstm,
    Gru,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Forward,
    Training,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    cell: Cell,
    time: usize,
    hidden: usize,
}

fn main() {
    let cells = [Cell::Lstm, Cell::Gru, Cell::Simple].into_iter();
    let lines =
        cells.flat_map(|cell| sizes(cell).into_iter().map(move |(time, hidden)| Line { cell, time, hidden }));
    let Some((device, lines)) = timing::wanted(lines, Line::name) else { return };
    let mut table = Table::new(2, &["cell time hidden", "", "steps", "sequence", "chosen"]);
    for line in lines {
        for work in [Work::Forward, Work::Training] {
            Table::begin(format_args!("{} {}", line.name(), work.name()));
            measure(&device, line, work, &mut table);
        }
    }
    println!("milliseconds (dispatches)\n");
    table.print();
}

impl Work {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Times and hidden units; the middle one alone for cells other than the LSTM.
fn sizes(cell: Cell) -> Vec<(usize, usize)> {
    let mut sizes = vec![(50, 64)];
    if cell == Cell::Lstm {
        sizes.extend([10, 50, 200].into_iter().flat_map(|time| [32, 128, 512].map(|hidden| (time, hidden))));
    }
    sizes
}

impl Line {
    fn name(&self) -> String {
        format!("{} {} {}", format!("{:?}", self.cell).to_lowercase(), self.time, self.hidden)
    }

    fn recurrence(&self, g: &mut Graph, x: Value, route: RecurrentRoute) -> Result<Recurrence> {
        let (gates, bias) = match self.cell {
            Cell::Simple => (1, vec![self.hidden]),
            Cell::Lstm => (4, vec![4 * self.hidden]),
            Cell::Gru => (3, vec![2, 3 * self.hidden]),
        };
        let columns = gates * self.hidden;
        let weights = RecurrentWeights::new(
            g.parameter("weight", [FEATURES, columns], Init::GlorotUniform),
            g.parameter("recurrent_weight", [self.hidden, columns], Init::GlorotUniform),
        );
        let weights = weights.bias(g.parameter("bias", Shape::new(&bias)?, Init::Zeros));
        let options = RecurrentOptions::new().route(route);
        match self.cell {
            Cell::Simple => g.simple_rnn(x, weights, &options),
            Cell::Lstm => g.lstm(x, weights, &options),
            Cell::Gru => g.gru(x, weights, GruReset::After, &options),
        }
    }

    /// The session and the value that all forms agree in.
    fn session(&self, device: &Device, work: Work, route: RecurrentRoute) -> Result<(Session, Value)> {
        let mut g = Graph::new();
        let x = g.input("x", [BATCH, self.time, FEATURES]);
        let made = self.recurrence(&mut g, x, route)?;
        let (tape, seen) = match work {
            Work::Forward => (g.forward([made.outputs])?, made.outputs),
            Work::Training => {
                let targets = g.targets("targets", [BATCH, 1]);
                let w = g.parameter("dense.weight", [self.hidden, 1], Init::GlorotUniform);
                let b = g.parameter("dense.bias", [1], Init::Zeros);
                let y = g.add(g.matmul(made.states[0], w)?, b)?;
                let loss = g.mean_squared_error(y, targets)?;
                (g.training_step(loss, &Sgd::new(1e-3))?, loss)
            }
        };
        let mut session = tape.session(device)?;
        let stream = Stream { seed: 1, step: 0, stream: 5 };
        let uniform =
            |n: usize| (0..n).map(|i| 2.0 * stream.uniform(i as u32) as f32 - 1.0).collect::<Vec<_>>();
        session.write(x, &uniform(BATCH * self.time * FEATURES))?;
        if work == Work::Training {
            let targets = session.tape().persistent().into_iter().find(|&v| {
                session.tape().value(v).is_some_and(|info| info.name.as_deref() == Some("targets"))
            });
            session.write(targets.expect("the step has targets"), &uniform(BATCH))?;
        }
        Ok((session, seen))
    }
}

/// A form ready to run.
struct Runner {
    session: Session,
    best: Duration,
    result: Vec<f32>,
}

impl Runner {
    fn new(device: &Device, line: Line, work: Work, route: RecurrentRoute) -> Option<Runner> {
        let (session, seen) = line.session(device, work, route).ok()?;
        let mut runner = Runner { session, best: Duration::MAX, result: Vec::new() };
        let first = timing::step(&mut runner.session, device, 1);
        runner.result = runner.session.read(seen).expect("the result is kept");
        runner.best = if first > LONG { first } else { timing::step(&mut runner.session, device, 1) };
        Some(runner)
    }

    fn dispatches(&self) -> usize {
        self.session.plan().map_or(0, |plan| plan.dispatches.len())
    }

    fn chosen_as(&self, other: &Runner) -> bool {
        let entries = |runner: &Runner| -> Vec<&'static str> {
            runner.session.plan().map_or(Vec::new(), |p| p.dispatches.iter().map(|d| d.entry).collect())
        };
        entries(self) == entries(other)
    }
}

fn measure(device: &Device, line: Line, work: Work, table: &mut Table) {
    let mut runners = ROUTES.map(|route| Runner::new(device, line, work, route));
    let chosen = Runner::new(device, line, work, RecurrentRoute::Auto).expect("the rule's choice fits");
    for runner in runners.iter().flatten() {
        let far = runner.result.iter().zip(&chosen.result).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-3, "{}: forms differ by {far}", line.name());
    }
    for turn in 0..TURNS {
        for runner in runners.iter_mut().flatten() {
            if turn == 0 || runner.best <= LONG {
                let fit = Duration::from_millis(30).as_nanos() / runner.best.as_nanos().max(1);
                runner.best =
                    runner.best.min(timing::step(&mut runner.session, device, fit.clamp(1, 100) as usize));
            }
        }
    }
    let milliseconds = |runner: &Runner| runner.best.as_secs_f64() * 1e3;
    let show = |runner: &Option<Runner>| match runner {
        Some(runner) => format!("{:.3} ({})", milliseconds(runner), runner.dispatches()),
        None => "-".to_owned(),
    };
    let same = runners.iter().flatten().find(|r| r.chosen_as(&chosen)).expect("the rule chooses a form");
    let chosen = format!("{:.3}", milliseconds(same));
    table.row([line.name(), work.name()].into_iter().chain(runners.iter().map(show)).chain([chosen]));
}
