//! The gradients: of x, with the sums over each group that it needs, and of scale and shift where
//! those are not the same sums.

use super::forward::{Form, Stats};
use super::geometry::{Geometry, Nest, NestParams, Route, flag};
use super::{ELEMENTS, Kind, SHADER};
use crate::ops::common::*;

/// The gradient of x; inputs x, statistics, dy and, if there is one, the scale. Unless `frozen`,
/// statistics are functions of x; then, where a group has one channel, outputs 1 and 2 are each
/// group's sums of dy and of `dy xhat`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormGrad {
    pub form: Form,
    pub frozen: bool,
}

/// The gradients of shift and scale; inputs x, statistics and dy.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChannelGrad(pub Kind);

impl NormGrad {
    /// Whether the sums are of `dy scale`.
    fn weighted(&self, geometry: Geometry) -> bool {
        self.form.scale && !geometry.single_channel()
    }

    fn has_sums(&self, geometry: Geometry) -> bool {
        !self.frozen && geometry.single_channel()
    }

    /// A call with the constants and bindings that its kernels share: x, scale, statistics, dy.
    fn call(&self, shader: &'static Shader, entry: &'static str, geometry: Geometry) -> KernelCall {
        // An absent scale is never read.
        let scale = Slot::Input(if self.form.scale { 3 } else { 0 });
        KernelCall::new(shader, entry)
            .constant("SCALE", flag(self.form.scale))
            .constant("WEIGHTED", flag(self.weighted(geometry)))
            .binds([Slot::Input(0), scale, Slot::Input(1), Slot::Input(2)])
    }
}

/// Adds the calls that merge the parts of sums, if they have any, into `sums`.
fn join(
    cx: &mut Lowering<'_>,
    parts: [Slot; 2],
    sums: [Slot; 2],
    params: &NestParams,
    (nest, route): (Nest, Route),
) {
    let call = KernelCall::new(&SHADER, "join_sums").binds(parts).binds(sums);
    cx.call(call.params(params).loops(route.splits).grid(Grid::linear(nest.n, 64)));
}

/// Scratch for both sums of every part.
fn scratch(cx: &mut Lowering<'_>, route: Route, nest: Nest) -> [Slot; 2] {
    [cx.scratch(route.bytes(nest)), cx.scratch(route.bytes(nest))]
}

/// The sums of g and of `g xhat` over nests, and bounds of the errors of both.
struct Sums {
    sums: [Vec<f64>; 2],
    errors: [Vec<f64>; 2],
}

/// What the sums are made of.
struct Terms<'a> {
    x: &'a [f64],
    dy: &'a [f64],
    scale: Option<&'a [f64]>,
    stats: Stats<'a>,
    geometry: Geometry,
}

impl Terms<'_> {
    /// The scale of an element.
    fn scale(&self, i: usize) -> f64 {
        self.scale.map_or(1.0, |scale| scale[self.geometry.channel_of(i)])
    }

    fn xhat(&self, i: usize) -> f64 {
        let (_, _, anchor, shift, rstd) = self.stats.row(self.geometry.group_of(i));
        (self.x[i] - anchor) * rstd + shift
    }

    /// The error of an element's xhat: the difference, the product and the sum round.
    fn xhat_error(&self, i: usize) -> f64 {
        let (_, _, anchor, _, rstd) = self.stats.row(self.geometry.group_of(i));
        let d = (self.x[i] - anchor).abs();
        0.5 * EPS * (2.0 * d * rstd + self.xhat(i).abs()) + (2.0 + 2.0 * rstd) * FLUSH
    }

    /// The sums over `n` nests of what `weight` makes of dy.
    fn sums(
        &self,
        n: usize,
        nest_of: impl Fn(usize) -> usize,
        weight: impl Fn(usize) -> f64,
    ) -> [Vec<f64>; 2] {
        let mut sums = [vec![0.0; n], vec![0.0; n]];
        for (i, dy) in self.dy.iter().enumerate() {
            let g = dy * weight(i);
            sums[0][nest_of(i)] += g;
            sums[1][nest_of(i)] += g * self.xhat(i);
        }
        sums
    }

    /// The same with bounds of their errors: of each term, and of the `chain` additions that it
    /// goes through.
    fn bounded(
        &self,
        n: usize,
        chain: f64,
        nest_of: impl Fn(usize) -> usize,
        weight: impl Fn(usize) -> f64,
    ) -> Sums {
        let u = 0.5 * EPS;
        let mut errors = [vec![0.0; n], vec![0.0; n]];
        for (i, dy) in self.dy.iter().enumerate() {
            let (nest, w) = (nest_of(i), weight(i));
            let (g, xhat) = ((dy * w).abs(), self.xhat(i).abs());
            let flushed = (2.0 + dy.abs() + w.abs()) * FLUSH;
            errors[0][nest] += (chain + 2.0) * u * g + flushed;
            errors[1][nest] += (chain + 3.0) * u * g * xhat + g * self.xhat_error(i) + flushed * (1.0 + xhat);
        }
        Sums { sums: self.sums(n, nest_of, weight), errors }
    }
}

