// Normalisation by mean and variance: batch, layer, group and instance norm, and their gradients.
//
//   xhat = (x - mean) rstd,   rstd = 1 / sqrt(variance + epsilon)
//   y    = xhat scale + shift
//   dx   = rstd (g - mean(g) - xhat mean(g xhat)),   g = dy scale, means over the group
//   dshift = sum of dy,   dscale = sum of dy xhat
//
// Mean and variance are those of the element's group. A group or a channel is a nest: `n` of them,
// the first element of each `start` apart; each has `count` elements in segments of `seg`, whose
// elements are `step` apart and which begin `seg_step` apart. Batch norm's groups are a segment per
// sample, or one of stride `step` if there are no spatial axes; the other kinds' are contiguous.
//
// The mean is kept as an anchor, the median of the group's first, middle and last element, and an
// offset from it, so that a mean far larger than the deviation from it costs nothing:
// xhat = (x - anchor) rstd + shift, shift = -offset rstd. Variances come from deviations from the
// mean, in two passes over blocks that are merged by the formula of Chan, Golub and LeVeque (1979);
// never from the difference of two large sums. A compiler that reassociates sums finds none here that
// it could turn into the difference of x and a rounded mean.
//
// No difference and no square overflows: a block whose elements are 2^47 or more from the anchor is
// worked on times 2^-84, and a group that has such a block is normalised at that size (the classes of
// Blue, A Portable Fortran Program to Find the Euclidean Norm of a Vector, ACM TOMS 4(1), 1978, two of
// which do here: epsilon outweighs squares that vanish). `stats` has six rows of one number per group:
// mean, variance, anchor, shift, rstd and size, where anchor and rstd are those of size x:
// xhat = (size x - anchor) rstd + shift. A size is 1 or a power of two below.
//
//   lanes, lanes_grad    a thread per group makes its statistics or sums, then its elements.
//                        Workgroups of 64. For many groups.
//   tree, tree_grad      the same by a workgroup of 256, whose threads read neighbours. For GPUs.
//   moments, sums        a thread makes one of `splits` parts of a nest's statistics or sums, in
//                        order of part, then nest. `sums` also serves dscale and dshift of kinds
//                        whose groups are not their channels. For few groups.
//   moments_tree, sums_tree   the same by workgroup
//   apply_parts, apply_grad_parts   a thread merges the parts of a nest and makes the elements of one of them;
//                        the first one of a nest also keeps what the parts come to
//   apply_apart, apply_grad_apart   the same by a workgroup of 256, which makes `block` elements. For GPUs.
//   join_sums            a thread per nest merges the parts
//   .._tracked           the same, and running = (1 - momentum) running + momentum new, the unbiased new variance
//
// Kernels of gradients are in `norm_grad.wgsl`, which is appended. `norm_elements.wgsl` makes the elements from
// given statistics; `norm_shared.wgsl` has what both use. Folded grids.

struct Params {
    n: u32,
    count: u32,
    seg: u32,
    start: u32,
    seg_step: u32,
    step: u32,
    // Parts of a nest, and elements of a part.
    splits: u32,
    part: u32,
    // The rows' length in stats.
    groups: u32,
    // A nest's first channel is (nest % channel_mod) * channel_mul; the next segment's is
    // channel_seg further.
    channel_mod: u32,
    channel_mul: u32,
    channel_seg: u32,
    // A nest's first group is nest / group_div; the next segment's is group_seg further, or the
    // next element's group_pos.
    group_div: u32,
    group_seg: u32,
    group_pos: u32,
    epsilon: f32,
    // For `_tracked`: where the running variances begin, the momentum, and momentum times what makes a variance
    // unbiased, count / (count - 1).
    variances: u32,
    momentum: f32,
    unbiased: f32,
    // Where the second numbers of parts begin; and for `_apart`, elements of a nest that a workgroup makes.
    seconds: u32,
    block: u32,
    blocks: u32,
    // DOWN: what anchors are made small by. With one factor in both products, a compiler would turn
    // x DOWN - anchor DOWN into (x - anchor) DOWN, which may overflow.
    down: f32,
}

@group(0) @binding(9) var<storage, read_write> first_out: array<f32>;
@group(0) @binding(10) var<storage, read_write> second_out: array<f32>;
@group(0) @binding(11) var<storage, read_write> running: array<f32>;
@group(0) @binding(12) var<storage, read> both_in: array<f32>;
var<immediate> p: Params;

// Moments of elements times `size`.
struct Moments {
    count: f32,
    // Less the anchor.
    mean: f32,
    // The sum of squared deviations from the mean.
    m2: f32,
    size: f32,
}

