//! The three products straight from the definition.

use super::geometry::{Geometry, Product};
use super::{BLOCKS, route};
use crate::ops::common::*;
use crate::ops::matmul::join;

pub(in crate::ops) static SHADER: Shader = built_in!("conv", "../../../shaders/conv.wgsl");

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
    let elements: usize = g.weight_dims().iter().product();
    let (entry, threads, parts) = match product {
        Product::Forward => ("forward", g.n * g.groups * g.o * oh * ow.div_ceil(4), 1),
        Product::Image => ("image", g.n * g.groups * g.c * g.h.input * g.w.input.div_ceil(4), 1),
        Product::Weight => {
            let rows = g.n * oh;
            let wanted = ENOUGH_THREADS.div_ceil(elements).max((rows * ow).div_ceil(LONGEST));
            let parts = wanted.min(rows);
            ("weight", elements * parts, parts)
        }
    };
    let [kh, kw] = [g.h.kernel, g.w.kernel];
    let loops = match product {
        Product::Forward => g.c * (1 + kh * (1 + kw)),
        Product::Image => g.o * (1 + kh * (1 + kw)),
        Product::Weight => (g.n * oh).div_ceil(parts) * (1 + ow.div_ceil(4)),
    };
    let params = DirectParams {
        threads: word(threads),
        parts: word(parts),
        n: word(g.n),
        groups: word(g.groups),
        c: word(g.c),
        o: word(g.o),
        ih: word(g.h.input),
        iw: word(g.w.input),
        oh: word(oh),
        ow: word(ow),
        top: word(g.h.before),
        left: word(g.w.before),
    };
    let to = if parts > 1 { cx.scratch(4 * threads as u64) } else { Slot::Output(0) };
    let call = route::windowed(KernelCall::new(&SHADER, entry), g)
        .params(&params)
        .loops(loops)
        .binds([Slot::Input(0), Slot::Input(1), to])
        .grid(Grid::linear(threads, 64));
    cx.call(call);
    if parts > 1 {
        cx.call(join(&BLOCKS, elements, parts, [to, Slot::Output(0)]));
    }
}
