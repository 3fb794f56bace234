//! Layers that change the shape only.

use super::UnitFlow;
use super::macros::one_input;
use super::weights::at_least_one;
use crate::error::Error;
use crate::ops::Pair;
use crate::shape::Shape;

/// All dimensions but the batch merged into one.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, ..]` |
/// | output | `[batch, features]` |
///
/// No parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flatten;

/// Each example under another shape of as many elements.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, ..]` |
/// | output | `[batch, shape..]` |
///
/// No parameters.
#[derive(Clone, Copy, Debug)]
pub struct Reshape(Shape);

impl Reshape {
    /// The shape of one example, without the batch.
    pub fn new(shape: impl Into<Shape>) -> Self {
        Reshape(shape.into())
    }
}

/// Each example as a sequence of copies of itself: one input for many steps, as a decoder that sees
/// its code at every step.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, features]` |
/// | output | `[batch, n, features]` |
///
/// No parameters.
#[derive(Clone, Copy, Debug)]
pub struct RepeatVector {
    n: usize,
}

impl RepeatVector {
    /// This many copies.
    pub fn new(n: usize) -> Self {
        RepeatVector { n }
    }
}

/// Rows and columns of zeros around an image.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, channels, top + h + bottom, left + w + right]` |
///
/// No parameters. Convolutions and poolings have a padding of their own.
#[derive(Clone, Copy, Debug)]
pub struct ZeroPad2d {
    rows: (usize, usize),
    columns: (usize, usize),
}

impl ZeroPad2d {
    /// The same number of rows above and below, and of columns left and right.
    pub fn new(padding: impl Into<Pair>) -> Self {
        let Pair([h, w]) = padding.into();
        ZeroPad2d { rows: (h, h), columns: (w, w) }
    }

    /// Each side by itself.
    pub fn sides(top: usize, left: usize, bottom: usize, right: usize) -> Self {
        ZeroPad2d { rows: (top, bottom), columns: (left, right) }
    }
}

one_input! {
    Flatten, "flatten", units: |_| UnitFlow::Flattened, |_, cx, x| cx.graph().flatten(x);

    Reshape, "reshape", |layer, cx, x| {
        let from = cx.graph().shape(x)?;
        let Some(&batch) = from.dims().first() else {
            return Err(Error::Rank { shape: from, expected: "at least 1 ([batch, ..])" });
        };
        let to = Shape::new(&[&[batch], layer.0.dims()].concat())?;
        let y = cx.graph().reshape(x, to)?;
        // Where the steps and features of sequences stay apart, each step is reshaped by itself.
        if from.rank() > 2
            && to.rank() > 2
            && from.dims()[1] == to.dims()[1]
            && let Some(mask) = cx.mask(x)
        {
            cx.set_mask(y, mask)?;
        }
        Ok(y)
    };

    RepeatVector, "repeat_vector", |layer, cx, x| {
        at_least_one("n", layer.n)?;
        let [batch, features] = cx.graph().shape(x)?.extents("2 ([batch, features])")?;
        let one = cx.graph().reshape(x, [batch, 1, features])?;
        cx.graph().broadcast_to(one, [batch, layer.n, features])
    };

    ZeroPad2d, "zero_pad2d", keeps_steps: |_| true, |layer, cx, x| {
        super::image(cx.graph().shape(x)?)?;
        cx.graph().pad(x, &[(0, 0), (0, 0), layer.rows, layer.columns], 0.0)
    };
}
