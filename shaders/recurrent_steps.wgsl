// The kernels that take a recurrence from step to step, each computing the product with the recurrent
// weight, the gates and the state in one go. Appended after the source of a cell, which says what a step
// does; `recurrent.wgsl` follows.
//
//   Both                   the products of the low and of the high four of eight sequences at a unit,
//                          a vector for each gate
//   Back                   the gates' gradients of four sequences, and what the cell passes back
//   weigh(both, k, j, h)   adds row k of u at unit j times h
//   weigh_back(sum, k, at, j)  adds what the gates' gradients at unit k, staged at `at`, give to h at j
//   forward_cell, backward_cell  the step of four sequences at a unit
//   slopes_at              gates' gradients that a step left in memory
//   stage                  puts those of a unit into workgroup memory
//
//   forward_sequence   a workgroup has all units and goes through all steps of its sequences
//   forward_step       one step, by as many workgroups as there are tiles of units
//   backward_sequence, backward_step  the same from the last step to the first. What the gradient
//                      of a state has besides the product waits in `carry` between two dispatches.
//   initial_grad       the gradient of the states before the first step, left in `carry`

// Adds the rows of u from `first` on, of which the states are staged, at unit j.
fn products(before: Both, first: u32, count: u32, j: u32) -> Both {
    var both = before;
    var k = 0u;
    for (; k + 4u <= count; k += 4u) {
        both = weigh(both, first + k, j, staged[k]);
        both = weigh(both, first + k + 1u, j, staged[k + 1u]);
        both = weigh(both, first + k + 2u, j, staged[k + 2u]);
        both = weigh(both, first + k + 3u, j, staged[k + 3u]);
    }
    for (; k < count; k++) { both = weigh(both, first + k, j, staged[k]); }
    return both;
}

fn step_of(both: Both, at: Place, state: State) -> State {
    let high = Place(at.row + 4u, at.s, at.j, at.own);
    let a = forward_cell(both.low, at, Half(state.h[0], state.c[0]));
    let b = forward_cell(both.high, high, Half(state.h[1], state.c[1]));
    if p.last == p.time && at.s + 1u == p.last {
        put_states(at, 0u, a.h);
        put_states(high, 0u, b.h);
        if HAS_CELL {
            put_states(at, 1u, a.c);
            put_states(high, 1u, b.c);
        }
    }
    return State(mat2x4(a.h, b.h), mat2x4(a.c, b.c));
}

@compute @workgroup_size(WIDTH)
fn forward_sequence(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let row = 8u * linear_group(group);
    if row >= p.batch { return; }
    let own = unit < p.hidden;
    let j = min(unit, p.hidden - 1u);
    var state = State(
        both_before(row, p.first, j),
        mat2x4(c_before(row, p.first, j), c_before(row + 4u, p.first, j)),
    );
    for (var s = p.first; s < p.last; s++) {
        staged[unit] = both_masked(row, j, state.h);
        workgroupBarrier();
        let both = products(Both(), 0u, p.hidden, j);
        workgroupBarrier();
        state = step_of(both, Place(row, s, j, own), state);
    }
}

@compute @workgroup_size(WIDTH)
fn forward_step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * 8u;
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    var both = Both();
    for (var first = 0u; first < p.hidden; first += WIDTH) {
        let k = min(first + unit, p.hidden - 1u);
        staged[unit] = both_masked(row, k, both_before(row, p.first, k));
        workgroupBarrier();
        both = products(both, first, min(WIDTH, p.hidden - first), j);
        workgroupBarrier();
    }
    let state = State(
        both_before(row, p.first, j),
        mat2x4(c_before(row, p.first, j), c_before(row + 4u, p.first, j)),
    );
    step_of(both, Place(row, p.first, j, mine < p.hidden), state);
}

// The gates' gradients of step s at column `column` of ut, as the step left them in memory.
fn both_slopes(row: u32, s: u32, column: u32) -> mat2x4<f32> {
    return mat2x4(slopes_at(row, s, column), slopes_at(row + 4u, s, column));
}

