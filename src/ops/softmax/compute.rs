//! Softmax and log-softmax on the CPU device.

use std::ops::Range;

use super::{Kind, Rows, Softmax};
use crate::array::{PART, spread};
use crate::graph::Compute;
use crate::ops::common::*;

/// The largest of some numbers, and the sum of the exponentials of their distances from it.
pub(in crate::ops) fn exponentials(row: impl Iterator<Item = f32> + Clone) -> (f32, f64) {
    let max = row.clone().fold(f32::NEG_INFINITY, larger);
    (max, row.map(|x| f64::from((x - max).exp())).sum())
}

impl Rows {
    /// Goes through the rows of a result of as many elements, by several threads: `f` gets a row's places and
    /// the part of the result with where it begins.
    fn each(&self, y: &mut [f32], f: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let width = self.axis * self.inner;
        let some = (PART / 4 / width).max(1);
        spread(0..y.len() / width, some, [width], [y], &|outer: Range<usize>, [y]| {
            for row in outer.start * self.inner..outer.end * self.inner {
                f(row, outer.start * width, y);
            }
        });
    }
}

impl Softmax {
    pub(super) fn run(&self, rows: Rows, cx: &mut Compute<'_>) {
        let x = cx.inputs.f32(0);
        rows.each(&mut cx.results[0], |row, begin, y| {
            let (max, sum) = exponentials(rows.elements(row).map(|i| x[i]));
            let log = sum.ln();
            for i in rows.elements(row) {
                let shifted = x[i] - max;
                y[i - begin] = match self.kind {
                    Kind::Softmax => (f64::from(shifted.exp()) / sum) as f32,
                    Kind::LogSoftmax => (f64::from(shifted) - log) as f32,
                };
            }
        });
    }

    /// The gradient.
    pub(super) fn run_back(&self, rows: Rows, cx: &mut Compute<'_>) {
        let (y, dy) = (cx.inputs.f32(0), cx.inputs.f32(1));
        let softmax = self.kind == Kind::Softmax;
        rows.each(&mut cx.results[0], |row, begin, dx| {
            let term = |i: usize| f64::from(dy[i]) * if softmax { f64::from(y[i]) } else { 1.0 };
            let total: f64 = rows.elements(row).map(term).sum();
            for i in rows.elements(row) {
                let d = f64::from(dy[i]);
                dx[i - begin] = match softmax {
                    true => (f64::from(y[i]) * (d - total)) as f32,
                    false => (d - f64::from(y[i].exp()) * total) as f32,
                };
            }
        });
    }
}
