// Kernels of the product y = a b for GPUs: a workgroup makes a tile of ROWS x COLUMNS, in the order that `place` of
// gemm.wgsl numbers them, and goes along k in stages of DEPTH, which it holds in workgroup memory. Appended after a
// source that says what the operands are:
//
//   a_along_k, b_along_k  whether a piece lies along k: four elements of one row or column, not one each of four
//   Way                   how far a thread has come along k: way_at(place, spot in a, spot in b), and way_on(way, k)
//                         for the stage that begins at k, be that past the end
//   ASide, BSide          what a piece is read from: a_side, b_side(place, spot)
//   Piece                 four elements as a_brought, b_brought(side, way) read them, and which are inside;
//                         a_kept, b_kept(side, piece) puts zeros for the others
//   store                 puts a block of y where it belongs, each element through `finish`
//
// A piece is what one thread brings in at a time. It stays as it is in workgroup memory, and a block is turned round
// in registers, which costs nothing. Pieces of the next stage are under way while a stage is worked on, and
// only looked at when they are put into workgroup memory: a wait before that would be one for memory.
//
//   tiles_8x8   a thread makes 2x2 blocks of 4x4, half a tile apart: 1 byte of workgroup memory is read for a
//               multiply-add.
//   tiles_8x4   two blocks below each other, 1.5 bytes.
//   tiles_4x8   two blocks side by side.
//   tiles_teams several sets of threads make all of the tile, a block each, every set of its own part of each stage,
//               and are added up at the end. For small results.

override ROWS: u32 = 32u;
override COLUMNS: u32 = 32u;
override DEPTH: u32 = 32u;
override THREADS: u32 = 256u;
// Threads that hold a tile in blocks.
override TEAM: u32 = ROWS * COLUMNS / 16u;
override A_TILE: u32 = DEPTH / 4u * (ROWS + 1u);
override B_TILE: u32 = DEPTH / 4u * (COLUMNS + 1u);
// Pieces that a thread brings in of either side: 1 or 2 of a, or 0 where there are not enough for all threads; 1, 2 or
// 4 of b. Those that do not lie along k are all at one place along k, of both sides.
override A_PIECES: u32 = ROWS * DEPTH / (4u * THREADS);
override B_PIECES: u32 = COLUMNS * DEPTH / (4u * THREADS);

var<workgroup> a_tile: array<vec4<f32>, A_TILE>;
var<workgroup> b_tile: array<vec4<f32>, B_TILE>;

// Where the first piece of a thread lies in a tile: along k, its row or column and its quad of the stage; otherwise,
// which four rows or columns and which place along k. Neighbouring threads bring in what lies side by side in
// memory.
struct Spot {
    across: u32,
    deep: u32,
}

fn spot(lane: u32, size: u32, pieces: u32, along_k: bool) -> Spot {
    let quads = DEPTH / 4u;
    if along_k { return Spot(lane / quads, lane % quads); }
    let wide = size / (4u * pieces);
    return Spot(lane % wide, lane / wide);
}

// Where there are too few pieces of a, some threads read others of them, which are not put anywhere.
fn a_spot(lane: u32) -> Spot {
    if A_PIECES > 0u { return spot(lane, ROWS, A_PIECES, a_along_k()); }
    if a_along_k() { return spot(lane % (ROWS * DEPTH / 4u), ROWS, 1u, true); }
    return Spot(lane % (THREADS / DEPTH), lane / (THREADS / DEPTH));
}

fn puts_a(lane: u32) -> bool {
    if A_PIECES > 0u { return true; }
    if a_along_k() { return lane < ROWS * DEPTH / 4u; }
    return a_spot(lane).across < ROWS / 4u;
}

fn b_spot(lane: u32) -> Spot { return spot(lane, COLUMNS, B_PIECES, b_along_k()); }

// The `number`th piece of the thread lies beside its first, at the same place along k.
fn nth(first: Spot, number: u32, size: u32, pieces: u32, along_k: bool) -> Spot {
    return Spot(first.across + number * (size / pieces / select(4u, 1u, along_k)), first.deep);
}

fn a_nth(first: Spot, number: u32) -> Spot { return nth(first, number, ROWS, max(A_PIECES, 1u), a_along_k()); }
fn b_nth(first: Spot, number: u32) -> Spot { return nth(first, number, COLUMNS, B_PIECES, b_along_k()); }