// The gradient of the states before step s from that after it: `grad` is what the cell passed on,
// and the gates' gradients of all units are staged, unit after unit of each gate.
fn with_product(grad: State, row: u32, s: u32, j: u32, product: mat2x4<f32>) -> State {
    var before = State(grad.h + both_masked(row, j, product), grad.c);
    if is_cut(s) { before = State(mat2x4<f32>(), mat2x4<f32>()); }
    return before;
}

// What the staged gates' gradients of `count` units give to h at unit j, the first of them being
// unit `first`.
fn products_back(before: mat2x4<f32>, first: u32, count: u32, j: u32) -> mat2x4<f32> {
    var sum = before;
    var k = 0u;
    for (; k + 2u <= count; k += 2u) {
        sum = weigh_back(sum, first + k, k, j);
        sum = weigh_back(sum, first + k + 1u, k + 1u, j);
    }
    for (; k < count; k++) { sum = weigh_back(sum, first + k, k, j); }
    return sum;
}

fn grad_step_of(at: Place, grad: State) -> State {
    var dy_low = vec4(0.0);
    var dy_high = vec4(0.0);
    if HAS_DY {
        let i = lines(at.row, at.s, p.hidden) + at.j;
        let k = lines(at.row + 4u, at.s, p.hidden) + at.j;
        dy_low = vec4(dy[i.x], dy[i.y], dy[i.z], dy[i.w]);
        dy_high = vec4(dy[k.x], dy[k.y], dy[k.z], dy[k.w]);
    }
    let high = Place(at.row + 4u, at.s, at.j, at.own);
    let a = backward_cell(at, Half(grad.h[0] + dy_low, grad.c[0]));
    let b = backward_cell(high, Half(grad.h[1] + dy_high, grad.c[1]));
    if at.own { stage(at.j % WIDTH, a.slopes, b.slopes); }
    return State(mat2x4(a.before.h, b.before.h), mat2x4(a.before.c, b.before.c));
}

// Stages the gates' gradients of a unit at step s from memory.
fn stage_from_memory(unit: u32, row: u32, s: u32, k: u32) {
    for (var gate = 0u; gate < GATES; gate++) {
        staged[gate * WIDTH + unit] = both_slopes(row, s, gate * p.hidden + k);
    }
}

@compute @workgroup_size(WIDTH)
fn backward_sequence(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let row = 8u * linear_group(group);
    if row >= p.batch { return; }
    let own = unit < p.hidden;
    let j = min(unit, p.hidden - 1u);
    var grad: State;
    if p.last == p.time {
        grad = last_grad(row, j);
    } else {
        grad = carried_grad(row, j);
        stage_from_memory(unit, row, p.last, j);
    }
    for (var s = p.last; s > p.first; s--) {
        if s < p.time {
            workgroupBarrier();
            let product = products_back(mat2x4<f32>(), 0u, p.hidden, j);
            workgroupBarrier();
            grad = with_product(grad, row, s, j, product);
        }
        grad = grad_step_of(Place(row, s - 1u, j, own), grad);
    }
    put_grad(row, j, own, grad);
}

// The product with the gates' gradients of step s, by tiles of units.
fn tiled_products_back(row: u32, s: u32, unit: u32, j: u32) -> mat2x4<f32> {
    var product = mat2x4<f32>();
    for (var first = 0u; first < p.hidden; first += WIDTH) {
        stage_from_memory(unit, row, s, min(first + unit, p.hidden - 1u));
        workgroupBarrier();
        product = products_back(product, first, min(WIDTH, p.hidden - first), j);
        workgroupBarrier();
    }
    return product;
}

@compute @workgroup_size(WIDTH)
fn backward_step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * 8u;
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    var grad: State;
    if p.last == p.time {
        grad = last_grad(row, j);
    } else {
        let product = tiled_products_back(row, p.last, unit, j);
        grad = with_product(carried_grad(row, j), row, p.last, j, product);
    }
    put_grad(row, j, mine < p.hidden, grad_step_of(Place(row, p.first, j, mine < p.hidden), grad));
}

@compute @workgroup_size(WIDTH)
fn initial_grad(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * 8u;
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    let product = tiled_products_back(row, 0u, unit, j);
    let passed = carried_grad(row, j);
    put_grad(row, j, mine < p.hidden, State(passed.h + both_masked(row, j, product), passed.c));
}
