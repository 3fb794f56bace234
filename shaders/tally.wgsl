// Numbers of several values, side by side, added to sums of twice f32's precision.
//
//   y = part_0, part_1, ..;   s + c = s + c + y, where c is less than s can hold
//
// `ends` says where each part ends in y; those that there are not end where the one before does, and are never
// read. A thread handles an element, a workgroup 64. For any number of elements, in a folded grid.

struct Params {
    n: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    ends: vec4<u32>,
}

@group(0) @binding(0) var<storage, read> part_0: array<f32>;
@group(0) @binding(1) var<storage, read> part_1: array<f32>;
@group(0) @binding(2) var<storage, read> part_2: array<f32>;
@group(0) @binding(3) var<storage, read> part_3: array<f32>;
@group(0) @binding(4) var<storage, read> part_4: array<f32>;
@group(0) @binding(5) var<storage, read_write> s: array<f32>;
@group(0) @binding(6) var<storage, read_write> c: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
var<immediate> p: Params;

fn number(i: u32) -> f32 {
    if i < p.ends.x { return part_0[i]; }
    if i < p.ends.y { return part_1[i - p.ends.x]; }
    if i < p.ends.z { return part_2[i - p.ends.y]; }
    if i < p.ends.w { return part_3[i - p.ends.z]; }
    return part_4[i - p.ends.w];
}

@compute @workgroup_size(64)
fn tally(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let x = number(i);
    let first = two_sum(vec4(s[i]), vec4(x));
    let second = two_sum(first.sum, vec4(c[i]) + first.lost);
    y[i] = x;
    s[i] = second.sum.x;
    c[i] = second.lost.x;
}
