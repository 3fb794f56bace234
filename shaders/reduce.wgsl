// Reductions over any set of axes: sum (with a scale, for means), max, min; argmax.
//
//   y[o] = scale * sum over r of x[k(o) + r(r)]        (max and min likewise, without the scale)
//
// o runs over the kept axes and r over the reduced ones; after merging, there are at most three of
// each, with extents `kept` and `reduced` (outermost first, 1 where unused) and strides of x
// `kept_s` and `reduced_s`.
//
//   lanes    a thread makes one output; sums are blocked by 64 so that errors stay small
//   partial  a thread makes one of `splits` interleaved parts of an output: part[o * splits + c];
//            `lanes` then reduces the parts. For few outputs over many elements.
//   tree     a workgroup of 256 makes one output through workgroup memory. For GPUs.
//   argmax   a thread finds the first largest of `axis` elements, `inner` apart; a NaN is the largest
//
// Workgroups of 64 (lanes, partial, argmax) in a folded grid. KIND: 0 sum, 1 max, 2 min.
//
// A maximum or minimum is NaN where an element is: beside it, each thread keeps the largest of the bits
// without the sign, which shows one in two integer instructions an element, where to look at each would
// take five. Argmax compares integers in the numbers' order, NaN above all.

override KIND: u32 = 0u;
// The number of merged axes that are reduced, and that are kept: fewer need less index arithmetic.
override REDUCED: u32 = 3u;
override KEPT: u32 = 3u;

struct Params {
    kept: vec4<u32>,
    kept_s: vec4<u32>,
    reduced: vec4<u32>,
    reduced_s: vec4<u32>,
    n: u32,
    splits: u32,
    scale: f32,
    unused: u32,
}

struct ArgmaxParams {
    n: u32,
    axis: u32,
    inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(0) var<storage, read> x_bits: array<i32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> index: array<u32>;
var<immediate> p: Params;
var<immediate> q: ArgmaxParams;
var<workgroup> shared_part: array<f32, 256>;

fn identity() -> f32 {
    switch KIND {
        case 0u: { return 0.0; }
        case 1u: { return -infinity(); }
        default: { return infinity(); }
    }
}

// What is known of some elements: their sum, maximum or minimum, and the bits of the largest without its sign.
struct Part {
    total: f32,
    top: u32,
}

fn empty() -> Part {
    return Part(identity(), 0u);
}

fn taken(part: Part, v: f32) -> Part {
    switch KIND {
        case 0u: { return Part(part.total + v, 0u); }
        case 1u: { return Part(max(part.total, v), max(part.top, magnitude_of(v))); }
        default: { return Part(min(part.total, v), max(part.top, magnitude_of(v))); }
    }
}

// Of a part that holds a NaN, and of one that has been given another's.
fn result(part: Part) -> f32 {
    return select(part.total, not_a_number(), part.top > INFINITY_BITS);
}

fn combine(a: f32, b: f32) -> f32 {
    let both = taken(Part(a, magnitude_of(a)), b);
    return select(both.total, result(both), KIND != 0u);
}

fn finish(total: f32) -> f32 {
    return select(total, total * p.scale, KIND == 0u);
}

// Where the elements of output `o` begin.
fn base_of(o: u32) -> u32 {
    if KEPT == 1u { return o * p.kept_s.z; }
    let outer = o / p.kept.z;
    let c = vec3(outer / p.kept.y, outer % p.kept.y, o % p.kept.z);
    return dot(c, p.kept_s.xyz);
}

// Every step-th of the elements of one output, from the one of flat index `first`, combined.
fn stepwise(base: u32, first: u32, step: u32) -> f32 {
    let count = p.reduced.x * p.reduced.y * p.reduced.z;
    var part = empty();
    if REDUCED <= 1u {
        for (var r = first; r < count; r += step) { part = taken(part, x[base + r * p.reduced_s.z]); }
        return result(part);
    }
    // Outer and inner index move along, which takes no division for each element.
    let jump = step / p.reduced.z;
    let rest = step - jump * p.reduced.z;
    var outer = first / p.reduced.z;
    var inner = first - outer * p.reduced.z;
    for (var r = first; r < count; r += step) {
        var row = outer * p.reduced_s.y;
        if REDUCED == 3u {
            row = outer / p.reduced.y * p.reduced_s.x + outer % p.reduced.y * p.reduced_s.y;
        }
        part = taken(part, x[base + row + inner * p.reduced_s.z]);
        inner += rest;
        outer += jump;
        let over = inner >= p.reduced.z;
        inner = select(inner, inner - p.reduced.z, over);
        outer = select(outer, outer + 1u, over);
    }
    return result(part);
}

@compute @workgroup_size(64)
fn lanes(@builtin(global_invocation_id) id: vec3<u32>) {
    let o = linear_index(id, 64u);
    if o >= p.n { return; }
    let base = base_of(o);
    var total = identity();
    for (var i = 0u; i < p.reduced.x; i++) {
        for (var j = 0u; j < p.reduced.y; j++) {
            let row = base + i * p.reduced_s.x + j * p.reduced_s.y;
            for (var block = 0u; block < p.reduced.z; block += 64u) {
                let stop = min(block + 64u, p.reduced.z);
                var part = empty();
                for (var k = block; k < stop; k++) { part = taken(part, x[row + k * p.reduced_s.z]); }
                total = combine(total, result(part));
            }
        }
    }
    y[o] = finish(total);
}

@compute @workgroup_size(64)
fn partial(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    y[i] = finish(stepwise(base_of(i / p.splits), i % p.splits, p.splits));
}

@compute @workgroup_size(256)
fn tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let o = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if o >= p.n { return; }
    shared_part[lane] = stepwise(base_of(o), lane, 256u);
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            shared_part[lane] = combine(shared_part[lane], shared_part[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u { y[o] = finish(shared_part[0]); }
}

@compute @workgroup_size(64)
fn argmax(@builtin(global_invocation_id) id: vec3<u32>) {
    let o = linear_index(id, 64u);
    if o >= q.n { return; }
    let base = o / q.inner * (q.axis * q.inner) + o % q.inner;
    var best = in_order(x_bits[base]);
    var at = 0u;
    for (var k = 1u; k < q.axis; k++) {
        let candidate = in_order(x_bits[base + k * q.inner]);
        if candidate > best {
            best = candidate;
            at = k;
        }
    }
    index[o] = at;
}
