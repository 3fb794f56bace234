//! The forward operators: normalisation by a group's own statistics or by given ones, and the
//! update of running statistics.

use super::backward::{ChannelGrad, NormGrad};
use super::geometry::{DOWN, Geometry};
use super::{ELEMENTS, Kind, SHADER};
use crate::ops::common::*;

crate::params! {
    struct RunningParams { n: u32, momentum: f32, unbiased: f32 }
}

/// Rows of the statistics: mean, variance, anchor, shift, rstd, size; anchor and rstd are those of `size x`.
pub(super) const ROWS: usize = 6;

/// Kernels work on groups whose elements are this far from the anchor, or further, at the size
/// [`DOWN`], where neither differences nor squares overflow.
pub(super) const FAR: f64 = (1u64 << 47) as f64;
/// They halve everything where a given mean is this large.
pub(super) const FAR_MEAN: f64 = (1u128 << 100) as f64;

/// What all normalising operators know: the kind, which of scale and shift there are, and epsilon.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Form {
    pub kind: Kind,
    pub scale: bool,
    pub shift: bool,
    pub epsilon: f32,
}

/// Normalisation by each group's own mean and variance, or by given ones; inputs x, given mean and
/// variance if there are, and, where there are, scale and shift; outputs y and the statistics.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Normalize(pub(in crate::ops) Form);

/// New running statistics; inputs running mean, running variance, and a batch's statistics of
/// `count` elements each.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct RunningStats {
    pub momentum: f32,
    pub count: usize,
}

/// Running statistics that kernels move: where they are, in one binding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub slot: Slot,
    /// How many elements after the means the variances begin.
    pub variances: usize,
    pub momentum: f32,
    /// The momentum times what makes a variance unbiased.
    pub unbiased: f32,
}

/// Refuses the operand `name` unless it holds numbers in the shape `wanted`; `what` says who wants it.
fn expect(name: &str, what: &'static str, found: TensorType, wanted: Shape) -> Result<()> {
    expect_float(name, found)?;
    same_shape(what, wanted, found.shape)
}

impl Form {
    /// Which of scale and shift there are, and epsilon, if mean and variance are given: each element is then
    /// made of that of x alone.
    pub fn given(&self) -> Option<([bool; 2], f32)> {
        self.is_given().then_some(([self.scale, self.shift], self.epsilon))
    }

    /// Whether mean and variance are operands.
    pub fn is_given(&self) -> bool {
        self.kind == Kind::Inference
    }

    /// The inputs of scale and shift.
    pub(super) fn affine(&self) -> [Option<usize>; 2] {
        let first = if self.is_given() { 3 } else { 1 };
        [self.scale.then_some(first), self.shift.then_some(first + usize::from(self.scale))]
    }

    /// A call with the constants and bindings that all forward kernels share: x, scale and shift.
    fn call(&self, shader: &'static Shader, entry: &'static str) -> KernelCall {
        // An absent operand is never read.
        let [scale, shift] = self.affine().map(|input| Slot::Input(input.unwrap_or(0)));
        KernelCall::new(shader, entry)
            .constant("SCALE", f64::from(self.scale))
            .constant("SHIFT", f64::from(self.shift))
            .binds([Slot::Input(0), scale, shift])
            .finish(Some(Finish::default()))
    }

