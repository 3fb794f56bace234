// Kernels of the product y = a b in blocks of 4x4, which registers hold. Appended after a source
// that says what the operands are:
//
//   p                     a parameter block with at least k, tiles_m, tiles_n, tiles, batch and part
//   Step                  a place along k: step_at(k), and step_on(step) for the place 4 further
//   Left, Right           four rows of a, four columns of b: left_at(place, row),
//                         right_at(place, column)
//   a_block, b_block      the 4x4 elements of either at a step
//   columns_at, put       where a column of y lies, and what puts an element of a row and that column there, through
//                         `finish`
//
// `kept` serves a_block past the end of k.
//
// A block is a mat4x4 held the way the inner step wants it: column i of a block of a holds row i,
// four elements along k; column i of a block of b or y holds row i, four elements along n.
//
//   lanes       a subgroup of 8 is a workgroup and makes 32x32: each lane the 8 blocks below
//               each other in its four columns, with blocks of a passed around by shuffles, so that
//               every element is loaded once. Needs subgroups of exactly 8.
//   lanes_8     the same for 8x32: for products of few rows. Others for few rows are with their operands:
//               lanes_16 in matmul_blocks.wgsl, lanes_16 and lanes_24 in conv_blocks.wgsl.
//   rows        8 lanes make 16x32, each lane 4 blocks, loading its blocks of a itself. For
//               drivers on the CPU with other subgroups.
//
// Kernels for GPUs are in tiles.wgsl.
//
// A workgroup makes one tile of y, in a folded grid of tiles: columns fastest, then rows, then the
// batch, then the part of k. Tiles may hang over the edges: loads there are clamped to the last row
// or column and their results never stored. Elements past the end of k are zeros.
//
// Kernels for drivers on the CPU store their blocks one after the other, in a loop in which the next block takes the
// place of the one before, and the rows of a block likewise: such a driver would spend half of a kernel's
// compilation on a copy of `finish` and of a store for each element.

const NEXT = vec4(0u, 1u, 2u, 3u);

// Where a tile begins: row, column, member of the batch, part of k and where that begins and ends.
struct Place {
    row: u32,
    column: u32,
    z: u32,
    part: u32,
    first: u32,
    end: u32,
}

fn place(tile: u32, rows: u32, columns: u32) -> Place {
    let above = tile / p.tiles_n;
    let beyond = above / p.tiles_m;
    let part = beyond / p.batch;
    let first = part * p.part;
    return Place(
        (above - beyond * p.tiles_m) * rows,
        (tile - above * p.tiles_n) * columns,
        beyond - part * p.batch,
        part,
        first,
        min(first + p.part, p.k),
    );
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

// A block with zeros in the columns' elements that lie outside.
fn kept(block: mat4x4<f32>, inside: vec4<bool>) -> mat4x4<f32> {
    let zero = vec4(0.0);
    return mat4x4(
        select(zero, block[0], inside),
        select(zero, block[1], inside),
        select(zero, block[2], inside),
        select(zero, block[3], inside),
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

// Stores a block of y at `row` and `column` as far as it lies within, row by row; `lying` says where its columns lie.
fn store_each(at: Place, row: u32, column: u32, lying: vec4<u32>, block: mat4x4<f32>) {
    let row_end = min(row + 4u, p.m);
    var rows = block;
    for (var r = row; r < row_end; r++) {
        let v = rows[0];
        if column < p.n { put(at, r, column, lying.x, v.x); }
        if column + 1u < p.n { put(at, r, column + 1u, lying.y, v.y); }
        if column + 2u < p.n { put(at, r, column + 2u, lying.z, v.z); }
        if column + 3u < p.n { put(at, r, column + 3u, lying.w, v.w); }
        rows = mat4x4(rows[1], rows[2], rows[3], rows[0]);
    }
}

// Stores four blocks below each other.
fn store_16(at: Place, column: u32, first: mat4x4<f32>, second: mat4x4<f32>, third: mat4x4<f32>, last: mat4x4<f32>) {
    let lying = columns_at(at, column);
    let end = min(at.row + 16u, p.m);
    var y0 = first;
    var y1 = second;
    var y2 = third;
    for (var row = at.row; row < end; row += 4u) {
        store_each(at, row, column, lying, y0);
        y0 = y1;
        y1 = y2;
        y2 = last;
    }
}

@compute @workgroup_size(8)
fn lanes(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 32u, 32u);
    let rows = left_at(at, at.row + 4u * lane);
    let column = at.column + 4u * lane;
    let columns = right_at(at, column);
    var step = step_at(at.first);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    var y2 = mat4x4<f32>();
    var y3 = mat4x4<f32>();
    var y4 = mat4x4<f32>();
    var y5 = mat4x4<f32>();
    var y6 = mat4x4<f32>();
    var y7 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let left = a_block(rows, step);
        let right = b_block(columns, step);
        y0 = add(y0, block_of(0u, left), right);
        y1 = add(y1, block_of(1u, left), right);
        y2 = add(y2, block_of(2u, left), right);
        y3 = add(y3, block_of(3u, left), right);
        y4 = add(y4, block_of(4u, left), right);
        y5 = add(y5, block_of(5u, left), right);
        y6 = add(y6, block_of(6u, left), right);
        y7 = add(y7, block_of(7u, left), right);
        step = step_on(step);
    }
    let lying = columns_at(at, column);
    let end = min(at.row + 32u, p.m);
    for (var row = at.row; row < end; row += 4u) {
        store_each(at, row, column, lying, y0);
        y0 = y1;
        y1 = y2;
        y2 = y3;
        y3 = y4;
        y4 = y5;
        y5 = y6;
        y6 = y7;
    }
}

@compute @workgroup_size(8)
fn lanes_8(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 8u, 32u);
    let rows = left_at(at, at.row + 4u * lane);
    let column = at.column + 4u * lane;
    let columns = right_at(at, column);
    var step = step_at(at.first);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let left = a_block(rows, step);
        let right = b_block(columns, step);
        y0 = add(y0, block_of(0u, left), right);
        y1 = add(y1, block_of(1u, left), right);
        step = step_on(step);
    }
    let lying = columns_at(at, column);
    let end = min(at.row + 8u, p.m);
    for (var row = at.row; row < end; row += 4u) {
        store_each(at, row, column, lying, y0);
        y0 = y1;
    }
}

@compute @workgroup_size(8)
fn rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 16u, 32u);
    let rows_0 = left_at(at, at.row);
    let rows_1 = left_at(at, at.row + 4u);
    let rows_2 = left_at(at, at.row + 8u);
    let rows_3 = left_at(at, at.row + 12u);
    let column = at.column + 4u * lane;
    let columns = right_at(at, column);
    var step = step_at(at.first);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    var y2 = mat4x4<f32>();
    var y3 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let right = b_block(columns, step);
        y0 = add(y0, a_block(rows_0, step), right);
        y1 = add(y1, a_block(rows_1, step), right);
        y2 = add(y2, a_block(rows_2, step), right);
        y3 = add(y3, a_block(rows_3, step), right);
        step = step_on(step);
    }
    store_16(at, column, y0, y1, y2, y3);
}
