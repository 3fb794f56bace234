use rayon::prelude::*;

/// Rows of the result that one thread computes at a time. Fixed, so that results do not depend on
/// the number of threads.
const ROWS: usize = 64;

/// `y = a b` in f64 for `[m, k]` by `[k, n]`, each side under (row, column) strides; `y` is dense. `alone` has the
/// calling thread do all of it, to the same bits.
pub(crate) fn gemm(
    alone: bool,
    [m, k, n]: [usize; 3],
    a: &[f64],
    (a_row, a_col): (usize, usize),
    b: &[f64],
    (b_row, b_col): (usize, usize),
    y: &mut [f64],
) {
    let last = |rows: usize, columns: usize, r: usize, c: usize| (rows - 1) * r + (columns - 1) * c;
    assert!(last(m, k, a_row, a_col) < a.len() && last(k, n, b_row, b_col) < b.len() && y.len() == m * n);
    let rows = |(block, y): (usize, &mut [f64])| {
        let a = &a[block * ROWS * a_row..];
        // SAFETY: the assertion above bounds the last element read from either side, and `y` holds
        // `y.len() / n` full rows.
        unsafe {
            matrixmultiply::dgemm(
                y.len() / n,
                k,
                n,
                1.0,
                a.as_ptr(),
                a_row as isize,
                a_col as isize,
                b.as_ptr(),
                b_row as isize,
                b_col as isize,
                0.0,
                y.as_mut_ptr(),
                n as isize,
                1,
            );
        }
    };
    match alone {
        true => y.chunks_mut(ROWS * n).enumerate().for_each(rows),
        false => y.par_chunks_mut(ROWS * n).enumerate().for_each(rows),
    }
}

/// The bytes that one thread has in use in such a product: `matrixmultiply` packs blocks of at most these sizes.
pub(crate) fn packed([m, k, n]: [usize; 3]) -> u64 {
    let whole = |size: usize, most: usize| size.min(most).next_multiple_of(16) as u64;
    let depth = whole(k, 256);
    8 * (whole(m, ROWS) * depth + depth * whole(n, 1024)) + 64
}

/// The bytes that all threads together have in use in such a product.
pub(crate) fn gemm_scratch([m, k, n]: [usize; 3]) -> u64 {
    packed([m, k, n]) * m.div_ceil(ROWS).min(rayon::current_num_threads()) as u64
}

#[cfg(test)]
mod tests {
    use super::gemm;

    #[test]
    fn the_fast_product_agrees_with_three_loops() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (65, 33, 17), (130, 200, 9)] {
            for transposed in [false, true] {
                let number = |i: usize| ((i * 7919) % 101) as f64 / 101.0 - 0.5;
                let a: Vec<f64> = (0..m * k).map(number).collect();
                let b: Vec<f64> = (0..k * n).map(|i| number(i + 13)).collect();
                let (a_strides, b_strides) = if transposed { ((1, m), (1, k)) } else { ((k, 1), (n, 1)) };
                let mut y = vec![f64::NAN; m * n];
                gemm(false, [m, k, n], &a, a_strides, &b, b_strides, &mut y);
                let mut alone = vec![f64::NAN; m * n];
                gemm(true, [m, k, n], &a, a_strides, &b, b_strides, &mut alone);
                assert_eq!(alone, y);
                for r in 0..m {
                    for c in 0..n {
                        let dot = (0..k).map(|i| {
                            a[r * a_strides.0 + i * a_strides.1] * b[i * b_strides.0 + c * b_strides.1]
                        });
                        let want: f64 = dot.sum();
                        assert!((y[r * n + c] - want).abs() <= 1e-13 * k as f64, "{m}x{k}x{n} at {r},{c}");
                    }
                }
            }
        }
    }
}
