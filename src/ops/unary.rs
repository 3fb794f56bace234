//! Elementwise functions of one operand. Shader: `unary.wgsl`, with the functions of `elementwise.wgsl`.
//!
//! A function is a row of the table below and a case in the shader. From the rows come the enumeration,
//! the names, the rows of the operator table, the methods of `Graph`, the f64 reference, the error bounds
//! and what tests and benches need to know.

use std::f64::consts::TAU;

use super::chain::{View, map, map_pair, pointwise};
use super::common::*;
pub(super) use super::float::sigmoid;

pub(super) static FAMILY: Family = Family { operators: FORWARD, shaders: &[&SHADER] };
pub(super) static DERIVATIVES: Family = Family { operators: BACKWARD, shaders: &[] };

static SHADER: Shader = built_in!("unary", "../../shaders/unary.wgsl", "../../shaders/elementwise.wgsl");

crate::params! {
    struct UnaryParams { n: u32, a: f32, b: f32 }
}

/// Where an elementwise function is smooth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Domain {
    /// Everywhere but perhaps at 0.
    Real,
    /// Above 0 only.
    Positive,
    /// It has corners elsewhere than at 0, where its parameters put them.
    Cornered,
}

/// What the derivative is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved {
    Input,
    Output,
}

/// The error allowed to an f32 result.
enum Within {
    /// Units in the last place.
    Ulps(f64),
    /// The same, but at least the second number.
    AtLeast(f64, f64),
}
use Within::{AtLeast, Ulps};