const DOWN: f32 = 0x1p-84f;
const UP: f32 = 0x1p84f;
// 2^47 DOWN: what is this far from the anchor, or further, is worked on times DOWN.
const FAR: f32 = 0x1p-37f;
// Bits of floats.
const SIGN: u32 = 0x80000000u;
const SIGNLESS: u32 = 0x7fffffffu;
const INFINITE: u32 = 0x7f800000u;

// ---------------------------------------------------------------- walking a nest

// A position in a nest: segment and element of it.
struct Cursor {
    k: u32,
    pos: u32,
}

fn cursor(e: u32) -> Cursor {
    let k = e / p.seg;
    return Cursor(k, e - k * p.seg);
}

fn address(base: u32, c: Cursor) -> u32 {
    return base + c.k * p.seg_step + c.pos * p.step;
}

// Moves on by `hop`, whose element count is less than a segment's.
fn moved(c: Cursor, hop: Cursor) -> Cursor {
    var next = Cursor(c.k + hop.k, c.pos + hop.pos);
    if next.pos >= p.seg {
        next.pos -= p.seg;
        next.k++;
    }
    return next;
}

// The channel of a position.
fn channel(first: u32, c: Cursor) -> u32 {
    if BY_ELEMENT { return first + c.pos; }
    return first + c.k * p.channel_seg;
}

fn first_channel(nest: u32) -> u32 {
    return nest % p.channel_mod * p.channel_mul;
}

// `v` with 0 for what is missing.
fn present(v: vec4<f32>, left: u32) -> vec4<f32> {
    return select(vec4(0.0), v, FOUR < vec4(left));
}

