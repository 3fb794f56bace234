// Pooling over windows of height and width, and its gradients.
//
//   max        y = the largest x under the window; its gradient goes to the first of equal ones
//   sum        y = sum of x, over the number of elements counted if AVERAGE
//   adaptive   y[i, j] = mean of x over rows floor(i h / oh) .. ceil((i + 1) h / oh) and columns alike
//
// Arrays are planes (sample by channel) of rows: x and dx [planes, image], y and dy [planes, output].
// The window at output o has its taps at o STRIDE + t DILATION - before, t < KERNEL, of which those
// off the image count for nothing. With EDGES false there are none.
//
// A thread takes a run of neighbours in a row of what it writes: `span` of them, `chunks` threads a
// row. GPUs get a span of 1, whose threads read neighbours; software drivers long ones, which save
// the divisions that find a thread's place. Workgroups of 64 in a folded grid.
//
//   max_forward, sum_forward     a run of outputs
//   max_cells, sum_cells         gradients where windows do not overlap: a run of cells of STRIDE
//                                elements, each written by its window's thread; cells without a
//                                window are zero
//   max_gather, sum_gather       gradients in general: a run of elements of dx, each adding up
//                                what the windows over it pass on. For a maximum, v is y
//   max_planes                   the gradient on software drivers, where looking for the first of
//                                equal maxima costs several times as much: a thread per plane, in
//                                workgroups of 8, adds each dy to the element that its window took.
//                                For planes that a thread may go over before drivers cut its loops
//   adaptive_forward             a run of outputs
//   adaptive_gather              its gradient: a run of elements of dx
//
// All but `max_forward` and `max_planes` put what they store through `finish`.
//
// Sizes are constants, so that drivers unroll small windows and need not divide by strides.

override KERNEL_H: u32 = 2u;
override KERNEL_W: u32 = 2u;
override STRIDE_H: u32 = 2u;
override STRIDE_W: u32 = 2u;
override DILATION_H: u32 = 1u;
override DILATION_W: u32 = 1u;
// How many windows along an axis lie over an element at most.
override OVERLAP_H: u32 = 1u;
override OVERLAP_W: u32 = 1u;
override EDGES: bool = true;
override AVERAGE: bool = false;

struct PoolParams {
    image: vec2<u32>,
    output: vec2<u32>,
    before: vec2<u32>,
    // What an average counts, in coordinates of the padded image.
    counted_from: vec2<u32>,
    counted_to: vec2<u32>,
    n: u32,
    chunks: u32,
    span: u32,
    unused: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(0) var<storage, read> x_bits: array<i32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> y_bits: array<i32>;
@group(0) @binding(2) var<storage, read> v_bits: array<i32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
var<immediate> p: PoolParams;

// The neighbours begin .. end of a row.
struct Run {
    plane: u32,
    row: u32,
    begin: u32,
    end: u32,
}

// The run of thread `i` over planes of `sides` rows and columns.
fn run_of(i: u32, sides: vec2<u32>) -> Run {
    var row = i;
    var chunk = 0u;
    if p.chunks != 1u {
        row = i / p.chunks;
        chunk = i - row * p.chunks;
    }
    let plane = row / sides.x;
    let begin = chunk * p.span;
    return Run(plane, row - plane * sides.x, begin, min(begin + p.span, sides.y));
}

const MINUS_INFINITY_BITS = -0x800000;
const MINUS_INFINITY_ORDER = -0x7f800000;

fn is_inside(at: u32, side: u32) -> bool {
    return !EDGES || at < side;
}

fn put(at: u32, v: f32) {
    dx[at] = finish(at, 0u, 0u, v);
}

@compute @workgroup_size(64)
fn max_forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, p.output);
    let image = run.plane * (p.image.x * p.image.y);
    let line = (run.plane * p.output.x + run.row) * p.output.y;
    let top = run.row * STRIDE_H - p.before.x;
    for (var o = run.begin; o < run.end; o++) {
        let left = o * STRIDE_W - p.before.y;
        var best = MINUS_INFINITY_BITS;
        var rank = MINUS_INFINITY_ORDER;
        for (var a = 0u; a < KERNEL_H; a++) {
            let r = top + a * DILATION_H;
            if is_inside(r, p.image.x) {
                for (var b = 0u; b < KERNEL_W; b++) {
                    let c = left + b * DILATION_W;
                    if is_inside(c, p.image.y) {
                        let bits = x_bits[image + r * p.image.y + c];
                        let next = in_order(bits);
                        best = select(best, bits, next > rank);
                        rank = max(rank, next);
                    }
                }
            }
        }
        y_bits[line + o] = best;
    }
}

