//! Training steps of well-known networks, with Adam.

use retape::nn::architectures::{self, Shortcut};
use retape::prelude::*;

use crate::networks::{half_step_of, mnist_cnn, step_of};

/// Names and tapes.
pub fn all() -> Vec<(&'static str, Tape)> {
    let lstm = Sequential::new().add(Lstm::new(128)).add(Dense::new(10));
    let gru = Sequential::new().add(Gru::new(512)).add(Dense::new(10));
    vec![
        ("LeNet-5, batch 128", step_of(&architectures::lenet5(10), &[128, 1, 32, 32])),
        ("MNIST CNN, batch 128", step_of(&mnist_cnn(), &[128, 1, 28, 28])),
        (
            "ResNet-20, batch 128",
            step_of(&architectures::resnet_cifar(3, 10, Shortcut::Identity), &[128, 3, 32, 32]),
        ),
        ("ResNet-50, batch 32", step_of(&architectures::resnet50(1000), &[32, 3, 224, 224])),
        ("VGG-16, batch 32", step_of(&architectures::vgg16(1000), &[32, 3, 224, 224])),
        ("LSTM 128, batch 64", step_of(&lstm, &[64, 100, 32])),
        ("GRU 512, batch 64", step_of(&gru, &[64, 100, 32])),
        (
            "ResNet-20 in f16, batch 128",
            half_step_of(&architectures::resnet_cifar(3, 10, Shortcut::Identity), &[128, 3, 32, 32]),
        ),
    ]
}
