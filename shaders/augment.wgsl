// Random augmentation: uniform numbers, and images under an affine map drawn for each sample.
//
//   random_uniform          y = low + span u, at most high, u a multiple of 2^-24 in [0, 1)
//   random_affine           y[s, c, i, j] = x[s, c, at(i, j)], whole pixels
//   random_affine_bilinear  the same at positions between pixels
//
// at: about the middle of y, a turn and a zoom (bilinear only); then an offset in whole pixels; then
// mirrored in x. Sample s draws the words of quads 2 s (flips, offsets of rows and columns, turn) and
// 2 s + 1 (zoom) of the operator's stream, alone: nothing is stored. All draws but the zoom are
// integers, the same on every device. What lies outside x is filled by one of the modes below.
//
// x is [n, channels, height, width], y is [n, channels, out_height, out_width], contiguous. The
// whole-pixel entry moves 32-bit words, so that copies are exact. A thread handles one pixel of one
// sample, all its channels; one of random_uniform four neighbouring elements, buffers being padded
// to 16 bytes. Workgroups of 64 in a folded grid. For any shape.

struct UniformParams {
    // Vectors of four.
    n: u32,
    low: f32,
    span: f32,
    high: f32,
    stream: u32,
    step: u32,
    seed: u32,
}

struct AffineParams {
    // Pixels of all samples.
    n: u32,
    channels: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    mode: u32,
    value: f32,
    // 1 where columns may be mirrored, and 2 where rows may.
    flips: u32,
    // The first of the offsets and how many there are, one apart.
    row_low: i32,
    row_count: u32,
    column_low: i32,
    column_count: u32,
    // Likewise of the turns, 2^-24 apart.
    turn_low: i32,
    turn_count: u32,
    zoom_low: f32,
    zoom_span: f32,
    stream: u32,
    step: u32,
    seed: u32,
}

const NEAREST: u32 = 1u;
const REFLECT: u32 = 2u;
const WRAP: u32 = 3u;
const OUTSIDE: u32 = 0xffffffffu;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(0) var<storage, read> x_words: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> y_words: array<u32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
var<immediate> uniform_p: UniformParams;
var<immediate> p: AffineParams;

@compute @workgroup_size(64)
fn random_uniform(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= uniform_p.n { return; }
    let words = random_words(i, uniform_p.stream, uniform_p.step, uniform_p.seed);
    let u = vec4<f32>(words >> vec4(8u)) * (1.0 / 16777216.0);
    y4[i] = min(uniform_p.low + uniform_p.span * u, vec4(uniform_p.high));
}

// The upper 32 bits of a product, by halves.
fn mul_high(a: u32, b: u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
}

// Where a thread's pixel is.
struct Place {
    sample: u32,
    pixel: u32,
    row: i32,
    column: i32,
}

fn place(i: u32) -> Place {
    let pixels = p.out_height * p.out_width;
    let sample = i / pixels;
    let pixel = i - sample * pixels;
    let row = pixel / p.out_width;
    return Place(sample, pixel, i32(row), i32(pixel - row * p.out_width));
}

fn sample_words(sample: u32, part: u32) -> vec4<u32> {
    return random_words(2u * sample + part, p.stream, p.step, p.seed);
}

fn row_offset(words: vec4<u32>) -> i32 {
    return p.row_low + i32(mul_high(words.y, p.row_count));
}

fn column_offset(words: vec4<u32>) -> i32 {
    return p.column_low + i32(mul_high(words.z, p.column_count));
}

fn mirrors_columns(words: vec4<u32>) -> bool {
    return (p.flips & 1u) != 0u && (words.x >> 31u) != 0u;
}

fn mirrors_rows(words: vec4<u32>) -> bool {
    return (p.flips & 2u) != 0u && ((words.x >> 30u) & 1u) != 0u;
}

