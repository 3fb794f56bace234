// Convolution and its two gradients as matrix products whose second operand is made up of an
// image's patches on the fly (implicit GEMM): the operands of the kernels in gemm.wgsl.
//
//                a               b                                  y
//   MODE 0       filters         patches of x                       results
//                [o, (c, p, q)]  [(c, p, q), (n, i, j)]             [o, (n, i, j)]
//   MODE 1       filters of c    results that a pixel went into     images
//                [c, (o, p, q)]  [(o, p, q), (n, row, column)]      [c, (n, row, column)]
//   MODE 2       results         patches of x                       filters
//                [o, (n, i, j)]  [(n, i, j), (c, p, q)]             [o, (c, p, q)]
//
// with p, q under the window, i, j its position. The batch of the product is the convolution's
// groups. Every index (u, v, w) of three is one along k or along the columns of b, whose extents
// are step_h, step_w and column_h, column_w. An element of b is at
//
//   base: u of the step * b_step + u of the column * b_column + z * b_group
//   row, column: the step's and the column's v and w, scaled and moved so that their sum is the
//   place in the image; in MODE 1, SH and SW times the place in the result
//
// and zero where that is outside. Coordinates left of and above wrap around to large numbers.

override MODE: u32 = 0u;
override KH: u32 = 1u;
override KW: u32 = 1u;
override SH: u32 = 1u;
override SW: u32 = 1u;
override DH: u32 = 1u;
override DW: u32 = 1u;
// Whether elements of a at k, k + 1, k + 2 and k + 3 are a vector, for k a multiple of four.
override QUADS_A: bool = false;
// In MODE 2, whether an image has less than four results.
override TINY: bool = false;
// Whether a window may reach over the edges of what b is read from.
override PADDED: bool = true;
// Whether k is no multiple of the depth that a kernel takes at a time.
override RAGGED: bool = false;
// Whether b has a column of ones after its own, which n counts: the sums that it makes are not y's but go to
// `keep_sum`. In MODE 2.
override ONES: bool = false;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    tiles_m: u32,
    tiles_n: u32,
    tiles: u32,
    batch: u32,
    part: u32,
    step_h: u32,
    step_w: u32,
    column_h: u32,
    column_w: u32,
    // Height and width of what b is read from.
    height: u32,
    width: u32,
    top: u32,
    left: u32,
    a_group: u32,
    a_row: u32,
    a_step: u32,
    b_group: u32,
    b_step: u32,
    b_column: u32,
    y_group: u32,
    y_row: u32,
    y_column: u32,
    y_part: u32,
    // How many sums a part makes.
    sums: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<immediate> p: Params;

// The starts of four rows of a.
struct Left { rows: vec4<u32> }

// Base, row and column of four columns of b.
struct Right {
    base: vec4<u32>,
    row: vec4<u32>,
    column: vec4<u32>,
    // Which of them are ones.
    ones: vec4<bool>,
}

// A place along k and its index (u, v, w).
struct Step {
    k: u32,
    index: vec3<u32>,
}

fn step_height() -> u32 { return select(KH, p.step_h, MODE == 2u); }
fn step_width() -> u32 { return select(KW, p.step_w, MODE == 2u); }

fn step_at(k: u32) -> Step {
    let line = k / step_width();
    let u = line / step_height();
    return Step(k, vec3(u, line - u * step_height(), k - line * step_width()));
}

fn following(index: vec3<u32>) -> vec3<u32> {
    let w = index.z + 1u;
    let over = w == step_width();
    let v = index.y + select(0u, 1u, over);
    let above = v == step_height();
    return vec3(index.x + select(0u, 1u, above), select(v, 0u, above), select(w, 0u, over));
}

fn step_on(step: Step) -> Step {
    return Step(step.k + 4u, following(following(following(following(step.index)))));
}

fn left_at(at: Place, row: u32) -> Left {
    return Left(rows_at(at, vec4(row) + NEXT));
}

fn rows_at(at: Place, rows: vec4<u32>) -> vec4<u32> {
    return at.z * p.a_group + min(rows, vec4(p.m - 1u)) * p.a_row;
}

fn stored_n() -> u32 { return select(p.n, p.n - 1u, ONES); }

