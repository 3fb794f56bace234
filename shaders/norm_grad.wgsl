// The kernels of norm.wgsl that make gradients, and the sums that those need.

// Whether the group changes from element to element of a segment.
override STATS_BY_ELEMENT: bool = false;

fn xhat(norm: Norm, at: u32) -> f32 {
    return (x[at] * norm.size - norm.anchor) * norm.rstd + norm.shift;
}

// The same where the four are of different groups.
fn xhat_by(groups: vec4<u32>, i: vec4<u32>) -> vec4<f32> {
    let a = read_stats(groups.x, p.groups);
    let b = read_stats(groups.y, p.groups);
    let c = read_stats(groups.z, p.groups);
    let d = read_stats(groups.w, p.groups);
    let anchors = vec4(a.anchor, b.anchor, c.anchor, d.anchor);
    let rstds = vec4(a.rstd, b.rstd, c.rstd, d.rstd);
    let sizes = vec4(a.size, b.size, c.size, d.size);
    return (x_at(i) * sizes - anchors) * rstds + vec4(a.shift, b.shift, c.shift, d.shift);
}

// The gradient of xhat, or of y where all of a nest has one channel.
fn weighted(at: u32, channel: u32) -> f32 {
    if WEIGHTED { return dy[at] * scale[channel]; }
    return dy[at];
}

// The sums of g and of g xhat over elements `lo` to `hi` of a nest, by blocks of at most 64.
fn sums_of(nest: u32, lo: u32, hi: u32) -> vec2<f32> {
    let base = nest * p.start;
    let group = nest / p.group_div;
    let first = first_channel(nest);
    var all = vec2(0.0);
    var c = cursor(lo);
    var e = lo;
    while e < hi {
        let n = min(min(64u, p.seg - c.pos), hi - e);
        let by = channel(first, c);
        var at = address(base, c);
        var norm = Norm(0.0, 0.0, 0.0, 1.0);
        if !STATS_BY_ELEMENT { norm = read_stats(group + c.k * p.group_seg, p.groups); }
        var sum = vec4(0.0);
        var with_xhat = vec4(0.0);
        for (var k = 0u; k < n; k += 4u) {
            let i = places(at, p.step, n - k);
            let g = present(weighted_at(i, by, places(by + k, 1u, n - k)), n - k);
            sum += g;
            if STATS_BY_ELEMENT {
                with_xhat += g * xhat_by(places(group + (c.pos + k) * p.group_pos, p.group_pos, n - k), i);
            } else {
                with_xhat += g * xhat_at(norm, i);
            }
            at += 4u * p.step;
        }
        all += vec2(total(sum), total(with_xhat));
        e += n;
        c.pos += n;
        if c.pos == p.seg { c = Cursor(c.k + 1u, 0u); }
    }
    return all;
}

// The same by the workgroup, without STATS_BY_ELEMENT.
fn workgroup_sums(lane: u32, nest: u32, lo: u32, hi: u32) -> vec2<f32> {
    let base = nest * p.start;
    let group = nest / p.group_div;
    let first = first_channel(nest);
    let hop = cursor(256u);
    var part = vec2(0.0);
    var c = cursor(lo + lane);
    for (var e = lo + lane; e < hi; e += 256u) {
        let at = address(base, c);
        let g = weighted(at, channel(first, c));
        part += vec2(g, g * xhat(read_stats(group + c.k * p.group_seg, p.groups), at));
        c = moved(c, hop);
    }
    return workgroup_sum_pair(lane, part);
}

// dx, from g, xhat, and the means of g and of g xhat; the factors include rstd.
fn slope(factors: vec2<f32>, g: f32, xhat: f32, means: vec2<f32>) -> f32 {
    return factors.y * (factors.x * (g - (means.x + xhat * means.y)));
}

