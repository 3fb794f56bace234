// Losses that are fused with the function before them, and their gradients.
//
// Softmax cross-entropy of a row x of logits, with lse = log(sum exp(x)):
//   labels       y = lse - x[label];           dx = (softmax(x) - [j = label]) dy
//   soft         y = sum of t (lse - x);       dx = (softmax(x) sum(t) - t) dy
// Sigmoid cross-entropy of an element:
//   binary       y = max(x, 0) - x t + log(1 + exp(-|x|));   dx = (sigmoid(x) - t) dy
//
// x, t and dx are [rows, classes], label, y and dy [rows], contiguous; n is the number of rows. The
// largest logit m is subtracted before exp and, in lse - x, on both sides, so that large logits
// neither overflow nor cancel; a NaN, or an infinity as m, makes the sum and so the row NaN. A label past the last class counts as the last.
//
//   .._lanes   a thread per row, workgroups of 64; sums are blocked by 64 so that errors stay small
//   .._tree    a workgroup of 256 per row, through workgroup memory. For many classes on GPUs.
//   .._grad_.. the gradient alone, .._both_.. loss and gradient
//   .._whole   a workgroup of 256 for everything, a thread for every 256th row: also the sum of all y times
//              scale. For few rows of few classes.
//   binary, binary_grad   any shape; a thread handles four neighbouring elements, a workgroup 256,
//              and n counts vectors of four. Buffers are padded to 16 bytes.
//   binary_.._whole   as the others, of n elements
//
// Folded grids.

struct Params {
    n: u32,
    classes: u32,
    // What the sum of all losses is multiplied by.
    scale: f32,
}

struct BinaryParams {
    n: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(0) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(1) var<storage, read> t4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> dy4: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx4: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> whole: array<f32>;
var<immediate> p: Params;
var<immediate> q: BinaryParams;

// The largest logit of a row, and the sum of exp(x - largest).
struct Row {
    m: f32,
    total: f32,
}

fn label_of(row: u32) -> u32 {
    return min(labels[row], p.classes - 1u);
}

// A term of the loss under soft targets. A class without weight counts nothing, even where its
// logit is -inf.
fn soft_term(i: u32, m: f32, log_total: f32) -> f32 {
    return select(t[i] * (log_total - (x[i] - m)), 0.0, magnitude_of(t[i]) == 0u);
}

fn lane_row(base: u32) -> Row {
    var m = x[base];
    var top = magnitude_of(m);
    for (var j = 1u; j < p.classes; j++) {
        m = max(m, x[base + j]);
        top = max(top, magnitude_of(x[base + j]));
    }
    var total = 0.0;
    for (var block = 0u; block < p.classes; block += 64u) {
        let stop = min(block + 64u, p.classes);
        var part = 0.0;
        for (var j = block; j < stop; j++) { part += exp(x[base + j] - m); }
        total += part;
    }
    return Row(m, sum_of_row(total, m, top));
}

fn tree_row(base: u32, lane: u32) -> Row {
    var m = -infinity();
    var top = 0u;
    for (var j = lane; j < p.classes; j += 256u) {
        m = max(m, x[base + j]);
        top = max(top, magnitude_of(x[base + j]));
    }
    m = workgroup_max(lane, m);
    var part = 0.0;
    for (var j = lane; j < p.classes; j += 256u) { part += exp(x[base + j] - m); }
    return Row(m, workgroup_sum(lane, sum_of_row(part, m, top)));
}

// The loss of a row by labels, from its largest logit and its sum.
fn label_loss(row: u32, r: Row) -> f32 {
    return log_of(r.total) - (x[row * p.classes + label_of(row)] - r.m);
}

// The gradient of a row by labels, from its elements at `first` and then at every `step` further.
fn label_slopes(row: u32, r: Row, first: u32, step: u32) {
    let base = row * p.classes;
    let scale = 1.0 / r.total;
    let label = label_of(row);
    for (var j = first; j < p.classes; j += step) {
        let hit = select(0.0, 1.0, j == label);
        dx[base + j] = (exp(x[base + j] - r.m) * scale - hit) * dy[row];
    }
}

// The loss of a row under soft targets, by one thread.
fn soft_loss(row: u32, r: Row) -> f32 {
    let base = row * p.classes;
    let log_total = log_of(r.total);
    var sum = 0.0;
    for (var block = 0u; block < p.classes; block += 64u) {
        let stop = min(block + 64u, p.classes);
        var part = 0.0;
        for (var j = block; j < stop; j++) { part += soft_term(base + j, r.m, log_total); }
        sum += part;
    }
    return sum;
}

fn soft_loss_by_all(row: u32, r: Row, lane: u32) -> f32 {
    let base = row * p.classes;
    let log_total = log_of(r.total);
    var part = 0.0;
    for (var j = lane; j < p.classes; j += 256u) { part += soft_term(base + j, r.m, log_total); }
    return workgroup_sum(lane, part);
}

// The sum of a row's targets, by one thread.
fn target_sum(row: u32) -> f32 {
    let base = row * p.classes;
    var sum = 0.0;
    for (var block = 0u; block < p.classes; block += 64u) {
        let stop = min(block + 64u, p.classes);
        var part = 0.0;
        for (var j = block; j < stop; j++) { part += t[base + j]; }
        sum += part;
    }
    return sum;
}

fn target_sum_by_all(row: u32, lane: u32) -> f32 {
    let base = row * p.classes;
    var part = 0.0;
    for (var j = lane; j < p.classes; j += 256u) { part += t[base + j]; }
    return workgroup_sum(lane, part);
}

// The gradient of a row whose targets sum up to `sum`.
fn soft_slopes(row: u32, r: Row, sum: f32, first: u32, step: u32) {
    let base = row * p.classes;
    let scale = sum / r.total;
    for (var j = first; j < p.classes; j += step) {
        dx[base + j] = (exp(x[base + j] - r.m) * scale - t[base + j]) * dy[row];
    }
}

@compute @workgroup_size(64)
fn labels_lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row < p.n { y[row] = label_loss(row, lane_row(row * p.classes)); }
}

