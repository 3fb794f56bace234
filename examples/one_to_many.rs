//! One to many: from the amplitude, the frequency and the phase of a wave, a recurrent network writes
//! the whole wave, point by point.
//!
//! It teaches a vector that is repeated for every step, a recurrent layer that returns its whole
//! sequence, and one dense layer that is applied to each step of it.

mod common;

use std::f32::consts::{FRAC_PI_2, TAU};
use std::process::ExitCode;

use common::{Example, Flags, Outcome, Results, falling, mean_squared, parameters_hash, round};
use retape::data::Samples;
use retape::plot::{self, Panel};
use retape::prelude::*;
use retape::random::Stream;

const EXAMPLE: Example = Example {
    name: "one_to_many",
    about: "Learns to write a whole wave of 40 points from its amplitude, frequency and phase.",
    unused: &["data"],
};

/// Points of a wave, and the numbers that describe it.
const POINTS: usize = 40;
const NUMBERS: usize = 3;
const TRAIN: usize = 1024;
const TEST: usize = 256;
const UNITS: usize = 48;
const LEARNING_RATE: f32 = 1e-2;
/// Waves that are shown.
const SHOWN: usize = 4;

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let device = flags.open_device()?;
    let epochs = flags.epochs.unwrap_or(20);
    let limit = flags.limit.unwrap_or(usize::MAX);
    let train = waves(Stream { seed: flags.seed, step: 0, stream: 2 }, TRAIN.min(limit));
    let test = waves(Stream { seed: flags.seed, step: 0, stream: 3 }, TEST.min(limit));
    let batch = flags.batch_size(32, train.len);
    println!("{} waves to learn from, {} to be judged by", train.len, test.len);

    let model = Sequential::new()
        .add(RepeatVector::new(POINTS))
        .add(Gru::new(UNITS).return_sequences(true))
        .add(Dense::new(1));
    println!("{}", model.summary([NUMBERS])?);
    let mut trainer = Trainer::new(model, [NUMBERS])
        .loss(Loss::MeanSquaredError)
        // Gradients through 40 steps may explode: their common norm is kept within 1.
        .optimizer(Adam::new(LEARNING_RATE).clip(Clip::GlobalNorm(1.0)))
        .schedule(falling(LEARNING_RATE, epochs, train.len, batch))
        .batch_size(batch)
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(train.samples(), flags.fit(epochs).validation(test.samples()))?;

    let test_loss = trainer.evaluate(test.samples())?.loss;
    let mean = mean_wave(&train);
    let mean_loss = (0..test.len).map(|i| mean_squared(&mean, test.wave(i))).sum::<f64>() / test.len as f64;
    let written = trainer.predict(test.samples())?.data;
    let shown: Vec<Wave> = (0..SHOWN.min(test.len)).map(|i| Wave::new(&test, &written, i)).collect();
    shown.iter().for_each(Wave::print);
    println!(
        "\nmean squared error: {test_loss:.5}; of the mean of all waves, whatever is asked for: {mean_loss:.5}"
    );
    let panels: Vec<Panel> = shown.iter().map(Wave::panel).collect();
    flags.picture("one_to_many_waves", |path| plot::panels(path, &panels));

    let mut results = Results::new(EXAMPLE.name, &device);
    results.set("epochs", epochs);
    results.set("batch", batch);
    results.set("train_samples", train.len);
    results.set("test_samples", test.len);
    results.set("points", POINTS);
    results.set("test_loss", round(test_loss, 6));
    results.set("mean_loss", round(mean_loss, 6));
    results.set("parameters_hash", parameters_hash(trainer.session())?);
    results.history(history);
    Ok(results)
}

/// Descriptions and the waves that belong to them.
struct Waves {
    numbers: Vec<f32>,
    points: Vec<f32>,
    len: usize,
}

impl Waves {
    /// Descriptions to learn waves from.
    fn samples(&self) -> Samples<'_> {
        Samples::new().input([NUMBERS], &self.numbers).target([POINTS, 1], &self.points)
    }

    fn description(&self, index: usize) -> &[f32] {
        &self.numbers[index * NUMBERS..][..NUMBERS]
    }

    fn wave(&self, index: usize) -> &[f32] {
        &self.points[index * POINTS..][..POINTS]
    }
}

/// Amplitude, periods in a wave's length, and phase, drawn at random.
fn drawn(stream: Stream, index: usize) -> [f32; NUMBERS] {
    let between = |number: usize, low: f32, high: f32| {
        low + (high - low) * stream.uniform((NUMBERS * index + number) as u32) as f32
    };
    [between(0, 0.3, 1.0), between(1, 1.0, 3.0), between(2, -FRAC_PI_2, FRAC_PI_2)]
}

fn waves(stream: Stream, len: usize) -> Waves {
    let (mut numbers, mut points) = (Vec::new(), Vec::new());
    for index in 0..len {
        let [amplitude, periods, phase] = drawn(stream, index);
        numbers.extend([amplitude, periods, phase]);
        let angle = |point: usize| TAU * periods * point as f32 / POINTS as f32 + phase;
        points.extend((0..POINTS).map(|point| amplitude * angle(point).sin()));
    }
    Waves { numbers, points, len }
}

/// What to write if nothing were known of the wave.
fn mean_wave(waves: &Waves) -> Vec<f32> {
    let mut mean = vec![0.0; POINTS];
    for index in 0..waves.len {
        mean.iter_mut().zip(waves.wave(index)).for_each(|(sum, y)| *sum += y / waves.len as f32);
    }
    mean
}

/// One wave, as asked for and as written.
struct Wave<'a> {
    numbers: &'a [f32],
    truth: &'a [f32],
    written: &'a [f32],
}

impl<'a> Wave<'a> {
    fn new(waves: &'a Waves, written: &'a [f32], index: usize) -> Self {
        let written = &written[index * POINTS..][..POINTS];
        Wave { numbers: waves.description(index), truth: waves.wave(index), written }
    }

    fn description(&self) -> String {
        let [amplitude, periods, phase] = [0, 1, 2].map(|number| self.numbers[number]);
        format!("amplitude {amplitude:.2}, {periods:.2} periods, phase {phase:+.2}")
    }

    fn print(&self) {
        println!("\n{}", self.description());
        println!("  asked for  {}", line(self.truth));
        println!("  written    {}", line(self.written));
    }

    fn panel(&self) -> Panel {
        let truth = (0..).map(f64::from).zip(self.truth.iter().copied().map(f64::from));
        Panel::new(self.description()).axes("point", "value").reference("asked for", truth).sequence(
            "written by the network",
            0,
            self.written.iter().copied(),
        )
    }
}

/// Numbers from -1 to 1 as a line of text.
fn line(numbers: &[f32]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |y: &f32| BARS[((y + 1.0) / 2.0 * 7.0).round().clamp(0.0, 7.0) as usize];
    numbers.iter().map(bar).collect()
}
