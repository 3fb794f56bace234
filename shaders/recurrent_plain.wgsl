// The products of a recurrence for any device: each thread reads what is staged by itself, four units at
// a time. What is staged past the last unit is zero.

// Adds the products of the staged states of `count` units, the first of them unit `first`, with all gates'
// weights at unit j.
fn products(before: Sums, first: u32, count: u32, j: u32, unit: u32) -> Sums {
    let columns = gate_columns(j);
    var sums = before;
    for (var k = 0u; k < count; k += 4u) {
        sums = weigh(sums, weights_at(first + k, columns), staged_at(k));
        sums = weigh(sums, weights_at(first + k + 1u, columns), staged_at(k + 1u));
        sums = weigh(sums, weights_at(first + k + 2u, columns), staged_at(k + 2u));
        sums = weigh(sums, weights_at(first + k + 3u, columns), staged_at(k + 3u));
    }
    return sums;
}

// Adds the products of `count` units that are staged from `at` on, the first of them unit `first`, with
// weights of the column that begins at `weights`.
fn product(
    before: mat4x4<f32>,
    weights: u32,
    first: u32,
    count: u32,
    at: u32,
    unit: u32,
) -> mat4x4<f32> {
    var sum = before;
    for (var k = 0u; k < count; k += 4u) {
        let w = weights + min(vec4(first + k) + FOUR, vec4(p.hidden - 1u)) * p.panel;
        sum = add_all(sum, u[w.x], staged_at(at + k));
        sum = add_all(sum, u[w.y], staged_at(at + k + 1u));
        sum = add_all(sum, u[w.z], staged_at(at + k + 2u));
        sum = add_all(sum, u[w.w], staged_at(at + k + 3u));
    }
    return sum;
}
