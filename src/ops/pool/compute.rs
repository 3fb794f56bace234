//! Pooling on the CPU device: a plane after the other.

use super::sum::{Linear, LinearPool};
use super::{MaxWindows, Windows};
use crate::array::{PART, spread, wide};
use crate::graph::Compute;
use crate::ops::WindowAxis;

/// The elements of the image under each window along an axis: the first one's place, and how many.
fn reaches(axis: &WindowAxis) -> Vec<(usize, usize)> {
    let reach = |window: usize| {
        let taps = axis.taps_on_image(window);
        let first = taps.clone().find_map(|tap| axis.tap(window, tap));
        (first.unwrap_or(0), taps.len())
    };
    (0..axis.output).map(reach).collect()
}

/// Whether a number is taken in place of another: a NaN is larger than all numbers.
#[inline(always)]
fn exceeds(a: f32, b: f32) -> bool {
    (a > b) | (a.is_nan() & !b.is_nan())
}

/// The first of the largest of the four numbers under a window, and which it is.
#[inline(always)]
fn first_of_four(upper: [f32; 2], lower: [f32; 2]) -> (f32, [bool; 4]) {
    let second = exceeds(upper[1], upper[0]);
    let best = if second { upper[1] } else { upper[0] };
    let third = exceeds(lower[0], best);
    let best = if third { lower[0] } else { best };
    let fourth = exceeds(lower[1], best);
    let best = if fourth { lower[1] } else { best };
    (best, [!(second | third | fourth), second & !(third | fourth), third & !fourth, fourth])
}

/// Whether windows along an axis are pairs of neighbours.
fn is_paired(axis: &WindowAxis) -> bool {
    axis.kernel == 2
        && axis.stride == 2
        && axis.dilation == 1
        && axis.before == 0
        && 2 * axis.output <= axis.input
}

impl MaxWindows {
    pub fn new(windows: &Windows) -> Self {
        let [h, w] = windows.axes;
        let paired = is_paired(&h) && is_paired(&w);
        MaxWindows { axes: [h, w], rows: reaches(&h), columns: reaches(&w), paired }
    }

    /// A plane of windows of 2 by 2 that do not overlap.
    fn pairs(&self, x: &[f32], y: &mut [f32]) {
        let (ow, iw) = (self.axes[1].output, self.axes[1].input);
        for (y, x) in y.chunks_exact_mut(ow).zip(x.chunks(2 * iw)) {
            let (upper, lower) = x.split_at(iw);
            wide(|| {
                let rows = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                for (y, (&upper, &lower)) in y.iter_mut().zip(rows) {
                    *y = first_of_four(upper, lower).0;
                }
            });
        }
    }

    /// The gradient of such a plane.
    fn pairs_back(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        let (ow, iw) = (self.axes[1].output, self.axes[1].input);
        let windows = self.axes[0].output * 2 * iw;
        dx[windows..].fill(0.0);
        let rows = x.chunks_exact(2 * iw).zip(dx.chunks_exact_mut(2 * iw));
        for (dy, (x, dx)) in dy.chunks_exact(ow).zip(rows) {
            let ((upper, lower), (to_upper, to_lower)) = (x.split_at(iw), dx.split_at_mut(iw));
            to_upper[2 * ow..].fill(0.0);
            to_lower[2 * ow..].fill(0.0);
            wide(|| {
                let x = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                let dx = to_upper.as_chunks_mut::<2>().0.iter_mut().zip(to_lower.as_chunks_mut::<2>().0);
                for (&dy, ((&upper, &lower), (to_upper, to_lower))) in dy.iter().zip(x.zip(dx)) {
                    let (_, taken) = first_of_four(upper, lower);
                    let [a, b, c, d] = taken.map(|taken| if taken { dy } else { 0.0 });
                    (*to_upper, *to_lower) = ([a, b], [c, d]);
                }
            });
        }
    }

    /// Goes through the windows of a plane: with each one's number the first of its largest elements.
    fn winners(&self, x: &[f32], mut f: impl FnMut(usize, usize)) {
        let [h, w] = self.axes;
        let mut window = 0;
        for &(row, height) in &self.rows {
            for &(column, width) in &self.columns {
                let mut best = row * w.input + column;
                for r in 0..height {
                    let line = (row + r * h.dilation) * w.input + column;
                    for at in (0..width).map(|c| line + c * w.dilation) {
                        best = if exceeds(x[at], x[best]) { at } else { best };
                    }
                }
                f(window, best);
                window += 1;
            }
        }
    }

