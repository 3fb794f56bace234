// Sums of the numbers of a column and of their squares, exactly, as digits that add up over many calls.
//
//   k = y / u, cut to an integer below 2^24; u = 2^(e - 23), where 2^e is the largest power of two within
//   the column's largest absolute value, at least 2^-40
//   a = |k| / 2^12, cut; b = |k| - 2^12 a; so k^2 = 2^24 a^2 + 2^13 a b + b^2
//
//   moments[c] = [rows that count,
//                 digits of (sum of k > 0) u, of (sum of -k, k < 0) u,
//                 digits of (sum of a^2) 2^24 u^2, of (sum of a b) 2^13 u^2, of (sum of b^2) u^2]
//
// Each sum is an integer below 2^40 and given as five digits of eight bits, each times what it stands for:
// 65,536 of such digits add up in f32 without rounding. y is [rows, columns], contiguous, with less than
// 2^16 rows; a row counts where mask[row] is not 0. A thread handles a column, in workgroups of 64 in a
// folded grid. Columns that hold an infinity or a NaN give NaN. For columns in any number.

struct Params {
    n: u32,
    rows: u32,
}

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read_write> moments: array<f32>;
var<immediate> p: Params;

// 26 numbers a column: the count and five sums of five digits.
const SIZE: u32 = 26u;
const DIGITS: u32 = 5u;
const LEAST: i32 = -40;

// 2^e for a normal result.
fn power_of_two(e: i32) -> f32 {
    return bitcast<f32>(u32(e + 127) << 23u);
}

// A 64-bit sum, low word first, and a number more.
fn plus(sum: vec2<u32>, number: u32) -> vec2<u32> {
    let low = sum.x + number;
    return vec2(low, sum.y + select(0u, 1u, low < number));
}

fn write_digits(at: u32, sum: vec2<u32>, first: f32, second: f32) {
    var weight = 1.0;
    for (var d = 0u; d < DIGITS; d++) {
        let word = select(sum.x >> (8u * (d & 3u)), sum.y, d == 4u);
        moments[at + d] = f32(word & 255u) * weight * first * second;
        weight *= 256.0;
    }
}

@compute @workgroup_size(64)
fn column(@builtin(global_invocation_id) id: vec3<u32>) {
    let c = linear_index(id, 64u);
    if c >= p.n { return; }
    let at = c * SIZE;
    var largest = 0u;
    var rows = 0u;
    for (var r = 0u; r < p.rows; r++) {
        if mask[r] == 0.0 { continue; }
        largest = max(largest, bitcast<u32>(y[r * p.n + c]) & 0x7fffffffu);
        rows += 1u;
    }
    if largest >= 0x7f800000u {
        for (var i = 0u; i < SIZE; i++) { moments[at + i] = not_a_number(); }
        return;
    }
    let e = max(i32(largest >> 23u) - 127, LEAST);
    let unit = power_of_two(e - 23);
    let scale = power_of_two(23 - e);
    var above = vec2(0u);
    var below = vec2(0u);
    var high = vec2(0u);
    var cross = vec2(0u);
    var low = vec2(0u);
    for (var r = 0u; r < p.rows; r++) {
        if mask[r] == 0.0 { continue; }
        let value = y[r * p.n + c];
        let k = u32(abs(value) * scale);
        let a = k >> 12u;
        let b = k & 4095u;
        above = plus(above, select(0u, k, value > 0.0));
        below = plus(below, select(0u, k, value < 0.0));
        high = plus(high, a * a);
        cross = plus(cross, a * b);
        low = plus(low, b * b);
    }
    moments[at] = f32(rows);
    write_digits(at + 1u, above, unit, 1.0);
    write_digits(at + 6u, below, unit, 1.0);
    write_digits(at + 11u, high, 4096.0 * unit, 4096.0 * unit);
    write_digits(at + 16u, cross, 8192.0 * unit, unit);
    write_digits(at + 21u, low, unit, unit);
}
