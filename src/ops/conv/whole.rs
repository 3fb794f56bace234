//! The three products where the window is as large as the image: those of flat images and flat filters.

use super::geometry::{Geometry, Product};
use crate::ops::common::*;
use crate::ops::matmul::{self, MatmulRoute, Members};

pub(super) fn lower(cx: &mut Lowering<'_>, product: Product, g: &Geometry) {
    let [first, second, y] = [Slot::Input(0), Slot::Input(1), Slot::Output(0)];
    let ([m, k, n], transposed, operands) = match product {
        Product::Forward => ([g.n, g.patch(), g.o], [false, true], [first, second, y]),
        Product::Image => ([g.n, g.o, g.patch()], [false, false], [second, first, y]),
        Product::Weight => ([g.o, g.n, g.patch()], [true, false], [second, first, y]),
    };
    let members = Members::new(&[], [vec![], vec![]]);
    let product = matmul::Product { batch: 1, m, n, k, transposed, members };
    matmul::lower(cx, &product, MatmulRoute::Auto, operands);
}
