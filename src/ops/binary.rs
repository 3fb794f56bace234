//! Elementwise functions of two operands with broadcasting. Shader: `binary.wgsl`, with the functions of
//! `elementwise.wgsl`.
//!
//! A function is a row of the table below and a case in the shader.

use super::chain::{View, map_pair, pointwise};
use super::common::*;
use super::strided::Nest;

pub(super) static FAMILY: Family = Family { operators: OPERATORS, shaders: &[&SHADER] };

static SHADER: Shader = built_in!("binary", "../../shaders/binary.wgsl", "../../shaders/elementwise.wgsl");

crate::params! {
    struct BinaryParams {
        d_lo: [u32; 4], a_lo: [u32; 4], b_lo: [u32; 4],
        d_hi: [u32; 2], a_hi: [u32; 2], b_hi: [u32; 2],
        n: u32, unused: u32,
    }
}

/// A row: documentation; variant, method and operands; the value in f64 and its bound in units in the last
/// place; and unless the derivatives are zero wherever they exist, their recordings with respect to each
/// operand. The row's position is its number in the shader.
macro_rules! functions {
    ($(
        $(#[$doc:meta])+
        $kind:ident: $method:ident($a:ident, $b:ident) = $value:expr, within $ulps:expr;
            $(slopes $left:expr, $right:expr;)?
    )* impl Graph { $($more:tt)* }) => {
        /// The elementwise functions of two operands; the number of each is `KIND` in the shader.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each is documented at its method of `Graph`")]
        pub enum Binary {$($kind,)*}

        const OPERATORS: &[OperatorInfo] = &[$(OperatorInfo::new(
            stringify!($method),
            if Binary::$kind.is_comparison() { Gradient::Zero } else { Gradient::Yes },
            "f32, f16",
        ),)*];

        #[expect(unused_variables, reason = "not every bound depends on the operands")]
        impl Binary {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Binary] = &[$(Binary::$kind,)*];

            /// The name in listings: the method's.
            pub fn name(self) -> &'static str {
                match self {$(Binary::$kind => stringify!($method),)*}
            }

            /// Whether it compares, giving 0 or 1 and no gradient.
            pub const fn is_comparison(self) -> bool {
                let slopes: &[&str] = match self {$(Binary::$kind => &[$(stringify!($left))?],)*};
                slopes.is_empty()
            }

            fn value(self, a: f64, b: f64) -> f64 {
                match self {$(Binary::$kind => { let ($a, $b) = (a, b); $value })*}
            }

            /// Computes the function of f32 numbers.
            pub(super) fn run(self, a: View<'_>, b: View<'_>, y: &mut [f32]) {
                match self {$(Binary::$kind => map_pair(a, b, y, |$a: f32, $b: f32| $value),)*}
            }

            /// The error allowed to f32, in units in the last place. WGSL grants division 2.5 of them, and a
            /// power goes through `exp2(b log2 a)`, whose error grows with the exponent.
            fn ulps(self, a: f64, b: f64) -> f64 {
                match self {$(Binary::$kind => { let ($a, $b) = (a, b); $ulps })*}
            }

            fn slopes(self) -> Option<[Slope; 2]> {
                let slopes: &[[Slope; 2]] = match self {$(Binary::$kind => &[$([$left, $right])?],)*};
                slopes.first().copied()
            }
        }

        /// # Functions of two operands
        ///
        /// Elementwise, of f32 operands that broadcast together. Where either operand is NaN, so is the result,
        /// but for comparisons, which then are 0 (`not_equal` is 1), and some powers.
        impl Graph {$(
            $(#[$doc])+
            ///
            /// Operands are f32 and broadcast together as in NumPy; the result is f32 of the shape they do to.
            ///
            /// # Errors
            /// [`Error::Broadcast`](crate::Error::Broadcast) with both shapes;
            /// [`Error::DTypeMismatch`](crate::Error::DTypeMismatch) unless both are f32.
            #[track_caller]
            pub fn $method(&self, $a: Value, $b: Value) -> Result<Value> {
                self.binary(Binary::$kind, $a, $b)
            }
        )* $($more)*}
    };
}

