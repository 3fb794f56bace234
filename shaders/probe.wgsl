// What a device does at most: as many bytes or multiply-adds a second as there are.
//
//   copy          y = x
//   multiply_add  y = sum over k = 0..7 of t_k, which begins as x + k and becomes t_k factor + term, 4 loops times
//
// x and y are [n, 4] of any n; a thread makes a row of y, a workgroup 64. In `multiply_add` its 32 sums are independent of
// each other and stay in registers, 128 multiply-adds to a turn of the loop, and no compiler knows how often it turns or by
// what.

struct Params {
    n: u32,
    loops: u32,
    factor: f32,
    term: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
var<immediate> p: Params;

@compute @workgroup_size(64)
fn copy(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = x[i]; }
}

fn turn(t: mat4x4<f32>) -> mat4x4<f32> {
    let factor = vec4(p.factor);
    let term = vec4(p.term);
    return mat4x4(
        fma(t[0], factor, term),
        fma(t[1], factor, term),
        fma(t[2], factor, term),
        fma(t[3], factor, term),
    );
}

@compute @workgroup_size(64)
fn multiply_add(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let v = x[i];
    var low = mat4x4(v, v + 1.0, v + 2.0, v + 3.0);
    var high = mat4x4(v + 4.0, v + 5.0, v + 6.0, v + 7.0);
    for (var loop_index = 0u; loop_index < p.loops; loop_index++) {
        low = turn(low);
        high = turn(high);
        low = turn(low);
        high = turn(high);
        low = turn(low);
        high = turn(high);
        low = turn(low);
        high = turn(high);
    }
    let sums = low + high;
    y[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
}
