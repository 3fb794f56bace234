// Batched matrix product y = op(a) op(b) in blocks of 4x4, which registers hold.
//
//   y[z, r, c] = sum over i of op(a)[z, r, i] * op(b)[z, i, c]
//
// op transposes a side that is stored [k, m] or [n, k]. A block is a mat4x4 held the way the inner
// step wants it: column i of a block of a holds row i of op(a), four elements along k; column i of
// a block of b or y holds row i, four elements along n. Both sides are read as vectors of four
// along their stored rows; a transposed side is turned round in registers.
//
//   lanes       a subgroup of 8 is a workgroup and makes 32x32: each lane the 8 blocks below
//               each other in its four columns, with blocks of a passed around by shuffles, so that
//               every element is loaded once. Needs subgroups of exactly 8.
//   lanes_8     the same for 8x32: for products of few rows
//   rows        8 lanes make 16x32, each lane 4 blocks, loading its blocks of a itself. For
//               drivers on the CPU with other subgroups.
//   tiles_64    256 threads make 64x64, a block each, staged 16 deep in workgroup memory. For GPUs.
//   tiles_128   256 threads make 128x128, 2x2 blocks each, staged 8 deep. For GPUs.
//   join        adds up the parts of a product whose k was split, a thread per element
//
// A workgroup makes one tile of y, in a folded grid of tiles: columns fastest, then rows, then the
// batch, then the part of k. Tiles may hang over the edges: loads there are clamped to the last row
// or column and their results never stored. Elements past the end of k are replaced by zeros.

// Whether a is stored [k, m] and b [n, k].
override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
// Whether the stored rows of a and b are multiples of four elements.
override QUADS_A: bool = false;
override QUADS_B: bool = false;
// Whether k is no multiple of the depth that a kernel takes at a time.
override RAGGED: bool = false;
// Whether the transpose of y is stored.
override SWAP: bool = false;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    tiles: u32,
    batch: u32,
    a_batch: u32,
    b_batch: u32,
    part: u32,
}