@compute @workgroup_size(64)
fn max_cells(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, cells());
    let image = run.plane * (p.image.x * p.image.y);
    let line = (run.plane * p.output.x + run.row) * p.output.y;
    let top = run.row * STRIDE_H - p.before.x;
    for (var o = run.begin; o < run.end; o++) {
        let left = o * STRIDE_W - p.before.y;
        var taken = 0xffffffffu;
        var slope = 0.0;
        if !EDGES || (run.row < p.output.x && o < p.output.y) {
            slope = dy[line + o];
            taken = winner(image, top, left);
        }
        for (var a = 0u; a < STRIDE_H; a++) {
            let r = top + a;
            if is_inside(r, p.image.x) {
                for (var b = 0u; b < STRIDE_W; b++) {
                    let c = left + b;
                    if is_inside(c, p.image.y) {
                        let at = r * p.image.y + c;
                        put(image + at, select(0.0, slope, at == taken));
                    }
                }
            }
        }
    }
}

@compute @workgroup_size(8)
fn max_planes(@builtin(global_invocation_id) id: vec3<u32>) {
    let plane = linear_index(id, 8u);
    if plane >= p.n { return; }
    let size = p.image.x * p.image.y;
    let image = plane * size;
    for (var i = 0u; i < size; i++) { dx[image + i] = 0.0; }
    var o = plane * (p.output.x * p.output.y);
    for (var row = 0u; row < p.output.x; row++) {
        let top = row * STRIDE_H - p.before.x;
        for (var column = 0u; column < p.output.y; column++) {
            dx[image + winner(image, top, column * STRIDE_W - p.before.y)] += dy[o];
            o++;
        }
    }
}

// The first of the largest elements under the window at (top, left).
fn winner(image: u32, top: u32, left: u32) -> u32 {
    var best = 0u;
    // Below everything, so that the first of a window's elements is taken.
    var rank = -0x7fffffff;
    for (var a = 0u; a < KERNEL_H; a++) {
        let r = top + a * DILATION_H;
        if is_inside(r, p.image.x) {
            for (var b = 0u; b < KERNEL_W; b++) {
                let c = left + b * DILATION_W;
                if is_inside(c, p.image.y) {
                    let at = r * p.image.y + c;
                    let next = in_order(x_bits[image + at]);
                    best = select(best, at, next > rank);
                    rank = max(rank, next);
                }
            }
        }
    }
    return best;
}

// How many cells cover an image: those of its windows, and what the last windows leave over.
fn cells() -> vec2<u32> {
    if !EDGES { return p.output; }
    let stride = vec2(STRIDE_H, STRIDE_W);
    return (p.image + p.before + stride - 1u) / stride;
}

// Whether none of the taps before tap (a, b) of the window at (top, left) is of this rank.
fn is_first(image: u32, top: u32, left: u32, a: u32, b: u32, rank: i32) -> bool {
    for (var s = 0u; s <= a; s++) {
        let r = top + s * DILATION_H;
        if !is_inside(r, p.image.x) { continue; }
        let end = select(KERNEL_W, b, s == a);
        for (var t = 0u; t < end; t++) {
            let c = left + t * DILATION_W;
            if is_inside(c, p.image.y) && in_order(x_bits[image + r * p.image.y + c]) == rank { return false; }
        }
    }
    return true;
}

@compute @workgroup_size(64)
fn max_gather(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, p.image);
    let image = run.plane * (p.image.x * p.image.y);
    let outputs = run.plane * (p.output.x * p.output.y);
    let low = run.row + p.before.x;
    for (var j = run.begin; j < run.end; j++) {
        let right = j + p.before.y;
        let at = image + run.row * p.image.y + j;
        let rank = in_order(x_bits[at]);
        var total = 0.0;
        for (var s = 0u; s < OVERLAP_H; s++) {
            let u = min(low / STRIDE_H, p.output.x - 1u) - s;
            let down = low - u * STRIDE_H;
            let a = down / DILATION_H;
            if u < p.output.x && a < KERNEL_H && a * DILATION_H == down {
                for (var t = 0u; t < OVERLAP_W; t++) {
                    let v = min(right / STRIDE_W, p.output.y - 1u) - t;
                    let along = right - v * STRIDE_W;
                    let b = along / DILATION_W;
                    if v < p.output.y && b < KERNEL_W && b * DILATION_W == along {
                        let o = outputs + u * p.output.y + v;
                        if in_order(v_bits[o]) == rank
                            && is_first(image, run.row - down, j - along, a, b, rank) {
                            total += dy[o];
                        }
                    }
                }
            }
        }
        put(at, total);
    }
}

// What the sum under the window at an output is divided by.
fn divisor(row: u32, column: u32) -> f32 {
    if !AVERAGE { return 1.0; }
    if !EDGES { return f32(KERNEL_H * KERNEL_W); }
    let corner = vec2(row * STRIDE_H, column * STRIDE_W);
    let end = min(corner + vec2(KERNEL_H, KERNEL_W), p.counted_to);
    let sides = end - max(corner, p.counted_from);
    return f32(sides.x * sides.y);
}

