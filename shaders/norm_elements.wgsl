// Batch normalisation by given statistics, element by element; and running statistics.
//
//   infer        y = ((size x - anchor) rstd) scale + shift; mean, variance and what follows from them go to stats
//   infer_grad   dx = dy scale rstd
//   running      running = (1 - momentum) running + momentum new, with the unbiased new variance
//
// x is [n, run], contiguous, and a run is a stretch of one channel. COLUMNS: x is [run, n], without spatial
// axes. A thread makes every `chunks`-th element of a run, four at a time, so that neighbours make neighbours;
// `running` a channel. `stats` has six rows of one number per channel: see norm.wgsl. The size is 1, or 1/2 where
// differences of x might overflow.
//
// Workgroups of 64 in a folded grid. For any shape.

override COLUMNS: bool = false;

struct RunParams {
    // How many runs there are, of how many elements, and the threads of each.
    n: u32,
    run: u32,
    chunks: u32,
    // A run's channel is run % channels.
    channels: u32,
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

// What a thread works on.
struct Run {
    channel: u32,
    // The first element's place in memory, and how many there are.
    at: u32,
    count: u32,
    // Whether the thread is the first of its channel.
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
    let count = (q.run - pos + q.chunks - 1u) / q.chunks;
    return Run(row % q.channels, at, count, pos == 0u && row < q.channels);
}

// From one of a thread's elements to its next.
fn hop() -> u32 {
    if COLUMNS { return q.chunks * q.n; }
    return q.chunks;
}

// first_in is the mean, second_in the variance.
@compute @workgroup_size(64)
fn infer(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n * q.chunks { return; }
    let run = run_of(i);
    let mean = first_in[run.channel];
    let variance = second_in[run.channel];
    // From the mean, an element of the other sign may be further than f32 reaches.
    let far = abs(mean) >= 0x1p100f;
    let size = select(1.0, 0.5, far);
    let rstd = inverseSqrt(variance + q.epsilon) * select(1.0, 2.0, far);
    let norm = Norm(select(mean, mean * q.half, far), 0.0, rstd, size);
    if run.leads {
        new_stats[run.channel] = mean;
        new_stats[q.channels + run.channel] = variance;
        new_stats[2u * q.channels + run.channel] = norm.anchor;
        new_stats[3u * q.channels + run.channel] = 0.0;
        new_stats[4u * q.channels + run.channel] = norm.rstd;
        new_stats[5u * q.channels + run.channel] = size;
    }
    let l = line(norm, run.channel);
    var at = run.at;
    for (var k = 0u; k < run.count; k += 4u) {
        let i = places(at, hop(), run.count - k);
        write(i, (x_at(i) * norm.size - norm.anchor) * l.x + l.y);
        at += 4u * hop();
    }
}

@compute @workgroup_size(64)
fn infer_grad(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n * q.chunks { return; }
    let run = run_of(i);
    let outer = slope_factors(read_stats(run.channel, q.channels), factor(run.channel));
    var at = run.at;
    for (var k = 0u; k < run.count; k += 4u) {
        let i = places(at, hop(), run.count - k);
        write(i, outer.y * (outer.x * dy_at(i)));
        at += 4u * hop();
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
