//! Dropout and noise on the CPU device.

use super::{Dropout, Dropped, GaussianNoise, stream_at};
use crate::array::spread_elements;
use crate::graph::{Compute, Scalar};
use crate::ops::common::*;
use crate::random;

/// Output 0, which has the input's elements.
fn over<'a>(cx: &'a mut Compute<'_>) -> &'a mut [f32] {
    if cx.in_place.is_none() {
        cx.results[0].copy_from_slice(cx.inputs.f32(0));
    }
    &mut cx.results[0]
}

impl Dropout {
    pub(super) fn run(&self, plane: usize, cx: &mut Compute<'_>) {
        let stream = stream_at(|scalar| cx.scalar(scalar), self.stream);
        let (threshold, scale) = (self.threshold(), self.scale());
        spread_elements([over(cx)], &|range, [y]| {
            let mut drawn = (usize::MAX, [0; 4]);
            for (i, y) in range.zip(y) {
                let draw = i / plane;
                if drawn.0 != draw / 4 {
                    drawn = (draw / 4, stream.operator_words(word(draw / 4)));
                }
                *y = if drawn.1[draw % 4] >> 8 >= threshold { scale * *y } else { 0.0 };
            }
        });
    }
}

impl Dropped {
    /// Drops among neighbours, the first of which is element `first`.
    pub(crate) fn run(self, scalar: impl Fn(Scalar) -> f64, first: usize, y: &mut [f32]) {
        let stream = stream_at(scalar, self.stream);
        let mut drawn = (usize::MAX, [0; 4]);
        for (i, y) in (first..).zip(y) {
            if drawn.0 != i / 4 {
                drawn = (i / 4, stream.operator_words(word(i / 4)));
            }
            *y = if drawn.1[i % 4] >> 8 >= self.threshold { self.scale * *y } else { 0.0 };
        }
    }
}

impl GaussianNoise {
    pub(super) fn run(&self, cx: &mut Compute<'_>) {
        let stream = stream_at(|scalar| cx.scalar(scalar), self.stream);
        let std = f64::from(self.std);
        spread_elements([over(cx)], &|range, [y]| {
            let mut drawn = (usize::MAX, [0.0; 4]);
            for (i, y) in range.zip(y) {
                if drawn.0 != i / 4 {
                    drawn = (i / 4, random::normals(stream.operator_words(word(i / 4))));
                }
                *y = (f64::from(*y) + std * drawn.1[i % 4]) as f32;
            }
        });
    }
}
