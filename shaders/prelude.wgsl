// Helpers shared by all kernels, appended after each kernel's own source.

// Workgroups along x in a folded one-dimensional grid; a longer grid continues in y.
const FOLD: u32 = 65535u;

// Infinity, made at run time: constant expressions must be finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn not_a_number() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

// The bits of infinity: those of numbers, their sign left out, are below, and those of NaN above. NaN is told by
// its bits, since drivers may turn comparisons of floats around, and choose in max, min and clamp, as if there
// were none.
const INFINITY_BITS: u32 = 0x7f800000u;
const MAGNITUDE_BITS: u32 = 0x7fffffffu;

// The bits without the sign.
fn magnitude_of(x: f32) -> u32 {
    return bitcast<u32>(x) & MAGNITUDE_BITS;
}

fn magnitudes(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4(MAGNITUDE_BITS);
}

fn is_nan(x: f32) -> bool {
    return magnitude_of(x) > INFINITY_BITS;
}

fn are_nan(x: vec4<f32>) -> vec4<bool> {
    return magnitudes(x) > vec4(INFINITY_BITS);
}

// Where either of two is NaN.
fn unordered(a: vec4<f32>, b: vec4<f32>) -> vec4<bool> {
    return max(magnitudes(a), magnitudes(b)) > vec4(INFINITY_BITS);
}

// y, but NaN where x is.
fn keep_nan(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return select(y, x, are_nan(x));
}

// Where x is below 0, or -0; NaN is neither. As signed integers, the bits of those come first, and then
// those of NaN with a sign.
fn below_zero(x: vec4<f32>) -> vec4<bool> {
    return bitcast<vec4<i32>>(x) <= vec4(-0x800000);
}

fn at_most_zero(x: vec4<f32>) -> vec4<bool> {
    return below_zero(x) | (bitcast<vec4<u32>>(x) == vec4(0u));
}

// The larger of two, and NaN where either is.
fn larger(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return select(max(a, b), vec4(not_a_number()), unordered(a, b));
}

// Integers in the order of the numbers whose bits are given: zeros are equal, subnormal numbers
// differ on every device, and a NaN is above infinity.
fn in_order(bits: i32) -> i32 {
    let magnitude = bits & 0x7fffffff;
    return select(min(magnitude, 0x7f800001), -magnitude, bits < 0 && magnitude <= 0x7f800000);
}

// The sum of exp(x - m) over a row, or a part of one, of which m is the largest element and `top` the largest
// of the bits without the sign: NaN where one of x is, or m infinite. Some drivers' exp loses a NaN.
fn sum_of_row(total: f32, m: f32, top: u32) -> f32 {
    return select(total, not_a_number(), max(top, magnitude_of(m) + 1u) > INFINITY_BITS);
}

// The index of this invocation in a folded grid of workgroups with `size` invocations along x.
fn linear_index(global_id: vec3<u32>, size: u32) -> u32 {
    return global_id.y * (FOLD * size) + global_id.x;
}

// The index of this workgroup in a folded grid.
fn linear_group(workgroup_id: vec3<u32>) -> u32 {
    return workgroup_id.y * FOLD + workgroup_id.x;
}

// Coordinates of a loop nest of up to six dimensions: hi.xy, then lo.xyzw, innermost last.
struct Coords {
    lo: vec4<u32>,
    hi: vec2<u32>,
}

// The coordinates of iteration `i` of a nest with extents d_hi.xy, d_lo.xyzw, of which the last
// `rank` are in use.
fn coords(i: u32, rank: u32, d_lo: vec4<u32>, d_hi: vec2<u32>) -> Coords {
    var c = Coords(vec4(0u), vec2(0u));
    if rank == 1u {
        c.lo.w = i;
        return c;
    }
    var rest = i / d_lo.w;
    c.lo.w = i - rest * d_lo.w;
    if rank == 2u {
        c.lo.z = rest;
        return c;
    }
    var next = rest / d_lo.z;
    c.lo.z = rest - next * d_lo.z;
    if rank == 3u {
        c.lo.y = next;
        return c;
    }
    rest = next / d_lo.y;
    c.lo.y = next - rest * d_lo.y;
    if rank == 4u {
        c.lo.x = rest;
        return c;
    }
    next = rest / d_lo.x;
    c.lo.x = rest - next * d_lo.x;
    if rank == 5u {
        c.hi.y = next;
        return c;
    }
    rest = next / d_hi.y;
    c.hi.y = next - rest * d_hi.y;
    c.hi.x = rest;
    return c;
}

