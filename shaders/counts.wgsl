// Counts that classification metrics are made of.
//
//   hits of a row     1 where fewer than k classes are ahead of the target's class l, else 0; ahead are
//                     the classes j with x[j] > x[l], and with TIES those with x[j] = x[l] and j < l.
//                     0 where the row holds a NaN or has no class l
//   predicted class   the first largest x[j] of a row; where the row holds a NaN, the first class that is
//                     not l
//   threshold counts  of class c, above threshold t: how many of the rows, by their weights, have a target
//                     over 1/2, and how many have not; before the first threshold, of all rows. A NaN in x
//                     is on the wrong side of every threshold
//
// x is [rows, classes], contiguous; the labels of `labels` are one index per row, the targets of `soft`
// and of the counts have the shape of x, and l of such a row is its first largest element. The counts are
// [classes, levels, 2], where levels is one more than there are thresholds.
//
//   labels, soft, predicted_labels, predicted_soft
//                 a thread handles a row
//   labels_whole, soft_whole   a workgroup of 256 handles all rows, and adds their hits up. For few rows
//   count         a thread makes one count of one class, over every parts-th sample of `steps` rows; a
//                 sample counts mask[sample] times, and whatever it holds not at all where that is 0. `join`
//                 of matmul_blocks.wgsl adds the parts up
//
// Workgroups of 64 in a folded grid. NaN is told by its bits, since drivers may turn comparisons of floats
// around as if there were none.

override TIES: bool = false;

struct RowParams {
    n: u32,
    classes: u32,
    k: u32,
    // What the sum of all hits is multiplied by.
    scale: f32,
}

struct CountParams {
    n: u32,
    classes: u32,
    levels: u32,
    batch: u32,
    steps: u32,
    parts: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> label: array<u32>;
@group(0) @binding(1) var<storage, read> target_of: array<f32>;
@group(0) @binding(2) var<storage, read_write> hit: array<f32>;
@group(0) @binding(2) var<storage, read_write> predicted: array<u32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read> threshold: array<f32>;
@group(0) @binding(3) var<storage, read_write> whole: array<f32>;
@group(0) @binding(4) var<storage, read_write> counted: array<vec2<f32>>;
var<immediate> row_p: RowParams;
var<immediate> count_p: CountParams;

fn hit_of(row: u32, l: u32) -> f32 {
    if l >= row_p.classes { return 0.0; }
    let base = row * row_p.classes;
    let own = x[base + l];
    var ahead = 0u;
    var broken = false;
    for (var j = 0u; j < row_p.classes; j++) {
        let other = x[base + j];
        broken = broken || is_nan(other);
        ahead += select(0u, 1u, other > own || (TIES && j < l && other == own));
    }
    return select(0.0, 1.0, ahead < row_p.k && !broken);
}

fn target_class(row: u32) -> u32 {
    let base = row * row_p.classes;
    var best = in_order(bitcast<i32>(target_of[base]));
    var l = 0u;
    for (var j = 1u; j < row_p.classes; j++) {
        let candidate = in_order(bitcast<i32>(target_of[base + j]));
        if candidate > best {
            best = candidate;
            l = j;
        }
    }
    return l;
}

fn predicted_class(row: u32, l: u32) -> u32 {
    let base = row * row_p.classes;
    var best = x[base];
    var first = 0u;
    var broken = is_nan(best);
    for (var j = 1u; j < row_p.classes; j++) {
        let candidate = x[base + j];
        broken = broken || is_nan(candidate);
        if candidate > best {
            best = candidate;
            first = j;
        }
    }
    return select(first, select(0u, 1u, l == 0u), broken);
}

@compute @workgroup_size(64)
fn labels(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= row_p.n { return; }
    hit[row] = hit_of(row, label[row]);
}

@compute @workgroup_size(64)
fn soft(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= row_p.n { return; }
    hit[row] = hit_of(row, target_class(row));
}

@compute @workgroup_size(256)
fn labels_whole(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var row = lane; row < row_p.n; row += 256u) {
        let own = hit_of(row, label[row]);
        hit[row] = own;
        part += own;
    }
    let sum = workgroup_sum(lane, part);
    if lane == 0u { whole[0] = sum * row_p.scale; }
}

@compute @workgroup_size(256)
fn soft_whole(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var row = lane; row < row_p.n; row += 256u) {
        let own = hit_of(row, target_class(row));
        hit[row] = own;
        part += own;
    }
    let sum = workgroup_sum(lane, part);
    if lane == 0u { whole[0] = sum * row_p.scale; }
}

@compute @workgroup_size(64)
fn predicted_labels(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= row_p.n { return; }
    predicted[row] = predicted_class(row, label[row]);
}

@compute @workgroup_size(64)
fn predicted_soft(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear_index(id, 64u);
    if row >= row_p.n { return; }
    predicted[row] = predicted_class(row, target_class(row));
}

@compute @workgroup_size(64)
fn count(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= count_p.n { return; }
    let row = i / count_p.levels;
    let level = i - row * count_p.levels;
    let first = row / count_p.classes;
    let c = row - first * count_p.classes;
    let all = level == 0u;
    let limit = threshold[max(level, 1u) - 1u];
    var yes = 0.0;
    var no = 0.0;
    for (var b = first; b < count_p.batch; b += count_p.parts) {
        let weight = mask[b];
        if weight == 0.0 { continue; }
        var at = b * count_p.steps * count_p.classes + c;
        for (var s = 0u; s < count_p.steps; s++) {
            let score = x[at];
            let positive = target_of[at] > 0.5 && !is_nan(target_of[at]);
            let above = all || select(score > limit, !positive, is_nan(score));
            yes += select(0.0, weight, above && positive);
            no += select(0.0, weight, above && !positive);
            at += count_p.classes;
        }
    }
    counted[i] = vec2(yes, no);
}
