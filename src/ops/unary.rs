//! Elementwise functions of one operand. Shader: `unary.wgsl`.

use super::{
    Backward, EPS, FLUSH, Gradient, Lowering, Op, OperatorInfo, Reference, expect_dtype, flush, widen, word,
};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::kernel::{KernelCall, Shader, Slot};
use crate::shape::TensorType;

pub(super) static SHADER: Shader = built_in!("unary", "../../shaders/unary.wgsl");

crate::params! {
    struct UnaryParams { n: u32, a: f32, b: f32 }
}

/// The elementwise functions of one operand; the number of each is `KIND` in the shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is documented at its method of `Graph`")]
#[non_exhaustive]
pub enum Unary {
    Neg,
    Abs,
    Square,
    Sqrt,
    Exp,
    Log,
    Sign,
    Sigmoid,
    Tanh,
    Relu,
    LeakyRelu,
    Elu,
    Selu,
    Gelu,
    GeluTanh,
    Softplus,
    Softsign,
    HardSigmoid,
    Swish,
    Step,
    Clip,
}

/// What the derivative is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Input,
    Output,
    /// The derivative is zero wherever it exists.
    Nothing,
}

impl Unary {
    /// All of them, in the order of their numbers.
    pub const ALL: [Unary; 21] = [
        Unary::Neg,
        Unary::Abs,
        Unary::Square,
        Unary::Sqrt,
        Unary::Exp,
        Unary::Log,
        Unary::Sign,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Relu,
        Unary::LeakyRelu,
        Unary::Elu,
        Unary::Selu,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Softplus,
        Unary::Softsign,
        Unary::HardSigmoid,
        Unary::Swish,
        Unary::Step,
        Unary::Clip,
    ];

