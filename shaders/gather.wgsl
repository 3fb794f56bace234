// Rows of a table picked by index, the gradient of that, and one-hot rows.
//
//   gather       y[o, i, c] = x[o, index[i], c]
//   gather_grad  dx[o, r, c] = sum over i with index[i] = r of dy[o, i, c]; 0 for the row `padding`
//   one_hot      y[i, k] = 1 if index[i] = k else 0
//
// The table x is [outer, rows, inner], the picked rows y are [outer, count, inner], all contiguous;
// one_hot has rows = depth. An index past the last row reads the last, so that an index made on the
// device cannot reach outside the buffer; for one_hot it is a row of zeros.
//
// gather and gather_grad: a thread handles one element, in the _quads entries four neighbours, of
// which inner then counts; n is the number of threads. The elements that gather moves are 32-bit
// words of either dtype. A thread of gather_grad scans all indices, so no two threads write one
// element and the sum has a fixed order, blocked by 64 so that errors stay small; its cost is the
// table times the number of indices. Where that is much, gather_sorted.wgsl does it.
// one_hot: a thread per element. Workgroups of 64 in a folded grid.

struct Params {
    n: u32,
    rows: u32,
    count: u32,
    inner: u32,
    padding: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(0) var<storage, read> x4: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> hot: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> dy4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx4: array<vec4<f32>>;
var<immediate> p: Params;

// The row that index i names.
fn row(i: u32) -> u32 {
    return min(index[i], p.rows - 1u);
}

// The element of the table that element e of the result copies.
fn source(e: u32) -> u32 {
    let picked = e / p.inner;
    let outer = picked / p.count;
    return (outer * p.rows + row(picked % p.count)) * p.inner + e % p.inner;
}

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e < p.n { y[e] = x[source(e)]; }
}

@compute @workgroup_size(64)
fn gather_quads(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e < p.n { y4[e] = x4[source(e)]; }
}

@compute @workgroup_size(64)
fn gather_grad(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e >= p.n { return; }
    let at = e / p.inner;
    let r = at % p.rows;
    let base = at / p.rows * (p.count * p.inner) + e % p.inner;
    let count = select(p.count, 0u, r == p.padding);
    var total = 0.0;
    for (var block = 0u; block < count; block += 64u) {
        let stop = min(block + 64u, count);
        var part = 0.0;
        for (var i = block; i < stop; i++) {
            if row(i) == r { part += dy[base + i * p.inner]; }
        }
        total += part;
    }
    dx[e] = total;
}

@compute @workgroup_size(64)
fn gather_grad_quads(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e >= p.n { return; }
    let at = e / p.inner;
    let r = at % p.rows;
    let base = at / p.rows * (p.count * p.inner) + e % p.inner;
    let count = select(p.count, 0u, r == p.padding);
    var total = vec4(0.0);
    for (var block = 0u; block < count; block += 64u) {
        let stop = min(block + 64u, count);
        var part = vec4(0.0);
        for (var i = block; i < stop; i++) {
            if row(i) == r { part += dy4[base + i * p.inner]; }
        }
        total += part;
    }
    dx4[e] = total;
}

@compute @workgroup_size(64)
fn one_hot(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e < p.n { hot[e] = select(0.0, 1.0, index[e / p.rows] == e % p.rows); }
}
