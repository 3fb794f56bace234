//! What `fit` costs beside replaying: an epoch of an MNIST-sized perceptron by `fit`, against as many
//! replays of its training step alone, in the same run.
//!
//! ```text
//! cargo bench --bench fit
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench fit
//! ```
//!
//! Both take turns, seven in each epoch: neighbours slow a machine for longer than that. An epoch has the
//! order drawn and uploaded, a batch gathered on the device for each step (or uploaded, in the second row),
//! the last batch with a step of its own, and the figures read at the end. Times and shares are medians of
//! nine epochs.

mod timing;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use retape::data::Dataset;
use retape::prelude::*;
use retape::random::Stream;

const SAMPLES: usize = 60_000;
const BATCH: usize = 128;
const TURNS: usize = 9;
/// Steps of a turn: a seventh of an epoch.
const SLICE: u32 = 67;

fn main() {
    let device = timing::device();
    println!("{device}\n");
    let data = samples();
    println!("an epoch of 784-512-10 over {SAMPLES} samples, batch {BATCH}, RMSprop; ms");
    println!("{:34} {:>10} {:>10} {:>16}", "", "fit", "replays", "outside replay");
    for (name, resident) in [("data on the device", u64::MAX), ("data uploaded batch by batch", 0)] {
        if timing::is_wanted(name) {
            measure(name, resident, &device, &data);
        }
    }
}

fn measure(name: &str, resident: u64, device: &Device, data: &Dataset) {
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
    let times = RefCell::new(Times::new());
    let fit = Fit::epochs(1 + TURNS)
        .resident_bytes(resident)
        .progress(false)
        .on_steps(SLICE, |run| {
            timing::wait(device);
            times.borrow_mut().of_fit();
            timing::time(run.trainer().session_mut(), device, SLICE as usize);
            times.borrow_mut().of_replays();
            Ok(())
        })
        .on_epoch_end(|run| {
            assert!(run.logs()?.get("loss").is_some_and(f64::is_finite));
            times.borrow_mut().of_fit();
            times.borrow_mut().end_epoch();
            Ok(())
        });
    trainer.fit(data, fit).expect("training runs");
    let epochs = &times.borrow().epochs[1..];
    let middle = |of: &dyn Fn(&[Duration; 2]) -> f64| median(epochs.iter().map(of).collect());
    let ms = |time: Duration| 1e3 * time.as_secs_f64();
    let share = middle(&|[fit, replays]| 100.0 * (1.0 - replays.as_secs_f64() / fit.as_secs_f64()));
    let (fit, replays) = (middle(&|epoch| ms(epoch[0])), middle(&|epoch| ms(epoch[1])));
    println!("{name:34} {fit:10.1} {replays:10.1} {share:15.2}%");
}

/// The time that `fit` and the replays take of each epoch, one after the other.
struct Times {
    last: Instant,
    epoch: [Duration; 2],
    epochs: Vec<[Duration; 2]>,
}

impl Times {
    fn new() -> Self {
        Times { last: Instant::now(), epoch: [Duration::ZERO; 2], epochs: Vec::new() }
    }

    fn of_fit(&mut self) {
        let lap = self.lap();
        self.epoch[0] += lap;
    }

    fn of_replays(&mut self) {
        let lap = self.lap();
        self.epoch[1] += lap;
    }

    fn end_epoch(&mut self) {
        self.epochs.push(std::mem::take(&mut self.epoch));
    }

    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.last, Instant::now());
        self.last - before
    }
}

/// Noise of the size of MNIST's images, of random classes.
fn samples() -> Dataset {
    let stream = Stream { seed: 1, step: 0, stream: 0 };
    let pixels = (0..(SAMPLES * 784) as u32).map(|i| stream.uniform(i) as f32).collect();
    let labels = (0..SAMPLES as u32).map(|i| stream.words(i)[1] % 10).collect();
    Dataset::new([1, 28, 28], pixels, labels, 10).expect("the samples fit together")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