    /// The name in listings: the method's.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Square => "square",
            Unary::Sqrt => "sqrt",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Sign => "sign",
            Unary::Sigmoid => "sigmoid",
            Unary::Tanh => "tanh",
            Unary::Relu => "relu",
            Unary::LeakyRelu => "leaky_relu",
            Unary::Elu => "elu",
            Unary::Selu => "selu",
            Unary::Gelu => "gelu",
            Unary::GeluTanh => "gelu_tanh",
            Unary::Softplus => "softplus",
            Unary::Softsign => "softsign",
            Unary::HardSigmoid => "hard_sigmoid",
            Unary::Swish => "swish",
            Unary::Step => "step",
            Unary::Clip => "clip",
        }
    }

    fn grad_name(self) -> &'static str {
        match self {
            Unary::Neg => "neg_grad",
            Unary::Abs => "abs_grad",
            Unary::Square => "square_grad",
            Unary::Sqrt => "sqrt_grad",
            Unary::Exp => "exp_grad",
            Unary::Log => "log_grad",
            Unary::Sign => "sign_grad",
            Unary::Sigmoid => "sigmoid_grad",
            Unary::Tanh => "tanh_grad",
            Unary::Relu => "relu_grad",
            Unary::LeakyRelu => "leaky_relu_grad",
            Unary::Elu => "elu_grad",
            Unary::Selu => "selu_grad",
            Unary::Gelu => "gelu_grad",
            Unary::GeluTanh => "gelu_tanh_grad",
            Unary::Softplus => "softplus_grad",
            Unary::Softsign => "softsign_grad",
            Unary::HardSigmoid => "hard_sigmoid_grad",
            Unary::Swish => "swish_grad",
            Unary::Step => "step_grad",
            Unary::Clip => "clip_grad",
        }
    }

    fn needs(self) -> Needs {
        match self {
            Unary::Sign | Unary::Step => Needs::Nothing,
            Unary::Sqrt
            | Unary::Exp
            | Unary::Sigmoid
            | Unary::Tanh
            | Unary::Relu
            | Unary::Elu
            | Unary::Selu => Needs::Output,
            _ => Needs::Input,
        }
    }

    /// The function in f64.
    fn value(self, x: f64, a: f64, b: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Square => x * x,
            Unary::Sqrt => x.sqrt(),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sign => sign(x),
            Unary::Sigmoid => sigmoid(x),
            Unary::Tanh => x.tanh(),
            Unary::Relu => {
                if x <= 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Unary::LeakyRelu => {
                if x < 0.0 {
                    a * x
                } else {
                    x
                }
            }
            Unary::Elu => {
                if x < 0.0 {
                    a * x.exp_m1()
                } else {
                    x
                }
            }
            Unary::Selu => SELU_SCALE * if x < 0.0 { SELU_ALPHA * x.exp_m1() } else { x },
            Unary::Gelu => x * normal_cdf(x),
            Unary::GeluTanh => x * sigmoid(2.0 * gelu_inner(x)),
            Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Unary::Softsign => x / (1.0 + x.abs()),
            Unary::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Unary::Swish => x * sigmoid(x),
            Unary::Step => {
                if x >= 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
            Unary::Clip => x.clamp(a, b),
        }
    }

    /// The derivative in f64, in terms of the input or the output, as [`Unary::needs`] says.
    fn derivative(self, v: f64, a: f64, b: f64) -> f64 {
        match self {
            Unary::Neg => -1.0,
            Unary::Abs => sign(v),
            Unary::Square => 2.0 * v,
            Unary::Sqrt => 0.5 / v,
            Unary::Exp => v,
            Unary::Log => 1.0 / v,
            Unary::Sign | Unary::Step => 0.0,
            Unary::Sigmoid => v * (1.0 - v),
            Unary::Tanh => 1.0 - v * v,
            Unary::Relu => {
                if v > 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
            Unary::LeakyRelu => {
                if v > 0.0 {
                    1.0
                } else {
                    a
                }
            }
            Unary::Elu => {
                if v > 0.0 {
                    1.0
                } else {
                    v + a
                }
            }
            Unary::Selu => {
                if v > 0.0 {
                    SELU_SCALE
                } else {
                    v + SELU_SCALE * SELU_ALPHA
                }
            }
            Unary::Gelu => {
                let density = (-0.5 * v * v).exp() / std::f64::consts::TAU.sqrt();
                normal_cdf(v) + v * density
            }
            Unary::GeluTanh => {
                // (1 + tanh u) / 2 = sigmoid(2 u), which does not cancel.
                let s = sigmoid(2.0 * gelu_inner(v));
                let slope = SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044_715 * v * v);
                s + 2.0 * v * s * (1.0 - s) * slope
            }
            Unary::Softplus => sigmoid(v),
            Unary::Softsign => (1.0 + v.abs()).powi(-2),
            Unary::HardSigmoid => {
                if v.abs() < 3.0 {
                    1.0 / 6.0
                } else {
                    0.0
                }
            }
            Unary::Swish => sigmoid(v) * (1.0 + v * (1.0 - sigmoid(v))),
            Unary::Clip => {
                if v >= a && v <= b {
                    1.0
                } else {
                    0.0
                }
            }
        }
    }

    /// The error allowed to f32. WGSL grants `exp(x)` an error of `3 + 2 |x|` units in the last
    /// place and `log` an absolute 2^-21 near 1 (WGSL, section 15.7.4); the rest follows.
    fn bound(self, x: f64, result: f64) -> f64 {
        let ulps = match self {
            Unary::Neg | Unary::Abs | Unary::Relu | Unary::Sign | Unary::Step | Unary::Clip => 0.0,
            Unary::Square | Unary::LeakyRelu => 1.0,
            Unary::Sqrt | Unary::Softsign => 4.0,
            Unary::Log => return (4.0 * EPS * result.abs()).max(2f64.powi(-21)),
            Unary::Tanh => 16.0,
            Unary::HardSigmoid => return 2.0 * EPS,
            Unary::Gelu => 24.0 + 2.0 * x * x,
            Unary::GeluTanh => 24.0 + 8.0 * x * x * x.abs().max(1.0),
            _ => 10.0 + 3.0 * x.abs(),
        };
        // A factor that is flushed to zero is lost times the other one.
        ulps * EPS * result.abs() + FLUSH * (1.0 + x.abs())
    }

    /// The error allowed to the f32 derivative, for `dy` = 1.
    fn derivative_bound(self, v: f64, result: f64) -> f64 {
        let terms = match self {
            Unary::Neg
            | Unary::Abs
            | Unary::Relu
            | Unary::LeakyRelu
            | Unary::Clip
            | Unary::Sign
            | Unary::Step => 0.0,
            Unary::Tanh | Unary::Sigmoid => 4.0 * EPS,
            Unary::Elu | Unary::Selu => 4.0 * EPS * v.abs().max(1.0),
            Unary::Gelu | Unary::GeluTanh => EPS * (64.0 + 16.0 * v * v),
            Unary::Softplus | Unary::Swish => EPS * (12.0 + 4.0 * v.abs()),
            _ => 0.0,
        };
        4.0 * EPS * result.abs() + terms * v.abs().min(1.0).max(result.abs()) + FLUSH
    }
}

