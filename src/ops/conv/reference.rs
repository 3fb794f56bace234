//! The three products in f64, as matrix products over patches of the image.

use rayon::prelude::*;

use super::geometry::{Geometry, Product};
use crate::array::{gemm, packed};

/// Images whose weight gradients are added up by one thread. Fixed, so that results do not depend
/// on the number of threads.
const IMAGES: usize = 8;

/// One of the three products of `left` and `right`, in the order of the operator's inputs.
pub(super) fn product(product: Product, g: &Geometry, left: &[f64], right: &[f64]) -> Vec<f64> {
    match product {
        Product::Forward => forward(g, left, right),
        Product::Image => image(g, left, right),
        Product::Weight => weight(g, left, right),
    }
}

/// The bytes that a product has in use beside its operands and result: the patches of a group of an image for each
/// thread, and what the matrix product packs.
pub(super) fn scratch(product: Product, g: &Geometry) -> u64 {
    let (k, p) = (g.patch(), g.positions());
    let threads = rayon::current_num_threads();
    let numbers = |numbers: usize| 8 * numbers as u64;
    // With fewer parts than threads, each part has several of them.
    let (parts, own, packs) = match product {
        Product::Forward => (g.n * g.groups, numbers(k * p), packed([g.o, k, p])),
        Product::Image => (g.n * g.groups, numbers(k * p), packed([k, g.o, p])),
        Product::Weight => {
            let sums = numbers(g.groups * g.o * k) + numbers(g.o * k);
            (g.n.div_ceil(IMAGES), numbers(k * p).saturating_add(sums), packed([g.o, p, k]))
        }
    };
    let busy = parts.min(threads) as u64;
    busy.saturating_mul(own).saturating_add(packs.saturating_mul(threads as u64))
}

/// Whether so many parts keep all threads busy, so that each is the work of one. Within the work of a thread that
/// shares it, it would begin with another part, and have the patches of both.
fn are_many(parts: usize) -> bool {
    parts >= rayon::current_num_threads()
}

/// The patches of one group of an image: `[c kh kw, oh ow]`, zero where the window is over padding.
fn patches(g: &Geometry, x: &[f64]) -> Vec<f64> {
    let mut columns = vec![0.0; g.patch() * g.positions()];
    for_each_tap(g, |pixel, column| columns[column] = x[pixel]);
    columns
}

/// Calls `f` with each element of a group of an image and its place among the patches.
fn for_each_tap(g: &Geometry, mut f: impl FnMut(usize, usize)) {
    let [oh, ow] = g.outputs();
    for c in 0..g.c {
        for kh in 0..g.h.kernel {
            for kw in 0..g.w.kernel {
                let row = ((c * g.h.kernel + kh) * g.w.kernel + kw) * oh * ow;
                for y in 0..oh {
                    let Some(ih) = g.h.tap(y, kh) else { continue };
                    for x in 0..ow {
                        let Some(iw) = g.w.tap(x, kw) else { continue };
                        f((c * g.h.input + ih) * g.w.input + iw, row + y * ow + x);
                    }
                }
            }
        }
    }
}

fn forward(g: &Geometry, x: &[f64], w: &[f64]) -> Vec<f64> {
    let (k, p) = (g.patch(), g.positions());
    let mut y = vec![0.0; g.n * g.groups * g.o * p];
    let alone = are_many(g.n * g.groups);
    y.par_chunks_mut(g.o * p).enumerate().for_each(|(part, y)| {
        let columns = patches(g, &x[part * g.c * g.pixels()..]);
        let w = &w[part % g.groups * g.o * k..];
        gemm(alone, [g.o, k, p], w, (k, 1), &columns, (p, 1), y);
    });
    y
}

fn image(g: &Geometry, w: &[f64], dy: &[f64]) -> Vec<f64> {
    let (k, p) = (g.patch(), g.positions());
    let mut dx = vec![0.0; g.n * g.groups * g.c * g.pixels()];
    let alone = are_many(g.n * g.groups);
    dx.par_chunks_mut(g.c * g.pixels()).enumerate().for_each(|(part, dx)| {
        let mut columns = vec![0.0; k * p];
        let w = &w[part % g.groups * g.o * k..];
        gemm(alone, [k, g.o, p], w, (1, k), &dy[part * g.o * p..], (p, 1), &mut columns);
        for_each_tap(g, |pixel, column| dx[pixel] += columns[column]);
    });
    dx
}

