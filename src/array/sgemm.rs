use super::spread;

/// Rows of a product that one thread computes at a time at least: each packs the right side for itself.
const ROWS: usize = 64;
/// Parts that a large product has at most.
const PARTS: usize = 16;

/// A matrix of f32 under the strides of its rows and columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows that lie one after the other, or columns that do.
    pub fn new(data: &'a [f32], rows: usize, columns: usize, transposed: bool) -> Self {
        match transposed {
            false => Matrix { data, row: columns, column: 1 },
            true => Matrix { data, row: 1, column: rows },
        }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// `y = a b + keep y` in f32 for `[m, k]` by `[k, n]` by the calling thread; the rows of `y` are `y_row` apart.
pub(crate) fn sgemm(
    [m, k, n]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    keep: f32,
    y: &mut [f32],
    y_row: usize,
) {
    assert!(a.holds(m, k) && b.holds(k, n) && n <= y_row && (m - 1) * y_row + n <= y.len());
    // SAFETY: the assertion bounds the last element of each side and of the result, whose rows do not overlap.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            a.row as isize,
            a.column as isize,
            b.data.as_ptr(),
            b.row as isize,
            b.column as isize,
            keep,
            y.as_mut_ptr(),
            y_row as isize,
            1,
        );
    }
}

/// `y = a b`, dense, by several threads where it is large; the parts depend on sizes alone.
pub(crate) fn sgemm_spread([m, k, n]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, y: &mut [f32]) {
    let rows = match m * k * n {
        0..=0x3_ffff => m,
        _ => m.div_ceil(PARTS).next_multiple_of(16).max(ROWS),
    };
    spread(0..m, rows, [n], [y], &|range, [y]| {
        let a = Matrix { data: &a.data[range.start * a.row..], ..a };
        sgemm([range.len(), k, n], a, b, 0.0, y, n);
    });
}

#[cfg(test)]
mod tests {
    use super::{Matrix, sgemm_spread};

    #[test]
    fn parts_make_up_the_product() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 7), (65, 33, 17), (1, 900, 300), (300, 40, 70)] {
            for transposed in [false, true] {
                let number = |i: usize| ((i * 7919) % 101) as f32 / 101.0 - 0.5;
                let a: Vec<f32> = (0..m * k).map(number).collect();
                let b: Vec<f32> = (0..k * n).map(|i| number(i + 13)).collect();
                let [left, right] = [Matrix::new(&a, m, k, transposed), Matrix::new(&b, k, n, transposed)];
                let mut y = vec![f32::NAN; m * n];
                sgemm_spread([m, k, n], left, right, &mut y);
                for r in 0..m {
                    for c in 0..n {
                        let term = |i: usize| {
                            f64::from(a[r * left.row + i * left.column])
                                * f64::from(b[i * right.row + c * right.column])
                        };
                        let want: f64 = (0..k).map(term).sum();
                        let error = (f64::from(y[r * n + c]) - want).abs();
                        assert!(error <= 1e-6 * k as f64, "{m}x{k}x{n} at {r},{c}: {error}");
                    }
                }
            }
        }
    }
}
