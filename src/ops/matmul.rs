//! Matrix products, batched, each side optionally transposed. Shaders: `matmul.wgsl`,
//! `matmul_blocks.wgsl`.

mod kernel;
mod options;
mod route;

use super::common::*;
use super::strided::Nest;
use crate::array::{Matrix, gemm, gemm_scratch, sgemm, sgemm_spread, spread};

pub(super) use kernel::{
    Kernel, LANES, LANES_8, LANES_16, LANES_24, Operands, ROWS, Tiled, patches_cost, runs_tiles, tiled,
};
pub use options::MatmulOptions;
pub use route::MatmulRoute;
pub(super) use route::{BLOCKS, BLOCKS_AND_SUMS, ELEMENTS, joined, joined_both, lower, lower_with_sums};

pub(super) static FAMILY: Family = Family {
    operators: &[OperatorInfo::new("matmul", Gradient::Yes, "f32, f16")],
    shaders: &[&ELEMENTS, &BLOCKS, &BLOCKS_AND_SUMS],
};

/// Multiplications of a part of a batch on the CPU device.
const MULTIPLICATIONS: usize = 1 << 18;

/// `op(a) op(b)`, where `op` transposes the last two axes if asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matmul {
    pub transpose_a: bool,
    pub transpose_b: bool,
    pub route: MatmulRoute,
}

/// A product with its sizes: `[batch, m, k]` by `[batch, k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Product {
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Whether each side is stored transposed.
    pub transposed: [bool; 2],
    /// Which matrices of each side are multiplied.
    pub members: Members,
}

/// The axes of a batch, those of 1 left out and neighbours merged: extents, and how many matrices further
/// the next one lies on each side, 0 where all share it. Aligned at the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Members {
    pub axes: usize,
    pub extents: [usize; 4],
    pub strides: [[usize; 4]; 2],
}

impl Members {
    /// The members of a batch under these strides. A value has at most six axes, so a batch has four.
    pub fn new(extents: &[usize], strides: [Vec<usize>; 2]) -> Members {
        let nest = Nest::new(extents, &strides);
        let (axes, mut members) = (nest.rank(), Members { axes: 0, extents: [1; 4], strides: [[0; 4]; 2] });
        members.axes = axes;
        members.extents[4 - axes..].copy_from_slice(&nest.dims);
        for (to, from) in members.strides.iter_mut().zip(&nest.strides) {
            to[4 - axes..].copy_from_slice(from);
        }
        members
    }

    /// The matrix of each side that member `z` takes.
    fn of(&self, z: usize) -> [usize; 2] {
        let mut rest = z;
        let mut at = [0; 2];
        for axis in (0..4).rev() {
            let index = rest % self.extents[axis];
            rest /= self.extents[axis];
            at.iter_mut().zip(&self.strides).for_each(|(at, strides)| *at += index * strides[axis]);
        }
        at
    }

    fn swapped(&self) -> Members {
        Members { strides: [self.strides[1], self.strides[0]], ..*self }
    }
}

/// How far the next matrix lies along each axis of a batch that leading axes broadcast to.
fn broadcast_strides(lead: Shape, batch: Shape) -> Vec<usize> {
    let (missing, own) = (batch.rank() - lead.rank(), lead.strides());
    let stride = |axis: usize| match axis.checked_sub(missing) {
        Some(own_axis) if lead.dims()[own_axis] != 1 => own[own_axis],
        _ => 0,
    };
    (0..batch.rank()).map(stride).collect()
}

impl Product {
    fn multiplications(&self) -> usize {
        self.batch.saturating_mul(self.m).saturating_mul(self.n).saturating_mul(self.k)
    }

    /// Row and column strides of each side as the product reads it.
    fn strides(&self) -> [(usize, usize); 2] {
        let &Product { m, n, k, transposed: [a, b], .. } = self;
        [if a { (1, m) } else { (k, 1) }, if b { (1, k) } else { (n, 1) }]
    }

    /// The product in f32.
    fn run(&self, a: &[f32], b: &[f32], y: &mut [f32]) {
        let &Product { m, n, k, transposed, ref members, .. } = self;
        let sides = |z: usize| {
            let [left, right] = members.of(z);
            let (a, b) = (&a[left * m * k..][..m * k], &b[right * k * n..][..k * n]);
            [Matrix::new(a, m, k, transposed[0]), Matrix::new(b, k, n, transposed[1])]
        };
        if self.batch == 1 {
            let [a, b] = sides(0);
            return sgemm_spread([m, k, n], a, b, y);
        }
        // Small ones several at a time.
        let some = (MULTIPLICATIONS / (m * k * n)).max(1);
        spread(0..self.batch, some, [m * n], [y], &|range, [y]| {
            for (z, y) in range.zip(y.chunks_mut(m * n)) {
                let [a, b] = sides(z);
                sgemm([m, k, n], a, b, 0.0, y, n);
            }
        });
    }

