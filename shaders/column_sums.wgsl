// The sums that a product makes beside its result, where one side has a row or a column of ones after its own:
// with ONES, `y` has one row more, which is not stored in y but here.
//
// `join_both` adds up the parts of a product and of its sums, a thread of 64 per element, in a folded grid.

@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

fn keep_sum(at: u32, v: f32) { sums[at] = v; }

struct JoinBothParams {
    n: u32,
    sums: u32,
    parts: u32,
}

@group(0) @binding(4) var<storage, read> product_parts: array<f32>;
@group(0) @binding(5) var<storage, read> sum_parts: array<f32>;
@group(0) @binding(6) var<storage, read_write> whole_product: array<f32>;
@group(0) @binding(7) var<storage, read_write> whole_sums: array<f32>;
var<immediate> both: JoinBothParams;

@compute @workgroup_size(64)
fn join_both(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear_index(id, 64u);
    if i < both.n {
        var total = 0.0;
        for (var part = 0u; part < both.parts; part++) { total += product_parts[part * both.n + i]; }
        whole_product[i] = total;
    } else if i - both.n < both.sums {
        let at = i - both.n;
        var total = 0.0;
        for (var part = 0u; part < both.parts; part++) { total += sum_parts[part * both.sums + at]; }
        whole_sums[at] = total;
    }
}