impl NormGrad {
    fn terms<'a>(&self, cx: &'a Reference<'_>) -> Option<Terms<'a>> {
        let [x, stats, dy] = [cx.inputs[0], cx.inputs[1], cx.inputs[2]];
        let geometry = self.form.kind.geometry(x.shape).ok()?;
        let scale = self.form.scale.then(|| &cx.inputs[3].data[..]);
        Some(Terms { x: &x.data, dy: &dy.data, scale, stats: Stats::new(stats), geometry })
    }
}

impl Op for NormGrad {
    fn name(&self) -> &'static str {
        "norm_grad"
    }

    fn attributes(&self) -> String {
        let frozen = if self.frozen { ", frozen" } else { "" };
        format!("of {}{frozen}", self.form.kind.name())
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let geometry = self.form.kind.geometry(inputs[0].shape)?;
        let mut outputs = vec![inputs[0]];
        if self.has_sums(geometry) {
            outputs.extend([TensorType::f32([geometry.groups()]); 2]);
        }
        Ok(outputs)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let geometry = self.form.kind.geometry(cx.inputs[0].shape)?;
        let device = cx.profile.kind;
        if self.frozen {
            // There are no sums to read.
            let call = self
                .call(&ELEMENTS, "apply_grad", geometry)
                .binds([Slot::Input(0); 2])
                .binds([Slot::Output(0)]);
            cx.call(geometry.elementwise(call.constant("FROZEN", 1.0), device, 0.0));
            return Ok(());
        }
        let nest = geometry.group_nest();
        let route = nest.route(device);
        let params = geometry.group_params(route, 0.0);
        let sums = if self.has_sums(geometry) {
            [Slot::Output(1), Slot::Output(2)]
        } else {
            [cx.scratch(4 * nest.n as u64), cx.scratch(4 * nest.n as u64)]
        };
        let nested = |entry: &'static str, slots: &[Slot]| {
            let call =
                self.call(&SHADER, entry, geometry).constant("BY_ELEMENT", flag(geometry.by_element()));
            call.binds(slots.iter().copied()).params(&params).loops(route.loops(nest)).grid(route.grid(nest))
        };
        if route.fused() {
            let entry = if route.tree { "tree_grad" } else { "lanes_grad" };
            cx.call(nested(entry, &[Slot::Output(0), sums[0], sums[1]]));
            return Ok(());
        }
        let parts = scratch(cx, route, nest);
        cx.call(nested(if route.tree { "sums_tree" } else { "sums" }, &parts));
        join(cx, parts, sums, &params, (nest, route));
        let apply = self.call(&ELEMENTS, "apply_grad", geometry).binds(sums).binds([Slot::Output(0)]);
        cx.call(geometry.elementwise(apply, device, 0.0));
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let Some(terms) = self.terms(cx) else { return Vec::new() };
        let geometry = terms.geometry;
        let (groups, count) = (geometry.groups(), geometry.count() as f64);
        let group_of = |i| geometry.group_of(i);
        let means = terms.sums(groups, group_of, |i| terms.scale(i)).map(|sums| {
            sums.into_iter().map(|sum| if self.frozen { 0.0 } else { sum / count }).collect::<Vec<f64>>()
        });
        let slope = |i: usize| {
            let group = group_of(i);
            let g = terms.dy[i] * terms.scale(i);
            terms.stats.row(group).4 * (g - means[0][group] - terms.xhat(i) * means[1][group])
        };
        let mut results = vec![Array::from_fn(cx.outputs[0].shape, slope)];
        if self.has_sums(geometry) {
            let sums = terms.sums(groups, group_of, |_| 1.0);
            results.extend(sums.map(|sums| Array::new([groups], sums)));
        }
        results
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let Some(terms) = self.terms(cx) else { return Vec::new() };
        let (geometry, u) = (terms.geometry, 0.5 * EPS);
        let count = geometry.count() as f64;
        let weighted = self.weighted(geometry);
        // A scale that a whole group shares is left out of the sums and multiplied in at the end.
        let inner = |i: usize| if weighted { terms.scale(i) } else { 1.0 };
        let outer = |i: usize| if weighted { 1.0 } else { terms.scale(i) };
        let chain = geometry.chain(geometry.group_nest());
        let Sums { sums, errors } = terms.bounded(geometry.groups(), chain, |i| geometry.group_of(i), inner);
        let bound = |i: usize| {
            let k = geometry.group_of(i);
            let factor = terms.stats.row(k).4 * outer(i).abs();
            let (w, dy, dx) = (inner(i).abs(), terms.dy[i].abs(), results[0].data[i].abs());
            let mut inside = 3.0 * u * w * dy;
            let mut size = w * dy;
            if !self.frozen {
                let (xhat, xhat_error) = (terms.xhat(i).abs(), terms.xhat_error(i));
                let (a, b) = (sums[0][k].abs() / count, sums[1][k].abs() / count);
                // A division is granted 2.5 units; the product, the sum and the difference round.
                inside += errors[0][k] / count + 8.0 * u * a;
                inside += xhat * errors[1][k] / count + (xhat_error + 10.0 * u * xhat) * b;
                inside += (2.0 + xhat + b) * FLUSH;
                size += a + xhat * b;
            }
            let flushed = (factor * (2.0 + w + dy) + (1.0 + terms.stats.row(k).4) * (1.0 + size)) * FLUSH;
            factor * inside + 3.0 * u * dx + flushed
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
        let nest = geometry.channel_nest();
        let route = nest.route(cx.profile.kind);
        let by_element = geometry.space == 1 && !geometry.batch;
        let params = geometry.channel_params(route);
        let sums = [Slot::Output(0), Slot::Output(1)];
        let parts = if route.fused() { sums } else { scratch(cx, route, nest) };
        // The sums are not weighted: there is no scale to read.
        let call = KernelCall::new(&SHADER, if route.tree { "sums_tree" } else { "sums" })
            .constant("STATS_BY_ELEMENT", flag(by_element))
            .binds([0, 0, 1, 2].map(Slot::Input))
            .binds(parts);
        cx.call(call.params(&params).loops(route.loops(nest)).grid(route.grid(nest)));
        if !route.fused() {
            join(cx, parts, sums, &params, (nest, route));
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let Some(terms) = self.terms(cx) else { return Vec::new() };
        let geometry = terms.geometry;
        let n = geometry.channels();
        terms.sums(n, |i| geometry.channel_of(i), |_| 1.0).map(|sums| Array::new([n], sums)).into()
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        let Some(terms) = self.terms(cx) else { return Vec::new() };
        let geometry = terms.geometry;
        let chain = geometry.chain(geometry.channel_nest());
        terms.bounded(geometry.channels(), chain, |i| geometry.channel_of(i), |_| 1.0).errors.into()
    }
}

impl ChannelGrad {
    fn terms<'a>(&self, cx: &'a Reference<'_>) -> Option<Terms<'a>> {
        let [x, stats, dy] = [cx.inputs[0], cx.inputs[1], cx.inputs[2]];
        let geometry = self.0.geometry(x.shape).ok()?;
        Some(Terms { x: &x.data, dy: &dy.data, scale: None, stats: Stats::new(stats), geometry })
    }
}
