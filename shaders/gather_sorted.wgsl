// The gradient of gather for many indices: they are sorted by row, so that a row's indices stand side
// by side, and the gradients of each such run are added up. No atomics; every sum has a fixed order.
//
//   dx[o, r, c] = sum over i with index[i] = r of dy[o, i, c]; 0 for the row `padding`
//
// dx is [outer, rows, inner], dy is [outer, count, inner], contiguous. `order` holds the positions
// 0..count of the indices, sorted by the row they name and then by position: a stable radix sort,
// lowest digit first, 5 bits a pass. A pass takes three dispatches:
//
//   count    a workgroup of 64 counts the digits of a block of 1024 positions: counts[digit, block]
//   scan     one workgroup of 256 turns the counts into where each digit of each block begins
//   scatter  a workgroup of 64 moves its block there
//
// A thread has 16 neighbouring positions and a column of workgroup memory with its own count of every
// digit. FIRST marks the first pass, whose positions are in their natural order; `order` is then not
// read. Then, in three more dispatches:
//
//   starts   a thread finds by bisection where the run of a row begins
//   parts    a thread adds up one of the `chunk` long pieces of the order, if all of it is one run;
//            part[o, piece, c]
//   sums     a thread adds up a run: its head, up to where a piece begins; the pieces within it; the
//            rest
//
// parts and sums handle one element of a row, in the _quads entries four neighbours, of which inner
// then counts; n is the number of threads. Workgroups of 64 (starts, parts, sums) in a folded grid.
// With pieces about sqrt(count) long, no thread adds up more than a few times sqrt(count) numbers,
// however often a row is named.

override FIRST: u32 = 0u;

const DIGITS: u32 = 32u;
const LANES: u32 = 64u;
// Positions of a thread, and of a block.
const RUN: u32 = 16u;
const BLOCK: u32 = 1024u;
// Words from one digit's counts to the next: one more than there are lanes, so that threads that each
// walk along a digit touch different banks.
const PITCH: u32 = 65u;

struct SortParams {
    rows: u32,
    count: u32,
    blocks: u32,
    shift: u32,
}

struct SumParams {
    n: u32,
    rows: u32,
    count: u32,
    inner: u32,
    chunk: u32,
    padding: u32,
}

@group(0) @binding(0) var<storage, read> index: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> run_start: array<u32>;
@group(0) @binding(2) var<storage, read> starts_of: array<u32>;
@group(0) @binding(3) var<storage, read_write> sorted: array<u32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> dy4: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> part: array<f32>;
@group(0) @binding(5) var<storage, read_write> part4: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> piece: array<f32>;
@group(0) @binding(5) var<storage, read> piece4: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx4: array<vec4<f32>>;
var<immediate> p: SortParams;
var<immediate> q: SumParams;

var<workgroup> tally: array<u32, 2080>;
var<workgroup> lane_total: array<u32, 256>;

// The position at place k of the order that the pass begins with.
fn position(k: u32) -> u32 {
    if FIRST == 1u { return k; }
    return order[k];
}

// Where the thread's count of the digit of place k is kept.
fn counter(k: u32, lane: u32) -> u32 {
    let row = min(index[position(k)], p.rows - 1u);
    return ((row >> p.shift) % DIGITS) * PITCH + lane;
}

// Counts the digits of the block, each thread those of its own places.
fn count_digits(block: u32, lane: u32) {
    for (var digit = 0u; digit < DIGITS; digit++) { tally[digit * PITCH + lane] = 0u; }
    let first = block * BLOCK + lane * RUN;
    let stop = min(first + RUN, p.count);
    for (var k = first; k < stop; k++) { tally[counter(k, lane)] += 1u; }
    workgroupBarrier();
}

@compute @workgroup_size(64)
fn count(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = linear_group(group);
    // The whole workgroup leaves together, so the barrier below stays uniform.
    if block >= p.blocks { return; }
    count_digits(block, lane);
    if lane >= DIGITS { return; }
    var total = 0u;
    for (var other = 0u; other < LANES; other++) { total += tally[lane * PITCH + other]; }
    counts[lane * p.blocks + block] = total;
}

@compute @workgroup_size(256)
fn scan(@builtin(local_invocation_index) lane: u32) {
    let n = DIGITS * p.blocks;
    let each = (n + 255u) / 256u;
    let first = min(lane * each, n);
    let stop = min(first + each, n);
    var own = 0u;
    for (var k = first; k < stop; k++) { own += counts[k]; }
    lane_total[lane] = own;
    workgroupBarrier();
    for (var step = 1u; step < 256u; step *= 2u) {
        var before = 0u;
        if lane >= step { before = lane_total[lane - step]; }
        workgroupBarrier();
        lane_total[lane] += before;
        workgroupBarrier();
    }
    var place = lane_total[lane] - own;
    for (var k = first; k < stop; k++) {
        let here = counts[k];
        counts[k] = place;
        place += here;
    }
}

