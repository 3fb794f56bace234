//! Work that shows what a device does at most: a copy, and multiply-adds of nothing but registers. Shader: `probe.wgsl`.

use pulp::{Simd, WithSimd};

use super::common::*;
use crate::array::{spread, vectors};
use crate::graph::Compute;

static SHADER: Shader = built_in!("probe", "../../shaders/probe.wgsl");

crate::params! {
    struct ProbeParams { n: u32, loops: u32, factor: f32, term: f32 }
}

pub(super) static FAMILY: Family = Family { operators: &[], shaders: &[&SHADER] };

/// By what the sums are multiplied and what is added: they come closer to 1, and no loop is without effect.
const FACTOR: f32 = 0.999;
const TERM: f32 = 0.001;

/// Sums of an element.
const SUMS: usize = 8;
/// Multiply-adds of each in a turn of the loop.
const STEPS: usize = 4;

/// Elements that one thread of the CPU works on at a time.
const COPIED: usize = 1 << 18;
const COMPUTED: usize = 1 << 8;

/// A probe over an operand of `[n, 4]`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// `y = x`.
    Copy,
    /// `y` is the sum of eight numbers, each of which is multiplied and added to four times as often as it loops.
    MultiplyAdd { loops: usize },
}

impl Probe {
    fn loops(self) -> usize {
        match self {
            Probe::Copy => 0,
            Probe::MultiplyAdd { loops } => loops,
        }
    }
}

impl Op for Probe {
    fn name(&self) -> &'static str {
        match self {
            Probe::Copy => "copy",
            Probe::MultiplyAdd { .. } => "multiply_add",
        }
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = inputs[0].shape;
        expect_rank(shape, shape.rank() == 2 && shape.dims()[1] == 4, "2 ([n, 4])")?;
        expect_dtype("the operand", inputs[0], DType::F32)?;
        Ok(vec![inputs[0]])
    }

    fn multiply_adds(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        (inputs[0].numel() * SUMS * STEPS * self.loops()) as u64
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let n = cx.outputs[0].shape.dims()[0];
        let params = ProbeParams { n: word(n), loops: word(self.loops()), factor: FACTOR, term: TERM };
        let call = KernelCall::new(&SHADER, self.name()).params(&params).grid(Grid::linear(n, 64));
        cx.call(call.loops(self.loops()).binds([Slot::Input(0), Slot::Output(0)]));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let &Probe::MultiplyAdd { loops } = self else { return vec![cx.inputs[0].clone()] };
        let (factor, term) = (f64::from(FACTOR), f64::from(TERM));
        let end = |start: f64| (0..STEPS * loops).fold(start, |sum, _| sum * factor + term);
        vec![cx.inputs[0].map(|x| (0..SUMS).map(|k| end(x + k as f64)).sum())]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let loops = self.loops();
        Some(match self {
            Probe::Copy => Box::new(|cx| {
                each_part(cx, COPIED, &|x, y| y.copy_from_slice(x));
            }),
            Probe::MultiplyAdd { .. } => Box::new(move |cx| {
                each_part(cx, COMPUTED, &|x, y| vectors(Sums { x, y, loops }));
            }),
        })
    }

    // Every step of a sum rounds it, or its product and the sum; what was off before shrinks.
    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let Probe::MultiplyAdd { loops } = self else { return vec![vec![0.0; results[0].data.len()]] };
        let steps = (2 * STEPS * loops + SUMS) as f64;
        let largest = |x: f64| x.abs() + SUMS as f64;
        vec![cx.inputs[0].map(|x| steps * EPS * SUMS as f64 * largest(x) + FLUSH).data]
    }
}

/// Has threads work on parts of the operand and the result.
fn each_part(cx: &mut Compute<'_>, part: usize, f: &(dyn Fn(&[f32], &mut [f32]) + Sync)) {
    let x = cx.inputs.f32(0);
    spread(0..x.len(), part, [1], [&mut cx.results[0]], &|range, [y]| f(&x[range], y));
}

/// The sums of some elements, as many at a time as a vector holds.
struct Sums<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    loops: usize,
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = size_of::<S::f32s>() / size_of::<f32>();
        let [factor, term] = [FACTOR, TERM].map(|number| simd.splat_f32s(number));
        for (x, y) in self.x.chunks(lanes).zip(self.y.chunks_mut(lanes)) {
            let x = simd.partial_load_f32s(x);
            let mut sums: [S::f32s; SUMS] =
                std::array::from_fn(|k| simd.add_f32s(x, simd.splat_f32s(k as f32)));
            for _ in 0..STEPS * self.loops {
                sums = sums.map(|sum| simd.mul_add_e_f32s(sum, factor, term));
            }
            let sum = sums.into_iter().reduce(|total, sum| simd.add_f32s(total, sum));
            simd.partial_store_f32s(y, sum.unwrap_or(x));
        }
    }
}
