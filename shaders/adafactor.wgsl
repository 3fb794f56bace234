// Adafactor's update (Shazeer and Stern, ICML 2018) of parameters w of gradients dw that lie side by side.
// With g = dw + weight_decay w, s = g^2 + epsilon_1 and fresh = t^beta_2_decay, over the matrices of the
// last two dimensions:
//
//   rows           r = (1 - fresh) r + fresh (mean of s over the columns)
//   columns        c = (1 - fresh) c + fresh (mean of s over the rows); across = 1 / sqrt(c)
//   factors        down = sqrt(mean of r over the rows) / sqrt(r)
//   sizes          parts of sum(u^2) and sum(kept^2), with u = g down across and
//                  kept = w - lr decoupled_weight_decay w
//   step_factored  w = kept - max(epsilon_2, rms(kept)) rho / max(1, rms(u) / clip_threshold) u,
//                  with rho = min(lr, 1 / sqrt(t)), or lr unless relative_step
//
// and where second moments are kept whole:
//
//   whole_sizes    v = (1 - fresh) v + fresh s, then as sizes with u = g / sqrt(v)
//   step_whole     as step_factored
//
// In PyTorch's form, s = g^2, the mean of r is at least epsilon_1 and so is the root of v, and rms(w) stands for
// rms(kept).
//
// The root of r c / (mean of r) is taken by its factors, since the product may be below the smallest f32.
//
// t counts from 1 and comes, like lr, with each dispatch. Workgroups of 256: those of y = k work on the
// parameter in row first + k of the table, as many along x as its largest needs. Sums are added up in an
// order that depends on the parameter's own size alone. Elements are read in quads, four neighbours, where
// rows are made of them. For any shape; buffers are padded to 16 bytes.

struct Params {
    // The row of the first parameter in the table.
    first: u32,
    // Parameters begin at multiples of so many elements.
    alignment: u32,
    // Workgroups along x.
    groups: u32,
    updates: u32,
    lr: f32,
    weight_decay: f32,
    decoupled_weight_decay: f32,
    beta_2_decay: f32,
    epsilon_1: f32,
    epsilon_2: f32,
    clip_threshold: f32,
    relative_step: f32,
    pytorch: f32,
}

// A parameter: `count` matrices of `rows` by `columns`.
struct Row {
    count: u32,
    rows: u32,
    columns: u32,
    // Threads that share the sum of a row, and of a column: powers of two.
    row_lanes: u32,
    column_lanes: u32,
    // Parts that sums over all elements are made in, at most 256.
    parts: u32,
}

@group(0) @binding(0) var<storage, read> table: array<Row>;
@group(0) @binding(1) var<storage, read_write> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> r: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
// What is kept whole, in the place of r.
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
// As r.
@group(0) @binding(4) var<storage, read_write> down: array<f32>;
// As c.
@group(0) @binding(5) var<storage, read_write> across: array<f32>;
@group(0) @binding(5) var<storage, read_write> across_quads: array<vec4<f32>>;
// 256 for each parameter.
@group(0) @binding(6) var<storage, read_write> parts: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read> dw: array<vec4<f32>>;
var<immediate> p: Params;

// Where the operands of a parameter begin.
struct Begin {
    w: u32,
    r: u32,
    c: u32,
}

fn aligned(n: u32) -> u32 {
    return (n + p.alignment - 1u) / p.alignment * p.alignment;
}

fn begin(k: u32) -> Begin {
    var at = Begin(0u, 0u, 0u);
    for (var i = p.first; i < p.first + k; i++) {
        let it = table[i];
        at.w += aligned(it.count * it.rows * it.columns);
        at.r += aligned(it.count * it.rows);
        at.c += aligned(it.count * it.columns);
    }
    return at;
}

// Of four neighbours, by the number of the quad in the buffer.
fn gradient(q: u32) -> vec4<f32> {
    if p.weight_decay == 0.0 { return dw[q]; }
    return dw[q] + p.weight_decay * w[q];
}

fn squares(q: u32) -> vec4<f32> {
    let g = gradient(q);
    return g * g + added();
}

// What is added to squares.
fn added() -> f32 {
    return select(p.epsilon_1, 0.0, p.pytorch != 0.0);
}

// Of one element.
fn square(i: u32) -> f32 {
    var g = dw[i / 4u][i % 4u];
    if p.weight_decay != 0.0 { g += p.weight_decay * w[i / 4u][i % 4u]; }
    return g * g + added();
}

// What decoupled decay leaves.
fn kept(q: u32) -> vec4<f32> {
    return w[q] - p.lr * p.decoupled_weight_decay * w[q];
}

fn in_quads(it: Row) -> bool {
    return it.columns % 4u == 0u;
}

// Whether rows are enough to occupy the workgroups, so that a thread may keep to them.
fn by_rows(it: Row) -> bool {
    return in_quads(it) && 2u * it.count * it.rows >= it.parts * (256u / it.row_lanes);
}

fn t() -> f32 {
    return f32(p.updates) + 1.0;
}

// The share of a second moment that comes from this update.
fn fresh() -> f32 {
    return pow(t(), p.beta_2_decay);
}

