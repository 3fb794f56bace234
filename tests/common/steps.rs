//! Training steps of classifiers.

use retape::prelude::*;

/// The convolutional network of 38,390 parameters for MNIST.
pub fn mnist_cnn() -> Sequential {
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

/// A training step of a classifier of inputs of this shape, with Adam.
pub fn step_of(model: &dyn Layer, shape: &[usize]) -> Tape {
    step_in(false, model, shape)
}

/// The same in mixed precision.
pub fn half_step_of(model: &dyn Layer, shape: &[usize]) -> Tape {
    step_in(true, model, shape)
}

fn step_in(half: bool, model: &dyn Layer, shape: &[usize]) -> Tape {
    let mut g = Graph::new();
    let (x, labels) = (g.input("x", Shape::new(shape).unwrap()), g.labels("labels", [shape[0]]));
    let record = |g: &mut Graph| retape::nn::record(model, g, &[x], Mode::Training).unwrap().outputs[0];
    let logits = if half { g.autocast(record) } else { record(&mut g) };
    let loss = g.softmax_cross_entropy(g.cast(logits, DType::F32).unwrap(), labels).unwrap();
    g.training_step(loss, &Adam::new(1e-3)).unwrap()
}
