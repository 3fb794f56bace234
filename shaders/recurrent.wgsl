// What the kernels of a recurrence over time share: operands, places, activations, staging. Appended
// after the source of a cell, which says
//
//   GATES                  the gates of a unit, columns of xw, u and their gradients
//   BACK_GATES             those of them whose gradients reach h by one product
//   SAVED, PREVIOUS        numbers of a unit and step in `saved` and in `previous`
//   HAS_CELL               whether a state c goes beside h
//   Gates                  a quad's products at a unit, a vector for each gate
//   Weights, weights_at(k, columns)  row k of u in the gates' columns
//   add_gates(sum, w, h)   adds these weights times h
//   slopes_at              a gate's gradients that a step left in memory
//
// and after the products, by `recurrent_plain.wgsl` or `recurrent_lanes.wgsl`.
//
//   initial_grad           the gradient of the states before the first step, left in `carry`
//   pack                   puts operands one after the other into `small`, a thread per word
//   arrange                puts a weight, or its transpose, into panels of columns, a thread per element
//
//   xw [batch, time, GATES hidden]     the products of the input, all steps'
//   u  [hidden, GATES hidden]          the recurrent weight; backward its transpose. Its columns lie in
//                                      panels of p.panel, row after row of one, then the next: as
//                                      `arrange` puts them, or a single panel as they are.
//   y [batch, time, hidden]            the state h after each step
//   previous [batch, time, PREVIOUS hidden]  what went into each step's products: the state before
//                                      it, masked
//   states [1 or 2, batch, hidden]     the states after the last step, h and c
//   small                              operands of few numbers, one after the other
//   carry [1 or 2, batch, hidden]      the gradient of the states between two dispatches
//
// Steps are counted as they are taken, s from p.first to p.last; in REVERSE that is from the last time
// to the first. A thread handles one unit of eight sequences, WIDE of sixteen, in quads: vectors of four.
// A workgroup of WIDTH threads has as many units of the same sequences side by side, whose states, or
// whose gates' gradients, it stages in workgroup memory; units past the last stage zeros.
//
// Sequences past the last repeat it and are not stored; so do units.

override WIDTH: u32 = 64u;
override WIDE: bool = false;
// Elements of workgroup memory.
override STAGED: u32 = 64u;
// tanh, sigmoid, hard sigmoid, relu, linear: of the candidate, and of the gates.
override ACTIVATION: u32 = 0u;
override GATE: u32 = 1u;
override REVERSE: bool = false;
override HAS_BIAS: bool = false;
override HAS_INITIAL: bool = false;
override HAS_MASK: bool = false;
override HAS_PEEPHOLES: bool = false;
override HAS_STEPS: bool = false;
// The gradients given: of y, of the states after the last step.
override HAS_DY: bool = false;
override HAS_LAST: bool = false;

struct Params {
    batch: u32,
    time: u32,
    hidden: u32,
    first: u32,
    last: u32,
    tiles: u32,
    // Columns of the weight that lie side by side, row after row of them.
    panel: u32,
    // Steps after which the way back is cut; 0 for never.
    truncate: u32,
    // Where in `small` an operand begins.
    bias_at: u32,
    initial_at: u32,
    cell_at: u32,
    mask_at: u32,
    peepholes_at: u32,
    steps_at: u32,
    last_at: u32,
}

struct ArrangeParams {
    n: u32,
    rows: u32,
    panel: u32,
    columns: u32,
    row_stride: u32,
    column_stride: u32,
}

struct PackParams {
    ends_lo: vec4<u32>,
    ends_hi: vec2<u32>,
    n: u32,
}

@group(0) @binding(0) var<storage, read> xw: array<f32>;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> small: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> states: array<f32>;
@group(0) @binding(5) var<storage, read_write> previous: array<f32>;
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;
@group(0) @binding(7) var<storage, read> saved_in: array<f32>;
@group(0) @binding(8) var<storage, read> dy: array<f32>;
@group(0) @binding(9) var<storage, read_write> dxw: array<f32>;
@group(0) @binding(10) var<storage, read_write> dhw: array<f32>;
@group(0) @binding(11) var<storage, read_write> carry: array<f32>;
@group(0) @binding(0) var<storage, read> part_0: array<u32>;
@group(0) @binding(1) var<storage, read> part_1: array<u32>;
@group(0) @binding(2) var<storage, read> part_2: array<u32>;
@group(0) @binding(3) var<storage, read> part_3: array<u32>;
@group(0) @binding(4) var<storage, read> part_4: array<u32>;
@group(0) @binding(5) var<storage, read> part_5: array<u32>;
@group(0) @binding(6) var<storage, read_write> packed: array<u32>;
var<immediate> p: Params;
var<immediate> q: PackParams;
@group(0) @binding(0) var<storage, read> given: array<f32>;
@group(0) @binding(1) var<storage, read_write> arranged: array<f32>;
var<immediate> a: ArrangeParams;
var<workgroup> staged: array<vec4<f32>, STAGED>;

