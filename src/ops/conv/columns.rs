//! The three products as matrix products over patches that are written out (im2col).

use super::geometry::{Geometry, Product};
use super::route;
use crate::ops::common::*;
use crate::ops::matmul::{self, MatmulRoute, Members, joined};

pub(in crate::ops) static SHADER: Shader =
    built_in!("conv_columns", "../../../shaders/conv_columns.wgsl", "../../../shaders/finish.wgsl");

crate::params! {
    struct ColumnsParams { threads: u32, ih: u32, iw: u32, oh: u32, ow: u32, top: u32, left: u32 }
}

crate::params! {
    struct TurnParams { threads: u32, c: u32, o: u32, taps: u32 }
}

/// Elements of the patches of all images.
pub(super) fn elements(g: &Geometry) -> usize {
    g.n * g.groups * g.patch() * g.positions()
}

/// Writes the patches out first, or adds them up last. A pointwise convolution's patches are its
/// images.
pub(super) fn lower(cx: &mut Lowering<'_>, product: Product, g: &Geometry) {
    match product {
        Product::Forward => {
            let patches = spread(cx, g);
            multiply(cx, product, g, [Slot::Input(1), patches, Slot::Output(0)]);
        }
        Product::Image if g.is_pointwise() => {
            multiply(cx, product, g, [Slot::Input(0), Slot::Input(1), Slot::Output(0)]);
        }
        Product::Image => {
            let patches = cx.scratch(4 * elements(g) as u64);
            multiply(cx, product, g, [Slot::Input(0), Slot::Input(1), patches]);
            gather(cx, g, patches);
        }
        Product::Weight => {
            let patches = spread(cx, g);
            joined(cx, [g.groups * g.o * g.patch(), g.n], Slot::Output(0), None, |cx, sums| {
                multiply(cx, product, g, [Slot::Input(1), patches, sums]);
            });
        }
    }
}

/// The product of each image and group, for the weight one per image.
fn multiply(cx: &mut Lowering<'_>, product: Product, g: &Geometry, operands: [Slot; 3]) {
    let (batch, patch, positions) = (g.n * g.groups, g.patch(), g.positions());
    // Images share their groups' filters; each has its own gradient of them.
    let ([m, k, n], transposed, next_image) = match product {
        Product::Forward => ([g.o, patch, positions], [false, false], 0),
        Product::Image => ([patch, g.o, positions], [true, false], 0),
        Product::Weight => ([g.o, positions, patch], [false, true], g.groups),
    };
    let members = Members::new(&[g.n, g.groups], [vec![next_image, 1], vec![g.groups, 1]]);
    let product = matmul::Product { batch, m, n, k, transposed, members };
    matmul::lower(cx, &product, MatmulRoute::Auto, operands);
}

fn params(g: &Geometry, threads: usize) -> ColumnsParams {
    let [ih, iw, oh, ow, top, left] = g.words();
    ColumnsParams { threads: word(threads), ih, iw, oh, ow, top, left }
}

/// The patches of the images in input 0.
fn spread(cx: &mut Lowering<'_>, g: &Geometry) -> Slot {
    let image = Slot::Input(0);
    if g.is_pointwise() {
        return image;
    }
    let patches = cx.scratch(4 * elements(g) as u64);
    let (entry, threads) = match cx.profile.kind {
        DeviceKind::Cpu => ("spread", elements(g) / g.w.output),
        DeviceKind::Gpu => ("spread_wide", elements(g)),
    };
    let call = route::windowed(KernelCall::new(&SHADER, entry), g)
        .params(&params(g, threads))
        .loops(g.w.output)
        .multiply_adds(0)
        .binds([image, patches])
        .grid(Grid::linear(threads, 64));
    cx.call(call);
    patches
}

fn gather(cx: &mut Lowering<'_>, g: &Geometry, patches: Slot) {
    let threads = g.n * g.groups * g.c * g.pixels();
    let call = route::windowed(KernelCall::new(&SHADER, "gather"), g)
        .params(&params(g, threads))
        .loops(g.h.kernel * (1 + g.w.kernel))
        .multiply_adds(0)
        .finish(Some(Finish::default()))
        .binds([patches, Slot::Output(0)])
        .grid(Grid::linear(threads, 64));
    cx.call(call);
}

/// The filters in input 0 with those for one input channel side by side.
pub(super) fn turn(cx: &mut Lowering<'_>, g: &Geometry) -> Slot {
    let threads = g.groups * g.o * g.c;
    let turned = cx.scratch(4 * (threads * g.taps()) as u64);
    let [c, o, taps] = [g.c, g.o, g.taps()].map(word);
    let call = KernelCall::new(&SHADER, "turn")
        .params(&TurnParams { threads: word(threads), c, o, taps })
        .loops(g.taps())
        .multiply_adds(0)
        .binds([Slot::Input(0), turned])
        .grid(Grid::linear(threads, 64));
    cx.call(call);
    turned
}