// Where a piece lies in workgroup memory: pieces along k in planes that are a place longer than they hold.
fn shelf(at: Spot, size: u32, along_k: bool) -> u32 {
    if along_k { return at.deep * (size + 1u) + at.across; }
    return at.deep * (size / 4u) + at.across;
}

// What the pieces of a thread are read from, and where the first of either side is put.
struct Feed {
    a0: ASide,
    a1: ASide,
    b0: BSide,
    b1: BSide,
    b2: BSide,
    b3: BSide,
    a_shelf: u32,
    b_shelf: u32,
    puts_a: bool,
}

fn feed_of(at: Place, lane: u32) -> Feed {
    let a = a_spot(lane);
    let b = b_spot(lane);
    var feed: Feed;
    feed.a0 = a_side(at, a);
    feed.b0 = b_side(at, b);
    if A_PIECES > 1u { feed.a1 = a_side(at, a_nth(a, 1u)); }
    if B_PIECES > 1u { feed.b1 = b_side(at, b_nth(b, 1u)); }
    if B_PIECES > 2u {
        feed.b2 = b_side(at, b_nth(b, 2u));
        feed.b3 = b_side(at, b_nth(b, 3u));
    }
    feed.a_shelf = shelf(a, ROWS, a_along_k());
    feed.b_shelf = shelf(b, COLUMNS, b_along_k());
    feed.puts_a = puts_a(lane);
    return feed;
}

// The pieces of a stage.
struct Cargo {
    a0: Piece,
    a1: Piece,
    b0: Piece,
    b1: Piece,
    b2: Piece,
    b3: Piece,
}

fn bring(feed: Feed, way: Way) -> Cargo {
    var cargo: Cargo;
    cargo.a0 = a_brought(feed.a0, way);
    cargo.b0 = b_brought(feed.b0, way);
    if A_PIECES > 1u { cargo.a1 = a_brought(feed.a1, way); }
    if B_PIECES > 1u { cargo.b1 = b_brought(feed.b1, way); }
    if B_PIECES > 2u {
        cargo.b2 = b_brought(feed.b2, way);
        cargo.b3 = b_brought(feed.b3, way);
    }
    return cargo;
}

fn stage(feed: Feed, cargo: Cargo) {
    let a_next = a_nth(Spot(0u, 0u), 1u).across;
    let b_next = b_nth(Spot(0u, 0u), 1u).across;
    if feed.puts_a { a_tile[feed.a_shelf] = a_kept(feed.a0, cargo.a0); }
    b_tile[feed.b_shelf] = b_kept(feed.b0, cargo.b0);
    if A_PIECES > 1u { a_tile[feed.a_shelf + a_next] = a_kept(feed.a1, cargo.a1); }
    if B_PIECES > 1u { b_tile[feed.b_shelf + b_next] = b_kept(feed.b1, cargo.b1); }
    if B_PIECES > 2u {
        b_tile[feed.b_shelf + 2u * b_next] = b_kept(feed.b2, cargo.b2);
        b_tile[feed.b_shelf + 3u * b_next] = b_kept(feed.b3, cargo.b3);
    }
}

// The block of a with rows `row` to `row + 3` of the tile, at a quad of the stage.
fn a_block_at(quad: u32, row: u32) -> mat4x4<f32> {
    if a_along_k() {
        let i = quad * (ROWS + 1u) + row;
        return mat4x4(a_tile[i], a_tile[i + 1u], a_tile[i + 2u], a_tile[i + 3u]);
    }
    let i = quad * ROWS + row / 4u;
    let next = ROWS / 4u;
    return transpose(mat4x4(a_tile[i], a_tile[i + next], a_tile[i + 2u * next], a_tile[i + 3u * next]));
}

fn b_block_at(quad: u32, column: u32) -> mat4x4<f32> {
    if b_along_k() {
        let i = quad * (COLUMNS + 1u) + column;
        return transpose(mat4x4(b_tile[i], b_tile[i + 1u], b_tile[i + 2u], b_tile[i + 3u]));
    }
    let i = quad * COLUMNS + column / 4u;
    let next = COLUMNS / 4u;
    return mat4x4(b_tile[i], b_tile[i + next], b_tile[i + 2u * next], b_tile[i + 3u * next]);
}

