//! ResNet-20 on CIFAR-10 as in section 4.2 of He, Zhang, Ren and Sun, Deep residual learning for
//! image recognition (CVPR 2016).
//!
//! It teaches batch normalisation: training moves running statistics on the tape, and judging uses
//! them without a copy; a learning rate that falls in steps; and changing images before each use.

mod common;

use std::process::ExitCode;

use common::classifier::{CIFAR10, Training};
use common::{Example, Flags, Outcome};
use retape::data::{Dataset, TrainTest};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "resnet_cifar",
    about: "Trains ResNet-20 with batch normalisation on CIFAR-10: momentum, weight decay, shifts and flips.",
    unused: &[],
};

const CHANNELS: usize = 3;
const SIDE: usize = 32;
/// How far an image may be shifted.
const SHIFT: usize = 4;

/// Subtracts the mean training image from every image.
fn centred(TrainTest { train, test }: TrainTest) -> retape::Result<TrainTest> {
    let mut mean = vec![0.0f64; train.input_shape().numel()];
    for image in train.inputs().chunks_exact(mean.len()) {
        mean.iter_mut().zip(image).for_each(|(sum, &pixel)| *sum += f64::from(pixel));
    }
    mean.iter_mut().for_each(|sum| *sum /= train.len() as f64);
    let subtract = |data: Dataset| {
        let pixels = data.inputs().iter().zip(mean.iter().cycle());
        let inputs = pixels.map(|(&pixel, mean)| (f64::from(pixel) - mean) as f32).collect();
        Dataset::new(data.input_shape(), inputs, data.labels().to_vec(), data.classes())
    };
    Ok(TrainTest { train: subtract(train)?, test: subtract(test)? })
}

/// Shifts an image by up to four pixels, with zeros where nothing was, and mirrors half of them.
fn shift_and_flip(image: &mut [f32], [down, right, flip, _]: [u32; 4]) {
    let offset = |word: u32| (word >> 16) as usize % (2 * SHIFT + 1);
    let (down, right) = (offset(down), offset(right));
    let mut source = [0.0; CHANNELS * SIDE * SIDE];
    source.copy_from_slice(image);
    let within = |at: usize| at.checked_sub(SHIFT).filter(|&at| at < SIDE);
    for (index, pixel) in image.iter_mut().enumerate() {
        let (plane, y, x) = (index / (SIDE * SIDE), index / SIDE % SIDE, index % SIDE);
        let x = if flip >> 31 == 1 { SIDE - 1 - x } else { x };
        *pixel = match (within(y + down), within(x + right)) {
            (Some(y), Some(x)) => source[(plane * SIDE + y) * SIDE + x],
            _ => 0.0,
        };
    }
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let folder = flags.data_folder("cifar-10-batches-bin", CIFAR10)?;
    let device = flags.open_device()?;
    let data = centred(flags.limited(data::cifar10(folder)?))?;
    let model = architectures::resnet20(data.train.classes() as usize);
    println!("{}", model.summary(data.input_shape())?);

    let optimizer = Sgd::new(0.1).momentum(0.9).weight_decay(1e-4);
    let mut training = Training::new(&optimizer, flags, 30, 128);
    // A tenth after half of the steps, and again after three quarters.
    let epochs = training.epochs;
    let learning_rate = move |epoch: usize| match 4 * epoch / epochs.max(1) {
        0 | 1 => 0.1,
        2 => 0.01,
        _ => 0.001,
    };
    training.learning_rate = Some(&learning_rate);
    training.augment = Some(&shift_and_flip);
    Ok(training.run(EXAMPLE.name, &device, flags.seed, &data, |g, x, mode| model.record(g, x, mode))?)
}
