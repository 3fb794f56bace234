//! The norm over several values, and clipping by a norm. Shader: `clip.wgsl`.

use std::any::Any;
use std::ops::Range;

use super::common::*;
use crate::array::{spread_elements, sum_of};
use crate::error::Setting;
use crate::graph::Run;
use crate::kernel::Bind;

pub(super) static SHADER: Shader = built_in!("clip", "../../shaders/clip.wgsl", "../../shaders/limit.wgsl");

crate::params! {
    struct SquaresParams {
        ends_0: [u32; 4], ends_1: [u32; 4], ends_2: [u32; 4], ends_3: [u32; 4], ends_4: [u32; 4], ends_5: [u32; 4],
        values: u32, alignment: u32, groups: u32, first: u32,
    }
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

/// `sqrt(sum of x^2)` over all elements of so many inputs.
#[derive(Clone, Copy, Debug)]
pub(super) struct GlobalNorm(pub usize);

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

/// How many values side by side a call goes through.
const VALUES: usize = 24;

/// Values that a call sums the squares of.
struct Squares {
    bind: Bind,
    /// Where each ends, in elements from the first one of the first.
    ends: Vec<usize>,
    alignment: usize,
    groups: usize,
}

impl Squares {
    fn call(&self, first: usize) -> KernelCall {
        let all = *self.ends.last().unwrap_or(&0);
        let ends = |k: usize| std::array::from_fn(|i| word(*self.ends.get(4 * k + i).unwrap_or(&all)));
        let [values, alignment, groups, first] =
            [self.ends.len(), self.alignment, self.groups, first].map(word);
        let params = SquaresParams {
            ends_0: ends(0),
            ends_1: ends(1),
            ends_2: ends(2),
            ends_3: ends(3),
            ends_4: ends(4),
            ends_5: ends(5),
            values,
            alignment,
            groups,
            first,
        };
        // Elements of unusual size are gone through twice, and each value may take an iteration more.
        let loops = 2 * (all.div_ceil(4 * 256 * self.groups) + 2 * self.ends.len()) + 9;
        KernelCall::new(&SHADER, "squares")
            .params(&params)
            .bind(self.bind)
            .loops(loops)
            .grid(Grid::linear(self.groups, 1))
    }
}

/// Every input: those that lie side by side together, and large ones in ranges that a binding holds.
fn squares(cx: &Lowering<'_>) -> Vec<Squares> {
    let (profile, runs) = (cx.profile, cx.runs());
    let largest = usize::try_from(profile.max_binding_bytes / 256 * 64).unwrap_or(usize::MAX).max(64);
    let made = |slot: Slot, start: usize, ends: Vec<usize>, alignment: usize| {
        let elements = *ends.last().unwrap_or(&0);
        let bind = Bind { slot, offset: 4 * start as u64, bytes: Some(4 * elements as u64) };
        Squares { bind, ends, alignment, groups: groups(profile, elements.div_ceil(4)) }
    };
    let of = |run: &Run| {
        if let &[position] = &run.positions[..] {
            let n = cx.inputs[position].numel();
            let range = |start: usize| made(run.slots[0], start, vec![largest.min(n - start)], 4);
            return (0..n).step_by(largest).map(range).collect::<Vec<_>>();
        }
        let mut start = 0usize;
        let mut together = |positions: &[usize]| {
            let mut end = start;
            let ends = positions.iter().map(|&position| {
                end = end.next_multiple_of(run.alignment) + cx.inputs[position].numel();
                end - start
            });
            let squares = made(run.slots[0], start, ends.collect(), run.alignment);
            start = end.next_multiple_of(run.alignment);
            squares
        };
        run.positions.chunks(VALUES).map(&mut together).collect()
    };
    runs.iter().flat_map(of).collect()
}

/// What clipping by a norm makes of a number, and how far kernels may be off.
pub(super) fn limited(x: f64, norm: f64, limit: f64) -> (f64, f64) {
    match norm {
        _ if is_within(norm, limit) => (x, 0.0),
        _ if !(norm as f32).is_finite() => (f64::NAN, 0.0),
        // The reciprocal and two products round; the element, also over the norm, may flush.
        _ => {
            let y = x * limit / norm;
            (y, 4.0 * EPS * y.abs() + 2.0 * (1.0 + limit) * FLUSH)
        }
    }
}

/// Whether numbers stay as they are.
pub(super) fn is_within(norm: f64, limit: f64) -> bool {
    (norm as f32).is_finite() && norm <= limit
}

/// What f32 numbers are multiplied by; f32 may not hold it.
pub(super) fn limiting(norm: f32, limit: f32) -> f64 {
    match (f64::from(norm), f64::from(limit)) {
        (norm, limit) if is_within(norm, limit) => 1.0,
        (norm, limit) if norm.is_finite() => limit / norm,
        _ => f64::NAN,
    }
}

/// The limit of an operator, if that is what it holds its operand to.
pub(crate) fn limit_of(op: &dyn Op) -> Option<f32> {
    let op: &dyn Any = op;
    op.downcast_ref::<ClipByNorm>().map(|clip| clip.limit)
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

    /// Values that lie side by side for an update.
    fn packs(&self) -> Vec<Range<usize>> {
        std::iter::once(0..self.0).collect()
    }

    fn follows_packs(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let all = squares(cx);
        let count: usize = all.iter().map(|squares| squares.groups).sum();
        let parts = cx.scratch(PART * count as u64);
        let mut first = 0;
        for squares in all {
            cx.call(squares.call(first).bind(parts));
            first += squares.groups;
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
        let values = cx.inputs.len() as f64;
        let sums = (n / 1024.0).min(64.0) + n / 65_536.0 + values.min(VALUES as f64) + values / 256.0 + 24.0;
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
        vec![cx.inputs[0].map(|x| limited(x, norm, limit).0)]
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let limit = self.limit;
        Some(Box::new(move |cx| {
            let (norm, x) = (cx.inputs.f32(1)[0], cx.in_place.is_none().then(|| cx.inputs.f32(0)));
            let factor = limiting(norm, limit);
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
        vec![cx.inputs[0].data.iter().map(|&x| limited(x, norm, limit).1).collect()]
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
