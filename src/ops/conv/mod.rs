//! Convolution over images and its two gradients, each linear in both of its operands and closed
//! under differentiation: `conv2d`, `conv_transpose2d` (its gradient with respect to the image)
//! and `conv2d_weight_grad`. Shaders: `conv.wgsl`, `conv_columns.wgsl`, `conv_blocks.wgsl`.

mod columns;
mod compute;
mod direct;
mod geometry;
mod implicit;
mod options;
mod reference;
mod route;
mod strides;
mod whole;

pub use options::ConvOptions;
pub use route::ConvRoute;

pub(super) use columns::SHADER as COLUMNS;
pub(super) use direct::SHADER as DIRECT;
pub(super) use implicit::{SHADER as BLOCKS, WITH_SUMS};
pub(super) use options::{grow, transposable};
pub(crate) use strides::{Unstrided, unstrided};

use super::Window;
use super::common::*;
use super::window::check_work;
use compute::Convolution;
use geometry::Geometry;
pub(super) use geometry::Product;
use geometry::Product::{Forward, Image, Weight};

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("conv2d", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("conv_transpose2d", Gradient::Yes, "f32, f16"),
        OperatorInfo::new("conv2d_weight_grad", Gradient::Yes, "f32, f16"),
    ],
    shaders: &[&DIRECT, &COLUMNS, &BLOCKS, &WITH_SUMS],
};

/// One of the three operators.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conv {
    product: Product,
    window: Window,
    groups: usize,
    /// Height and width of the image.
    image: [usize; 2],
    route: ConvRoute,
}

/// Refuses groups that do not divide the channels.
fn check_groups<const N: usize>(groups: usize, channels: [(&'static str, usize); N]) -> Result<()> {
    Error::expect(groups > 0, "groups", 0, "at least 1")?;
    match channels.into_iter().find(|(_, count)| !count.is_multiple_of(groups)) {
        None => Ok(()),
        Some((argument, count)) => {
            let value = format!("{count} in {groups} groups");
            Err(Error::argument(argument, value, "groups must divide the channels"))
        }
    }
}

/// The four dimensions of an operand, which must hold numbers.
fn dims(what: &str, ty: TensorType) -> Result<[usize; 4]> {
    expect_float(what, ty)?;
    ty.shape.extents("4")
}

impl Conv {
    /// The sizes, from the shapes of the operands.
    fn geometry(&self, inputs: &[TensorType]) -> Result<Geometry> {
        let (image, weight, result) = ("the image", "the weight", "the result of the convolution");
        let (names, second, disagree) = match self.product {
            Forward => ([image, weight], Weight, "input channels by groups of image and weight"),
            Image => ([weight, result], Forward, "channels and size of what the convolution results in"),
            Weight => ([image, result], Forward, "batch and size of what the convolution results in"),
        };
        let (left, right) = (dims(names[0], inputs[0])?, dims(names[1], inputs[1])?);
        let groups = self.groups;
        let [n, channels, filters] = match self.product {
            Forward => [left[0], left[1], right[0]],
            Image => [right[0], left[1].saturating_mul(groups), left[0]],
            Weight => [left[0], left[1], right[1]],
        };
        let [h, w] = self.window.over_channels(channels, self.image)?;
        check_groups(groups, [("input channels", channels), ("output channels", filters)])?;
        let geometry = Geometry { n, groups, c: channels / groups, o: filters / groups, h, w };
        Error::agree(right == geometry.dims(second), disagree, inputs[0].shape, inputs[1].shape)?;
        Ok(geometry)
    }

    /// The multiplications of the weight's gradient, if it is that; with the terms of each sum.
    pub fn weight_terms(&self, inputs: &[TensorType]) -> Option<usize> {
        let geometry = self.geometry(inputs).ok().filter(|_| self.product == Weight)?;
        Some(geometry.sizes(Weight)[2])
    }

    /// As [`route::lower_with_sums`].
    pub fn lower_with_sums(
        &self,
        cx: &mut Lowering<'_>,
        inputs: &[TensorType],
        slots: [Slot; 4],
    ) -> Result<bool> {
        Ok(route::lower_with_sums(cx, &self.geometry(inputs)?, self.route, slots))
    }

    fn evaluate(&self, cx: &Reference<'_>, left: &Array, right: &Array) -> Array {
        let types = [TensorType::f32(left.shape), TensorType::f32(right.shape)];
        // The shape rule has accepted these operands before.
        let Ok(geometry) = self.geometry(&types) else { return Array::full(cx.outputs[0].shape, f64::NAN) };
        let data = reference::product(self.product, &geometry, &left.data, &right.data);
        Array::new(cx.outputs[0].shape, data)
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        match self.product {
            Forward => "conv2d",
            Image => "conv_transpose2d",
            Weight => "conv2d_weight_grad",
        }
    }

    fn attributes(&self) -> String {
        let Conv { window, groups, route, .. } = *self;
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

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let geometry = self.geometry(inputs)?;
        let Geometry { n, groups, o, .. } = geometry;
        check_work(&[n, groups, o, geometry.positions(), geometry.patch()])?;
        let dims = geometry.dims(self.product);
        let dtype = common_float([("the left operand", inputs[0]), ("the right operand", inputs[1])])?;
        Ok(vec![TensorType { shape: Shape::new(&dims)?, dtype }])
    }

    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        self.geometry(inputs).map_or(0, |geometry| geometry.multiply_adds())
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (left, right, grad) = (cx.inputs[0], cx.inputs[1], cx.grad());
        // y = x * w, and each gradient is another of the three products.
        let products = match self.product {
            Forward => [(Image, right, grad), (Weight, left, grad)],
            Image => [(Weight, grad, right), (Forward, grad, left)],
            Weight => [(Image, grad, right), (Forward, left, grad)],
        };
        let gradient = |((product, a, b), needed): (_, &bool)| {
            needed.then(|| cx.graph.apply1(Conv { product, ..*self }, &[a, b])).transpose()
        };
        Some(products.into_iter().zip(cx.needs).map(gradient).collect())
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let geometry = self.geometry(cx.inputs)?;
        route::lower(cx, self.product, &geometry, self.route);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.evaluate(cx, cx.inputs[0], cx.inputs[1])]
    }

    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        self.geometry(inputs).map_or(0, |geometry| reference::scratch(self.product, &geometry))
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let convolution = Convolution::new(self.product, self.geometry(inputs).ok()?);
        Some(Box::new(move |cx| convolution.run(cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let types = [0, 1].map(|i: usize| TensorType::f32(cx.inputs[i].shape));
        let terms = self.geometry(&types).map_or(0, |g| g.sizes(self.product)[2]);
        vec![product_bound(cx, terms, |a, b| self.evaluate(cx, a, b))]
    }
}
