// Constraints on parameters, applied over their contents after an update.
//
//   norm = sqrt(sum of w^2)            of the elements of a unit
//   w    = w (rate clamp(norm, low, high) + (1 - rate) norm) / (norm + 1e-7)
//                                      where norm is outside [low, high]; w keeps its bits elsewhere
//   w    = max(w, 0)
//   w    = w mask
//
// A unit is a kept index o of the parameter's layout and holds the elements of all reduced indices r:
// w[k(o) + r(r)]. After merging, there are at most three axes of each, with extents `kept` and `reduced`
// (outermost first, 1 where unused) and strides `kept_s` and `reduced_s`.
//
//   norm_lanes    a thread takes a unit; its sum is blocked by 64 so that errors stay small. For units
//                 that lie side by side, such as the columns of a dense weight, and software drivers.
//   norm_tree     a workgroup of 256 takes a unit. For long units, such as the filters of a convolution.
//   non_negative  a thread takes four neighbouring elements, a workgroup 256
//   apply_mask    the same
//
// A unit whose sum reaches 2^100 is summed again times 2^-160, and measured by that: no norm overflows. A NaN
// or an infinity makes its unit NaN: a broken weight shows, where a division by infinity would have turned
// its finite elements into zeros.

// The number of merged axes that are reduced, and that are kept: fewer need less index arithmetic.
override REDUCED: u32 = 3u;
override KEPT: u32 = 3u;

struct NormParams {
    kept: vec4<u32>,
    kept_s: vec4<u32>,
    reduced: vec4<u32>,
    reduced_s: vec4<u32>,
    n: u32,
    low: f32,
    high: f32,
    rate: f32,
}

struct ElementParams {
    // Vectors of four.
    n: u32,
}

@group(0) @binding(0) var<storage, read_write> w: array<f32>;
@group(0) @binding(0) var<storage, read_write> quads: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mask: array<vec4<f32>>;
var<immediate> p: NormParams;
var<immediate> q: ElementParams;

const EPSILON: f32 = 1e-7;
// The bits of infinity, which those of every finite number are below, and of 2^100.
const INFINITE: u32 = 0x7f800000u;
const LARGE: u32 = 0x71800000u;
const DOWN: f32 = 0x1p-80f;
const UP: f32 = 0x1p80f;

// Where the elements of unit `o` begin.
fn base_of(o: u32) -> u32 {
    if KEPT <= 1u { return o * p.kept_s.z; }
    let outer = o / p.kept.z;
    let c = vec3(outer / p.kept.y, outer % p.kept.y, o % p.kept.z);
    return dot(c, p.kept_s.xyz);
}

// Where element `r` of a unit lies.
fn element(r: u32) -> u32 {
    if REDUCED <= 1u { return r * p.reduced_s.z; }
    let outer = r / p.reduced.z;
    let c = vec3(outer / p.reduced.y, outer % p.reduced.y, r % p.reduced.z);
    return dot(c, p.reduced_s.xyz);
}

fn unit_size() -> u32 {
    return p.reduced.x * p.reduced.y * p.reduced.z;
}

// What a unit of this sum of squares is multiplied by, one after the other; ones where it stays as it is.
// `small` is the sum of squares times DOWN, of a unit whose sum is large.
fn factors(sum: f32, small: f32) -> vec2<f32> {
    if bitcast<u32>(sum) < LARGE {
        let norm = sqrt(sum);
        if norm >= p.low && norm <= p.high { return vec2(1.0); }
        let f = (p.rate * clamp(norm, p.low, p.high) + (1.0 - p.rate) * norm) / (norm + EPSILON);
        return vec2(1.0, f);
    }
    if (bitcast<u32>(small) & INFINITE) == INFINITE { return vec2(1.0, not_a_number()); }
    let norm = sqrt(small);
    let above = norm > p.high * DOWN;
    if norm >= p.low * DOWN && !above { return vec2(1.0); }
    return vec2(DOWN, p.rate * (select(p.low, p.high, above) / norm) + (1.0 - p.rate) * UP);
}

// A weight times both. The first makes large ones small, the second small ones large.
fn times(w: f32, f: vec2<f32>) -> f32 {
    if abs(w) < 1.0 { return (w * f.y) * f.x; }
    return (w * f.x) * f.y;
}

// The sum of squares of a unit times `scale`, blocked.
fn squares(base: u32, count: u32, scale: f32) -> f32 {
    var sum = 0.0;
    for (var block = 0u; block < count; block += 64u) {
        let stop = min(block + 64u, count);
        var part = 0.0;
        for (var r = block; r < stop; r++) {
            let v = w[base + element(r)] * scale;
            part += v * v;
        }
        sum += part;
    }
    return sum;
}

@compute @workgroup_size(64)
fn norm_lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let o = linear_index(id, 64u);
    if o >= p.n { return; }
    let base = base_of(o);
    let count = unit_size();
    let sum = squares(base, count, 1.0);
    var small = 0.0;
    if bitcast<u32>(sum) >= LARGE { small = squares(base, count, DOWN); }
    let f = factors(sum, small);
    if all(f == vec2(1.0)) { return; }
    for (var r = 0u; r < count; r++) {
        let i = base + element(r);
        w[i] = times(w[i], f);
    }
}

@compute @workgroup_size(256)
fn norm_tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let o = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if o >= p.n { return; }
    let base = base_of(o);
    let count = unit_size();
    var part = vec2(0.0);
    for (var r = lane; r < count; r += 256u) {
        let v = w[base + element(r)] * vec2(1.0, DOWN);
        part += v * v;
    }
    let sums = workgroup_sum_pair(lane, part);
    let f = factors(sums.x, sums.y);
    if all(f == vec2(1.0)) { return; }
    for (var r = lane; r < count; r += 256u) {
        let i = base + element(r);
        w[i] = times(w[i], f);
    }
}

@compute @workgroup_size(64)
fn non_negative(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n { return; }
    let v = quads[i];
    quads[i] = select(v, vec4(0.0), below_zero(v));
}

@compute @workgroup_size(64)
fn apply_mask(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < q.n { quads[i] *= mask[i]; }
}
