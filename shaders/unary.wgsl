// Elementwise functions of one operand and their derivatives.
//
//   forward    y = f(x)
//   backward   dx = f'(v) dy, where v is x or y, whichever the function's derivative is written in; 0
//              where the function is flat, whatever dy
//
// Contiguous; a thread handles four neighbouring elements, a workgroup 256. Buffers are padded to
// 16 bytes, so the last vector may reach past the value but not past its buffer. The in-place
// entries overwrite the operand that the planner proved dead.
// KIND numbers the functions as the rows of unary.rs; each case bears the name of its row. For any shape.
//
// Of NaN every function is NaN. What is arithmetic keeps it by itself; comparisons are of bits, or their
// result is overwritten.

override KIND: u32 = 0u;

struct Params {
    // Vectors of four.
    n: u32,
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<f32>>;
var<immediate> p: Params;

const ZERO = vec4<f32>(0.0);
const ONE = vec4<f32>(1.0);
const SELU_SCALE: f32 = 1.0507009873554805;
const SELU_ALPHA: f32 = 1.6732632423543772;
const LN_2: f32 = 0.6931471805599453;
const SQRT_2_OVER_PI: f32 = 0.7978845608028654;
const INV_SQRT_2_PI: f32 = 0.3989422804014327;
const GELU_CUBIC: f32 = 0.044715;

fn f(x: vec4<f32>) -> vec4<f32> {
    switch KIND {
        case 0u: { return -x; } // neg
        case 1u: { return abs(x); } // abs
        case 2u: { return x * x; } // square
        case 3u: { return root(x); } // sqrt
        case 4u: { return exponential(x); } // exp
        case 5u: { return logarithm(x); } // log
        case 6u: { return sign_of(x); } // sign
        case 7u: { return sigmoid(x); } // sigmoid
        case 8u: { return tanh_exact(x); } // tanh
        case 9u: { return select(x, ZERO, below_zero(x)); } // relu
        case 10u: { return select(x, p.a * x, x < ZERO); } // leaky_relu
        case 11u: { return select(x, p.a * expm1(x), x < ZERO); } // elu
        case 12u: { return SELU_SCALE * select(x, SELU_ALPHA * expm1(x), x < ZERO); } // selu
        case 13u: { return x * normal_cdf(x); } // gelu
        case 14u: { return x * sigmoid(2.0 * gelu_inner(x)); } // gelu_tanh
        case 15u: { return softplus(x); } // softplus
        case 16u: { return x / (1.0 + abs(x)); } // softsign
        case 17u: { return limit(x / 6.0 + 0.5, ZERO, ONE); } // hard_sigmoid
        case 18u: { return x * sigmoid(x); } // swish
        case 19u: { return keep_nan(x, select(ZERO, ONE, x >= ZERO)); } // step
        case 20u: { return limit(x, vec4(p.a), vec4(p.b)); } // clip
        case 21u: { return 1.0 / x; } // reciprocal
        case 22u: { return log_cosh(x); } // log_cosh
        default: { return x; }
    }
}

// log(1 + 2 sinh(x / 2)^2) where that is below 1, which does not cancel.
fn log_cosh(x: vec4<f32>) -> vec4<f32> {
    let a = abs(x);
    let e = expm1(0.5 * min(a, ONE));
    let s = 0.5 * (e + e / (1.0 + e));
    let large = a - LN_2 + log1p(exponential(-2.0 * a));
    return keep_nan(x, select(large, log1p(2.0 * s * s), a < ONE));
}

fn sign_of(x: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, select(ZERO, ONE, x > ZERO) - select(ZERO, ONE, x < ZERO));
}

fn limit(x: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, clamp(x, low, high));
}

// Some drivers return a number for the root or the logarithm of a negative one.
fn root(x: vec4<f32>) -> vec4<f32> {
    return select(keep_nan(x, sqrt(x)), vec4(not_a_number()), x < ZERO);
}

fn logarithm(x: vec4<f32>) -> vec4<f32> {
    let s = without_subnormals(x);
    let defined = select(log(s.x) + LN_2 * s.exponent, vec4(-infinity()), s.x == ZERO);
    return keep_nan(x, select(defined, vec4(not_a_number()), x < ZERO));
}

// Where nothing flows back. NaN is on the side that hands its operand on.
fn flat(v: vec4<f32>) -> vec4<bool> {
    switch KIND {
        case 9u: { return bitcast<vec4<u32>>(v) == vec4(0u); } // relu
        case 17u: { return (abs(v) >= vec4(3.0)) & !are_nan(v); } // hard_sigmoid
        case 20u: { return ((v < vec4(p.a)) | (v > vec4(p.b))) & !are_nan(v); } // clip
        default: { return vec4(false); }
    }
}

fn slope_by(v: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return select(derivative(v) * dy, ZERO, flat(v));
}

fn derivative(v: vec4<f32>) -> vec4<f32> {
    switch KIND {
        case 0u: { return -ONE; } // neg
        case 1u: { return sign_of(v); } // abs
        case 2u: { return 2.0 * v; } // square
        case 3u: { return 0.5 / v; } // sqrt
        case 4u: { return v; } // exp
        case 5u: { return 1.0 / v; } // log
        case 7u: { return v * (1.0 - v); } // sigmoid
        case 8u: { return (1.0 - v) * (1.0 + v); } // tanh
        case 9u: { return ONE; } // relu
        case 10u: { return select(ONE, vec4(p.a), at_most_zero(v)); } // leaky_relu
        case 11u: { return select(ONE, v + p.a, at_most_zero(v)); } // elu
        case 12u: { return select(vec4(SELU_SCALE), v + SELU_SCALE * SELU_ALPHA, at_most_zero(v)); } // selu
        case 13u: { return normal_cdf(v) + v * (INV_SQRT_2_PI * exp(-0.5 * v * v)); } // gelu
        case 14u: { // gelu_tanh
            let s = sigmoid(2.0 * gelu_inner(v));
            // Past |v| = 12 the second factor has vanished; the clamp keeps v * v finite. Of infinity the
            // formula is 0 times infinity.
            let w = clamp(v, vec4(-12.0), vec4(12.0));
            let slope = s + w * (2.0 * s * (1.0 - s)) * SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * w * w);
            return select(slope, vec4(not_a_number()), magnitudes(v) >= vec4(INFINITY_BITS));
        }
        case 15u: { return sigmoid(v); } // softplus
        case 16u: { let d = 1.0 + abs(v); return 1.0 / (d * d); } // softsign
        case 17u: { return vec4(1.0 / 6.0); } // hard_sigmoid
        case 18u: { let s = sigmoid(v); return s + v * (s * (1.0 - s)); } // swish
        case 20u: { return ONE; } // clip
        case 21u: { return -v * v; } // reciprocal
        case 22u: { return tanh_exact(v); } // log_cosh
        default: { return ZERO; }
    }
}

// sqrt(2 / pi) (x + 0.044715 x^3), within the range where tanh of it is not yet 1.
fn gelu_inner(x: vec4<f32>) -> vec4<f32> {
    let w = clamp(x, vec4(-20.0), vec4(20.0));
    return SQRT_2_OVER_PI * w * (1.0 + GELU_CUBIC * w * w);
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = f(x[i]); }
}

@compute @workgroup_size(64)
fn forward_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = f(y[i]); }
}

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { dx[i] = slope_by(v[i], dy[i]); }
}

@compute @workgroup_size(64)
fn backward_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { dx[i] = slope_by(v[i], dx[i]); }
}
