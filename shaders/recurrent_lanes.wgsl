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

// Adds the products of the staged states of `count` units, the first of them unit `first`, with all gates'
// weights at unit j.
fn products(before: Sums, first: u32, count: u32, j: u32, unit: u32) -> Sums {
    let lane = unit % 8u;
    let columns = gate_columns(j);
    var sums = before;
    for (var k = 0u; k < count; k += 8u) {
        let h = staged_at(k + lane);
        let row = first + k;
        sums = weigh(sums, weights_at(row, columns), of_lane(0u, h));
        sums = weigh(sums, weights_at(row + 1u, columns), of_lane(1u, h));
        sums = weigh(sums, weights_at(row + 2u, columns), of_lane(2u, h));
        sums = weigh(sums, weights_at(row + 3u, columns), of_lane(3u, h));
        sums = weigh(sums, weights_at(row + 4u, columns), of_lane(4u, h));
        sums = weigh(sums, weights_at(row + 5u, columns), of_lane(5u, h));
        sums = weigh(sums, weights_at(row + 6u, columns), of_lane(6u, h));
        sums = weigh(sums, weights_at(row + 7u, columns), of_lane(7u, h));
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
    let lane = unit % 8u;
    let last = vec4(p.hidden - 1u);
    var sum = before;
    for (var k = 0u; k < count; k += 8u) {
        let h = staged_at(at + k + lane);
        let v = weights + min(vec4(first + k) + FOUR, last) * p.panel;
        let w = weights + min(vec4(first + k + 4u) + FOUR, last) * p.panel;
        sum = add_all(sum, u[v.x], of_lane(0u, h));
        sum = add_all(sum, u[v.y], of_lane(1u, h));
        sum = add_all(sum, u[v.z], of_lane(2u, h));
        sum = add_all(sum, u[v.w], of_lane(3u, h));
        sum = add_all(sum, u[w.x], of_lane(4u, h));
        sum = add_all(sum, u[w.y], of_lane(5u, h));
        sum = add_all(sum, u[w.z], of_lane(6u, h));
        sum = add_all(sum, u[w.w], of_lane(7u, h));
    }
    return sum;
}
