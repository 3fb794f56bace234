// The products of a recurrence for subgroups of exactly 8: each lane reads one of eight staged units, and
// shuffles pass them around. What is staged past the last unit is zero.

fn of_lane(lane: u32, h: mat4x4<f32>) -> mat4x4<f32> {
    if WIDE {
        return mat4x4(
            subgroupShuffle(h[0], lane),
            subgroupShuffle(h[1], lane),
            subgroupShuffle(h[2], lane),
            subgroupShuffle(h[3], lane),
        );
    }
    return mat4x4(subgroupShuffle(h[0], lane), subgroupShuffle(h[1], lane), vec4(0.0), vec4(0.0));
}

// Adds the products of the staged states of `count` units, the first of them unit `first`, at unit j.
fn products(before: Sums, first: u32, count: u32, j: u32, unit: u32) -> Sums {
    let lane = unit % 8u;
    var sums = before;
    for (var k = 0u; k < count; k += 8u) {
        let h = staged_at(k + lane);
        let row = first + k;
        sums = weigh(sums, weights_at(row, j), of_lane(0u, h));
        sums = weigh(sums, weights_at(row + 1u, j), of_lane(1u, h));
        sums = weigh(sums, weights_at(row + 2u, j), of_lane(2u, h));
        sums = weigh(sums, weights_at(row + 3u, j), of_lane(3u, h));
        sums = weigh(sums, weights_at(row + 4u, j), of_lane(4u, h));
        sums = weigh(sums, weights_at(row + 5u, j), of_lane(5u, h));
        sums = weigh(sums, weights_at(row + 6u, j), of_lane(6u, h));
        sums = weigh(sums, weights_at(row + 7u, j), of_lane(7u, h));
    }
    return sums;
}

// Adds what the staged gates' gradients of `count` units, the first of them unit `first`, give to h at
// unit j.
fn products_back(before: mat4x4<f32>, first: u32, count: u32, j: u32, unit: u32) -> mat4x4<f32> {
    let lane = unit % 8u;
    var sum = before;
    for (var gate = 0u; gate < GATES; gate++) {
        for (var k = 0u; k < count; k += 8u) {
            let h = staged_at(gate * WIDTH + k + lane);
            let row = first + k;
            sum = add_all(sum, back_weight(gate, row, j), of_lane(0u, h));
            sum = add_all(sum, back_weight(gate, row + 1u, j), of_lane(1u, h));
            sum = add_all(sum, back_weight(gate, row + 2u, j), of_lane(2u, h));
            sum = add_all(sum, back_weight(gate, row + 3u, j), of_lane(3u, h));
            sum = add_all(sum, back_weight(gate, row + 4u, j), of_lane(4u, h));
            sum = add_all(sum, back_weight(gate, row + 5u, j), of_lane(5u, h));
            sum = add_all(sum, back_weight(gate, row + 6u, j), of_lane(6u, h));
            sum = add_all(sum, back_weight(gate, row + 7u, j), of_lane(7u, h));
        }
    }
    return sum;
}
