// Gated recurrent units whose reset gate acts on the state, before the product: two products in a
// step, the candidate's of what the gates' product decides.
//
//   r = s(a_r + h' Ur)   z = s(a_z + h' Uz)   n = t(a_n + (r h') Un)   h = (1 - z) n + z h'
//
// with a = x W + b and h' the state before. Gates lie in the order r, z, n. Saved for the way back:
// r, z, n and h', [batch, time, 4 hidden]; operands of the products are h' and r h', [batch, time,
// 2 hidden]. The rest is as in `recurrent_steps.wgsl`.
//
//   forward_sequence, backward_sequence   all steps, by a workgroup with all units
//   forward_gates, forward_candidate      a step, by as many workgroups as there are tiles of units
//   backward_candidate, backward_gates    the way back through a step, likewise. What the gradient
//                                         of h has besides the gates' product waits in `carry`.

const GATES = 3u;
const BACK_GATES = 2u;
const SAVED = 4u;
const PREVIOUS = 2u;
const HAS_CELL = false;

alias Gates = mat2x4<f32>;
alias Weights = vec2<f32>;

fn weights_at(k: u32, columns: vec4<u32>) -> Weights {
    let i = columns + min(k, p.hidden - 1u) * p.panel;
    return vec2(u[i.x], u[i.y]);
}

fn add_gates(sum: Gates, w: Weights, h: vec4<f32>) -> Gates {
    return mat2x4(fma(vec4(w.x), h, sum[0]), fma(vec4(w.y), h, sum[1]));
}

fn slopes_at(row: u32, s: u32, column: u32) -> vec4<f32> {
    let i = lines(row, s, GATES * p.hidden) + column;
    return vec4(dxw[i.x], dxw[i.y], dxw[i.z], dxw[i.w]);
}

// The gates of all sequences of a thread, and the operand of the candidate's product.
struct Gated {
    z: mat4x4<f32>,
    scaled: mat4x4<f32>,
}

// z and r h' of a quad.
fn gate_quad(sums: Gates, at: Place, h: vec4<f32>) -> Quad {
    let m = masked(at.row, at.j, h);
    let r = activate(GATE, sums[0] + input_at(at, 0u));
    let z = activate(GATE, sums[1] + input_at(at, 1u));
    put_previous(at, 0u, m);
    put_previous(at, 1u, r * m);
    put_saved(at, 0u, r);
    put_saved(at, 1u, z);
    put_saved(at, 3u, h);
    return Quad(z, r * m);
}

fn gates_of(sums: Sums, row: u32, s: u32, j: u32, own: bool, h: mat4x4<f32>) -> Gated {
    let a = gate_quad(sums.a, Place(row, s, j, own), h[0]);
    let b = gate_quad(sums.b, Place(row + 4u, s, j, own), h[1]);
    if !WIDE {
        let none = vec4(0.0);
        return Gated(mat4x4(a.h, b.h, none, none), mat4x4(a.c, b.c, none, none));
    }
    let c = gate_quad(sums.c, Place(row + 8u, s, j, own), h[2]);
    let d = gate_quad(sums.d, Place(row + 12u, s, j, own), h[3]);
    return Gated(mat4x4(a.h, b.h, c.h, d.h), mat4x4(a.c, b.c, c.c, d.c));
}

// h after the step of a quad, from the candidate's product.
fn finish_quad(sum: vec4<f32>, at: Place, h: vec4<f32>, z: vec4<f32>) -> vec4<f32> {
    let n = activate(ACTIVATION, sum + input_at(at, 2u));
    let after = select(h, (1.0 - z) * n + z * h, taken(at));
    put_saved(at, 2u, n);
    put_y(at, after);
    if at.s + 1u == p.time { put_states(at, 0u, after); }
    return after;
}

fn finish(
    sum: mat4x4<f32>,
    row: u32,
    s: u32,
    j: u32,
    own: bool,
    h: mat4x4<f32>,
    z: mat4x4<f32>,
) -> mat4x4<f32> {
    var after = h;
    after[0] = finish_quad(sum[0], Place(row, s, j, own), h[0], z[0]);
    after[1] = finish_quad(sum[1], Place(row + 4u, s, j, own), h[1], z[1]);
    if WIDE {
        after[2] = finish_quad(sum[2], Place(row + 8u, s, j, own), h[2], z[2]);
        after[3] = finish_quad(sum[3], Place(row + 12u, s, j, own), h[3], z[3]);
    }
    return after;
}