// Positive whatever `fresh` is, as a moment moved by a share of its distance is not.
fn followed(moment: f32, current: f32) -> f32 {
    return (1.0 - fresh()) * moment + fresh() * current;
}

var<workgroup> lines: array<vec4<f32>, 256>;

// The sum of `part` over `lanes` threads, those of this thread's line, which are `stride` apart. All threads
// must call it.
fn line_sum(thread: u32, lane: u32, lanes: u32, stride: u32, part: vec4<f32>) -> vec4<f32> {
    lines[thread] = part;
    workgroupBarrier();
    for (var half = lanes / 2u; half > 0u; half /= 2u) {
        if lane < half { lines[thread] += lines[thread + half * stride]; }
        workgroupBarrier();
    }
    let total = lines[thread - lane * stride];
    workgroupBarrier();
    return total;
}

@compute @workgroup_size(256)
fn rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let lane = thread % it.row_lanes;
    let together = 256u / it.row_lanes;
    let n = it.count * it.rows;
    for (var first = group.x * together; first < n; first += p.groups * together) {
        let row = first + thread / it.row_lanes;
        let left = at.w + row * it.columns;
        var sum = vec4(0.0);
        if row < n && in_quads(it) {
            for (var j = 4u * lane; j < it.columns; j += 4u * it.row_lanes) { sum += squares((left + j) / 4u); }
        } else if row < n {
            for (var j = lane; j < it.columns; j += it.row_lanes) { sum.x += square(left + j); }
        }
        let total = dot(line_sum(thread, lane, it.row_lanes, 1u, sum), vec4(1.0));
        let mean = total / f32(it.columns);
        if row < n && lane == 0u { r[at.r + row] = followed(r[at.r + row], mean); }
    }
}

// Neighbouring threads have neighbouring columns, or quads of them.
@compute @workgroup_size(256)
fn columns(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let width = select(1u, 4u, in_quads(it));
    let together = 256u / it.column_lanes;
    let lane = thread / together;
    let n = it.count * it.columns;
    for (var first = group.x * together * width; first < n; first += p.groups * together * width) {
        let column = first + thread % together * width;
        let top = at.w + column / it.columns * (it.rows - 1u) * it.columns + column;
        var sum = vec4(0.0);
        if column < n && width == 4u {
            for (var i = lane; i < it.rows; i += it.column_lanes) { sum += squares((top + i * it.columns) / 4u); }
        } else if column < n {
            for (var i = lane; i < it.rows; i += it.column_lanes) { sum.x += square(top + i * it.columns); }
        }
        let mean = line_sum(thread, lane, it.column_lanes, together, sum) / f32(it.rows);
        if column < n && lane == 0u {
            for (var j = 0u; j < width; j++) {
                let k = at.c + column + j;
                let moment = followed(c[k], mean[j]);
                c[k] = moment;
                across[k] = 1.0 / sqrt(moment);
            }
        }
    }
}

// As many threads share the rows of a matrix as share a column of it.
@compute @workgroup_size(256)
fn factors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let lane = thread % it.column_lanes;
    let together = 256u / it.column_lanes;
    for (var first = group.x * together; first < it.count; first += p.groups * together) {
        let matrix = first + thread / it.column_lanes;
        let top = at.r + matrix * it.rows;
        var sum = vec4(0.0);
        if matrix < it.count {
            for (var i = lane; i < it.rows; i += it.column_lanes) { sum.x += r[top + i]; }
        }
        var mean = line_sum(thread, lane, it.column_lanes, 1u, sum).x / f32(it.rows);
        if p.pytorch != 0.0 && mean < p.epsilon_1 { mean = p.epsilon_1; }
        if matrix < it.count {
            for (var i = lane; i < it.rows; i += it.column_lanes) { down[top + i] = sqrt(mean) / sqrt(r[top + i]); }
        }
    }
}

// What the gradients of four neighbours, the first of them element `i`, are scaled by: 0 past the last
// element.
fn scales(it: Row, at: Begin, i: u32) -> vec4<f32> {
    var by = vec4(0.0);
    for (var k = 0u; k < 4u; k++) {
        let row = (i + k) / it.columns;
        if row < it.count * it.rows {
            let column = at.c + row / it.rows * it.columns + (i + k) % it.columns;
            by[k] = down[at.r + row] * across_quads[column / 4u][column % 4u];
        }
    }
    return limited(by);
}

// In PyTorch's form, 1 / sqrt(v) with a root of at least epsilon_1. A NaN stays.
fn limited(scale: vec4<f32>) -> vec4<f32> {
    let most = vec4(1.0 / p.epsilon_1);
    return select(scale, most, (scale > most) & vec4(p.pytorch != 0.0));
}

// g / sqrt(v), by the factors of the root.
fn direction_of(g: vec4<f32>, down: f32, across: vec4<f32>) -> vec4<f32> {
    if p.pytorch != 0.0 { return g * limited(down * across); }
    return g * down * across;
}