fn right_at(at: Place, column: u32) -> Right {
    let all = vec4(column) + NEXT;
    let ones = vec4(ONES) & (all == vec4(stored_n()));
    let i = min(all, vec4(stored_n() - 1u));
    let width = select(p.column_w, KW, MODE == 2u);
    let height = select(p.column_h, KH, MODE == 2u);
    let line = i / width;
    let w = i - line * width;
    let u = line / height;
    let v = line - u * height;
    let base = at.z * p.b_group + u * p.b_column;
    if MODE == 0u { return Right(base, v * SH - p.top, w * SW - p.left, ones); }
    if MODE == 1u { return Right(base, v + p.top, w + p.left, ones); }
    return Right(base, v * DH - p.top, w * DW - p.left, ones);
}

fn a_word(i: u32) -> f32 { return a[i >> 2u][i & 3u]; }

// Four elements of a row of a, at offsets within the row.
fn a_quad(row: u32, offsets: vec4<u32>) -> vec4<f32> {
    if QUADS_A { return a[(row + offsets.x) >> 2u]; }
    let i = row + offsets;
    return vec4(a_word(i.x), a_word(i.y), a_word(i.z), a_word(i.w));
}

fn a_offset(index: vec3<u32>) -> u32 {
    return index.x * p.a_step + index.y * step_width() + index.z;
}

// Four places along k: offsets within a row of a, and which of them are within.
struct Steps { offsets: vec4<u32>, inside: vec4<bool> }

fn steps_at(step: Step) -> Steps {
    let second = following(step.index);
    let third = following(second);
    let inside = vec4(step.k) + NEXT < vec4(p.k);
    let offsets = vec4(
        a_offset(step.index), a_offset(second), a_offset(third), a_offset(following(third)),
    );
    if RAGGED { return Steps(select(vec4(0u), offsets, inside), inside); }
    return Steps(offsets, inside);
}

fn a_row(row: u32, steps: Steps) -> vec4<f32> {
    let quad = a_quad(row, steps.offsets);
    if RAGGED { return select(vec4(0.0), quad, steps.inside); }
    return quad;
}

fn a_block(side: Left, step: Step) -> mat4x4<f32> {
    let steps = steps_at(step);
    return mat4x4(
        a_row(side.rows.x, steps),
        a_row(side.rows.y, steps),
        a_row(side.rows.z, steps),
        a_row(side.rows.w, steps),
    );
}

// Four columns of one row of b.
fn b_row(side: Right, index: vec3<u32>, valid: bool) -> vec4<f32> {
    var scaled = index.yz * vec2(DH, DW);
    if MODE == 1u { scaled = vec2(0u) - scaled; }
    if MODE == 2u { scaled = index.yz * vec2(SH, SW); }
    var row = side.row + scaled.x;
    var column = side.column + scaled.y;
    var inside = vec4(!RAGGED || valid);
    if MODE == 1u {
        let r = row / SH;
        let c = column / SW;
        inside = inside & (r * SH == row) & (c * SW == column);
        row = r;
        column = c;
    }
    inside = inside & (row < vec4(p.height)) & (column < vec4(p.width));
    let i = select(vec4(0u), side.base + index.x * p.b_step + row * p.width + column, inside);
    let found = select(vec4(0.0), vec4(b[i.x], b[i.y], b[i.z], b[i.w]), inside);
    if ONES { return select(found, vec4(1.0), side.ones & vec4(!RAGGED || valid)); }
    return found;
}

fn b_block(side: Right, step: Step) -> mat4x4<f32> {
    let second = following(step.index);
    let third = following(second);
    return mat4x4(
        b_row(side, step.index, step.k < p.k),
        b_row(side, second, step.k + 1u < p.k),
        b_row(side, third, step.k + 2u < p.k),
        b_row(side, following(third), step.k + 3u < p.k),
    );
}

// ---------------------------------------------------------------- for tiles.wgsl

fn a_along_k() -> bool { return MODE != 1u; }
fn b_along_k() -> bool { return false; }

struct Piece {
    v: vec4<f32>,
    inside: vec4<bool>,
}

// How far a thread has come along k. In MODE 1 its pieces of a are at the same places along k as those of b.
struct Way {
    // The place along k that it reads b at, and the last two parts of its index.
    k: u32,
    v: u32,
    w: u32,
    // How far what it reads is from what it would read at place 0.
    b_at: u32,
    a_at: u32,
    // The place along k that it reads a at, unless in MODE 1; and in MODE 2, where in an image that is.
    a_k: u32,
    a_within: u32,
    // How far its places in b and in a are from a stage's beginning.
    ahead: vec2<u32>,
    // What does not change, and is the same for all threads: how far v and w, and what is read, go on in a stage.
    hop: vec2<u32>,
    b_far: Far,
    a_far: Far,
}