struct JoinParams {
    n: u32,
    parts: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
var<immediate> p: Params;
var<immediate> q: JoinParams;
// Blocks of both sides as four planes of columns; a step of four along k starts a row of planes,
// padded so that its columns fall into other banks.
var<workgroup> a_tile: array<vec4<f32>, 264>;
var<workgroup> b_tile: array<vec4<f32>, 264>;

// Where a tile begins: row, column, the first elements of a and b, the matrix of y, and its part
// of k.
struct Place {
    row: u32,
    column: u32,
    a: u32,
    b: u32,
    y: u32,
    first: u32,
    end: u32,
}

fn place(tile: u32, rows: u32, columns: u32) -> Place {
    let above = tile / p.tiles_n;
    let z = above / p.tiles_m;
    let batch = z % p.batch;
    let first = z / p.batch * p.part;
    return Place(
        above % p.tiles_m * rows,
        tile % p.tiles_n * columns,
        batch * p.a_batch,
        batch * p.b_batch,
        z * p.m * p.n,
        first,
        min(first + p.part, p.k),
    );
}

fn a_word(i: u32) -> f32 { return a[i >> 2u][i & 3u]; }
fn b_word(i: u32) -> f32 { return b[i >> 2u][i & 3u]; }

// Elements c to c + 3 of the stored row that starts at `row` and has `columns` elements.
fn a_quad(row: u32, c: u32, columns: u32) -> vec4<f32> {
    if QUADS_A { return a[(row + min(c, columns - 4u)) >> 2u]; }
    let i = row + min(vec4(c) + vec4(0u, 1u, 2u, 3u), vec4(columns - 1u));
    return vec4(a_word(i.x), a_word(i.y), a_word(i.z), a_word(i.w));
}

fn b_quad(row: u32, c: u32, columns: u32) -> vec4<f32> {
    if QUADS_B { return b[(row + min(c, columns - 4u)) >> 2u]; }
    let i = row + min(vec4(c) + vec4(0u, 1u, 2u, 3u), vec4(columns - 1u));
    return vec4(b_word(i.x), b_word(i.y), b_word(i.z), b_word(i.w));
}

// The starts of the stored rows r to r + 3 of a matrix that starts at `at`.
fn row_starts(at: u32, r: u32, rows: u32, columns: u32) -> vec4<u32> {
    return at + min(vec4(r) + vec4(0u, 1u, 2u, 3u), vec4(rows - 1u)) * columns;
}

// The block of op(a) at `row` and k.
fn a_block(at: u32, row: u32, k: u32) -> mat4x4<f32> {
    let rows = select(p.m, p.k, TRANSPOSE_A);
    let columns = select(p.k, p.m, TRANSPOSE_A);
    let starts = row_starts(at, select(row, k, TRANSPOSE_A), rows, columns);
    let c = select(k, row, TRANSPOSE_A);
    var block = mat4x4(
        a_quad(starts.x, c, columns),
        a_quad(starts.y, c, columns),
        a_quad(starts.z, c, columns),
        a_quad(starts.w, c, columns),
    );
    if TRANSPOSE_A { block = transpose(block); }
    if RAGGED {
        let inside = vec4(k) + vec4(0u, 1u, 2u, 3u) < vec4(p.k);
        let zero = vec4(0.0);
        block = mat4x4(
            select(zero, block[0], inside),
            select(zero, block[1], inside),
            select(zero, block[2], inside),
            select(zero, block[3], inside),
        );
    }
    return block;
}

// The block of op(b) at k and `column`.
fn b_block(at: u32, k: u32, column: u32) -> mat4x4<f32> {
    let rows = select(p.k, p.n, TRANSPOSE_B);
    let columns = select(p.n, p.k, TRANSPOSE_B);
    let starts = row_starts(at, select(k, column, TRANSPOSE_B), rows, columns);
    let c = select(column, k, TRANSPOSE_B);
    var block = mat4x4(
        b_quad(starts.x, c, columns),
        b_quad(starts.y, c, columns),
        b_quad(starts.z, c, columns),
        b_quad(starts.w, c, columns),
    );
    if TRANSPOSE_B { block = transpose(block); }
    if RAGGED {
        let zero = vec4(0.0);
        block = mat4x4(
            select(zero, block[0], k < p.k),
            select(zero, block[1], k + 1u < p.k),
            select(zero, block[2], k + 2u < p.k),
            select(zero, block[3], k + 3u < p.k),
        );
    }
    return block;
}

// One row of a block of y plus a row of op(a) times a block of op(b).
fn add_row(y: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    var sum = fma(vec4(a.x), b[0], y);
    sum = fma(vec4(a.y), b[1], sum);
    sum = fma(vec4(a.z), b[2], sum);
    return fma(vec4(a.w), b[3], sum);
}

// A block of y plus a block of op(a) times a block of op(b).
fn add(y: mat4x4<f32>, a: mat4x4<f32>, b: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(
        add_row(y[0], a[0], b),
        add_row(y[1], a[1], b),
        add_row(y[2], a[2], b),
        add_row(y[3], a[3], b),
    );
}

// Lane `lane`'s block.
fn block_of(lane: u32, block: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(
        subgroupShuffle(block[0], lane),
        subgroupShuffle(block[1], lane),
        subgroupShuffle(block[2], lane),
        subgroupShuffle(block[3], lane),
    );
}

fn store_row(start: u32, c: u32, columns: u32, row: vec4<f32>) {
    let i = start + c;
    if c < columns { y[i] = row.x; }
    if c + 1u < columns { y[i + 1u] = row.y; }
    if c + 2u < columns { y[i + 2u] = row.z; }
    if c + 3u < columns { y[i + 3u] = row.w; }
}

// Stores a block of y at `row` and `column` as far as it lies within.
fn store(at: u32, row: u32, column: u32, block: mat4x4<f32>) {
    let r = select(row, column, SWAP);
    let c = select(column, row, SWAP);
    let rows = select(p.m, p.n, SWAP);
    let columns = select(p.n, p.m, SWAP);
    var stored = block;
    if SWAP { stored = transpose(block); }
    let start = at + r * columns;
    if r < rows { store_row(start, c, columns, stored[0]); }
    if r + 1u < rows { store_row(start + columns, c, columns, stored[1]); }
    if r + 2u < rows { store_row(start + 2u * columns, c, columns, stored[2]); }
    if r + 3u < rows { store_row(start + 3u * columns, c, columns, stored[3]); }
}

@compute @workgroup_size(8)
fn lanes(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 32u, 32u);
    let row = at.row + 4u * lane;
    let column = at.column + 4u * lane;
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    var y2 = mat4x4<f32>();
    var y3 = mat4x4<f32>();
    var y4 = mat4x4<f32>();
    var y5 = mat4x4<f32>();
    var y6 = mat4x4<f32>();
    var y7 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let left = a_block(at.a, row, k);
        let right = b_block(at.b, k, column);
        y0 = add(y0, block_of(0u, left), right);
        y1 = add(y1, block_of(1u, left), right);
        y2 = add(y2, block_of(2u, left), right);
        y3 = add(y3, block_of(3u, left), right);
        y4 = add(y4, block_of(4u, left), right);
        y5 = add(y5, block_of(5u, left), right);
        y6 = add(y6, block_of(6u, left), right);
        y7 = add(y7, block_of(7u, left), right);
    }
    store(at.y, at.row, column, y0);
    store(at.y, at.row + 4u, column, y1);
    store(at.y, at.row + 8u, column, y2);
    store(at.y, at.row + 12u, column, y3);
    store(at.y, at.row + 16u, column, y4);
    store(at.y, at.row + 20u, column, y5);
    store(at.y, at.row + 24u, column, y6);
    store(at.y, at.row + 28u, column, y7);
}