fn weight(g: &Geometry, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let (k, p) = (g.patch(), g.positions());
    let zeros = || vec![0.0; g.groups * g.o * k];
    let (batches, threads) = (g.n.div_ceil(IMAGES), rayon::current_num_threads());
    let alone = are_many(batches);
    let add =
        |sums: &mut [f64], terms: &[f64]| sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    let of_images = |batch: usize| {
        let (mut dw, mut product) = (zeros(), vec![0.0; g.o * k]);
        for part in batch * IMAGES * g.groups..g.n.min((batch + 1) * IMAGES) * g.groups {
            let columns = patches(g, &x[part * g.c * g.pixels()..]);
            gemm(alone, [g.o, p, k], &dy[part * g.o * p..], (p, 1), &columns, (1, p), &mut product);
            add(&mut dw[part % g.groups * g.o * k..], &product);
        }
        dw
    };
    // As many at a time as there are threads, whose sums are then added up in their order.
    let mut sum = zeros();
    for first in (0..batches).step_by(threads) {
        let some = first..batches.min(first + threads);
        let parts: Vec<Vec<f64>> = some.into_par_iter().map(of_images).collect();
        parts.iter().for_each(|dw| add(&mut sum, dw));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Padding, Window};

    /// Every product by the definition: one loop per index, and nothing else.
    fn by_loops(product: Product, g: &Geometry, left: &[f64], right: &[f64]) -> Vec<f64> {
        let size: usize = g.dims(product).iter().product();
        let mut result = vec![0.0; size];
        let at =
            |[_, b, c, d]: [usize; 4], i: usize, j: usize, k: usize, l: usize| ((i * b + j) * c + k) * d + l;
        let (image, weight, output) =
            (g.dims(Product::Image), g.dims(Product::Weight), g.dims(Product::Forward));
        for n in 0..g.n {
            for o in 0..g.groups * g.o {
                for c in 0..g.c {
                    for y in 0..g.h.output {
                        for x in 0..g.w.output {
                            for kh in 0..g.h.kernel {
                                for kw in 0..g.w.kernel {
                                    let ih = (y * g.h.stride + kh * g.h.dilation) as isize;
                                    let iw = (x * g.w.stride + kw * g.w.dilation) as isize;
                                    let (ih, iw) = (ih - g.h.before as isize, iw - g.w.before as isize);
                                    let inside = (0..g.h.input as isize).contains(&ih)
                                        && (0..g.w.input as isize).contains(&iw);
                                    if !inside {
                                        continue;
                                    }
                                    let xi = at(image, n, o / g.o * g.c + c, ih as usize, iw as usize);
                                    let wi = at(weight, o, c, kh, kw);
                                    let yi = at(output, n, o, y, x);
                                    match product {
                                        Product::Forward => result[yi] += left[xi] * right[wi],
                                        Product::Image => result[xi] += left[wi] * right[yi],
                                        Product::Weight => result[wi] += left[xi] * right[yi],
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        result
    }

    #[test]
    fn patches_give_what_the_definition_gives() {
        let number = |i: usize| ((i * 7919) % 101) as f64 / 101.0 - 0.5;
        let paddings = [
            Padding::Valid,
            Padding::Same,
            Padding::Full,
            Padding::Explicit { top: 2, left: 0, bottom: 1, right: 3 },
        ];
        for padding in paddings {
            for (stride, dilation, groups) in [(1, 1, 1), (2, 1, 2), (3, 2, 1), (2, 2, 3)] {
                let window = Window {
                    kernel: [3, 2],
                    stride: [stride, 1],
                    dilation: [dilation, 1],
                    padding,
                    ceil_mode: false,
                };
                let [h, w] = window.over([8, 5]).unwrap();
                let g = Geometry { n: 9, groups, c: 2, o: 3, h, w };
                let fill = |dims: [usize; 4], seed: usize| -> Vec<f64> {
                    (0..dims.iter().product()).map(|i| number(i + seed)).collect()
                };
                let (x, w, y) = (
                    fill(g.dims(Product::Image), 1),
                    fill(g.dims(Product::Weight), 2),
                    fill(g.dims(Product::Forward), 3),
                );
                for (kind, left, right) in
                    [(Product::Forward, &x, &w), (Product::Image, &w, &y), (Product::Weight, &x, &y)]
                {
                    let (got, want) = (product(kind, &g, left, right), by_loops(kind, &g, left, right));
                    let error = got.iter().zip(&want).fold(0.0f64, |e, (a, b)| e.max((a - b).abs()));
                    assert!(got.len() == want.len() && error < 1e-12, "{kind:?} {g:?}: {error}");
                }
            }
        }
    }
}
