//! Average and sum pooling.

use super::{PoolOptions, WindowAxis, Windows, overlap, planes, pooled};
use crate::ops::common::*;

/// What the sum under a window is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The number of elements counted.
    Average,
    /// Nothing.
    Sum,
}

/// `y` = the sum of `x` under the window, over its divisor.
#[derive(Clone, Copy, Debug)]
pub(super) struct SumPool {
    kind: Kind,
    options: PoolOptions,
    windows: Windows,
}

/// The gradient; input `dy`. It is linear, and its own gradient is the pooling.
#[derive(Clone, Copy, Debug)]
struct SumPoolGrad(SumPool);

impl SumPool {
    pub fn new(kind: Kind, options: PoolOptions, shape: Shape) -> Result<Self> {
        let windows = Windows::new(&options.dense_window()?, options.counts_padding(), shape)?;
        Ok(SumPool { kind, options, windows })
    }

    /// What the sum under the window at flat output `o` is divided by.
    fn divisor(&self, o: usize) -> f64 {
        let [h, w] = self.windows.axes;
        if self.kind == Kind::Sum {
            return 1.0;
        }
        if !self.windows.counts_padding {
            return self.windows.taps(o).count() as f64;
        }
        let counted = |axis: WindowAxis, at: usize| {
            let padded = axis.before + axis.input + axis.after;
            (0..axis.kernel).filter(|t| at * axis.stride + t < padded).count()
        };
        (counted(h, o / w.output % h.output) * counted(w, o % w.output)) as f64
    }

    /// The sums of `f(x)`, divided.
    fn pool(&self, cx: &Reference<'_>, f: impl Fn(f64) -> f64 + Sync) -> Array {
        let x = cx.inputs[0];
        let value = |o: usize| self.windows.taps(o).map(|i| f(x.data[i])).sum::<f64>() / self.divisor(o);
        Array::from_fn(cx.outputs[0].shape, value)
    }

    /// The sums of `f(dy)`, divided, over the windows that an element lies under.
    fn spread(&self, cx: &Reference<'_>, f: impl Fn(f64) -> f64 + Sync) -> Array {
        let dy = cx.inputs[0];
        self.windows.scatter(cx.outputs[0].shape, |o, add| {
            let share = f(dy.data[o]) / self.divisor(o);
            self.windows.taps(o).for_each(|i| add(i, share));
        })
    }

    fn specialise(&self, call: KernelCall) -> KernelCall {
        call.constant("AVERAGE", f64::from(u8::from(self.kind == Kind::Average)))
            .binds([Slot::Input(0), Slot::Output(0)])
    }

    pub fn lower_forward(&self, cx: &mut Lowering<'_>) {
        let over = self.windows.over_outputs();
        let call = self.windows.call("sum_forward", cx.profile, planes(cx.outputs[0].shape), over);
        cx.call(self.specialise(call));
    }

    pub fn lower_backward(&self, cx: &mut Lowering<'_>) {
        let (windows, planes) = (self.windows, planes(cx.outputs[0].shape));
        let cells = windows.over_cells(0);
        let wide = cx.profile.kind == DeviceKind::Cpu && windows.are_disjoint() && cells.fits(cx.profile);
        let call = if windows.are_small_and_disjoint() || wide {
            windows.call("sum_cells", cx.profile, planes, cells)
        } else {
            windows.call("sum_gather", cx.profile, planes, windows.over_inputs(0))
        };
        cx.call(self.specialise(call));
    }
}

impl Op for SumPool {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Average => "avg_pool2d",
            Kind::Sum => "sum_pool2d",
        }
    }

    fn attributes(&self) -> String {
        self.options.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        pooled(inputs[0], self.windows.output())
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(cx.graph.apply1(SumPoolGrad(*self), &[cx.grad()]).map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        self.lower_forward(cx);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.pool(cx, |x| x)]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // Half a unit per addition along a row of the window and then over its rows, each of which may
        // flush; 2.5 for the quotient, and a half for its divisor.
        let [h, w] = self.windows.axes.map(|axis| axis.kernel as f64);
        let magnitude = self.pool(cx, f64::abs);
        let bound = |m: &f64| (0.5 * (h + w) + 3.0) * EPS * m + (h * w + 1.0) * FLUSH;
        vec![magnitude.data.iter().map(bound).collect()]
    }
}

impl Op for SumPoolGrad {
    fn name(&self) -> &'static str {
        match self.0.kind {
            Kind::Average => "avg_pool2d_grad",
            Kind::Sum => "sum_pool2d_grad",
        }
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        pooled(inputs[0], self.0.windows.input())
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(cx.graph.apply1(self.0, &[cx.grad()]).map(|ddy| vec![Some(ddy)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        self.0.lower_backward(cx);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.0.spread(cx, |dy| dy)]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // A quotient per window over an element, and their sum.
        let chain = self.0.windows.axes.iter().map(overlap).product::<usize>() as f64;
        let magnitude = self.0.spread(cx, f64::abs);
        let bound = |m: &f64| (0.5 * chain + 3.0) * EPS * m + 2.0 * chain * FLUSH;
        vec![magnitude.data.iter().map(bound).collect()]
    }
}
