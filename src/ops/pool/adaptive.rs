//! Adaptive average pooling.

use std::ops::Range;

use super::sum::{Kind, SumPool};
use super::{Area, PoolOptions, PoolParams, launch, nested, planes, pooled, sides};
use crate::ops::common::*;

/// `y` = the mean of `x` over windows that divide the image as evenly as may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdaptivePool {
    input: [usize; 2],
    output: [usize; 2],
}

/// The gradient; input `dy`. It is linear, and its own gradient is the pooling.
#[derive(Clone, Copy, Debug)]
struct AdaptivePoolGrad(AdaptivePool);

/// The elements under window `o` of `outputs` over `side` elements.
fn share(o: usize, side: usize, outputs: usize) -> Range<usize> {
    o * side / outputs..((o + 1) * side).div_ceil(outputs)
}

impl AdaptivePool {
    pub fn new(shape: Shape, output: [usize; 2]) -> Result<Self> {
        let input = sides(shape)?;
        for (&side, &outputs) in input.iter().zip(&output) {
            // Up to here the shader's quotients are exact.
            let is_small = side.max(outputs) < 1 << 21 && side * outputs < 1 << 31;
            if outputs == 0 || !is_small {
                let value = format!("{outputs} for an image of {side}");
                let expected = "at least 1, both less than 2^21, and their product less than 2^31";
                return Err(Error::Argument { argument: "output size", value, expected });
            }
        }
        Ok(AdaptivePool { input, output })
    }

    /// The flat indices of the elements under the window at flat output `o`.
    fn window(&self, o: usize) -> impl Iterator<Item = usize> + use<> {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        let (line, plane) = (o / ow, o / ow / oh);
        let columns = share(o % ow, w, ow);
        share(line % oh, h, oh).flat_map(move |r| columns.clone().map(move |c| (plane * h + r) * w + c))
    }

    /// The means of `f(x)`.
    fn pool(&self, cx: &Reference<'_>, f: impl Fn(f64) -> f64 + Sync) -> Array {
        let x = &cx.inputs[0].data;
        let value = |o: usize| self.window(o).map(|i| f(x[i])).sum::<f64>() / self.window(o).count() as f64;
        Array::from_fn(cx.outputs[0].shape, value)
    }

    /// The sums of each window's share of `f(dy)`.
    fn spread(&self, cx: &Reference<'_>, f: impl Fn(f64) -> f64) -> Array {
        let mut dx = Array::full(cx.outputs[0].shape, 0.0);
        for (o, &dy) in cx.inputs[0].data.iter().enumerate() {
            let part = f(dy) / self.window(o).count() as f64;
            self.window(o).for_each(|i| dx.data[i] += part);
        }
        dx
    }

    /// The same as an average over windows side by side, where the output divides the image.
    fn regular(&self, shape: Shape) -> Option<SumPool> {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        if !h.is_multiple_of(oh) || !w.is_multiple_of(ow) {
            return None;
        }
        SumPool::new(Kind::Average, PoolOptions::new([h / oh, w / ow]), shape).ok()
    }

    /// A call whose threads go over the rows of planes of `over` elements, for each of which it goes
    /// over a window of `longest` at most.
    fn call(
        &self,
        entry: &'static str,
        cx: &Lowering<'_>,
        over: [usize; 2],
        longest: [usize; 2],
    ) -> KernelCall {
        let loops = nested(longest[0], nested(longest[1], 0));
        let area = Area { sides: over, edges: true, loops };
        let (call, params) = launch(entry, cx.profile, planes(cx.outputs[0].shape), area);
        call.params(&PoolParams { image: self.input.map(word), output: self.output.map(word), ..params })
            .binds([Slot::Input(0), Slot::Output(0)])
    }

    /// The most elements under a window along an axis, or with `back` the most windows over an
    /// element.
    fn longest(&self, back: bool) -> [usize; 2] {
        let (of, over) = if back { (self.input, self.output) } else { (self.output, self.input) };
        // A share is at most one longer than even, at both ends.
        [0, 1].map(|axis| over[axis].div_ceil(of[axis]) + 1)
    }
}

impl Op for AdaptivePool {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn attributes(&self) -> String {
        format!("size={:?}", self.output)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        pooled(inputs[0], self.output)
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(cx.graph.apply1(AdaptivePoolGrad(*self), &[cx.grad()]).map(|dx| vec![Some(dx)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        match self.regular(cx.inputs[0].shape) {
            Some(pool) => pool.lower_forward(cx),
            None => cx.call(self.call("adaptive_forward", cx, self.output, self.longest(false))),
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.pool(cx, |x| x)]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // As for average pooling.
        let [h, w] = self.longest(false).map(|n| n as f64);
        let bound = |m: &f64| (0.5 * (h + w) + 3.0) * EPS * m + (h * w + 1.0) * FLUSH;
        vec![self.pool(cx, f64::abs).data.iter().map(bound).collect()]
    }
}

impl Op for AdaptivePoolGrad {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d_grad"
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        pooled(inputs[0], self.0.input)
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(cx.graph.apply1(self.0, &[cx.grad()]).map(|ddy| vec![Some(ddy)]))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        match self.0.regular(cx.outputs[0].shape) {
            Some(pool) => pool.lower_backward(cx),
            None => cx.call(self.0.call("adaptive_gather", cx, self.0.input, self.0.longest(true))),
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![self.0.spread(cx, |dy| dy)]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        // A quotient per window over an element, and their sum.
        let [h, w] = self.0.longest(true).map(|n| n as f64);
        let bound = |m: &f64| (0.5 * (h + w) + 3.0) * EPS * m + 2.0 * h * w * FLUSH;
        vec![self.0.spread(cx, f64::abs).data.iter().map(bound).collect()]
    }
}
