// The sums that a product makes beside its result, where one side has a row or a column of ones after its own:
// with ONES, what it makes is not stored in y but here.

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

fn keep_sum(at: u32, v: f32) { sums[at] = v; }
