// The products of a recurrence for any device: each thread reads what is staged by itself, four units at
// a time. What is staged past the last unit is zero.

// Adds the products of the staged states of `count` units, the first of them unit `first`, at unit j.
fn products(before: Sums, first: u32, count: u32, j: u32, unit: u32) -> Sums {
    var sums = before;
    for (var k = 0u; k < count; k += 4u) {
        sums = weigh(sums, weights_at(first + k, j), staged_at(k));
        sums = weigh(sums, weights_at(first + k + 1u, j), staged_at(k + 1u));
        sums = weigh(sums, weights_at(first + k + 2u, j), staged_at(k + 2u));
        sums = weigh(sums, weights_at(first + k + 3u, j), staged_at(k + 3u));
    }
    return sums;
}

// Adds what the staged gates' gradients of `count` units, the first of them unit `first`, give to h at
// unit j.
fn products_back(before: mat4x4<f32>, first: u32, count: u32, j: u32, unit: u32) -> mat4x4<f32> {
    var sum = before;
    for (var gate = 0u; gate < GATES; gate++) {
        let at = gate * WIDTH;
        for (var k = 0u; k < count; k += 4u) {
            sum = add_all(sum, back_weight(gate, first + k, j), staged_at(at + k));
            sum = add_all(sum, back_weight(gate, first + k + 1u, j), staged_at(at + k + 1u));
            sum = add_all(sum, back_weight(gate, first + k + 2u, j), staged_at(at + k + 2u));
            sum = add_all(sum, back_weight(gate, first + k + 3u, j), staged_at(at + k + 3u));
        }
    }
    return sum;
}