// How far what is read goes on in a stage, and by how much more where w is carried over, and where v is.
struct Far {
    step: u32,
    over: u32,
    above: u32,
}

fn is_spread() -> bool { return MODE == 1u && (SH > 1u || SW > 1u); }

// How far the window's place at an index is from the first, down and across.
fn window_at(v: u32, w: u32) -> vec2<u32> {
    if MODE == 0u { return vec2(v, w) * vec2(DH, DW); }
    if MODE == 1u { return vec2(0u) - vec2(v, w) * vec2(DH, DW); }
    return vec2(v, w) * vec2(SH, SW);
}

// The same in elements of b; unless there are strides to be divided by first.
fn b_offset(index: vec3<u32>) -> u32 {
    let by = window_at(index.y, index.z);
    return index.x * p.b_step + select(by.x * p.width + by.y, 0u, is_spread());
}

fn way_at(at: Place, a: Spot, b: Spot) -> Way {
    let height = step_height();
    let width = step_width();
    let stage = step_at(DEPTH).index;
    let first = step_at(at.first + b.deep);
    var way: Way;
    way.k = first.k;
    way.v = first.index.y;
    way.w = first.index.z;
    way.b_at = b_offset(first.index);
    way.hop = stage.yz;
    way.ahead = vec2(b.deep, 4u * a.deep);
    way.b_far = Far(
        b_offset(stage),
        b_offset(vec3(0u, 1u, 0u)) - b_offset(vec3(0u, 0u, width)),
        b_offset(vec3(1u, 0u, 0u)) - b_offset(vec3(0u, height, 0u)),
    );
    way.a_k = at.first + way.ahead.y;
    if MODE == 1u {
        way.a_at = a_offset(first.index);
        way.a_far = Far(a_offset(stage), 0u, p.a_step - height * width);
    } else if MODE == 2u {
        let image = height * width;
        let own = way.a_k / image;
        way.a_within = way.a_k - own * image;
        way.a_at = own * p.a_step + way.a_within;
        let whole = DEPTH / image;
        // The last one is how far the place within an image goes on.
        way.a_far = Far(whole * p.a_step + (DEPTH - whole * image), p.a_step - image, DEPTH - whole * image);
    }
    return way;
}

fn way_on(way: Way, k: u32) -> Way {
    var next = way;
    next.k = k + way.ahead.x;
    next.a_k = k + way.ahead.y;
    let w = way.w + way.hop.y;
    let over = w >= step_width();
    let v = way.v + way.hop.x + select(0u, 1u, over);
    let above = v >= step_height();
    next.w = select(w, w - step_width(), over);
    next.v = select(v, v - step_height(), above);
    next.b_at = way.b_at + way.b_far.step + select(0u, way.b_far.over, over) + select(0u, way.b_far.above, above);
    if MODE == 1u {
        next.a_at = way.a_at + way.a_far.step + select(0u, way.a_far.above, above);
    } else if MODE == 2u {
        let within = way.a_within + way.a_far.above;
        let past = within >= step_height() * step_width();
        next.a_within = select(within, within - step_height() * step_width(), past);
        next.a_at = way.a_at + way.a_far.step + select(0u, way.a_far.over, past);
    }
    return next;
}

// The starts of the row of a, or of the four.
struct ASide { start: vec4<u32> }

fn a_side(at: Place, spot: Spot) -> ASide {
    if MODE == 1u { return ASide(rows_at(at, vec4(at.row + 4u * spot.across) + NEXT)); }
    return ASide(rows_at(at, vec4(at.row + spot.across)));
}

