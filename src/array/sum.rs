use super::{PART, wide};

/// Numbers that are added up in turn.
const LANES: usize = 16;

/// The sum of what `f` makes of f32 numbers, in f64: parts by several threads, in an order that does not depend on
/// how many.
pub(crate) fn sum_of(x: &[f32], f: &(impl Fn(f32) -> f64 + Sync)) -> f64 {
    if x.len() > PART {
        let (begin, end) = x.split_at(x.len().div_ceil(PART) / 2 * PART);
        let (one, other) = rayon::join(|| sum_of(begin, f), || sum_of(end, f));
        return one + other;
    }
    wide(|| {
        let mut sums = [0.0; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest: f64 = chunks.remainder().iter().map(|&x| f(x)).sum();
        for chunk in chunks {
            sums.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += f(x));
        }
        sums.iter().sum::<f64>() + rest
    })
}
