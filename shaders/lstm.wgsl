// The step of an LSTM, forward and backward, for `recurrent.wgsl`.
//
//   i = s(a_i + p_i c')   f = s(a_f + p_f c')   g = t(a_g)   c = f c' + i g
//   o = s(a_o + p_o c)    h = o t(c)            with a = x W + h' U + b and c', h' the states before
//
// Gates lie in the order i, f, g, o. Saved for the way back: i, f, g, o and c, [batch, time, 5 hidden].

const GATES = 4u;
const BACK_GATES = GATES;
const SAVED = 5u;
const PREVIOUS = 1u;
const HAS_CELL = true;

alias Gates = mat4x4<f32>;
alias Weights = vec4<f32>;

struct Back {
    slopes: Gates,
    before: Quad,
}

fn weights_at(k: u32, columns: vec4<u32>) -> Weights {
    let i = columns + min(k, p.hidden - 1u) * p.panel;
    return vec4(u[i.x], u[i.y], u[i.z], u[i.w]);
}

fn add_gates(sum: Gates, w: Weights, h: vec4<f32>) -> Gates {
    return mat4x4(
        fma(vec4(w.x), h, sum[0]),
        fma(vec4(w.y), h, sum[1]),
        fma(vec4(w.z), h, sum[2]),
        fma(vec4(w.w), h, sum[3]),
    );
}

fn peephole(gate: u32, j: u32) -> f32 {
    return small_scalar(p.peepholes_at + gate * p.hidden + j);
}

fn forward_cell(sums: Gates, at: Place, before: Quad) -> Quad {
    put_previous(at, 0u, masked(at.row, at.j, before.h));
    var a_i = sums[0] + input_at(at, 0u);
    var a_f = sums[1] + input_at(at, 1u);
    let g = activate(ACTIVATION, sums[2] + input_at(at, 2u));
    var a_o = sums[3] + input_at(at, 3u);
    if HAS_PEEPHOLES {
        a_i += peephole(0u, at.j) * before.c;
        a_f += peephole(1u, at.j) * before.c;
    }
    let i = activate(GATE, a_i);
    let f = activate(GATE, a_f);
    let c = f * before.c + i * g;
    if HAS_PEEPHOLES { a_o += peephole(2u, at.j) * c; }
    let o = activate(GATE, a_o);
    let is_taken = taken(at);
    let after = Quad(
        select(before.h, o * activate(ACTIVATION, c), is_taken),
        select(before.c, c, is_taken),
    );
    put_saved(at, 0u, i);
    put_saved(at, 1u, f);
    put_saved(at, 2u, g);
    put_saved(at, 3u, o);
    put_saved(at, 4u, after.c);
    put_y(at, after.h);
    return after;
}

// c before step s, from memory.
fn c_before(row: u32, s: u32, j: u32) -> vec4<f32> {
    if s == 0u { return c_initial(row, j); }
    let i = lines(row, s - 1u, SAVED * p.hidden) + 4u * p.hidden + j;
    return vec4(saved[i.x], saved[i.y], saved[i.z], saved[i.w]);
}

fn c_initial(row: u32, j: u32) -> vec4<f32> {
    if HAS_INITIAL { return small_state(p.cell_at, row, j); }
    return vec4(0.0);
}

fn backward_cell(at: Place, after: Quad) -> Back {
    let line = lines(at.row, at.s, SAVED * p.hidden) + at.j;
    let i = saved_at(line);
    let f = saved_at(line + p.hidden);
    let g = saved_at(line + 2u * p.hidden);
    let o = saved_at(line + 3u * p.hidden);
    let shown = activate(ACTIVATION, saved_at(line + 4u * p.hidden));
    var c_prior = c_initial(at.row, at.j);
    if at.s > 0u { c_prior = saved_at(lines(at.row, at.s - 1u, SAVED * p.hidden) + 4u * p.hidden + at.j); }
    var d_o = after.h * shown * slope(GATE, o);
    var dc = after.c + after.h * o * slope(ACTIVATION, shown);
    if HAS_PEEPHOLES { dc += d_o * peephole(2u, at.j); }
    var d_i = dc * g * slope(GATE, i);
    var d_f = dc * c_prior * slope(GATE, f);
    var d_g = dc * i * slope(ACTIVATION, g);
    var before = Quad(vec4(0.0), dc * f);
    if HAS_PEEPHOLES { before.c += d_i * peephole(0u, at.j) + d_f * peephole(1u, at.j); }
    if HAS_STEPS {
        let is_taken = taken(at);
        let zero = vec4(0.0);
        d_i = select(zero, d_i, is_taken);
        d_f = select(zero, d_f, is_taken);
        d_g = select(zero, d_g, is_taken);
        d_o = select(zero, d_o, is_taken);
        before = Quad(select(after.h, before.h, is_taken), select(after.c, before.c, is_taken));
    }
    put_dxw(at, 0u, d_i);
    put_dxw(at, 1u, d_f);
    put_dxw(at, 2u, d_g);
    put_dxw(at, 3u, d_o);
    return Back(mat4x4(d_i, d_f, d_g, d_o), before);
}

fn slopes_at(row: u32, s: u32, column: u32) -> vec4<f32> {
    let i = lines(row, s, 4u * p.hidden) + column;
    return vec4(dxw[i.x], dxw[i.y], dxw[i.z], dxw[i.w]);
}

fn stage(unit: u32, quad: u32, own: bool, slopes: Gates) {
    let quads = rows() / 4u;
    let zero = vec4(0.0);
    staged[unit * quads + quad] = select(zero, slopes[0], own);
    staged[(WIDTH + unit) * quads + quad] = select(zero, slopes[1], own);
    staged[(2u * WIDTH + unit) * quads + quad] = select(zero, slopes[2], own);
    staged[(3u * WIDTH + unit) * quads + quad] = select(zero, slopes[3], own);
}