const FOUR = vec4(0u, 1u, 2u, 3u);

// The states of all sequences of a thread, or their gradients, a column for each quad.
struct State {
    h: mat4x4<f32>,
    c: mat4x4<f32>,
}

// The states of a quad.
struct Quad {
    h: vec4<f32>,
    c: vec4<f32>,
}

// Where a thread works: the first of its four sequences, the time of the step, the unit, and whether
// the unit is its own.
struct Place {
    row: u32,
    s: u32,
    j: u32,
    own: bool,
}

fn activate(kind: u32, x: vec4<f32>) -> vec4<f32> {
    if kind == 0u { return tanh_exact(x); }
    if kind == 1u { return sigmoid(x); }
    if kind == 2u { return keep_nan(x, clamp(x * (1.0 / 6.0) + 0.5, vec4(0.0), vec4(1.0))); }
    if kind == 3u { return select(x, vec4(0.0), below_zero(x)); }
    return x;
}

// The derivative of an activation where its value is y.
fn slope(kind: u32, y: vec4<f32>) -> vec4<f32> {
    if kind == 0u { return (1.0 - y) * (1.0 + y); }
    if kind == 1u { return y * (1.0 - y); }
    if kind == 2u {
        return select(vec4(1.0 / 6.0), vec4(0.0), at_most_zero(y) | ((y >= vec4(1.0)) & !are_nan(y)));
    }
    if kind == 3u { return select(vec4(1.0), vec4(0.0), at_most_zero(y)); }
    return vec4(1.0);
}

fn time_of(s: u32) -> u32 {
    return select(s, p.time - 1u - s, REVERSE);
}

// Four sequences from `row` on, the last standing in for those past it.
fn sequences(row: u32) -> vec4<u32> {
    return min(row + FOUR, vec4(p.batch - 1u));
}

// Where [batch, time, width] begins for four sequences at a step.
fn lines(row: u32, s: u32, width: u32) -> vec4<u32> {
    return (sequences(row) * p.time + time_of(s)) * width;
}

// Which of four sequences a step belongs to, and is not padding of.
fn taken(at: Place) -> vec4<bool> {
    if !HAS_STEPS { return vec4(true); }
    return small_at(p.steps_at + sequences(at.row) * p.time + time_of(at.s)) != vec4(0.0);
}

fn small_at(i: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4(small[i.x], small[i.y], small[i.z], small[i.w]));
}

fn small_scalar(i: u32) -> f32 {
    return bitcast<f32>(small[i]);
}

// The product of the input at a gate's column, with the bias.
fn input_at(at: Place, gate: u32) -> vec4<f32> {
    let column = gate * p.hidden + at.j;
    let i = lines(at.row, at.s, GATES * p.hidden) + column;
    let x = vec4(xw[i.x], xw[i.y], xw[i.z], xw[i.w]);
    if HAS_BIAS { return x + small_scalar(p.bias_at + column); }
    return x;
}

fn saved_at(i: vec4<u32>) -> vec4<f32> {
    return vec4(saved_in[i.x], saved_in[i.y], saved_in[i.z], saved_in[i.w]);
}

fn masked(row: u32, j: u32, h: vec4<f32>) -> vec4<f32> {
    if !HAS_MASK { return h; }
    return h * small_at(p.mask_at + sequences(row) * p.hidden + j);
}

fn all_masked(row: u32, j: u32, h: mat4x4<f32>) -> mat4x4<f32> {
    var all = h;
    all[0] = masked(row, j, h[0]);
    all[1] = masked(row + 4u, j, h[1]);
    if WIDE {
        all[2] = masked(row + 8u, j, h[2]);
        all[3] = masked(row + 12u, j, h[3]);
    }
    return all;
}

// Which of the four sequences at `row` exist and are this thread's to store.
fn stored(at: Place) -> vec4<bool> {
    return (vec4(at.row) + FOUR < vec4(p.batch)) & vec4(at.own);
}