@compute @workgroup_size(WIDTH)
fn forward_sequence(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let row = linear_group(group) * rows();
    if row >= p.batch { return; }
    let own = unit < p.hidden;
    let j = min(unit, p.hidden - 1u);
    var h = all_before(row, p.first, j);
    for (var s = p.first; s < p.last; s++) {
        stage_all(unit, own, all_masked(row, j, h));
        workgroupBarrier();
        let sums = products(Sums(), 0u, p.hidden, j, unit);
        workgroupBarrier();
        let gates = gates_of(sums, row, s, j, own, h);
        stage_all(unit, own, gates.scaled);
        workgroupBarrier();
        let column = column_at(2u * p.hidden + j, p.hidden);
        let sum = product(mat4x4<f32>(), column, 0u, p.hidden, 0u, unit);
        workgroupBarrier();
        h = finish(sum, row, s, j, own, h, gates.z);
    }
}

@compute @workgroup_size(WIDTH)
fn forward_gates(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * rows();
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    let sums = tiled_products(row, p.first, unit, j);
    gates_of(sums, row, p.first, j, mine < p.hidden, all_before(row, p.first, j));
}

// r h' as forward_gates left it.
fn scaled_at(row: u32, k: u32) -> vec4<f32> {
    let i = lines(row, p.first, 2u * p.hidden) + p.hidden + k;
    return vec4(previous[i.x], previous[i.y], previous[i.z], previous[i.w]);
}

fn z_at(row: u32, j: u32) -> vec4<f32> {
    let i = lines(row, p.first, SAVED * p.hidden) + p.hidden + j;
    return vec4(saved[i.x], saved[i.y], saved[i.z], saved[i.w]);
}

@compute @workgroup_size(WIDTH)
fn forward_candidate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * rows();
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    var sum = mat4x4<f32>();
    for (var first = 0u; first < p.hidden; first += WIDTH) {
        let k = min(first + unit, p.hidden - 1u);
        var scaled = mat4x4<f32>();
        scaled[0] = scaled_at(row, k);
        scaled[1] = scaled_at(row + 4u, k);
        if WIDE {
            scaled[2] = scaled_at(row + 8u, k);
            scaled[3] = scaled_at(row + 12u, k);
        }
        stage_all(unit, first + unit < p.hidden, scaled);
        workgroupBarrier();
        let column = column_at(2u * p.hidden + j, p.hidden);
        sum = product(sum, column, first, min(WIDTH, p.hidden - first), 0u, unit);
        workgroupBarrier();
    }
    var z = mat4x4<f32>();
    z[0] = z_at(row, j);
    z[1] = z_at(row + 4u, j);
    if WIDE {
        z[2] = z_at(row + 8u, j);
        z[3] = z_at(row + 12u, j);
    }
    finish(sum, row, p.first, j, mine < p.hidden, all_before(row, p.first, j), z);
}

// Stages a quad's gradients of a gate, zeros by units that are not the thread's own.
fn stage_quad(gate: u32, unit: u32, quad: u32, own: bool, v: vec4<f32>) {
    staged[(gate * WIDTH + unit) * (rows() / 4u) + quad] = select(vec4(0.0), v, own);
}

// The first half of a quad's way back: stages the gradients of z and n, returns what h' gets
// besides the products.
fn candidate_quad(unit: u32, quad: u32, at: Place, after: vec4<f32>) -> vec4<f32> {
    let line = lines(at.row, at.s, SAVED * p.hidden) + at.j;
    let z = saved_at(line + p.hidden);
    let n = saved_at(line + 2u * p.hidden);
    let h = saved_at(line + 3u * p.hidden);
    let dh = after + dy_at(at);
    let is_taken = taken(at);
    let zero = vec4(0.0);
    let d_z = select(zero, dh * (h - n) * slope(GATE, z), is_taken);
    let d_n = select(zero, dh * (1.0 - z) * slope(ACTIVATION, n), is_taken);
    put_dxw(at, 1u, d_z);
    put_dxw(at, 2u, d_n);
    stage_quad(1u, unit, quad, at.own, d_z);
    stage_quad(2u, unit, quad, at.own, d_n);
    return select(dh, dh * z, is_taken);
}