// The row or column of x that number i stands for; OUTSIDE where it is the fill value.
fn tap(i: i32, size: u32) -> u32 {
    let n = i32(size);
    if i >= 0 && i < n { return u32(i); }
    if p.mode == NEAREST { return u32(clamp(i, 0, n - 1)); }
    if p.mode == REFLECT {
        let within = i % (2 * n);
        let positive = select(within, within + 2 * n, within < 0);
        return u32(select(positive, 2 * n - 1 - positive, positive >= n));
    }
    if p.mode == WRAP {
        let within = i % n;
        return u32(select(within, within + n, within < 0));
    }
    return OUTSIDE;
}

@compute @workgroup_size(64)
fn random_affine(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let here = place(i);
    let words = sample_words(here.sample, 0u);
    var row = here.row + row_offset(words);
    var column = here.column + column_offset(words);
    if mirrors_rows(words) { row = i32(p.height) - 1 - row; }
    if mirrors_columns(words) { column = i32(p.width) - 1 - column; }
    let from_row = tap(row, p.height);
    let from_column = tap(column, p.width);
    let outside = from_row == OUTSIDE || from_column == OUTSIDE;
    var read_at = here.sample * p.channels * p.height * p.width + from_row * p.width + from_column;
    var write_at = here.sample * p.channels * p.out_height * p.out_width + here.pixel;
    for (var c = 0u; c < p.channels; c += 1u) {
        if outside {
            y_words[write_at] = bitcast<u32>(p.value);
        } else {
            y_words[write_at] = x_words[read_at];
        }
        read_at += p.height * p.width;
        write_at += p.out_height * p.out_width;
    }
}

// The pixel of a row and a column of a plane that starts at `read_at`.
fn pixel_at(read_at: u32, row: u32, column: u32) -> f32 {
    if row == OUTSIDE || column == OUTSIDE { return p.value; }
    return x[read_at + row * p.width + column];
}

@compute @workgroup_size(64)
fn random_affine_bilinear(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.n { return; }
    let here = place(i);
    let words = sample_words(here.sample, 0u);
    let turn = (bitcast<u32>(p.turn_low) + mul_high(words.w, p.turn_count)) & 0xffffffu;
    let angle = cosine_sine(vec2(turn));
    let share = f32(sample_words(here.sample, 1u).x >> 8u) * (1.0 / 16777216.0);
    let zoom = p.zoom_low + p.zoom_span * share;
    let middle = 0.5 * vec2(f32(p.out_height - 1u), f32(p.out_width - 1u));
    let v = f32(here.row) - middle.x;
    let u = f32(here.column) - middle.y;
    var row = zoom * (u * angle.sine.x + v * angle.cosine.x) + (middle.x + f32(row_offset(words)));
    var column = zoom * (u * angle.cosine.x - v * angle.sine.x) + (middle.y + f32(column_offset(words)));
    if mirrors_rows(words) { row = f32(p.height - 1u) - row; }
    if mirrors_columns(words) { column = f32(p.width - 1u) - column; }
    let top = floor(row);
    let left = floor(column);
    let down = row - top;
    let right = column - left;
    let rows = vec2(tap(i32(top), p.height), tap(i32(top) + 1, p.height));
    let columns = vec2(tap(i32(left), p.width), tap(i32(left) + 1, p.width));
    var read_at = here.sample * p.channels * p.height * p.width;
    var write_at = here.sample * p.channels * p.out_height * p.out_width + here.pixel;
    for (var c = 0u; c < p.channels; c += 1u) {
        let a = pixel_at(read_at, rows.x, columns.x);
        let b = pixel_at(read_at, rows.x, columns.y);
        let d = pixel_at(read_at, rows.y, columns.x);
        let e = pixel_at(read_at, rows.y, columns.y);
        let above = a + right * (b - a);
        let below = d + right * (e - d);
        y[write_at] = above + down * (below - above);
        read_at += p.height * p.width;
        write_at += p.out_height * p.out_width;
    }
}
