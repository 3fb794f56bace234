//! The three products straight from the definition.

use super::geometry::{Geometry, Product};
use super::route;
use crate::ops::common::*;
use crate::ops::matmul::joined;

pub(in crate::ops) static SHADER: Shader =
    built_in!("conv", "../../../shaders/conv.wgsl", "../../../shaders/finish.wgsl");

crate::params! {
    struct DirectParams {
        threads: u32, parts: u32, n: u32, groups: u32, c: u32, o: u32,
        ih: u32, iw: u32, oh: u32, ow: u32, top: u32, left: u32,
    }
}

/// Threads that keep a device busy: fewer elements of the weight than this are made in parts.
const ENOUGH_THREADS: usize = 4096;

/// Pixels that a thread adds up at most, so that parts stay short.
const LONGEST: usize = 65_536;

pub(super) fn lower(cx: &mut Lowering<'_>, product: Product, g: &Geometry) {
    let [oh, ow] = g.outputs();
    let elements: usize = g.dims(Product::Weight).iter().product();
    let window = 1 + g.h.kernel * (1 + g.w.kernel);
    let images = g.n * g.groups;
    let (entry, threads, parts, loops) = match product {
        Product::Forward => ("forward", images * g.o * oh * ow.div_ceil(4), 1, g.c * window),
        Product::Image => ("image", images * g.c * g.h.input * g.w.input.div_ceil(4), 1, g.o * window),
        Product::Weight => {
            let rows = g.n * oh;
            let wanted = ENOUGH_THREADS.div_ceil(elements).max((rows * ow).div_ceil(LONGEST));
            let parts = wanted.min(rows);
            ("weight", elements * parts, parts, rows.div_ceil(parts) * (1 + ow.div_ceil(4)))
        }
    };
    let finish = (product != Product::Weight).then(|| g.finish(product));
    let call = route::windowed(KernelCall::new(&SHADER, entry), g)
        .params(&params(g, threads, parts))
        .loops(loops)
        .finish(finish)
        .grid(Grid::linear(threads, 64));
    joined(cx, [elements, parts], Slot::Output(0), None, |cx, to| {
        cx.call(call.binds([Slot::Input(0), Slot::Input(1), to]));
    });
}

fn params(g: &Geometry, threads: usize, parts: usize) -> DirectParams {
    let [threads, parts, n, groups, c, o] = [threads, parts, g.n, g.groups, g.c, g.o].map(word);
    let [ih, iw, oh, ow, top, left] = g.words();
    DirectParams { threads, parts, n, groups, c, o, ih, iw, oh, ow, top, left }
}