    /// Adds the calls, which also move the running statistics if there are any.
    pub(super) fn lower(&self, cx: &mut Lowering<'_>, running: Option<Running>) -> Result<()> {
        let &Form { kind, epsilon, .. } = self;
        let (geometry, device) = (kind.geometry(cx.inputs[0].shape)?, cx.profile.kind);
        let outputs = [Slot::Output(0), Slot::Output(1)];
        if self.is_given() {
            let call = self.call(&ELEMENTS, "infer").binds([Slot::Input(1), Slot::Input(2)]).binds(outputs);
            return cx.only(geometry.elementwise(call, device, epsilon));
        }
        let walk = geometry.group_walk(device, epsilon);
        let walk = running.map_or(walk, |r| walk.tracking(r.variances, r.momentum, r.unbiased));
        let tracked = running.map(|running| running.slot);
        let ([whole, apply], part) = match walk.route.tree {
            true => ([["tree", "tree_tracked"], ["apply_apart", "apply_apart_tracked"]], "moments_tree"),
            false => ([["lanes", "lanes_tracked"], ["apply_parts", "apply_parts_tracked"]], "moments"),
        };
        let call = |entries: [&'static str; 2]| {
            let call = self.call(&SHADER, entries[usize::from(tracked.is_some())]);
            call.constant("BY_ELEMENT", f64::from(geometry.by_element())).binds(outputs).binds(tracked)
        };
        if walk.fused() {
            return cx.only(walk.parts(call(whole)));
        }
        let parts = walk.scratch(cx);
        let part = KernelCall::new(&SHADER, part).bind(Slot::Input(0)).binds(parts.halves());
        walk.split(cx, part, call(apply).bind(parts.slot))
    }

    /// Scale and shift of a channel.
    fn factors(&self, cx: &Reference<'_>, channel: usize) -> (f64, f64) {
        let [scale, shift] = self.affine().map(|input| input.map(|k| cx.inputs[k].data[channel]));
        (scale.unwrap_or(1.0), shift.unwrap_or(0.0))
    }
}

/// The gradients with respect to x, scale and shift, in the places that the operator's inputs have.
fn gradients(form: Form, cx: &Backward<'_>) -> Result<Vec<Option<Value>>> {
    if cx.grads.get(1).is_some_and(Option::is_some) {
        let wrt = cx.graph.recording().describe(cx.inputs[0]);
        return Err(Error::NoGradient { op: form.kind.name(), wrt });
    }
    let mut found = vec![None; cx.inputs.len()];
    let Some(dy) = cx.grads[0] else { return Ok(found) };
    let (g, x, stats) = (cx.graph, cx.inputs[0], cx.outputs[1]);
    let geometry = form.kind.geometry(g.shape_of(x))?;
    let [scale, shift] = form.affine();

    // Those of shift and scale.
    let mut sums = Vec::new();
    if cx.needs[0] {
        let mut inputs = vec![x, stats, dy];
        inputs.extend(scale.map(|i| cx.inputs[i]));
        let mut made = g.apply(NormGrad(form), &inputs)?;
        sums = made.split_off(1);
        found[0] = made.pop();
    }
    for (input, number) in [(scale, 1), (shift, 0)] {
        let Some(input) = input.filter(|&i| cx.needs[i]) else { continue };
        if sums.is_empty() {
            sums = g.apply(ChannelGrad(form.kind), &[x, stats, dy])?;
        }
        // A group's sums are its channel's in that sample.
        let (mut whole, channels) = (sums[number], geometry.channels());
        if g.shape_of(whole).numel() != channels {
            whole = g.sum(g.reshape(whole, [geometry.samples, channels])?, &[0], false)?;
        }
        let shape = form.kind.affine_shape(g.shape_of(x))?;
        found[input] = Some(if g.shape_of(whole) == shape { whole } else { g.reshape(whole, shape)? });
    }
    Ok(found)
}

