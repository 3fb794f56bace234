// The rows of a batch, copied out of data that stays on the device.
//
//   load_batch  y[i] = x[order[min(step stride + i, last)]]
//
// The data x is [.., inner], the batch y is [.., inner], both contiguous; the elements that move are
// 32-bit words of either dtype. The batch's row i is the call's row plus `batch_row`. A binding may
// hold a range of the data: rows `row` to `row + held - 1`, of which the first starts at word
// `start`, and where there are two, the second one's `held_more` rows come next; a thread whose row lies
// outside writes nothing, so that one call for each range, or two, writes each row once. Likewise the
// batch's first row starts at word `batch_start` of its binding. An index past the last row of the data
// reads the last, so that one made on the device cannot reach outside.
//
// In load_batch a thread moves one element; for short rows. In the others a workgroup of WIDTH threads
// moves SPAN neighbours of a row: group x along it, y and z over the rows. Elements may come in fours, of
// which inner, SPAN and the starts then count. The grid, not a division, tells rows apart; and a row
// outside is a loop of no turns, as software drivers run through branches that no thread takes.
// load_rows_and_words and load_quads_and_words also move a second column with them, of a word for each
// sample, which is in its binding whole: a label or a weight.

override WIDTH: u32 = 64u;
override SPAN: u32 = 512u;

struct Params {
    // Rows of the batch in this call.
    count: u32,
    inner: u32,
    // Rows in all of the data.
    rows: u32,
    row: u32,
    held: u32,
    held_more: u32,
    start: u32,
    start_more: u32,
    batch_row: u32,
    batch_start: u32,
    // The last position of the order, and the last step whose first position is not past it.
    last: u32,
    last_step: u32,
    stride: u32,
    step: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(0) var<storage, read_write> y4: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> more: array<u32>;
@group(0) @binding(3) var<storage, read> more4: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> y_words: array<u32>;
@group(0) @binding(5) var<storage, read> x_words: array<u32>;
var<immediate> p: Params;

// The data's row that row i of the call's holds.
fn row(i: u32) -> u32 {
    var position = p.last;
    if p.step <= p.last_step {
        let first = p.step * p.stride;
        let batch_row = p.batch_row + i;
        position = select(first + batch_row, p.last, batch_row > p.last - first);
    }
    return min(order[position], p.rows - 1u);
}

@compute @workgroup_size(64)
fn load_batch(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    let line = i / p.inner;
    if line >= p.count { return; }
    let r = row(line) - p.row;
    if r < p.held { y[p.batch_start + i] = x[p.start + r * p.inner + i - line * p.inner]; }
}

// What a workgroup moves: elements `i` to `end - 1` of a row of x, or to `end_more - 1` of one of
// `more`, which starts at x0, to a row of y, which starts at y0.
struct Piece {
    line: u32,
    row: u32,
    i: u32,
    end: u32,
    end_more: u32,
    x0: u32,
    y0: u32,
}

fn piece(group: vec3<u32>) -> Piece {
    let line = group.z * FOLD + group.y;
    let r = row(line);
    let i = group.x * SPAN;
    // A row before the first one wraps, past them all.
    let here = r - p.row;
    let there = here - p.held;
    let is_here = here < p.held;
    let end = select(0u, min(i + SPAN, p.inner), line < p.count);
    return Piece(
        line,
        r,
        i,
        select(0u, end, is_here),
        select(0u, end, !is_here && there < p.held_more),
        select(p.start_more + there * p.inner, p.start + here * p.inner, is_here),
        p.batch_start + line * p.inner,
    );
}

fn move_elements(piece: Piece, lane: u32) {
    for (var i = piece.i + lane; i < piece.end; i += WIDTH) { y[piece.y0 + i] = x[piece.x0 + i]; }
    for (var i = piece.i + lane; i < piece.end_more; i += WIDTH) { y[piece.y0 + i] = more[piece.x0 + i]; }
}

fn move_quads(piece: Piece, lane: u32) {
    for (var i = piece.i + lane; i < piece.end; i += WIDTH) { y4[piece.y0 + i] = x4[piece.x0 + i]; }
    for (var i = piece.i + lane; i < piece.end_more; i += WIDTH) { y4[piece.y0 + i] = more4[piece.x0 + i]; }
}

// The first workgroup of each row moves its word.
fn move_word(piece: Piece, lane: u32) {
    if piece.i == 0u && lane == 0u && piece.line < p.count { y_words[piece.line] = x_words[piece.row]; }
}

@compute @workgroup_size(WIDTH)
fn load_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    move_elements(piece(group), lane);
}

@compute @workgroup_size(WIDTH)
fn load_quads(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    move_quads(piece(group), lane);
}

@compute @workgroup_size(WIDTH)
fn load_rows_and_words(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let piece = piece(group);
    move_elements(piece, lane);
    move_word(piece, lane);
}

@compute @workgroup_size(WIDTH)
fn load_quads_and_words(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let piece = piece(group);
    move_quads(piece, lane);
    move_word(piece, lane);
}
