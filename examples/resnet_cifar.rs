//! ResNet-20 on CIFAR-10 as in section 4.2 of He, Zhang, Ren and Sun, Deep residual learning for
//! image recognition (CVPR 2016).
//!
//! It teaches batch normalisation: training moves running statistics on the tape, and judging uses
//! them without a copy; a learning rate that falls in steps; and layers that change images at random
//! before each use.

mod common;

use std::process::ExitCode;

use common::classifier::{self, CIFAR10};
use common::{Example, Flags, Outcome};
use retape::data::{Standardize, TrainTest};
use retape::prelude::*;

const EXAMPLE: Example = Example {
    name: "resnet_cifar",
    about: "Trains ResNet-20 with batch normalisation on CIFAR-10: momentum, weight decay, shifts and flips.",
    unused: &[],
};

const EPOCHS: usize = 30;
const LEARNING_RATE: f32 = 0.1;
/// The height and width of an image, and how far it may be shifted.
const SIZE: [usize; 2] = [32, 32];
const SHIFT: usize = 4;

/// Subtracts the mean training image from every image.
fn centred(TrainTest { train, test }: TrainTest) -> retape::Result<TrainTest> {
    let std = vec![1.0; train.input_shape().numel()];
    let scale = Standardize { std, ..Standardize::fit_dataset(&train)? };
    Ok(TrainTest { train: scale.transform_dataset(train)?, test: scale.transform_dataset(test)? })
}

fn main() -> ExitCode {
    EXAMPLE.run(run)
}

fn run(flags: &Flags) -> Outcome {
    let data = flags.data_set("cifar-10-batches-bin", CIFAR10, |folder| data::cifar10(folder))?;
    let device = flags.open_device()?;
    let data = centred(flags.limited(data))?;
    // Each image is shifted by up to four pixels, with zeros where nothing was, and half of them are
    // mirrored: on the device, anew for each use, and in training only.
    let model = Sequential::new()
        .add(RandomCrop::new(SIZE).padding(SHIFT))
        .add(RandomFlip::horizontal())
        .add(architectures::resnet20(data.train.classes() as usize));
    println!("{}", model.summary(data.input_shape())?);

    let batch = flags.batch_size(128, data.train.len());
    let steps = (flags.epochs.unwrap_or(EPOCHS) * data.train.len().div_ceil(batch)) as u32;
    let mut trainer = Trainer::new(model, data.input_shape())
        .loss(Loss::SparseCategoricalCrossEntropy)
        .optimizer(Sgd::new(LEARNING_RATE).momentum(0.9).weight_decay(1e-4))
        // A tenth after half of the steps, and again after three quarters.
        .schedule(StepDecay::at(LEARNING_RATE, [steps / 2, steps / 4 * 3], 0.1))
        .metrics([Metric::Accuracy])
        .batch_size(batch)
        .seed(flags.seed)
        .build(&device)?;
    let history = trainer.fit(&data.train, flags.fit(EPOCHS).validation(&data.test))?;
    Ok(classifier::results(EXAMPLE.name, &mut trainer, &data, history)?)
}