// The same of moments that are kept whole.
fn whole_direction(g: vec4<f32>, moment: vec4<f32>) -> vec4<f32> {
    let root = sqrt(moment);
    let least = vec4(p.epsilon_1);
    return g / select(root, least, (root < least) & vec4(p.pytorch != 0.0));
}

// Which of four elements are among a parameter's `n`; `i` is the first of them.
fn inside(i: u32, n: u32) -> vec4<bool> {
    return vec4(i, i + 1u, i + 2u, i + 3u) < vec4(n);
}

// Squares of directions and of what is kept, added up over four.
fn with_sizes(sum: vec2<f32>, direction: vec4<f32>, kept: vec4<f32>) -> vec2<f32> {
    return sum + vec2(dot(direction, direction), dot(kept, kept));
}

// Quads are dealt out by rows, as in `rows`, or else by their number.
@compute @workgroup_size(256)
fn sizes(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let together = 256u / it.row_lanes;
    let lines = it.count * it.rows;
    let n = lines * it.columns;
    for (var part = group.x; part < it.parts; part += p.groups) {
        var sum = vec2(0.0);
        if by_rows(it) {
            for (var row = part * together + thread / it.row_lanes; row < lines; row += it.parts * together) {
                let by = down[at.r + row];
                let left = at.w + row * it.columns;
                let first = at.c + row / it.rows * it.columns;
                for (var j = 4u * (thread % it.row_lanes); j < it.columns; j += 4u * it.row_lanes) {
                    let q = (left + j) / 4u;
                    sum = with_sizes(sum, direction_of(gradient(q), by, across_quads[(first + j) / 4u]), kept(q));
                }
            }
        } else {
            for (var i = 4u * (part * 256u + thread); i < n; i += 4u * it.parts * 256u) {
                let q = (at.w + i) / 4u;
                let here = inside(i, n);
                let direction = select(vec4(0.0), gradient(q) * scales(it, at, i), here);
                sum = with_sizes(sum, direction, select(vec4(0.0), kept(q), here));
            }
        }
        sum = workgroup_sum_pair(thread, sum);
        if thread == 0u { parts[group.y * 256u + part] = sum; }
    }
}

@compute @workgroup_size(256)
fn whole_sizes(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let share = fresh();
    let n = it.count * it.rows * it.columns;
    for (var part = group.x; part < it.parts; part += p.groups) {
        var sum = vec2(0.0);
        for (var i = 4u * (part * 256u + thread); i < n; i += 4u * it.parts * 256u) {
            let q = (at.w + i) / 4u;
            let moment = (1.0 - share) * v[q] + share * squares(q);
            v[q] = moment;
            let here = inside(i, n);
            let direction = whole_direction(gradient(q), moment);
            sum = with_sizes(sum, select(vec4(0.0), direction, here), select(vec4(0.0), kept(q), here));
        }
        sum = workgroup_sum_pair(thread, sum);
        if thread == 0u { parts[group.y * 256u + part] = sum; }
    }
}

// What directions are scaled by. All threads of a workgroup must call it.
fn scale(it: Row, k: u32, thread: u32) -> f32 {
    var part = vec2(0.0);
    if thread < it.parts { part = parts[k * 256u + thread]; }
    let sums = workgroup_sum_pair(thread, part);
    var rms = sqrt(sums / f32(it.count * it.rows * it.columns));
    // In PyTorch's form, the size before the decay.
    if p.pytorch != 0.0 { rms.y /= max(abs(1.0 - p.lr * p.decoupled_weight_decay), 1e-30); }
    var rho = p.lr;
    if p.relative_step != 0.0 { rho = min(rho, 1.0 / sqrt(t())); }
    let by = max(p.epsilon_2, rms.y) * rho / max(1.0, rms.x / p.clip_threshold);
    return select(by, not_a_number(), is_nan(rms.x) || is_nan(rms.y));
}

@compute @workgroup_size(256)
fn step_factored(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let by = scale(it, group.y, thread);
    let together = 256u / it.row_lanes;
    let lines = it.count * it.rows;
    if by_rows(it) {
        for (var row = group.x * together + thread / it.row_lanes; row < lines; row += p.groups * together) {
            let lines_scale = down[at.r + row];
            let left = at.w + row * it.columns;
            let first = at.c + row / it.rows * it.columns;
            for (var j = 4u * (thread % it.row_lanes); j < it.columns; j += 4u * it.row_lanes) {
                let q = (left + j) / 4u;
                w[q] = kept(q) - by * direction_of(gradient(q), lines_scale, across_quads[(first + j) / 4u]);
            }
        }
    } else {
        for (var i = 4u * (group.x * 256u + thread); i < lines * it.columns; i += 4u * p.groups * 256u) {
            let q = (at.w + i) / 4u;
            w[q] = kept(q) - gradient(q) * by * scales(it, at, i);
        }
    }
}

@compute @workgroup_size(256)
fn step_whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let by = scale(it, group.y, thread);
    let n = it.count * it.rows * it.columns;
    for (var i = 4u * (group.x * 256u + thread); i < n; i += 4u * p.groups * 256u) {
        let q = (at.w + i) / 4u;
        w[q] = kept(q) - by * whole_direction(gradient(q), v[q]);
    }
}
