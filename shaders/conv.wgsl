// Convolution and its two gradients straight from the definition. Images are [n, groups * c, ih, iw],
// filters w [groups * o, c, KH, KW], results [n, groups * o, oh, ow].
//
//   y[n, f, i, j] = sum over ch, p, q of
//                   x[n, ch, i SH - top + p DH, j SW - left + q DW] w[f, ch, p, q]
//
// with ch over the channels of f's group and zeros outside of the image.
//
//   forward  y from x and w: a thread makes four neighbours of a row
//   image    dx from w and dy: a thread makes four neighbours of a row, from the windows over them
//   weight   dw from x and dy: a thread makes one element, or one of `parts` parts of it, which takes
//            every parts-th row of dy; `join` of matmul_blocks.wgsl adds the parts up
//
// Workgroups of 64 in a folded grid; `threads` is how many there are. For few channels by groups,
// such as depthwise convolution; the others are matrix products. Coordinates left of and above the
// image wrap around to large numbers.

override KH: u32 = 1u;
override KW: u32 = 1u;
override SH: u32 = 1u;
override SW: u32 = 1u;
override DH: u32 = 1u;
override DW: u32 = 1u;

struct Params {
    threads: u32,
    parts: u32,
    n: u32,
    groups: u32,
    c: u32,
    o: u32,
    ih: u32,
    iw: u32,
    oh: u32,
    ow: u32,
    top: u32,
    left: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<immediate> p: Params;

const NEXT = vec4(0u, 1u, 2u, 3u);

// Four elements of an array at a row and columns; zeros for columns past the row's end.
fn pick_x(row: u32, columns: vec4<u32>, inside: vec4<bool>) -> vec4<f32> {
    let i = select(vec4(0u), row + columns, inside);
    return select(vec4(0.0), vec4(x[i.x], x[i.y], x[i.z], x[i.w]), inside);
}

fn pick_w(row: u32, columns: vec4<u32>, inside: vec4<bool>) -> vec4<f32> {
    let i = select(vec4(0u), row + columns, inside);
    return select(vec4(0.0), vec4(w[i.x], w[i.y], w[i.z], w[i.w]), inside);
}

fn put(row: u32, column: u32, columns: u32, channel: u32, v: vec4<f32>) {
    let i = row * columns + column;
    y[i] = finish(i, channel, 0u, v.x);
    if column + 1u < columns { y[i + 1u] = finish(i + 1u, channel, 0u, v.y); }
    if column + 2u < columns { y[i + 2u] = finish(i + 2u, channel, 0u, v.z); }
    if column + 3u < columns { y[i + 3u] = finish(i + 3u, channel, 0u, v.w); }
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.threads { return; }
    let quads = (p.ow + 3u) / 4u;
    let row = i / quads;
    let column = 4u * (i - row * quads);
    let plane = row / p.oh;
    let image = plane / (p.groups * p.o);
    let f = plane - image * (p.groups * p.o);
    let top = (row - plane * p.oh) * SH - p.top;
    let left = (vec4(column) + NEXT) * SW - p.left;
    var filters = f * (p.c * KH * KW);
    var channel = (image * p.groups + f / p.o) * p.c * p.ih;
    var sum = vec4(0.0);
    for (var ch = 0u; ch < p.c; ch++) {
        for (var kh = 0u; kh < KH; kh++) {
            let r = top + kh * DH;
            if r < p.ih {
                for (var kw = 0u; kw < KW; kw++) {
                    let at = left + kw * DW;
                    let v = pick_x((channel + r) * p.iw, at, at < vec4(p.iw));
                    sum = fma(vec4(w[filters + kh * KW + kw]), v, sum);
                }
            }
        }
        filters += KH * KW;
        channel += p.ih;
    }
    put(row, column, p.ow, f, sum);
}

// Bindings: x holds w, w holds dy, y is dx.
@compute @workgroup_size(64)
fn image(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.threads { return; }
    let quads = (p.iw + 3u) / 4u;
    let row = i / quads;
    let column = 4u * (i - row * quads);
    let plane = row / p.ih;
    let member = plane / p.c;
    let ch = plane - member * p.c;
    let group = member % p.groups;
    let bottom = row - plane * p.ih + p.top;
    let right = vec4(column) + NEXT + p.left;
    var filters = (group * p.o * p.c + ch) * (KH * KW);
    var results = member * p.o * p.oh;
    var sum = vec4(0.0);
    for (var f = 0u; f < p.o; f++) {
        for (var kh = 0u; kh < KH; kh++) {
            let down = bottom - kh * DH;
            let r = down / SH;
            if r * SH == down && r < p.oh {
                for (var kw = 0u; kw < KW; kw++) {
                    let across = right - kw * DW;
                    let at = across / SW;
                    let inside = (at * SW == across) & (at < vec4(p.ow));
                    let v = pick_w((results + r) * p.ow, at, inside);
                    sum = fma(vec4(x[filters + kh * KW + kw]), v, sum);
                }
            }
        }
        filters += p.c * KH * KW;
        results += p.oh;
    }
    put(row, column, p.iw, group * p.c + ch, sum);
}

// Bindings: x, w holds dy, y is dw or its parts.
@compute @workgroup_size(64)
fn weight(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.threads { return; }
    let elements = p.groups * p.o * p.c * (KH * KW);
    let part = i / elements;
    let element = i - part * elements;
    let filter_ = element / (p.c * KH * KW);
    let tap = element - filter_ * (p.c * KH * KW);
    let ch = tap / (KH * KW);
    let kh = tap / KW % KH;
    let kw = tap % KW;
    let left = kw * DW - p.left;
    var sum = vec4(0.0);
    for (var row = part; row < p.n * p.oh; row += p.parts) {
        let image = row / p.oh;
        let oy = row - image * p.oh;
        let r = oy * SH + kh * DH - p.top;
        if r < p.ih {
            let from_x = (((image * p.groups + filter_ / p.o) * p.c + ch) * p.ih + r) * p.iw;
            let from_dy = ((image * p.groups * p.o + filter_) * p.oh + oy) * p.ow;
            for (var ox = 0u; ox < p.ow; ox += 4u) {
                let columns = vec4(ox) + NEXT;
                let at = columns * SW + left;
                let v = pick_x(from_x, at, at < vec4(p.iw));
                sum = fma(v, pick_w(from_dy, columns, columns < vec4(p.ow)), sum);
            }
        }
    }
    y[i] = (sum.x + sum.y) + (sum.z + sum.w);
}
