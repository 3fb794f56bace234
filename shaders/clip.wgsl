// Clipping by norm: the L2 norm over any number of values, and a value scaled down to a norm.
//
//   norm = sqrt(sum of x^2)
//   y = x c / norm    where norm > c; x itself, bit for bit, elsewhere; NaN where norm is not finite
//
//   squares        a workgroup of 256 sums the squares of every groups-th run of 1024 elements of each of
//                  some values side by side into parts[first + group]; a thread handles four neighbours at a time
//   norm           one workgroup of 256 adds up all parts and takes the root
//   clip           a thread scales four neighbouring elements, a workgroup 256
//   clip_in_place  the same over the operand that the planner proved dead
//
// No square overflows, and none that counts is flushed to zero: a thread sums its squares as they are, and
// once more scaled if its largest element is 2^44 or more (by 2^-80) or below 2^-40 (by 2^80). The three
// classes of sums are kept apart up to the root (after Blue, A Portable Fortran Program to Find the
// Euclidean Norm of a Vector, ACM TOMS 4(1), 1978), so that a norm is exact to rounding wherever f32 holds
// it. NaN and infinity fall into the first class and stay; they are told by their bits, since drivers may
// turn comparisons of floats around as if there were no NaN. For any shape.

struct SquaresParams {
    // Where the elements of each value end. The next value begins at the first multiple of `alignment` after that.
    ends_0: vec4<u32>,
    ends_1: vec4<u32>,
    ends_2: vec4<u32>,
    ends_3: vec4<u32>,
    ends_4: vec4<u32>,
    ends_5: vec4<u32>,
    values: u32,
    alignment: u32,
    groups: u32,
    first: u32,
}

struct NormParams {
    n: u32,
}

struct ClipParams {
    // Vectors of four.
    n: u32,
    limit: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> parts: array<vec4<f32>>;
@group(0) @binding(0) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> total: array<f32>;
@group(0) @binding(0) var<storage, read> from_bits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> given_norm: array<f32>;
@group(0) @binding(2) var<storage, read_write> to_bits: array<vec4<u32>>;
var<immediate> squares_p: SquaresParams;
var<immediate> norm_p: NormParams;
var<immediate> clip_p: ClipParams;
var<workgroup> shared_sums: array<vec4<f32>, 256>;

const ZERO = vec4<f32>(0.0);
// The bits of 2^44 and of 2^-40; those of numbers from 0 on are in their order.
const LARGE: u32 = 0x55800000u;
const SMALL: u32 = 0x2b800000u;
const UP: f32 = 0x1p80f;
const DOWN: f32 = 0x1p-80f;

// The sum over the workgroup, told to lane 0.
fn gather_sums(lane: u32, part: vec4<f32>) -> vec4<f32> {
    shared_sums[lane] = part;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half { shared_sums[lane] += shared_sums[lane + half]; }
        workgroupBarrier();
    }
    return shared_sums[0];
}

// The sum of a thread's squares, and the bits of the largest element.
struct Share {
    sum: f32,
    top: u32,
}

fn end_of(value: u32) -> u32 {
    var ends = squares_p.ends_0;
    switch value / 4u {
        case 1u: { ends = squares_p.ends_1; }
        case 2u: { ends = squares_p.ends_2; }
        case 3u: { ends = squares_p.ends_3; }
        case 4u: { ends = squares_p.ends_4; }
        case 5u: { ends = squares_p.ends_5; }
        default: {}
    }
    return ends[value % 4u];
}

// Every step-th vector of each value from its `first` on, scaled.
fn share(first: u32, step: u32, scale: f32) -> Share {
    var sum = ZERO;
    var top = vec4(0u);
    var start = 0u;
    for (var value = 0u; value < squares_p.values; value++) {
        let end = end_of(value);
        for (var q = start / 4u + first; 4u * q < end; q += step) {
            let v = select(ZERO, x[q], vec4(0u, 1u, 2u, 3u) < vec4(end - 4u * q));
            let scaled = v * scale;
            sum += scaled * scaled;
            top = max(top, bitcast<vec4<u32>>(abs(v)));
        }
        start = (end + squares_p.alignment - 1u) / squares_p.alignment * squares_p.alignment;
    }
    return Share(dot(sum, vec4(1.0)), max(max(top.x, top.y), max(top.z, top.w)));
}

@compute @workgroup_size(256)
fn squares(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = linear_group(id);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if group >= squares_p.groups { return; }
    let first = group * 256u + lane;
    let step = squares_p.groups * 256u;
    let plain = share(first, step, 1.0);
    var part = vec4(0.0, plain.sum, 0.0, 0.0);
    if plain.top >= LARGE {
        part = vec4(share(first, step, DOWN).sum, 0.0, 0.0, 0.0);
    } else if plain.top < SMALL && plain.top > 0u {
        part = vec4(0.0, 0.0, share(first, step, UP).sum, 0.0);
    }
    let sum = gather_sums(lane, part);
    if lane == 0u { parts[squares_p.first + group] = sum; }
}

@compute @workgroup_size(256)
fn norm(@builtin(local_invocation_index) lane: u32) {
    var part = ZERO;
    for (var i = lane; i < norm_p.n; i += 256u) { part += sums[i]; }
    let sum = gather_sums(lane, part);
    if lane == 0u { total[0] = root(sum.x, sum.y, sum.z); }
}

// The root of the three classes together; the class that is left out is too small to count. The scale
// goes on after the root: compilers may join factors, and 2^-160 is no f32.
fn root(large: f32, middle: f32, small: f32) -> f32 {
    if bitcast<u32>(large) != 0u {
        let rest = sqrt(middle) * DOWN;
        return sqrt(large + rest * rest) * UP;
    }
    let rest = sqrt(small) * DOWN;
    if bitcast<u32>(middle) == 0u { return rest; }
    return sqrt(middle + rest * rest);
}

@compute @workgroup_size(64)
fn clip(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= clip_p.n { return; }
    let norm = given_norm[0];
    if is_within(norm, clip_p.limit) {
        to_bits[i] = from_bits[i];
        return;
    }
    to_bits[i] = bitcast<vec4<u32>>(scaled_down(bitcast<vec4<f32>>(from_bits[i]), norm, clip_p.limit));
}

@compute @workgroup_size(64)
fn clip_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    let norm = given_norm[0];
    if i >= clip_p.n || is_within(norm, clip_p.limit) { return; }
    to_bits[i] = bitcast<vec4<u32>>(scaled_down(bitcast<vec4<f32>>(to_bits[i]), norm, clip_p.limit));
}
