//! The forward operators: normalisation by a group's own statistics or by given ones, and the
//! update of running statistics.

use super::backward::{ChannelGrad, NormGrad};
use super::geometry::{Geometry, flag};
use super::{ELEMENTS, Kind, SHADER};
use crate::ops::common::*;

crate::params! {
    struct RunningParams { n: u32, momentum: f32, unbiased: f32 }
}

/// Rows of the statistics: mean, variance, anchor, shift, rstd.
pub(super) const ROWS: usize = 5;

/// What all normalising operators know: the kind, which of scale and shift there are, and epsilon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub kind: Kind,
    pub scale: bool,
    pub shift: bool,
    pub epsilon: f32,
}

/// Normalisation by each group's own mean and variance; inputs x and, where there are, scale and
/// shift; outputs y and the statistics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normalize(pub Form);

/// Normalisation by given statistics; inputs x, mean, variance and, where there are, scale and
/// shift; outputs y and the statistics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inference(pub Form);

/// New running statistics; inputs running mean, running variance, and a batch's statistics of
/// `count` elements each.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunningStats {
    pub momentum: f32,
    pub count: usize,
}

impl Form {
    /// The inputs of scale and shift, where the first of them would be input `first`.
    pub fn affine(&self, first: usize) -> (Option<usize>, Option<usize>) {
        (self.scale.then_some(first), self.shift.then_some(first + usize::from(self.scale)))
    }

    pub fn attributes(&self) -> String {
        let kind = self.kind.attributes();
        let separator = if kind.is_empty() { "" } else { ", " };
        format!("{kind}{separator}epsilon={:e}", self.epsilon)
    }

    /// Checks x, scale and shift.
    fn check(&self, inputs: &[TensorType], first: usize) -> Result<()> {
        expect_dtype("the operand", inputs[0], DType::F32)?;
        let wanted = self.kind.affine_shape(inputs[0].shape)?;
        let (scale, shift) = self.affine(first);
        let scale = scale.map(|i| (i, "the scale", "the scale needs this shape"));
        let shift = shift.map(|i| (i, "the shift", "the shift needs this shape"));
        for (input, name, what) in scale.into_iter().chain(shift) {
            expect_dtype(name, inputs[input], DType::F32)?;
            if inputs[input].shape != wanted {
                return Err(Error::shape_mismatch(what, wanted, inputs[input].shape));
            }
        }
        Ok(())
    }

    /// A call with the constants and bindings that all forward kernels share: x, scale and shift.
    fn call(&self, shader: &'static Shader, entry: &'static str, first: usize) -> KernelCall {
        let (scale, shift) = self.affine(first);
        // An absent operand is never read.
        let slot = |input: Option<usize>| Slot::Input(input.unwrap_or(0));
        KernelCall::new(shader, entry)
            .constant("SCALE", flag(self.scale))
            .constant("SHIFT", flag(self.shift))
            .binds([Slot::Input(0), slot(scale), slot(shift)])
    }

    /// Scale and shift of a channel.
    fn factors(&self, cx: &Reference<'_>, first: usize, channel: usize) -> (f64, f64) {
        let (scale, shift) = self.affine(first);
        let of = |input: Option<usize>, none: f64| input.map_or(none, |k| cx.inputs[k].data[channel]);
        (of(scale, 1.0), of(shift, 0.0))
    }
}

fn outputs(x: TensorType, geometry: Geometry) -> Vec<TensorType> {
    vec![x, TensorType::f32([ROWS, geometry.groups()])]
}

