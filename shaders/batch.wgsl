// The rows of a batch, copied out of data that stays on the device.
//
//   load_batch  y[i] = x[order[min(step stride + i, last)]]
//
// The data x is [.., inner], the batch y is [.., inner], both contiguous; the elements that move are
// 32-bit words of either dtype. The batch's row i is the thread's row plus `batch_row`. A binding may
// hold a range of the data: rows `row` to `row + held - 1`, of which the first starts at word
// `start`; a thread whose row lies outside writes nothing, so that one call for each range writes
// each row once. Likewise the batch's first row starts at word `batch_start` of its binding. An
// index past the last row of the data reads the last, so that one made on the device cannot reach
// outside.
//
// A thread moves one element, in load_batch_quads four neighbours, of which inner and the starts
// then count; n is the number of threads. Workgroups of 64 in a folded grid. For any shape.

struct Params {
    n: u32,
    inner: u32,
    // Rows in all of the data.
    rows: u32,
    row: u32,
    held: u32,
    start: u32,
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
var<immediate> p: Params;

// The data's row that the batch's row i holds, less the first of the binding's.
fn row(i: u32) -> u32 {
    var position = p.last;
    if p.step <= p.last_step {
        let first = p.step * p.stride;
        position = select(first + i, p.last, i > p.last - first);
    }
    return min(order[position], p.rows - 1u) - p.row;
}

@compute @workgroup_size(64)
fn load_batch(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let line = i / p.inner;
    let r = row(p.batch_row + line);
    if r < p.held { y[p.batch_start + i] = x[p.start + r * p.inner + i - line * p.inner]; }
}

@compute @workgroup_size(64)
fn load_batch_quads(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let line = i / p.inner;
    let r = row(p.batch_row + line);
    if r < p.held { y4[p.batch_start + i] = x4[p.start + r * p.inner + i - line * p.inner]; }
}