functions! {
    /// `a + b`.
    ///
    /// ```
    /// use retape::prelude::*;
    /// let mut g = Graph::new();
    /// let (x, bias) = (g.input("x", [32, 10]), g.parameter("bias", [10], Init::Zeros));
    /// let y = g.add(x, bias)?;
    /// assert_eq!(g.shape(y)?, Shape::from([32, 10]));
    /// # Ok::<(), retape::Error>(())
    /// ```
    Add: add(a, b) = a + b, within 1.0;
        slopes |s| Ok(s.dy), |s| Ok(s.dy);

    /// `a - b`.
    Sub: sub(a, b) = a - b, within 1.0;
        slopes |s| Ok(s.dy), |s| s.g.neg(s.dy);

    /// `a * b`, elementwise.
    Mul: mul(a, b) = a * b, within 1.0;
        slopes |s| s.g.mul(s.dy, s.b), |s| s.g.mul(s.dy, s.a);

    /// `a / b`.
    Div: div(a, b) = a / b, within 3.0;
        slopes |s| s.g.div(s.dy, s.b), |s| s.g.neg(s.g.div(s.g.mul(s.dy, s.y)?, s.b)?);

    /// `a^b`; NaN for a negative base with a fractional exponent, and its special values are those of C's
    /// `pow`: 1 for an exponent of 0 and for a base of 1, whatever the other, NaN included; a base of -0 or
    /// -inf is odd under odd exponents, as `(-0)^-1 = -inf`; `(-1)^inf` is 1. The gradient of the exponent is
    /// taken as 0 where the base is 0 or negative, that of the base where the exponent is 0.
    Pow: pow(a, b) = a.powf(b), within 16.0 + 8.0 * b.abs() * (1.0 + a.abs().log2().abs()).min(300.0);
        slopes slope_of_base, slope_of_exponent;

    /// The smaller, NaN where either is. Where equal, the gradient goes to `a`; where either is NaN, to both,
    /// as in PyTorch.
    Min: minimum(a, b) = -larger(-a, -b), within 0.0;
        slopes |s| unless(s, s.g.greater(s.a, s.b)), |s| unless(s, s.g.less_equal(s.a, s.b));

    /// The larger, NaN where either is. Where equal, the gradient goes to `a`; where either is NaN, to both,
    /// as in PyTorch.
    Max: maximum(a, b) = larger(a, b), within 0.0;
        slopes |s| unless(s, s.g.less(s.a, s.b)), |s| unless(s, s.g.greater_equal(s.a, s.b));

    /// 1 where `a == b`, else 0.
    Equal: equal(a, b) = truth(a == b), within 0.0;

    /// 1 where `a != b`, else 0. A NaN is unequal to everything, itself included.
    NotEqual: not_equal(a, b) = truth(a != b), within 0.0;

    /// 1 where `a < b`, else 0.
    Less: less(a, b) = truth(a < b), within 0.0;

    /// 1 where `a <= b`, else 0.
    LessEqual: less_equal(a, b) = truth(a <= b), within 0.0;

    /// 1 where `a > b`, else 0.
    Greater: greater(a, b) = truth(a > b), within 0.0;

    /// 1 where `a >= b`, else 0.
    GreaterEqual: greater_equal(a, b) = truth(a >= b), within 0.0;

    impl Graph {
        /// A function by its enumeration. Operands are f32 and broadcast together; the result is f32 of the
        /// shape they do to.
        ///
        /// # Errors
        /// [`Error::Broadcast`] with both shapes; [`Error::DTypeMismatch`] unless both are f32.
        #[track_caller]
        pub fn binary(&self, kind: Binary, a: Value, b: Value) -> Result<Value> {
            self.apply1(BinaryOp(kind), &[a, b])
        }
    }
}

/// What a gradient is recorded from.
struct Slopes<'a> {
    g: &'a Graph,
    a: Value,
    b: Value,
    y: Value,
    dy: Value,
}

