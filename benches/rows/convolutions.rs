//! Convolutions: the layers of networks, and a row of each operator for the table of kernels.

use retape::ops::{Backward, ConvOptions, ConvRoute, Padding};
use retape::{Graph, Result};

use super::{Row, Step, step, uniform};

/// A convolution of a network, without its batch.
#[derive(Clone, Copy)]
pub struct Layer {
    /// Network and place.
    pub name: &'static str,
    /// Channels, height and width.
    pub image: [usize; 3],
    pub filters: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
    pub groups: usize,
}

/// What of a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Forward,
    Image,
    Weight,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Forward, Part::Image, Part::Weight];

    pub fn name(self) -> &'static str {
        match self {
            Part::Forward => "y",
            Part::Image => "dx",
            Part::Weight => "dw",
        }
    }
}

impl Layer {
    const fn new(name: &'static str, image: [usize; 3], filters: usize, kernel: usize) -> Layer {
        Layer { name, image, filters, kernel, stride: 1, padding: Padding::Valid, groups: 1 }
    }

    const fn same(self) -> Layer {
        let p = self.kernel / 2;
        Layer { padding: Padding::Explicit { top: p, left: p, bottom: p, right: p }, ..self }
    }

    const fn stride(self, stride: usize) -> Layer {
        Layer { stride, ..self }
    }

    const fn depthwise(self) -> Layer {
        Layer { groups: self.image[0], ..self }
    }

    /// Floating-point operations of one of its products over a batch, counting padding.
    pub fn flops(self, batch: usize) -> u64 {
        let Layer { image: [c, h, w], filters, kernel, stride, padding, groups, .. } = self;
        let size = |input: usize| {
            let around = match padding {
                Padding::Explicit { top, bottom, .. } => top + bottom,
                _ => 0,
            };
            (input + around - kernel) / stride + 1
        };
        (2 * batch * filters * c / groups * kernel * kernel * size(h) * size(w)) as u64
    }

    /// The row of one of its products over a batch, by a route.
    pub fn row(self, batch: usize, part: Part, route: ConvRoute) -> Row {
        let Layer { name, image: [c, h, w], filters, kernel, stride, padding, groups } = self;
        let route_name = format!("{route:?}").to_lowercase();
        let text = format!("{name} {} batch {batch} {route_name}", part.name());
        let options = ConvOptions::new().stride(stride).padding(padding).groups(groups).route(route);
        Row::arithmetic(text, self.flops(batch), move |g| {
            let x = uniform(g, "x", [batch, c, h, w], [-1.0, 1.0]);
            let weight = uniform(g, "w", [filters, c / groups, kernel, kernel], [-1.0, 1.0]);
            let y = g.conv2d(x.0, weight.0, None, options)?;
            match part {
                Part::Forward => Ok(step(y, vec![x, weight])),
                Part::Image => slope(g, y, vec![x, weight], [true, false]),
                Part::Weight => slope(g, y, vec![x, weight], [false, true]),
            }
        })
    }
}

/// One of the gradients of the convolution that made `y`.
fn slope(
    g: &mut Graph,
    y: retape::Value,
    mut inputs: Vec<(retape::Value, super::Data)>,
    needs: [bool; 2],
) -> Result<Step> {
    let dy = uniform(g, "dy", g.shape(y)?, [0.5, 1.5]);
    let forward = g.forward([y])?;
    let node = forward.ops().iter().find(|node| node.outputs.contains(&y)).expect("y is computed");
    let grads = [Some(dy.0)];
    let cx =
        Backward { graph: g, inputs: &node.inputs, outputs: &node.outputs, grads: &grads, needs: &needs };
    let found = node.op.backward(&cx).expect("convolution has gradients")?;
    inputs.push(dy);
    Ok(Step { outputs: found.into_iter().flatten().collect(), inputs })
}

/// The layers of the MNIST network, at a batch of 128.
pub const MNIST: [Layer; 2] =
    [Layer::new("mnist conv1", [1, 28, 28], 10, 5), Layer::new("mnist conv2", [10, 12, 12], 20, 5)];