@compute @workgroup_size(256)
fn labels_tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if row >= p.n { return; }
    let r = tree_row(row * p.classes, lane);
    if lane == 0u { y[row] = label_loss(row, r); }
}

@compute @workgroup_size(64)
fn soft_lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row < p.n { y[row] = soft_loss(row, lane_row(row * p.classes)); }
}

@compute @workgroup_size(256)
fn soft_tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    if row >= p.n { return; }
    let sum = soft_loss_by_all(row, tree_row(row * p.classes, lane), lane);
    if lane == 0u { y[row] = sum; }
}

@compute @workgroup_size(64)
fn labels_grad_lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row < p.n { label_slopes(row, lane_row(row * p.classes), 0u, 1u); }
}

@compute @workgroup_size(256)
fn labels_grad_tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    if row >= p.n { return; }
    label_slopes(row, tree_row(row * p.classes, lane), lane, 256u);
}

@compute @workgroup_size(64)
fn soft_grad_lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row < p.n { soft_slopes(row, lane_row(row * p.classes), target_sum(row), 0u, 1u); }
}

@compute @workgroup_size(256)
fn soft_grad_tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    if row >= p.n { return; }
    let r = tree_row(row * p.classes, lane);
    soft_slopes(row, r, target_sum_by_all(row, lane), lane, 256u);
}

@compute @workgroup_size(64)
fn labels_both_lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= p.n { return; }
    let r = lane_row(row * p.classes);
    y[row] = label_loss(row, r);
    label_slopes(row, r, 0u, 1u);
}

@compute @workgroup_size(256)
fn labels_both_tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    if row >= p.n { return; }
    let r = tree_row(row * p.classes, lane);
    if lane == 0u { y[row] = label_loss(row, r); }
    label_slopes(row, r, lane, 256u);
}

@compute @workgroup_size(64)
fn soft_both_lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= p.n { return; }
    let r = lane_row(row * p.classes);
    y[row] = soft_loss(row, r);
    soft_slopes(row, r, target_sum(row), 0u, 1u);
}

@compute @workgroup_size(256)
fn soft_both_tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = linear_group(group);
    if row >= p.n { return; }
    let r = tree_row(row * p.classes, lane);
    let sum = soft_loss_by_all(row, r, lane);
    if lane == 0u { y[row] = sum; }
    soft_slopes(row, r, target_sum_by_all(row, lane), lane, 256u);
}

// The losses' sum times `scale`, from each thread's part of it.
fn put_whole(lane: u32, part: f32) {
    let sum = workgroup_sum(lane, part);
    if lane == 0u { whole[0] = sum * p.scale; }
}

@compute @workgroup_size(256)
fn labels_whole(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var row = lane; row < p.n; row += 256u) {
        let loss = label_loss(row, lane_row(row * p.classes));
        y[row] = loss;
        part += loss;
    }
    put_whole(lane, part);
}

@compute @workgroup_size(256)
fn soft_whole(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var row = lane; row < p.n; row += 256u) {
        let loss = soft_loss(row, lane_row(row * p.classes));
        y[row] = loss;
        part += loss;
    }
    put_whole(lane, part);
}

@compute @workgroup_size(256)
fn labels_both_whole(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var row = lane; row < p.n; row += 256u) {
        let r = lane_row(row * p.classes);
        let loss = label_loss(row, r);
        y[row] = loss;
        label_slopes(row, r, 0u, 1u);
        part += loss;
    }
    put_whole(lane, part);
}

@compute @workgroup_size(256)
fn soft_both_whole(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var row = lane; row < p.n; row += 256u) {
        let r = lane_row(row * p.classes);
        let loss = soft_loss(row, r);
        y[row] = loss;
        soft_slopes(row, r, target_sum(row), 0u, 1u);
        part += loss;
    }
    put_whole(lane, part);
}

fn binary_loss(z: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    return max(z, vec4(0.0)) - z * t + log1p(exp(-abs(z)));
}

@compute @workgroup_size(64)
fn binary(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < q.n { y4[i] = binary_loss(x4[i], t4[i]); }
}

@compute @workgroup_size(64)
fn binary_grad(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < q.n { dx4[i] = (sigmoid(x4[i]) - t4[i]) * dy4[i]; }
}

// The losses of a thread's elements.
fn binary_part(lane: u32) -> f32 {
    var part = 0.0;
    for (var i = lane; 4u * i < p.n; i += 256u) {
        let loss = binary_loss(x4[i], t4[i]);
        y4[i] = loss;
        part += dot(select(vec4(0.0), loss, vec4(4u * i) + vec4(0u, 1u, 2u, 3u) < vec4(p.n)), vec4(1.0));
    }
    return part;
}

@compute @workgroup_size(256)
fn binary_whole(@builtin(local_invocation_index) lane: u32) {
    put_whole(lane, binary_part(lane));
}

@compute @workgroup_size(256)
fn binary_both_whole(@builtin(local_invocation_index) lane: u32) {
    let part = binary_part(lane);
    for (var i = lane; 4u * i < p.n; i += 256u) { dx4[i] = (sigmoid(x4[i]) - t4[i]) * dy4[i]; }
    put_whole(lane, part);
}