    /// The extents of the batch, and how many elements further the next matrix of each side lies.
    fn member_words(&self) -> [[u32; 4]; 3] {
        let &Product { m, n, k, members: Members { extents, strides: [a, b], .. }, .. } = self;
        [extents.map(word), a.map(|stride| word(stride * m * k)), b.map(|stride| word(stride * k * n))]
    }

    /// The length of a row of each side as it is stored.
    fn stored_columns(&self) -> [usize; 2] {
        let &Product { m, n, k, transposed: [a, b], .. } = self;
        [if a { m } else { k }, if b { k } else { n }]
    }

    /// The product that makes the transpose: the right side, transposed, by the left one.
    fn swapped(&self) -> Product {
        let &Product { batch, m, n, k, transposed: [a, b], members } = self;
        Product { batch, m: n, n: m, k, transposed: [!b, !a], members: members.swapped() }
    }
}

impl Matmul {
    /// The product, and the shape of its batch.
    pub fn resolve(&self, a: Shape, b: Shape) -> Result<(Product, Shape)> {
        for shape in [a, b] {
            expect_rank(shape, shape.rank() >= 2, "at least 2")?;
        }
        let split = |s: Shape, transposed: bool| {
            let (lead, last) = s.dims().split_at(s.rank() - 2);
            let (rows, columns) = if transposed { (last[1], last[0]) } else { (last[0], last[1]) };
            Ok((Shape::new(lead)?, rows, columns))
        };
        let (a_lead, m, k) = split(a, self.transpose_a)?;
        let (b_lead, b_k, n) = split(b, self.transpose_b)?;
        Error::agree(k == b_k, "inner dimensions of the product", a, b)?;
        let mismatch = |_| Error::shape_mismatch("batch dimensions of the product", a, b);
        let batch = a_lead.broadcast(b_lead).map_err(mismatch)?;
        let members = Members::new(batch.dims(), [a_lead, b_lead].map(|lead| broadcast_strides(lead, batch)));
        let transposed = [self.transpose_a, self.transpose_b];
        Ok((Product { batch: batch.numel(), m, n, k, transposed, members }, batch))
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn attributes(&self) -> String {
        let sides = [("a^T", self.transpose_a), ("b^T", self.transpose_b)];
        sides.iter().filter(|side| side.1).map(|side| side.0).collect::<Vec<_>>().join(", ")
    }

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let dtype = common_float([("the left operand", inputs[0]), ("the right operand", inputs[1])])?;
        let (a, b) = (inputs[0].shape, inputs[1].shape);
        let (Product { m, n, .. }, batch) = self.resolve(a, b)?;
        Ok(vec![TensorType { shape: Shape::new(&[batch.dims(), &[m, n]].concat())?, dtype }])
    }

    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        self.resolve(inputs[0].shape, inputs[1].shape).map_or(0, |(p, _)| p.multiplications() as u64)
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (g, a, b, dy) = (cx.graph, cx.inputs[0], cx.inputs[1], cx.grad());
        let Matmul { transpose_a, transpose_b, route } = *self;
        let product = |left, right, transpose_a, transpose_b| {
            g.apply1(Matmul { transpose_a, transpose_b, route }, &[left, right])
        };
        Some(cx.needed(|input| {
            let grad = match (input, [transpose_a, transpose_b][input]) {
                (0, true) => product(b, dy, transpose_b, true),
                (0, false) => product(dy, b, false, !transpose_b),
                (_, true) => product(dy, a, true, transpose_a),
                (_, false) => product(a, dy, !transpose_a, false),
            };
            g.sum_to(grad?, g.shape_of(cx.inputs[input]))
        }))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (product, _) = self.resolve(cx.inputs[0].shape, cx.inputs[1].shape)?;
        route::lower(cx, &product, self.route, [Slot::Input(0), Slot::Input(1), Slot::Output(0)]);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.product(cx.inputs[0], cx.inputs[1], cx.outputs[0].shape)]
    }

    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        let resolved = self.resolve(inputs[0].shape, inputs[1].shape);
        resolved.map_or(0, |(Product { m, n, k, .. }, _)| gemm_scratch([m, k, n]))
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (product, _) = self.resolve(inputs[0].shape, inputs[1].shape).ok()?;
        Some(Box::new(move |cx| product.run(cx.inputs.f32(0), cx.inputs.f32(1), &mut cx.results[0])))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let a = cx.inputs[0].shape;
        let k = a.dims()[a.rank() - if self.transpose_a { 2 } else { 1 }];
        vec![product_bound(cx, k, |a, b| self.product(a, b, cx.outputs[0].shape))]
    }
}

impl Matmul {
    fn product(&self, a: &Array, b: &Array, shape: Shape) -> Array {
        let mut y = Array::full(shape, 0.0);
        let Ok((product, _)) = self.resolve(a.shape, b.shape) else { return y };
        let (Product { m, n, k, members, .. }, [a_strides, b_strides]) = (product, product.strides());
        for (z, y) in y.data.chunks_mut(m * n).enumerate() {
            let [left, right] = members.of(z);
            let (a, b) = (&a.data[left * m * k..], &b.data[right * k * n..]);
            gemm(false, [m, k, n], a, a_strides, b, b_strides, y);
        }
        y
    }
}