/// The gradients with respect to x, scale and shift, in the places that the operator's inputs have.
fn gradients(form: Form, frozen: bool, cx: &Backward<'_>, first: usize) -> Result<Vec<Option<Value>>> {
    if cx.grads.get(1).is_some_and(Option::is_some) {
        let wrt = cx.graph.recording().describe(cx.inputs[0]);
        return Err(Error::NoGradient { op: form.kind.name(), wrt });
    }
    let mut found = vec![None; cx.inputs.len()];
    let Some(dy) = cx.grads[0] else { return Ok(found) };
    let (g, x, stats) = (cx.graph, cx.inputs[0], cx.outputs[1]);
    let geometry = form.kind.geometry(g.shape_of(x))?;
    let (scale, shift) = form.affine(first);
    let needs = |input: Option<usize>| input.is_some_and(|i| cx.needs[i]);
    let affine = needs(scale) || needs(shift);

    let mut sums = None;
    if cx.needs[0] {
        let op = NormGrad { form, frozen };
        let mut inputs = vec![x, stats, dy];
        inputs.extend(scale.map(|i| cx.inputs[i]));
        let made = g.apply(op, &inputs)?;
        found[0] = Some(made[0]);
        if let [_, dshift, dscale] = made[..] {
            sums = Some([dshift, dscale]);
        }
    }
    if affine {
        let [dshift, dscale] = match sums {
            Some(sums) => sums,
            None => {
                let made = g.apply(ChannelGrad(form.kind), &[x, stats, dy])?;
                [made[0], made[1]]
            }
        };
        // A group's sums are its channel's in that sample.
        let whole = |sums: Value| -> Result<Value> {
            let channels = geometry.channels();
            let mut whole = sums;
            if g.shape_of(sums).numel() != channels {
                whole = g.sum(g.reshape(sums, [geometry.samples, channels])?, &[0], false)?;
            }
            let shape = form.kind.affine_shape(g.shape_of(x))?;
            if g.shape_of(whole) == shape { Ok(whole) } else { g.reshape(whole, shape) }
        };
        for (input, value) in [(scale, dscale), (shift, dshift)] {
            if let Some(input) = input.filter(|&i| cx.needs[i]) {
                found[input] = Some(whole(value)?);
            }
        }
    }
    Ok(found)
}

/// Mean and variance of each group, by two passes.
fn moments(x: &Array, geometry: Geometry) -> (Vec<f64>, Vec<f64>) {
    let count = geometry.count() as f64;
    let average = |term: &dyn Fn(usize) -> f64| {
        let mut sums = vec![0.0; geometry.groups()];
        (0..x.data.len()).for_each(|i| sums[geometry.group_of(i)] += term(i));
        sums.iter().map(|sum| sum / count).collect::<Vec<f64>>()
    };
    let mean = average(&|i| x.data[i]);
    let variance = average(&|i| (x.data[i] - mean[geometry.group_of(i)]).powi(2));
    (mean, variance)
}

/// The median of the first, middle and last element of each group.
fn anchors(x: &Array, geometry: Geometry) -> Vec<f64> {
    let mut members = vec![0; geometry.groups()];
    let mut picked = vec![[0.0; 3]; geometry.groups()];
    for (i, &value) in x.data.iter().enumerate() {
        let group = geometry.group_of(i);
        for (slot, place) in [0, geometry.count() / 2, geometry.count() - 1].into_iter().enumerate() {
            if members[group] == place {
                picked[group][slot] = value;
            }
        }
        members[group] += 1;
    }
    picked.into_iter().map(|[a, b, c]| f64::max(a.min(b), a.max(b).min(c))).collect()
}

/// What is known of a group's errors, absolute.
struct Errors {
    mean: f64,
    variance: f64,
    /// Relative.
    rstd: f64,
}

