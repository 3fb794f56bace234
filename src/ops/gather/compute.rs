//! Gathers on the CPU device.

use super::{GatherGrad, Picks};
use crate::array::{PART, spread};
use crate::graph::Compute;
use crate::ops::common::*;

impl Picks {
    fn row_of(&self, index: u32) -> usize {
        (index as usize).min(self.rows - 1)
    }

    pub(super) fn run(&self, cx: &mut Compute<'_>) {
        let &Picks { rows, count, inner, .. } = self;
        let (x, index) = (cx.inputs.f32(0), cx.inputs.u32(1));
        let y = &mut cx.results[0][..];
        let some = (PART / inner).max(1);
        spread(0..y.len() / inner, some, [inner], [y], &|range, [y]| {
            for (line, y) in range.zip(y.chunks_mut(inner)) {
                let row = line / count * rows + self.row_of(index[line % count]);
                y.copy_from_slice(&x[row * inner..][..inner]);
            }
        });
    }
}

impl GatherGrad {
    /// The sums are in f64.
    pub(super) fn run(&self, picks: Picks, cx: &mut Compute<'_>) {
        let Picks { outer, rows, count, inner } = picks;
        let (index, dy, dx) = (cx.inputs.u32(0), cx.inputs.f32(1), &mut cx.results[0]);
        let sums = cx.scratch.f64(rows * inner);
        for outer in 0..outer {
            sums.fill(0.0);
            for (i, dy) in dy[outer * count * inner..][..count * inner].chunks_exact(inner).enumerate() {
                let row = picks.row_of(index[i]);
                if self.padding.is_none_or(|padding| padding as usize != row) {
                    let sums = &mut sums[row * inner..][..inner];
                    sums.iter_mut().zip(dy).for_each(|(sum, &dy)| *sum += f64::from(dy));
                }
            }
            let dx = &mut dx[outer * rows * inner..][..rows * inner];
            dx.iter_mut().zip(&*sums).for_each(|(dx, &sum)| *dx = sum as f32);
        }
    }
}

/// Rows of so many classes with a single 1.
pub(super) fn one_hot(depth: usize, cx: &mut Compute<'_>) {
    let index = cx.inputs.u32(0);
    for (row, &index) in cx.results[0].chunks_exact_mut(depth).zip(index) {
        row.iter_mut().enumerate().for_each(|(class, y)| *y = truth(index as usize == class));
    }
}
