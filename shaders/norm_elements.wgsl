// Normalisation, element by element: from statistics and sums that `norm.wgsl` made, or from given
// ones; and running statistics.
//
//   apply        y = ((size x - anchor) rstd + shift) scale + shift
//   infer        the same from given mean and variance, which it also writes as stats
//   apply_grad   dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy scale, or (FROZEN) rstd g, from
//                the sums of g and g xhat over each group
//   running      running = (1 - momentum) running + momentum new, with the unbiased new variance
//
// x is [n, run], contiguous: a run is a stretch of one group and, unless BY_ELEMENT, of one
// channel. COLUMNS: x is [run, n], without spatial axes, and a run is a channel. A thread makes
// every `chunks`-th element of a run, four at a time, so that neighbours make neighbours; `running`
// a channel. `stats` has six rows of one number per group: mean, variance, anchor, shift, rstd, and
// size, of which anchor and rstd are those of size x; it is 1 unless differences of x or their squares overflow.
//
// Workgroups of 64 in a folded grid. For any shape.

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
    // The size 1/2, by which a mean is multiplied: see `down` in norm.wgsl.
    half: f32,
}

struct RunningParams {
    n: u32,
    momentum: f32,
    // momentum times what makes the variance unbiased, count / (count - 1).
    unbiased: f32,
}

@group(0) @binding(9) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(10) var<storage, read_write> running_variance: array<f32>;
var<immediate> q: RunParams;
var<immediate> r: RunningParams;

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
    // From the mean, an element of the other sign may be further than f32 reaches.
    let far = abs(mean) >= 0x1p100f;
    let size = select(1.0, 0.5, far);
    let rstd = inverseSqrt(variance + q.epsilon) * select(1.0, 2.0, far);
    let norm = Norm(select(mean, mean * q.half, far), 0.0, rstd, size);
    if run.leads {
        new_stats[run.group] = mean;
        new_stats[q.groups + run.group] = variance;
        new_stats[2u * q.groups + run.group] = norm.anchor;
        new_stats[3u * q.groups + run.group] = 0.0;
        new_stats[4u * q.groups + run.group] = norm.rstd;
        new_stats[5u * q.groups + run.group] = size;
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
    let outer = slope_factors(norm, factor(run.channel));
    let step = hop();
    let count = (q.run - run.pos + q.chunks - 1u) / q.chunks;
    var at = run.at;
    var by = run.channel + run.pos;
    for (var k = 0u; k < count; k += 4u) {
        let i = places(at, step, count - k);
        let g = weighted_at(i, run.channel, places(by, step, count - k));
        if FROZEN {
            write(i, outer.y * (outer.x * g));
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
    running_variance[i] = kept * running_variance[i] + r.unbiased * stats[r.n + i];
}