/// Records a gradient in the shape of the result, with elementary operators.
type Slope = fn(&Slopes<'_>) -> Result<Value>;

/// The gradient where a condition does not hold, and 0 where it does, whatever the gradient.
fn unless(s: &Slopes<'_>, condition: Result<Value>) -> Result<Value> {
    s.g.select(condition?, s.g.scalar_constant(0.0), s.dy)
}

/// `d(a^b)/da = b a^(b-1)`, which is 0 for b = 0 even where a is 0.
fn slope_of_base(&Slopes { g, a, b, dy, .. }: &Slopes<'_>) -> Result<Value> {
    let less = g.sub(b, g.scalar_constant(1.0))?;
    let slope = g.mul(b, g.pow(a, less)?)?;
    g.select(b, g.mul(dy, slope)?, g.scalar_constant(0.0))
}

/// `d(a^b)/db = a^b log a`, taken as 0 where a is 0 or negative.
fn slope_of_exponent(s: &Slopes<'_>) -> Result<Value> {
    let &Slopes { g, a, y, dy, .. } = s;
    let slope = g.mul(dy, g.mul(y, g.log(a)?)?)?;
    g.select(g.less_equal(a, g.scalar_constant(0.0))?, g.scalar_constant(0.0), slope)
}

/// `y = f(a, b)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct BinaryOp(pub Binary);

fn nest(inputs: &[TensorType], output: Shape) -> Nest {
    let [a, b] = [0, 1].map(|i: usize| inputs[i].shape.broadcast_strides(output));
    Nest::new(output.dims(), &[a, b, output.strides()])
}

impl Op for BinaryOp {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn precision(&self) -> Precision {
        // Those that leave the range of half precision.
        let is_wide = matches!(self.0, Binary::Div | Binary::Pow);
        if is_wide { Precision::Full } else { Precision::Kept }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let dtype = common_float([("the left operand", inputs[0]), ("the right operand", inputs[1])])?;
        Ok(vec![TensorType { shape: inputs[0].shape.broadcast(inputs[1].shape)?, dtype }])
    }

    fn in_place(&self, inputs: &[TensorType]) -> Vec<usize> {
        let Ok(output) = inputs[0].shape.broadcast(inputs[1].shape) else { return Vec::new() };
        if nest(inputs, output).by_fours_or_splat().is_none() {
            return Vec::new();
        }
        (0..2).filter(|&i| inputs[i].shape.numel() == output.numel()).collect()
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let Some(slopes) = self.0.slopes() else { return Some(Ok(vec![None, None])) };
        let of = Slopes { g: cx.graph, a: cx.inputs[0], b: cx.inputs[1], y: cx.outputs[0], dy: cx.grad() };
        // Summed over stretched dimensions.
        Some(cx.needed(|i| cx.graph.sum_to(slopes[i](&of)?, cx.graph.shape_of(cx.inputs[i]))))
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
            .constant("A_SPLAT", f64::from(splat[0]))
            .constant("B_SPLAT", f64::from(splat[1]))
            .params(&BinaryParams { d_lo, a_lo, b_lo, d_hi, a_hi, b_hi, n, unused: 0 })
            .grid(Grid::linear(nest.len(), 64));
        // One run over operands of one shape, or over one and a single number.
        let flat = nest.rank() == 1 && nest.strides.iter().all(|s| s[0] <= 1);
        let call = if flat { call.elementwise("n", nest.len(), elements) } else { call };
        cx.only(call.binds(cx.operands()))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![zip(cx, |a, b| self.0.value(a, b))]
    }

    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        pointwise(self, inputs, outputs)
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let (a, b) = (zip(cx, |a, _| a).data, zip(cx, |_, b| b).data);
        let bound = |(i, &r): (usize, &f64)| {
            let bound = self.0.ulps(a[i], b[i]) * EPS * r.abs() + FLUSH;
            widen(bound, r, self.0.value(flush(a[i]), flush(b[i])))
        };
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

#[cfg(test)]
mod tests {
    use super::super::unary::tests::assert_cases;
    use super::{Binary, SHADER};

    #[test]
    fn every_function_has_its_case_in_the_shader() {
        assert_cases(
            &SHADER,
            "binary",
            &Binary::ALL.iter().map(|kind| Some(kind.name())).collect::<Vec<_>>(),
        );
    }
}