// What a thread of `tiles_8x8` makes.
struct Sums {
    upper_left: mat4x4<f32>,
    upper_right: mat4x4<f32>,
    lower_left: mat4x4<f32>,
    lower_right: mat4x4<f32>,
}

// Its blocks of a quad that lie along k, of a if b's do not. Of others, four rows or columns at one place along k are
// read at a time, or one row of a, which takes fewer registers.
struct Held {
    upper: mat4x4<f32>,
    lower: mat4x4<f32>,
    left: mat4x4<f32>,
    right: mat4x4<f32>,
}

fn held_at(quad: u32, row: u32, column: u32) -> Held {
    var held: Held;
    if a_along_k() && !b_along_k() {
        held.upper = a_block_at(quad, row);
        held.lower = a_block_at(quad, row + ROWS / 2u);
    }
    if b_along_k() {
        held.left = b_block_at(quad, column);
        held.right = b_block_at(quad, column + COLUMNS / 2u);
    }
    return held;
}

// Rows `row` to `row + 3` of a at place `k` of a quad.
fn a_rows(held: mat4x4<f32>, quad: u32, k: u32, row: u32) -> vec4<f32> {
    if a_along_k() { return vec4(held[0][k], held[1][k], held[2][k], held[3][k]); }
    return a_tile[(4u * quad + k) * (ROWS / 4u) + row / 4u];
}

fn b_columns(held: mat4x4<f32>, quad: u32, k: u32, column: u32) -> vec4<f32> {
    if b_along_k() { return held[k]; }
    return b_tile[(4u * quad + k) * (COLUMNS / 4u) + column / 4u];
}

// A block of y and what one place along k adds to it.
fn add_outer(y: mat4x4<f32>, a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        fma(vec4(a.x), b, y[0]),
        fma(vec4(a.y), b, y[1]),
        fma(vec4(a.z), b, y[2]),
        fma(vec4(a.w), b, y[3]),
    );
}

// A part of what a quad adds: that of row `k` of each block where both sides lie along k, or else of place `k`.
fn add_part(y: Sums, held: Held, quad: u32, k: u32, row: u32, column: u32) -> Sums {
    if a_along_k() && b_along_k() {
        let i = quad * (ROWS + 1u) + row + k;
        let upper = a_tile[i];
        let lower = a_tile[i + ROWS / 2u];
        var sums = y;
        sums.upper_left[k] = add_row(y.upper_left[k], upper, held.left);
        sums.upper_right[k] = add_row(y.upper_right[k], upper, held.right);
        sums.lower_left[k] = add_row(y.lower_left[k], lower, held.left);
        sums.lower_right[k] = add_row(y.lower_right[k], lower, held.right);
        return sums;
    }
    let upper = a_rows(held.upper, quad, k, row);
    let lower = a_rows(held.lower, quad, k, row + ROWS / 2u);
    let left = b_columns(held.left, quad, k, column);
    let right = b_columns(held.right, quad, k, column + COLUMNS / 2u);
    return Sums(
        add_outer(y.upper_left, upper, left),
        add_outer(y.upper_right, upper, right),
        add_outer(y.lower_left, lower, left),
        add_outer(y.lower_right, lower, right),
    );
}

@compute @workgroup_size(THREADS)
fn tiles_8x8(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = linear_group(group);
    // The whole workgroup leaves together, so the barriers below stay uniform.
    if tile >= p.tiles { return; }
    let at = place(tile, ROWS, COLUMNS);
    let row = 4u * (lane / (COLUMNS / 8u));
    let column = 4u * (lane % (COLUMNS / 8u));
    let feed = feed_of(at, lane);
    var way = way_at(at, a_spot(lane), b_spot(lane));
    var cargo = bring(feed, way);
    var y = Sums();
    for (var k = at.first; k < at.end; k += DEPTH) {
        stage(feed, cargo);
        workgroupBarrier();
        way = way_on(way, k + DEPTH);
        cargo = bring(feed, way);
        for (var quad = 0u; quad < DEPTH / 4u; quad++) {
            let held = held_at(quad, row, column);
            y = add_part(y, held, quad, 0u, row, column);
            y = add_part(y, held, quad, 1u, row, column);
            y = add_part(y, held, quad, 2u, row, column);
            y = add_part(y, held, quad, 3u, row, column);
        }
        workgroupBarrier();
    }
    store(at, at.row + row, at.column + column, y.upper_left);
    store(at, at.row + row, at.column + column + COLUMNS / 2u, y.upper_right);
    store(at, at.row + row + ROWS / 2u, at.column + column, y.lower_left);
    store(at, at.row + row + ROWS / 2u, at.column + column + COLUMNS / 2u, y.lower_right);
}

