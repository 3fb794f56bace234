//! Convolution over images and its two gradients, each linear in both of its operands and closed
//! under differentiation: `conv2d`, `conv_transpose2d` (its gradient with respect to the image)
//! and `conv2d_weight_grad`. Shaders: `conv.wgsl`, `conv_columns.wgsl`, `conv_blocks.wgsl`.

mod columns;
mod direct;
mod geometry;
mod graph;
mod implicit;
mod reference;
mod route;

pub use graph::ConvOptions;
pub use route::ConvRoute;

pub(super) use columns::SHADER as COLUMNS;
pub(super) use direct::SHADER as DIRECT;
pub(super) use implicit::SHADER as BLOCKS;

use super::Window;
use super::common::*;
use geometry::{Geometry, Product};

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("conv2d", Gradient::Yes, "f32"),
        OperatorInfo::new("conv_transpose2d", Gradient::Yes, "f32"),
        OperatorInfo::new("conv2d_weight_grad", Gradient::Yes, "f32"),
    ],
    shaders: &[&DIRECT, &COLUMNS, &BLOCKS],
};

/// What a convolution and its two gradients have in common.
#[derive(Clone, Copy, Debug)]
struct Convolution {
    window: Window,
    groups: usize,
    /// Height and width of the image.
    image: [usize; 2],
    route: ConvRoute,
}

/// One of the three operators.
#[derive(Clone, Copy, Debug)]
struct Conv {
    product: Product,
    of: Convolution,
}

impl Convolution {
    /// The sizes for an image of `channels`, `filters` filters and a batch of `n`.
    fn geometry(&self, n: usize, channels: usize, filters: usize) -> Result<Geometry> {
        let [h, w] = self.window.over_channels(channels, self.image)?;
        let groups = self.groups;
        check_groups(groups, [("input channels", channels), ("output channels", filters)])?;
        Ok(Geometry { n, groups, c: channels / groups, o: filters / groups, h, w })
    }
}

