// Softmax and log-softmax along one axis, and their gradients.
//
//   softmax           y = exp(x - m) / sum,   m the largest x of the row, sum of exp(x - m)
//   log_softmax       y = x - m - log(sum)
//   their gradients   dx = v (dy - total), total = sum of v dy
//                     dx = dy - exp(v) total, total = sum of dy;   v is the forward's y
//
// Arrays are [outer, axis, inner], contiguous; a row is the `axis` elements that share outer and
// inner index, `inner` apart, and n is the number of rows. Subtracting m keeps exp from
// overflowing and makes one term of the sum 1. A NaN, or an infinity as m, makes the sum and so the row NaN.
//
//   lanes, lanes_grad   a thread per row, workgroups of 64; sums are blocked by 64 so that errors
//                       stay small. For many or short rows.
//   tree, tree_grad     a workgroup of 256 per row, through workgroup memory. For long rows on
//                       GPUs.
//
// Folded grids. KIND: 0 softmax, 1 log_softmax.

override KIND: u32 = 0u;

struct Params {
    n: u32,
    axis: u32,
    inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
var<immediate> p: Params;

// The first element of a row.
fn base_of(row: u32) -> u32 {
    return row / p.inner * (p.axis * p.inner) + row % p.inner;
}

// What normalises a row: 1 / sum, or log(sum).
fn norm_of(total: f32) -> f32 {
    if KIND == 0u { return 1.0 / total; }
    return log_of(total);
}

fn value(shifted: f32, norm: f32) -> f32 {
    if KIND == 0u { return exp(shifted) * norm; }
    return shifted - norm;
}

// A term of the gradient's sum.
fn term(i: u32) -> f32 {
    if KIND == 0u { return v[i] * dy[i]; }
    return dy[i];
}

fn slope(i: u32, total: f32) -> f32 {
    if KIND == 0u { return v[i] * (dy[i] - total); }
    return dy[i] - select(exp(v[i]), v[i], is_nan(v[i])) * total;
}

@compute @workgroup_size(64)
fn lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= p.n { return; }
    let base = base_of(row);
    var m = x[base];
    var top = magnitude_of(m);
    for (var k = 1u; k < p.axis; k++) {
        let next = x[base + k * p.inner];
        m = max(m, next);
        top = max(top, magnitude_of(next));
    }
    var total = 0.0;
    for (var block = 0u; block < p.axis; block += 64u) {
        let stop = min(block + 64u, p.axis);
        var part = 0.0;
        for (var k = block; k < stop; k++) { part += exp(x[base + k * p.inner] - m); }
        total += part;
    }
    let norm = norm_of(sum_of_row(total, m, top));
    for (var k = 0u; k < p.axis; k++) {
        let i = base + k * p.inner;
        y[i] = value(x[i] - m, norm);
    }
}

@compute @workgroup_size(256)
fn tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if row >= p.n { return; }
    let base = base_of(row);
    var m = -infinity();
    var top = 0u;
    for (var k = lane; k < p.axis; k += 256u) {
        let next = x[base + k * p.inner];
        m = max(m, next);
        top = max(top, magnitude_of(next));
    }
    m = workgroup_max(lane, m);
    var total = 0.0;
    for (var k = lane; k < p.axis; k += 256u) { total += exp(x[base + k * p.inner] - m); }
    let norm = norm_of(workgroup_sum(lane, sum_of_row(total, m, top)));
    for (var k = lane; k < p.axis; k += 256u) {
        let i = base + k * p.inner;
        y[i] = value(x[i] - m, norm);
    }
}

@compute @workgroup_size(64)
fn lanes_grad(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= p.n { return; }
    let base = base_of(row);
    var total = 0.0;
    for (var block = 0u; block < p.axis; block += 64u) {
        let stop = min(block + 64u, p.axis);
        var part = 0.0;
        for (var k = block; k < stop; k++) { part += term(base + k * p.inner); }
        total += part;
    }
    for (var k = 0u; k < p.axis; k++) {
        let i = base + k * p.inner;
        dx[i] = slope(i, total);
    }
}

@compute @workgroup_size(256)
fn tree_grad(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    if row >= p.n { return; }
    let base = base_of(row);
    var part = 0.0;
    for (var k = lane; k < p.axis; k += 256u) { part += term(base + k * p.inner); }
    let total = workgroup_sum(lane, part);
    for (var k = lane; k < p.axis; k += 256u) {
        let i = base + k * p.inner;
        dx[i] = slope(i, total);
    }
}
