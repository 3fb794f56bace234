// Gradients clipped by a norm, for the kernels of update.wgsl.

// The norm.
@group(0) @binding(5) var<storage, read> norm: array<f32>;

fn gradient_at(i: u32) -> vec4<f32> {
    if is_within(norm[0], p.limit) { return dw[i]; }
    return scaled_down(dw[i], norm[0], p.limit);
}
