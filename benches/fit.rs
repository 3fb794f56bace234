//! What `fit` costs beside replaying: an epoch of an MNIST-sized perceptron by `fit`, against as many
//! replays of its training step alone, in the same run.
//!
//! ```text
//! cargo bench --bench fit
//! RETAPE_BENCH_DEVICE=llvmpipe cargo bench --bench fit
//! ```
//!
//! Both take turns. An epoch has the order drawn and uploaded, a batch gathered on the device for each
//! step (or uploaded, in the second row), the last batch with a step of its own, and the figures read at
//! the end. Times are medians of the turns, and so is the share of each turn.

mod timing;

use std::time::{Duration, Instant};

use retape::data::Dataset;
use retape::prelude::*;
use retape::random::Stream;

const SAMPLES: usize = 60_000;
const BATCH: usize = 128;
const TURNS: usize = 9;

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
    // `fit` times its epochs alone: what comes before the first, the upload of the data, is not counted.
    let (mut epochs, mut replays) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let mut begun = Instant::now();
        let mut times = Vec::new();
        let fit = Fit::epochs(2).resident_bytes(resident).progress(false).on_epoch_end(|_| {
            times.push(begun.elapsed());
            begun = Instant::now();
            Ok(())
        });
        let history = trainer.fit(data, fit).expect("training runs");
        assert!(history.last("loss").is_some_and(f64::is_finite));
        epochs.push(times[1]);
        let steps = SAMPLES.div_ceil(BATCH);
        replays.push(timing::time(trainer.session_mut(), device, steps));
    }
    // Neighbours slow a machine for longer than a turn takes: what is compared is of the same turn.
    let share =
        |(fit, replay): (&Duration, &Duration)| 100.0 * (1.0 - replay.as_secs_f64() / fit.as_secs_f64());
    let shares: Vec<f64> = epochs.iter().zip(&replays).map(share).collect();
    let ms = |times: &[Duration]| median(times.iter().map(|time| 1e3 * time.as_secs_f64()).collect());
    println!("{name:34} {:10.1} {:10.1} {:15.2}%", ms(&epochs), ms(&replays), median(shares));
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
