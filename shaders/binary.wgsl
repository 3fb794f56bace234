// Elementwise functions of two operands with NumPy broadcasting: y = binary(KIND, a, b).
//
// The loop nest over the output has up to six merged dimensions; an operand's stride is 0 along
// dimensions it is stretched over. A thread makes one element (`scalar`) or four neighbouring ones
// (`quad` and its in-place forms, where extents and strides count vectors of four; an operand that
// is stretched along the innermost dimension is marked as A_SPLAT or B_SPLAT, and its strides still
// count elements). Workgroups of 64 in a folded grid. The in-place forms overwrite the operand that has the output's shape.
// KIND is a number of `elementwise.wgsl`, whose functions these are; RANK is the number of merged dimensions.

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
    y[i] = binary(KIND, vec4(left), vec4(right)).x;
}

@compute @workgroup_size(64)
fn quad(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y4[i] = binary(KIND, read_a(c), read_b(c));
}

@compute @workgroup_size(64)
fn quad_over_a(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y4[i] = binary(KIND, y4[i], read_b(c));
}

@compute @workgroup_size(64)
fn quad_over_b(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y4[i] = binary(KIND, read_a(c), y4[i]);
}
