//! What `fit` costs beside replaying: an epoch of an MNIST-sized perceptron by `fit`, against as many
//! replays of its training step alone, in the same run.
//!
//! ```text
//! cargo bench --bench fit
//! cargo bench --bench fit -- uploaded   # lines whose names hold one of the words; --list names them
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench fit
//! ```
//!
//! Both take turns of twenty steps: neighbours slow a machine for longer than that. What `fit` does beside
//! the steps is in its turns: the order of an epoch is drawn and uploaded, batches are gathered on the device
//! (or uploaded, in the second row), the last one has a step of its own, and the figures are read at the end.
//! Of the turns of nine epochs that begin one, those that end one and the others, the half with the middle
//! shares counts; an epoch is the sum of the three. The third row is the gathering alone.

mod timing;

use std::cell::RefCell;
use std::time::Instant;

use retape::data::Dataset;
use retape::prelude::*;
use retape::random::Stream;
use timing::{Table, median};

const SAMPLES: usize = 60_000;
const BATCH: usize = 128;
const EPOCHS: usize = 9;
/// Steps of a turn, but for the last of an epoch.
const TURN: u32 = 20;

/// What is measured: `fit` with at most so many bytes of data on the device, or the gathering.
#[derive(Clone, Copy)]
enum Line {
    Fit(u64),
    Gather,
}

fn main() {
    let lines = [
        ("data on the device", Line::Fit(u64::MAX)),
        ("data uploaded batch by batch", Line::Fit(0)),
        ("gathering its batches alone", Line::Gather),
    ];
    let Some((device, lines)) = timing::wanted(lines, |(name, _)| (*name).to_owned()) else { return };
    let data = samples();
    let mut table = Table::new(1, &["", "fit", "replays", "outside replay"]);
    for (name, line) in lines {
        Table::begin(name);
        let shown = match line {
            Line::Fit(resident) => measure(resident, &device, &data),
            Line::Gather => {
                let seconds = gather(&device, &data).expect("batches are gathered");
                [format!("{:.1}", 1e3 * seconds), String::new(), String::new()]
            }
        };
        table.row([name.to_owned()].into_iter().chain(shown));
    }
    println!("an epoch of 784-512-10 over {SAMPLES} samples, batch {BATCH}, RMSprop; ms\n");
    table.print();
}

/// The seconds that it takes to gather the batches of an epoch and nothing else, the median of as many.
fn gather(device: &Device, data: &Dataset) -> retape::Result<f64> {
    let mut g = Graph::new();
    let images = (g.state("x", [BATCH, 784], Init::Zeros), g.input("images", [SAMPLES, 784]));
    let labels = (g.state_u32("y", [BATCH]), g.indices("labels", [SAMPLES]));
    let order = g.indices("order", [SAMPLES]);
    g.load_batches(&[images, labels], order, BATCH as u32)?;
    let mut session = g.forward([])?.session(device)?;
    session.write(images.1, data.inputs())?;
    session.write(labels.1, data.labels())?;
    let drawn = Stream { seed: 1, step: 1, stream: 0 }.permutation(SAMPLES);
    session.write(order, &drawn.into_iter().map(|i| i as u32).collect::<Vec<_>>())?;
    let mut epoch = || {
        session.set_step(0);
        timing::time(&mut session, device, SAMPLES / BATCH).as_secs_f64()
    };
    epoch();
    Ok(median((0..EPOCHS).map(|_| epoch()).collect()))
}

