// Elementwise functions of two operands with NumPy broadcasting: y = f(a, b).
//
// The loop nest over the output has up to six merged dimensions; an operand's stride is 0 along
// dimensions it is stretched over. A thread makes one element (`scalar`) or four neighbouring ones
// (`quad` and its in-place forms, where extents and strides count vectors of four; an operand that
// is stretched along the innermost dimension is marked as A_SPLAT or B_SPLAT, and its strides still
// count elements). Workgroups of 64 in a folded grid. The in-place forms overwrite the operand that has the output's shape.
// KIND numbers the functions as the rows of binary.rs, whose names the cases bear; RANK is the number of
// merged dimensions. Of NaN every function is NaN but the comparisons, all of which are 0 but not_equal, and
// powers of 1 and to 0.

override KIND: u32 = 0u;
override RANK: u32 = 1u;
override A_SPLAT: bool = false;
override B_SPLAT: bool = false;

struct Params {
    d_lo: vec4<u32>,
    a_lo: vec4<u32>,
    b_lo: vec4<u32>,
    d_hi: vec2<u32>,
    a_hi: vec2<u32>,
    b_hi: vec2<u32>,
    n: u32,
    unused: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read> a4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
var<immediate> p: Params;

fn f(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    switch KIND {
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

fn read_a(c: Coords) -> vec4<f32> {
    let at = offset(c, p.a_lo, p.a_hi);
    if A_SPLAT {
        let quad = a4[at / 4u];
        return vec4(quad[at % 4u]);
    }
    return a4[at];
}

fn read_b(c: Coords) -> vec4<f32> {
    let at = offset(c, p.b_lo, p.b_hi);
    if B_SPLAT {
        let quad = b4[at / 4u];
        return vec4(quad[at % 4u]);
    }
    return b4[at];
}

@compute @workgroup_size(64)
fn scalar(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    let left = a[offset(c, p.a_lo, p.a_hi)];
    let right = b[offset(c, p.b_lo, p.b_hi)];
    y[i] = f(vec4(left), vec4(right)).x;
}

@compute @workgroup_size(64)
fn quad(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y4[i] = f(read_a(c), read_b(c));
}

@compute @workgroup_size(64)
fn quad_over_a(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y4[i] = f(y4[i], read_b(c));
}

@compute @workgroup_size(64)
fn quad_over_b(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y4[i] = f(read_a(c), y4[i]);
}
