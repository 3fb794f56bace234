// Normalisation, element by element: from statistics and sums that `norm.wgsl` made, or from given
// ones; and running statistics.
//
//   apply        y = ((x - anchor) rstd + shift) scale + shift
//   infer        the same from given mean and variance, which it also writes as stats
//   apply_grad   dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy scale, or (FROZEN) rstd g, from
//                the sums of g and g xhat over each group
//   running      running = (1 - momentum) running + momentum new, with the unbiased new variance
//
// x is [n, run], contiguous: a run is a stretch of one group and, unless BY_ELEMENT, of one
// channel. COLUMNS: x is [run, n], without spatial axes, and a run is a channel. A thread makes
// every `chunks`-th element of a run, four at a time, so that neighbours make neighbours; `running`
// a channel. `stats` has five rows of one number per group: mean, variance, anchor, shift, rstd.
//
// Workgroups of 64 in a folded grid. For any shape.

// Whether there is a scale and a shift.
override SCALE: bool = false;
override SHIFT: bool = false;
// Whether the channel changes from element to element of a run.
override BY_ELEMENT: bool = false;
// Whether the sums are of dy scale, not of dy, because a group has several channels.
override WEIGHTED: bool = false;
override COLUMNS: bool = false;
// Whether mean and variance are constants, not functions of x.
override FROZEN: bool = false;

struct RunParams {
    // How many runs there are, of how many elements, and the threads of each.
    n: u32,
    run: u32,
    chunks: u32,
    // A run's group is (run / group_div) % group_mod.
    groups: u32,
    group_div: u32,
    group_mod: u32,
    // Its first channel is (run % channel_mod) * channel_mul.
    channel_mod: u32,
    channel_mul: u32,
    // 1 / the elements of a group.
    share: f32,
    epsilon: f32,
}

