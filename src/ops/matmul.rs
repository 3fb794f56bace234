//! Matrix products, batched, each side optionally transposed. Shader: `matmul.wgsl`.

use super::{Backward, Gradient, Lowering, Op, OperatorInfo, Reference, expect_dtype, magnitude_bound, word};
use crate::cpu::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::shape::{Shape, TensorType};

pub(super) static SHADER: Shader = Shader::new("matmul", include_str!("../../shaders/matmul.wgsl"));

crate::params! {
    struct MatmulParams { m: u32, n: u32, k: u32, a_row: u32, a_col: u32, b_row: u32, b_col: u32, a_batch: u32, b_batch: u32 }
}

pub(super) const OPERATORS: [OperatorInfo; 1] = [OperatorInfo::new("matmul", Gradient::Yes, "f32")];

/// `op(a) op(b)`, where `op` transposes the last two axes if asked.
#[derive(Clone, Copy, Debug)]
struct Matmul {
    transpose_a: bool,
    transpose_b: bool,
}

/// Sizes of a product: `[batch, m, k]` by `[batch, k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    /// Whether each side has the batch, or is used for every one.
    batched: [bool; 2],
}

impl Matmul {
    fn sizes(&self, a: Shape, b: Shape) -> Result<Sizes> {
        for shape in [a, b] {
            if shape.rank() < 2 {
                return Err(Error::Rank { shape, expected: "at least 2" });
            }
        }
        let split = |s: Shape, transposed: bool| {
            let (lead, last) = s.dims().split_at(s.rank() - 2);
            let (rows, columns) = if transposed { (last[1], last[0]) } else { (last[0], last[1]) };
            (lead.to_vec(), rows, columns)
        };
        let (a_lead, m, k) = split(a, self.transpose_a);
        let (b_lead, b_k, n) = split(b, self.transpose_b);
        if k != b_k {
            return Err(Error::ShapeMismatch { what: "inner dimensions of the product", left: a, right: b });
        }
        let counts = [a_lead.iter().product::<usize>(), b_lead.iter().product::<usize>()];
        let compatible = a_lead == b_lead || a_lead.is_empty() || b_lead.is_empty();
        if !compatible {
            return Err(Error::ShapeMismatch { what: "batch dimensions of the product", left: a, right: b });
        }
        let batched = [!a_lead.is_empty(), !b_lead.is_empty()];
        Ok(Sizes { batch: counts[0].max(counts[1]), m, n, k, batched })
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn attributes(&self) -> String {
        match (self.transpose_a, self.transpose_b) {
            (false, false) => String::new(),
            (true, false) => "a^T".to_owned(),
            (false, true) => "b^T".to_owned(),
            (true, true) => "a^T, b^T".to_owned(),
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the left operand", inputs[0], DType::F32)?;
        expect_dtype("the right operand", inputs[1], DType::F32)?;
        let (a, b) = (inputs[0].shape, inputs[1].shape);
        let sizes = self.sizes(a, b)?;
        let lead = if sizes.batched[0] { a } else { b };
        let mut dims = lead.dims()[..lead.rank() - 2].to_vec();
        dims.extend([sizes.m, sizes.n]);
        Ok(vec![TensorType::f32(Shape::new(&dims)?)])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(self.gradients(cx))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let Sizes { batch, m, n, k, batched } = self.sizes(cx.inputs[0].shape, cx.inputs[1].shape)?;
        let (a_row, a_col) = if self.transpose_a { (1, m) } else { (k, 1) };
        let (b_row, b_col) = if self.transpose_b { (1, k) } else { (n, 1) };
        let params = MatmulParams {
            m: word(m),
            n: word(n),
            k: word(k),
            a_row: word(a_row),
            a_col: word(a_col),
            b_row: word(b_row),
            b_col: word(b_col),
            a_batch: if batched[0] { word(m * k) } else { 0 },
            b_batch: if batched[1] { word(k * n) } else { 0 },
        };
        let call = KernelCall::new(&SHADER, "naive")
            .params(&params)
            .binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)])
            .grid(Grid::groups([n.div_ceil(8), m.div_ceil(8), batch]));
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.product(cx.inputs[0], cx.inputs[1], cx.outputs[0].shape)]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (a, b) = (cx.inputs[0].map(f64::abs), cx.inputs[1].map(f64::abs));
        let k = if self.transpose_a {
            a.shape.dims()[a.shape.rank() - 2]
        } else {
            a.shape.dims()[a.shape.rank() - 1]
        };
        vec![magnitude_bound(&self.product(&a, &b, cx.outputs[0].shape), 2.0 + 0.5 * k as f64)]
    }
}

impl Matmul {
    fn product(&self, a: &Array, b: &Array, shape: Shape) -> Array {
        let mut y = Array::full(shape, 0.0);
        let Ok(Sizes { batch, m, n, k, batched }) = self.sizes(a.shape, b.shape) else { return y };
        let (a_strides, b_strides) =
            (if self.transpose_a { (1, m) } else { (k, 1) }, if self.transpose_b { (1, k) } else { (n, 1) });
        for i in 0..batch {
            let a = &a.data[if batched[0] { i * m * k } else { 0 }..];
            let b = &b.data[if batched[1] { i * k * n } else { 0 }..];
            crate::cpu::gemm([m, k, n], a, a_strides, b, b_strides, &mut y.data[i * m * n..(i + 1) * m * n]);
        }
        y
    }

    fn gradients(&self, cx: &Backward<'_>) -> Result<Vec<Option<Value>>> {
        let (g, a, b, dy) = (cx.graph, cx.inputs[0], cx.inputs[1], cx.grad());
        let product = |left, right, transpose_a, transpose_b| {
            g.apply1(Matmul { transpose_a, transpose_b }, &[left, right])
        };
        let left = || {
            let grad = if self.transpose_a {
                product(b, dy, self.transpose_b, true)?
            } else {
                product(dy, b, false, !self.transpose_b)?
            };
            g.sum_to(grad, g.shape(a))
        };
        let right = || {
            let grad = if self.transpose_b {
                product(dy, a, true, self.transpose_a)?
            } else {
                product(a, dy, !self.transpose_a, false)?
            };
            g.sum_to(grad, g.shape(b))
        };
        Ok(vec![cx.needs[0].then(left).transpose()?, cx.needs[1].then(right).transpose()?])
    }
}

impl Graph {
    /// The matrix product of the last two axes. Leading axes are a batch, equal on both sides or
    /// absent on one, which is then used for every member.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes, [`Error::Rank`] below two dimensions.
    #[track_caller]
    pub fn matmul(&self, a: Value, b: Value) -> Result<Value> {
        self.matmul_with(a, b, false, false)
    }

    /// [`matmul`](Graph::matmul) with either side's last two axes swapped first.
    #[track_caller]
    pub fn matmul_with(&self, a: Value, b: Value, transpose_a: bool, transpose_b: bool) -> Result<Value> {
        self.apply1(Matmul { transpose_a, transpose_b }, &[a, b])
    }
}