impl Op for Normalize {
    fn name(&self) -> &'static str {
        self.0.kind.name()
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.0.check(inputs, 1)?;
        let geometry = self.0.kind.geometry(inputs[0].shape)?;
        self.0.kind.check_count(inputs[0].shape, geometry)?;
        Ok(outputs(inputs[0], geometry))
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(gradients(self.0, false, cx, 1))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let Form { kind, epsilon, .. } = self.0;
        let geometry = kind.geometry(cx.inputs[0].shape)?;
        let nest = geometry.group_nest();
        let route = nest.route(cx.profile.kind);
        let params = geometry.group_params(route, epsilon);
        let outputs = [Slot::Output(0), Slot::Output(1)];
        if route.fused() {
            let call = self.0.call(&SHADER, if route.tree { "tree" } else { "lanes" }, 1);
            let call = call.constant("BY_ELEMENT", flag(geometry.by_element())).binds(outputs);
            cx.call(call.params(&params).loops(route.loops(nest)).grid(route.grid(nest)));
            return Ok(());
        }
        let parts = [cx.scratch(route.bytes(nest)), cx.scratch(route.bytes(nest))];
        let part = KernelCall::new(&SHADER, if route.tree { "moments_tree" } else { "moments" });
        let part = part.binds([Slot::Input(0)]).binds(parts).params(&params).loops(route.loops(nest));
        cx.call(part.grid(route.grid(nest)));
        let join = KernelCall::new(&SHADER, "join").binds([Slot::Input(0)]).binds(parts);
        let join = join.binds([Slot::Output(1)]).params(&params).loops(route.splits);
        cx.call(join.grid(Grid::linear(nest.n, 64)));
        let apply = self.0.call(&ELEMENTS, "apply", 1).binds([Slot::Output(1), Slot::Output(0)]);
        cx.call(geometry.elementwise(apply, cx.profile.kind, epsilon));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let x = cx.inputs[0];
        let Ok(geometry) = self.0.kind.geometry(x.shape) else { return Vec::new() };
        let (mean, variance) = moments(x, geometry);
        let anchor = anchors(x, geometry);
        let epsilon = f64::from(self.0.epsilon);
        let rstd: Vec<f64> = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
        let shift: Vec<f64> = (0..mean.len()).map(|k| (anchor[k] - mean[k]) * rstd[k]).collect();
        let value = |i: usize| {
            let group = geometry.group_of(i);
            let (scale, shift) = self.0.factors(cx, 1, geometry.channel_of(i));
            (x.data[i] - mean[group]) * rstd[group] * scale + shift
        };
        let y = Array::from_fn(x.shape, value);
        vec![y, Array::new(cx.outputs[1].shape, [mean, variance, anchor, shift, rstd].concat())]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let x = cx.inputs[0];
        let Ok(geometry) = self.0.kind.geometry(x.shape) else { return Vec::new() };
        let stats = Stats::new(&results[1]);
        let errors = self.errors(x, geometry, &stats);
        let (u, n) = (0.5 * EPS, geometry.groups());

        let mut of_stats = vec![FLUSH; ROWS * n];
        for (k, e) in errors.iter().enumerate() {
            let (mean, variance, anchor, shift, rstd) = stats.row(k);
            // Anchor plus offset round once more.
            of_stats[k] += e.mean + u * mean.abs() + u * (mean - anchor).abs();
            of_stats[n + k] += e.variance + 5.0 * u * variance;
            // The anchor's row may be flushed, no more.
            of_stats[3 * n + k] += (e.mean + 2.0 * FLUSH) * rstd + (e.rstd + 2.0 * u) * shift.abs();
            of_stats[4 * n + k] += e.rstd * rstd;
        }
        let bound = |i: usize| {
            let k = geometry.group_of(i);
            let (mean, _, anchor, shift, rstd) = stats.row(k);
            let (scale, term) = self.0.factors(cx, 1, geometry.channel_of(i));
            let (d, xhat) = ((x.data[i] - anchor).abs(), ((x.data[i] - mean) * rstd).abs());
            let (scale, shift, y) = (scale.abs(), shift.abs(), results[0].data[i].abs());
            // rstd is one factor of all of xhat; x - anchor, rstd scale and their product round, as
            // do offset rstd and its product with the scale; then the two sums.
            let of_xhat = xhat * errors[k].rstd + u * (3.0 * d * rstd + 2.0 * shift) + errors[k].mean * rstd;
            let rounding = u * (scale * shift + term.abs() + y);
            let flushed = 4.0 + (2.0 * rstd + 1.0) * scale + xhat + d;
            scale * of_xhat + rounding + flushed * FLUSH
        };
        vec![(0..x.data.len()).map(bound).collect(), of_stats]
    }
}

