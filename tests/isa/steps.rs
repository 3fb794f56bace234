//! Training steps of well-known networks, with Adam.

use retape::nn::architectures::{self, Shortcut};
use retape::prelude::*;

/// A step of a classifier of inputs of this shape.
fn step(model: &dyn Layer, shape: &[usize]) -> Tape {
    let mut g = Graph::new();
    let (x, labels) = (g.input("x", Shape::new(shape).unwrap()), g.labels("labels", [shape[0]]));
    let logits = retape::nn::record(model, &mut g, &[x], Mode::Training).unwrap().outputs[0];
    let loss = g.softmax_cross_entropy(logits, labels).unwrap();
    g.training_step(loss, &Adam::new(1e-3)).unwrap()
}

/// The convolutional network of 38,390 parameters for MNIST.
fn mnist() -> Sequential {
    let convolution = |filters| Conv2d::new(filters, 5).activation(Activation::Relu);
    Sequential::new()
        .add(convolution(10))
        .add(MaxPool2d::new(2))
        .add(convolution(20))
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Dense::new(100).activation(Activation::Relu))
        .add(Dense::new(10))
}

/// Names and tapes.
pub fn all() -> Vec<(&'static str, Tape)> {
    let lstm = Sequential::new().add(Lstm::new(128)).add(Dense::new(10));
    let gru = Sequential::new().add(Gru::new(512)).add(Dense::new(10));
    vec![
        ("LeNet-5, batch 128", step(&architectures::lenet5(10), &[128, 1, 32, 32])),
        ("MNIST CNN, batch 128", step(&mnist(), &[128, 1, 28, 28])),
        (
            "ResNet-20, batch 128",
            step(&architectures::resnet_cifar(3, 10, Shortcut::Identity), &[128, 3, 32, 32]),
        ),
        ("ResNet-50, batch 32", step(&architectures::resnet50(1000), &[32, 3, 224, 224])),
        ("VGG-16, batch 32", step(&architectures::vgg16(1000), &[32, 3, 224, 224])),
        ("LSTM 128, batch 64", step(&lstm, &[64, 100, 32])),
        ("GRU 512, batch 64", step(&gru, &[64, 100, 32])),
    ]
}
