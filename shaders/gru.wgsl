// The step of gated recurrent units whose reset gate acts on the product, forward and backward, for
// `recurrent_steps.wgsl`.
//
//   r = s(a_r + b_r)   z = s(a_z + b_z)   n = t(a_n + r q), q = b_n   h = (1 - z) n + z h'
//
// with a = x W + bias of the input, b = h' U + bias of the recurrence, h' the state before. Gates lie in
// the order r, z, n. Saved for the way back: r, z, n, q and h', [batch, time, 5 hidden].

const GATES = 3u;
const BACK_GATES = GATES;
const SAVED = 5u;
const PREVIOUS = 1u;
const HAS_CELL = false;

alias Gates = mat3x4<f32>;
alias Weights = vec3<f32>;

struct Back {
    // Of the products of the recurrence.
    slopes: Gates,
    before: Quad,
}

fn weights_at(k: u32, columns: vec4<u32>) -> Weights {
    let i = columns + min(k, p.hidden - 1u) * p.panel;
    return vec3(u[i.x], u[i.y], u[i.z]);
}

fn add_gates(sum: Gates, w: Weights, h: vec4<f32>) -> Gates {
    return mat3x4(fma(vec4(w.x), h, sum[0]), fma(vec4(w.y), h, sum[1]), fma(vec4(w.z), h, sum[2]));
}

// A product of the recurrence with its bias.
fn biased(sum: vec4<f32>, gate: u32, j: u32) -> vec4<f32> {
    if !HAS_BIAS { return sum; }
    return sum + small_scalar(p.bias_at + (GATES + gate) * p.hidden + j);
}

fn forward_cell(sums: Gates, at: Place, before: Quad) -> Quad {
    put_previous(at, 0u, masked(at.row, at.j, before.h));
    let r = activate(GATE, input_at(at, 0u) + biased(sums[0], 0u, at.j));
    let z = activate(GATE, input_at(at, 1u) + biased(sums[1], 1u, at.j));
    let q = biased(sums[2], 2u, at.j);
    let n = activate(ACTIVATION, fma(r, q, input_at(at, 2u)));
    let after = select(before.h, (1.0 - z) * n + z * before.h, taken(at));
    put_saved(at, 0u, r);
    put_saved(at, 1u, z);
    put_saved(at, 2u, n);
    put_saved(at, 3u, q);
    put_saved(at, 4u, before.h);
    put_y(at, after);
    return Quad(after, vec4(0.0));
}

fn c_before(row: u32, s: u32, j: u32) -> vec4<f32> {
    return vec4(0.0);
}

fn backward_cell(at: Place, after: Quad) -> Back {
    let line = lines(at.row, at.s, SAVED * p.hidden) + at.j;
    let r = saved_at(line);
    let z = saved_at(line + p.hidden);
    let n = saved_at(line + 2u * p.hidden);
    let q = saved_at(line + 3u * p.hidden);
    let h = saved_at(line + 4u * p.hidden);
    var d_n = after.h * (1.0 - z) * slope(ACTIVATION, n);
    var d_z = after.h * (h - n) * slope(GATE, z);
    var d_r = d_n * q * slope(GATE, r);
    var d_q = d_n * r;
    var before = after.h * z;
    if HAS_STEPS {
        let is_taken = taken(at);
        let zero = vec4(0.0);
        d_r = select(zero, d_r, is_taken);
        d_z = select(zero, d_z, is_taken);
        d_n = select(zero, d_n, is_taken);
        d_q = select(zero, d_q, is_taken);
        before = select(after.h, before, is_taken);
    }
    put_dxw(at, 0u, d_r);
    put_dxw(at, 1u, d_z);
    put_dxw(at, 2u, d_n);
    put_dhw(at, 0u, d_r);
    put_dhw(at, 1u, d_z);
    put_dhw(at, 2u, d_q);
    return Back(mat3x4(d_r, d_z, d_q), Quad(before, vec4(0.0)));
}

fn slopes_at(row: u32, s: u32, column: u32) -> vec4<f32> {
    let i = lines(row, s, GATES * p.hidden) + column;
    return vec4(dhw[i.x], dhw[i.y], dhw[i.z], dhw[i.w]);
}

fn stage(unit: u32, quad: u32, own: bool, slopes: Gates) {
    let quads = rows() / 4u;
    let zero = vec4(0.0);
    staged[unit * quads + quad] = select(zero, slopes[0], own);
    staged[(WIDTH + unit) * quads + quad] = select(zero, slopes[1], own);
    staged[(2u * WIDTH + unit) * quads + quad] = select(zero, slopes[2], own);
}
