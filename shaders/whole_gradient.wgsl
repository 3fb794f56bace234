fn gradient_at(i: u32) -> vec4<f32> {
    return dw[i];
}
