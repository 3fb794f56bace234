//! The three products as matrix products whose patches are picked from the image by the kernel
//! itself.

use super::geometry::{Geometry, Product};
use super::{columns, route};
use crate::ops::common::*;
use crate::ops::matmul::{Kernel, joined, joined_both};

pub(in crate::ops) static SHADER: Shader = built_in!(
    "conv_blocks",
    "../../../shaders/conv_blocks.wgsl",
    "../../../shaders/gemm.wgsl",
    "../../../shaders/tiles.wgsl",
    "../../../shaders/no_sums.wgsl",
    "../../../shaders/finish.wgsl"
);
pub(in crate::ops) static WITH_SUMS: Shader = built_in!(
    "conv_blocks",
    "../../../shaders/conv_blocks.wgsl",
    "../../../shaders/gemm.wgsl",
    "../../../shaders/tiles.wgsl",
    "../../../shaders/column_sums.wgsl",
    "../../../shaders/finish.wgsl"
);

crate::params! {
    struct BlockParams {
        m: u32, n: u32, k: u32, tiles_m: u32, tiles_n: u32, tiles: u32, batch: u32, part: u32,
        step_h: u32, step_w: u32, column_h: u32, column_w: u32,
        height: u32, width: u32, top: u32, left: u32,
        a_group: u32, a_row: u32, a_step: u32, b_group: u32, b_step: u32, b_column: u32,
        y_group: u32, y_row: u32, y_column: u32, y_part: u32, sums: u32,
    }
}

/// How the operands lie in memory: extents of the index along k and along the columns, and what b is read
/// from; then the strides of a, b and the result.
fn layout(product: Product, g: &Geometry, turned: bool) -> ([[usize; 2]; 3], [[usize; 3]; 3]) {
    let (t, k, p, x) = (g.taps(), g.patch(), g.positions(), g.pixels());
    let (window, image, result) = ([g.h.kernel, g.w.kernel], [g.h.input, g.w.input], g.outputs());
    // From one group to the next, from one channel to the next, and from one sample, or one tap, to the next.
    let images = [g.c * x, x, g.groups * g.c * x];
    let results = [g.o * p, p, g.groups * g.o * p];
    let filters = [g.o * k, k, t];
    match product {
        Product::Forward => ([window, result, image], [filters, images, results]),
        Product::Image if turned => ([window, image, result], [[g.o * k, g.o * t, t], results, images]),
        Product::Image => ([window, image, result], [[g.o * k, t, k], results, images]),
        Product::Weight => ([result, window, image], [results, [images[0], images[2], images[1]], filters]),
    }
}

/// The parameters of a call that makes `tiles` tiles, with k in parts of `part`.
fn params(
    product: Product,
    g: &Geometry,
    turned: bool,
    kernel: Kernel,
    [part, tiles]: [usize; 2],
) -> BlockParams {
    let [m, n, k] = g.sizes(product);
    let (extents, strides) = layout(product, g, turned);
    let [[step_h, step_w], [column_h, column_w], [height, width]] = extents.map(|pair| pair.map(word));
    let [[a_group, a_row, a_step], [b_group, b_step, b_column], [y_group, y_row, y_column]] =
        strides.map(|of| of.map(word));
    BlockParams {
        m: word(m),
        n: word(n),
        k: word(k),
        tiles_m: word(m.div_ceil(kernel.rows)),
        tiles_n: word(n.div_ceil(kernel.columns)),
        tiles: word(tiles),
        batch: word(g.groups),
        part: word(part),
        step_h,
        step_w,
        column_h,
        column_w,
        height,
        width,
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
        sums: word(g.groups * g.o),
    }
}

/// The gradient of the weight, with the sums over all but the channels of the result's gradient: b has a
/// column of ones more.
pub(super) fn lower_with_sums(cx: &mut Lowering<'_>, g: &Geometry, [x, dy, dw, sums]: [Slot; 4]) {
    let [m, n, k] = g.sizes(Product::Weight);
    let (kernel, parts) = route::kernel(cx.profile, Product::Weight, g);
    let part = k.div_ceil(parts).next_multiple_of(kernel.depth);
    let parts = k.div_ceil(part);
    let tiles = parts * kernel.tiles(g.groups, m, n + 1);
    let params = BlockParams {
        n: word(n + 1),
        tiles_n: word((n + 1).div_ceil(kernel.columns)),
        ..params(Product::Weight, g, false, kernel, [part, tiles])
    };
    let call = call(&WITH_SUMS, Product::Weight, g, kernel, part)
        .issued(kernel.issued(g.groups, [m, n + 1, k], parts))
        .constant("QUADS_A", f64::from(g.positions().is_multiple_of(4)))
        .constant("ONES", 1.0)
        .params(&params)
        .binds([dy, x])
        .grid(Grid::linear(tiles, 1));
    let counts = [g.groups * m * n, g.groups * g.o, parts];
    joined_both(cx, counts, [dw, sums], |cx, to| cx.call(call.binds(to)));
}

/// A call with the constants that all products have.
fn call(shader: &'static Shader, product: Product, g: &Geometry, kernel: Kernel, part: usize) -> KernelCall {
    let k = g.sizes(product)[2];
    route::windowed(kernel.sized(KernelCall::new(shader, kernel.entry)), g)
        .constant("MODE", f64::from(product as u8))
        .constant("TINY", f64::from(product == Product::Weight && g.positions() < 4))
        .constant("PADDED", f64::from(g.reaches_over(product)))
        .constant("RAGGED", f64::from(!k.is_multiple_of(kernel.depth)))
        .loops(kernel.loops(part))
}

pub(super) fn lower(cx: &mut Lowering<'_>, product: Product, g: &Geometry, kernel: Kernel, parts: usize) {
    let [m, n, k] = g.sizes(product);
    let part = k.div_ceil(parts).next_multiple_of(kernel.depth);
    let parts = k.div_ceil(part);
    let tiles = parts * kernel.tiles(g.groups, m, n);
    // A thread of a GPU brings in as many single elements of b; a software driver's reads one side whole.
    let turned = product == Product::Image && cx.profile.kind == DeviceKind::Cpu;
    // Neighbours of a along k.
    let neighbours = match product {
        Product::Weight => g.positions(),
        Product::Image if !turned => g.taps(),
        Product::Forward | Product::Image => k,
    };
    let inputs = match product {
        Product::Forward | Product::Weight => [Slot::Input(1), Slot::Input(0)],
        Product::Image if turned => [columns::turn(cx, g), Slot::Input(1)],
        Product::Image => [Slot::Input(0), Slot::Input(1)],
    };
    let finish = Some(g.finish(product));
    let call = call(&SHADER, product, g, kernel, part)
        .issued(kernel.issued(g.groups, [m, n, k], parts))
        .constant("QUADS_A", f64::from(neighbours.is_multiple_of(4)))
        .params(&params(product, g, turned, kernel, [part, tiles]))
        .finish(finish)
        .binds(inputs)
        .grid(Grid::linear(tiles, 1));
    joined(cx, [g.groups * m * n, parts], Slot::Output(0), finish, |cx, sums| cx.call(call.bind(sums)));
}
