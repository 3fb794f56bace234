use std::fmt;

use crate::random::Stream;
use crate::shape::Shape;

/// How a parameter starts. Fans follow Keras and PyTorch: a weight `[in, out]` has fan-in `in` and
/// fan-out `out`; a convolution weight `[out, in, h, w]` has fan-in `in h w` and fan-out
/// `out h w`.
///
/// Every draw is a pure function of the seed, the parameter's name and the element's index, the
/// same on every device.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// One number everywhere.
    Constant(f32),
    /// Given numbers.
    Values(Vec<f32>),
    /// Uniform in `[low, high)`.
    Uniform {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f32,
        /// Standard deviation.
        std: f32,
    },
    /// Normal, drawn again where it is two standard deviations or more from the mean.
    TruncatedNormal {
        /// Mean.
        mean: f32,
        /// Standard deviation before truncation.
        std: f32,
    },
    /// Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, AISTATS 2010).
    GlorotUniform,
    /// Truncated normal of variance 2 / (fan_in + fan_out).
    GlorotNormal,
    /// Uniform in ±sqrt(6 / fan_in) (He et al., ICCV 2015).
    HeUniform,
    /// Truncated normal of variance 2 / fan_in.
    HeNormal,
    /// Uniform in ±sqrt(3 / fan_in) (LeCun et al., Efficient BackProp, 1998).
    LecunUniform,
    /// Truncated normal of variance 1 / fan_in.
    LecunNormal,
    /// A matrix of orthonormal rows or columns times `gain` (Saxe et al., ICLR 2014). Dimensions
    /// before the last are flattened.
    Orthogonal {
        /// Scale of the result.
        gain: f32,
    },
    /// As `rest` says, but for one row of zeros along dimension 0, such as that of the padding in a
    /// table of words.
    ZeroRow {
        /// The row.
        row: usize,
        /// How the other rows start.
        rest: Box<Init>,
    },
}

/// The standard deviation of a standard normal truncated at two standard deviations.
const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;

impl Init {
    /// Whether it can fill a shape with finite numbers.
    pub(crate) fn fits(&self, shape: Shape) -> bool {
        match self {
            Init::Values(values) => values.len() == shape.numel(),
            Init::Constant(c) => c.is_finite(),
            Init::Uniform { low, high } => low.is_finite() && high.is_finite() && low <= high,
            Init::Normal { mean, std } | Init::TruncatedNormal { mean, std } => {
                mean.is_finite() && std.is_finite() && *std >= 0.0
            }
            Init::Orthogonal { gain } => gain.is_finite() && shape.rank() >= 2,
            Init::ZeroRow { row, rest } => {
                shape.dims().first().is_some_and(|rows| row < rows) && rest.fits(shape)
            }
            _ => true,
        }
    }

    /// The contents of a parameter of this shape.
    pub fn fill(&self, shape: Shape, seed: u32, name: &str) -> Vec<f32> {
        let stream = Stream { seed, step: 0, stream: name_hash(name) };
        let n = shape.numel();
        let (fan_in, fan_out) = fans(shape);
        let draw = |f: &dyn Fn(u32) -> f64| (0..n).map(|i| f(i as u32) as f32).collect::<Vec<f32>>();
        let uniform = |bound: f64| draw(&|i| bound * (2.0 * stream.uniform(i) - 1.0));
        let truncated = |mean: f64, std: f64| draw(&|i| mean + std * stream.truncated_normal(i));
        let normal = |variance: f64| truncated(0.0, variance.sqrt() / TRUNCATED_STD);
        match self {
            Init::Zeros => vec![0.0; n],
            Init::Ones => vec![1.0; n],
            Init::Constant(c) => vec![*c; n],
            Init::Values(values) => values.clone(),
            &Init::Uniform { low, high } => {
                let (low, high) = (f64::from(low), f64::from(high));
                draw(&|i| low + (high - low) * stream.uniform(i))
            }
            &Init::Normal { mean, std } => draw(&|i| f64::from(mean) + f64::from(std) * stream.normal(i)),
            &Init::TruncatedNormal { mean, std } => truncated(mean.into(), std.into()),
            Init::GlorotUniform => uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Init::GlorotNormal => normal(2.0 / (fan_in + fan_out)),
            Init::HeUniform => uniform((6.0 / fan_in).sqrt()),
            Init::HeNormal => normal(2.0 / fan_in),
            Init::LecunUniform => uniform((3.0 / fan_in).sqrt()),
            Init::LecunNormal => normal(1.0 / fan_in),
            &Init::Orthogonal { gain } => orthogonal(shape, f64::from(gain), &stream),
            Init::ZeroRow { row, rest } => {
                let mut data = rest.fill(shape, seed, name);
                let rows = shape.dims().first().map_or(1, |&rows| rows.max(1));
                if let Some(row) = data.chunks_mut((n / rows).max(1)).nth(*row) {
                    row.fill(0.0);
                }
                data
            }
        }
    }
}

fn fans(shape: Shape) -> (f64, f64) {
    let (fan_in, fan_out) = match *shape.dims() {
        [] => (1, 1),
        [n] => (n, n),
        [fan_in, fan_out] => (fan_in, fan_out),
        [out, input, ref kernel @ ..] => {
            let receptive: usize = kernel.iter().product();
            (input * receptive, out * receptive)
        }
    };
    (fan_in as f64, fan_out as f64)
}

