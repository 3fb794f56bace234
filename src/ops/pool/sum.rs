//! Poolings that are linear: average and sum pooling, and what they share with adaptive pooling.

use std::fmt;

use super::{PoolOptions, WindowAxis, Windows, overlap, planes, pooled, scatter};
use crate::ops::common::*;

/// Windows whose elements are added up, and what the sums are divided by.
pub(in crate::ops) trait Linear: fmt::Debug + Copy + Send + Sync + 'static {
    /// The names of the operator and of its gradient.
    fn names(&self) -> [&'static str; 2];

    fn attributes(&self) -> String;

    /// Height and width of the images, and of the results.
    fn sides(&self) -> [[usize; 2]; 2];

    /// The flat indices of the elements under the window at flat output `o`.
    fn taps(&self, o: usize) -> impl Iterator<Item = usize>;

    /// What the sum under the window at flat output `o` is divided by.
    fn divisor(&self, o: usize) -> f64;

    /// The most additions that a term goes through in a row, and the most terms of a sum.
    fn chain(&self, back: bool) -> [f64; 2];

    fn lower(&self, cx: &mut Lowering<'_>, back: bool);
}

/// `y` = the sums of `x` under windows, each over its divisor; or the gradient, whose input is `dy`.
/// Each is the gradient of the other.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct LinearPool<W> {
    pub windows: W,
    /// Whether this is the gradient.
    pub back: bool,
}

impl<W: Linear> LinearPool<W> {
    /// The result for `f` of the input.
    fn evaluate(&self, cx: &Reference<'_>, f: impl Fn(f64) -> f64 + Sync) -> Array {
        let (windows, given, shape) = (&self.windows, &cx.inputs[0].data, cx.outputs[0].shape);
        if self.back {
            return scatter(shape, windows.sides()[1], |o, add| {
                let share = f(given[o]) / windows.divisor(o);
                windows.taps(o).for_each(|i| add(i, share));
            });
        }
        let sum = |o: usize| windows.taps(o).map(|i| f(given[i])).sum::<f64>();
        Array::from_fn(shape, |o| sum(o) / windows.divisor(o))
    }
}

impl<W: Linear> Op for LinearPool<W> {
    fn name(&self) -> &'static str {
        self.windows.names()[usize::from(self.back)]
    }

    fn attributes(&self) -> String {
        self.windows.attributes()
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let [images, results] = self.windows.sides();
        pooled(inputs[0], if self.back { images } else { results })
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        cx.first(cx.graph.apply1(LinearPool { back: !self.back, ..*self }, &[cx.grad()]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        self.windows.lower(cx, self.back);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.evaluate(cx, |x| x)]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let pool = *self;
        Some(Box::new(move |cx| pool.run(cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // Half a unit per addition, each of which may flush; 2.5 for the quotient, and a half for its
        // divisor. The gradient has a quotient for each term.
        let [additions, terms] = self.windows.chain(self.back);
        let flushed = if self.back { 2.0 * terms } else { terms + 1.0 };
        let bound = |m: &f64| (0.5 * additions + 3.0) * EPS * m + flushed * FLUSH;
        vec![self.evaluate(cx, f64::abs).data.iter().map(bound).collect()]
    }
}

/// What the sum under a window is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Kind {
    /// The number of elements counted.
    Average,
    /// Nothing.
    Sum,
}

/// Windows that are laid over the image by options.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct SumPool {
    kind: Kind,
    options: PoolOptions,
    windows: Windows,
}

impl SumPool {
    /// Whether the sums are divided.
    pub fn is_average(&self) -> bool {
        self.kind == Kind::Average
    }

    pub fn new(kind: Kind, options: PoolOptions, shape: Shape) -> Result<Self> {
        let windows = Windows::new(&options.dense_window()?, options.count_include_pad, shape)?;
        Ok(SumPool { kind, options, windows })
    }
}

impl Linear for SumPool {
    fn names(&self) -> [&'static str; 2] {
        match self.kind {
            Kind::Average => ["avg_pool2d", "avg_pool2d_grad"],
            Kind::Sum => ["sum_pool2d", "sum_pool2d_grad"],
        }
    }

    fn attributes(&self) -> String {
        self.options.attributes()
    }

    fn sides(&self) -> [[usize; 2]; 2] {
        [self.windows.input(), self.windows.output()]
    }

    fn taps(&self, o: usize) -> impl Iterator<Item = usize> {
        self.windows.taps(o)
    }

    fn divisor(&self, o: usize) -> f64 {
        let [h, w] = self.windows.axes;
        if self.kind == Kind::Sum {
            return 1.0;
        }
        if !self.windows.counts_padding {
            return (h.taps_on_image(o / w.output % h.output).len() * w.taps_on_image(o % w.output).len())
                as f64;
        }
        let counted = |axis: WindowAxis, at: usize| {
            let padded = axis.before + axis.input + axis.after;
            padded.saturating_sub(at * axis.stride).min(axis.kernel)
        };
        (counted(h, o / w.output % h.output) * counted(w, o % w.output)) as f64
    }

    /// A kernel adds up along a row of the window and then over its rows.
    fn chain(&self, back: bool) -> [f64; 2] {
        let [h, w] = self.windows.axes;
        let overlaps = (overlap(&h) * overlap(&w)) as f64;
        if back { [overlaps; 2] } else { [(h.kernel + w.kernel) as f64, (h.kernel * w.kernel) as f64] }
    }

    fn lower(&self, cx: &mut Lowering<'_>, back: bool) {
        let (windows, cells) = (self.windows, self.windows.over_cells(0));
        let (entry, over) = match back {
            false => ("sum_forward", windows.over_outputs()),
            true if windows.suit_cells(cx.profile, cells) => ("sum_cells", cells),
            true => ("sum_gather", windows.over_inputs(0)),
        };
        let call = windows.call(entry, cx.profile, planes(cx.outputs[0].shape), over);
        let call = call.constant("AVERAGE", f64::from(self.kind == Kind::Average));
        cx.call(call.binds([Slot::Input(0), Slot::Output(0)]).finish(Some(Finish::default())));
    }
}