/// The rows of this family: each function, and each derivative that is a kernel.
pub(super) fn operators() -> Vec<OperatorInfo> {
    let row = |kind: Unary| {
        let flows = if kind.needs() == Needs::Nothing { Gradient::Zero } else { Gradient::Yes };
        let forward = OperatorInfo::new(kind.name(), flows, "f32");
        let backward = OperatorInfo::new(kind.grad_name(), Gradient::None, "f32");
        std::iter::once(forward).chain((flows == Gradient::Yes).then_some(backward))
    };
    Unary::ALL.into_iter().flat_map(row).collect()
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;

fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

fn gelu_inner(x: f64) -> f64 {
    SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)
}

/// `y = f(x)`.
#[derive(Clone, Copy, Debug)]
struct UnaryOp {
    kind: Unary,
    a: f32,
    b: f32,
}

/// `dx = f'(v) dy`; inputs `v` (x or y) and `dy`.
#[derive(Clone, Copy, Debug)]
struct UnaryGrad(UnaryOp);

impl UnaryOp {
    fn attributes(&self) -> String {
        match self.kind {
            Unary::LeakyRelu | Unary::Elu => format!("alpha={}", self.a),
            Unary::Clip => format!("{}, {}", self.a, self.b),
            _ => String::new(),
        }
    }

    fn call(&self, entry: &'static str, ty: TensorType) -> KernelCall {
        let n = ty.numel().div_ceil(4);
        KernelCall::new(&SHADER, entry)
            .constant("KIND", f64::from(self.kind as u32))
            .params(&UnaryParams { n: word(n), a: self.a, b: self.b })
            .elementwise("n", n, 4)
    }
}

impl Op for UnaryOp {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn attributes(&self) -> String {
        UnaryOp::attributes(self)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the operand", inputs[0], DType::F32)?;
        if self.kind == Unary::Clip && (self.a > self.b || self.a.is_nan() || self.b.is_nan()) {
            let value = format!("{}..{}", self.a, self.b);
            return Err(Error::Argument { argument: "range", value, expected: "min must not exceed max" });
        }
        if !self.a.is_finite() && self.kind != Unary::Clip {
            return Err(Error::Argument {
                argument: "alpha",
                value: self.a.to_string(),
                expected: "it must be finite",
            });
        }
        Ok(vec![inputs[0]])
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        vec![0]
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let saved = match self.kind.needs() {
            Needs::Nothing => return Some(Ok(vec![None])),
            Needs::Input => cx.inputs[0],
            Needs::Output => cx.outputs[0],
        };
        Some(cx.graph.apply1(UnaryGrad(*self), &[saved, cx.grad()]).map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = match cx.in_place {
            Some(_) => self.call("forward_in_place", cx.outputs[0]).bind(Slot::Output(0)),
            None => self.call("forward", cx.outputs[0]).binds([Slot::Input(0), Slot::Output(0)]),
        };
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (a, b) = (f64::from(self.a), f64::from(self.b));
        vec![cx.inputs[0].map(|x| self.kind.value(x, a, b))]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let (a, b) = (f64::from(self.a), f64::from(self.b));
        let pairs = cx.inputs[0].data.iter().zip(&results[0].data);
        let bound = |(&x, &y): (&f64, &f64)| widen(self.kind.bound(x, y), y, self.kind.value(flush(x), a, b));
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
        let call = match cx.in_place {
            Some(_) => {
                self.0.call("backward_in_place", cx.outputs[0]).binds([Slot::Input(0), Slot::Output(0)])
            }
            None => self.0.call("backward", cx.outputs[0]).binds([
                Slot::Input(0),
                Slot::Input(1),
                Slot::Output(0),
            ]),
        };
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (a, b) = (f64::from(self.0.a), f64::from(self.0.b));
        let (v, dy) = (cx.inputs[0], cx.inputs[1]);
        vec![Array::from_fn(v.shape, |i| self.0.kind.derivative(v.data[i], a, b) * dy.data[i])]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let (a, b) = (f64::from(self.0.a), f64::from(self.0.b));
        let pairs = cx.inputs[0].data.iter().zip(&cx.inputs[1].data);
        let bound = |(&v, &dy): (&f64, &f64)| {
            let slope = self.0.kind.derivative(v, a, b);
            let bound = self.0.kind.derivative_bound(v, slope) + EPS * slope.abs();
            widen(bound, slope, self.0.kind.derivative(flush(v), a, b)) * dy.abs() + FLUSH
        };
        vec![pairs.map(bound).collect()]
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident => $kind:ident;)*) => {
        impl Graph {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(&self, x: Value) -> Result<Value> {
                self.apply1(UnaryOp { kind: Unary::$kind, a: 0.0, b: 0.0 }, &[x])
            }
        )*}
    };
}

