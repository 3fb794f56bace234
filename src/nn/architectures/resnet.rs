use crate::error::Result;
use crate::graph::{Init, Value};
use crate::nn::{
    Activation, Add, BatchNorm, Conv2d, Dense, GlobalAvgPool2d, Layer, LayerContext, MaxPool2d, Model,
    Network, Node, Sequential, image,
};
use crate::ops::{Padding, SliceRange};

/// ResNet-18 (He, Zhang, Ren and Sun, Deep residual learning for image recognition, CVPR 2016,
/// table 1), for images `[3, 224, 224]`: 11,689,512 parameters with 1,000 classes.
///
/// Blocks of two 3x3 convolutions, each with batch normalisation and without a bias; projections
/// where a block changes the shape (option B of the paper); He initialisation.
pub fn resnet18(classes: usize) -> Model {
    imagenet(classes, Block::Basic, [2, 2, 2, 2])
}

/// ResNet-34, of the same blocks as [`resnet18`]: 21,797,672 parameters with 1,000 classes.
pub fn resnet34(classes: usize) -> Model {
    imagenet(classes, Block::Basic, [3, 4, 6, 3])
}

/// ResNet-50, of bottleneck blocks: a 1x1 convolution that reduces the channels, a 3x3 and a 1x1
/// that restores them. 25,557,032 parameters with 1,000 classes; otherwise as [`resnet18`].
///
/// The first 1x1 convolution of a block has the stride, as in the paper; some later
/// implementations put it on the 3x3.
pub fn resnet50(classes: usize) -> Model {
    imagenet(classes, Block::Bottleneck, [3, 4, 6, 3])
}

/// ResNet-101, of the same blocks as [`resnet50`]: 44,549,160 parameters with 1,000 classes.
pub fn resnet101(classes: usize) -> Model {
    imagenet(classes, Block::Bottleneck, [3, 4, 23, 3])
}

/// ResNet-152, of the same blocks as [`resnet50`]: 60,192,808 parameters with 1,000 classes.
pub fn resnet152(classes: usize) -> Model {
    imagenet(classes, Block::Bottleneck, [3, 8, 36, 3])
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
    let mut model =
        Sequential::new().add(conv(16, 3, 1).named("conv1")).add(BatchNorm::new()).add(Activation::Relu);
    let mut channels = 16;
    for (stage, filters) in [16, 32, 64].into_iter().enumerate() {
        for index in 0..n {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let block = residual(Block::Basic, filters, stride, channels != filters, shortcut);
            model = model.add(block.named(&format!("conv{}_{}", stage + 2, index + 1)));
            channels = filters;
        }
    }
    model.add(GlobalAvgPool2d).add(classifier(classes)).into()
}

/// [`resnet_cifar`] with three blocks in a stage and identity shortcuts: 20 layers, 269,722
/// parameters with 10 classes. With projections it would have 272,474.
pub fn resnet20(classes: usize) -> Model {
    resnet_cifar(3, classes, Shortcut::Identity)
}

/// The two kinds of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Basic,
    Bottleneck,
}

impl Block {
    /// Output channels for each filter.
    fn expansion(self) -> usize {
        match self {
            Block::Basic => 1,
            Block::Bottleneck => 4,
        }
    }
}

fn imagenet(classes: usize, block: Block, counts: [usize; 4]) -> Model {
    let mut model = Sequential::new()
        .add(conv(64, 7, 2).named("conv1"))
        .add(BatchNorm::new())
        .add(Activation::Relu)
        .add(MaxPool2d::new(3).stride(2).padding(Padding::symmetric(1)));
    let mut channels = 64;
    for (stage, (count, filters)) in counts.into_iter().zip([64, 128, 256, 512]).enumerate() {
        for index in 0..count {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let output = filters * block.expansion();
            let residual = residual(block, filters, stride, channels != output, Shortcut::Projection);
            model = model.add(residual.named(&format!("conv{}_{}", stage + 2, index + 1)));
            channels = output;
        }
    }
    model.add(GlobalAvgPool2d).add(classifier(classes)).into()
}

fn classifier(classes: usize) -> Dense {
    Dense::new(classes).weight_init(Init::HeNormal)
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
    let normalised = |net: &mut Network, conv: Conv2d, x: Node| {
        let y = net.add(conv, x);
        net.add(BatchNorm::new(), y)
    };
    let rectified = |net: &mut Network, conv: Conv2d, x: Node| {
        let y = normalised(net, conv, x);
        net.add(Activation::Relu, y)
    };
    let output = filters * block.expansion();
    let y = match block {
        Block::Basic => {
            let y = rectified(&mut net, conv(filters, 3, stride), x);
            normalised(&mut net, conv(output, 3, 1), y)
        }
        Block::Bottleneck => {
            let y = rectified(&mut net, conv(filters, 1, stride), x);
            let y = rectified(&mut net, conv(filters, 3, 1), y);
            normalised(&mut net, conv(output, 1, 1), y)
        }
    };
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

impl Layer for PaddedShortcut {
    fn kind(&self) -> &'static str {
        "padded_shortcut"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        let [n, c, h, w] = image(cx.graph().shape(x)?)?;
        let step = self.stride;
        let sparse = |stop| SliceRange { start: 0, stop, step };
        let x = cx.graph().slice(x, &[(0..n).into(), (0..c).into(), sparse(h), sparse(w)])?;
        let added = self.channels.saturating_sub(c);
        cx.graph().pad(x, &[(0, 0), (0, added), (0, 0), (0, 0)], 0.0)
    }
}
