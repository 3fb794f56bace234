use crate::nn::{Activation, AvgPool2d, Conv2d, Dense, Flatten, Layer, Model, Sequential};

/// LeNet-5 (LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document
/// recognition, Proceedings of the IEEE, 1998), for images `[1, 32, 32]`: 61,706 parameters with 10
/// classes.
///
/// As it is usually built today: tanh, plain averages without trained coefficients, every map of C3
/// connected to every map of S2, and logits in place of the radial basis functions.
pub fn lenet5(classes: usize) -> Model {
    let conv = |filters| Conv2d::new(filters, 5).activation(Activation::Tanh);
    let model = Sequential::new()
        .add(conv(6).named("c1"))
        .add(AvgPool2d::new(2).named("s2"))
        .add(conv(16).named("c3"))
        .add(AvgPool2d::new(2).named("s4"))
        .add(conv(120).named("c5"))
        .add(Flatten)
        .add(Dense::new(84).activation(Activation::Tanh).named("f6"))
        .add(Dense::new(classes).named("output"));
    model.into()
}