@compute @workgroup_size(64)
fn sum_forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, p.output);
    let image = run.plane * (p.image.x * p.image.y);
    let line = (run.plane * p.output.x + run.row) * p.output.y;
    let top = run.row * STRIDE_H - p.before.x;
    for (var o = run.begin; o < run.end; o++) {
        let left = o * STRIDE_W - p.before.y;
        var total = 0.0;
        for (var a = 0u; a < KERNEL_H; a++) {
            let r = top + a;
            if is_inside(r, p.image.x) {
                // A sum per row keeps the chains of additions short.
                var part = 0.0;
                for (var b = 0u; b < KERNEL_W; b++) {
                    let c = left + b;
                    if is_inside(c, p.image.y) { part += x[image + r * p.image.y + c]; }
                }
                total += part;
            }
        }
        y[line + o] = finish(line + o, 0u, 0u, total / divisor(run.row, o));
    }
}

@compute @workgroup_size(64)
fn sum_cells(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, cells());
    let image = run.plane * (p.image.x * p.image.y);
    let line = (run.plane * p.output.x + run.row) * p.output.y;
    let top = run.row * STRIDE_H - p.before.x;
    for (var o = run.begin; o < run.end; o++) {
        let left = o * STRIDE_W - p.before.y;
        var slope = 0.0;
        if !EDGES || (run.row < p.output.x && o < p.output.y) {
            slope = dy[line + o] / divisor(run.row, o);
        }
        for (var a = 0u; a < STRIDE_H; a++) {
            let r = top + a;
            if is_inside(r, p.image.x) {
                for (var b = 0u; b < STRIDE_W; b++) {
                    let c = left + b;
                    if is_inside(c, p.image.y) {
                        let is_tap = a < KERNEL_H && b < KERNEL_W;
                        put(image + r * p.image.y + c, select(0.0, slope, is_tap));
                    }
                }
            }
        }
    }
}

@compute @workgroup_size(64)
fn sum_gather(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, p.image);
    let line = (run.plane * p.image.x + run.row) * p.image.y;
    let outputs = run.plane * (p.output.x * p.output.y);
    let low = run.row + p.before.x;
    for (var j = run.begin; j < run.end; j++) {
        let right = j + p.before.y;
        var total = 0.0;
        for (var s = 0u; s < OVERLAP_H; s++) {
            let u = min(low / STRIDE_H, p.output.x - 1u) - s;
            if u < p.output.x && low - u * STRIDE_H < KERNEL_H {
                var part = 0.0;
                for (var t = 0u; t < OVERLAP_W; t++) {
                    let v = min(right / STRIDE_W, p.output.y - 1u) - t;
                    if v < p.output.y && right - v * STRIDE_W < KERNEL_W {
                        part += dy[outputs + u * p.output.y + v] / divisor(u, v);
                    }
                }
                total += part;
            }
        }
        put(line + j, total);
    }
}

// a / b, which is below 2^21: on software drivers integers are divided one by one.
fn quotient(a: u32, b: u32) -> u32 {
    let guess = u32(f32(a) / f32(b));
    let rest = i32(a - guess * b);
    return guess + select(0u, 1u, rest >= i32(b)) - select(0u, 1u, rest < 0);
}

// The elements under window `o` of `outputs` over `side` elements, begin .. end. With the sides
// exchanged: the windows over element `o`.
fn share(o: u32, side: u32, outputs: u32) -> vec2<u32> {
    return vec2(quotient(o * side, outputs), quotient((o + 1u) * side + outputs - 1u, outputs));
}

@compute @workgroup_size(64)
fn adaptive_forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, p.output);
    let image = run.plane * (p.image.x * p.image.y);
    let line = (run.plane * p.output.x + run.row) * p.output.y;
    let rows = share(run.row, p.image.x, p.output.x);
    for (var o = run.begin; o < run.end; o++) {
        let columns = share(o, p.image.y, p.output.y);
        var total = 0.0;
        for (var r = rows.x; r < rows.y; r++) {
            var part = 0.0;
            for (var c = columns.x; c < columns.y; c++) { part += x[image + r * p.image.y + c]; }
            total += part;
        }
        let mean = total / f32((rows.y - rows.x) * (columns.y - columns.x));
        y[line + o] = finish(line + o, 0u, 0u, mean);
    }
}

@compute @workgroup_size(64)
fn adaptive_gather(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let run = run_of(i, p.image);
    let line = (run.plane * p.image.x + run.row) * p.image.y;
    let outputs = run.plane * (p.output.x * p.output.y);
    let rows = share(run.row, p.output.x, p.image.x);
    for (var j = run.begin; j < run.end; j++) {
        let columns = share(j, p.output.y, p.image.y);
        var total = 0.0;
        for (var u = rows.x; u < rows.y; u++) {
            let under = share(u, p.image.x, p.output.x);
            let height = under.y - under.x;
            var part = 0.0;
            for (var v = columns.x; v < columns.y; v++) {
                let along = share(v, p.image.y, p.output.y);
                part += dy[outputs + u * p.output.y + v] / f32(height * (along.y - along.x));
            }
            total += part;
        }
        put(line + j, total);
    }
}