/// FNV-1a: parameters draw from streams named after them, so that adding a layer does not change
/// how the others start.
fn name_hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// Modified Gram-Schmidt, twice over for full accuracy, on the longer side's vectors.
fn orthogonal(shape: Shape, gain: f64, stream: &Stream) -> Vec<f32> {
    let columns = shape.dims().last().copied().unwrap_or(1);
    let rows = shape.numel() / columns.max(1);
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    for k in 0..count {
        let mut v: Vec<f64> = (0..length).map(|i| stream.normal((k * length + i) as u32)).collect();
        for _ in 0..2 {
            for b in &basis {
                let dot: f64 = v.iter().zip(b).map(|(x, y)| x * y).sum();
                v.iter_mut().zip(b).for_each(|(x, y)| *x -= dot * y);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.iter_mut().for_each(|x| *x /= norm);
        basis.push(v);
    }
    let at = |r: usize, c: usize| if rows <= columns { basis[r][c] } else { basis[c][r] };
    (0..rows * columns).map(|i| (gain * at(i / columns, i % columns)) as f32).collect()
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Init::Zeros => f.write_str("zeros"),
            Init::Ones => f.write_str("ones"),
            Init::Constant(c) => write!(f, "constant({c})"),
            Init::Values(values) => write!(f, "values({})", values.len()),
            Init::Uniform { low, high } => write!(f, "uniform({low}, {high})"),
            Init::Normal { mean, std } => write!(f, "normal({mean}, {std})"),
            Init::TruncatedNormal { mean, std } => write!(f, "truncated_normal({mean}, {std})"),
            Init::GlorotUniform => f.write_str("glorot_uniform"),
            Init::GlorotNormal => f.write_str("glorot_normal"),
            Init::HeUniform => f.write_str("he_uniform"),
            Init::HeNormal => f.write_str("he_normal"),
            Init::LecunUniform => f.write_str("lecun_uniform"),
            Init::LecunNormal => f.write_str("lecun_normal"),
            Init::Orthogonal { gain } => write!(f, "orthogonal({gain})"),
            Init::ZeroRow { row, rest } => write!(f, "{rest} with zeros in row {row}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(init: Init, shape: impl Into<Shape>) -> (f64, f64, f64) {
        let data = init.fill(shape.into(), 1, "w");
        let n = data.len() as f64;
        let mean = data.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = data.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let largest = data.iter().fold(0.0f64, |m, &x| m.max(f64::from(x).abs()));
        (mean, variance, largest)
    }

    #[test]
    fn scaled_initialisers_have_their_variance() {
        let cases = [
            (Init::GlorotUniform, 2.0 / 500.0),
            (Init::GlorotNormal, 2.0 / 500.0),
            (Init::HeUniform, 2.0 / 300.0),
            (Init::HeNormal, 2.0 / 300.0),
            (Init::LecunUniform, 1.0 / 300.0),
            (Init::LecunNormal, 1.0 / 300.0),
        ];
        for (init, expected) in cases {
            let (mean, variance, _) = moments(init.clone(), [300, 200]);
            assert!(mean.abs() < 2e-3, "{init}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.03, "{init}: variance {variance}");
        }
        let conv = moments(Init::HeNormal, [64, 32, 3, 3]).1;
        assert!((conv * 288.0 / 2.0 - 1.0).abs() < 0.05);
    }

    #[test]
    fn bounds_hold() {
        let (_, _, largest) = moments(Init::Uniform { low: -0.5, high: 0.25 }, [1000]);
        assert!(largest <= 0.5);
        let (_, _, largest) = moments(Init::TruncatedNormal { mean: 0.0, std: 1.0 }, [10_000]);
        assert!(largest < 2.0);
        let (mean, variance, _) = moments(Init::Normal { mean: 3.0, std: 2.0 }, [50_000]);
        assert!((mean - 3.0).abs() < 0.05 && (variance - 4.0).abs() < 0.1);
    }

    #[test]
    fn orthogonal_is_orthogonal_both_ways() {
        for (rows, columns) in [(8, 8), (5, 17), (17, 5)] {
            let q = Init::Orthogonal { gain: 2.0 }.fill(Shape::from([rows, columns]), 3, "q");
            let k = rows.min(columns);
            let at = |i: usize, j: usize| {
                f64::from(if rows <= columns { q[i * columns + j] } else { q[j * columns + i] })
            };
            for a in 0..k {
                for b in 0..k {
                    let dot: f64 = (0..rows.max(columns)).map(|j| at(a, j) * at(b, j)).sum();
                    let expected = if a == b { 4.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-5, "{rows}x{columns}: {a}.{b} = {dot}");
                }
            }
        }
    }

    #[test]
    fn a_zero_row_leaves_the_others_as_they_are() {
        let shape = Shape::from([4, 3, 2]);
        let rest = Init::HeNormal.fill(shape, 1, "w");
        for row in [0, 2, 3] {
            let init = Init::ZeroRow { row, rest: Box::new(Init::HeNormal) };
            assert!(init.fits(shape));
            let expected = rest.iter().enumerate().map(|(i, &x)| if i / 6 == row { 0.0 } else { x });
            assert_eq!(init.fill(shape, 1, "w"), expected.collect::<Vec<_>>());
        }
        let past = Init::ZeroRow { row: 4, rest: Box::new(Init::Ones) };
        assert!(!past.fits(shape) && !past.fits(Shape::scalar()));
    }

    #[test]
    fn the_seed_and_the_name_both_matter() {
        let shape = Shape::from([100]);
        let fill = |seed, name| Init::HeNormal.fill(shape, seed, name);
        assert_eq!(fill(1, "w"), fill(1, "w"));
        assert_ne!(fill(1, "w"), fill(2, "w"));
        assert_ne!(fill(1, "w"), fill(1, "v"));
    }
}
