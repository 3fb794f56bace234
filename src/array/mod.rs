//! Dense f64 arrays, their product and the bounds that f32 results of them keep: what references are
//! written with.

mod bound;
mod gemm;
mod sgemm;
mod spread;
mod sum;
mod wide;

pub use bound::{EPS, FLUSH, relative_bound};
pub(crate) use bound::{flush, widen};
pub(crate) use gemm::{gemm, gemm_scratch, packed};
pub(crate) use sgemm::{Matrix, sgemm, sgemm_spread};
pub(crate) use spread::{PART, spread, spread_elements};
pub(crate) use sum::sum_of;
pub(crate) use wide::{vectors, wide};

use rayon::prelude::*;

use crate::shape::Shape;

/// Elements above which work on an array is spread over threads.
const PARALLEL: usize = 1 << 14;

/// A dense f64 array of the reference path. u32 values are held exactly as f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The dimensions.
    pub shape: Shape,
    /// The elements, row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// An array from its elements.
    pub fn new(shape: impl Into<Shape>, data: Vec<f64>) -> Self {
        let shape = shape.into();
        debug_assert_eq!(shape.numel(), data.len());
        Array { shape, data }
    }

    /// An array of one number.
    pub fn full(shape: impl Into<Shape>, value: f64) -> Self {
        let shape = shape.into();
        Array { shape, data: vec![value; shape.numel()] }
    }

    /// An array whose element at flat index `i` is `f(i)`. Large ones are filled by several
    /// threads; each element is computed alone, so the result does not depend on how many.
    pub fn from_fn(shape: impl Into<Shape>, f: impl Fn(usize) -> f64 + Sync) -> Self {
        let shape = shape.into();
        let mut data = vec![0.0; shape.numel()];
        let write = |first: usize, part: &mut [f64]| (first..).zip(part).for_each(|(i, x)| *x = f(i));
        if data.len() < PARALLEL {
            write(0, &mut data)
        } else {
            write_parts(&mut data, &write)
        }
        Array { shape, data }
    }

    /// `f` of each element.
    pub fn map(&self, f: impl Fn(f64) -> f64 + Sync) -> Array {
        Array::from_fn(self.shape, |i| f(self.data[i]))
    }
}

/// Has several threads write the parts of an array, each with the flat index of its first element. The closure is
/// dynamic so that the compiler makes the code of the threads once.
fn write_parts(data: &mut [f64], write: &(dyn Fn(usize, &mut [f64]) + Sync)) {
    const PART: usize = PARALLEL / 4;
    data.par_chunks_mut(PART).enumerate().for_each(|(number, part)| write(number * PART, part));
}

/// Walks the coordinates of a shape in row-major order, giving flat offsets under other strides.
#[derive(Clone, Debug)]
pub struct Indexer {
    dims: Vec<usize>,
    own: Vec<usize>,
    strides: Vec<usize>,
}

impl Indexer {
    /// Maps flat indices of `shape` to offsets under `strides`.
    pub fn new(shape: Shape, strides: Vec<usize>) -> Self {
        Indexer { dims: shape.dims().to_vec(), own: shape.strides(), strides }
    }

    /// The offset of flat index `index`.
    pub fn offset(&self, index: usize) -> usize {
        let axes = self.dims.iter().zip(&self.own).zip(&self.strides);
        axes.map(|((&dim, &own), &stride)| index / own % dim * stride).sum()
    }
}
