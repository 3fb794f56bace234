//! The norm over several values, and clipping by a norm. Shader: `clip.wgsl`.

use super::common::*;
use crate::array::{spread_elements, sum_of};
use crate::error::Setting;
use crate::kernel::Bind;

pub(super) static SHADER: Shader = built_in!("clip", "../../shaders/clip.wgsl");

crate::params! {
    struct SquaresParams { quads: u32, tail: u32, groups: u32, first: u32 }
}

crate::params! {
    struct ClipParams { n: u32, limit: f32 }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("global_norm", Gradient::Yes, "f32"),
        OperatorInfo::new("clip_by_norm", Gradient::Yes, "f32"),
    ],
    shaders: &[&SHADER],
};

/// `sqrt(sum of x^2)` over all elements of all inputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct GlobalNorm;

/// `x limit / max(norm, limit)` over `x, norm`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClipByNorm {
    pub limit: f32,
}

/// Bytes of a partial sum: one for each class of elements, and one unused.
const PART: u64 = 16;

/// Elements per thread before another workgroup takes part, and the most workgroups to a value: a GPU
/// wants many, a software driver pays for each one's barriers.
fn groups(profile: &DeviceProfile, quads: usize) -> usize {
    let (each, most) = match profile.kind {
        DeviceKind::Gpu => (4, 1024),
        DeviceKind::Cpu => (64, 64),
    };
    quads.div_ceil(256 * each).clamp(1, most)
}

/// Every input in ranges that a binding holds: what is bound, of how many elements, for how many workgroups.
fn ranges(profile: &DeviceProfile, inputs: &[TensorType]) -> Vec<(Bind, usize, usize)> {
    let largest = usize::try_from(profile.max_binding_bytes / 256 * 64).unwrap_or(usize::MAX).max(64);
    let of = |(input, ty): (usize, &TensorType)| {
        let n = ty.numel();
        let range = move |start: usize| {
            let elements = largest.min(n - start);
            let (offset, bytes) = (4 * start as u64, Some(4 * elements as u64));
            let bind = Bind { slot: Slot::Input(input), offset, bytes };
            (bind, elements, groups(profile, elements.div_ceil(4)))
        };
        (0..n).step_by(largest).map(range).collect::<Vec<_>>()
    };
    inputs.iter().enumerate().flat_map(of).collect()
}

impl Op for GlobalNorm {
    fn name(&self) -> &'static str {
        "global_norm"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Error::expect(!inputs.is_empty(), "number of values", 0, "a norm is of at least one")?;
        inputs.iter().try_for_each(|&ty| expect_dtype("the operand", ty, DType::F32))?;
        Ok(vec![TensorType::f32([])])
    }

    /// `dx = x dnorm / norm`, and 0 where the norm is 0.
    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        let (g, norm) = (cx.graph, cx.outputs[0]);
        let factor = || g.div(cx.grad(), g.add(norm, g.equal(norm, g.scalar_constant(0.0))?)?);
        Some(factor().and_then(|factor| cx.needed(|i| g.mul(cx.inputs[i], factor))))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let ranges = ranges(cx.profile, cx.inputs);
        let count: usize = ranges.iter().map(|range| range.2).sum();
        let parts = cx.scratch(PART * count as u64);
        let mut first = 0;
        for (bind, elements, groups) in ranges {
            let [quads, tail] = [elements / 4, elements % 4].map(word);
            let params = SquaresParams { quads, tail, groups: word(groups), first: word(first) };
            // Elements of unusual size are gone through twice.
            let call = KernelCall::new(&SHADER, "squares")
                .params(&params)
                .bind(bind)
                .bind(parts)
                .loops(2 * (elements / 4).div_ceil(256 * groups) + 9)
                .grid(Grid::linear(groups, 1));
            cx.call(call);
            first += groups;
        }
        let call = KernelCall::new(&SHADER, "norm")
            .params(&Length { n: word(count) })
            .binds([parts, Slot::Output(0)])
            .loops(count.div_ceil(256) + 9);
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let squares = |x: &&Array| x.data.iter().map(|v| v * v).sum::<f64>();
        vec![Array::full([], cx.inputs.iter().map(squares).sum::<f64>().sqrt())]
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let count = inputs.len();
        Some(Box::new(move |cx| {
            let squares = |input: usize| sum_of(cx.inputs.f32(input), &|x| f64::from(x) * f64::from(x));
            cx.results[0][0] = (0..count).map(squares).sum::<f64>().sqrt() as f32;
        }))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let norm = results[0].data[0];
        if norm > 0.99 * f64::from(f32::MAX) {
            return vec![vec![f64::INFINITY]];
        }
        // Every sum on an element's way rounds by half a unit: of a thread, of its lanes and workgroup, of
        // the parts. The root halves what they lose; it is good to five units itself, as is the smaller
        // class that is added as a root's square.
        let n = cx.inputs.iter().map(|x| x.data.len() as f64).sum::<f64>();
        let sums = (n / 1024.0).min(64.0) + n / 65_536.0 + cx.inputs.len() as f64 / 256.0 + 24.0;
        vec![vec![(0.25 * sums + 12.0) * EPS * norm + n.sqrt() * FLUSH]]
    }
}