fn total(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

fn anchor_of(base: u32) -> f32 {
    let a = x[base];
    let b = x[address(base, cursor(p.count / 2u))];
    let c = x[address(base, cursor(p.count - 1u))];
    return max(min(a, b), min(max(a, b), c));
}

// ---------------------------------------------------------------- statistics

// Moments at another size: their own, or DOWN where their own is 1.
fn sized(m: Moments, size: f32) -> Moments {
    let by = select(1.0, size, m.size > size);
    return Moments(m.count, m.mean * by, (m.m2 * by) * by, size);
}

fn merged(one: Moments, other: Moments) -> Moments {
    let size = min(one.size, other.size);
    let a = sized(one, size);
    let b = sized(other, size);
    let count = a.count + b.count;
    let weight = b.count / count;
    let delta = b.mean - a.mean;
    let m2 = a.m2 + b.m2 + delta * delta * (a.count * weight);
    return Moments(count, a.mean + delta * weight, m2, size);
}

// What is left of the squared deviations once the error of their mean, which their sum shows, is
// taken off. NaN stays.
fn corrected(m2: f32, rest: f32, count: f32) -> f32 {
    return m2 - min(rest * rest / count, m2);
}

// The size of elements of which one is `far` from the anchor.
fn size_of(far: bool) -> f32 {
    return select(1.0, DOWN, far);
}

// An anchor times a size.
fn anchor_at(anchor: f32, size: f32) -> f32 {
    return select(anchor, anchor * p.down, size < 1.0);
}

// The moments of elements `lo` to `hi` of the nest at `base`, by blocks of at most 64.
fn moments_of(base: u32, anchor: f32, lo: u32, hi: u32) -> Moments {
    var all = Moments(0.0, 0.0, 0.0, 1.0);
    var c = cursor(lo);
    var e = lo;
    while e < hi {
        let n = min(min(64u, p.seg - c.pos), hi - e);
        let first = address(base, c);
        var at = first;
        var sum = vec4(0.0);
        var small = vec4(0.0);
        var furthest = vec4(0.0);
        for (var i = 0u; i < n; i += 4u) {
            let v = x_at(places(at, p.step, n - i));
            let d = v * DOWN - anchor * p.down;
            sum += present(v - anchor, n - i);
            small += present(d, n - i);
            furthest = max(furthest, abs(d));
            at += 4u * p.step;
        }
        let count = f32(n);
        let size = size_of(any(furthest >= vec4(FAR)));
        let mean = select(total(sum), total(small), size < 1.0) / count;
        let zero = anchor_at(anchor, size);
        at = first;
        var m2 = vec4(0.0);
        var rest = vec4(0.0);
        for (var i = 0u; i < n; i += 4u) {
            let v = x_at(places(at, p.step, n - i));
            let t = present((v * size - zero) - mean, n - i);
            m2 += t * t;
            rest += t;
            at += 4u * p.step;
        }
        all = merged(all, Moments(count, mean, corrected(total(m2), total(rest), count), size));
        e += n;
        c.pos += n;
        if c.pos == p.seg { c = Cursor(c.k + 1u, 0u); }
    }
    return all;
}

// A NaN or an infinity in a group makes all of it NaN.
fn norm_of(anchor: f32, m: Moments) -> Norm {
    if (bitcast<u32>(m.mean) & INFINITE) == INFINITE {
        let nan = not_a_number();
        return Norm(nan, nan, nan, nan);
    }
    let rstd = inverseSqrt(m.m2 / m.count + (p.epsilon * m.size) * m.size);
    return Norm(anchor_at(anchor, m.size), -m.mean * rstd, rstd, m.size);
}

fn write_stats(group: u32, m: Moments, norm: Norm) {
    let up = select(1.0, UP, norm.size < 1.0);
    let variance = (m.m2 / m.count * up) * up;
    new_stats[group] = (norm.anchor + m.mean) * up;
    new_stats[p.n + group] = select(norm.rstd, variance, norm.size <= 1.0);
    new_stats[2u * p.n + group] = norm.anchor;
    new_stats[3u * p.n + group] = norm.shift;
    new_stats[4u * p.n + group] = norm.rstd;
    new_stats[5u * p.n + group] = norm.size;
}

// The moments of elements `lo` to `hi`, by the workgroup.
fn workgroup_moments(lane: u32, base: u32, anchor: f32, lo: u32, hi: u32) -> Moments {
    let hop = cursor(256u);
    let count = f32(hi - lo);
    var part = vec2(0.0);
    var furthest = 0.0;
    var c = cursor(lo + lane);
    for (var e = lo + lane; e < hi; e += 256u) {
        let v = x[address(base, c)];
        let d = v * DOWN - anchor * p.down;
        part += vec2(v - anchor, d);
        furthest = max(furthest, abs(d));
        c = moved(c, hop);
    }
    let size = size_of(workgroup_max(lane, furthest) >= FAR);
    let both = workgroup_sum_pair(lane, part) / count;
    let mean = select(both.x, both.y, size < 1.0);
    let zero = anchor_at(anchor, size);
    part = vec2(0.0);
    c = cursor(lo + lane);
    for (var e = lo + lane; e < hi; e += 256u) {
        let t = (x[address(base, c)] * size - zero) - mean;
        part += vec2(t * t, t);
        c = moved(c, hop);
    }
    let sums = workgroup_sum_pair(lane, part);
    return Moments(count, mean, corrected(sums.x, sums.y, count), size);
}

// Keeps the moments of a part. The sign of m2, which has none of its own, tells the size.
fn write_part(i: u32, m: Moments) {
    first_out[i] = m.mean;
    second_out[i] = bitcast<f32>(bitcast<u32>(m.m2) & SIGNLESS | select(0u, SIGN, m.size < 1.0));
}

// Moves the running statistics of a group whose new ones this thread wrote.
fn track(group: u32) {
    let kept = 1.0 - p.momentum;
    let v = p.variances + group;
    running[group] = kept * running[group] + p.momentum * new_stats[group];
    running[v] = kept * running[v] + p.unbiased * new_stats[p.n + group];
}

// Elements `lo` to `hi` of y, segment by segment.
fn put_in_order(group: u32, norm: Norm, lo: u32, hi: u32) {
    let first = first_channel(group);
    var c = cursor(lo);
    var e = lo;
    while e < hi {
        let n = min(p.seg - c.pos, hi - e);
        var l = vec2(0.0);
        if !BY_ELEMENT { l = line(norm, channel(first, c)); }
        var at = address(group * p.start, c);
        for (var k = 0u; k < n; k += 4u) {
            let i = places(at, p.step, n - k);
            write(i, values(x_at(i), norm, l, places(first + c.pos + k, 1u, n - k)));
            at += 4u * p.step;
        }
        e += n;
        c = Cursor(c.k + 1u, 0u);
    }
}

fn normalise_by_one(group: u32) {
    let base = group * p.start;
    let anchor = anchor_of(base);
    let m = moments_of(base, anchor, 0u, p.count);
    let norm = norm_of(anchor, m);
    write_stats(group, m, norm);
    put_in_order(group, norm, 0u, p.count);
}

// Elements `lo` to `hi` of y, by the workgroup.
fn put_all(lane: u32, group: u32, norm: Norm, lo: u32, hi: u32) {
    let base = group * p.start;
    let first = first_channel(group);
    let hop = cursor(256u);
    var c = cursor(lo + lane);
    for (var e = lo + lane; e < hi; e += 256u) {
        let at = address(base, c);
        let l = line(norm, channel(first, c));
        y[at] = finish(at, 0u, 0u, (x[at] * norm.size - norm.anchor) * l.x + l.y);
        c = moved(c, hop);
    }
}

fn normalise_by_all(group: u32, lane: u32) {
    let base = group * p.start;
    let anchor = anchor_of(base);
    let m = workgroup_moments(lane, base, anchor, 0u, p.count);
    let norm = norm_of(anchor, m);
    if lane == 0u { write_stats(group, m, norm); }
    put_all(lane, group, norm, 0u, p.count);
}

@compute @workgroup_size(64)
fn lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let group = linear_index(id, 64u);
    if group < p.n { normalise_by_one(group); }
}