// Past the end of k, the first elements are read again.
fn a_brought(side: ASide, way: Way) -> Piece {
    if MODE == 1u {
        let i = side.start + select(0u, way.a_at, way.k < p.k);
        return Piece(vec4(a_word(i.x), a_word(i.y), a_word(i.z), a_word(i.w)), vec4(way.k < p.k));
    }
    let inside = vec4(way.a_k) + NEXT < vec4(p.k);
    if MODE == 0u {
        if QUADS_A { return Piece(a[(side.start.x + select(0u, way.a_k, inside.x)) >> 2u], inside); }
        let i = side.start + select(vec4(0u), vec4(way.a_k) + NEXT, inside);
        return Piece(vec4(a_word(i.x), a_word(i.y), a_word(i.z), a_word(i.w)), inside);
    }
    if QUADS_A { return Piece(a[(side.start.x + select(0u, way.a_at, inside.x)) >> 2u], inside); }
    // Some of the four may lie in the next image, or in those after it.
    let image = step_height() * step_width();
    let within = vec4(way.a_within) + NEXT;
    var past = select(vec4(0u), vec4(1u), within >= vec4(image));
    if TINY { past = within / image; }
    let i = side.start + select(vec4(0u), way.a_at + NEXT + past * way.a_far.over, inside);
    return Piece(vec4(a_word(i.x), a_word(i.y), a_word(i.z), a_word(i.w)), inside);
}

fn a_kept(side: ASide, piece: Piece) -> vec4<f32> {
    if RAGGED { return select(vec4(0.0), piece.v, piece.inside); }
    return piece.v;
}

// Four columns of b; unless there are strides to be divided by, their base is that of the place itself. Of a small
// window, a bit for each place says whether that is inside.
struct BSide {
    columns: Right,
    window: vec4<u32>,
}

fn has_bits() -> bool { return PADDED && MODE != 2u && !is_spread() && KH * KW <= 32u; }

fn inside_at(columns: Right, v: u32, w: u32) -> vec4<bool> {
    let by = window_at(v, w);
    return (columns.row + by.x < vec4(p.height)) & (columns.column + by.y < vec4(p.width));
}

fn b_side(at: Place, spot: Spot) -> BSide {
    var side = BSide(right_at(at, at.column + 4u * spot.across), vec4(0u));
    let columns = side.columns;
    if has_bits() {
        for (var v = 0u; v < KH; v++) {
            for (var w = 0u; w < KW; w++) {
                side.window |= select(vec4(0u), vec4(1u << (v * KW + w)), inside_at(columns, v, w));
            }
        }
    }
    if !is_spread() { side.columns.base += columns.row * p.width + columns.column; }
    return side;
}

fn b_brought(side: BSide, way: Way) -> Piece {
    let columns = side.columns;
    var inside = vec4(way.k < p.k);
    var i = columns.base + way.b_at;
    if is_spread() {
        let by = window_at(way.v, way.w);
        let row = columns.row + by.x;
        let column = columns.column + by.y;
        let r = row / SH;
        let c = column / SW;
        inside = inside & (r * SH == row) & (c * SW == column) & (r < vec4(p.height)) & (c < vec4(p.width));
        i += r * p.width + c;
    } else if has_bits() {
        inside = inside & ((side.window & vec4(1u << (way.v * KW + way.w))) != vec4(0u));
    } else if PADDED {
        inside = inside & inside_at(columns, way.v, way.w);
    }
    i = select(vec4(0u), i, inside);
    return Piece(vec4(b[i.x], b[i.y], b[i.z], b[i.w]), inside);
}

fn b_kept(side: BSide, piece: Piece) -> vec4<f32> {
    var v = piece.v;
    if PADDED || RAGGED { v = select(vec4(0.0), v, piece.inside); }
    if ONES { v = select(v, vec4(1.0), side.columns.ones); }
    return v;
}

// ---------------------------------------------------------------- results

// Where columns `column` to `column + 3` lie in the first row of y.
fn columns_at(at: Place, column: u32) -> vec4<u32> {
    let i = vec4(column) + NEXT;
    let plane = p.column_h * p.column_w;
    let outer = i / plane;
    return at.part * p.y_part + at.z * p.y_group + outer * p.y_column + (i - outer * plane);
}

// Stores an element of y, whose column lies at `lying` in the first row.
fn put(at: Place, row: u32, column: u32, lying: u32, v: f32) {
    let channel = at.z * p.m + row;
    if ONES && column == stored_n() {
        keep_sum(at.part * p.sums + channel, v);
    } else {
        let i = lying + row * p.y_row;
        y[i] = finish(i, channel, 0u, v);
    }
}

