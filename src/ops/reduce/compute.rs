//! Reductions on the CPU device. Sums are in f64.

use std::ops::Range;

use super::{Axes, Reduction, first_largest};
use crate::array::{PART, spread, sum_of, wide};
use crate::graph::Compute;
use crate::ops::common::*;
use crate::ops::softmax::Rows;
use crate::ops::strided::Nest;

/// Neighbouring results that are worked on together.
const COLUMNS: usize = 128;

/// A reduction with its sizes.
pub(super) struct Reducing {
    kind: Reduction,
    axes: Axes,
    /// Elements of a result.
    count: usize,
}

/// Where the elements at a place of a nest begin.
fn offset(nest: &Nest, place: usize) -> usize {
    let axes = nest.dims.iter().zip(&nest.strides[0]).rev();
    axes.fold((place, 0), |(rest, at), (&dim, &stride)| (rest / dim, at + rest % dim * stride)).1
}

/// The last extent of a nest, and how often there is one.
fn last(nest: &Nest) -> (usize, usize) {
    let length = nest.dims[nest.rank() - 1];
    (length, nest.len() / length)
}

impl Reducing {
    pub fn new(kind: Reduction, axes: Axes) -> Self {
        let count = axes.reduced.len();
        Reducing { kind, axes, count }
    }

    pub fn run(&self, cx: &mut Compute<'_>) {
        let (x, y) = (cx.inputs.f32(0), &mut cx.results[0][..]);
        let Axes { kept, reduced } = &self.axes;
        if reduced.strides[0].last() == Some(&1) {
            let some = (PART / self.count).max(1);
            return spread(0..y.len(), some, [1], [y], &|range, [y]| {
                range.zip(y).for_each(|(o, y)| *y = self.segments(&x[offset(kept, o)..]));
            });
        }
        let (length, _) = last(kept);
        spread(0..y.len() / length, 1, [length], [y], &|line, [y]| {
            let x = &x[offset(kept, line.start * length)..];
            spread(0..length, COLUMNS, [1], [y], &|columns, [y]| {
                let sums = self.columns(&x[columns.start..], columns.len(), 0..self.count);
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = self.finished(sum));
            });
        });
    }

    fn finished(&self, sum: f64) -> f32 {
        match self.kind {
            Reduction::Mean => (sum / self.count as f64) as f32,
            Reduction::Min => -sum as f32,
            Reduction::Sum | Reduction::Max => sum as f32,
        }
    }

    /// What a result begins with.
    fn begin(&self) -> f64 {
        if matches!(self.kind, Reduction::Sum | Reduction::Mean) { 0.0 } else { f64::NEG_INFINITY }
    }

    /// What a result and an element, or another part of its elements, make. The smallest is the negative of the
    /// largest of the negatives.
    fn joined(&self, one: f64, other: f64) -> f64 {
        match self.kind {
            Reduction::Sum | Reduction::Mean => one + other,
            Reduction::Max | Reduction::Min => larger(one, other),
        }
    }

    fn element(&self, x: f32) -> f64 {
        if self.kind == Reduction::Min { -f64::from(x) } else { f64::from(x) }
    }

    /// The result of elements in runs.
    fn segments(&self, x: &[f32]) -> f32 {
        let (length, segments) = last(&self.axes.reduced);
        let mut sum = self.begin();
        for segment in 0..segments {
            let x = &x[offset(&self.axes.reduced, segment * length)..][..length];
            let of_segment = match self.kind {
                Reduction::Sum | Reduction::Mean => sum_of(x, &|x| f64::from(x)),
                _ => x.iter().fold(f64::NEG_INFINITY, |most, &x| larger(most, self.element(x))),
            };
            sum = self.joined(sum, of_segment);
        }
        self.finished(sum)
    }

    /// The results of some neighbours over some of their elements.
    fn columns(&self, x: &[f32], n: usize, elements: Range<usize>) -> [f64; COLUMNS] {
        let most = (PART / n).max(1);
        if elements.len() > most {
            let middle = elements.start + elements.len().div_ceil(most) / 2 * most;
            let (mut one, other) = rayon::join(
                || self.columns(x, n, elements.start..middle),
                || self.columns(x, n, middle..elements.end),
            );
            one[..n].iter_mut().zip(other).for_each(|(one, other)| *one = self.joined(*one, other));
            return one;
        }
        let mut sums = [self.begin(); COLUMNS];
        for element in elements {
            let row = &x[offset(&self.axes.reduced, element)..][..n];
            match self.kind {
                Reduction::Sum | Reduction::Mean => {
                    wide(|| sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x)));
                }
                _ => sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum = larger(*sum, self.element(x))),
            }
        }
        sums
    }
}

/// The places of the largest elements of rows.
pub(super) fn argmax(rows: Rows, cx: &mut Compute<'_>) {
    let x = cx.inputs.f32(0);
    for (row, y) in cx.results[0].u32().iter_mut().enumerate() {
        *y = word(first_largest(rows.elements(row).map(|i| f64::from(x[i]))));
    }
}