// Elements `lo` to `hi` of dx from the sums over all of the group, segment by segment.
fn put_slopes_in_order(group: u32, sums: vec2<f32>, lo: u32, hi: u32) {
    let means = sums / f32(p.count);
    let norm = read_stats(group, p.groups);
    let first = first_channel(group);
    let outer = slope_factors(norm, factor(first));
    var c = cursor(lo);
    var e = lo;
    while e < hi {
        let n = min(p.seg - c.pos, hi - e);
        let by = channel(first, c);
        var at = address(group * p.start, c);
        for (var k = 0u; k < n; k += 4u) {
            let i = places(at, p.step, n - k);
            let g = weighted_at(i, by, places(by + k, 1u, n - k));
            write(i, slopes(outer, g, xhat_at(norm, i), means));
            at += 4u * p.step;
        }
        e += n;
        c = Cursor(c.k + 1u, 0u);
    }
}

fn keep_sums(i: u32, sums: vec2<f32>) {
    first_out[i] = sums.x;
    second_out[i] = sums.y;
}

@compute @workgroup_size(64)
fn lanes_grad(@builtin(global_invocation_id) id: vec3<u32>) {
    let group = linear_index(id, 64u);
    if group >= p.n { return; }
    let sums = sums_of(group, 0u, p.count);
    keep_sums(group, sums);
    put_slopes_in_order(group, sums, 0u, p.count);
}

// Elements `lo` to `hi` of dx from the sums over all of the group, by the workgroup.
fn put_slopes(lane: u32, group: u32, sums: vec2<f32>, lo: u32, hi: u32) {
    let means = sums / f32(p.count);
    let norm = read_stats(group, p.groups);
    let first = first_channel(group);
    let outer = slope_factors(norm, factor(first));
    let hop = cursor(256u);
    var c = cursor(lo + lane);
    for (var e = lo + lane; e < hi; e += 256u) {
        let at = address(group * p.start, c);
        y[at] = finish(at, 0u, 0u, slope(outer, weighted(at, channel(first, c)), xhat(norm, at), means));
        c = moved(c, hop);
    }
}

@compute @workgroup_size(256)
fn tree_grad(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = linear_group(id);
    if group >= p.n { return; }
    let sums = workgroup_sums(lane, group, 0u, p.count);
    if lane == 0u { keep_sums(group, sums); }
    put_slopes(lane, group, sums, 0u, p.count);
}

// The sums over all of a nest from those of its parts.
fn parts_summed(nest: u32) -> vec2<f32> {
    var total = vec2(0.0);
    for (var split = 0u; split < p.splits; split++) {
        let i = split * p.n + nest;
        total += vec2(both_in[i], both_in[p.seconds + i]);
    }
    return total;
}

@compute @workgroup_size(64)
fn apply_grad_parts(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n * p.splits { return; }
    let split = i / p.n;
    let group = i - split * p.n;
    let sums = parts_summed(group);
    if split == 0u { keep_sums(group, sums); }
    let lo = split * p.part;
    put_slopes_in_order(group, sums, lo, min(lo + p.part, p.count));
}

@compute @workgroup_size(256)
fn apply_grad_apart(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(id);
    if i >= p.n * p.blocks { return; }
    let group = i % p.n;
    let block = i / p.n;
    var part = vec2(0.0);
    for (var split = lane; split < p.splits; split += 256u) {
        let at = split * p.n + group;
        part += vec2(both_in[at], both_in[p.seconds + at]);
    }
    let sums = workgroup_sum_pair(lane, part);
    if block == 0u && lane == 0u { keep_sums(group, sums); }
    let lo = block * p.block;
    put_slopes(lane, group, sums, lo, min(lo + p.block, p.count));
}

@compute @workgroup_size(64)
fn sums(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n * p.splits { return; }
    let split = i / p.n;
    let lo = split * p.part;
    let total = sums_of(i - split * p.n, lo, min(lo + p.part, p.count));
    keep_sums(i, total);
}

@compute @workgroup_size(256)
fn sums_tree(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = linear_group(id);
    if i >= p.n * p.splits { return; }
    let split = i / p.n;
    let lo = split * p.part;
    let total = workgroup_sums(lane, i - split * p.n, lo, min(lo + p.part, p.count));
    if lane == 0u { keep_sums(i, total); }
}

@compute @workgroup_size(64)
fn join_sums(@builtin(global_invocation_id) id: vec3<u32>) {
    let nest = linear_index(id, 64u);
    if nest >= p.n { return; }
    keep_sums(nest, parts_summed(nest));
}