/// Mean and variance of each group, by two passes, the median of its first, middle and last element, and
/// the size that kernels work at; all NaN where one element is not finite.
fn statistics(x: &Array, geometry: Geometry) -> [Vec<f64>; 4] {
    let mut groups: Vec<_> = (0..geometry.groups()).map(|_| Vec::with_capacity(geometry.count())).collect();
    x.data.iter().enumerate().for_each(|(i, &value)| groups[geometry.group_of(i)].push(value));
    let of = |group: &Vec<f64>| {
        let count = group.len() as f64;
        let mean = group.iter().sum::<f64>() / count;
        let variance = group.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        if !mean.is_finite() {
            return [f64::NAN; 4];
        }
        let [a, b, c] = [0, group.len() / 2, group.len() - 1].map(|place| group[place]);
        let anchor = f64::max(a.min(b), a.max(b).min(c));
        let far = group.iter().any(|value| f64::from((value - anchor).abs() as f32) >= FAR);
        [mean, variance, anchor, if far { DOWN } else { 1.0 }]
    };
    let all: Vec<[f64; 4]> = groups.iter().map(of).collect();
    [0, 1, 2, 3].map(|row| all.iter().map(|group| group[row]).collect())
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        self.0.kind.name()
    }

    fn attributes(&self) -> String {
        let kind = self.0.kind.attributes();
        let separator = if kind.is_empty() { "" } else { ", " };
        format!("{kind}{separator}epsilon={:e}", self.0.epsilon)
    }

    fn precision(&self) -> Precision {
        Precision::Kept
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (x, Form { kind, .. }) = (inputs[0], self.0);
        expect_float("the operand", x)?;
        let wanted = kind.affine_shape(x.shape)?;
        let [scale, shift] = self.0.affine();
        let given = |input: usize| self.0.is_given().then_some(input);
        for (input, name, what) in [
            (scale, "the scale", "the scale needs this shape"),
            (shift, "the shift", "the shift needs this shape"),
            (given(1), "the mean", "mean and variance need this shape"),
            (given(2), "the variance", "mean and variance need this shape"),
        ] {
            input.map_or(Ok(()), |input| expect(name, what, inputs[input], wanted))?;
        }
        let geometry = kind.geometry(x.shape)?;
        kind.check_count(x.shape, geometry)?;
        Ok(vec![x, TensorType::f32([ROWS, geometry.groups()])])
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(gradients(self.0, cx))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        self.0.lower(cx, None)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let Ok(geometry) = self.0.kind.geometry(x.shape) else { return Vec::new() };
        let [mean, variance, anchor, size] = match self.0.is_given() {
            true => {
                let [mean, variance] = [1, 2].map(|input| cx.inputs[input].data.clone());
                let size = mean.iter().map(|mean| if mean.abs() >= FAR_MEAN { 0.5 } else { 1.0 }).collect();
                [mean.clone(), variance, mean, size]
            }
            false => statistics(x, geometry),
        };
        let epsilon = f64::from(self.0.epsilon);
        let rstd: Vec<f64> = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
        let value = |i: usize| {
            let group = geometry.group_of(i);
            let (scale, shift) = self.0.factors(cx, geometry.channel_of(i));
            (x.data[i] - mean[group]) * rstd[group] * scale + shift
        };
        let y = Array::from_fn(x.shape, value);
        let shift = |k: usize| if self.0.is_given() { 0.0 } else { (anchor[k] - mean[k]) * rstd[k] };
        let shift = (0..mean.len()).map(shift).collect();
        let rstd = rstd.iter().zip(&size).map(|(rstd, size)| rstd / size).collect();
        let anchor = anchor.iter().zip(&size).map(|(anchor, size)| anchor * size).collect();
        vec![y, Array::new(cx.outputs[1].shape, [mean, variance, anchor, shift, rstd, size].concat())]
    }

    /// The operand by groups, and a few numbers for each of these.
    fn reference_scratch(&self, inputs: &[TensorType], outputs: &[TensorType]) -> u64 {
        let operand = if self.0.is_given() { 0 } else { inputs[0].numel() };
        8 * (operand + 2 * outputs[1].numel()) as u64
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (op, geometry) = (*self, self.0.kind.geometry(inputs[0].shape).ok()?);
        Some(Box::new(move |cx| op.run(geometry, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let Ok(geometry) = self.0.kind.geometry(cx.inputs[0].shape) else { return Vec::new() };
        if self.0.is_given() {
            self.given_bounds(cx, results, geometry)
        } else {
            self.bounds(cx, results, geometry)
        }
    }
}

/// Mean, variance, anchor, shift and rstd of x itself, and size of a group.
pub(super) fn row(stats: &Array, group: usize) -> [f64; ROWS] {
    let groups = stats.data.len() / ROWS;
    let [mean, variance, anchor, shift, rstd, size] =
        std::array::from_fn(|row| stats.data[row * groups + group]);
    [mean, variance, anchor / size, shift, rstd * size, size]
}

impl Normalize {
    /// The errors where statistics are the groups' own.
    fn bounds(&self, cx: &Reference<'_>, results: &[Array], geometry: Geometry) -> Vec<Vec<f64>> {
        let x = cx.inputs[0];
        let stats = &results[1];
        let errors = self.errors(x, geometry, stats);
        let (u, n) = (0.5 * EPS, geometry.groups());

        let mut of_stats = vec![FLUSH; ROWS * n];
        for (k, &[mean_error, variance_error, rstd_error]) in errors.iter().enumerate() {
            let [mean, variance, anchor, shift, rstd, size] = row(stats, k);
            let flush = FLUSH / size;
            // Anchor plus offset round once more.
            of_stats[k] += mean_error + u * mean.abs() + u * (mean - anchor).abs() + flush;
            of_stats[n + k] += variance_error + 5.0 * u * variance;
            if (variance / f64::from(f32::MAX) - 1.0).abs() < 0.01 {
                // One side of f32's limit or the other.
                of_stats[n + k] = f64::INFINITY;
            }
            // The anchor's row may be flushed, no more.
            of_stats[3 * n + k] += (mean_error + 2.0 * flush) * rstd + (rstd_error + 2.0 * u) * shift.abs();
            of_stats[4 * n + k] += rstd_error * rstd / size;
        }
        let bound = |i: usize| {
            let k = geometry.group_of(i);
            let [mean, _, anchor, shift, rstd, size] = row(stats, k);
            let [mean_error, _, rstd_error] = errors[k];
            let (scale, term) = self.0.factors(cx, geometry.channel_of(i));
            let (d, xhat) = ((x.data[i] - anchor).abs(), ((x.data[i] - mean) * rstd).abs());
            let (scale, shift, y) = (scale.abs(), shift.abs(), results[0].data[i].abs());
            // rstd is one factor of all of xhat; x - anchor, rstd scale and their product round, as
            // do offset rstd and its product with the scale; then the two sums.
            let of_xhat = xhat * rstd_error + u * (3.0 * d * rstd + 2.0 * shift) + mean_error * rstd;
            let rounding = u * (scale * shift + term.abs() + y);
            let flushed = 4.0 + (2.0 * rstd / size + 1.0) * scale + xhat + d;
            scale * of_xhat + rounding + flushed * FLUSH
        };
        vec![(0..x.data.len()).map(bound).collect(), of_stats]
    }

    /// The errors of each group's mean and variance, and the relative one of its rstd.
    ///
    /// The offset of the mean from the anchor is a sum whose terms go through `chain` additions; a
    /// merge of blocks has some more roundings, which grow with the logarithm of their number.
    /// Rounding x - anchor and the deviations moves each element, which moves the variance by at
    /// most twice the deviation times that (Cauchy-Schwarz); squares, additions and merges add
    /// their own roundings, all of positive terms; the means that blocks are merged by are off as
    /// the mean is.
    fn errors(&self, x: &Array, geometry: Geometry, stats: &Array) -> Vec<[f64; 3]> {
        let (u, count) = (0.5 * EPS, geometry.count() as f64);
        let chain = geometry.chain(geometry.group_nest());
        let mut spread = vec![0.0; geometry.groups()];
        for (i, &value) in x.data.iter().enumerate() {
            let k = geometry.group_of(i);
            spread[k] += (value - row(stats, k)[2]).abs() / count;
        }
        let of = |(k, spread): (usize, &f64)| {
            let [mean, variance, anchor, _, _, size] = row(stats, k);
            let flush = FLUSH / size;
            let deviation = variance.sqrt();
            let from_anchor = (variance + (mean - anchor).powi(2)).sqrt();
            let of_mean = u * (2.0 * chain + 16.0) * spread + (chain + 4.0) * flush;
            let of_variance = u * (chain + 24.0) * variance
                + 2.0 * deviation * (u * (from_anchor + deviation) + of_mean)
                + 2.0 * of_mean * of_mean
                + (chain + 4.0) * flush / size;
            let share = of_variance / (variance + f64::from(self.0.epsilon));
            // Adding epsilon rounds, and WGSL grants an inverse square root two units.
            let rstd = 0.5 * share * (1.0 + share) + 5.0 * u;
            [of_mean, of_variance, rstd]
        };
        spread.iter().enumerate().map(of).collect()
    }

    /// The errors where statistics are given.
    fn given_bounds(&self, cx: &Reference<'_>, results: &[Array], geometry: Geometry) -> Vec<Vec<f64>> {
        let x = cx.inputs[0];
        let (stats, n, u) = (&results[1], geometry.groups(), 0.5 * EPS);
        // Adding epsilon rounds, which halves; an inverse square root has two units; a variance
        // or epsilon that is flushed is missing.
        let rstd_error = |k: usize| {
            let [_, variance, ..] = row(stats, k);
            5.0 * u + FLUSH / (variance + f64::from(self.0.epsilon))
        };
        let mut of_stats = vec![FLUSH; ROWS * n];
        (0..n).for_each(|k| of_stats[4 * n + k] += rstd_error(k) * stats.data[4 * n + k]);
        let bound = |i: usize| {
            let channel = geometry.channel_of(i);
            let [mean, _, _, _, rstd, size] = row(stats, channel);
            let (scale, term) = self.0.factors(cx, channel);
            let scale = scale.abs();
            let (d, y) = ((x.data[i] - mean).abs(), results[0].data[i].abs());
            let rounding = scale * d * rstd * (3.0 * u + rstd_error(channel)) + 2.0 * u * (term.abs() + y);
            rounding + (4.0 + (2.0 * rstd / size + 1.0) * scale + d * (1.0 + rstd)) * FLUSH
        };
        vec![(0..x.data.len()).map(bound).collect(), of_stats]
    }
}

impl Op for RunningStats {
    fn name(&self) -> &'static str {
        "update_running_stats"
    }

    fn attributes(&self) -> String {
        format!("momentum={}", self.momentum)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let wanted = Shape::from([inputs[2].shape.dims()[1]]);
        let what = "running statistics need one number per channel";
        expect("the running mean", what, inputs[0], wanted)?;
        expect("the running variance", what, inputs[1], wanted)?;
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &[0, 1]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (n, momentum, unbiased) = (cx.inputs[0].numel(), self.momentum, self.unbiased_momentum());
        let call = KernelCall::new(&ELEMENTS, "running")
            .params(&RunningParams { n: word(n), momentum, unbiased })
            .binds([2, 0, 1].map(Slot::Input))
            .grid(Grid::linear(n, 64));
        cx.only(call)
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let momentum = f64::from(self.momentum);
        self.mixed(cx, |old, new| (1.0 - momentum) * old + momentum * new).into()
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let op = *self;
        Some(Box::new(move |cx| op.run(cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let momentum = f64::from(self.momentum);
        // 1 - momentum and the factor of the new value round, then the products and the sum.
        let bound = |old: f64, new: f64| {
            2.0 * EPS * ((1.0 - momentum) * old.abs() + momentum * new.abs()) + 4.0 * FLUSH
        };
        self.mixed(cx, bound).map(|array| array.data).into()
    }
}

impl RunningStats {
    /// The momentum times what makes a variance unbiased.
    pub fn unbiased_momentum(&self) -> f32 {
        (f64::from(self.momentum) * self.unbiased()) as f32
    }

    pub(super) fn unbiased(&self) -> f64 {
        self.count as f64 / (self.count as f64 - 1.0)
    }

    /// What `f` makes of each running statistic and its new value.
    fn mixed(&self, cx: &Reference<'_>, f: impl Fn(f64, f64) -> f64 + Sync) -> [Array; 2] {
        let stats = cx.inputs[2];
        [(0, 1.0), (1, self.unbiased())].map(|(number, factor)| {
            let old = cx.inputs[number];
            Array::from_fn(old.shape, |k| f(old.data[k], row(stats, k)[number] * factor))
        })
    }
}