fn candidates(unit: u32, row: u32, s: u32, j: u32, own: bool, grad: mat4x4<f32>) -> mat4x4<f32> {
    var direct = grad;
    direct[0] = candidate_quad(unit, 0u, Place(row, s, j, own), grad[0]);
    direct[1] = candidate_quad(unit, 1u, Place(row + 4u, s, j, own), grad[1]);
    if WIDE {
        direct[2] = candidate_quad(unit, 2u, Place(row + 8u, s, j, own), grad[2]);
        direct[3] = candidate_quad(unit, 3u, Place(row + 12u, s, j, own), grad[3]);
    }
    return direct;
}

// The second half, from the candidate's product, which is zero for padding: stages the gradients of
// r, returns what h' gets through r h'.
fn reset_quad(unit: u32, quad: u32, at: Place, product: vec4<f32>) -> vec4<f32> {
    let line = lines(at.row, at.s, SAVED * p.hidden) + at.j;
    let r = saved_at(line);
    let h = saved_at(line + 3u * p.hidden);
    let d_r = product * masked(at.row, at.j, h) * slope(GATE, r);
    put_dxw(at, 0u, d_r);
    stage_quad(0u, unit, quad, at.own, d_r);
    return masked(at.row, at.j, product * r);
}

fn resets(unit: u32, row: u32, s: u32, j: u32, own: bool, product: mat4x4<f32>) -> mat4x4<f32> {
    var scaled = product;
    scaled[0] = reset_quad(unit, 0u, Place(row, s, j, own), product[0]);
    scaled[1] = reset_quad(unit, 1u, Place(row + 4u, s, j, own), product[1]);
    if WIDE {
        scaled[2] = reset_quad(unit, 2u, Place(row + 8u, s, j, own), product[2]);
        scaled[3] = reset_quad(unit, 3u, Place(row + 12u, s, j, own), product[3]);
    }
    return scaled;
}

@compute @workgroup_size(WIDTH)
fn backward_sequence(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let row = linear_group(group) * rows();
    if row >= p.batch { return; }
    let own = unit < p.hidden;
    let j = min(unit, p.hidden - 1u);
    var grad: State;
    if p.last == p.time {
        grad = last_grad(row, j);
    } else {
        grad = carried_grad(row, j);
    }
    for (var s = p.last; s > p.first; s--) {
        let direct = candidates(unit, row, s - 1u, j, own, grad.h);
        workgroupBarrier();
        let candidate = products_back(mat4x4<f32>(), 0u, p.hidden, j, unit, 2u, 3u);
        let scaled = resets(unit, row, s - 1u, j, own, candidate);
        workgroupBarrier();
        let gates = products_back(mat4x4<f32>(), 0u, p.hidden, j, unit, 0u, 2u);
        workgroupBarrier();
        grad.h = direct + scaled + all_masked(row, j, gates);
        if s > 1u && is_cut(s - 1u) { grad.h = mat4x4<f32>(); }
    }
    put_grad(row, j, own, grad);
}

@compute @workgroup_size(WIDTH)
fn backward_candidate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * rows();
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    var grad: State;
    if p.last == p.time {
        grad = last_grad(row, j);
    } else {
        let gates = tiled_products_back(row, p.last, unit, j, 0u, 2u);
        grad = with_product(carried_grad(row, j), row, p.last, j, gates);
    }
    grad.h = candidates(unit, row, p.first, j, mine < p.hidden, grad.h);
    put_grad(row, j, mine < p.hidden, grad);
}

@compute @workgroup_size(WIDTH)
fn backward_gates(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * rows();
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    let candidate = tiled_products_back(row, p.first, unit, j, 2u, 3u);
    var grad = carried_grad(row, j);
    grad.h += resets(unit, row, p.first, j, mine < p.hidden, candidate);
    put_grad(row, j, mine < p.hidden, grad);
}