// The element that coordinates reach under strides.
fn offset(c: Coords, s_lo: vec4<u32>, s_hi: vec2<u32>) -> u32 {
    return dot(c.lo, s_lo) + dot(c.hi, s_hi);
}

// exp(x), of which some drivers make a number where x is NaN.
fn exponential(x: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, exp(x));
}

// A number whose logarithm drivers take right, and what to add to the logarithm to base 2: some read a
// subnormal number by the exponent in its bits.
struct Scaled {
    x: vec4<f32>,
    exponent: vec4<f32>,
}

fn without_subnormals(x: vec4<f32>) -> Scaled {
    let small = magnitudes(x) < vec4(0x00800000u);
    return Scaled(select(x, x * 0x1p32, small), select(vec4(0.0), vec4(-32.0), small));
}

// log(x), of which some drivers make a number where x is NaN.
fn log_of(x: f32) -> f32 {
    return select(log(x), x, is_nan(x));
}

// exp(x) - 1 without cancellation near 0: a Taylor polynomial for |x| < 1/2.
fn expm1(x: vec4<f32>) -> vec4<f32> {
    var p = vec4(1.0 / 40320.0);
    p = fma(p, x, vec4(1.0 / 5040.0));
    p = fma(p, x, vec4(1.0 / 720.0));
    p = fma(p, x, vec4(1.0 / 120.0));
    p = fma(p, x, vec4(1.0 / 24.0));
    p = fma(p, x, vec4(1.0 / 6.0));
    p = fma(p, x, vec4(0.5));
    p = fma(p, x * x, x);
    return select(exponential(x) - 1.0, p, abs(x) < vec4(0.5));
}

// log(1 + x) for x in [0, 1], as 2 artanh(x / (2 + x)).
fn log1p(x: vec4<f32>) -> vec4<f32> {
    let s = x / (2.0 + x);
    let q = s * s;
    var p = vec4(1.0 / 15.0);
    p = fma(p, q, vec4(1.0 / 13.0));
    p = fma(p, q, vec4(1.0 / 11.0));
    p = fma(p, q, vec4(1.0 / 9.0));
    p = fma(p, q, vec4(1.0 / 7.0));
    p = fma(p, q, vec4(0.2));
    p = fma(p, q, vec4(1.0 / 3.0));
    p = fma(p, q, vec4(1.0));
    return 2.0 * s * p;
}

// 1 / (1 + exp(-x)) with an exponent that never overflows.
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exponential(-abs(x));
    return select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
}

// tanh without cancellation near 0 and without overflow.
fn tanh_exact(x: vec4<f32>) -> vec4<f32> {
    let t = expm1(-2.0 * abs(x));
    let y = -t / (2.0 + t);
    return select(y, -y, x < vec4(0.0));
}

// log(1 + exp(x)).
fn softplus(x: vec4<f32>) -> vec4<f32> {
    return max(x, vec4(0.0)) + log1p(exponential(-abs(x)));
}

// The complementary error function for z >= 0, to a relative 1.2e-7 (the Chebyshev fit of
// Numerical Recipes, section 6.2.2).
fn erfc(z: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = vec4(0.17087277);
    p = fma(p, t, vec4(-0.82215223));
    p = fma(p, t, vec4(1.48851587));
    p = fma(p, t, vec4(-1.13520398));
    p = fma(p, t, vec4(0.27886807));
    p = fma(p, t, vec4(-0.18628806));
    p = fma(p, t, vec4(0.09678418));
    p = fma(p, t, vec4(0.37409196));
    p = fma(p, t, vec4(1.00002368));
    p = fma(p, t, vec4(-1.26551223));
    return t * exp(p - z * z);
}

// The standard normal distribution function.
fn normal_cdf(x: vec4<f32>) -> vec4<f32> {
    let tail = 0.5 * erfc(abs(x) * 0.70710678);
    return select(tail, 1.0 - tail, x > vec4(0.0));
}