/// The rows of a statistics array.
pub(super) struct Stats<'a> {
    data: &'a [f64],
    groups: usize,
}

impl<'a> Stats<'a> {
    pub fn new(array: &'a Array) -> Self {
        Stats { data: &array.data, groups: array.data.len() / ROWS }
    }

    /// Mean, variance, anchor, shift and rstd of a group.
    pub fn row(&self, group: usize) -> (f64, f64, f64, f64, f64) {
        let at = |row: usize| self.data[row * self.groups + group];
        (at(0), at(1), at(2), at(3), at(4))
    }
}

impl Normalize {
    /// The errors of each group's statistics.
    ///
    /// The offset of the mean from the anchor is a sum whose terms go through `chain` additions; a
    /// merge of blocks has some more roundings, which grow with the logarithm of their number.
    /// Rounding x - anchor and the deviations moves each element, which moves the variance by at
    /// most twice the deviation times that (Cauchy-Schwarz); squares, additions and merges add
    /// their own roundings, all of positive terms; the means that blocks are merged by are off as
    /// the mean is.
    fn errors(&self, x: &Array, geometry: Geometry, stats: &Stats<'_>) -> Vec<Errors> {
        let (u, count) = (0.5 * EPS, geometry.count() as f64);
        let chain = geometry.chain(geometry.group_nest());
        let mut spread = vec![0.0; geometry.groups()];
        for (i, &value) in x.data.iter().enumerate() {
            let k = geometry.group_of(i);
            spread[k] += (value - stats.row(k).2).abs() / count;
        }
        let of = |(k, spread): (usize, &f64)| {
            let (mean, variance, anchor, ..) = stats.row(k);
            let deviation = variance.sqrt();
            let from_anchor = (variance + (mean - anchor).powi(2)).sqrt();
            let of_mean = u * (2.0 * chain + 16.0) * spread + (chain + 4.0) * FLUSH;
            let of_variance = u * (chain + 24.0) * variance
                + 2.0 * deviation * (u * (from_anchor + deviation) + of_mean)
                + 2.0 * of_mean * of_mean
                + (chain + 4.0) * FLUSH;
            let share = of_variance / (variance + f64::from(self.0.epsilon));
            // Adding epsilon rounds, and WGSL grants an inverse square root two units.
            let rstd = 0.5 * share * (1.0 + share) + 5.0 * u;
            // Past f32's range, nothing is promised.
            let overflows = variance * count > 1e38;
            let all = if overflows { f64::INFINITY } else { 0.0 };
            Errors { mean: of_mean + all, variance: of_variance + all, rstd: rstd + all }
        };
        spread.iter().enumerate().map(of).collect()
    }
}

