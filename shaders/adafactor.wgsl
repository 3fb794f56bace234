// Adafactor's update (Shazeer and Stern, ICML 2018) of parameters w of gradients dw that lie side by side.
// With g = dw + weight_decay w, s = g^2 + epsilon_1 and fresh = t^beta_2_decay, over the matrices of the
// last two dimensions:
//
//   rows           r += fresh (mean of s over the columns - r)
//   columns        c += fresh (mean of s over the rows - c); across = 1 / sqrt(c)
//   factors        down = sqrt(mean of r over the rows) / sqrt(r)
//   sizes          parts of sum(u^2) and sum(kept^2), with u = g down across and
//                  kept = w - lr decoupled_decay w
//   step_factored  w = kept - max(epsilon_2, rms(kept)) rho / max(1, rms(u) / clip_threshold) u,
//                  with rho = min(lr, 1 / sqrt(t)), or lr unless relative
//
// and where second moments are kept whole:
//
//   whole_sizes    v += fresh (s - v), then as sizes with u = g / sqrt(v)
//   step_whole     as step_factored
//
// The root of r c / (mean of r) is taken by its factors, since the product may be below the smallest f32.
//
// t counts from 1 and comes, like lr, with each dispatch. Workgroups of 256: those of y = k work on the
// parameter in row first + k of the table, as many along x as its largest needs. Sums are added up in an
// order that depends on the parameter's own size alone. For any shape.

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
    decoupled_decay: f32,
    beta_2_decay: f32,
    epsilon_1: f32,
    epsilon_2: f32,
    clip_threshold: f32,
    relative: u32,
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
@group(0) @binding(1) var<storage, read_write> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> r: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
// What is kept whole, in the place of r.
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
// As r.
@group(0) @binding(4) var<storage, read_write> down: array<f32>;
// As c.
@group(0) @binding(5) var<storage, read_write> across: array<f32>;
// 256 for each parameter.
@group(0) @binding(6) var<storage, read_write> parts: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read> dw: array<f32>;
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

fn gradient(i: u32) -> f32 {
    if p.weight_decay == 0.0 { return dw[i]; }
    return dw[i] + p.weight_decay * w[i];
}

fn square(i: u32) -> f32 {
    let g = gradient(i);
    return g * g + p.epsilon_1;
}

// What decoupled decay leaves.
fn kept(i: u32) -> f32 {
    return w[i] - p.lr * p.decoupled_decay * w[i];
}

fn t() -> f32 {
    return f32(p.updates + 1u);
}

// How far second moments move towards what the gradients are now.
fn fresh() -> f32 {
    return pow(t(), p.beta_2_decay);
}

var<workgroup> lines: array<f32, 256>;

// The sum of `part` over `lanes` threads, those of this thread's line, which are `stride` apart. All threads
// must call it.
fn line_sum(thread: u32, lane: u32, lanes: u32, stride: u32, part: f32) -> f32 {
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
        var sum = 0.0;
        if row < n {
            for (var j = lane; j < it.columns; j += it.row_lanes) {
                sum += square(at.w + row * it.columns + j);
            }
        }
        let mean = line_sum(thread, lane, it.row_lanes, 1u, sum) / f32(it.columns);
        if row < n && lane == 0u { r[at.r + row] += fresh() * (mean - r[at.r + row]); }
    }
}

// Neighbouring threads have neighbouring columns.
@compute @workgroup_size(256)
fn columns(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let together = 256u / it.column_lanes;
    let lane = thread / together;
    let n = it.count * it.columns;
    for (var first = group.x * together; first < n; first += p.groups * together) {
        let column = first + thread % together;
        var sum = 0.0;
        if column < n {
            let matrix = column / it.columns;
            let top = at.w + matrix * (it.rows - 1u) * it.columns + column;
            for (var i = lane; i < it.rows; i += it.column_lanes) { sum += square(top + i * it.columns); }
        }
        let mean = line_sum(thread, lane, it.column_lanes, together, sum) / f32(it.rows);
        if column < n && lane == 0u {
            let moment = c[at.c + column] + fresh() * (mean - c[at.c + column]);
            c[at.c + column] = moment;
            across[at.c + column] = 1.0 / sqrt(moment);
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
        var sum = 0.0;
        if matrix < it.count {
            for (var i = lane; i < it.rows; i += it.column_lanes) { sum += r[top + i]; }
        }
        let mean = line_sum(thread, lane, it.column_lanes, 1u, sum) / f32(it.rows);
        if matrix < it.count {
            for (var i = lane; i < it.rows; i += it.column_lanes) { down[top + i] = sqrt(mean) / sqrt(r[top + i]); }
        }
    }
}

// The rows are dealt out as in `rows`.
@compute @workgroup_size(256)
fn sizes(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let together = 256u / it.row_lanes;
    let n = it.count * it.rows;
    for (var part = group.x; part < it.parts; part += p.groups) {
        var sum = vec2(0.0);
        for (var row = part * together + thread / it.row_lanes; row < n; row += it.parts * together) {
            let scaled = down[at.r + row];
            let left = at.w + row * it.columns;
            let first = at.c + row / it.rows * it.columns;
            for (var j = thread % it.row_lanes; j < it.columns; j += it.row_lanes) {
                let size = vec2(gradient(left + j) * scaled * across[first + j], kept(left + j));
                sum += size * size;
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
    let moved = fresh();
    let n = it.count * it.rows * it.columns;
    for (var part = group.x; part < it.parts; part += p.groups) {
        var sum = vec2(0.0);
        for (var i = part * 256u + thread; i < n; i += it.parts * 256u) {
            let moment = v[at.w + i] + moved * (square(at.w + i) - v[at.w + i]);
            v[at.w + i] = moment;
            let size = vec2(gradient(at.w + i) / sqrt(moment), kept(at.w + i));
            sum += size * size;
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
    let rms = sqrt(sums / f32(it.count * it.rows * it.columns));
    var rho = p.lr;
    if p.relative != 0u { rho = min(rho, 1.0 / sqrt(t())); }
    return max(p.epsilon_2, rms.y) * rho / max(1.0, rms.x / p.clip_threshold);
}

@compute @workgroup_size(256)
fn step_factored(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let by = scale(it, group.y, thread);
    let together = 256u / it.row_lanes;
    let n = it.count * it.rows;
    for (var row = group.x * together + thread / it.row_lanes; row < n; row += p.groups * together) {
        let scaled = down[at.r + row];
        let left = at.w + row * it.columns;
        let first = at.c + row / it.rows * it.columns;
        for (var j = thread % it.row_lanes; j < it.columns; j += it.row_lanes) {
            w[left + j] = kept(left + j) - by * (gradient(left + j) * scaled * across[first + j]);
        }
    }
}

@compute @workgroup_size(256)
fn step_whole(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let it = table[p.first + group.y];
    let at = begin(group.y);
    let by = scale(it, group.y, thread);
    let n = it.count * it.rows * it.columns;
    for (var i = group.x * 256u + thread; i < n; i += p.groups * 256u) {
        w[at.w + i] = kept(at.w + i) - by * (gradient(at.w + i) / sqrt(v[at.w + i]));
    }
}
