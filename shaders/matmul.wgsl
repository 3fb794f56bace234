// Batched matrix product y = op(a) op(b), one element per thread, each side under any strides.
//
//   y[z, r, c] = sum over i of a[z][r * a_row + i * a_col] * b[z][i * b_row + c * b_col]
//
// A member z of the batch has coordinates on up to four axes, and each side its own strides for them:
// 0 where one matrix serves a whole axis.
//
// A workgroup makes one tile of y, in a folded grid of tiles: columns fastest, then rows, then the
// batch. Products that fill registers are in `matmul_blocks.wgsl`.
//
//   naive    8x8 threads, operands straight from memory. For products that are small, or narrow and not large.
//   naive_sums  the same for one member, and the sums of b's columns: the row of y that a row of ones makes
//   tile_16  16x16 threads stage 16x16 tiles of a and b in workgroup memory: the textbook kernel,
//            which no rule chooses. Benches measure the others against it.

// The number of axes that the batch has.
override AXES: u32 = 1u;

struct Params {
    extents: vec4<u32>,
    a_batch: vec4<u32>,
    b_batch: vec4<u32>,
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_col: u32,
    b_row: u32,
    b_col: u32,
    tiles_m: u32,
    tiles_n: u32,
    tiles: u32,
    unused: vec2<u32>,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
var<immediate> p: Params;
var<workgroup> a_tile: array<f32, 256>;
var<workgroup> b_tile: array<f32, 256>;

// Row, column and batch of an element, from its tile and its place within.
fn element(tile: u32, size: u32, within: vec3<u32>) -> vec3<u32> {
    let above = tile / p.tiles_n;
    let r = (above % p.tiles_m) * size + within.y;
    let c = (tile % p.tiles_n) * size + within.x;
    return vec3(r, c, above / p.tiles_m);
}

@compute @workgroup_size(8, 8)
fn naive(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = linear_group(group);
    let at = element(tile, 8u, local);
    if tile >= p.tiles || at.x >= p.m || at.y >= p.n { return; }
    let member = coords(at.z, AXES, p.extents, vec2(1u));
    let left = dot(member.lo, p.a_batch) + at.x * p.a_row;
    let right = dot(member.lo, p.b_batch) + at.y * p.b_col;
    var sum = 0.0;
    for (var k = 0u; k < p.k; k++) {
        sum += a[left + k * p.a_col] * b[right + k * p.b_row];
    }
    let i = (at.z * p.m + at.x) * p.n + at.y;
    y[i] = finish(i, at.x, at.y, sum);
}

@compute @workgroup_size(8, 8)
fn naive_sums(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = linear_group(group);
    let at = element(tile, 8u, local);
    if tile >= p.tiles || at.x > p.m || at.y >= p.n { return; }
    let left = at.x * p.a_row;
    let right = at.y * p.b_col;
    var sum = 0.0;
    if at.x == p.m {
        for (var k = 0u; k < p.k; k++) { sum += b[right + k * p.b_row]; }
        sums[at.y] = sum;
        return;
    }
    for (var k = 0u; k < p.k; k++) {
        sum += a[left + k * p.a_col] * b[right + k * p.b_row];
    }
    y[at.x * p.n + at.y] = sum;
}

@compute @workgroup_size(16, 16)
fn tile_16(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let tile = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if tile >= p.tiles { return; }
    let at = element(tile, 16u, local);
    let member = coords(at.z, AXES, p.extents, vec2(1u));
    let left = dot(member.lo, p.a_batch) + at.x * p.a_row;
    let right = dot(member.lo, p.b_batch) + at.y * p.b_col;
    let lane = local.y * 16u + local.x;
    var sum = 0.0;
    for (var first = 0u; first < p.k; first += 16u) {
        let i = first + local.x;
        let j = first + local.y;
        var from_a = 0.0;
        var from_b = 0.0;
        if at.x < p.m && i < p.k { from_a = a[left + i * p.a_col]; }
        if at.y < p.n && j < p.k { from_b = b[right + j * p.b_row]; }
        a_tile[lane] = from_a;
        b_tile[lane] = from_b;
        workgroupBarrier();
        for (var s = 0u; s < 16u; s++) {
            sum += a_tile[local.y * 16u + s] * b_tile[s * 16u + local.x];
        }
        workgroupBarrier();
    }
    if at.x >= p.m || at.y >= p.n { return; }
    let i = (at.z * p.m + at.x) * p.n + at.y;
    y[i] = finish(i, at.x, at.y, sum);
}
