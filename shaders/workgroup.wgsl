// Reductions over a workgroup of 256, appended to the shaders that use them. All threads must call
// them, and each is told the result.

var<workgroup> shared_part: array<f32, 256>;
var<workgroup> shared_pair: array<vec2<f32>, 256>;

// The sum of `part` over the workgroup.
fn workgroup_sum(lane: u32, part: f32) -> f32 {
    shared_part[lane] = part;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half { shared_part[lane] += shared_part[lane + half]; }
        workgroupBarrier();
    }
    let total = shared_part[0];
    // The memory may be reused once every thread has read the result.
    workgroupBarrier();
    return total;
}

// The largest `part` over the workgroup.
fn workgroup_max(lane: u32, part: f32) -> f32 {
    shared_part[lane] = part;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half { shared_part[lane] = max(shared_part[lane], shared_part[lane + half]); }
        workgroupBarrier();
    }
    let largest = shared_part[0];
    workgroupBarrier();
    return largest;
}

// Two sums at once.
fn workgroup_sum_pair(lane: u32, part: vec2<f32>) -> vec2<f32> {
    shared_pair[lane] = part;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half { shared_pair[lane] += shared_pair[lane + half]; }
        workgroupBarrier();
    }
    let total = shared_pair[0];
    workgroupBarrier();
    return total;
}
