//! The three products on the CPU device: blocks of patches that stay in a core's cache, and single-precision
//! products over them.

use std::ops::Range;

use super::geometry::{Geometry, Product};
use crate::array::{Matrix, sgemm, spread, wide};
use crate::graph::Compute;
use crate::ops::WindowAxis;

/// Numbers of a block of patches.
const BLOCK: usize = 1 << 16;
/// Parts of a batch whose weight gradients are added up one after the other.
const PARTS: usize = 8;

/// A convolution with its blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    product: Product,
    g: Geometry,
    /// Rows of a result whose patches are in a block.
    rows: usize,
}

/// The positions of a result along an axis whose tap lies on the image.
fn on_image(axis: &WindowAxis, tap: usize) -> Range<usize> {
    let at = tap * axis.dilation;
    let start = axis.before.saturating_sub(at).div_ceil(axis.stride).min(axis.output);
    let end = (axis.before + axis.input).saturating_sub(at).div_ceil(axis.stride).min(axis.output);
    start..end.max(start)
}

impl Convolution {
    pub fn new(product: Product, g: Geometry) -> Self {
        let rows = (BLOCK / (g.patch() * g.w.output)).clamp(1, g.h.output);
        Convolution { product, g, rows }
    }

    pub fn run(&self, cx: &mut Compute<'_>) {
        let (left, right) = (cx.inputs.f32(0), cx.inputs.f32(1));
        let (result, scratch) = (&mut cx.results[0][..], &mut *cx.scratch);
        let (columns, parts) = (self.columns(), self.g.n * self.g.groups);
        match self.product {
            Product::Forward | Product::Image => {
                let each = result.len() / parts;
                // As many at a time as there are threads, each of which makes its results alone.
                let lanes = parts.min(2 * rayon::current_num_threads());
                let some = parts.div_ceil(lanes);
                let widths = [some * each, columns];
                let arrays = [result, scratch.f32(lanes * columns)];
                spread(0..lanes, 1, widths, arrays, &|lane, [result, columns]| {
                    for (number, result) in result.chunks_mut(each).enumerate() {
                        let part = lane.start * some + number;
                        match self.product {
                            Product::Forward => self.forward(part, left, right, result, columns),
                            _ => self.image(part, left, right, result, columns),
                        }
                    }
                });
            }
            Product::Weight => self.weight(left, right, result, scratch.f32(self.weight_scratch())),
        }
    }

    /// Numbers of a block of patches, none where the image is read as it is.
    fn columns(&self) -> usize {
        if self.g.is_pointwise() { 0 } else { self.g.patch() * self.rows * self.g.w.output }
    }