/// The layers of the CIFAR-10 network, at a batch of 32.
pub const CIFAR: [Layer; 3] = [
    Layer::new("cifar conv1", [3, 32, 32], 32, 3),
    Layer::new("cifar conv2", [32, 15, 15], 64, 3),
    Layer::new("cifar conv3", [64, 6, 6], 64, 3),
];

/// The distinct layers of VGG-16, at a batch of 1.
pub const VGG: [Layer; 9] = [
    Layer::new("vgg conv1_1", [3, 224, 224], 64, 3).same(),
    Layer::new("vgg conv1_2", [64, 224, 224], 64, 3).same(),
    Layer::new("vgg conv2_1", [64, 112, 112], 128, 3).same(),
    Layer::new("vgg conv2_2", [128, 112, 112], 128, 3).same(),
    Layer::new("vgg conv3_1", [128, 56, 56], 256, 3).same(),
    Layer::new("vgg conv3_2", [256, 56, 56], 256, 3).same(),
    Layer::new("vgg conv4_1", [256, 28, 28], 512, 3).same(),
    Layer::new("vgg conv4_2", [512, 28, 28], 512, 3).same(),
    Layer::new("vgg conv5", [512, 14, 14], 512, 3).same(),
];

/// The distinct layers of ResNet-50, at a batch of 1.
pub const RESNET: [Layer; 20] = [
    Layer::new("resnet conv1", [3, 224, 224], 64, 7).same().stride(2),
    Layer::new("resnet 2 reduce first", [64, 56, 56], 64, 1),
    Layer::new("resnet 2 project", [64, 56, 56], 256, 1),
    Layer::new("resnet 2 reduce", [256, 56, 56], 64, 1),
    Layer::new("resnet 2 middle", [64, 56, 56], 64, 3).same(),
    Layer::new("resnet 3 reduce first", [256, 56, 56], 128, 1).stride(2),
    Layer::new("resnet 3 project", [256, 56, 56], 512, 1).stride(2),
    Layer::new("resnet 3 reduce", [512, 28, 28], 128, 1),
    Layer::new("resnet 3 middle", [128, 28, 28], 128, 3).same(),
    Layer::new("resnet 3 expand", [128, 28, 28], 512, 1),
    Layer::new("resnet 4 reduce first", [512, 28, 28], 256, 1).stride(2),
    Layer::new("resnet 4 project", [512, 28, 28], 1024, 1).stride(2),
    Layer::new("resnet 4 reduce", [1024, 14, 14], 256, 1),
    Layer::new("resnet 4 middle", [256, 14, 14], 256, 3).same(),
    Layer::new("resnet 4 expand", [256, 14, 14], 1024, 1),
    Layer::new("resnet 5 reduce first", [1024, 14, 14], 512, 1).stride(2),
    Layer::new("resnet 5 project", [1024, 14, 14], 2048, 1).stride(2),
    Layer::new("resnet 5 reduce", [2048, 7, 7], 512, 1),
    Layer::new("resnet 5 middle", [512, 7, 7], 512, 3).same(),
    Layer::new("resnet 5 expand", [512, 7, 7], 2048, 1),
];

/// What those networks have none of, at a batch of 8: a stride in a wide window, and channels that
/// do not see each other.
pub const OTHERS: [Layer; 3] = [
    Layer::new("strided 3x3", [128, 28, 28], 128, 3).same().stride(2),
    Layer::new("depthwise", [32, 28, 28], 32, 3).same().depthwise(),
    Layer::new("depthwise strided", [64, 28, 28], 64, 3).same().stride(2).depthwise(),
];

/// The layers of the small networks for the table of kernels.
pub fn rows() -> Vec<Row> {
    let small = [(MNIST[1], 128), (CIFAR[1], 32)];
    let parts =
        |(layer, batch): (Layer, usize)| Part::ALL.map(|part| layer.row(batch, part, ConvRoute::Auto));
    small.into_iter().flat_map(parts).collect()
}