// Four random words from four counter words: the PCG hash of Jarzynski and Olano, JCGT 9(3), 2020;
// `pcg4d` in random.rs.
fn pcg4d(counter: vec4<u32>) -> vec4<u32> {
    let v = mix_words(counter * 1664525u + 1013904223u);
    return mix_words(v ^ (v >> vec4(16u)));
}

fn mix_words(words: vec4<u32>) -> vec4<u32> {
    var v = words;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}

// The words of elements 4 quad to 4 quad + 3 of a random operator: `Stream::operator_words` in
// random.rs.
fn random_words(quad: u32, stream: u32, step: u32, seed: u32) -> vec4<u32> {
    return pcg4d(vec4(quad | 0x80000000u, stream, step, seed));
}

// Dropout by these words: scale x where the upper 24 bits of a word are past the threshold, else 0.
fn dropped(x: vec4<f32>, words: vec4<u32>, threshold: u32, scale: f32) -> vec4<f32> {
    return select(vec4(0.0), scale * x, (words >> vec4(8u)) >= vec4(threshold));
}

// Four standard normal numbers from four words, by the Box-Muller transform of two pairs, each a
// radius and an angle; good to 12 units in the last place. `normals` in random.rs.
fn random_normals(words: vec4<u32>) -> vec4<f32> {
    let r = normal_radius(words.xz);
    let t = cosine_sine(words.yw >> vec2(8u));
    let across = r * t.cosine;
    let up = r * t.sine;
    return vec4(across.x, up.x, across.y, up.y);
}

// sqrt(-2 log(u)) for u in (0, 1), an odd multiple of 2^-24 from the upper 23 bits of a word.
fn normal_radius(words: vec2<u32>) -> vec2<f32> {
    let u = vec2<f32>((words >> vec2(9u)) * 2u + 1u) * (1.0 / 16777216.0);
    // u = m 2^e with m in [sqrt(1/2), sqrt(2)), whose first number has these bits.
    let from_root = bitcast<vec2<u32>>(u) - 0x3f3504f3u;
    let e = vec2<f32>(bitcast<vec2<i32>>(from_root) >> vec2(23u));
    let m = bitcast<vec2<f32>>((from_root & vec2(0x007fffffu)) + 0x3f3504f3u);
    // log(m) = 2 artanh((m - 1) / (m + 1)); WGSL's own log is only good to 2^-21 near 1.
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    var p = vec2(1.0 / 9.0);
    p = fma(p, q, vec2(1.0 / 7.0));
    p = fma(p, q, vec2(0.2));
    p = fma(p, q, vec2(1.0 / 3.0));
    p = fma(p, q, vec2(1.0));
    return sqrt(-2.0 * (e * 0.6931471805599453 + 2.0 * s * p));
}

struct CosineSine {
    cosine: vec2<f32>,
    sine: vec2<f32>,
}

// Cosine and sine of k 2^-24 turns, k < 2^24. WGSL's own are only good to 2^-11. The nearest quarter
// turn is taken off in integers, and Taylor polynomials do the rest, at most pi / 4.
fn cosine_sine(k: vec2<u32>) -> CosineSine {
    let quarter = (k + (1u << 21u)) >> vec2(22u);
    let a = vec2<f32>(bitcast<vec2<i32>>(k - (quarter << vec2(22u)))) * (6.283185307179586 / 16777216.0);
    let z = a * a;
    var s = vec2(1.0 / 362880.0);
    s = fma(s, z, vec2(-1.0 / 5040.0));
    s = fma(s, z, vec2(1.0 / 120.0));
    s = fma(s, z, vec2(-1.0 / 6.0));
    s = fma(s, z * a, a);
    var c = vec2(-1.0 / 3628800.0);
    c = fma(c, z, vec2(1.0 / 40320.0));
    c = fma(c, z, vec2(-1.0 / 720.0));
    c = fma(c, z, vec2(1.0 / 24.0));
    c = fma(c, z, vec2(-0.5));
    c = fma(c, z, vec2(1.0));
    let odd = (quarter & vec2(1u)) != vec2(0u);
    let cosine = select(c, s, odd);
    let sine = select(s, c, odd);
    let left = ((quarter + 1u) & vec2(2u)) != vec2(0u);
    let below = (quarter & vec2(2u)) != vec2(0u);
    return CosineSine(select(cosine, -cosine, left), select(sine, -sine, below));
}
