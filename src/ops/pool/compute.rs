//! Pooling on the CPU device: a plane after the other.

use super::sum::{Linear, LinearPool};
use super::{MaxWindows, Windows};
use crate::array::{PART, spread};
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

impl MaxWindows {
    pub fn new(windows: &Windows) -> Self {
        let [h, w] = windows.axes;
        MaxWindows { axes: [h, w], rows: reaches(&h), columns: reaches(&w) }
    }

    /// Goes through the windows of a plane: with each one's number the first of its largest elements.
    fn winners(&self, x: &[f32], mut f: impl FnMut(usize, usize)) {
        let exceeds = |a: f32, b: f32| a > b || (a.is_nan() && !b.is_nan());
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
                self.winners(x, |window, best| y[window] = x[best]);
            }
        });
    }

    /// The gradient.
    pub fn run_back(&self, cx: &mut Compute<'_>) {
        let ([image, windows], x, dy) = (self.sizes(), cx.inputs.f32(0), cx.inputs.f32(2));
        let dx = &mut cx.results[0][..];
        spread(0..dx.len() / image, (PART / image).max(1), [image], [dx], &|planes, [dx]| {
            for (plane, dx) in planes.zip(dx.chunks_mut(image)) {
                let dy = &dy[plane * windows..][..windows];
                dx.fill(0.0);
                self.winners(&x[plane * image..][..image], |window, best| dx[best] += dy[window]);
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
