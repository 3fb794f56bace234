// Batched matrix product y = op(a) op(b): the operands of the kernels in gemm.wgsl.
//
//   y[z, r, c] = sum over i of op(a)[z, r, i] * op(b)[z, i, c]
//
// op transposes a side that is stored [k, m] or [n, k]. Both sides are read as vectors of four along
// their stored rows; a transposed side is turned round in registers. Each operand begins at an
// element of its binding, has rows that lie a stride apart, and strides of its own for up to four axes of
// the batch, 0 where one matrix serves a whole axis, so that products of parts of matrices, and of one
// matrix with many, go by the same kernels.
//
// `join` adds up the parts of any product or sum that was split, a thread of 64 per element, in a folded grid;
// `join_both` those of a product and of the sums beside it.

// The number of axes that the batch has.
override AXES: u32 = 1u;
// Whether a is stored [k, m] and b [n, k].
override TRANSPOSE_A: bool = false;
override TRANSPOSE_B: bool = false;
// Whether all rows of a and b begin and end at multiples of four elements.
override QUADS_A: bool = false;
override QUADS_B: bool = false;
// Whether k is no multiple of the depth that a kernel takes at a time.
override RAGGED: bool = false;
// Whether the transpose of y is stored.
override SWAP: bool = false;
// Whether y is added to what is there.
override ACCUMULATE: bool = false;
// Whether a, or with SWAP b, has a row or a column of ones after its own, which m or n counts: the sums that
// it makes are not y's but go to `keep_sum`.
override ONES: bool = false;

