// The norm of all gradients.
@group(0) @binding(5) var<storage, read> norm: array<f32>;

// Gradients clipped by their norm.
fn gradient_at(i: u32) -> vec4<f32> {
    if is_within(norm[0], p.limit) { return dw[i]; }
    return scaled_down(dw[i], norm[0], p.limit);
}