fn put_y(at: Place, v: vec4<f32>) {
    let i = lines(at.row, at.s, p.hidden) + at.j;
    let keep = stored(at);
    if keep.x { y[i.x] = v.x; }
    if keep.y { y[i.y] = v.y; }
    if keep.z { y[i.z] = v.z; }
    if keep.w { y[i.w] = v.w; }
}

// Stores an operand of the products, of PREVIOUS that a unit has.
fn put_previous(at: Place, part: u32, v: vec4<f32>) {
    let i = lines(at.row, at.s, PREVIOUS * p.hidden) + part * p.hidden + at.j;
    let keep = stored(at);
    if keep.x { previous[i.x] = v.x; }
    if keep.y { previous[i.y] = v.y; }
    if keep.z { previous[i.z] = v.z; }
    if keep.w { previous[i.w] = v.w; }
}

// Saves a number for the way back, of SAVED that a unit has there.
fn put_saved(at: Place, part: u32, v: vec4<f32>) {
    let i = lines(at.row, at.s, SAVED * p.hidden) + part * p.hidden + at.j;
    let keep = stored(at);
    if keep.x { saved[i.x] = v.x; }
    if keep.y { saved[i.y] = v.y; }
    if keep.z { saved[i.z] = v.z; }
    if keep.w { saved[i.w] = v.w; }
}

fn put_dxw(at: Place, gate: u32, v: vec4<f32>) {
    let i = lines(at.row, at.s, GATES * p.hidden) + gate * p.hidden + at.j;
    let keep = stored(at);
    if keep.x { dxw[i.x] = v.x; }
    if keep.y { dxw[i.y] = v.y; }
    if keep.z { dxw[i.z] = v.z; }
    if keep.w { dxw[i.w] = v.w; }
}

fn put_dhw(at: Place, gate: u32, v: vec4<f32>) {
    let i = lines(at.row, at.s, GATES * p.hidden) + gate * p.hidden + at.j;
    let keep = stored(at);
    if keep.x { dhw[i.x] = v.x; }
    if keep.y { dhw[i.y] = v.y; }
    if keep.z { dhw[i.z] = v.z; }
    if keep.w { dhw[i.w] = v.w; }
}

fn put_states(at: Place, part: u32, v: vec4<f32>) {
    let i = (part * p.batch + sequences(at.row)) * p.hidden + at.j;
    let keep = stored(at);
    if keep.x { states[i.x] = v.x; }
    if keep.y { states[i.y] = v.y; }
    if keep.z { states[i.z] = v.z; }
    if keep.w { states[i.w] = v.w; }
}

fn put_carry(at: Place, part: u32, v: vec4<f32>) {
    let i = (part * p.batch + sequences(at.row)) * p.hidden + at.j;
    let keep = stored(at);
    if keep.x { carry[i.x] = v.x; }
    if keep.y { carry[i.y] = v.y; }
    if keep.z { carry[i.z] = v.z; }
    if keep.w { carry[i.w] = v.w; }
}

// A state of [batch, hidden] in `small`.
fn small_state(first: u32, row: u32, j: u32) -> vec4<f32> {
    return small_at(first + sequences(row) * p.hidden + j);
}

fn carried(part: u32, row: u32, j: u32) -> vec4<f32> {
    let i = (part * p.batch + sequences(row)) * p.hidden + j;
    return vec4(carry[i.x], carry[i.y], carry[i.z], carry[i.w]);
}

// h before step s, from memory.
fn h_before(row: u32, s: u32, j: u32) -> vec4<f32> {
    if s == 0u {
        if HAS_INITIAL { return small_state(p.initial_at, row, j); }
        return vec4(0.0);
    }
    let i = lines(row, s - 1u, p.hidden) + j;
    return vec4(y[i.x], y[i.y], y[i.z], y[i.w]);
}

fn all_before(row: u32, s: u32, j: u32) -> mat4x4<f32> {
    var all = mat4x4<f32>();
    all[0] = h_before(row, s, j);
    all[1] = h_before(row + 4u, s, j);
    if WIDE {
        all[2] = h_before(row + 8u, s, j);
        all[3] = h_before(row + 12u, s, j);
    }
    return all;
}

// Where column `column` of a weight of `rows` rows begins; its rows lie p.panel apart.
fn column_at(column: u32, rows: u32) -> u32 {
    let panel = column / p.panel;
    return panel * (rows - 1u) * p.panel + column;
}

