//! Every operator at ordinary and hostile shapes and values. One file per family, as in
//! `src/ops`; `all` is what the kernel, gradient and coverage tests go through.

mod augment;
mod batch;
mod clip;
pub mod constrain;
mod conv;
mod counts;
mod elementwise;
pub mod fused;
mod gather;
mod layout;
mod loss;
mod lrn;
mod matmul;
mod noise;
mod norm;
mod pool;
pub mod recurrent;
mod reduce;
mod sequence;
mod softmax;
pub mod updates;

use super::Case;

/// Sizes that kernels get wrong: 1, primes, around multiples of four and of workgroup sizes.
pub const SIZES: [usize; 9] = [1, 2, 3, 7, 63, 64, 65, 257, 1021];

/// All cases; with `RETAPE_TEST_CASE` set, those whose names hold its text.
pub fn all() -> Vec<Case> {
    let families = [
        elementwise::cases(),
        layout::cases(),
        matmul::cases(),
        conv::cases(),
        pool::cases(),
        lrn::cases(),
        reduce::cases(),
        gather::cases(),
        sequence::cases(),
        softmax::cases(),
        loss::cases(),
        counts::cases(),
        noise::cases(),
        norm::cases(),
        recurrent::cases(),
        clip::cases(),
        augment::cases(),
    ];
    let wanted = std::env::var("RETAPE_TEST_CASE").unwrap_or_default();
    families.into_iter().flatten().filter(|case| case.name.contains(&wanted)).collect()
}