struct Params {
    extents: vec4<u32>,
    a_batch: vec4<u32>,
    b_batch: vec4<u32>,
    m: u32,
    n: u32,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    tiles: u32,
    batch: u32,
    part: u32,
    a_first: u32,
    a_row: u32,
    b_first: u32,
    b_row: u32,
    y_first: u32,
    y_row: u32,
    y_batch: u32,
    y_part: u32,
    // How many sums a part makes.
    sums: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<immediate> p: Params;

// Where one member of the batch begins, and the first of four rows or columns of the product.
struct Left { at: u32, row: u32 }
struct Right { at: u32, column: u32 }
struct Step { k: u32 }

fn step_at(k: u32) -> Step { return Step(k); }
fn step_on(step: Step) -> Step { return Step(step.k + 4u); }

fn left_at(at: Place, row: u32) -> Left {
    return Left(p.a_first + dot(coords(at.z, AXES, p.extents, vec2(1u)).lo, p.a_batch), row);
}

fn right_at(at: Place, column: u32) -> Right {
    return Right(p.b_first + dot(coords(at.z, AXES, p.extents, vec2(1u)).lo, p.b_batch), column);
}

fn a_word(i: u32) -> f32 { return a[i >> 2u][i & 3u]; }
fn b_word(i: u32) -> f32 { return b[i >> 2u][i & 3u]; }

// Elements c to c + 3 of the stored row that starts at `row` and has `columns` elements.
fn a_quad(row: u32, c: u32, columns: u32) -> vec4<f32> {
    if QUADS_A { return a[(row + min(c, columns - 4u)) >> 2u]; }
    let i = row + min(vec4(c) + NEXT, vec4(columns - 1u));
    return vec4(a_word(i.x), a_word(i.y), a_word(i.z), a_word(i.w));
}

fn b_quad(row: u32, c: u32, columns: u32) -> vec4<f32> {
    if QUADS_B { return b[(row + min(c, columns - 4u)) >> 2u]; }
    let i = row + min(vec4(c) + NEXT, vec4(columns - 1u));
    return vec4(b_word(i.x), b_word(i.y), b_word(i.z), b_word(i.w));
}

// The starts of the stored rows r to r + 3 of a matrix that starts at `at`.
fn row_starts(at: u32, r: u32, rows: u32, stride: u32) -> vec4<u32> {
    return at + min(vec4(r) + NEXT, vec4(rows - 1u)) * stride;
}

// Rows of a and columns of b that are stored.
fn stored_m() -> u32 { return select(p.m, p.m - 1u, ONES && !SWAP); }
fn stored_n() -> u32 { return select(p.n, p.n - 1u, ONES && SWAP); }

fn a_block(side: Left, step: Step) -> mat4x4<f32> {
    let row = side.row;
    let k = step.k;
    let rows = select(stored_m(), p.k, TRANSPOSE_A);
    let columns = select(p.k, stored_m(), TRANSPOSE_A);
    let starts = row_starts(side.at, select(row, k, TRANSPOSE_A), rows, p.a_row);
    let c = select(k, row, TRANSPOSE_A);
    var block = mat4x4(
        a_quad(starts.x, c, columns),
        a_quad(starts.y, c, columns),
        a_quad(starts.z, c, columns),
        a_quad(starts.w, c, columns),
    );
    if TRANSPOSE_A { block = transpose(block); }
    if ONES && !SWAP {
        let one = vec4(1.0);
        let ones = vec4(row) + NEXT == vec4(stored_m());
        block = mat4x4(
            select(block[0], one, ones.x),
            select(block[1], one, ones.y),
            select(block[2], one, ones.z),
            select(block[3], one, ones.w),
        );
    }
    if RAGGED {
        let inside = vec4(k) + NEXT < vec4(p.k);
        block = kept(block, inside);
    }
    return block;
}

fn b_block(side: Right, step: Step) -> mat4x4<f32> {
    let column = side.column;
    let k = step.k;
    let rows = select(p.k, stored_n(), TRANSPOSE_B);
    let columns = select(stored_n(), p.k, TRANSPOSE_B);
    let starts = row_starts(side.at, select(k, column, TRANSPOSE_B), rows, p.b_row);
    let c = select(column, k, TRANSPOSE_B);
    var block = mat4x4(
        b_quad(starts.x, c, columns),
        b_quad(starts.y, c, columns),
        b_quad(starts.z, c, columns),
        b_quad(starts.w, c, columns),
    );
    if TRANSPOSE_B { block = transpose(block); }
    if ONES && SWAP {
        let one = vec4(1.0);
        let ones = vec4(column) + NEXT == vec4(stored_n());
        block = mat4x4(
            select(block[0], one, ones),
            select(block[1], one, ones),
            select(block[2], one, ones),
            select(block[3], one, ones),
        );
    }
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

// ---------------------------------------------------------------- for tiles.wgsl

fn a_along_k() -> bool { return !TRANSPOSE_A; }
fn b_along_k() -> bool { return TRANSPOSE_B; }

// Where the stage begins; past the end, the last one is read again. It is the same for all threads.
struct Way { k: u32 }

fn way_at(at: Place, a: Spot, b: Spot) -> Way { return Way(at.first); }
fn way_on(way: Way, k: u32) -> Way { return Way(min(k, (p.k - 1u) / DEPTH * DEPTH)); }

// What a piece is read from: where its elements at k = 0 are, how far its place along k is from a stage's beginning,
// and which of the four are ones.
struct Side {
    start: vec4<u32>,
    ahead: u32,
    ones: vec4<bool>,
}

alias ASide = Side;
alias BSide = Side;

struct Piece {
    v: vec4<f32>,
    inside: vec4<bool>,
}

// The side of a matrix that begins at `base`, of `size` stored rows or columns; `across` is where in them the piece
// begins, and a row or column of ones lies after them if `ones` says so.
fn side_of(base: u32, stride: u32, size: u32, along_k: bool, quads: bool, across: u32, deep: u32, ones: bool) -> Side {
    if along_k {
        return Side(vec4(base + min(across, size - 1u) * stride), 4u * deep, vec4(ones && across == size));
    }
    let all = vec4(across) + NEXT;
    let most = select(vec4(size - 1u), vec4(size - 4u), quads);
    return Side(vec4(base) + min(all, most), deep, vec4(ones) & (all == vec4(size)));
}

fn a_side(at: Place, spot: Spot) -> ASide {
    let across = at.row + select(4u, 1u, a_along_k()) * spot.across;
    let base = left_at(at, 0u).at;
    return side_of(base, p.a_row, stored_m(), a_along_k(), QUADS_A, across, spot.deep, ONES && !SWAP);
}

fn b_side(at: Place, spot: Spot) -> BSide {
    let across = at.column + select(4u, 1u, b_along_k()) * spot.across;
    let base = right_at(at, 0u).at;
    return side_of(base, p.b_row, stored_n(), b_along_k(), QUADS_B, across, spot.deep, ONES && SWAP);
}

// Which vector of the operand a piece is, of rows that begin and end at multiples of four elements.
fn quad_at(side: Side, k: u32, stride: u32, along_k: bool) -> u32 {
    if RAGGED {
        if along_k { return (side.start.x + min(k + side.ahead, p.k - 4u)) >> 2u; }
        return (side.start.x + min(k + side.ahead, p.k - 1u) * stride) >> 2u;
    }
    if along_k { return ((side.start.x + side.ahead) >> 2u) + (k >> 2u); }
    return ((side.start.x + side.ahead * stride) >> 2u) + ((k * stride) >> 2u);
}

// Where the elements of a piece are, of other rows.
fn elements_at(side: Side, k: u32, stride: u32, along_k: bool) -> vec4<u32> {
    if RAGGED {
        if along_k { return side.start + min(vec4(k + side.ahead) + NEXT, vec4(p.k - 1u)); }
        return side.start + min(k + side.ahead, p.k - 1u) * stride;
    }
    if along_k { return side.start + side.ahead + NEXT + k; }
    return side.start + side.ahead * stride + k * stride;
}

fn within(side: Side, k: u32, along_k: bool) -> vec4<bool> {
    return vec4(k + side.ahead) + select(vec4(0u), NEXT, along_k) < vec4(p.k);
}

fn a_brought(side: ASide, way: Way) -> Piece {
    let inside = within(side, way.k, a_along_k());
    if QUADS_A { return Piece(a[quad_at(side, way.k, p.a_row, a_along_k())], inside); }
    let i = elements_at(side, way.k, p.a_row, a_along_k());
    return Piece(vec4(a_word(i.x), a_word(i.y), a_word(i.z), a_word(i.w)), inside);
}

fn b_brought(side: BSide, way: Way) -> Piece {
    let inside = within(side, way.k, b_along_k());
    if QUADS_B { return Piece(b[quad_at(side, way.k, p.b_row, b_along_k())], inside); }
    let i = elements_at(side, way.k, p.b_row, b_along_k());
    return Piece(vec4(b_word(i.x), b_word(i.y), b_word(i.z), b_word(i.w)), inside);
}

fn kept_piece(side: Side, piece: Piece) -> vec4<f32> {
    var v = piece.v;
    if ONES { v = select(v, vec4(1.0), side.ones); }
    if RAGGED { v = select(vec4(0.0), v, piece.inside); }
    return v;
}

fn a_kept(side: ASide, piece: Piece) -> vec4<f32> { return kept_piece(side, piece); }
fn b_kept(side: BSide, piece: Piece) -> vec4<f32> { return kept_piece(side, piece); }

// ---------------------------------------------------------------- results

fn keep(i: u32, r: u32, c: u32, v: f32) {
    if ACCUMULATE { y[i] += v; } else { y[i] = finish(i, r, c, v); }
}

// Where columns `column` to `column + 3` of the product begin, which are rows of y with SWAP.
fn columns_at(at: Place, column: u32) -> vec4<u32> {
    let start = p.y_first + at.part * p.y_part + at.z * p.y_batch;
    return start + (vec4(column) + NEXT) * select(1u, p.y_row, SWAP);
}

// Stores an element of the product, whose column begins at `lying`.
fn put(at: Place, row: u32, column: u32, lying: u32, v: f32) {
    let r = select(row, column, SWAP);
    let c = select(column, row, SWAP);
    if ONES && r == select(stored_m(), stored_n(), SWAP) {
        keep_sum(at.part * p.sums + c, v);
    } else {
        keep(lying + row * select(p.y_row, 1u, SWAP), r, c, v);
    }
}

// The sums of columns c to c + 3, of which there are so many.
fn keep_sums(first: u32, c: u32, columns: u32, row: vec4<f32>) {
    if c < columns { keep_sum(first + c, row.x); }
    if c + 1u < columns { keep_sum(first + c + 1u, row.y); }
    if c + 2u < columns { keep_sum(first + c + 2u, row.z); }
    if c + 3u < columns { keep_sum(first + c + 3u, row.w); }
}

fn store_row(start: u32, r: u32, c: u32, columns: u32, row: vec4<f32>) {
    if c < columns { keep(start + c, r, c, row.x); }
    if c + 1u < columns { keep(start + c + 1u, r, c + 1u, row.y); }
    if c + 2u < columns { keep(start + c + 2u, r, c + 2u, row.z); }
    if c + 3u < columns { keep(start + c + 3u, r, c + 3u, row.w); }
}

// Stores a block of y at `row` and `column` as far as it lies within.
fn store(at: Place, row: u32, column: u32, block: mat4x4<f32>) {
    let r = select(row, column, SWAP);
    let c = select(column, row, SWAP);
    let rows = select(stored_m(), stored_n(), SWAP);
    let columns = select(p.n, p.m, SWAP);
    var stored = block;
    if SWAP { stored = transpose(block); }
    if ONES {
        let first = at.part * p.sums;
        if r == rows { keep_sums(first, c, columns, stored[0]); }
        if r + 1u == rows { keep_sums(first, c, columns, stored[1]); }
        if r + 2u == rows { keep_sums(first, c, columns, stored[2]); }
        if r + 3u == rows { keep_sums(first, c, columns, stored[3]); }
    }
    let start = p.y_first + at.part * p.y_part + at.z * p.y_batch + r * p.y_row;
    if r < rows { store_row(start, r, c, columns, stored[0]); }
    if r + 1u < rows { store_row(start + p.y_row, r + 1u, c, columns, stored[1]); }
    if r + 2u < rows { store_row(start + 2u * p.y_row, r + 2u, c, columns, stored[2]); }
    if r + 3u < rows { store_row(start + 3u * p.y_row, r + 3u, c, columns, stored[3]); }
}

// As `lanes` of gemm.wgsl, for 16x32.
@compute @workgroup_size(8)
fn lanes_16(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 16u, 32u);
    let rows = left_at(at, at.row + 4u * lane);
    let column = at.column + 4u * lane;
    let columns = right_at(at, column);
    var step = step_at(at.first);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    var y2 = mat4x4<f32>();
    var y3 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let left = a_block(rows, step);
        let right = b_block(columns, step);
        y0 = add(y0, block_of(0u, left), right);
        y1 = add(y1, block_of(1u, left), right);
        y2 = add(y2, block_of(2u, left), right);
        y3 = add(y3, block_of(3u, left), right);
        step = step_on(step);
    }
    store_16(at, column, y0, y1, y2, y3);
}