    fn sizes(&self) -> [usize; 2] {
        let [h, w] = self.axes;
        [h.input * w.input, h.output * w.output]
    }

    pub fn run(&self, cx: &mut Compute<'_>) {
        let ([image, windows], x) = (self.sizes(), cx.inputs.f32(0));
        let y = &mut cx.results[0][..];
        spread(0..y.len() / windows, (PART / image).max(1), [windows], [y], &|planes, [y]| {
            for (plane, y) in planes.zip(y.chunks_mut(windows)) {
                let x = &x[plane * image..][..image];
                match self.paired {
                    true => self.pairs(x, y),
                    false => self.winners(x, |window, best| y[window] = x[best]),
                }
            }
        });
    }

    /// The gradient.
    pub fn run_back(&self, cx: &mut Compute<'_>) {
        let ([image, windows], x, dy) = (self.sizes(), cx.inputs.f32(0), cx.inputs.f32(2));
        let dx = &mut cx.results[0][..];
        spread(0..dx.len() / image, (PART / image).max(1), [image], [dx], &|planes, [dx]| {
            for (plane, dx) in planes.zip(dx.chunks_mut(image)) {
                let (x, dy) = (&x[plane * image..][..image], &dy[plane * windows..][..windows]);
                if self.paired {
                    self.pairs_back(x, dy, dx);
                    continue;
                }
                dx.fill(0.0);
                self.winners(x, |window, best| dx[best] += dy[window]);
            }
        });
    }
}

impl<W: Linear> LinearPool<W> {
    pub(super) fn run(&self, cx: &mut Compute<'_>) {
        let [image, windows] = self.windows.sides().map(|[h, w]| h * w);
        let (given, result) = (cx.inputs.f32(0), &mut cx.results[0][..]);
        let width = if self.back { image } else { windows };
        spread(0..result.len() / width, (PART / image).max(1), [width], [result], &|planes, [result]| {
            for (plane, result) in planes.zip(result.chunks_mut(width)) {
                match self.back {
                    false => {
                        for (o, y) in result.iter_mut().enumerate() {
                            let x = &given[plane * image..][..image];
                            let sum: f64 = self.windows.taps(o).map(|i| f64::from(x[i])).sum();
                            *y = (sum / self.windows.divisor(o)) as f32;
                        }
                    }
                    true => {
                        result.fill(0.0);
                        for (o, &dy) in given[plane * windows..][..windows].iter().enumerate() {
                            let share = (f64::from(dy) / self.windows.divisor(o)) as f32;
                            self.windows.taps(o).for_each(|i| result[i] += share);
                        }
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of 2 by 2 are computed as all others are, ties and NaN among them, and rows and columns that no
    /// window covers.
    #[test]
    fn pairs_are_windows_like_others() {
        for [height, width] in [[2, 2], [4, 6], [5, 4], [6, 9], [7, 67]] {
            let axis = |input: usize| WindowAxis {
                input,
                output: input / 2,
                kernel: 2,
                stride: 2,
                dilation: 1,
                before: 0,
                after: 0,
            };
            let axes = [axis(height), axis(width)];
            let [rows, columns] = [reaches(&axes[0]), reaches(&axes[1])];
            let windows = MaxWindows { axes, rows, columns, paired: axes.iter().all(is_paired) };
            assert!(windows.paired);
            let numbers = [0.0, -0.0, 1.0, -2.0, f32::NAN, f32::NEG_INFINITY, f32::INFINITY];
            let x: Vec<f32> = (0..height * width).map(|i| numbers[i * 7919 % 101 % 7]).collect();
            let n = (height / 2) * (width / 2);
            let dy: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            let [mut y, mut want] = [(); 2].map(|()| vec![5.0; n]);
            let [mut dx, mut want_dx] = [vec![5.0; x.len()], vec![0.0; x.len()]];
            windows.pairs(&x, &mut y);
            windows.pairs_back(&x, &dy, &mut dx);
            windows.winners(&x, |window, best| {
                want[window] = x[best];
                want_dx[best] += dy[window];
            });
            let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!((bits(y), dx), (bits(want), want_dx), "{height}x{width}");
        }
    }
}
