//! Max pooling.

use super::{MaxWindows, PoolOptions, Windows, overlap, planes, pooled, scatter};
use crate::ops::common::*;

/// `y` = the largest `x` under the window.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct MaxPool {
    options: PoolOptions,
    windows: Windows,
}

/// The gradient; inputs `x` and `y` of the forward op, and `dy`.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct MaxPoolGrad(MaxPool);

impl MaxPool {
    pub fn new(options: PoolOptions, shape: Shape) -> Result<Self> {
        Ok(MaxPool { options, windows: Windows::new(&options.window(), false, shape)? })
    }

    /// The element that the window at flat output `o` takes: the first of the largest. A NaN is
    /// larger than all numbers.
    fn winner(&self, x: &Array, o: usize) -> usize {
        let exceeds = |a: f64, b: f64| a > b || (a.is_nan() && !b.is_nan());
        let larger = |best: usize, next: usize| if exceeds(x.data[next], x.data[best]) { next } else { best };
        self.windows.taps(o).reduce(larger).unwrap_or(0)
    }
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn attributes(&self) -> String {
        self.options.attributes()
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        pooled(inputs[0], self.windows.output())
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        cx.first(cx.graph.apply1(MaxPoolGrad(*self), &[cx.inputs[0], cx.outputs[0], cx.grad()]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let over = self.windows.over_outputs();
        let call = self.windows.call("max_forward", cx.profile, planes(cx.inputs[0].shape), over);
        cx.only(call.binds([Slot::Input(0), Slot::Output(0)]))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        vec![Array::from_fn(cx.outputs[0].shape, |o| x.data[self.winner(x, o)])]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let windows = MaxWindows::new(&self.windows);
        Some(Box::new(move |cx| windows.run(cx)))
    }

    /// The bits of an element are compared and copied as integers, subnormal numbers too.
    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        within(0.0, results)
    }
}

impl MaxPoolGrad {
    /// The sums of `f(dy)` over the windows that took an element.
    fn scatter(&self, cx: &Reference<'_>, f: impl Fn(f64) -> f64 + Sync) -> Array {
        let (x, dy) = (cx.inputs[0], cx.inputs[2]);
        scatter(x.shape, self.0.windows.output(), |o, add| add(self.0.winner(x, o), f(dy.data[o])))
    }
}

impl Op for MaxPoolGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![inputs[0]])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (windows, profile, planes) = (self.0.windows, cx.profile, planes(cx.inputs[0].shape));
        let cells = windows.over_cells(windows.taps_loops());
        let whole = windows.over_planes();
        let by_planes = profile.kind == DeviceKind::Cpu && whole.fits(profile);
        let finish = Some(Finish::default());
        let (call, y) = if by_planes && !windows.are_small_and_disjoint() {
            (windows.call("max_planes", profile, planes, whole).grid(Grid::linear(planes, 8)), None)
        } else if windows.suit_cells(profile, cells) {
            (windows.call("max_cells", profile, planes, cells).finish(finish), None)
        } else {
            let each = windows.over_inputs(windows.taps_loops());
            (windows.call("max_gather", profile, planes, each).finish(finish), Some(Slot::Input(1)))
        };
        cx.only(call.bind(Slot::Input(0)).binds(y).binds([Slot::Input(2), Slot::Output(0)]))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.scatter(cx, |dy| dy)]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let windows = MaxWindows::new(&self.0.windows);
        Some(Box::new(move |cx| windows.run_back(cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // As many additions as windows overlap, each of which rounds and may flush.
        let chain = self.0.windows.axes.iter().map(overlap).product::<usize>() as f64;
        let magnitude = self.scatter(cx, f64::abs);
        vec![magnitude.data.iter().map(|m| 0.5 * chain * EPS * m + chain * FLUSH).collect()]
    }
}
