use crate::graph::Init;
use crate::nn::macros::one_input;
use crate::nn::{
    Activation, Add, BatchNorm, Conv2d, Dense, GlobalAvgPool2d, Layer, MaxPool2d, Model, Network, Sequential,
    image,
};
use crate::ops::{Padding, SliceRange};

/// ResNet-18 (He, Zhang, Ren and Sun, Deep residual learning for image recognition, CVPR 2016,
/// table 1), for images `[3, 224, 224]`: 11,689,512 parameters with 1,000 classes.
///
/// Blocks of two 3x3 convolutions, each with batch normalisation and without a bias; projections
/// where a block changes the shape (option B of the paper); He initialisation.
pub fn resnet18(classes: usize) -> Model {
    imagenet(classes, BASIC, [2, 2, 2, 2])
}

/// ResNet-34, of the same blocks as [`resnet18`]: 21,797,672 parameters with 1,000 classes.
pub fn resnet34(classes: usize) -> Model {
    imagenet(classes, BASIC, [3, 4, 6, 3])
}

/// ResNet-50, of bottleneck blocks: a 1x1 convolution that reduces the channels, a 3x3 and a 1x1
/// that restores them. 25,557,032 parameters with 1,000 classes; otherwise as [`resnet18`].
///
/// The first 1x1 convolution of a block has the stride, as in the paper; some later
/// implementations put it on the 3x3.
pub fn resnet50(classes: usize) -> Model {
    imagenet(classes, BOTTLENECK, [3, 4, 6, 3])
}

/// ResNet-101, of the same blocks as [`resnet50`]: 44,549,160 parameters with 1,000 classes.
pub fn resnet101(classes: usize) -> Model {
    imagenet(classes, BOTTLENECK, [3, 4, 23, 3])
}

/// ResNet-152, of the same blocks as [`resnet50`]: 60,192,808 parameters with 1,000 classes.
pub fn resnet152(classes: usize) -> Model {
    imagenet(classes, BOTTLENECK, [3, 8, 36, 3])
}

/// What passes by a block that halves the image and doubles the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shortcut {
    /// Every second row and column, with channels of zeros added: no parameters (option A of the
    /// paper).
    Identity,
    /// A 1x1 convolution with batch normalisation (option B).
    Projection,
}

/// The residual networks of section 4.2 of the same paper, for images `[3, 32, 32]` such as
/// CIFAR-10's: `6n + 2` layers, three stages of `n` blocks with 16, 32 and 64 filters. The paper
/// takes identity shortcuts.
pub fn resnet_cifar(n: usize, classes: usize, shortcut: Shortcut) -> Model {
    stages(stem(16, 3, 1), 16, BASIC, &[n; 3], shortcut, classes)
}

/// [`resnet_cifar`] with three blocks in a stage and identity shortcuts: 20 layers, 269,722
/// parameters with 10 classes. With projections it would have 272,474.
pub fn resnet20(classes: usize) -> Model {
    resnet_cifar(3, classes, Shortcut::Identity)
}

/// The convolutions of a block.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// The kernels of those before the last one.
    inner: &'static [usize],
    last: usize,
    /// Output channels for each filter.
    expansion: usize,
}

const BASIC: Block = Block { inner: &[3], last: 3, expansion: 1 };
const BOTTLENECK: Block = Block { inner: &[1, 3], last: 1, expansion: 4 };

fn imagenet(classes: usize, block: Block, counts: [usize; 4]) -> Model {
    let stem = stem(64, 7, 2).add(MaxPool2d::new(3).stride(2).padding(Padding::symmetric(1)));
    stages(stem, 64, block, &counts, Shortcut::Projection, classes)
}

/// What comes before the first block.
fn stem(filters: usize, kernel: usize, stride: usize) -> Sequential {
    let conv = conv(filters, kernel, stride).named("conv1");
    Sequential::new().add(conv).add(BatchNorm::new()).add(Activation::Relu)
}

/// Stages of so many blocks after a stem, the first one with as many filters as that, each later one with
/// twice those of the one before; and the classifier.
fn stages(
    mut model: Sequential,
    filters: usize,
    block: Block,
    counts: &[usize],
    shortcut: Shortcut,
    classes: usize,
) -> Model {
    let mut channels = filters;
    for (stage, &count) in counts.iter().enumerate() {
        let filters = filters << stage;
        for index in 0..count {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let output = filters * block.expansion;
            let residual = residual(block, filters, stride, channels != output, shortcut);
            model = model.add(residual.named(&format!("conv{}_{}", stage + 2, index + 1)));
            channels = output;
        }
    }
    model.add(GlobalAvgPool2d).add(Dense::new(classes).weight_init(Init::HeNormal)).into()
}

/// A convolution of an odd kernel, padded to keep height and width but for the stride.
fn conv(filters: usize, kernel: usize, stride: usize) -> Conv2d {
    Conv2d::new(filters, kernel)
        .stride(stride)
        .padding(Padding::symmetric(kernel / 2))
        .bias(false)
        .weight_init(Init::HeNormal)
}

/// `relu(F(x) + shortcut(x))`.
fn residual(block: Block, filters: usize, stride: usize, widens: bool, shortcut: Shortcut) -> Model {
    let mut net = Network::new();
    let x = net.input();
    let output = filters * block.expansion;
    let mut y = x;
    for (index, &kernel) in block.inner.iter().enumerate() {
        y = net.add(conv(filters, kernel, if index == 0 { stride } else { 1 }), y);
        y = net.add(BatchNorm::new(), y);
        y = net.add(Activation::Relu, y);
    }
    y = net.add(conv(output, block.last, 1), y);
    y = net.add(BatchNorm::new(), y);
    let past = match shortcut {
        _ if !widens && stride == 1 => x,
        Shortcut::Identity => net.add(PaddedShortcut { channels: output, stride }, x),
        Shortcut::Projection => {
            let projected = net.add(conv(output, 1, stride).named("projection"), x);
            net.add(BatchNorm::new().named("projection_norm"), projected)
        }
    };
    let sum = net.add(Add, [y, past]);
    let y = net.add(Activation::Relu, sum);
    net.output(y)
}

/// Every `stride`-th row and column, with channels of zeros up to `channels`.
#[derive(Clone, Copy, Debug)]
struct PaddedShortcut {
    channels: usize,
    stride: usize,
}

one_input! {
    PaddedShortcut, "padded_shortcut", |layer, cx, x| {
        let [n, c, h, w] = image(cx.graph().shape(x)?)?;
        let step = layer.stride;
        let sparse = |stop| SliceRange { start: 0, stop, step };
        let x = cx.graph().slice(x, &[(0..n).into(), (0..c).into(), sparse(h), sparse(w)])?;
        let added = layer.channels.saturating_sub(c);
        cx.graph().pad(x, &[(0, 0), (0, added), (0, 0), (0, 0)], 0.0)
    };
}
