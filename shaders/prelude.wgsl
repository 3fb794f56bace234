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
    return select(exp(x) - 1.0, p, abs(x) < vec4(0.5));
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
    let e = exp(-abs(x));
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
    return max(x, vec4(0.0)) + log1p(exp(-abs(x)));
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
