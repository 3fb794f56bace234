// Elementwise functions of one operand and their derivatives.
//
//   forward    y = f(x)
//   backward   dx = f'(v) dy, where v is x or y, whichever the function's derivative is written in; 0
//              where the function is flat, whatever dy
//
// Contiguous; a thread handles four neighbouring elements, a workgroup 256. Buffers are padded to
// 16 bytes, so the last vector may reach past the value but not past its buffer. The in-place
// entries overwrite the operand that the planner proved dead.
// KIND is a number of `elementwise.wgsl`, whose functions these are. For any shape.

override KIND: u32 = 0u;

struct Params {
    // Vectors of four.
    n: u32,
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<f32>>;
var<immediate> p: Params;

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = unary(KIND, x[i], p.a, p.b); }
}

@compute @workgroup_size(64)
fn forward_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { y[i] = unary(KIND, y[i], p.a, p.b); }
}

@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { dx[i] = slope_by(KIND, v[i], dy[i], p.a, p.b); }
}

@compute @workgroup_size(64)
fn backward_in_place(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < p.n { dx[i] = slope_by(KIND, v[i], dx[i], p.a, p.b); }
}
