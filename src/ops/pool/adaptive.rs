//! Adaptive average pooling.

use std::ops::Range;

use super::sum::{Kind, Linear, SumPool};
use super::{Area, PoolOptions, PoolParams, launch, nested, planes, sides};
use crate::ops::common::*;

/// Windows that divide the image as evenly as may be, for their mean.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct AdaptivePool {
    input: [usize; 2],
    output: [usize; 2],
}

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
                return Err(Error::argument("output size", value, expected));
            }
        }
        Ok(AdaptivePool { input, output })
    }

    /// The same as an average over windows side by side, where the output divides the image.
    fn regular(&self, shape: Shape) -> Option<SumPool> {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        if !h.is_multiple_of(oh) || !w.is_multiple_of(ow) {
            return None;
        }
        SumPool::new(Kind::Average, PoolOptions::new([h / oh, w / ow]), shape).ok()
    }

    /// The most elements under a window along an axis, or with `back` the most windows over an
    /// element.
    fn longest(&self, back: bool) -> [usize; 2] {
        let (of, over) = if back { (self.input, self.output) } else { (self.output, self.input) };
        // A share is at most one longer than even, at both ends.
        [0, 1].map(|axis| over[axis].div_ceil(of[axis]) + 1)
    }
}

impl Linear for AdaptivePool {
    fn names(&self) -> [&'static str; 2] {
        ["adaptive_avg_pool2d", "adaptive_avg_pool2d_grad"]
    }

    fn attributes(&self) -> String {
        format!("size={:?}", self.output)
    }

    fn sides(&self) -> [[usize; 2]; 2] {
        [self.input, self.output]
    }

    fn taps(&self, o: usize) -> impl Iterator<Item = usize> {
        let ([h, w], [oh, ow]) = (self.input, self.output);
        let (line, plane) = (o / ow, o / ow / oh);
        let columns = share(o % ow, w, ow);
        share(line % oh, h, oh).flat_map(move |r| columns.clone().map(move |c| (plane * h + r) * w + c))
    }

    fn divisor(&self, o: usize) -> f64 {
        self.taps(o).count() as f64
    }

    fn chain(&self, back: bool) -> [f64; 2] {
        let [h, w] = self.longest(back);
        [(h + w) as f64, (h * w) as f64]
    }

    fn lower(&self, cx: &mut Lowering<'_>, back: bool) {
        let image = if back { cx.outputs[0].shape } else { cx.inputs[0].shape };
        if let Some(pool) = self.regular(image) {
            return pool.lower(cx, back);
        }
        let (entry, over) =
            if back { ("adaptive_gather", self.input) } else { ("adaptive_forward", self.output) };
        let [h, w] = self.longest(back);
        let area = Area { sides: over, edges: true, loops: nested(h, nested(w, 0)) };
        let (call, params) = launch(entry, cx.profile, planes(image), area);
        let params = PoolParams { image: self.input.map(word), output: self.output.map(word), ..params };
        let call = call.params(&params).binds([Slot::Input(0), Slot::Output(0)]);
        cx.call(call.finish(Some(Finish::default())));
    }
}