// The columns of all gates at unit j, of up to four.
fn gate_columns(j: u32) -> vec4<u32> {
    let second = column_at(p.hidden + j, p.hidden);
    let third = column_at(2u * p.hidden + j, p.hidden);
    return vec4(column_at(j, p.hidden), second, third, column_at(3u * p.hidden + j, p.hidden));
}

// Sequences of a workgroup.
fn rows() -> u32 {
    return select(8u, 16u, WIDE);
}

fn staged_at(unit: u32) -> mat4x4<f32> {
    if WIDE {
        let at = 4u * unit;
        return mat4x4(staged[at], staged[at + 1u], staged[at + 2u], staged[at + 3u]);
    }
    return mat4x4(staged[2u * unit], staged[2u * unit + 1u], vec4(0.0), vec4(0.0));
}

fn stage_all(unit: u32, own: bool, all: mat4x4<f32>) {
    let zero = vec4(0.0);
    let at = unit * rows() / 4u;
    staged[at] = select(zero, all[0], own);
    staged[at + 1u] = select(zero, all[1], own);
    if WIDE {
        staged[at + 2u] = select(zero, all[2], own);
        staged[at + 3u] = select(zero, all[3], own);
    }
}

// A weight times the sequences of h, added to each quad's sum.
fn add_all(sum: mat4x4<f32>, w: f32, h: mat4x4<f32>) -> mat4x4<f32> {
    let by = vec4(w);
    if WIDE {
        return mat4x4(fma(by, h[0], sum[0]), fma(by, h[1], sum[1]), fma(by, h[2], sum[2]), fma(by, h[3], sum[3]));
    }
    return mat4x4(fma(by, h[0], sum[0]), fma(by, h[1], sum[1]), sum[2], sum[3]);
}

fn all_small(first: u32, row: u32, j: u32) -> mat4x4<f32> {
    var all = mat4x4<f32>();
    all[0] = small_state(first, row, j);
    all[1] = small_state(first, row + 4u, j);
    if WIDE {
        all[2] = small_state(first, row + 8u, j);
        all[3] = small_state(first, row + 12u, j);
    }
    return all;
}

// The gradient of the states after the last step.
fn last_grad(row: u32, j: u32) -> State {
    var grad = State();
    if HAS_LAST {
        grad.h = all_small(p.last_at, row, j);
        if HAS_CELL { grad.c = all_small(p.last_at + p.batch * p.hidden, row, j); }
    }
    return grad;
}

fn all_carried(part: u32, row: u32, j: u32) -> mat4x4<f32> {
    var all = mat4x4<f32>();
    all[0] = carried(part, row, j);
    all[1] = carried(part, row + 4u, j);
    if WIDE {
        all[2] = carried(part, row + 8u, j);
        all[3] = carried(part, row + 12u, j);
    }
    return all;
}

fn carried_grad(row: u32, j: u32) -> State {
    var grad = State();
    grad.h = all_carried(0u, row, j);
    if HAS_CELL { grad.c = all_carried(1u, row, j); }
    return grad;
}

fn put_grad(row: u32, j: u32, own: bool, grad: State) {
    put_quad(Place(row, 0u, j, own), Quad(grad.h[0], grad.c[0]));
    put_quad(Place(row + 4u, 0u, j, own), Quad(grad.h[1], grad.c[1]));
    if WIDE {
        put_quad(Place(row + 8u, 0u, j, own), Quad(grad.h[2], grad.c[2]));
        put_quad(Place(row + 12u, 0u, j, own), Quad(grad.h[3], grad.c[3]));
    }
}

fn put_quad(at: Place, grad: Quad) {
    put_carry(at, 0u, grad.h);
    if HAS_CELL { put_carry(at, 1u, grad.c); }
}

// Whether no gradient passes from step s to the one before.
fn is_cut(s: u32) -> bool {
    return p.truncate > 0u && s % p.truncate == 0u;
}

// The products of all sequences of a thread at a unit.
struct Sums {
    a: Gates,
    b: Gates,
    c: Gates,
    d: Gates,
}

fn weigh(sums: Sums, w: Weights, h: mat4x4<f32>) -> Sums {
    if WIDE {
        return Sums(
            add_gates(sums.a, w, h[0]),
            add_gates(sums.b, w, h[1]),
            add_gates(sums.c, w, h[2]),
            add_gates(sums.d, w, h[3]),
        );
    }
    return Sums(add_gates(sums.a, w, h[0]), add_gates(sums.b, w, h[1]), sums.c, sums.d);
}

