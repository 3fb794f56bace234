// Elementwise functions by number, for kernels of one function and for chains of several.
//
//   unary      f(x)
//   slope_by   f'(v) dy, where v is x or f(x), whichever the derivative is written in; 0 where the function is
//              flat, whatever dy
//   binary     f(a, b)
//   choose     a where the condition is not zero, else b
//   normalise  (x - mean) / sqrt(variance + epsilon) scale + shift; all is halved where x - mean might overflow
//
// `kind` is known when a kernel is compiled. It numbers the functions as the rows of unary.rs and binary.rs; each
// case bears the name of its row. `a` and `b` are a function's parameters. Four elements at a time.
//
// Of NaN every function is NaN but the comparisons, all of which are 0 but not_equal, and powers of 1 and to 0.
// What is arithmetic keeps it by itself; comparisons are of bits, or their result is overwritten.

const ZERO = vec4<f32>(0.0);
const ONE = vec4<f32>(1.0);
const SELU_SCALE: f32 = 1.0507009873554805;
const SELU_ALPHA: f32 = 1.6732632423543772;
const LN_2: f32 = 0.6931471805599453;
const SQRT_2_OVER_PI: f32 = 0.7978845608028654;
const INV_SQRT_2_PI: f32 = 0.3989422804014327;
const GELU_CUBIC: f32 = 0.044715;

fn unary(kind: u32, x: vec4<f32>, a: f32, b: f32) -> vec4<f32> {
    switch kind {
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
        case 10u: { return select(x, a * x, x < ZERO); } // leaky_relu
        case 11u: { return select(x, a * expm1(x), x < ZERO); } // elu
        case 12u: { return SELU_SCALE * select(x, SELU_ALPHA * expm1(x), x < ZERO); } // selu
        case 13u: { return x * normal_cdf(x); } // gelu
        case 14u: { return x * sigmoid(2.0 * gelu_inner(x)); } // gelu_tanh
        case 15u: { return softplus(x); } // softplus
        case 16u: { return x / (1.0 + abs(x)); } // softsign
        case 17u: { return limit(x / 6.0 + 0.5, ZERO, ONE); } // hard_sigmoid
        case 18u: { return x * sigmoid(x); } // swish
        case 19u: { return keep_nan(x, select(ZERO, ONE, x >= ZERO)); } // step
        case 20u: { return limit(x, vec4(a), vec4(b)); } // clip
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
fn flat(kind: u32, v: vec4<f32>, a: f32, b: f32) -> vec4<bool> {
    switch kind {
        case 9u: { return bitcast<vec4<u32>>(v) == vec4(0u); } // relu
        case 17u: { return (abs(v) >= vec4(3.0)) & !are_nan(v); } // hard_sigmoid
        case 20u: { return ((v < vec4(a)) | (v > vec4(b))) & !are_nan(v); } // clip
        default: { return vec4(false); }
    }
}

fn slope_by(kind: u32, v: vec4<f32>, dy: vec4<f32>, a: f32, b: f32) -> vec4<f32> {
    return select(derivative(kind, v, a) * dy, ZERO, flat(kind, v, a, b));
}

fn derivative(kind: u32, v: vec4<f32>, a: f32) -> vec4<f32> {
    switch kind {
        case 0u: { return -ONE; } // neg
        case 1u: { return sign_of(v); } // abs
        case 2u: { return 2.0 * v; } // square
        case 3u: { return 0.5 / v; } // sqrt
        case 4u: { return v; } // exp
        case 5u: { return 1.0 / v; } // log
        case 7u: { return v * (1.0 - v); } // sigmoid
        case 8u: { return (1.0 - v) * (1.0 + v); } // tanh
        case 9u: { return ONE; } // relu
        case 10u: { return select(ONE, vec4(a), at_most_zero(v)); } // leaky_relu
        case 11u: { return select(ONE, v + a, at_most_zero(v)); } // elu
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

fn binary(kind: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    switch kind {
        case 0u: { return a + b; } // add
        case 1u: { return a - b; } // sub
        case 2u: { return a * b; } // mul
        case 3u: { return a / b; } // div
        case 4u: { return power(a, b); } // pow
        case 5u: { return select(select(b, a, a <= b), vec4(not_a_number()), unordered(a, b)); } // minimum
        case 6u: { return select(select(b, a, a >= b), vec4(not_a_number()), unordered(a, b)); } // maximum
        case 7u: { return mask((a == b) & !unordered(a, b)); } // equal
        case 8u: { return mask((a != b) | unordered(a, b)); } // not_equal
        case 9u: { return mask((a < b) & !unordered(a, b)); } // less
        case 10u: { return mask((a <= b) & !unordered(a, b)); } // less_equal
        case 11u: { return mask((a > b) & !unordered(a, b)); } // greater
        case 12u: { return mask((a >= b) & !unordered(a, b)); } // greater_equal
        default: { return a; }
    }
}

fn mask(condition: vec4<bool>) -> vec4<f32> {
    return select(vec4(0.0), vec4(1.0), condition);
}

const ONE_BITS: u32 = 0x3f800000u;
const LEAST_NORMAL: u32 = 0x00800000u;

// a^b with the special cases of C (ISO/IEC 9899, annex F.10.4.4), by bits: exp2 and log2 need not have any.
fn power(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let base = magnitudes(a);
    let exponent = magnitudes(b);
    // Of a base of 0 or infinity and of an infinite exponent, the power is infinite or 0. Below the normal
    // numbers, whose product with an infinite logarithm may be NaN, exponents make 1 of anything else.
    let s = without_subnormals(abs(a));
    let usual = select(exp2(b * (log2(s.x) + s.exponent)), vec4(1.0), exponent < vec4(LEAST_NORMAL));
    let upwards = (base > vec4(ONE_BITS)) == !below_zero(b);
    let extreme = select(select(vec4(0.0), vec4(infinity()), upwards), vec4(1.0), base == vec4(ONE_BITS));
    let is_extreme = (base == vec4(0u)) | (base == vec4(INFINITY_BITS)) | (exponent == vec4(INFINITY_BITS));
    let magnitude = select(usual, extreme, is_extreme);
    // Below 0 a whole exponent puts the sign back if it is odd; any other gives NaN.
    let whole = (floor(b) == b) & (exponent >= vec4(ONE_BITS));
    let odd = whole & (floor(0.5 * b) != 0.5 * b);
    let undefined = !whole & !is_extreme;
    let below = select(select(magnitude, -magnitude, odd), vec4(not_a_number()), undefined);
    let signed = select(magnitude, below, below_zero(a));
    // Small whole exponents by multiplication: exact where logarithms are not.
    let exact = select(select(signed, a * a, b == vec4(2.0)), a, b == vec4(1.0));
    let known = select(exact, vec4(not_a_number()), unordered(a, b));
    return select(known, vec4(1.0), (exponent == vec4(0u)) | (bitcast<vec4<u32>>(a) == vec4(ONE_BITS)));
}

// Looked at as words without their sign, so that a driver that flushes subnormals sees them too.
fn choose(condition: vec4<f32>, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return select(b, a, magnitudes(condition) != vec4(0u));
}

fn normalise(
    x: vec4<f32>, mean: vec4<f32>, variance: vec4<f32>, scale: vec4<f32>, shift: vec4<f32>, epsilon: f32,
) -> vec4<f32> {
    let far = abs(mean) >= vec4(0x1p100f);
    let rstd = inverseSqrt(variance + epsilon) * select(ONE, vec4(2.0), far);
    let d = select(x, 0.5 * x, far) - select(mean, 0.5 * mean, far);
    return d * (rstd * scale) + shift;
}
