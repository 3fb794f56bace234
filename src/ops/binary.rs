//! Elementwise functions of two operands with broadcasting. Shader: `binary.wgsl`.

use super::strided::Nest;
use super::{
    Backward, EPS, FLUSH, Gradient, Lowering, Op, OperatorInfo, Reference, expect_dtype, flush, widen, word,
};
use crate::array::{Array, Indexer};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::shape::{Shape, TensorType};

pub(super) static SHADER: Shader = built_in!("binary", "../../shaders/binary.wgsl");

crate::params! {
    struct BinaryParams {
        d_lo: [u32; 4], a_lo: [u32; 4], b_lo: [u32; 4],
        d_hi: [u32; 2], a_hi: [u32; 2], b_hi: [u32; 2],
        n: u32, unused: u32,
    }
}

/// The elementwise functions of two operands; the number of each is `KIND` in the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is documented at its method of `Graph`")]
#[non_exhaustive]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Binary {
    /// All of them, in the order of their numbers.
    pub const ALL: [Binary; 13] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Pow,
        Binary::Min,
        Binary::Max,
        Binary::Equal,
        Binary::NotEqual,
        Binary::Less,
        Binary::LessEqual,
        Binary::Greater,
        Binary::GreaterEqual,
    ];

    /// The name in listings: the method's.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Pow => "pow",
            Binary::Min => "minimum",
            Binary::Max => "maximum",
            Binary::Equal => "equal",
            Binary::NotEqual => "not_equal",
            Binary::Less => "less",
            Binary::LessEqual => "less_equal",
            Binary::Greater => "greater",
            Binary::GreaterEqual => "greater_equal",
        }
    }

    /// Whether it compares, giving 0 or 1 and no gradient.
    pub fn is_comparison(self) -> bool {
        self as u32 >= Binary::Equal as u32
    }

    fn value(self, a: f64, b: f64) -> f64 {
        let mask = |condition| if condition { 1.0 } else { 0.0 };
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Pow => a.powf(b),
            Binary::Min => {
                if a <= b {
                    a
                } else {
                    b
                }
            }
            Binary::Max => {
                if a >= b {
                    a
                } else {
                    b
                }
            }
            Binary::Equal => mask(a == b),
            Binary::NotEqual => mask(a != b),
            Binary::Less => mask(a < b),
            Binary::LessEqual => mask(a <= b),
            Binary::Greater => mask(a > b),
            Binary::GreaterEqual => mask(a >= b),
        }
    }

    /// The error allowed to f32. WGSL grants division 2.5 units in the last place, and a power
    /// goes through `exp2(b log2 a)`, whose error grows with the exponent.
    fn bound(self, a: f64, b: f64, result: f64) -> f64 {
        let ulps = match self {
            Binary::Add | Binary::Sub | Binary::Mul => 1.0,
            Binary::Div => 3.0,
            Binary::Pow => 16.0 + 8.0 * b.abs() * (1.0 + a.abs().log2().abs()).min(300.0),
            _ => 0.0,
        };
        widen(ulps * EPS * result.abs() + FLUSH, result, self.value(flush(a), flush(b)))
    }
}

/// The rows of this family.
pub(super) fn operators() -> Vec<OperatorInfo> {
    let flows = |kind: Binary| if kind.is_comparison() { Gradient::Zero } else { Gradient::Yes };
    Binary::ALL.into_iter().map(|kind| OperatorInfo::new(kind.name(), flows(kind), "f32")).collect()
}

/// `y = f(a, b)`.
#[derive(Clone, Copy, Debug)]
struct BinaryOp(Binary);

fn nest(inputs: &[TensorType], output: Shape) -> Nest {
    let strides = [
        inputs[0].shape.broadcast_strides(output),
        inputs[1].shape.broadcast_strides(output),
        output.strides(),
    ];
    Nest::new(output.dims(), &strides)
}

impl Op for BinaryOp {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the left operand", inputs[0], DType::F32)?;
        expect_dtype("the right operand", inputs[1], DType::F32)?;
        Ok(vec![TensorType::f32(inputs[0].shape.broadcast(inputs[1].shape)?)])
    }

    fn in_place(&self, inputs: &[TensorType]) -> Vec<usize> {
        let Ok(output) = inputs[0].shape.broadcast(inputs[1].shape) else { return Vec::new() };
        if nest(inputs, output).by_fours_or_splat().is_none() {
            return Vec::new();
        }
        (0..2).filter(|&i| inputs[i].shape.numel() == output.numel()).collect()
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(if self.0.is_comparison() { Ok(vec![None, None]) } else { self.gradients(cx) })
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let scalar = nest(cx.inputs, cx.outputs[0].shape);
        let quads = scalar.by_fours_or_splat();
        let entry = match (&quads, cx.in_place) {
            (None, _) => "scalar",
            (Some(_), None) => "quad",
            (Some(_), Some(0)) => "quad_over_a",
            (Some(_), Some(_)) => "quad_over_b",
        };
        let elements = if quads.is_some() { 4 } else { 1 };
        let (nest, splat) = quads.unwrap_or((scalar, vec![false; 3]));
        let (d_lo, d_hi) = nest.dim_words();
        let (a_lo, a_hi) = nest.stride_words(0);
        let (b_lo, b_hi) = nest.stride_words(1);
        let n = word(nest.len());
        let call = KernelCall::new(&SHADER, entry)
            .constant("KIND", f64::from(self.0 as u32))
            .constant("RANK", nest.rank() as f64)
            .constant("A_SPLAT", f64::from(u8::from(splat[0])))
            .constant("B_SPLAT", f64::from(u8::from(splat[1])))
            .params(&BinaryParams { d_lo, a_lo, b_lo, d_hi, a_hi, b_hi, n, unused: 0 })
            .grid(Grid::linear(nest.len(), 64));
        // One run over operands of one shape, or over one and a single number.
        let flat = nest.rank() == 1 && nest.strides.iter().all(|s| s[0] <= 1);
        let call = if flat { call.elementwise("n", nest.len(), elements) } else { call };
        let read = (0..2).filter(|&i| cx.in_place != Some(i)).map(Slot::Input);
        cx.call(call.binds(read.chain([Slot::Output(0)])));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![zip(cx, |a, b| self.0.value(a, b))]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let (a, b) = (zip(cx, |a, _| a).data, zip(cx, |_, b| b).data);
        let bound = |(i, &r): (usize, &f64)| self.0.bound(a[i], b[i], r);
        vec![results[0].data.iter().enumerate().map(bound).collect()]
    }
}

