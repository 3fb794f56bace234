// Moves elements without looking at them: transpose, broadcast, slice, pad, concat.
//
//   y[y_at + sum c_k t_k] = x[x_at + sum c_k s_k]   for every coordinate c of a loop nest
//
// Extents d, source strides s and destination strides t have up to six merged dimensions, RANK of
// them in use. Elements are 32-bit words of either dtype. `move_words` handles one element per
// thread, `move_quads` vectors of four, in which extents, strides and offsets then count. `fill`
// sets the first n words of y, a word per thread. Workgroups of 64 in a folded grid.

override RANK: u32 = 1u;

struct MoveParams {
    d_lo: vec4<u32>,
    s_lo: vec4<u32>,
    t_lo: vec4<u32>,
    d_hi: vec2<u32>,
    s_hi: vec2<u32>,
    t_hi: vec2<u32>,
    x_at: u32,
    y_at: u32,
    n: u32,
    unused: u32,
}

struct FillParams {
    n: u32,
    word: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(0) var<storage, read> x4: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y4: array<vec4<u32>>;
var<immediate> p: MoveParams;
var<immediate> q: FillParams;

@compute @workgroup_size(64)
fn move_words(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y[p.y_at + offset(c, p.t_lo, p.t_hi)] = x[p.x_at + offset(c, p.s_lo, p.s_hi)];
}

@compute @workgroup_size(64)
fn move_quads(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let c = coords(i, RANK, p.d_lo, p.d_hi);
    y4[p.y_at + offset(c, p.t_lo, p.t_hi)] = x4[p.x_at + offset(c, p.s_lo, p.s_hi)];
}

@compute @workgroup_size(64)
fn fill(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < q.n { y[i] = q.word; }
}
