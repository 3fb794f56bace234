// A sum of twice f32's precision, appended to the shaders whose parameters `p` begin with a number `n` below 2^31.

struct TwoSum {
    sum: vec4<f32>,
    lost: vec4<f32>,
}

// A sum and what rounding took from it; nothing where the sum is not finite.
fn two_sum(a: vec4<f32>, b: vec4<f32>) -> TwoSum {
    let sum = rounded(a + b);
    let taken = rounded(sum - a);
    let lost = (a - (sum - taken)) + (b - taken);
    let exponent = bitcast<vec4<u32>>(sum) & vec4(0x7f800000u);
    return TwoSum(sum, select(lost, vec4(0.0), exponent == vec4(0x7f800000u)));
}

// A number as it is, by way of a zero that is known at run time only: the algebra of drivers, which makes
// x of (a + x) - a, does not see through it.
fn rounded(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4(p.n >> 31u));
}
