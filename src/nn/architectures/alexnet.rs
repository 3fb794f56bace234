use crate::graph::Init;
use crate::nn::{
    Activation, Conv2d, Dense, Dropout, Flatten, Layer, LocalResponseNorm, MaxPool2d, Model, Sequential,
};
use crate::ops::Padding;

/// AlexNet (Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional
/// neural networks, NeurIPS 2012), for images `[3, 227, 227]`: 60,965,224 parameters with 1,000
/// classes.
///
/// As published: the second, fourth and fifth convolutions in two groups, one for each GPU of the
/// authors; local response normalisation after the first two; overlapping pools; dropout of one
/// half after the first two dense layers; weights of standard deviation 0.01, biases of 1 in the
/// second, fourth and fifth convolution and the hidden dense layers.
pub fn alexnet(classes: usize) -> Model {
    build(classes, 2)
}

/// [`alexnet`] without groups, as it fits on one GPU: 62,378,344 parameters with 1,000 classes.
pub fn alexnet_one_gpu(classes: usize) -> Model {
    build(classes, 1)
}

fn build(classes: usize, groups: usize) -> Model {
    let weights = Init::Normal { mean: 0.0, std: 0.01 };
    let conv = |filters, kernel: usize, padding, bias| {
        Conv2d::new(filters, kernel)
            .padding(Padding::symmetric(padding))
            .activation(Activation::Relu)
            .weight_init(weights.clone())
            .bias_init(Init::Constant(bias))
    };
    let dense = |units, bias| Dense::new(units).weight_init(weights.clone()).bias_init(Init::Constant(bias));
    let pool = || MaxPool2d::new(3).stride(2);
    let model = Sequential::new()
        .add(conv(96, 11, 0, 0.0).stride(4).named("conv1"))
        .add(LocalResponseNorm::new(5))
        .add(pool())
        .add(conv(256, 5, 2, 1.0).groups(groups).named("conv2"))
        .add(LocalResponseNorm::new(5))
        .add(pool())
        .add(conv(384, 3, 1, 0.0).named("conv3"))
        .add(conv(384, 3, 1, 1.0).groups(groups).named("conv4"))
        .add(conv(256, 3, 1, 1.0).groups(groups).named("conv5"))
        .add(pool())
        .add(Flatten)
        .add(dense(4096, 1.0).activation(Activation::Relu).named("fc6"))
        .add(Dropout::new(0.5))
        .add(dense(4096, 1.0).activation(Activation::Relu).named("fc7"))
        .add(Dropout::new(0.5))
        .add(dense(classes, 0.0).named("fc8"));
    model.into()
}
