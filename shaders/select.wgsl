// y = a where the condition is not zero, else b; all three broadcast to y.
//
// The loop nest over the output has up to six merged dimensions, RANK of them in use; an operand's
// stride is 0 along dimensions it is stretched over. A thread makes one element, a workgroup 64,
// in a folded grid. Elements are 32-bit words of either dtype; the condition is
// f32, looked at as a word without its sign, so that a driver that flushes subnormals sees them too.

override RANK: u32 = 1u;

struct Params {
    d_lo: vec4<u32>,
    c_lo: vec4<u32>,
    a_lo: vec4<u32>,
    b_lo: vec4<u32>,
    d_hi: vec2<u32>,
    c_hi: vec2<u32>,
    a_hi: vec2<u32>,
    b_hi: vec2<u32>,
    n: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

@group(0) @binding(0) var<storage, read> condition: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
var<immediate> p: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    if (condition[offset(c, p.c_lo, p.c_hi)] & 0x7fffffffu) != 0u {
        y[i] = a[offset(c, p.a_lo, p.a_hi)];
    } else {
        y[i] = b[offset(c, p.b_lo, p.b_hi)];
    }
}
