use crate::nn::{
    Activation, AvgPool2d, Concat, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, Layer,
    LocalResponseNorm, MaxPool2d, Model, Network, Node, Sequential,
};
use crate::ops::Padding;

/// The inception modules, as table 1 of the paper lists their filters: the 1x1 convolution; the 1x1
/// reduction before the 3x3 convolution, and that; the 1x1 reduction before the 5x5 convolution, and
/// that; the 1x1 projection after the pool.
const MODULES: [(&str, [usize; 6]); 9] = [
    ("inception_3a", [64, 96, 128, 16, 32, 32]),
    ("inception_3b", [128, 128, 192, 32, 96, 64]),
    ("inception_4a", [192, 96, 208, 16, 48, 64]),
    ("inception_4b", [160, 112, 224, 24, 64, 64]),
    ("inception_4c", [128, 128, 256, 24, 64, 64]),
    ("inception_4d", [112, 144, 288, 32, 64, 64]),
    ("inception_4e", [256, 160, 320, 32, 128, 128]),
    ("inception_5a", [256, 160, 320, 32, 128, 128]),
    ("inception_5b", [384, 192, 384, 48, 128, 128]),
];

/// GoogLeNet, also called Inception v1 (Szegedy et al., Going deeper with convolutions, CVPR 2015),
/// for images `[3, 224, 224]`: 6,998,552 parameters with 1,000 classes.
///
/// Nine inception modules, local response normalisation around the second convolution, pools in
/// ceil mode, dropout of 0.4 before the only dense layer. The last pool covers whatever is left of
/// the image, 7x7 at the paper's resolution. For images of 31x31 and more.
pub fn googlenet(classes: usize) -> Model {
    let (mut net, [.., last]) = trunk();
    let logits = head(&mut net, last, classes);
    net.output(logits)
}

/// [`googlenet`] with the paper's two auxiliary classifiers: three outputs, the logits of the main
/// classifier first, then those of the classifiers on modules 4a and 4d, whose losses the paper
/// weighs by 0.3. For images of 79x79 and more. 13,378,280 parameters at the paper's resolution,
/// with 1,000 classes.
///
/// ```
/// use retape::prelude::*;
///
/// let model = architectures::googlenet_with_auxiliary(10);
/// let mut g = Graph::new();
/// let x = g.input("x", [2, 3, 96, 96]);
/// let recorded = retape::nn::record(&model, &mut g, &[x], Mode::Training)?;
/// assert_eq!(recorded.outputs.len(), 3);
/// # Ok::<(), retape::Error>(())
/// ```
pub fn googlenet_with_auxiliary(classes: usize) -> Model {
    let (mut net, [module_4a, module_4d, last]) = trunk();
    let first = net.add(auxiliary(classes).named("auxiliary_1"), module_4a);
    let second = net.add(auxiliary(classes).named("auxiliary_2"), module_4d);
    let logits = head(&mut net, last, classes);
    net.outputs([logits, first, second])
}

/// All modules; the outputs of 4a, 4d and 5b, where the classifiers begin.
fn trunk() -> (Network, [Node; 3]) {
    let mut net = Network::new();
    let x = net.input();
    let pool = || MaxPool2d::new(3).stride(2).ceil_mode();
    let stem = Sequential::new()
        .add(conv(64, 7).stride(2).named("conv1"))
        .add(pool())
        .add(LocalResponseNorm::new(5))
        .add(conv(64, 1).named("conv2_reduce"))
        .add(conv(192, 3).named("conv2"))
        .add(LocalResponseNorm::new(5))
        .add(pool());
    let mut x = net.add(stem.named("stem"), x);
    let outputs = MODULES.map(|(name, filters)| {
        if ["inception_4a", "inception_5a"].contains(&name) {
            x = net.add(pool(), x);
        }
        x = net.add(inception(filters).named(name), x);
        x
    });
    (net, [outputs[2], outputs[5], outputs[8]])
}

fn head(net: &mut Network, x: Node, classes: usize) -> Node {
    let x = net.add(GlobalAvgPool2d, x);
    let x = net.add(Dropout::new(0.4), x);
    net.add(Dense::new(classes).named("classifier"), x)
}

/// A classifier on the side, which brings a gradient to the middle of the network.
fn auxiliary(classes: usize) -> Sequential {
    Sequential::new()
        .add(AvgPool2d::new(5).stride(3))
        .add(conv(128, 1))
        .add(Flatten)
        .add(Dense::new(1024).activation(Activation::Relu))
        .add(Dropout::new(0.7))
        .add(Dense::new(classes))
}

/// A convolution of an odd kernel that keeps height and width, with the rectifier that follows
/// every one.
fn conv(filters: usize, kernel: usize) -> Conv2d {
    let padding = Padding::symmetric(kernel / 2);
    Conv2d::new(filters, kernel).padding(padding).activation(Activation::Relu)
}

/// Four branches side by side.
fn inception([single, reduced_3, triple, reduced_5, quintuple, projected]: [usize; 6]) -> Model {
    let mut net = Network::new();
    let x = net.input();
    let a = net.add(conv(single, 1).named("conv1x1"), x);
    let b = net.add(conv(reduced_3, 1).named("conv3x3_reduce"), x);
    let b = net.add(conv(triple, 3).named("conv3x3"), b);
    let c = net.add(conv(reduced_5, 1).named("conv5x5_reduce"), x);
    let c = net.add(conv(quintuple, 5).named("conv5x5"), c);
    let d = net.add(MaxPool2d::new(3).stride(1).padding(Padding::symmetric(1)), x);
    let d = net.add(conv(projected, 1).named("pool_projection"), d);
    let y = net.add(Concat::channels(), [a, b, c, d]);
    net.output(y)
}