/// A row: documentation; variant, method and parameters, each with a value for tests and benches; what
/// the parameters must fulfil; the domain; the value in f64 and its bound; and unless the derivative is
/// zero wherever it exists, the derivative in terms of the input or the output, where it is 0 and lets
/// nothing through, and what its error has besides four units in the last place, relative to the operand or 1. The row's position is its number
/// in the shader.
macro_rules! functions {
    ($(
        $(#[$doc:meta])+
        $kind:ident: $method:ident($x:ident $(, $p:ident = $sample:literal)*)
            $(requires ($fits:expr, $argument:literal, $expected:literal))?
            on $domain:ident = $value:expr, within $bound:expr;
            $(slope of $saved:ident $v:ident = $slope:expr, $(flat where $flat:expr,)? within $terms:expr;)?
    )* impl Graph { $($more:tt)* }) => {
        /// The elementwise functions of one operand; the number of each is `KIND` in the shader.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each is documented at its method of `Graph`")]
        pub enum Unary {$($kind,)*}

        const FORWARD: &[OperatorInfo] = &[$(
            OperatorInfo::new(stringify!($method), flow(&[$(Saved::$saved)?]), "f32, f16"),
        )*];

        const BACKWARD: &[OperatorInfo] = &[$($(
            derivative_row(concat!(stringify!($method), "_grad"), Saved::$saved),
        )?)*];

        #[expect(unused_variables, reason = "not every expression depends on every number")]
        impl Unary {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Unary] = &[$(Unary::$kind,)*];

            /// The name in listings: the method's.
            pub fn name(self) -> &'static str {
                match self {$(Unary::$kind => stringify!($method),)*}
            }

            fn grad_name(self) -> &'static str {
                match self {$(Unary::$kind => concat!(stringify!($method), "_grad"),)*}
            }

            /// The names of its parameters, at most two, with a usual value for each.
            pub fn parameters(self) -> &'static [(&'static str, f32)] {
                match self {$(Unary::$kind => &[$((stringify!($p), $sample),)*],)*}
            }

            /// Where it is smooth.
            pub fn domain(self) -> Domain {
                match self {$(Unary::$kind => Domain::$domain,)*}
            }

            /// Whether a gradient flows.
            pub fn gradient(self) -> Gradient {
                if self.saved().is_some() { Gradient::Yes } else { Gradient::Zero }
            }

            fn saved(self) -> Option<Saved> {
                let saved: &[Saved] = match self {$(Unary::$kind => &[$(Saved::$saved)?],)*};
                saved.first().copied()
            }

            /// The function in f64.
            fn value(self, x: f64, p: [f64; 2]) -> f64 {
                match self {$(Unary::$kind => {
                    let ($x, [$($p,)* ..]) = (x, p);
                    $value
                })*}
            }

            /// The derivative in f64, in terms of what is [saved](Unary::saved), where it is not flat.
            fn rising(self, v: f64, p: [f64; 2]) -> f64 {
                match self {$(Unary::$kind => {
                    let [$($p,)* ..] = p;
                    first(&[$({ let $v = v; $slope })?])
                })*}
            }

            /// Whether nothing flows back, whatever comes. NaN is on the side that hands its operand on.
            fn is_flat(self, v: f64, p: [f64; 2]) -> bool {
                match self {$(Unary::$kind => {
                    let [$($p,)* ..] = p;
                    any(&[$($({ let $v = v; $flat })?)?])
                })*}
            }

            /// Computes the function of f32 numbers.
            pub(super) fn run(self, p: [f32; 2], x: View<'_>, y: &mut [f32]) {
                match self {$(Unary::$kind => {
                    let [$($p,)* ..] = p;
                    map(x, y, |$x: f32| $value)
                })*}
            }

            /// Computes the derivative at f32 numbers, times others.
            pub(super) fn run_slope(self, p: [f32; 2], v: View<'_>, dy: View<'_>, dx: &mut [f32]) {
                match self {$(Unary::$kind => {
                    let [$($p,)* ..] = p;
                    map_pair(v, dy, dx, |v: f32, dy: f32| {
                        let flat = any(&[$($({ let $v = v; $flat })?)?]);
                        let rising: f32 = first(&[$({ let $v = v; $slope })?]);
                        if flat { 0.0 } else { rising * dy }
                    })
                })*}
            }

            fn within(self, x: f64) -> Within {
                match self {$(Unary::$kind => { let $x = x; $bound })*}
            }

            fn derivative_terms(self, v: f64) -> f64 {
                match self {$(Unary::$kind => first(&[$({ let $v = v; $terms })?]),)*}
            }

            /// Fails for parameters that the function is not defined for.
            fn check(self, p: [f32; 2]) -> Result<()> {
                match self {$(Unary::$kind => {
                    let [$($p,)* ..] = p;
                    $(let fits: bool = $fits;
                    if !fits {
                        let value = self.given(&p, |_, value| value.to_string()).join("..");
                        return Err(Error::argument($argument, value, $expected));
                    })?
                })*}
                Ok(())
            }
        }

        /// # Functions of one operand
        ///
        /// Elementwise, of f32 operands. Each is NaN of NaN.
        impl Graph {$(
            $(#[$doc])+
            ///
            /// f32 of any shape; the result has the same.
            ///
            /// # Errors
            #[doc = concat!(
                " [`Error::DTypeMismatch`] unless `x` is f32",
                $("; [`Error::Argument`] for another ", $argument, ": ", $expected,)?
                "."
            )]
            #[track_caller]
            pub fn $method(&self, $x: Value $(, $p: f32)*) -> Result<Value> {
                self.unary(Unary::$kind, $x, &[$($p),*])
            }
        )* $($more)*}
    };
}

