//! Pointwise convolutions under a stride as those without one, of the pixels that the stride leaves.

use std::any::Any;
use std::sync::Arc;

use super::Conv;
use super::geometry::Product;
use crate::ops::common::*;
use crate::ops::layout::{Pad, Read, SliceRange};
use crate::ops::{ConvRoute, Padding, Window};

/// What makes the same as an operator, one after the other, and the position of the input that the first takes
/// if it is not all of them.
pub(crate) struct Unstrided {
    pub first: Arc<dyn Op>,
    pub then: Arc<dyn Op>,
    /// The input that `first` takes, for which `then` takes what that makes; otherwise `first` takes all of them
    /// and `then` what it makes.
    pub only: Option<usize>,
}

/// A pointwise convolution under a stride, or the gradient of its image, in two steps: two convolutions of an image
/// share what the stride leaves of it, and two gradients are added up before they are spread. The gradient of the
/// weight reads the image itself, which is there anyway.
pub(crate) fn unstrided(op: &dyn Op, inputs: &[TensorType]) -> Option<Unstrided> {
    let op: &dyn Any = op;
    let conv: &Conv = op.downcast_ref()?;
    let g = conv.geometry(inputs).ok()?;
    let strides = [g.h.stride, g.w.stride];
    let is_bare = g.taps() == 1 && [g.h, g.w].iter().all(|axis| axis.before == 0 && axis.after == 0);
    if !is_bare || strides == [1, 1] || conv.route != ConvRoute::Auto {
        return None;
    }
    let image = g.dims(Product::Image);
    let window = Window { stride: [1; 2], dilation: [1; 2], padding: Padding::Valid, ..conv.window };
    let product: Arc<dyn Op> = Arc::new(Conv { window, image: g.outputs(), ..*conv });
    let steps = [1, 1, strides[0], strides[1]];
    match conv.product {
        Product::Forward => {
            let range = |(&stop, step): (&usize, usize)| SliceRange { start: 0, stop, step };
            let slice = Read::Slice(image.iter().zip(steps).map(range).collect());
            Some(Unstrided { first: Arc::new(slice), then: product, only: Some(0) })
        }
        Product::Image => {
            let output = Shape::new(&image).ok()?;
            let pad = Pad { before: vec![0; 4], step: steps.to_vec(), output, value: 0.0, of: None };
            Some(Unstrided { first: product, then: Arc::new(pad), only: None })
        }
        Product::Weight => None,
    }
}