fn store_row(start: u32, channel: u32, lying: vec4<u32>, inside: vec4<bool>, v: vec4<f32>) {
    let i = start + lying;
    if inside.x { y[i.x] = finish(i.x, channel, 0u, v.x); }
    if inside.y { y[i.y] = finish(i.y, channel, 0u, v.y); }
    if inside.z { y[i.z] = finish(i.z, channel, 0u, v.z); }
    if inside.w { y[i.w] = finish(i.w, channel, 0u, v.w); }
}

// Stores a block of y at `row` and `column` as far as it lies within.
fn store(at: Place, row: u32, column: u32, block: mat4x4<f32>) {
    let lying = columns_at(at, column);
    let inside = vec4(column) + NEXT < vec4(stored_n());
    if ONES && column <= stored_n() && stored_n() < column + 4u {
        let own = stored_n() - column;
        let first = at.part * p.sums + at.z * p.m + row;
        if row < p.m { keep_sum(first, block[0][own]); }
        if row + 1u < p.m { keep_sum(first + 1u, block[1][own]); }
        if row + 2u < p.m { keep_sum(first + 2u, block[2][own]); }
        if row + 3u < p.m { keep_sum(first + 3u, block[3][own]); }
    }
    let start = row * p.y_row;
    let channel = at.z * p.m + row;
    if row < p.m { store_row(start, channel, lying, inside, block[0]); }
    if row + 1u < p.m { store_row(start + p.y_row, channel + 1u, lying, inside, block[1]); }
    if row + 2u < p.m { store_row(start + 2u * p.y_row, channel + 2u, lying, inside, block[2]); }
    if row + 3u < p.m { store_row(start + 3u * p.y_row, channel + 3u, lying, inside, block[3]); }
}

// Lane `first`'s row and those of the three lanes after it.
fn rows_from(first: u32, row: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        subgroupShuffle(row, first),
        subgroupShuffle(row, first + 1u),
        subgroupShuffle(row, first + 2u),
        subgroupShuffle(row, first + 3u),
    );
}

// As `lanes` of gemm.wgsl, for 16x32: lane l loads rows l and l + 8 of a.
@compute @workgroup_size(8)
fn lanes_16(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 16u, 32u);
    let rows = rows_at(at, at.row + lane + vec4(0u, 8u, 8u, 8u));
    let column = at.column + 4u * lane;
    let columns = right_at(at, column);
    var step = step_at(at.first);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    var y2 = mat4x4<f32>();
    var y3 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let steps = steps_at(step);
        let upper = a_row(rows.x, steps);
        let lower = a_row(rows.y, steps);
        let right = b_block(columns, step);
        y0 = add(y0, rows_from(0u, upper), right);
        y1 = add(y1, rows_from(4u, upper), right);
        y2 = add(y2, rows_from(0u, lower), right);
        y3 = add(y3, rows_from(4u, lower), right);
        step = step_on(step);
    }
    store_16(at, column, y0, y1, y2, y3);
}

// As `lanes` of gemm.wgsl, for 24x32: lane l loads rows l, l + 8 and l + 16 of a. One kernel for all results of 9 to
// 24 channels but those that fill 16 rows.
@compute @workgroup_size(8)
fn lanes_24(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, 24u, 32u);
    let rows = rows_at(at, at.row + lane + vec4(0u, 8u, 16u, 16u));
    let column = at.column + 4u * lane;
    let columns = right_at(at, column);
    var step = step_at(at.first);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    var y2 = mat4x4<f32>();
    var y3 = mat4x4<f32>();
    var y4 = mat4x4<f32>();
    var y5 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += 4u) {
        let steps = steps_at(step);
        let upper = a_row(rows.x, steps);
        let middle = a_row(rows.y, steps);
        let lower = a_row(rows.z, steps);
        let right = b_block(columns, step);
        y0 = add(y0, rows_from(0u, upper), right);
        y1 = add(y1, rows_from(4u, upper), right);
        y2 = add(y2, rows_from(0u, middle), right);
        y3 = add(y3, rows_from(4u, middle), right);
        y4 = add(y4, rows_from(0u, lower), right);
        y5 = add(y5, rows_from(4u, lower), right);
        step = step_on(step);
    }
    let lying = columns_at(at, column);
    let end = min(at.row + 24u, p.m);
    for (var row = at.row; row < end; row += 4u) {
        store_each(at, row, column, lying, y0);
        y0 = y1;
        y1 = y2;
        y2 = y3;
        y3 = y4;
        y4 = y5;
    }
}
