//! Losses on the CPU device.

use std::ops::Range;

use crate::array::{PART, spread, spread_elements};
use crate::graph::Compute;
use crate::ops::softmax::exponentials;
use crate::ops::unary::sigmoid;

/// The targets of a row of logits.
enum Targets<'a> {
    Label(usize),
    Soft(&'a [f32]),
}

impl<'a> Targets<'a> {
    fn of(cx: &Compute<'a>, classes: usize, labels: bool) -> impl Fn(usize) -> Targets<'a> + Sync + use<'a> {
        let inputs = cx.inputs;
        move |row| match labels {
            true => Targets::Label((inputs.u32(1)[row] as usize).min(classes - 1)),
            false => Targets::Soft(&inputs.f32(1)[row * classes..][..classes]),
        }
    }
}

/// The cross-entropies of rows of logits.
pub(super) fn rows(classes: usize, labels: bool, cx: &mut Compute<'_>) {
    let (x, targets) = (cx.inputs.f32(0), Targets::of(cx, classes, labels));
    let y = &mut cx.results[0][..];
    let some = (PART / 4 / classes).max(1);
    spread(0..y.len(), some, [1], [y], &|range: Range<usize>, [y]| {
        for (row, y) in range.zip(y) {
            let x = &x[row * classes..][..classes];
            let (max, sum) = exponentials(x.iter().copied());
            let log = sum.ln();
            let loss = |x: f32| log - f64::from(x - max);
            *y = match targets(row) {
                Targets::Label(label) => loss(x[label]) as f32,
                Targets::Soft(t) => {
                    // A class without weight counts nothing, even where its logit is -inf.
                    let terms = t.iter().zip(x).filter(|(t, _)| **t != 0.0);
                    terms.map(|(&t, &x)| f64::from(t) * loss(x)).sum::<f64>() as f32
                }
            };
        }
    });
}

/// Their gradients with respect to the logits.
pub(super) fn rows_back(classes: usize, labels: bool, cx: &mut Compute<'_>) {
    let (x, dy, targets) = (cx.inputs.f32(0), cx.inputs.f32(2), Targets::of(cx, classes, labels));
    let dx = &mut cx.results[0][..];
    let some = (PART / 4 / classes).max(1);
    spread(0..dx.len() / classes, some, [classes], [dx], &|range: Range<usize>, [dx]| {
        for (row, dx) in range.zip(dx.chunks_mut(classes)) {
            let (x, dy) = (&x[row * classes..][..classes], f64::from(dy[row]));
            let (max, sum) = exponentials(x.iter().copied());
            let targets = targets(row);
            let total = match &targets {
                Targets::Label(_) => 1.0,
                Targets::Soft(t) => t.iter().copied().map(f64::from).sum(),
            };
            for (class, (dx, &x)) in dx.iter_mut().zip(x).enumerate() {
                let t = match &targets {
                    Targets::Label(label) => f64::from(u8::from(class == *label)),
                    Targets::Soft(t) => f64::from(t[class]),
                };
                *dx = ((f64::from((x - max).exp()) / sum * total - t) * dy) as f32;
            }
        }
    });
}

/// The cross-entropies of elements with their sigmoids.
pub(super) fn elements(cx: &mut Compute<'_>) {
    let (x, t) = (cx.inputs.f32(0), cx.inputs.f32(1));
    spread_elements([&mut cx.results[0]], &|range, [y]| {
        for (y, (&x, &t)) in y.iter_mut().zip(x[range.clone()].iter().zip(&t[range])) {
            *y = x.max(0.0) - x * t + (-x.abs()).exp().ln_1p();
        }
    });
}

/// Their gradients with respect to the logits.
pub(super) fn elements_back(cx: &mut Compute<'_>) {
    let [x, t, dy] = [0, 1, 2].map(|input| cx.inputs.f32(input));
    spread_elements([&mut cx.results[0]], &|range, [dx]| {
        let inputs = x[range.clone()].iter().zip(&t[range.clone()]).zip(&dy[range]);
        dx.iter_mut().zip(inputs).for_each(|(dx, ((&x, &t), &dy))| *dx = (sigmoid(x) - t) * dy);
    });
}