methods! {
    /// `-x`.
    neg => Neg;
    /// `|x|`; its derivative at 0 is 0.
    abs => Abs;
    /// `x^2`.
    square => Square;
    /// The square root; NaN below 0.
    sqrt => Sqrt;
    /// `e^x`.
    exp => Exp;
    /// The natural logarithm; -inf at 0, NaN below.
    log => Log;
    /// -1, 0 or 1; its derivative is 0.
    sign => Sign;
    /// `1 / (1 + e^-x)`, exact for any x.
    sigmoid => Sigmoid;
    /// The hyperbolic tangent.
    tanh => Tanh;
    /// `max(x, 0)`; its derivative at 0 is 0.
    relu => Relu;
    /// Scaled ELU with the constants of Klambauer et al., NeurIPS 2017.
    selu => Selu;
    /// `x Phi(x)`, Phi the standard normal distribution function (Hendrycks and Gimpel, 2016).
    gelu => Gelu;
    /// The tanh form of GELU: `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    gelu_tanh => GeluTanh;
    /// `log(1 + e^x)`, exact for any x.
    softplus => Softplus;
    /// `x / (1 + |x|)`.
    softsign => Softsign;
    /// `min(max(x/6 + 1/2, 0), 1)`, as in Keras 3 and PyTorch.
    hard_sigmoid => HardSigmoid;
    /// `x sigmoid(x)`, also called SiLU.
    swish => Swish;
    /// 1 where `x >= 0`, else 0; its derivative is 0.
    step => Step;
}

impl Graph {
    /// `x` where positive, `alpha x` elsewhere.
    #[track_caller]
    pub fn leaky_relu(&self, x: Value, alpha: f32) -> Result<Value> {
        self.apply1(UnaryOp { kind: Unary::LeakyRelu, a: alpha, b: 0.0 }, &[x])
    }

    /// `x` where positive, `alpha (e^x - 1)` elsewhere (Clevert et al., ICLR 2016).
    #[track_caller]
    pub fn elu(&self, x: Value, alpha: f32) -> Result<Value> {
        self.apply1(UnaryOp { kind: Unary::Elu, a: alpha, b: 0.0 }, &[x])
    }

    /// `x` limited to `[min, max]`; its derivative is 1 within, ends included, and 0 outside.
    ///
    /// # Errors
    /// [`Error::Argument`] if `min > max` or either is NaN.
    #[track_caller]
    pub fn clip(&self, x: Value, min: f32, max: f32) -> Result<Value> {
        self.apply1(UnaryOp { kind: Unary::Clip, a: min, b: max }, &[x])
    }

    /// A function by its enumeration, with `alpha` for those that have one and `[a, b]` for
    /// [`Unary::Clip`].
    #[track_caller]
    pub fn unary(&self, kind: Unary, x: Value, a: f32, b: f32) -> Result<Value> {
        self.apply1(UnaryOp { kind, a, b }, &[x])
    }
}
