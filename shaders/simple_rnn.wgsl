// The step of a simple recurrent network, forward and backward, for `recurrent_steps.wgsl`:
// h = t(x W + h' U + b), h' the state before. The way back needs h alone.

const GATES = 1u;
const BACK_GATES = GATES;
const SAVED = 1u;
const PREVIOUS = 1u;
const HAS_CELL = false;

alias Gates = vec4<f32>;
alias Weights = f32;

struct Back {
    slopes: Gates,
    before: Quad,
}

fn weights_at(k: u32, columns: vec4<u32>) -> Weights {
    return u[columns.x + min(k, p.hidden - 1u) * p.panel];
}

fn add_gates(sum: Gates, w: Weights, h: vec4<f32>) -> Gates {
    return fma(vec4(w), h, sum);
}

fn forward_cell(sum: Gates, at: Place, before: Quad) -> Quad {
    put_previous(at, 0u, masked(at.row, at.j, before.h));
    let h = activate(ACTIVATION, sum + input_at(at, 0u));
    let after = select(before.h, h, taken(at));
    put_y(at, after);
    return Quad(after, vec4(0.0));
}

fn c_before(row: u32, s: u32, j: u32) -> vec4<f32> {
    return vec4(0.0);
}

fn backward_cell(at: Place, after: Quad) -> Back {
    var d = after.h * slope(ACTIVATION, saved_at(lines(at.row, at.s, p.hidden) + at.j));
    var before = vec4(0.0);
    if HAS_STEPS {
        let is_taken = taken(at);
        d = select(vec4(0.0), d, is_taken);
        before = select(after.h, vec4(0.0), is_taken);
    }
    put_dxw(at, 0u, d);
    return Back(d, Quad(before, vec4(0.0)));
}

fn slopes_at(row: u32, s: u32, column: u32) -> vec4<f32> {
    let i = lines(row, s, p.hidden) + column;
    return vec4(dxw[i.x], dxw[i.y], dxw[i.z], dxw[i.w]);
}

fn stage(unit: u32, quad: u32, own: bool, slopes: Gates) {
    staged[unit * rows() / 4u + quad] = select(vec4(0.0), slopes, own);
}