impl Op for ClipByNorm {
    fn name(&self) -> &'static str {
        "clip_by_norm"
    }

    fn attributes(&self) -> String {
        format!("{}", self.limit)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the operand", inputs[0], DType::F32)?;
        expect_dtype("the norm", inputs[1], DType::F32)?;
        if inputs[1].numel() != 1 {
            return Err(Error::NotScalar { name: "the norm".to_owned(), shape: inputs[1].shape });
        }
        check_limit(self.limit)?;
        Ok(vec![inputs[0]])
    }

    fn in_place(&self, _: &[TensorType]) -> Vec<usize> {
        vec![0]
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(self.gradients(cx))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let quads = cx.outputs[0].numel().div_ceil(4);
        let call = KernelCall::new(&SHADER, cx.entry(["clip", "clip_in_place"]))
            .binds(cx.operands())
            .params(&ClipParams { n: word(quads), limit: self.limit })
            .elementwise("n", quads, 4);
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (norm, limit) = (cx.inputs[1].data[0], f64::from(self.limit));
        vec![cx.inputs[0].map(|x| match norm {
            _ if !(norm as f32).is_finite() => f64::NAN,
            _ if norm > limit => x * limit / norm,
            _ => x,
        })]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let limit = self.limit;
        Some(Box::new(move |cx| {
            let (norm, x) = (cx.inputs.f32(1)[0], cx.in_place.is_none().then(|| cx.inputs.f32(0)));
            // f32 may not hold it.
            let factor = match norm {
                _ if !norm.is_finite() => f64::NAN,
                _ if norm > limit => f64::from(limit) / f64::from(norm),
                _ => 1.0,
            };
            spread_elements([&mut cx.results[0]], &|range, [y]| {
                if let Some(x) = x {
                    y.copy_from_slice(&x[range]);
                }
                if factor != 1.0 {
                    y.iter_mut().for_each(|y| *y = (f64::from(*y) * factor) as f32);
                }
            });
        }))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let (norm, limit) = (cx.inputs[1].data[0], f64::from(self.limit));
        if norm <= limit {
            return within(0.0, results);
        }
        // The reciprocal and two products round; the element, also over the norm, may flush.
        vec![results[0].data.iter().map(|y| 4.0 * EPS * y.abs() + 2.0 * (1.0 + limit) * FLUSH).collect()]
    }
}

impl ClipByNorm {
    /// With `f = limit / m`, `m = max(norm, limit)`: `dx = f dy`, and where the norm is past the limit
    /// `dnorm = -f / m * sum of x dy`.
    fn gradients(&self, cx: &Backward<'_>) -> Result<Vec<Option<Value>>> {
        let (g, dy) = (cx.graph, cx.grad());
        let [x, norm] = [cx.inputs[0], cx.inputs[1]];
        let limit = g.scalar_constant(self.limit);
        let scalar = g.reshape(norm, Shape::scalar())?;
        let most = g.maximum(scalar, limit)?;
        let factor = g.div(limit, most)?;
        cx.needed(|input| {
            if input == 0 {
                return g.mul(dy, factor);
            }
            let slope = g.neg(g.mul(g.div(factor, most)?, g.greater(scalar, limit)?)?)?;
            let along = g.sum(g.mul(x, dy)?, &[], false)?;
            g.reshape(g.mul(slope, along)?, g.shape_of(norm))
        })
    }
}

/// Fails unless a limit is a number that gradients can be held to.
pub(crate) fn check_limit(limit: f32) -> Result<()> {
    Setting::normal("limit", limit).check()
}