functions! {
    /// `-x`.
    Neg: neg(x) on Real = -x, within Ulps(0.0);
        slope of Input v = -1.0, within 0.0;

    /// `|x|`; its derivative at 0 is 0.
    Abs: abs(x) on Real = x.abs(), within Ulps(0.0);
        slope of Input v = sign(v), within 0.0;

    /// `x^2`; infinite from 1.8e19 on, as what f32 does not hold is.
    Square: square(x) on Real = x * x, within Ulps(1.0);
        slope of Input v = 2.0 * v, within 0.0;

    /// The square root; NaN below 0.
    Sqrt: sqrt(x) on Positive = x.sqrt(), within Ulps(4.0);
        slope of Output y = 0.5 / y, within 0.0;

    /// `e^x`.
    Exp: exp(x) on Real = Float::exp(x), within exp_ulps(x);
        slope of Output y = y, within 0.0;

    /// The natural logarithm; -inf at 0, NaN below.
    Log: log(x) on Positive = x.ln(), within AtLeast(4.0, 2f64.powi(-21));
        slope of Input v = 1.0 / v, within 0.0;

    /// -1, 0 or 1, and NaN of NaN; its derivative is 0.
    Sign: sign(x) on Real = sign(x), within Ulps(0.0);

    /// `1 / (1 + e^-x)`, exact for any x.
    Sigmoid: sigmoid(x) on Real = sigmoid(x), within exp_ulps(x);
        slope of Output y = y * (1.0 - y), within 4.0 * EPS;

    /// The hyperbolic tangent.
    Tanh: tanh(x) on Real = Float::tanh(x), within Ulps(16.0);
        slope of Output y = 1.0 - y * y, within 4.0 * EPS;

    /// `max(x, 0)`; its derivative at 0 is 0.
    Relu: relu(x) on Real = if x <= 0.0 { 0.0 } else { x }, within Ulps(0.0);
        slope of Output y = 1.0, flat where y == 0.0, within 0.0;

    /// `x` where positive, `alpha x` elsewhere.
    LeakyRelu: leaky_relu(x, alpha = 0.1) requires (alpha.is_finite(), "alpha", "it must be finite")
        on Real = if x < 0.0 { alpha * x } else { x }, within Ulps(1.0);
        slope of Input v = if v <= 0.0 { alpha } else { 1.0 }, within 0.0;

    /// `x` where positive, `alpha (e^x - 1)` elsewhere (Clevert et al., ICLR 2016).
    Elu: elu(x, alpha = 1.3) requires (alpha.is_finite(), "alpha", "it must be finite")
        on Real = if x < 0.0 { alpha * x.exp_m1() } else { x }, within exp_ulps(x);
        slope of Output y = if y <= 0.0 { y + alpha } else { 1.0 }, within 4.0 * EPS * y.abs().max(1.0);

    /// Scaled ELU with the constants of Klambauer et al., NeurIPS 2017.
    Selu: selu(x) on Real = selu(x, x.exp_m1()), within exp_ulps(x);
        slope of Output y = selu_slope(y),
            within 4.0 * EPS * y.abs().max(1.0);

    /// `x Phi(x)`, Phi the standard normal distribution function (Hendrycks and Gimpel, 2016).
    Gelu: gelu(x) on Real = x * normal_cdf(x), within Ulps(24.0 + 2.0 * x * x);
        slope of Input v = normal_cdf(v) + v * normal_density(v),
            within EPS * (64.0 + 16.0 * v * v);

    /// The tanh form of GELU: `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    GeluTanh: gelu_tanh(x) on Real = x * sigmoid(2.0 * gelu_inner(x)),
            within Ulps(24.0 + 8.0 * x * x * x.abs().max(1.0));
        slope of Input v = gelu_tanh_slope(v), within EPS * (64.0 + 16.0 * v * v);

    /// `log(1 + e^x)`, exact for any x.
    Softplus: softplus(x) on Real = larger(x, 0.0) + (-x.abs()).exp().ln_1p(), within exp_ulps(x);
        slope of Input v = sigmoid(v), within EPS * (12.0 + 4.0 * v.abs());

    /// `x / (1 + |x|)`.
    Softsign: softsign(x) on Real = x / (1.0 + x.abs()), within Ulps(4.0);
        slope of Input v = (1.0 + v.abs()).powi(-2), within 0.0;

    /// `min(max(x/6 + 1/2, 0), 1)`, as in Keras 3 and PyTorch.
    HardSigmoid: hard_sigmoid(x) on Real = (x / 6.0 + 0.5).clamp(0.0, 1.0), within AtLeast(0.0, 2.0 * EPS);
        slope of Input v = 1.0 / 6.0, flat where v.abs() >= 3.0, within 0.0;

    /// `x sigmoid(x)`, also called SiLU.
    Swish: swish(x) on Real = x * sigmoid(x), within exp_ulps(x);
        slope of Input v = sigmoid(v) * (1.0 + v * (1.0 - sigmoid(v))), within EPS * (12.0 + 4.0 * v.abs());

    /// 1 where `x >= 0`, else 0, and NaN of NaN; its derivative is 0.
    Step: step(x) on Real = if x.is_nan() { x } else { truth(x >= 0.0) }, within Ulps(0.0);

    /// `x` limited to `[min, max]`; its derivative is 1 within, ends included, and 0 outside.
    Clip: clip(x, min = -0.75, max = 0.8) requires (min <= max, "range", "min must not exceed max")
        on Cornered = x.clamp(min, max), within Ulps(0.0);
        slope of Input v = 1.0, flat where v < min || v > max, within 0.0;

    /// `1 / x`; infinite at 0.
    Reciprocal: reciprocal(x) on Real = 1.0 / x, within Ulps(3.0);
        slope of Output y = -y * y, within 0.0;

    /// `log(cosh(x))`, with all digits of a small `x`, of which it is half the square, and finite of a large one.
    LogCosh: log_cosh(x) on Real = log_cosh(x), within Ulps(24.0);
        slope of Input v = v.tanh(), within 16.0 * EPS;

    impl Graph {
        /// A function by its enumeration, with its [parameters](Unary::parameters). f32 of any shape; the
        /// result has the same.
        ///
        /// # Errors
        /// [`Error::DTypeMismatch`] unless `x` is f32; [`Error::Argument`] for parameters that the function's
        /// method refuses, or another number of them.
        #[track_caller]
        pub fn unary(&self, kind: Unary, x: Value, parameters: &[f32]) -> Result<Value> {
            if parameters.len() != kind.parameters().len() {
                let error =
                    Error::argument("number of parameters", parameters.len(), "it must be the function's");
                return self.located(kind.name(), Err(error));
            }
            let mut p = [0.0; 2];
            p[..parameters.len()].copy_from_slice(parameters);
            self.apply1(UnaryOp { kind, p }, &[x])
        }
    }
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;

fn sign<F: Float>(x: F) -> F {
    if x == F::of(0.0) { F::of(0.0) } else { x.signum() }
}

fn log_cosh<F: Float>(x: F) -> F {
    let (x, two) = (x.abs(), F::of(2.0));
    if x < F::of(1.0) {
        let root = (x / two).sinh();
        return (two * root * root).ln_1p();
    }
    x - F::of(std::f64::consts::LN_2) + (-two * x).exp().ln_1p()
}

fn normal_cdf<F: Float>(x: F) -> F {
    F::of(0.5) * (-x / F::of(std::f64::consts::SQRT_2)).erfc()
}

/// The density of the standard normal distribution.
fn normal_density<F: Float>(x: F) -> F {
    (F::of(-0.5) * x * x).exp() / F::of(TAU.sqrt())
}

fn gelu_inner<F: Float>(x: F) -> F {
    F::of(SQRT_2_OVER_PI) * (x + F::of(0.044_715) * x * x * x)
}

fn gelu_tanh_slope<F: Float>(v: F) -> F {
    // (1 + tanh u) / 2 = sigmoid(2 u), which does not cancel.
    let (one, two) = (F::of(1.0), F::of(2.0));
    let s = sigmoid(two * gelu_inner(v));
    let inner = F::of(SQRT_2_OVER_PI) * (one + F::of(3.0 * 0.044_715) * v * v);
    let bend = s * (one - s);
    // Of a large number the square is infinite in f32, and the bend 0.
    if bend == F::of(0.0) && v.abs() < F::of(f64::INFINITY) { s } else { s + two * v * bend * inner }
}

/// Its derivative where its value is `y`.
fn selu_slope<F: Float>(y: F) -> F {
    if y <= F::of(0.0) { y + F::of(SELU_SCALE * SELU_ALPHA) } else { F::of(SELU_SCALE) }
}

/// SELU, with `e^x - 1`.
fn selu<F: Float>(x: F, low: F) -> F {
    F::of(SELU_SCALE) * if x < F::of(0.0) { F::of(SELU_ALPHA) * low } else { x }
}

/// WGSL grants `exp(x)` an error of `3 + 2 |x|` units in the last place and `log` an absolute 2^-21 near 1
/// (WGSL, section 15.7.4); the rest follows.
fn exp_ulps(x: f64) -> Within {
    Ulps(10.0 + 3.0 * x.abs())
}

const fn flow(slope: &[Saved]) -> Gradient {
    if slope.is_empty() { Gradient::Zero } else { Gradient::Yes }
}

/// The row of a derivative that is a kernel.
const fn derivative_row(name: &'static str, _: Saved) -> OperatorInfo {
    OperatorInfo::new(name, Gradient::None, "f32, f16")
}

/// An expression that a row may leave out.
fn first<F: Copy + Default>(numbers: &[F]) -> F {
    numbers.first().copied().unwrap_or_default()
}

fn any(conditions: &[bool]) -> bool {
    conditions.contains(&true)
}

impl Unary {
    /// Something of each parameter's name and value.
    fn given(self, p: &[f32; 2], of: impl Fn(&str, f32) -> String) -> Vec<String> {
        self.parameters().iter().zip(p).map(|(&(name, _), &value)| of(name, value)).collect()
    }

    /// The derivative in f64.
    fn derivative(self, v: f64, p: [f64; 2]) -> f64 {
        if self.is_flat(v, p) { 0.0 } else { self.rising(v, p) }
    }

    /// The gradient in f64.
    fn gradient_by(self, v: f64, p: [f64; 2], dy: f64) -> f64 {
        if self.is_flat(v, p) { 0.0 } else { self.rising(v, p) * dy }
    }

    /// The error allowed to f32.
    fn bound(self, x: f64, result: f64) -> f64 {
        match self.within(x) {
            // A factor that is flushed to zero is lost times the other one.
            Ulps(ulps) => ulps * EPS * result.abs() + FLUSH * (1.0 + x.abs()),
            AtLeast(ulps, least) => (ulps * EPS * result.abs()).max(least),
        }
    }
}

/// `y = f(x)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UnaryOp {
    pub(super) kind: Unary,
    pub(super) p: [f32; 2],
}

