//! The three products as matrix products whose patches are picked from the image by the kernel
//! itself.

use super::geometry::{Geometry, Product};
use super::{columns, route};
use crate::ops::common::*;
use crate::ops::matmul::{Kernel, join};

pub(in crate::ops) static SHADER: Shader =
    built_in!("conv_blocks", "../../../shaders/conv_blocks.wgsl", "../../../shaders/gemm.wgsl");

crate::params! {
    struct BlockParams {
        m: u32, n: u32, k: u32, tiles_m: u32, tiles_n: u32, tiles: u32, batch: u32, part: u32,
        step_h: u32, step_w: u32, column_h: u32, column_w: u32,
        height: u32, width: u32, top: u32, left: u32,
        a_group: u32, a_row: u32, a_step: u32, b_group: u32, b_step: u32, b_column: u32,
        y_group: u32, y_row: u32, y_column: u32, y_part: u32,
    }
}

/// How the operands lie in memory: extents of the index along k and along the columns, what b is read
/// from, and strides.
struct Layout {
    step: [usize; 2],
    column: [usize; 2],
    source: [usize; 2],
    a: [usize; 3],
    b: [usize; 3],
    y: [usize; 3],
}

impl Layout {
    fn new(product: Product, g: &Geometry) -> Layout {
        let (t, k, p, x) = (g.taps(), g.patch(), g.positions(), g.pixels());
        let (window, image, result) = ([g.h.kernel, g.w.kernel], [g.h.input, g.w.input], g.outputs());
        // By group, by channel of it and by sample, or of a filter by tap.
        let images = [g.c * x, x, g.groups * g.c * x];
        let results = [g.o * p, p, g.groups * g.o * p];
        let filters = [g.o * k, k, t];
        let ([step, column, source], [a, b, y]) = match product {
            Product::Forward => ([window, result, image], [filters, images, results]),
            Product::Image => ([window, image, result], [[g.o * k, g.o * t, t], results, images]),
            Product::Weight => {
                ([result, window, image], [results, [images[0], images[2], images[1]], filters])
            }
        };
        Layout { step, column, source, a, b, y }
    }
}

/// The parameters of a call that makes `tiles` tiles, with k in parts of `part`.
fn params(product: Product, g: &Geometry, kernel: Kernel, part: usize, tiles: usize) -> BlockParams {
    let [m, n, k] = g.sizes(product);
    let layout = Layout::new(product, g);
    let [a_group, a_row, a_step] = layout.a.map(word);
    let [b_group, b_step, b_column] = layout.b.map(word);
    let [y_group, y_row, y_column] = layout.y.map(word);
    BlockParams {
        m: word(m),
        n: word(n),
        k: word(k),
        tiles_m: word(m.div_ceil(kernel.rows)),
        tiles_n: word(n.div_ceil(kernel.columns)),
        tiles: word(tiles),
        batch: word(g.groups),
        part: word(part),
        step_h: word(layout.step[0]),
        step_w: word(layout.step[1]),
        column_h: word(layout.column[0]),
        column_w: word(layout.column[1]),
        height: word(layout.source[0]),
        width: word(layout.source[1]),
        top: word(g.h.before),
        left: word(g.w.before),
        a_group,
        a_row,
        a_step,
        b_group,
        b_step,
        b_column,
        y_group,
        y_row,
        y_column,
        y_part: word(g.groups * m * n),
    }
}

pub(super) fn lower(cx: &mut Lowering<'_>, product: Product, g: &Geometry, kernel: Kernel, parts: usize) {
    let [m, n, k] = g.sizes(product);
    let part = k.div_ceil(parts).next_multiple_of(kernel.depth);
    let parts = k.div_ceil(part);
    let count = g.groups * m * n;
    let tiles = parts * kernel.tiles(g.groups, m, n);
    // Neighbours of a along k.
    let neighbours = if product == Product::Weight { g.positions() } else { k };
    let inputs = match product {
        Product::Forward | Product::Weight => [Slot::Input(1), Slot::Input(0)],
        Product::Image => [columns::turn(cx, g), Slot::Input(1)],
    };
    let sums = if parts > 1 { cx.scratch(4 * (parts * count) as u64) } else { Slot::Output(0) };
    let call = route::windowed(KernelCall::new(&SHADER, kernel.entry), g)
        .constant("MODE", f64::from(product as u8))
        .constant("QUADS_A", f64::from(neighbours.is_multiple_of(4)))
        .constant("RAGGED", f64::from(!k.is_multiple_of(kernel.depth)))
        .params(&params(product, g, kernel, part, tiles))
        .loops(kernel.loops(part))
        .binds(inputs)
        .bind(sums)
        .grid(Grid::linear(tiles, 1));
    cx.call(call);
    if parts > 1 {
        cx.call(join(&SHADER, count, parts, [sums, Slot::Output(0)]));
    }
}