@compute @workgroup_size(64)
fn scatter(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = linear_group(group);
    if block >= p.blocks { return; }
    count_digits(block, lane);
    // A count becomes the place of the thread's first position of that digit.
    if lane < DIGITS {
        var place = places[lane * p.blocks + block];
        for (var other = 0u; other < LANES; other++) {
            let here = tally[lane * PITCH + other];
            tally[lane * PITCH + other] = place;
            place += here;
        }
    }
    workgroupBarrier();
    let first = block * BLOCK + lane * RUN;
    let stop = min(first + RUN, p.count);
    for (var k = first; k < stop; k++) {
        let at = counter(k, lane);
        sorted[tally[at]] = position(k);
        tally[at] += 1u;
    }
}

// The row at place k of the sorted order.
fn row(k: u32) -> u32 {
    return min(index[order[k]], q.rows - 1u);
}

@compute @workgroup_size(64)
fn starts(@builtin(global_invocation_id) id: vec3<u32>) {
    let r = linear_index(id, 64u);
    if r >= q.n { return; }
    var low = 0u;
    var high = q.count;
    while low < high {
        let middle = (low + high) / 2u;
        if row(middle) < r { low = middle + 1u; } else { high = middle; }
    }
    run_start[r] = low;
}

// Whether a piece is part of one run that has a gradient.
fn is_whole(first: u32) -> bool {
    let r = row(first);
    return r == row(first + q.chunk - 1u) && r != q.padding;
}

@compute @workgroup_size(64)
fn parts(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e >= q.n { return; }
    let pieces = q.count / q.chunk;
    let at = e / q.inner;
    let first = at % pieces * q.chunk;
    if !is_whole(first) { return; }
    let base = at / pieces * (q.count * q.inner) + e % q.inner;
    var total = 0.0;
    for (var k = first; k < first + q.chunk; k++) { total += dy[base + order[k] * q.inner]; }
    part[e] = total;
}

@compute @workgroup_size(64)
fn parts_quads(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e >= q.n { return; }
    let pieces = q.count / q.chunk;
    let at = e / q.inner;
    let first = at % pieces * q.chunk;
    if !is_whole(first) { return; }
    let base = at / pieces * (q.count * q.inner) + e % q.inner;
    var total = vec4(0.0);
    for (var k = first; k < first + q.chunk; k++) { total += dy4[base + order[k] * q.inner]; }
    part4[e] = total;
}

// A run in the order: its head is begin..head, its pieces are first_piece..stop_piece, its rest
// rest..end.
struct Run {
    begin: u32,
    head: u32,
    first_piece: u32,
    stop_piece: u32,
    rest: u32,
    end: u32,
}

fn run_of(r: u32) -> Run {
    let begin = starts_of[r];
    var end = q.count;
    if r + 1u < q.rows { end = starts_of[r + 1u]; }
    if r == q.padding { end = begin; }
    // Without a whole piece the head is all of the run, or the rest begins where the head ends.
    let first_piece = (begin + q.chunk - 1u) / q.chunk;
    let stop_piece = end / q.chunk;
    let head = min(first_piece * q.chunk, end);
    return Run(begin, head, first_piece, stop_piece, max(stop_piece * q.chunk, head), end);
}

@compute @workgroup_size(64)
fn sums(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e >= q.n { return; }
    let at = e / q.inner;
    let c = e % q.inner;
    let outer = at / q.rows;
    let base = outer * (q.count * q.inner) + c;
    let pieces = outer * (q.count / q.chunk * q.inner) + c;
    let run = run_of(at % q.rows);
    var total = 0.0;
    for (var k = run.begin; k < run.head; k++) { total += dy[base + order[k] * q.inner]; }
    for (var k = run.first_piece; k < run.stop_piece; k++) { total += piece[pieces + k * q.inner]; }
    var rest = 0.0;
    for (var k = run.rest; k < run.end; k++) { rest += dy[base + order[k] * q.inner]; }
    dx[e] = total + rest;
}

@compute @workgroup_size(64)
fn sums_quads(@builtin(global_invocation_id) id: vec3<u32>) {
    let e = linear_index(id, 64u);
    if e >= q.n { return; }
    let at = e / q.inner;
    let c = e % q.inner;
    let outer = at / q.rows;
    let base = outer * (q.count * q.inner) + c;
    let pieces = outer * (q.count / q.chunk * q.inner) + c;
    let run = run_of(at % q.rows);
    var total = vec4(0.0);
    for (var k = run.begin; k < run.head; k++) { total += dy4[base + order[k] * q.inner]; }
    for (var k = run.first_piece; k < run.stop_piece; k++) { total += piece4[pieces + k * q.inner]; }
    var rest = vec4(0.0);
    for (var k = run.rest; k < run.end; k++) { rest += dy4[base + order[k] * q.inner]; }
    dx4[e] = total + rest;
}