@compute @workgroup_size(8)
fn lanes_8(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 8u, 32u);
    let row = at.row + 4u * lane;
    let column = at.column + 4u * lane;
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let left = a_block(at.a, row, k);
        let right = b_block(at.b, k, column);
        y0 = add(y0, block_of(0u, left), right);
        y1 = add(y1, block_of(1u, left), right);
    }
    store(at.y, at.row, column, y0);
    store(at.y, at.row + 4u, column, y1);
}

@compute @workgroup_size(8)
fn rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 16u, 32u);
    let column = at.column + 4u * lane;
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    var y2 = mat4x4<f32>();
    var y3 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let right = b_block(at.b, k, column);
        y0 = add(y0, a_block(at.a, at.row, k), right);
        y1 = add(y1, a_block(at.a, at.row + 4u, k), right);
        y2 = add(y2, a_block(at.a, at.row + 8u, k), right);
        y3 = add(y3, a_block(at.a, at.row + 12u, k), right);
    }
    store(at.y, at.row, column, y0);
    store(at.y, at.row + 4u, column, y1);
    store(at.y, at.row + 8u, column, y2);
    store(at.y, at.row + 12u, column, y3);
}

// Which block of a stage a thread brings in: x its place along rows or columns, y along k. Threads
// side by side read side by side in memory.
fn brought(lane: u32, along_k: bool, across: u32) -> vec2<u32> {
    let deep = 64u / across;
    return select(vec2(lane % across, lane / across), vec2(lane / deep, lane % deep), along_k);
}

// Threads 0 to 63 bring a block of a, the next 64 one of b; `across` blocks lie side by side.
fn bring(at: Place, lane: u32, across: u32, k: u32) -> mat4x4<f32> {
    if lane < 64u {
        let block = brought(lane, !TRANSPOSE_A, across);
        return a_block(at.a, at.row + 4u * block.x, k + 4u * block.y);
    }
    if lane < 128u {
        let block = brought(lane - 64u, TRANSPOSE_B, across);
        return b_block(at.b, k + 4u * block.y, at.column + 4u * block.x);
    }
    return mat4x4<f32>();
}

