// Local response normalisation over channels, and its gradient.
//
//   y[c] = x[c] d[c]^-beta,   d[c] = k + sum of (root x[i])^2 over |channels c - below .. c + above|
//   dx[c] = dy[c] d[c]^-beta - 2 beta sum of t[i] (root x[c] d[i]^-1/2) over channels c - above .. c + below
//   t[c] = dy[c] d[c]^-beta (root x[c] d[c]^-1/2)
//
// Powers are taken by halves, so that neither they nor what they are multiplied with leave f32's range
// before the product does, and where d is 2^100 or more, it is made again times 2^-160: nothing overflows
// but what has to. What is in brackets is from -1 to 1, and d^-1/2 is kept times 2^20.
//
// Arrays are [n, channels, inner], contiguous; channels off the ends do not count. `root` is the
// root of alpha / size.
//
// A thread takes a run of `span` channels at one place of the inner axis, neighbours in memory
// going to neighbouring threads. GPUs get a span of 1; software drivers long ones, which save the
// divisions that find a thread's place. Workgroups of 64 in a folded grid.
//
//   forward    y
//   slopes     dy d^-beta into dx, t, and d^-1/2
//   gather     takes the sum off dx

struct LrnParams {
    n: u32,
    channels: u32,
    inner: u32,
    chunks: u32,
    span: u32,
    below: u32,
    above: u32,
    root: f32,
    k: f32,
    // k times 2^-160.
    small_k: f32,
    beta: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> t_out: array<f32>;
@group(0) @binding(4) var<storage, read> t: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> roots_out: array<f32>;
@group(0) @binding(7) var<storage, read> roots: array<f32>;
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

// The sum of the squares of root x times `scale`.
fn squares(base: u32, c: u32, scale: f32) -> f32 {
    var total = 0.0;
    let end = min(c + p.above + 1u, p.channels);
    for (var i = max(c, p.below) - p.below; i < end; i++) {
        let v = (x[base + i * p.inner] * scale) * p.root;
        total = fma(v, v, total);
    }
    return total;
}

// What is made of a denominator: the root of d^-beta, and d^-1/2 times 2^20.
struct Powers {
    half: f32,
    root: f32,
}

fn powers(base: u32, c: u32) -> Powers {
    var d = p.k + squares(base, c, 1.0);
    var up = 0.0;
    var to_root = 0x1p20f;
    // Told by the bits, which those of infinity and NaN are above.
    if bitcast<u32>(d) >= 0x71800000u {
        d = p.small_k + squares(base, c, 0x1p-80f);
        up = 160.0;
        to_root = 0x1p-60f;
    }
    return Powers(exp2(-0.5 * p.beta * (log2(d) + up)), inverseSqrt(d) * to_root);
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i);
    for (var c = run.begin; c < run.end; c++) {
        let at = run.base + c * p.inner;
        let half = powers(run.base, c).half;
        y[at] = (x[at] * half) * half;
    }
}

// root x times 2^-20.
fn share(x: f32) -> f32 {
    return (x * 0x1p-20f) * p.root;
}

@compute @workgroup_size(64)
fn slopes(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i);
    for (var c = run.begin; c < run.end; c++) {
        let at = run.base + c * p.inner;
        let made = powers(run.base, c);
        let direct = (dy[at] * made.half) * made.half;
        dx[at] = direct;
        roots_out[at] = made.root;
        t_out[at] = direct * (share(x[at]) * made.root);
    }
}

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i);
    for (var c = run.begin; c < run.end; c++) {
        let at = run.base + c * p.inner;
        let own = share(x[at]);
        var total = 0.0;
        let end = min(c + p.below + 1u, p.channels);
        for (var j = max(c, p.above) - p.above; j < end; j++) {
            let place = run.base + j * p.inner;
            total += t[place] * (own * roots[place]);
        }
        dx[at] -= 2.0 * p.beta * total;
    }
}
