// Local response normalisation over channels, and its gradient.
//
//   y[c] = x[c] d[c]^-beta,   d[c] = k + scale * sum of x[i]^2 over |channels c - below .. c + above|
//   dx[c] = dy[c] d[c]^-beta - 2 scale beta x[c] * sum of t[i] over channels c - above .. c + below
//   t[c] = dy[c] x[c] d[c]^(-beta - 1)
//
// Arrays are [n, channels, inner], contiguous; channels off the ends do not count. `scale` is
// alpha / size.
//
// A thread takes a run of `span` channels at one place of the inner axis, neighbours in memory
// going to neighbouring threads. GPUs get a span of 1; software drivers long ones, which save the
// divisions that find a thread's place. Workgroups of 64 in a folded grid.
//
//   forward    y
//   slopes     dy d^-beta into dx, and t
//   gather     adds the sum of t to dx

struct LrnParams {
    n: u32,
    channels: u32,
    inner: u32,
    chunks: u32,
    span: u32,
    below: u32,
    above: u32,
    scale: f32,
    k: f32,
    beta: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> t_out: array<f32>;
@group(0) @binding(4) var<storage, read> t: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
var<immediate> p: LrnParams;

// Where a thread's channels lie: the first element of its column, and begin .. end.
struct Run {
    base: u32,
    begin: u32,
    end: u32,
}

fn run_of(i: u32) -> Run {
    let rest = i / p.inner;
    let place = i - rest * p.inner;
    var sample = rest;
    var chunk = 0u;
    if p.chunks != 1u {
        sample = rest / p.chunks;
        chunk = rest - sample * p.chunks;
    }
    let begin = chunk * p.span;
    return Run(sample * p.channels * p.inner + place, begin, min(begin + p.span, p.channels));
}

fn denominator(base: u32, c: u32) -> f32 {
    var total = 0.0;
    let end = min(c + p.above + 1u, p.channels);
    for (var i = max(c, p.below) - p.below; i < end; i++) {
        let v = x[base + i * p.inner];
        total = fma(v, v, total);
    }
    return fma(p.scale, total, p.k);
}

// d^-beta; 0 past 2^126, up to which WGSL divides by d exactly enough.
fn power(d: f32) -> f32 {
    if is_nan(d) { return d; }
    return select(pow(min(d, 0x1p126), -p.beta), 0.0, d > 0x1p126);
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i);
    for (var c = run.begin; c < run.end; c++) {
        let at = run.base + c * p.inner;
        y[at] = x[at] * power(denominator(run.base, c));
    }
}

@compute @workgroup_size(64)
fn slopes(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i);
    for (var c = run.begin; c < run.end; c++) {
        let at = run.base + c * p.inner;
        let d = denominator(run.base, c);
        let direct = dy[at] * power(d);
        dx[at] = direct;
        t_out[at] = direct * (x[at] / min(d, 0x1p126));
    }
}

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i);
    for (var c = run.begin; c < run.end; c++) {
        var total = 0.0;
        let end = min(c + p.below + 1u, p.channels);
        for (var j = max(c, p.above) - p.above; j < end; j++) { total += t[run.base + j * p.inner]; }
        let at = run.base + c * p.inner;
        // x and the sum are of opposite scales: their product neither overflows nor vanishes.
        dx[at] -= x[at] * total * (2.0 * p.scale * p.beta);
    }
}
