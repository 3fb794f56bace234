// Gradients as they are: what the kernels of update.wgsl read, or else what `limited_gradient.wgsl` makes of them.

fn gradient_at(i: u32) -> vec4<f32> {
    return dw[i];
}
