// The kernels that take a recurrence from step to step, each computing the product with the recurrent
// weight, the gates and the state in one go. Appended after the source of a cell, which says what a step
// does, besides what `recurrent.wgsl` asks for:
//
//   forward_cell           the step of a quad at a unit
//   Back, backward_cell    the gates' gradients of a quad, and what the cell passes back
//   stage                  puts the gates' gradients of a quad at a unit into workgroup memory
//
//   forward_sequence   a workgroup has all units and goes through all steps of its sequences
//   forward_step       one step, by as many workgroups as there are tiles of units
//   backward_sequence, backward_step  the same from the last step to the first. What the gradient
//                      of a state has besides the product waits in `carry` between two dispatches.

fn c_all(row: u32, s: u32, j: u32) -> mat4x4<f32> {
    var all = mat4x4<f32>();
    if HAS_CELL {
        all[0] = c_before(row, s, j);
        all[1] = c_before(row + 4u, s, j);
        if WIDE {
            all[2] = c_before(row + 8u, s, j);
            all[3] = c_before(row + 12u, s, j);
        }
    }
    return all;
}

// The step of a quad, which also stores the states after the last one.
fn quad_step(sums: Gates, at: Place, before: Quad) -> Quad {
    let after = forward_cell(sums, at, before);
    if at.s + 1u == p.time {
        put_states(at, 0u, after.h);
        if HAS_CELL { put_states(at, 1u, after.c); }
    }
    return after;
}

fn step_of(sums: Sums, row: u32, s: u32, j: u32, own: bool, state: State) -> State {
    let a = quad_step(sums.a, Place(row, s, j, own), Quad(state.h[0], state.c[0]));
    let b = quad_step(sums.b, Place(row + 4u, s, j, own), Quad(state.h[1], state.c[1]));
    if !WIDE {
        let none = vec4(0.0);
        return State(mat4x4(a.h, b.h, none, none), mat4x4(a.c, b.c, none, none));
    }
    let c = quad_step(sums.c, Place(row + 8u, s, j, own), Quad(state.h[2], state.c[2]));
    let d = quad_step(sums.d, Place(row + 12u, s, j, own), Quad(state.h[3], state.c[3]));
    return State(mat4x4(a.h, b.h, c.h, d.h), mat4x4(a.c, b.c, c.c, d.c));
}

@compute @workgroup_size(WIDTH)
fn forward_sequence(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let row = linear_group(group) * rows();
    if row >= p.batch { return; }
    let own = unit < p.hidden;
    let j = min(unit, p.hidden - 1u);
    var state = State(all_before(row, p.first, j), c_all(row, p.first, j));
    for (var s = p.first; s < p.last; s++) {
        stage_all(unit, own, all_masked(row, j, state.h));
        workgroupBarrier();
        let sums = products(Sums(), 0u, p.hidden, j, unit);
        workgroupBarrier();
        state = step_of(sums, row, s, j, own, state);
    }
}

@compute @workgroup_size(WIDTH)
fn forward_step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * rows();
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    let sums = tiled_products(row, p.first, unit, j);
    let state = State(all_before(row, p.first, j), c_all(row, p.first, j));
    step_of(sums, row, p.first, j, mine < p.hidden, state);
}

// The way back of a quad through a step. The gates' gradients are staged, zeros by units that are not
// the thread's own.
fn quad_step_back(unit: u32, quad: u32, at: Place, after: Quad) -> Quad {
    let back = backward_cell(at, Quad(after.h + dy_at(at), after.c));
    stage(unit, quad, at.own, back.slopes);
    return back.before;
}

fn step_back(unit: u32, row: u32, s: u32, j: u32, own: bool, grad: State) -> State {
    let a = quad_step_back(unit, 0u, Place(row, s, j, own), Quad(grad.h[0], grad.c[0]));
    let b = quad_step_back(unit, 1u, Place(row + 4u, s, j, own), Quad(grad.h[1], grad.c[1]));
    if !WIDE {
        let none = vec4(0.0);
        return State(mat4x4(a.h, b.h, none, none), mat4x4(a.c, b.c, none, none));
    }
    let c = quad_step_back(unit, 2u, Place(row + 8u, s, j, own), Quad(grad.h[2], grad.c[2]));
    let d = quad_step_back(unit, 3u, Place(row + 12u, s, j, own), Quad(grad.h[3], grad.c[3]));
    return State(mat4x4(a.h, b.h, c.h, d.h), mat4x4(a.c, b.c, c.c, d.c));
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
        stage_from_memory(unit, row, p.last, unit, 0u, GATES);
    }
    for (var s = p.last; s > p.first; s--) {
        if s < p.time {
            workgroupBarrier();
            let product = products_back(mat4x4<f32>(), 0u, p.hidden, j, unit, 0u, GATES);
            workgroupBarrier();
            grad = with_product(grad, row, s, j, product);
        }
        grad = step_back(unit, row, s - 1u, j, own, grad);
    }
    put_grad(row, j, own, grad);
}

@compute @workgroup_size(WIDTH)
fn backward_step(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) unit: u32) {
    let tile = linear_group(group);
    let row = tile / p.tiles * rows();
    if row >= p.batch { return; }
    let mine = tile % p.tiles * WIDTH + unit;
    let j = min(mine, p.hidden - 1u);
    var grad: State;
    if p.last == p.time {
        grad = last_grad(row, j);
    } else {
        let product = tiled_products_back(row, p.last, unit, j, 0u, GATES);
        grad = with_product(carried_grad(row, j), row, p.last, j, product);
    }
    put_grad(row, j, mine < p.hidden, step_back(unit, row, p.first, j, mine < p.hidden, grad));
}
