//! The gradients: of x, with the sums over each group that it needs, and of scale and shift where
//! those are not the same sums.

use super::forward::{Form, ROWS, row};
use super::geometry::{Geometry, Nest, Parts};
use super::{ELEMENTS, Kind, SHADER};
use crate::kernel::Bind;
use crate::ops::common::*;

/// The gradient of x; inputs x, statistics, dy and, if there is one, the scale. Unless they are given,
/// statistics are functions of x; then, where a group has one channel, outputs 1 and 2 are each
/// group's sums of dy and of `dy xhat`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormGrad(pub Form);

/// The gradients of shift and scale; inputs x, statistics and dy.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChannelGrad(pub Kind);

impl NormGrad {
    /// Whether the sums are of `dy scale`.
    pub(super) fn weighted(&self, geometry: Geometry) -> bool {
        self.0.scale && !geometry.single_channel()
    }

    fn has_sums(&self, geometry: Geometry) -> bool {
        !self.0.is_given() && geometry.single_channel()
    }

    /// A call with the constants and bindings that its kernels share: x, scale, statistics, dy.
    fn call(&self, entry: &'static str, geometry: Geometry) -> KernelCall {
        // An absent scale is never read.
        let scale = Slot::Input(if self.0.scale { 3 } else { 0 });
        KernelCall::new(&SHADER, entry)
            .constant("SCALE", f64::from(self.0.scale))
            .constant("WEIGHTED", f64::from(self.weighted(geometry)))
            .binds([Slot::Input(0), scale, Slot::Input(1), Slot::Input(2)])
    }

    fn terms<'a>(&self, cx: &'a Reference<'_>) -> Option<Terms<'a>> {
        let scale = self.0.scale.then(|| &cx.inputs[3].data[..]);
        Terms::new(cx, self.0.kind, scale, Geometry::group_nest, Geometry::group_of)
    }
}

/// What the sums of g and of `g xhat` over nests are made of.
struct Terms<'a> {
    x: &'a [f64],
    dy: &'a [f64],
    scale: Option<&'a [f64]>,
    stats: &'a Array,
    geometry: Geometry,
    nest: Nest,
    /// The nest of an element.
    nest_of: fn(&Geometry, usize) -> usize,
}

impl<'a> Terms<'a> {
    fn new(
        cx: &'a Reference<'_>,
        kind: Kind,
        scale: Option<&'a [f64]>,
        nest: fn(&Geometry) -> Nest,
        nest_of: fn(&Geometry, usize) -> usize,
    ) -> Option<Self> {
        let [x, stats, dy] = [cx.inputs[0], cx.inputs[1], cx.inputs[2]];
        let geometry = kind.geometry(x.shape).ok()?;
        Some(Terms { x: &x.data, dy: &dy.data, scale, stats, geometry, nest: nest(&geometry), nest_of })
    }

    /// The statistics of an element's group.
    fn row(&self, i: usize) -> [f64; ROWS] {
        row(self.stats, self.geometry.group_of(i))
    }

    /// The scale of an element.
    fn scale(&self, i: usize) -> f64 {
        self.scale.map_or(1.0, |scale| scale[self.geometry.channel_of(i)])
    }

    fn xhat(&self, i: usize) -> f64 {
        let [_, _, anchor, shift, rstd, _] = self.row(i);
        (self.x[i] - anchor) * rstd + shift
    }

    /// The error of an element's xhat: the difference, the product and the sum round.
    fn xhat_error(&self, i: usize) -> f64 {
        let [_, _, anchor, _, rstd, size] = self.row(i);
        let d = (self.x[i] - anchor).abs();
        0.5 * EPS * (2.0 * d * rstd + self.xhat(i).abs()) + (2.0 + 2.0 * rstd / size) * FLUSH
    }

    /// The sums of what `weight` makes of dy.
    fn sums(&self, weight: impl Fn(usize) -> f64) -> [Vec<f64>; 2] {
        let mut sums = [vec![0.0; self.nest.n], vec![0.0; self.nest.n]];
        for (i, dy) in self.dy.iter().enumerate() {
            let (nest, g) = ((self.nest_of)(&self.geometry, i), dy * weight(i));
            sums[0][nest] += g;
            sums[1][nest] += g * self.xhat(i);
        }
        sums
    }

