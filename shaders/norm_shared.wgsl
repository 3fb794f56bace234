// What `norm.wgsl` and `norm_elements.wgsl` share: operands, and the arithmetic of four elements at a
// time.

// Whether there is a scale and a shift.
override SCALE: bool = false;
override SHIFT: bool = false;
// Whether the channel changes from element to element of a run or segment.
override BY_ELEMENT: bool = false;
// Whether the sums are of dy scale, not of dy, because a group has several channels.
override WEIGHTED: bool = false;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read> shift: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read> first_in: array<f32>;
@group(0) @binding(6) var<storage, read> second_in: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> new_stats: array<f32>;

// What maps the elements of a group to xhat: (x size - anchor) rstd + shift.
struct Norm {
    anchor: f32,
    shift: f32,
    rstd: f32,
    size: f32,
}

// Threads that take elements in order take four at a time.
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
    y[i.x] = finish(i.x, 0u, 0u, v.x);
    y[i.y] = finish(i.y, 0u, 0u, v.y);
    y[i.z] = finish(i.z, 0u, 0u, v.z);
    y[i.w] = finish(i.w, 0u, 0u, v.w);
}

fn read_stats(group: u32, groups: u32) -> Norm {
    return Norm(
        stats[2u * groups + group],
        stats[3u * groups + group],
        stats[4u * groups + group],
        stats[5u * groups + group],
    );
}

// Factor and term that take x size - anchor to y.
fn line(norm: Norm, channel: u32) -> vec2<f32> {
    var l = vec2(norm.rstd, norm.shift);
    if SCALE { l *= scale[channel]; }
    if SHIFT { l.y += shift[channel]; }
    return l;
}

// The same for four elements at once: of the line `l` of their channel or, BY_ELEMENT, of channels
// of their own.
fn values(v: vec4<f32>, norm: Norm, l: vec2<f32>, channels: vec4<u32>) -> vec4<f32> {
    let d = v * norm.size - norm.anchor;
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
    return (x_at(i) * norm.size - norm.anchor) * norm.rstd + norm.shift;
}

// The two factors of dx, together scale rstd size. Their product may be too small for f32 where that
// with a gradient is not.
fn slope_factors(norm: Norm, scale: f32) -> vec2<f32> {
    if norm.size == 1.0 { return vec2(norm.rstd * scale, 1.0); }
    return vec2((norm.rstd * (norm.size * 0x1p24f)) * scale, 0x1p-24f);
}

// dx, from g, xhat, and the means of g and of g xhat; the factors include rstd.
fn slopes(factors: vec2<f32>, g: vec4<f32>, xhat: vec4<f32>, means: vec2<f32>) -> vec4<f32> {
    return factors.y * (factors.x * (g - (means.x + xhat * means.y)));
}