/// The milliseconds of an epoch, those of its replays, and the share outside of them.
fn measure(resident: u64, device: &Device, data: &Dataset) -> [String; 3] {
    let model =
        Sequential::new().add(Flatten).add(Dense::new(512).activation(Activation::Relu)).add(Dense::new(10));
    let mut trainer = Trainer::new(model, data.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(RmsProp::new(1e-3))
        .metrics([Metric::Accuracy])
        .batch_size(BATCH)
        .build(device)
        .expect("the trainer is built");
    // What comes before the first epoch, the upload of the data, is not counted, and that epoch warms up.
    let turns = RefCell::new(Turns::new(device));
    let fit = Fit::epochs(1 + EPOCHS)
        .resident_bytes(resident)
        .progress(false)
        .on_steps(TURN, |run| {
            let step = run.step();
            turns.borrow_mut().end(step, run.trainer().session_mut(), false);
            Ok(())
        })
        .on_epoch_end(|run| {
            assert!(run.logs()?.get("loss").is_some_and(f64::is_finite));
            let (epoch, step) = (run.epoch(), run.step());
            turns.borrow_mut().end(step, run.trainer().session_mut(), true);
            turns.borrow_mut().begin_epoch(epoch == 0);
            Ok(())
        });
    trainer.fit(data, fit).expect("training runs");
    let [fit, replays] = turns.borrow().epoch();
    let share = 100.0 * (1.0 - replays / fit);
    [format!("{:.1}", 1e3 * fit), format!("{:.1}", 1e3 * replays), format!("{share:.2} %")]
}

/// The turns of `fit` and of the replays, one after the other.
struct Turns<'a> {
    device: &'a Device,
    began: Instant,
    step: usize,
    turns: Vec<Turn>,
}

/// Its place in an epoch (it begins one, lies within or ends one), steps, and the seconds that `fit` and as
/// many replays took.
struct Turn {
    place: usize,
    steps: usize,
    fit: f64,
    replays: f64,
}

impl<'a> Turns<'a> {
    fn new(device: &'a Device) -> Self {
        Turns { device, began: Instant::now(), step: 0, turns: Vec::new() }
    }

    /// Ends a turn of `fit` at a step of the epoch, and lets as many replays follow.
    fn end(&mut self, step: usize, session: &mut Session, ends_epoch: bool) {
        timing::wait(self.device);
        let fit = self.began.elapsed().as_secs_f64();
        let steps = step - self.step;
        if steps > 0 {
            let replays = timing::time(session, self.device, steps).as_secs_f64();
            let place = if self.step == 0 { 0 } else { 1 + usize::from(ends_epoch) };
            self.turns.push(Turn { place, steps, fit, replays });
        }
        (self.step, self.began) = (step, Instant::now());
    }

    fn begin_epoch(&mut self, forget: bool) {
        if forget {
            self.turns.clear();
        }
        (self.step, self.began) = (0, Instant::now());
    }

    /// The seconds of an epoch, by `fit` and alone.
    fn epoch(&self) -> [f64; 2] {
        let mut epoch = [0.0; 2];
        for place in 0..3 {
            let mut turns: Vec<&Turn> = self.turns.iter().filter(|turn| turn.place == place).collect();
            turns.sort_unstable_by(|a, b| (a.replays / a.fit).total_cmp(&(b.replays / b.fit)));
            let middle = &turns[turns.len() / 4..turns.len() - turns.len() / 4];
            let steps = |turns: &[&Turn]| turns.iter().map(|turn| turn.steps).sum::<usize>() as f64;
            let times = steps(&turns) / EPOCHS as f64 / steps(middle);
            epoch[0] += times * middle.iter().map(|turn| turn.fit).sum::<f64>();
            epoch[1] += times * middle.iter().map(|turn| turn.replays).sum::<f64>();
        }
        epoch
    }
}

/// Noise of the size of MNIST's images, of random classes.
fn samples() -> Dataset {
    let stream = Stream { seed: 1, step: 0, stream: 0 };
    let pixels = (0..(SAMPLES * 784) as u32).map(|i| stream.uniform(i) as f32).collect();
    let labels = (0..SAMPLES as u32).map(|i| stream.words(i)[1] % 10).collect();
    Dataset::new([1, 28, 28], pixels, labels, 10).expect("the samples fit together")
}
