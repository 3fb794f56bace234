//! Counter-based random numbers: a pure function of seed, step, stream and index, so that any
//! element can be drawn anywhere, in any order, again.
//!
//! The generator is the four-word PCG hash of Jarzynski and Olano, "Hash Functions for GPU
//! Rendering", Journal of Computer Graphics Techniques 9(3), 2020.

/// Four random words from four counter words; of the same name in the shaders' prelude.
pub fn pcg4d(mut v: [u32; 4]) -> [u32; 4] {
    for word in &mut v {
        *word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    }
    mix(&mut v);
    for word in &mut v {
        *word ^= *word >> 16;
    }
    mix(&mut v);
    v
}

fn mix(v: &mut [u32; 4]) {
    v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[3]));
    v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
    v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
    v[3] = v[3].wrapping_add(v[1].wrapping_mul(v[2]));
}

/// A uniform number in (0, 1) from the upper 24 bits of a word: never 0, never 1.
pub fn unit(word: u32) -> f64 {
    (f64::from(word >> 8) + 0.5) / f64::from(1u32 << 24)
}

/// Four standard normal numbers from four words, by the Box-Muller transform of two pairs: the first
/// word of a pair gives the radius, the second the angle. In the shaders' prelude it is
/// `random_normals`.
pub fn normals(words: [u32; 4]) -> [f64; 4] {
    let pair = |radius: u32, angle: u32| {
        // The middles of 2^23 intervals: neither 0 nor 1, and exact in f32.
        let u = f64::from((radius >> 9) * 2 + 1) / f64::from(1u32 << 24);
        box_muller(u, f64::from(angle >> 8) / f64::from(1u32 << 24))
    };
    let ([a, b], [c, d]) = (pair(words[0], words[1]), pair(words[2], words[3]));
    [a, b, c, d]
}

/// Two standard normal numbers from a number in (0, 1), which gives the radius, and a share of a turn.
fn box_muller(u: f64, turn: f64) -> [f64; 2] {
    let radius = (-2.0 * u.ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * turn).sin_cos();
    [radius * cos, radius * sin]
}

/// The bit of the index that operators' draws have and no others.
const OPERATOR: u32 = 1 << 31;

/// An addressable stream of random numbers.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The seed.
    pub seed: u32,
    /// The step.
    pub step: u32,
    /// Which of the independent streams: an operator's or parameter's number.
    pub stream: u32,
}

impl Stream {
    /// The four words at `index`.
    pub fn words(&self, index: u32) -> [u32; 4] {
        pcg4d([index, self.stream, self.step, self.seed])
    }

    /// The words of elements `4 quad` to `4 quad + 3` of an operator that draws a number per element:
    /// `random_words` in the shaders' prelude. None of them is shared with initial parameters or
    /// permutations, which use indices below 2^31, even where streams coincide.
    pub fn operator_words(&self, quad: u32) -> [u32; 4] {
        self.words(quad | OPERATOR)
    }

    /// Uniform in (0, 1).
    pub fn uniform(&self, index: u32) -> f64 {
        unit(self.words(index)[0])
    }

    /// Standard normal, by the Box-Muller transform.
    pub fn normal(&self, index: u32) -> f64 {
        let words = self.words(index);
        box_muller(unit(words[0]), unit(words[1]))[0]
    }

    /// Standard normal conditioned on an absolute value below 2, by inversion-free rejection over
    /// further words of the same index.
    pub fn truncated_normal(&self, index: u32) -> f64 {
        let mut v = self.words(index);
        loop {
            let pair = box_muller(unit(v[0]), unit(v[1]));
            if let Some(draw) = pair.into_iter().find(|draw| draw.abs() < 2.0) {
                return draw;
            }
            v = pcg4d(v);
        }
    }

    /// A permutation of `0..n`, by Fisher and Yates.
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let draw = u64::from(self.words(i as u32)[0]) * (i as u64 + 1);
            order.swap(i, (draw >> 32) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream { seed: 7, step: 0, stream: 3 };

    #[test]
    fn moments_are_those_of_the_distributions() {
        let n = 200_000u32;
        let mean = |f: &dyn Fn(u32) -> f64| (0..n).map(f).sum::<f64>() / f64::from(n);
        assert!((mean(&|i| STREAM.uniform(i)) - 0.5).abs() < 3e-3);
        assert!(mean(&|i| STREAM.normal(i)).abs() < 1e-2);
        assert!((mean(&|i| STREAM.normal(i).powi(2)) - 1.0).abs() < 2e-2);
        // The variance of a standard normal truncated at two standard deviations is 0.7737.
        assert!((mean(&|i| STREAM.truncated_normal(i).powi(2)) - 0.7737).abs() < 2e-2);
        assert!((0..n).all(|i| STREAM.truncated_normal(i).abs() < 2.0));
    }

    #[test]
    fn streams_differ_and_repeat() {
        let other = Stream { stream: 4, ..STREAM };
        let later = Stream { step: 1, ..STREAM };
        let reseeded = Stream { seed: 8, ..STREAM };
        for changed in [other, later, reseeded] {
            let same = (0..1000).filter(|&i| changed.words(i)[0] == STREAM.words(i)[0]).count();
            assert_eq!(same, 0);
        }
        assert_eq!(STREAM.words(5), STREAM.words(5));
    }

    #[test]
    fn four_normals_are_standard_and_uncorrelated() {
        let n = 50_000u32;
        let draws: Vec<[f64; 4]> = (0..n).map(|i| normals(STREAM.operator_words(i))).collect();
        let mean = |f: &dyn Fn(&[f64; 4]) -> f64| draws.iter().map(f).sum::<f64>() / f64::from(n);
        for i in 0..4 {
            assert!(mean(&|d| d[i]).abs() < 0.02);
            assert!((mean(&|d| d[i].powi(4)) - 3.0).abs() < 0.2);
            for j in 0..4 {
                let expected = f64::from(u8::from(i == j));
                assert!((mean(&|d| d[i] * d[j]) - expected).abs() < 0.03, "{i}, {j}");
            }
        }
        let extremes = normals([0, 0, u32::MAX, u32::MAX / 4]);
        assert!((extremes[0] - (48.0 * 2f64.ln()).sqrt()).abs() < 1e-12);
        assert!(extremes[2] != 0.0 && extremes.iter().all(|d| d.is_finite()));
    }

    #[test]
    fn operators_draw_other_words_than_parameters() {
        assert!((0..1000).all(|i| STREAM.operator_words(i) != STREAM.words(i)));
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut order = STREAM.permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