fn stage(lane: u32, across: u32, deep_stride: u32, block: mat4x4<f32>) {
    if lane < 64u {
        let to = brought(lane, !TRANSPOSE_A, across);
        let i = to.y * deep_stride + to.x;
        a_tile[i] = block[0];
        a_tile[i + across] = block[1];
        a_tile[i + 2u * across] = block[2];
        a_tile[i + 3u * across] = block[3];
    } else if lane < 128u {
        let to = brought(lane - 64u, TRANSPOSE_B, across);
        let i = to.y * deep_stride + to.x;
        b_tile[i] = block[0];
        b_tile[i + across] = block[1];
        b_tile[i + 2u * across] = block[2];
        b_tile[i + 3u * across] = block[3];
    }
}

fn a_staged(i: u32, across: u32) -> mat4x4<f32> {
    return mat4x4(a_tile[i], a_tile[i + across], a_tile[i + 2u * across], a_tile[i + 3u * across]);
}

fn b_staged(i: u32, across: u32) -> mat4x4<f32> {
    return mat4x4(b_tile[i], b_tile[i + across], b_tile[i + 2u * across], b_tile[i + 3u * across]);
}

@compute @workgroup_size(16, 16)
fn tiles_64(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if tile >= p.tiles { return; }
    let at = place(tile, 64u, 64u);
    var y0 = mat4x4<f32>();
    var next = bring(at, lane, 16u, at.first);
    for (var k = at.first; k < at.end; k += 16u) {
        stage(lane, 16u, 66u, next);
        workgroupBarrier();
        // The next stage is under way while this one is worked on.
        if k + 16u < at.end { next = bring(at, lane, 16u, k + 16u); }
        for (var i = 0u; i < 264u; i += 66u) {
            y0 = add(y0, a_staged(i + local.y, 16u), b_staged(i + local.x, 16u));
        }
        workgroupBarrier();
    }
    store(at.y, at.row + 4u * local.y, at.column + 4u * local.x, y0);
}

@compute @workgroup_size(16, 16)
fn tiles_128(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if tile >= p.tiles { return; }
    let at = place(tile, 128u, 128u);
    var y00 = mat4x4<f32>();
    var y01 = mat4x4<f32>();
    var y10 = mat4x4<f32>();
    var y11 = mat4x4<f32>();
    var next = bring(at, lane, 32u, at.first);
    for (var k = at.first; k < at.end; k += 8u) {
        stage(lane, 32u, 132u, next);
        workgroupBarrier();
        // The next stage is under way while this one is worked on.
        if k + 8u < at.end { next = bring(at, lane, 32u, k + 8u); }
        for (var i = 0u; i < 264u; i += 132u) {
            let upper = a_staged(i + local.y, 32u);
            let lower = a_staged(i + local.y + 16u, 32u);
            let left = b_staged(i + local.x, 32u);
            let right = b_staged(i + local.x + 16u, 32u);
            y00 = add(y00, upper, left);
            y01 = add(y01, upper, right);
            y10 = add(y10, lower, left);
            y11 = add(y11, lower, right);
        }
        workgroupBarrier();
    }
    let row = at.row + 4u * local.y;
    let column = at.column + 4u * local.x;
    store(at.y, row, column, y00);
    store(at.y, row, column + 64u, y01);
    store(at.y, row + 64u, column, y10);
    store(at.y, row + 64u, column + 64u, y11);
}

@compute @workgroup_size(64)
fn join(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n { return; }
    var total = 0.0;
    for (var part = 0u; part < q.parts; part++) {
        total += x[part * q.n + i];
    }
    sum[i] = total;
}
