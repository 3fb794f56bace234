// What kernels do to an element before they store it: nothing. Where other operators are fused into theirs, a
// function made of calls into elementwise.wgsl is in this place.
//
// `i` is the element's place in the result, `row` and `column` what the kernel's lowering says they are.
fn finish(i: u32, row: u32, column: u32, v: f32) -> f32 {
    return v;
}