/// `dx = f'(v) dy`, and 0 where the function is flat, whatever `dy`; inputs `v` (x or y) and `dy`.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnaryGrad(pub UnaryOp);

impl UnaryOp {
    pub fn kind(&self) -> Unary {
        self.kind
    }

    fn wide(&self) -> [f64; 2] {
        self.p.map(f64::from)
    }

    fn lower_by(&self, cx: &mut Lowering<'_>, entries: [&'static str; 2]) -> Result<()> {
        let n = cx.outputs[0].numel().div_ceil(4);
        let [a, b] = self.p;
        let call = KernelCall::new(&SHADER, cx.entry(entries))
            .constant("KIND", f64::from(self.kind as u32))
            .params(&UnaryParams { n: word(n), a, b })
            .binds(cx.operands())
            .elementwise("n", n, 4);
        cx.only(call)
    }
}

impl Op for UnaryOp {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn attributes(&self) -> String {
        self.kind.given(&self.p, |name, value| format!("{name}={value}")).join(", ")
    }

    fn precision(&self) -> Precision {
        use Unary::{Exp, Log, LogCosh, Reciprocal, Sigmoid, Square};
        // Those that leave the range of half precision, and probabilities, of which it has few near 1.
        let is_wide = matches!(self.kind, Exp | Log | LogCosh | Reciprocal | Sigmoid | Square);
        if is_wide { Precision::Full } else { Precision::Kept }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_float("the operand", inputs[0])?;
        self.kind.check(self.p)?;
        Ok(vec![inputs[0]])
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        vec![0]
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let saved = match self.kind.saved() {
            None => return Some(Ok(vec![None])),
            Some(Saved::Input) => cx.inputs[0],
            Some(Saved::Output) => cx.outputs[0],
        };
        cx.first(cx.graph.apply1(UnaryGrad(*self), &[saved, cx.grad()]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        self.lower_by(cx, ["forward", "forward_in_place"])
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let p = self.wide();
        vec![cx.inputs[0].map(|x| self.kind.value(x, p))]
    }

    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        pointwise(self, inputs, outputs)
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let p = self.wide();
        let pairs = cx.inputs[0].data.iter().zip(&results[0].data);
        let bound = |(&x, &y): (&f64, &f64)| widen(self.kind.bound(x, y), y, self.kind.value(flush(x), p));
        vec![pairs.map(bound).collect()]
    }
}

impl Op for UnaryGrad {
    fn name(&self) -> &'static str {
        self.0.kind.grad_name()
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[1]])
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        vec![1]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        self.0.lower_by(cx, ["backward", "backward_in_place"])
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let p = self.0.wide();
        let (v, dy) = (cx.inputs[0], cx.inputs[1]);
        vec![Array::from_fn(v.shape, |i| self.0.kind.gradient_by(v.data[i], p, dy.data[i]))]
    }

    fn routine(&self, inputs: &[TensorType], outputs: &[TensorType]) -> Option<Routine> {
        pointwise(self, inputs, outputs)
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (kind, p) = (self.0.kind, self.0.wide());
        let pairs = cx.inputs[0].data.iter().zip(&cx.inputs[1].data);
        let bound = |(&v, &dy): (&f64, &f64)| {
            let slope = kind.derivative(v, p);
            let terms = kind.derivative_terms(v) * v.abs().min(1.0).max(slope.abs());
            let bound = 4.0 * EPS * slope.abs() + terms + FLUSH + EPS * slope.abs();
            widen(bound, slope, kind.derivative(flush(v), p)) * dy.abs() + FLUSH
        };
        vec![pairs.map(bound).collect()]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{SHADER, Unary};
    use crate::kernel::Shader;

    /// Fails unless a function of a shader has a case for each of these names, in the order of the
    /// numbers, that ends or opens with the name as a comment; `None` stands for a number without a case.
    pub fn assert_cases(shader: &Shader, function: &str, names: &[Option<&str>]) {
        let source = shader.source();
        let body = source.split(&format!("fn {function}(")).nth(1).expect("the shader has the function");
        let body = body.split("\n}").next().unwrap_or_default();
        let found: Vec<_> = body.lines().map(str::trim).filter(|line| line.starts_with("case ")).collect();
        let wanted = names.iter().enumerate().filter_map(|(k, name)| name.map(|name| (k, name)));
        let wanted: Vec<_> =
            wanted.map(|(k, name)| (format!("case {k}u: {{"), format!("// {name}"))).collect();
        assert_eq!(found.len(), wanted.len(), "cases of {function}: {found:#?}");
        for (line, (start, end)) in found.iter().zip(&wanted) {
            assert!(line.starts_with(start) && line.ends_with(end), "`{line}` is not `{start} .. {end}`");
        }
    }

    #[test]
    fn every_function_has_its_case_in_the_shader() {
        let names: Vec<_> = Unary::ALL.iter().map(|kind| Some(kind.name())).collect();
        assert_cases(&SHADER, "unary", &names);
        let with_slope = |kind: &Unary| kind.saved().map(|_| kind.name());
        assert_cases(&SHADER, "derivative", &Unary::ALL.iter().map(with_slope).collect::<Vec<_>>());
    }
}
