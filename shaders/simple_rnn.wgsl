// The step of a simple recurrent network, forward and backward, for `recurrent_steps.wgsl`:
// h = t(x W + h' U + b), h' the state before. The way back needs h alone.

const GATES = 1u;
const HAS_CELL = false;

struct Both {
    low: vec4<f32>,
    high: vec4<f32>,
}

struct Back {
    slopes: vec4<f32>,
    before: Half,
}

fn weigh(both: Both, k: u32, j: u32, h: mat2x4<f32>) -> Both {
    let w = vec4(u[k * p.hidden + j]);
    return Both(fma(w, h[0], both.low), fma(w, h[1], both.high));
}

fn forward_cell(sum: vec4<f32>, at: Place, before: Half) -> Half {
    put_previous(at, masked(at.row, at.j, before.h));
    let h = activate(ACTIVATION, sum + input_at(at, 0u));
    let after = select(before.h, h, taken(at));
    put_y(at, after);
    return Half(after, vec4(0.0));
}

fn c_before(row: u32, s: u32, j: u32) -> vec4<f32> {
    return vec4(0.0);
}

fn backward_cell(at: Place, after: Half) -> Back {
    var d = after.h * slope(ACTIVATION, saved_at(lines(at.row, at.s, p.hidden) + at.j));
    var before = vec4(0.0);
    if HAS_LENGTHS {
        let is_taken = taken(at);
        d = select(vec4(0.0), d, is_taken);
        before = select(after.h, vec4(0.0), is_taken);
    }
    put_dxw(at, 0u, d);
    return Back(d, Half(before, vec4(0.0)));
}

fn slopes_at(row: u32, s: u32, column: u32) -> vec4<f32> {
    let i = lines(row, s, p.hidden) + column;
    return vec4(dxw[i.x], dxw[i.y], dxw[i.z], dxw[i.w]);
}

fn stage(unit: u32, low: vec4<f32>, high: vec4<f32>) {
    staged[unit] = mat2x4(low, high);
}

fn weigh_back(sum: mat2x4<f32>, k: u32, at: u32, j: u32) -> mat2x4<f32> {
    return add_staged(sum, u[k * p.hidden + j], at);
}
