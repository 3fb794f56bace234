// Moves elements without looking at them: transpose, broadcast, slice, pad, concat.
//
//   y[y_at + sum c_k t_k] = x[x_at + sum c_k s_k]   for every coordinate c of a loop nest
//
// Extents d, source strides s and destination strides t have up to six merged dimensions, RANK of
// them in use. Elements are 32-bit words of either dtype. `move_words` handles one element per
// thread, `move_quads` vectors of four, in which extents, strides and offsets then count. `fill`
// sets the first n words of y, a word per thread. `pad_words`, `pad_floats` and `pad_quads` make every element
// of y, whose extents are d: those at before + k step along every axis, with k below the extents e, are
// x[x_at + sum k s], all others `word`; of words of either dtype, of f32 and of vectors of four f32. Workgroups of
// 64 in a folded grid.

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

struct PadParams {
    d_lo: vec4<u32>,
    e_lo: vec4<u32>,
    before_lo: vec4<u32>,
    step_lo: vec4<u32>,
    s_lo: vec4<u32>,
    d_hi: vec2<u32>,
    e_hi: vec2<u32>,
    before_hi: vec2<u32>,
    step_hi: vec2<u32>,
    s_hi: vec2<u32>,
    x_at: u32,
    word: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(0) var<storage, read> x4: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y4: array<vec4<u32>>;
@group(0) @binding(0) var<storage, read> f: array<f32>;
@group(0) @binding(1) var<storage, read_write> g: array<f32>;
@group(0) @binding(0) var<storage, read> f4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> g4: array<vec4<f32>>;
var<immediate> p: MoveParams;
var<immediate> q: FillParams;
var<immediate> r: PadParams;

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

const NOWHERE: u32 = 0xffffffffu;

fn padded() -> u32 {
    let lo = r.d_lo.x * r.d_lo.y * r.d_lo.z * r.d_lo.w;
    return lo * r.d_hi.x * r.d_hi.y;
}

// The place in x of element `i` of y. Coordinates before the first wrap around to large ones.
fn source_of(i: u32) -> u32 {
    let c = coords(i, RANK, r.d_lo, r.d_hi);
    let lo = c.lo - r.before_lo;
    let hi = c.hi - r.before_hi;
    let k = Coords(lo / r.step_lo, hi / r.step_hi);
    let steps = all(k.lo * r.step_lo == lo) && all(k.hi * r.step_hi == hi);
    let inside = steps && all(k.lo < r.e_lo) && all(k.hi < r.e_hi);
    return select(NOWHERE, r.x_at + offset(k, r.s_lo, r.s_hi), inside);
}

@compute @workgroup_size(64)
fn pad_words(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= padded() { return; }
    let at = source_of(i);
    let inside = at != NOWHERE;
    y[i] = select(r.word, x[select(0u, at, inside)], inside);
}

@compute @workgroup_size(64)
fn pad_floats(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= padded() { return; }
    let at = source_of(i);
    let inside = at != NOWHERE;
    g[i] = finish(i, 0u, 0u, select(bitcast<f32>(r.word), f[select(0u, at, inside)], inside));
}

@compute @workgroup_size(64)
fn pad_quads(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= padded() { return; }
    let at = source_of(i);
    let inside = at != NOWHERE;
    let v = select(vec4(bitcast<f32>(r.word)), f4[select(0u, at, inside)], inside);
    let e = 4u * i;
    g4[i] = vec4(
        finish(e, 0u, 0u, v.x),
        finish(e + 1u, 0u, 0u, v.y),
        finish(e + 2u, 0u, 0u, v.z),
        finish(e + 3u, 0u, 0u, v.w),
    );
}