/// `f` over both inputs, broadcast to output 0.
fn zip(cx: &Reference<'_>, f: impl Fn(f64, f64) -> f64 + Sync) -> Array {
    let shape = cx.outputs[0].shape;
    let (a, b) = (cx.inputs[0], cx.inputs[1]);
    if a.shape == shape && b.shape == shape {
        return Array::from_fn(shape, |i| f(a.data[i], b.data[i]));
    }
    let at_a = Indexer::new(shape, a.shape.broadcast_strides(shape));
    let at_b = Indexer::new(shape, b.shape.broadcast_strides(shape));
    Array::from_fn(shape, |i| f(a.data[at_a.offset(i)], b.data[at_b.offset(i)]))
}

impl BinaryOp {
    /// The gradients, recorded with elementary operators and summed over stretched dimensions.
    fn gradients(&self, cx: &Backward<'_>) -> Result<Vec<Option<Value>>> {
        let (g, dy, y) = (cx.graph, cx.grad(), cx.outputs[0]);
        let (a, b) = (cx.inputs[0], cx.inputs[1]);
        let left = || match self.0 {
            Binary::Add | Binary::Sub => Ok(dy),
            Binary::Mul => g.mul(dy, b),
            Binary::Div => g.div(dy, b),
            Binary::Pow => {
                // d(a^b)/da = b a^(b-1), which is 0 for b = 0 even where a is 0.
                let less = g.sub(b, g.scalar_constant(1.0))?;
                let slope = g.mul(b, g.pow(a, less)?)?;
                g.mul(dy, g.select(b, slope, g.scalar_constant(0.0))?)
            }
            Binary::Min => g.mul(dy, g.less_equal(a, b)?),
            _ => g.mul(dy, g.greater_equal(a, b)?),
        };
        let right = || match self.0 {
            Binary::Add => Ok(dy),
            Binary::Sub => g.neg(dy),
            Binary::Mul => g.mul(dy, a),
            Binary::Div => g.neg(g.div(g.mul(dy, y)?, b)?),
            Binary::Pow => {
                // d(a^b)/db = a^b log a, taken as 0 where a is 0 or negative.
                let zero = g.scalar_constant(0.0);
                let positive = g.greater(a, zero)?;
                let safe = g.select(positive, a, g.scalar_constant(1.0))?;
                g.mul(dy, g.mul(y, g.log(safe)?)?)
            }
            Binary::Min => g.mul(dy, g.greater(a, b)?),
            _ => g.mul(dy, g.less(a, b)?),
        };
        let reduce = |needed: bool, grad: &dyn Fn() -> Result<Value>, to: Value| {
            needed.then(|| g.sum_to(grad()?, g.shape_of(to))).transpose()
        };
        Ok(vec![reduce(cx.needs[0], &left, a)?, reduce(cx.needs[1], &right, b)?])
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident => $kind:ident;)*) => {
        impl Graph {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(&self, a: Value, b: Value) -> Result<Value> {
                self.apply1(BinaryOp(Binary::$kind), &[a, b])
            }
        )*}
    };
}

methods! {
    /// `a + b`.
    add => Add;
    /// `a - b`.
    sub => Sub;
    /// `a * b`, elementwise.
    mul => Mul;
    /// `a / b`.
    div => Div;
    /// `a^b`; NaN for a negative base with a fractional exponent.
    pow => Pow;
    /// The smaller; where equal, the gradient goes to `a`.
    minimum => Min;
    /// The larger; where equal, the gradient goes to `a`.
    maximum => Max;
    /// 1 where `a == b`, else 0.
    equal => Equal;
    /// 1 where `a != b`, else 0.
    not_equal => NotEqual;
    /// 1 where `a < b`, else 0.
    less => Less;
    /// 1 where `a <= b`, else 0.
    less_equal => LessEqual;
    /// 1 where `a > b`, else 0.
    greater => Greater;
    /// 1 where `a >= b`, else 0.
    greater_equal => GreaterEqual;
}

impl Graph {
    /// A function by its enumeration.
    #[track_caller]
    pub fn binary(&self, kind: Binary, a: Value, b: Value) -> Result<Value> {
        self.apply1(BinaryOp(kind), &[a, b])
    }
}