@compute @workgroup_size(64)
fn lanes_tracked(@builtin(global_invocation_id) id: vec3<u32>) {
    let group = linear_index(id, 64u);
    if group >= p.n { return; }
    normalise_by_one(group);
    track(group);
}

@compute @workgroup_size(256)
fn tree(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = linear_group(id);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if group >= p.n { return; }
    normalise_by_all(group, lane);
}

@compute @workgroup_size(256)
fn tree_tracked(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = linear_group(id);
    if group >= p.n { return; }
    normalise_by_all(group, lane);
    if lane == 0u { track(group); }
}

@compute @workgroup_size(64)
fn moments(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n * p.splits { return; }
    let split = i / p.n;
    let base = (i - split * p.n) * p.start;
    let lo = split * p.part;
    write_part(i, moments_of(base, anchor_of(base), lo, min(lo + p.part, p.count)));
}

@compute @workgroup_size(256)
fn moments_tree(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(id);
    if i >= p.n * p.splits { return; }
    let split = i / p.n;
    let base = (i - split * p.n) * p.start;
    let lo = split * p.part;
    let m = workgroup_moments(lane, base, anchor_of(base), lo, min(lo + p.part, p.count));
    if lane == 0u { write_part(i, m); }
}

// The moments of a part of which both numbers are at `i` and `p.seconds` further.
fn read_part(i: u32, split: u32) -> Moments {
    let bits = bitcast<u32>(both_in[p.seconds + i]);
    let size = size_of((bits & SIGN) != 0u);
    return Moments(f32(min(p.part, p.count - split * p.part)), both_in[i], bitcast<f32>(bits & SIGNLESS), size);
}

fn join_by_one(group: u32) -> Moments {
    var all = Moments(0.0, 0.0, 0.0, 1.0);
    for (var split = 0u; split < p.splits; split++) {
        all = merged(all, read_part(split * p.n + group, split));
    }
    return all;
}

// The moments of a group from its parts, by the workgroup: their means' mean, and the squared deviations from
// it, to which each part adds its own and those of its mean.
fn join_by_all(lane: u32, group: u32) -> Moments {
    var own = Moments(0.0, 0.0, 0.0, 1.0);
    for (var split = lane; split < p.splits; split += 256u) {
        let part = read_part(split * p.n + group, split);
        if own.count == 0.0 { own = part; } else { own = merged(own, part); }
    }
    let count = f32(p.count);
    let size = size_of(workgroup_max(lane, select(0.0, 1.0, own.size < 1.0)) > 0.0);
    let m = sized(own, size);
    let mean = workgroup_sum(lane, m.mean * (m.count / count));
    let off = m.mean - mean;
    return Moments(count, mean, workgroup_sum(lane, m.m2 + m.count * (off * off)), size);
}

// Part `split` of a group; whether it is the first.
fn apply_part(group: u32, split: u32) -> bool {
    let m = join_by_one(group);
    let norm = norm_of(anchor_of(group * p.start), m);
    if split == 0u { write_stats(group, m, norm); }
    let lo = split * p.part;
    put_in_order(group, norm, lo, min(lo + p.part, p.count));
    return split == 0u;
}

@compute @workgroup_size(64)
fn apply_parts(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n * p.splits { return; }
    _ = apply_part(i % p.n, i / p.n);
}

@compute @workgroup_size(64)
fn apply_parts_tracked(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n * p.splits { return; }
    if apply_part(i % p.n, i / p.n) { track(i % p.n); }
}

// Block `block` of a group; whether it is the first.
fn apply_block(group: u32, block: u32, lane: u32) -> bool {
    let m = join_by_all(lane, group);
    let norm = norm_of(anchor_of(group * p.start), m);
    let leads = block == 0u && lane == 0u;
    if leads { write_stats(group, m, norm); }
    let lo = block * p.block;
    put_all(lane, group, norm, lo, min(lo + p.block, p.count));
    return leads;
}

@compute @workgroup_size(256)
fn apply_apart(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(id);
    if i >= p.n * p.blocks { return; }
    _ = apply_block(i % p.n, i / p.n, lane);
}

@compute @workgroup_size(256)
fn apply_apart_tracked(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(id);
    if i >= p.n * p.blocks { return; }
    if apply_block(i % p.n, i / p.n, lane) { track(i % p.n); }
}