/// Refuses groups that do not divide the channels.
fn check_groups<const N: usize>(groups: usize, channels: [(&'static str, usize); N]) -> Result<()> {
    if groups == 0 {
        return Err(Error::Argument { argument: "groups", value: "0".to_owned(), expected: "at least 1" });
    }
    match channels.into_iter().find(|(_, count)| !count.is_multiple_of(groups)) {
        None => Ok(()),
        Some((argument, count)) => {
            let value = format!("{count} in {groups} groups");
            Err(Error::Argument { argument, value, expected: "groups must divide the channels" })
        }
    }
}

/// The four dimensions of an operand, which must be f32.
fn dims(what: &str, ty: TensorType) -> Result<[usize; 4]> {
    expect_dtype(what, ty, DType::F32)?;
    <[usize; 4]>::try_from(ty.shape.dims()).map_err(|_| Error::Rank { shape: ty.shape, expected: "4" })
}

impl Conv {
    /// The sizes, from the shapes of the operands.
    fn geometry(&self, inputs: &[TensorType]) -> Result<Geometry> {
        let (left, right) = (inputs[0], inputs[1]);
        let disagree = |what: &'static str| Err(Error::shape_mismatch(what, left.shape, right.shape));
        match self.product {
            Product::Forward => {
                let [n, channels, ..] = dims("the image", left)?;
                let [filters, per_group, ..] = dims("the weight", right)?;
                let geometry = self.of.geometry(n, channels, filters)?;
                if per_group != geometry.c {
                    return disagree("input channels by groups of image and weight");
                }
                Ok(geometry)
            }
            Product::Image => {
                let [filters, per_group, ..] = dims("the weight", left)?;
                let [n, channels, h, w] = dims("the result of the convolution", right)?;
                let geometry = self.of.geometry(n, per_group.saturating_mul(self.of.groups), filters)?;
                if channels != filters || [h, w] != geometry.outputs() {
                    return disagree("channels and size of what the convolution results in");
                }
                Ok(geometry)
            }
            Product::Weight => {
                let [n, channels, ..] = dims("the image", left)?;
                let [results, filters, h, w] = dims("the result of the convolution", right)?;
                let geometry = self.of.geometry(n, channels, filters)?;
                if results != n || [h, w] != geometry.outputs() {
                    return disagree("batch and size of what the convolution results in");
                }
                Ok(geometry)
            }
        }
    }

    fn output(&self, geometry: &Geometry) -> [usize; 4] {
        match self.product {
            Product::Forward => geometry.result_dims(),
            Product::Image => geometry.image_dims(),
            Product::Weight => geometry.weight_dims(),
        }
    }

    fn evaluate(&self, cx: &Reference<'_>, left: &Array, right: &Array) -> Array {
        let types = [TensorType::f32(left.shape), TensorType::f32(right.shape)];
        match self.geometry(&types) {
            Ok(geometry) => Array {
                shape: cx.outputs[0].shape,
                data: reference::product(self.product, &geometry, &left.data, &right.data),
            },
            // The shape rule has accepted these operands before.
            Err(_) => Array::full(cx.outputs[0].shape, f64::NAN),
        }
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        match self.product {
            Product::Forward => "conv2d",
            Product::Image => "conv_transpose2d",
            Product::Weight => "conv2d_weight_grad",
        }
    }

    fn attributes(&self) -> String {
        let Convolution { window, groups, route, .. } = self.of;
        let [kh, kw] = window.kernel;
        let mut text = format!("{kh}x{kw}, {}", window.padding);
        for (what, pair) in [("stride", window.stride), ("dilation", window.dilation)] {
            if pair != [1, 1] {
                text += &format!(", {what}={}x{}", pair[0], pair[1]);
            }
        }
        if groups != 1 {
            text += &format!(", groups={groups}");
        }
        if route != ConvRoute::Auto {
            text += &format!(", {route:?}");
        }
        text
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let geometry = self.geometry(inputs)?;
        Ok(vec![TensorType::f32(Shape::new(&self.output(&geometry))?)])
    }

    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        self.geometry(inputs).map_or(0, |geometry| geometry.multiply_adds())
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (left, right, grad) = (cx.inputs[0], cx.inputs[1], cx.grad());
        let apply = |product, a, b| cx.graph.apply1(Conv { product, of: self.of }, &[a, b]);
        use Product::{Forward, Image, Weight};
        // y = x * w, and each gradient is another of the three products.
        let (left, right) = match self.product {
            Forward => ((Image, right, grad), (Weight, left, grad)),
            Image => ((Weight, grad, right), (Forward, grad, left)),
            Weight => ((Image, grad, right), (Forward, left, grad)),
        };
        let gradient = |needed: bool, (product, a, b)| needed.then(|| apply(product, a, b)).transpose();
        let left = gradient(cx.needs[0], left);
        Some(left.and_then(|left| Ok(vec![left, gradient(cx.needs[1], right)?])))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let geometry = self.geometry(cx.inputs)?;
        route::lower(cx, self.product, &geometry, self.of.route);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.evaluate(cx, cx.inputs[0], cx.inputs[1])]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (a, b) = (cx.inputs[0].map(f64::abs), cx.inputs[1].map(f64::abs));
        let types = [TensorType::f32(a.shape), TensorType::f32(b.shape)];
        let terms = self.geometry(&types).map_or(0, |g| g.terms(self.product));
        let mut bound = relative_bound(&self.evaluate(cx, &a, &b), 2.0 + 0.5 * terms as f64);
        // Every product with a subnormal operand may be lost.
        let lost = |x: f64| x - flush(x);
        for (a, b) in [(&a.map(lost), &b), (&a, &b.map(lost))] {
            if a.data.iter().chain(&b.data).all(|&v| v == 0.0) {
                continue;
            }
            let lost = self.evaluate(cx, a, b).data;
            bound.iter_mut().zip(lost).for_each(|(bound, lost)| *bound += lost);
        }
        vec![bound]
    }
}