struct RunningParams {
    n: u32,
    momentum: f32,
    // What makes the variance unbiased: count / (count - 1).
    unbiased: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> shift: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read> first_in: array<f32>;
@group(0) @binding(6) var<storage, read> second_in: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> new_stats: array<f32>;
@group(0) @binding(9) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(10) var<storage, read_write> running_variance: array<f32>;
var<immediate> q: RunParams;
var<immediate> r: RunningParams;

// What maps the elements of a group to xhat.
struct Norm {
    anchor: f32,
    shift: f32,
    rstd: f32,
}

// What a thread of the elementwise kernels works on.
struct Run {
    group: u32,
    channel: u32,
    // The first element's place in the run and in memory.
    pos: u32,
    at: u32,
    // Whether the thread is the first of its group.
    leads: bool,
}

// A thread takes four elements at a time.
const FOUR = vec4(0u, 1u, 2u, 3u);

// The places of the next four elements, `step` apart, of which `left` exist; the last of those
// stands in for what is missing.
fn places(at: u32, step: u32, left: u32) -> vec4<u32> {
    return at + min(FOUR * step, vec4((left - 1u) * step));
}

fn x_at(i: vec4<u32>) -> vec4<f32> {
    return vec4(x[i.x], x[i.y], x[i.z], x[i.w]);
}

fn dy_at(i: vec4<u32>) -> vec4<f32> {
    return vec4(dy[i.x], dy[i.y], dy[i.z], dy[i.w]);
}

fn scale_at(i: vec4<u32>) -> vec4<f32> {
    return vec4(scale[i.x], scale[i.y], scale[i.z], scale[i.w]);
}

fn write(i: vec4<u32>, v: vec4<f32>) {
    y[i.x] = v.x;
    y[i.y] = v.y;
    y[i.z] = v.z;
    y[i.w] = v.w;
}

fn read_stats(group: u32, groups: u32) -> Norm {
    return Norm(stats[2u * groups + group], stats[3u * groups + group], stats[4u * groups + group]);
}

// Factor and term that take x - anchor to y.
fn line(norm: Norm, channel: u32) -> vec2<f32> {
    var l = vec2(norm.rstd, norm.shift);
    if SCALE { l *= scale[channel]; }
    if SHIFT { l.y += shift[channel]; }
    return l;
}

// The same for four elements at once: of the line `l` of their channel or, BY_ELEMENT, of channels
// of their own.
fn values(v: vec4<f32>, norm: Norm, l: vec2<f32>, channels: vec4<u32>) -> vec4<f32> {
    let d = v - norm.anchor;
    if !BY_ELEMENT { return d * l.x + l.y; }
    var factors = vec4(norm.rstd);
    var terms = vec4(norm.shift);
    if SCALE {
        let by = scale_at(channels);
        factors *= by;
        terms *= by;
    }
    if SHIFT { terms += vec4(shift[channels.x], shift[channels.y], shift[channels.z], shift[channels.w]); }
    return d * factors + terms;
}

// The gradient of xhat, or of y where all of a group has one channel, for four elements: of one
// channel or, BY_ELEMENT, of their own.
fn weighted_at(i: vec4<u32>, channel: u32, channels: vec4<u32>) -> vec4<f32> {
    if !WEIGHTED { return dy_at(i); }
    if BY_ELEMENT { return dy_at(i) * scale_at(channels); }
    return dy_at(i) * scale[channel];
}

// What the weighing leaves to the end.
fn factor(channel: u32) -> f32 {
    if SCALE && !WEIGHTED { return scale[channel]; }
    return 1.0;
}

fn xhat_at(norm: Norm, i: vec4<u32>) -> vec4<f32> {
    return (x_at(i) - norm.anchor) * norm.rstd + norm.shift;
}

// dx, from g, xhat, and the means of g and of g xhat; `factor` includes rstd.
fn slopes(factor: f32, g: vec4<f32>, xhat: vec4<f32>, means: vec2<f32>) -> vec4<f32> {
    return factor * (g - (means.x + xhat * means.y));
}

fn run_of(i: u32) -> Run {
    var row = i / q.chunks;
    var pos = i - row * q.chunks;
    var at = row * q.run + pos;
    if COLUMNS {
        at = i;
        pos = i / q.n;
        row = i - pos * q.n;
    }
    let group = row / q.group_div % q.group_mod;
    let channel = row % q.channel_mod * q.channel_mul;
    return Run(group, channel, pos, at, pos == 0u && row < q.group_mod);
}

// From one of a thread's elements to its next.
fn hop() -> u32 {
    if COLUMNS { return q.chunks * q.n; }
    return q.chunks;
}

fn apply_run(run: Run, norm: Norm) {
    let step = hop();
    let count = (q.run - run.pos + q.chunks - 1u) / q.chunks;
    var l = vec2(0.0);
    if !BY_ELEMENT { l = line(norm, run.channel); }
    var at = run.at;
    var by = run.channel + run.pos;
    for (var k = 0u; k < count; k += 4u) {
        let i = places(at, step, count - k);
        write(i, values(x_at(i), norm, l, places(by, step, count - k)));
        at += 4u * step;
        by += 4u * step;
    }
}

@compute @workgroup_size(64)
fn apply(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n * q.chunks { return; }
    let run = run_of(i);
    apply_run(run, read_stats(run.group, q.groups));
}

// first_in is the mean, second_in the variance.
@compute @workgroup_size(64)
fn infer(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n * q.chunks { return; }
    let run = run_of(i);
    let mean = first_in[run.group];
    let variance = second_in[run.group];
    let norm = Norm(mean, 0.0, inverseSqrt(variance + q.epsilon));
    if run.leads {
        new_stats[run.group] = mean;
        new_stats[q.groups + run.group] = variance;
        new_stats[2u * q.groups + run.group] = mean;
        new_stats[3u * q.groups + run.group] = 0.0;
        new_stats[4u * q.groups + run.group] = norm.rstd;
    }
    apply_run(run, norm);
}

@compute @workgroup_size(64)
fn apply_grad(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n * q.chunks { return; }
    let run = run_of(i);
    let norm = read_stats(run.group, q.groups);
    var means = vec2(0.0);
    if !FROZEN { means = vec2(first_in[run.group], second_in[run.group]) * q.share; }
    let outer = norm.rstd * factor(run.channel);
    let step = hop();
    let count = (q.run - run.pos + q.chunks - 1u) / q.chunks;
    var at = run.at;
    var by = run.channel + run.pos;
    for (var k = 0u; k < count; k += 4u) {
        let i = places(at, step, count - k);
        let g = weighted_at(i, run.channel, places(by, step, count - k));
        if FROZEN {
            write(i, outer * g);
        } else {
            write(i, slopes(outer, g, xhat_at(norm, i), means));
        }
        at += 4u * step;
        by += 4u * step;
    }
}

@compute @workgroup_size(64)
fn running(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= r.n { return; }
    let kept = 1.0 - r.momentum;
    running_mean[i] = kept * running_mean[i] + r.momentum * stats[i];
    running_variance[i] = kept * running_variance[i] + r.momentum * (stats[r.n + i] * r.unbiased);
}
