//! Sums of numbers and of their squares that do not round. Shader: `moments.wgsl`.

use super::{Backward, Gradient, Lowering, Op, OperatorInfo, Reference, expect_dtype, word};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::kernel::{Grid, KernelCall, Shader, Slot};
use crate::shape::{Shape, TensorType};

pub(super) static SHADER: Shader = built_in!("moments", "../../shaders/moments.wgsl");

crate::params! {
    struct MomentParams { n: u32, rows: u32 }
}

pub(super) const OPERATORS: [OperatorInfo; 1] = [OperatorInfo::new("exact_moments", Gradient::Zero, "f32")];

/// Numbers that a column gives: the count, and [`SUMS`] sums of [`DIGITS`] digits.
pub(crate) const MOMENTS: usize = 1 + SUMS * DIGITS;

const SUMS: usize = 5;
const DIGITS: usize = 5;

/// Rows for which every sum stays below 2^40.
const MAX_ROWS: usize = (1 << 16) - 1;

/// The smallest exponent that numbers are taken at.
const LEAST: i32 = -40;

/// Sums over the rows of each column; inputs `y` and a mask.
#[derive(Clone, Copy, Debug)]
struct ExactMoments;

impl Op for ExactMoments {
    fn name(&self) -> &'static str {
        "exact_moments"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the operand", inputs[0], DType::F32)?;
        expect_dtype("the mask operand", inputs[1], DType::F32)?;
        let (shape, mask) = (inputs[0].shape, inputs[1].shape);
        let &[rows, columns] = shape.dims() else {
            return Err(Error::Rank { shape, expected: "2 ([rows, columns])" });
        };
        if mask != Shape::from([rows]) {
            return Err(Error::shape_mismatch("the mask needs a number per row", shape, mask));
        }
        if rows > MAX_ROWS {
            let expected = "it must be less than 65,536";
            return Err(Error::Argument { argument: "number of rows", value: rows.to_string(), expected });
        }
        Ok(vec![TensorType::f32([columns, MOMENTS])])
    }

    fn backward(&self, _: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(Ok(vec![None; 2]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let n = cx.outputs[0].shape.dims()[0];
        let rows = cx.inputs[1].numel();
        let call = KernelCall::new(&SHADER, "column")
            .params(&MomentParams { n: word(n), rows: word(rows) })
            .binds([Slot::Input(0), Slot::Input(1), Slot::Output(0)])
            .loops(2 * rows + SUMS * DIGITS)
            .grid(Grid::linear(n, 64));
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (y, mask) = (cx.inputs[0], cx.inputs[1]);
        let columns = cx.outputs[0].shape.dims()[0];
        let column = |c: usize| -> Vec<f64> {
            let rows = mask.data.iter().enumerate().filter(|(_, m)| **m != 0.0);
            rows.map(|(r, _)| y.data[r * columns + c]).collect()
        };
        let data = (0..columns).flat_map(|c| moments_of(&column(c))).collect();
        vec![Array::new(cx.outputs[0].shape, data)]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        vec![vec![0.0; results[0].data.len()]]
    }
}

/// What a column of numbers gives.
fn moments_of(column: &[f64]) -> [f64; MOMENTS] {
    let largest = column.iter().fold(0.0, |most: f64, y| most.max(y.abs())) as f32;
    if !largest.is_finite() || column.iter().any(|y| y.is_nan()) {
        return [f64::NAN; MOMENTS];
    }
    let exponent = ((largest.to_bits() >> 23) as i32 - 127).max(LEAST);
    let unit = 2f64.powi(exponent - 23);
    let mut sums = [0u64; SUMS];
    for &y in column {
        let k = (y.abs() / unit) as u64;
        let (a, b) = (k >> 12, k & 4095);
        sums[usize::from(y < 0.0)] += k;
        sums[2] += a * a;
        sums[3] += a * b;
        sums[4] += b * b;
    }
    let square = unit * unit;
    let weights = [unit, unit, 2f64.powi(24) * square, 2f64.powi(13) * square, square];
    let mut result = [0.0; MOMENTS];
    result[0] = column.len() as f64;
    for (i, number) in result[1..].iter_mut().enumerate() {
        let (sum, digit) = (i / DIGITS, i % DIGITS);
        let bits = (sums[sum] >> (8 * digit)) & 255;
        *number = bits as f64 * 256f64.powi(digit as i32) * weights[sum];
    }
    result
}

/// The count, the sum and the sum of squares that the moments of a column add up to.
pub(crate) fn sums_of_moments(moments: &[f64]) -> [f64; 3] {
    let mut sums = moments[1..].chunks(DIGITS).map(|digits| digits.iter().sum::<f64>());
    let mut next = || sums.next().unwrap_or_default();
    let sum = next() - next();
    [moments[0], sum, next() + next() + next()]
}

impl Graph {
    /// The number of rows, their sum and the sum of their squares for each column of `y`, without
    /// rounding: f32 `[rows, columns]` and a mask f32 `[rows]` give f32 `[columns, 26]`. Rows whose mask
    /// is 0 are left out. No gradient flows.
    ///
    /// A sum of squares in f32 has 24 bits, of which a variance that is small beside the squared mean
    /// keeps none. Here the numbers of a column are integers of 24 bits, times a power of two that fits
    /// its largest number, and their sums integers of at most 40 bits (of the halves of 12 bits and
    /// their products, for the squares). They come as digits of eight bits, so that the moments
    /// of up to 16,000 batches of similar size add up in f32 without rounding either. In the order of
    /// the 26 numbers: the count; five digits, lowest first, each of the sum of the positive numbers, the
    /// sum of the absolute values of the negative ones, and three sums that add up to that of the squares.
    ///
    /// What is below a 2^24-th of a column's largest number is cut off, and what is below 2^-63. Squares
    /// overflow from 2^54, some 1e16, on. A column with a NaN or an infinity is all NaN.
    ///
    /// ```
    /// use retape::prelude::*;
    /// # fn main() -> retape::Result<()> {
    /// let mut g = Graph::new();
    /// let y = g.input("y", [3, 1]);
    /// let mask = g.constant([3], &[1.0f32, 1.0, 0.0])?;
    /// let moments = g.exact_moments(y, mask)?;
    /// let mut session = g.forward([moments])?.session(&Device::cpu())?;
    /// session.write(y, &[1000.5f32, -999.5, 7.0])?;
    /// session.replay()?;
    /// let moments = session.read_f64(moments)?;
    /// let sum = |from: usize, to: usize| moments[from..to].iter().sum::<f64>();
    /// assert_eq!(moments[0], 2.0);
    /// assert_eq!(sum(1, 6) - sum(6, 11), 1.0);
    /// assert_eq!(sum(11, 26), 1000.5 * 1000.5 + 999.5 * 999.5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Rank`] unless `y` has two dimensions; [`Error::ShapeMismatch`] for another mask;
    /// [`Error::Argument`] for 65,536 rows or more; [`Error::DTypeMismatch`].
    #[track_caller]
    pub fn exact_moments(&self, y: Value, mask: Value) -> Result<Value> {
        self.apply1(ExactMoments, &[y, mask])
    }
}

#[cfg(test)]
mod tests {
    use super::{MOMENTS, moments_of, sums_of_moments};

    #[test]
    fn the_sums_are_those_of_the_numbers() {
        let columns: [&[f64]; 5] =
            [&[], &[0.0, 0.0], &[1.0, -2.0, 0.5], &[1024.0, 1023.5, -1e-3], &[-3e7, 4194303.75]];
        for column in columns {
            let [count, sum, squares] = sums_of_moments(&moments_of(column));
            let near = |found: f64, wanted: f64| (found - wanted).abs() <= 1e-6 * wanted.abs();
            assert_eq!(count, column.len() as f64);
            assert!(near(sum, column.iter().sum()), "{column:?}: {sum}");
            assert!(near(squares, column.iter().map(|y| y * y).sum()), "{column:?}: {squares}");
        }
        assert!(moments_of(&[1.0, f64::NAN]).iter().all(|m| m.is_nan()));
        assert_eq!(moments_of(&[f64::INFINITY]).iter().filter(|m| m.is_nan()).count(), MOMENTS);
    }

    /// Every digit is an integer below 256 times its weight, whatever the sizes.
    #[test]
    fn powers_of_two_and_their_neighbours_fill_24_bits() {
        for exponent in [-60, -40, -39, -1, 0, 1, 10, 40] {
            for factor in [1.0, 1.0 - 2f64.powi(-24), 1.0 + 2f64.powi(-23)] {
                let y = factor * 2f64.powi(exponent);
                let [_, sum, squares] = sums_of_moments(&moments_of(&[y]));
                if exponent >= -39 {
                    assert_eq!((sum, squares), (y, y * y), "{y:e}");
                } else {
                    assert!((sum - y).abs() <= 2f64.powi(-63), "{y:e}");
                }
            }
        }
    }
}