impl Op for Inference {
    fn name(&self) -> &'static str {
        "batch_norm_inference"
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.0.check(inputs, 3)?;
        let wanted = self.0.kind.affine_shape(inputs[0].shape)?;
        for (ty, name) in inputs[1..3].iter().zip(["the mean", "the variance"]) {
            expect_dtype(name, *ty, DType::F32)?;
            if ty.shape != wanted {
                let what = "mean and variance need this shape";
                return Err(Error::shape_mismatch(what, wanted, ty.shape));
            }
        }
        Ok(outputs(inputs[0], self.0.kind.geometry(inputs[0].shape)?))
    }

    fn backward(&self, cx: &Backward<'_>) -> Option<Result<Vec<Option<Value>>>> {
        Some(gradients(self.0, true, cx, 3))
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let geometry = self.0.kind.geometry(cx.inputs[0].shape)?;
        let given = [Slot::Input(1), Slot::Input(2)];
        let call = self.0.call(&ELEMENTS, "infer", 3).binds(given).binds([Slot::Output(0), Slot::Output(1)]);
        cx.call(geometry.elementwise(call, cx.profile.kind, self.0.epsilon));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (x, mean, variance) = (cx.inputs[0], &cx.inputs[1].data, &cx.inputs[2].data);
        let Ok(geometry) = self.0.kind.geometry(x.shape) else { return Vec::new() };
        let epsilon = f64::from(self.0.epsilon);
        let rstd: Vec<f64> = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
        let value = |i: usize| {
            let channel = geometry.channel_of(i);
            let (scale, shift) = self.0.factors(cx, 3, channel);
            (x.data[i] - mean[channel]) * rstd[channel] * scale + shift
        };
        let y = Array::from_fn(x.shape, value);
        let zeros = vec![0.0; mean.len()];
        vec![
            y,
            Array::new(cx.outputs[1].shape, [mean, variance, mean, &zeros, &rstd].map(|r| &r[..]).concat()),
        ]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let x = cx.inputs[0];
        let Ok(geometry) = self.0.kind.geometry(x.shape) else { return Vec::new() };
        let (stats, n) = (Stats::new(&results[1]), geometry.groups());
        let u = 0.5 * EPS;
        // Adding epsilon rounds, which halves; an inverse square root has two units; a variance
        // or epsilon that is flushed is missing.
        let rstd_error = |k: usize| {
            let with_epsilon = stats.row(k).1 + f64::from(self.0.epsilon);
            5.0 * u + FLUSH / with_epsilon
        };
        let mut of_stats = vec![FLUSH; ROWS * n];
        (0..n).for_each(|k| of_stats[4 * n + k] += rstd_error(k) * stats.row(k).4);
        let bound = |i: usize| {
            let channel = geometry.channel_of(i);
            let (mean, _, _, _, rstd) = stats.row(channel);
            let (scale, term) = self.0.factors(cx, 3, channel);
            let scale = scale.abs();
            let (d, y) = ((x.data[i] - mean).abs(), results[0].data[i].abs());
            let rounding = scale * d * rstd * (3.0 * u + rstd_error(channel)) + 2.0 * u * (term.abs() + y);
            rounding + (4.0 + (2.0 * rstd + 1.0) * scale + d * (1.0 + rstd)) * FLUSH
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
        for (ty, name) in inputs[..2].iter().zip(["the running mean", "the running variance"]) {
            expect_dtype(name, *ty, DType::F32)?;
            if ty.shape != wanted {
                let what = "running statistics need one number per channel";
                return Err(Error::shape_mismatch(what, wanted, ty.shape));
            }
        }
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &[0, 1]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let n = cx.inputs[0].numel();
        let unbiased = self.unbiased() as f32;
        let call = KernelCall::new(&ELEMENTS, "running")
            .params(&RunningParams { n: word(n), momentum: self.momentum, unbiased })
            .binds([Slot::Input(2), Slot::Input(0), Slot::Input(1)])
            .grid(Grid::linear(n, 64));
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let stats = Stats::new(cx.inputs[2]);
        let momentum = f64::from(self.momentum);
        let mixed = |input: usize, new: &(dyn Fn(usize) -> f64 + Sync)| {
            let old = cx.inputs[input];
            Array::from_fn(old.shape, |k| (1.0 - momentum) * old.data[k] + momentum * new(k))
        };
        vec![mixed(0, &|k| stats.row(k).0), mixed(1, &|k| stats.row(k).1 * self.unbiased())]
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let stats = Stats::new(cx.inputs[2]);
        let momentum = f64::from(self.momentum);
        // 1 - momentum and the unbiasing factor round, then the products and the sum.
        let of = |old: f64, new: f64| {
            2.0 * EPS * ((1.0 - momentum) * old.abs() + momentum * new.abs()) + 4.0 * FLUSH
        };
        let bound = |input: usize, new: &dyn Fn(usize) -> f64| {
            cx.inputs[input].data.iter().enumerate().map(|(k, &old)| of(old, new(k))).collect()
        };
        vec![bound(0, &|k| stats.row(k).0), bound(1, &|k| stats.row(k).1 * self.unbiased())]
    }
}

impl RunningStats {
    fn unbiased(&self) -> f64 {
        self.count as f64 / (self.count as f64 - 1.0)
    }
}
