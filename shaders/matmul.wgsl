// Batched matrix product y = a b, each side under any strides.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_col: u32,
    b_row: u32,
    b_col: u32,
    a_batch: u32,
    b_batch: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<immediate> p: Params;

// A thread makes one element.
@compute @workgroup_size(8, 8)
fn naive(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= p.n || id.y >= p.m { return; }
    let left = id.z * p.a_batch + id.y * p.a_row;
    let right = id.z * p.b_batch + id.x * p.b_col;
    var sum = 0.0;
    for (var i = 0u; i < p.k; i++) {
        sum += a[left + i * p.a_col] * b[right + i * p.b_row];
    }
    y[(id.z * p.m + id.y) * p.n + id.x] = sum;
}