// The gradient of the states before step s: `grad` is what the cell passed on, the product what the
// gates' gradients give.
fn with_product(grad: State, row: u32, s: u32, j: u32, product: mat4x4<f32>) -> State {
    if is_cut(s) { return State(); }
    return State(grad.h + all_masked(row, j, product), grad.c);
}

fn dy_at(at: Place) -> vec4<f32> {
    if !HAS_DY { return vec4(0.0); }
    let i = lines(at.row, at.s, p.hidden) + at.j;
    return vec4(dy[i.x], dy[i.y], dy[i.z], dy[i.w]);
}

// The products of step s with all gates' weights at unit j, by tiles of units, states read from memory.
fn tiled_products(row: u32, s: u32, unit: u32, j: u32) -> Sums {
    var sums = Sums();
    for (var first = 0u; first < p.hidden; first += WIDTH) {
        let k = min(first + unit, p.hidden - 1u);
        stage_all(unit, first + unit < p.hidden, all_masked(row, k, all_before(row, s, k)));
        workgroupBarrier();
        sums = products(sums, first, min(WIDTH, p.hidden - first), j, unit);
        workgroupBarrier();
    }
    return sums;
}

// Stages the gradients of gates `from` to `to` of unit k at step s from memory, zeros past the last unit.
fn stage_from_memory(unit: u32, row: u32, s: u32, k: u32, from_gate: u32, to_gate: u32) {
    let j = min(k, p.hidden - 1u);
    for (var gate = from_gate; gate < to_gate; gate++) {
        var all = mat4x4<f32>();
        all[0] = slopes_at(row, s, gate * p.hidden + j);
        all[1] = slopes_at(row + 4u, s, gate * p.hidden + j);
        if WIDE {
            all[2] = slopes_at(row + 8u, s, gate * p.hidden + j);
            all[3] = slopes_at(row + 12u, s, gate * p.hidden + j);
        }
        stage_all(gate * WIDTH + unit, k < p.hidden, all);
    }
}

// Adds what the staged gradients of gates `from` to `to` of `count` units, the first of them unit `first`,
// give to h at unit j.
fn products_back(
    before: mat4x4<f32>,
    first: u32,
    count: u32,
    j: u32,
    unit: u32,
    from_gate: u32,
    to_gate: u32,
) -> mat4x4<f32> {
    var sum = before;
    let column = column_at(j, GATES * p.hidden);
    for (var gate = from_gate; gate < to_gate; gate++) {
        let weights = column + gate * p.hidden * p.panel;
        sum = product(sum, weights, first, count, gate * WIDTH, unit);
    }
    return sum;
}

// The product with the gradients of these gates at step s, by tiles of units.
fn tiled_products_back(
    row: u32,
    s: u32,
    unit: u32,
    j: u32,
    from_gate: u32,
    to_gate: u32,
) -> mat4x4<f32> {
    var sum = mat4x4<f32>();
    for (var first = 0u; first < p.hidden; first += WIDTH) {
        stage_from_memory(unit, row, s, first + unit, from_gate, to_gate);
        workgroupBarrier();
        sum = products_back(sum, first, min(WIDTH, p.hidden - first), j, unit, from_gate, to_gate);
        workgroupBarrier();
    }
    return sum;
}

@compute @workgroup_size(WIDTH)
fn initial_grad(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * rows();
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    let product = tiled_products_back(row, 0u, unit, j, 0u, BACK_GATES);
    let passed = carried_grad(row, j);
    put_grad(row, j, mine < p.hidden, State(passed.h + all_masked(row, j, product), passed.c));
}

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.n { return; }
    if i < q.ends_lo.x {
        packed[i] = part_0[i];
    } else if i < q.ends_lo.y {
        packed[i] = part_1[i - q.ends_lo.x];
    } else if i < q.ends_lo.z {
        packed[i] = part_2[i - q.ends_lo.y];
    } else if i < q.ends_lo.w {
        packed[i] = part_3[i - q.ends_lo.z];
    } else if i < q.ends_hi.x {
        packed[i] = part_4[i - q.ends_lo.w];
    } else {
        packed[i] = part_5[i - q.ends_hi.x];
    }
}

// Puts a matrix into panels of columns, a thread per element.
@compute @workgroup_size(64)
fn arrange(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= a.n { return; }
    let line = i / a.panel;
    let column = line / a.rows * a.panel + i % a.panel;
    // The last panel may be wider than what is left of the matrix.
    if column < a.columns { arranged[i] = given[line % a.rows * a.row_stride + column * a.column_stride]; }
}
