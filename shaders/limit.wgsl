// What clipping by a norm does to numbers: x limit / norm where the norm is past the limit, NaN where it is not
// finite. Such norms are told by their bits, since drivers may turn comparisons of floats around as if there were
// no NaN.

// The bits of infinity.
const INFINITE: u32 = 0x7f800000u;

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & INFINITE) != INFINITE;
}

fn is_within(norm: f32, limit: f32) -> bool {
    return is_finite(norm) && norm <= limit;
}

fn scaled_down(v: vec4<f32>, norm: f32, limit: f32) -> vec4<f32> {
    if !is_finite(norm) { return vec4(not_a_number()); }
    // Division is only accurate for divisors up to 2^126.
    let down = select(1.0, 0x1p-64f, norm > 0x1p64f);
    let inverse = 1.0 / (norm * down);
    return ((v * down) * inverse) * limit;
}