    /// The rows of a result, in blocks.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, all) = (self.rows, self.g.h.output);
        (0..all).step_by(rows).map(move |first| first..(first + rows).min(all))
    }

    /// The weight of a group as a matrix of filters.
    fn filters<'a>(&self, part: usize, w: &'a [f32], transposed: bool) -> Matrix<'a> {
        let (o, k) = (self.g.o, self.g.patch());
        let data = &w[part % self.g.groups * o * k..][..o * k];
        if transposed { Matrix { data, row: 1, column: k } } else { Matrix { data, row: k, column: 1 } }
    }

    fn forward(&self, part: usize, x: &[f32], w: &[f32], y: &mut [f32], columns: &mut [f32]) {
        let Geometry { c, o, w: width, .. } = self.g;
        let (k, p) = (self.g.patch(), self.g.positions());
        let x = &x[part * c * self.g.pixels()..][..c * self.g.pixels()];
        for rows in self.blocks() {
            let (at, n) = (rows.start * width.output, rows.len() * width.output);
            let patches = self.patches(x, rows, columns);
            sgemm([o, k, n], self.filters(part, w, false), patches, 0.0, &mut y[at..], p);
        }
    }

    fn image(&self, part: usize, w: &[f32], dy: &[f32], dx: &mut [f32], columns: &mut [f32]) {
        let Geometry { o, w: width, .. } = self.g;
        let (k, p) = (self.g.patch(), self.g.positions());
        let dy = &dy[part * o * p..][..o * p];
        let filters = self.filters(part, w, true);
        if self.g.is_pointwise() {
            return sgemm([k, o, p], filters, Matrix { data: dy, row: p, column: 1 }, 0.0, dx, p);
        }
        dx.fill(0.0);
        for rows in self.blocks() {
            let n = rows.len() * width.output;
            let dy = Matrix { data: &dy[rows.start * width.output..], row: p, column: 1 };
            sgemm([k, o, n], filters, dy, 0.0, columns, n);
            self.add_patches(&columns[..k * n], rows, dx);
        }
    }

    /// Images of a part of the batch.
    fn images(&self) -> usize {
        self.g.n.div_ceil(PARTS)
    }

    fn weight_scratch(&self) -> usize {
        let parts = self.g.n.div_ceil(self.images());
        let sums = if parts > 1 { self.g.groups * self.g.o * self.g.patch() } else { 0 };
        parts * (self.columns() + sums)
    }

    fn weight(&self, x: &[f32], dy: &[f32], dw: &mut [f32], scratch: &mut [f32]) {
        let (images, all) = (self.images(), dw.len());
        let parts = self.g.n.div_ceil(images);
        let (columns, sums) = scratch.split_at_mut(parts * self.columns());
        let of_part = |part: usize, dw: &mut [f32], columns: &mut [f32]| {
            let images = part * images..((part + 1) * images).min(self.g.n);
            self.weight_of(images, x, dy, dw, columns);
        };
        if parts == 1 {
            return of_part(0, dw, columns);
        }
        let widths = [all, self.columns()];
        spread(0..parts, 1, widths, [&mut *sums, columns], &|part, [dw, columns]| {
            of_part(part.start, dw, columns);
        });
        let (first, rest) = sums.split_at(all);
        dw.copy_from_slice(first);
        for part in rest.chunks_exact(all) {
            dw.iter_mut().zip(part).for_each(|(sum, term)| *sum += term);
        }
    }

    /// The gradient of some images.
    fn weight_of(&self, images: Range<usize>, x: &[f32], dy: &[f32], dw: &mut [f32], columns: &mut [f32]) {
        let Geometry { groups, c, o, w: width, .. } = self.g;
        let (k, p, pixels) = (self.g.patch(), self.g.positions(), self.g.pixels());
        for group in 0..groups {
            let (dw, mut keep) = (&mut dw[group * o * k..][..o * k], 0.0);
            for image in images.clone() {
                let part = image * groups + group;
                let (x, dy) = (&x[part * c * pixels..][..c * pixels], &dy[part * o * p..][..o * p]);
                for rows in self.blocks() {
                    let (at, n) = (rows.start * width.output, rows.len() * width.output);
                    let Matrix { data, row, column } = self.patches(x, rows, columns);
                    let patches = Matrix { data, row: column, column: row };
                    sgemm([o, n, k], Matrix { data: &dy[at..], row: p, column: 1 }, patches, keep, dw, k);
                    keep = 1.0;
                }
            }
        }
    }

    /// The patches of some rows of a result `[c kh kw, rows ow]`, zero where the window is over padding.
    fn patches<'a>(&self, x: &'a [f32], rows: Range<usize>, columns: &'a mut [f32]) -> Matrix<'a> {
        let (ow, pixels) = (self.g.w.output, self.g.pixels());
        if self.g.is_pointwise() {
            return Matrix { data: &x[rows.start * ow..], row: pixels, column: 1 };
        }
        let n = rows.len() * ow;
        for (line, columns) in columns.chunks_exact_mut(n).take(self.g.patch()).enumerate() {
            self.lines(line, &rows, |at, own, from| {
                let to = &mut columns[at * ow..][..ow];
                let Some(from) = from else { return to.fill(0.0) };
                to[..own.start].fill(0.0);
                to[own.end..].fill(0.0);
                match self.g.w.stride {
                    1 => to[own.clone()].copy_from_slice(&x[from..from + own.len()]),
                    stride => {
                        let taken = x[from..].iter().step_by(stride);
                        to[own].iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
                    }
                }
            });
        }
        Matrix { data: columns, row: n, column: 1 }
    }

    /// Adds patches to the image that they are of.
    fn add_patches(&self, columns: &[f32], rows: Range<usize>, dx: &mut [f32]) {
        let ow = self.g.w.output;
        for (line, columns) in columns.chunks_exact(rows.len() * ow).enumerate() {
            let add = |at: usize, own: Range<usize>, from: Option<usize>| {
                let Some(from) = from else { return };
                let terms = &columns[at * ow..][own];
                match self.g.w.stride {
                    1 => dx[from..][..terms.len()].iter_mut().zip(terms).for_each(|(x, term)| *x += term),
                    stride => {
                        let sums = dx[from..].iter_mut().step_by(stride);
                        sums.zip(terms).for_each(|(x, term)| *x += term);
                    }
                }
            };
            wide(|| self.lines(line, &rows, add));
        }
    }

    /// For a line of the patches, a channel and tap, goes through `rows`: with the row's number among them, the
    /// columns whose tap lies on the image, and where in the image the first of these is; `None` where there
    /// are none.
    #[inline(always)]
    fn lines(&self, line: usize, rows: &Range<usize>, mut f: impl FnMut(usize, Range<usize>, Option<usize>)) {
        let Geometry { h, w, .. } = &self.g;
        let (channel, kh, kw) = (line / (h.kernel * w.kernel), line / w.kernel % h.kernel, line % w.kernel);
        let own = on_image(w, kw);
        for (at, row) in rows.clone().enumerate() {
            let ih = h.tap(row, kh).filter(|_| !own.is_empty());
            let from = ih.map(|ih| {
                let iw = own.start * w.stride + kw * w.dilation - w.before;
                (channel * h.input + ih) * w.input + iw
            });
            f(at, own.clone(), from);
        }
    }
}