    /// Bounds of the errors of the sums: of each term, and of the additions that it goes through.
    fn errors(&self, weight: impl Fn(usize) -> f64) -> [Vec<f64>; 2] {
        let (u, chain) = (0.5 * EPS, self.geometry.chain(self.nest));
        let mut errors = [vec![0.0; self.nest.n], vec![0.0; self.nest.n]];
        for (i, dy) in self.dy.iter().enumerate() {
            let (nest, w) = ((self.nest_of)(&self.geometry, i), weight(i));
            let (g, xhat) = ((dy * w).abs(), self.xhat(i).abs());
            let flushed = (2.0 + dy.abs() + w.abs()) * FLUSH;
            errors[0][nest] += (chain + 2.0) * u * g + flushed;
            errors[1][nest] += (chain + 3.0) * u * g * xhat + g * self.xhat_error(i) + flushed * (1.0 + xhat);
        }
        errors
    }
}

impl Op for NormGrad {
    fn name(&self) -> &'static str {
        "norm_grad"
    }

    fn attributes(&self) -> String {
        let frozen = if self.0.is_given() { ", frozen" } else { "" };
        format!("of {}{frozen}", self.0.kind.name())
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let geometry = self.0.kind.geometry(inputs[0].shape)?;
        let mut outputs = vec![inputs[0]];
        if self.has_sums(geometry) {
            outputs.extend([TensorType::f32([geometry.groups()]); 2]);
        }
        Ok(outputs)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let geometry = self.0.kind.geometry(cx.inputs[0].shape)?;
        let device = cx.profile.kind;
        if self.0.is_given() {
            // An absent scale is never read.
            let scale = Slot::Input(if self.0.scale { 3 } else { 0 });
            let call = KernelCall::new(&ELEMENTS, "infer_grad")
                .constant("SCALE", f64::from(self.0.scale))
                .binds([scale, Slot::Input(1), Slot::Input(2), Slot::Output(0)]);
            return cx.only(geometry.elementwise(call, device, 0.0));
        }
        let walk = geometry.group_walk(device, 0.0);
        let sums = if self.has_sums(geometry) {
            [Slot::Output(1), Slot::Output(2)]
        } else {
            [cx.scratch(4 * walk.nest.n as u64), cx.scratch(4 * walk.nest.n as u64)]
        };
        let [whole, part, apply] = match walk.route.tree {
            true => ["tree_grad", "sums_tree", "apply_grad_apart"],
            false => ["lanes_grad", "sums", "apply_grad_parts"],
        };
        let call =
            |entry| self.call(entry, geometry).constant("BY_ELEMENT", f64::from(geometry.by_element()));
        let result = |entry| call(entry).binds([Slot::Output(0)]).binds(sums);
        if walk.fused() {
            return cx.only(walk.parts(result(whole)));
        }
        let parts = walk.scratch(cx);
        walk.split(cx, call(part).binds(parts.halves()), result(apply).bind(parts.slot))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let Some(terms) = self.terms(cx) else { return Vec::new() };
        let geometry = terms.geometry;
        let (is_given, count) = (self.0.is_given(), geometry.count() as f64);
        let mut means = terms.sums(|i| terms.scale(i));
        means.iter_mut().flatten().for_each(|sum| *sum = if is_given { 0.0 } else { *sum / count });
        let slope = |i: usize| {
            let group = geometry.group_of(i);
            let g = terms.dy[i] * terms.scale(i);
            let through_sums = if is_given { 0.0 } else { means[0][group] + terms.xhat(i) * means[1][group] };
            terms.row(i)[4] * (g - through_sums)
        };
        let mut results = vec![Array::from_fn(cx.outputs[0].shape, slope)];
        if self.has_sums(geometry) {
            results.extend(terms.sums(|_| 1.0).map(|sums| Array::new([geometry.groups()], sums)));
        }
        results
    }

    /// Two means for each group.
    fn reference_scratch(&self, inputs: &[TensorType], _: &[TensorType]) -> u64 {
        8 * inputs[1].numel() as u64
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (op, geometry) = (*self, self.0.kind.geometry(inputs[0].shape).ok()?);
        Some(Box::new(move |cx| op.run(geometry, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let Some(terms) = self.terms(cx) else { return Vec::new() };
        let (geometry, u) = (terms.geometry, 0.5 * EPS);
        let count = geometry.count() as f64;
        let weighted = self.weighted(geometry);
        // A scale that a whole group shares is left out of the sums and multiplied in at the end.
        let inner = |i: usize| if weighted { terms.scale(i) } else { 1.0 };
        let outer = |i: usize| if weighted { 1.0 } else { terms.scale(i) };
        let (sums, errors) = (terms.sums(inner), terms.errors(inner));
        let bound = |i: usize| {
            let k = geometry.group_of(i);
            let rstd = terms.row(i)[4];
            let factor = rstd * outer(i).abs();
            let (w, dy, dx) = (inner(i).abs(), terms.dy[i].abs(), results[0].data[i].abs());
            let mut inside = 3.0 * u * w * dy;
            let mut magnitude = w * dy;
            if !self.0.is_given() {
                let (xhat, xhat_error) = (terms.xhat(i).abs(), terms.xhat_error(i));
                let (a, b) = (sums[0][k].abs() / count, sums[1][k].abs() / count);
                // A division is granted 2.5 units; the product, the sum and the difference round.
                inside += errors[0][k] / count + 8.0 * u * a;
                inside += xhat * errors[1][k] / count + (xhat_error + 10.0 * u * xhat) * b;
                inside += (2.0 + xhat + b) * FLUSH;
                magnitude += a + xhat * b;
            }
            let flushed = (factor * (2.0 + w + dy) + (1.0 + rstd) * (1.0 + magnitude)) * FLUSH;
            factor * inside + 4.0 * u * dx + flushed
        };
        let mut bounds = vec![(0..terms.x.len()).map(bound).collect()];
        if self.has_sums(geometry) {
            bounds.extend(errors);
        }
        bounds
    }
}
impl Op for ChannelGrad {
    fn name(&self) -> &'static str {
        "norm_channel_grad"
    }

    fn attributes(&self) -> String {
        format!("of {}", self.0.name())
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let geometry = self.0.geometry(inputs[0].shape)?;
        Ok(vec![TensorType::f32([geometry.channels()]); 2])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let geometry = self.0.geometry(cx.inputs[0].shape)?;
        let walk = geometry.channel_walk(cx.profile.kind);
        let by_element = geometry.space == 1 && !geometry.batch;
        let sums = [Slot::Output(0), Slot::Output(1)];
        let parts = (!walk.fused()).then(|| walk.scratch(cx));
        // The sums are not weighted: there is no scale to read.
        let call = KernelCall::new(&SHADER, if walk.route.tree { "sums_tree" } else { "sums" })
            .constant("STATS_BY_ELEMENT", f64::from(by_element))
            .binds([0, 0, 1, 2].map(Slot::Input))
            .binds(parts.map_or(sums.map(Bind::from), Parts::halves));
        cx.call(walk.parts(call));
        if let Some(parts) = parts {
            let join = KernelCall::new(&SHADER, "join_sums").binds(sums).bind(parts.slot);
            cx.call(walk.joined(join));
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let Some(terms) = self.terms(cx) else { return Vec::new() };
        terms.sums(|_| 1.0).map(|sums| Array::new(cx.outputs[0].shape, sums)).into()
    }

    fn routine(&self, inputs: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let (op, geometry) = (*self, self.0.geometry(inputs[0].shape).ok()?);
        Some(Box::new(move |cx| op.run(geometry, cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        self.terms(cx).map_or(Vec::new(), |terms| terms.errors(|_| 1.0).into())
    }
}

impl ChannelGrad {
    fn terms<'a>(&self, cx: &'a Reference<'_>) -> Option<Terms<'a>> {
        Terms::new(cx, self.0, None, Geometry::channel_nest, Geometry::channel_of)
    }
}