@compute @workgroup_size(THREADS)
fn tiles_8x4(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, ROWS, COLUMNS);
    let row = 4u * (lane / (COLUMNS / 4u));
    let column = 4u * (lane % (COLUMNS / 4u));
    let feed = feed_of(at, lane);
    var way = way_at(at, a_spot(lane), b_spot(lane));
    var cargo = bring(feed, way);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += DEPTH) {
        stage(feed, cargo);
        workgroupBarrier();
        way = way_on(way, k + DEPTH);
        cargo = bring(feed, way);
        for (var quad = 0u; quad < DEPTH / 4u; quad++) {
            let right = b_block_at(quad, column);
            y0 = add(y0, a_block_at(quad, row), right);
            y1 = add(y1, a_block_at(quad, row + ROWS / 2u), right);
        }
        workgroupBarrier();
    }
    store(at, at.row + row, at.column + column, y0);
    store(at, at.row + row + ROWS / 2u, at.column + column, y1);
}

@compute @workgroup_size(THREADS)
fn tiles_4x8(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, ROWS, COLUMNS);
    let row = 4u * (lane / (COLUMNS / 8u));
    let column = 4u * (lane % (COLUMNS / 8u));
    let feed = feed_of(at, lane);
    var way = way_at(at, a_spot(lane), b_spot(lane));
    var cargo = bring(feed, way);
    var y0 = mat4x4<f32>();
    var y1 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += DEPTH) {
        stage(feed, cargo);
        workgroupBarrier();
        way = way_on(way, k + DEPTH);
        cargo = bring(feed, way);
        for (var quad = 0u; quad < DEPTH / 4u; quad++) {
            let left = a_block_at(quad, row);
            y0 = add(y0, left, b_block_at(quad, column));
            y1 = add(y1, left, b_block_at(quad, column + COLUMNS / 2u));
        }
        workgroupBarrier();
    }
    store(at, at.row + row, at.column + column, y0);
    store(at, at.row + row, at.column + column + COLUMNS / 2u, y1);
}

@compute @workgroup_size(THREADS)
fn tiles_teams(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = linear_group(group);
    if tile >= p.tiles { return; }
    let at = place(tile, ROWS, COLUMNS);
    let team = lane / TEAM;
    let own = lane % TEAM;
    let row = 4u * (own / (COLUMNS / 4u));
    let column = 4u * (own % (COLUMNS / 4u));
    let quads = DEPTH / 4u / (THREADS / TEAM);
    let feed = feed_of(at, lane);
    var way = way_at(at, a_spot(lane), b_spot(lane));
    var cargo = bring(feed, way);
    var y0 = mat4x4<f32>();
    for (var k = at.first; k < at.end; k += DEPTH) {
        stage(feed, cargo);
        workgroupBarrier();
        way = way_on(way, k + DEPTH);
        cargo = bring(feed, way);
        for (var quad = team * quads; quad < team * quads + quads; quad++) {
            y0 = add(y0, a_block_at(quad, row), b_block_at(quad, column));
        }
        workgroupBarrier();
    }
    // The columns of a tile take more room than its blocks.
    for (var other = 1u; other < THREADS / TEAM; other++) {
        if team == other {
            b_tile[own] = y0[0];
            b_tile[own + TEAM] = y0[1];
            b_tile[own + 2u * TEAM] = y0[2];
            b_tile[own + 3u * TEAM] = y0[3];
        }
        workgroupBarrier();
        if team == 0u {
            y0 += mat4x4(b_tile[own], b_tile[own + TEAM], b_tile[own + 2u * TEAM], b_tile[own + 3u * TEAM]);
        }
        workgroupBarrier();
    }
    if team == 0u { store(at, at.row + row, at.column + column, y0); }
}