struct JoinParams {
    n: u32,
    parts: u32,
    // What `finish` is told: row (i / inner) % rows, column i % columns.
    inner: u32,
    rows: u32,
    columns: u32,
}

@group(0) @binding(0) var<storage, read> summand: array<f32>;
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
var<immediate> q: JoinParams;

@compute @workgroup_size(64)
fn join(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n { return; }
    var total = 0.0;
    for (var part = 0u; part < q.parts; part++) {
        total += summand[part * q.n + i];
    }
    sum[i] = finish(i, i / q.inner % q.rows, i % q.columns, total);
}

struct JoinBothParams {
    n: u32,
    sums: u32,
    parts: u32,
}

@group(0) @binding(4) var<storage, read> product_parts: array<f32>;
@group(0) @binding(5) var<storage, read> sum_parts: array<f32>;
@group(0) @binding(6) var<storage, read_write> whole_product: array<f32>;
@group(0) @binding(7) var<storage, read_write> whole_sums: array<f32>;
var<immediate> both: JoinBothParams;

@compute @workgroup_size(64)
fn join_both(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    var total = 0.0;
    if i < both.n {
        for (var part = 0u; part < both.parts; part++) { total += product_parts[part * both.n + i]; }
        whole_product[i] = total;
    } else if i - both.n < both.sums {
        let at = i - both.n;
        for (var part = 0u; part < both.parts; part++) { total += sum_parts[part * both.sums + at]; }
        whole_sums[at] = total;
    }
}
