// Patches of images as the columns of matrices, and back (im2col and col2im).
//
//   columns[z, (ch, p, q), (i, j)] = x[z, ch, i SH - top + p DH, j SW - left + q DW]
//
// with z over batch and groups, and zeros outside of the image. Images are [z, c, ih, iw], columns
// [z, c KH KW, oh ow].
//
//   spread       a thread copies one row (i) of one row of columns. For software drivers.
//   spread_wide  a thread copies one element, so that neighbours write side by side. For GPUs.
//   gather       the transpose: a thread adds up all columns' elements that stand for one of the
//                image's
//   turn         filters [z, o, c, KH KW] as [z, c, o, KH KW]: a thread copies the KH KW elements of
//                one o and c
//
// Workgroups of 64 in a folded grid; `threads` is how many there are. Coordinates left of and above
// the image wrap around to large numbers.

override KH: u32 = 1u;
override KW: u32 = 1u;
override SH: u32 = 1u;
override SW: u32 = 1u;
override DH: u32 = 1u;
override DW: u32 = 1u;

struct TurnParams {
    threads: u32,
    c: u32,
    o: u32,
    // KH KW: drivers unroll loops of known length.
    taps: u32,
}

struct Params {
    threads: u32,
    ih: u32,
    iw: u32,
    oh: u32,
    ow: u32,
    top: u32,
    left: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<immediate> p: Params;
var<immediate> q: TurnParams;

// Which channel of which image, and where under the window, a row of columns is.
struct Tap {
    plane: u32,
    kh: u32,
    kw: u32,
}

fn tap_of(row: u32) -> Tap {
    let plane = row / (KH * KW);
    let tap = row - plane * (KH * KW);
    return Tap(plane, tap / KW, tap % KW);
}

@compute @workgroup_size(64)
fn spread(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.threads { return; }
    let row = i / p.oh;
    let tap = tap_of(row);
    let r = (i - row * p.oh) * SH + tap.kh * DH - p.top;
    let left = tap.kw * DW - p.left;
    let to = i * p.ow;
    if r < p.ih {
        let start = (tap.plane * p.ih + r) * p.iw;
        for (var j = 0u; j < p.ow; j++) {
            let at = j * SW + left;
            let inside = at < p.iw;
            y[to + j] = select(0.0, x[start + select(0u, at, inside)], inside);
        }
    } else {
        for (var j = 0u; j < p.ow; j++) { y[to + j] = 0.0; }
    }
}

@compute @workgroup_size(64)
fn spread_wide(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.threads { return; }
    let line = i / p.ow;
    let row = line / p.oh;
    let tap = tap_of(row);
    let r = (line - row * p.oh) * SH + tap.kh * DH - p.top;
    let at = (i - line * p.ow) * SW + tap.kw * DW - p.left;
    let inside = r < p.ih && at < p.iw;
    y[i] = select(0.0, x[select(0u, (tap.plane * p.ih + r) * p.iw + at, inside)], inside);
}

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= p.threads { return; }
    let line = i / p.iw;
    let plane = line / p.ih;
    let bottom = line - plane * p.ih + p.top;
    let right = i - line * p.iw + p.left;
    var sum = 0.0;
    for (var kh = 0u; kh < KH; kh++) {
        let down = bottom - kh * DH;
        let r = down / SH;
        if r * SH == down && r < p.oh {
            for (var kw = 0u; kw < KW; kw++) {
                let across = right - kw * DW;
                let at = across / SW;
                if at * SW == across && at < p.ow {
                    sum += x[(((plane * KH + kh) * KW + kw) * p.oh + r) * p.ow + at];
                }
            }
        }
    }
    y[i] = finish(i, 0u, 0u, sum);
}

@compute @workgroup_size(64)
fn turn(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i >= q.threads { return; }
    let row = i / q.o;
    let z = row / q.c;
    let start = ((z * q.o + i - row * q.o) * q.c + row - z * q.c) * q.taps;
    for (var tap = 0u; tap < q.taps; tap++) {
        y[i * q.taps + tap] = x[start + tap];
    }
}
