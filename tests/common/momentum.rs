//! An operator of the tests' own that updates many parameters at once, and the optimiser that records
//! it.

use std::ops::Range;

use retape::array::Array;
use retape::kernel::{KernelCall, Shader, Slot};
use retape::ops::{Lowering, Op, Reference};
use retape::prelude::*;
use retape::tape::{Dispatch, Plan};
use retape::train::update_groups;
use retape::{Result, TensorType};

static SHADER: Shader = Shader::new(
    "momentum",
    "
    struct Params { n: u32 }
    @group(0) @binding(0) var<storage, read_write> w: array<vec4<f32>>;
    @group(0) @binding(1) var<storage, read_write> u: array<vec4<f32>>;
    @group(0) @binding(2) var<storage, read> dw: array<vec4<f32>>;
    var<immediate> p: Params;

    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        let i = linear_index(id, 64u);
        if i >= p.n { return; }
        let velocity = 0.5 * u[i] + dw[i];
        u[i] = velocity;
        w[i] -= 0.125 * velocity;
    }
    ",
);

retape::params! {
    struct Params { n: u32 }
}

/// `u = u / 2 + dw, w = w - u / 8` over `w_1 .. w_k, u_1 .. u_k, dw_1 .. dw_k`.
#[derive(Debug)]
pub struct MomentumUpdate {
    packed: bool,
    mutates: Vec<usize>,
}

impl MomentumUpdate {
    pub fn new(parameters: usize, packed: bool) -> Self {
        MomentumUpdate { packed, mutates: (0..2 * parameters).collect() }
    }

    fn parameters(&self) -> usize {
        self.mutates.len() / 2
    }
}

impl Op for MomentumUpdate {
    fn name(&self) -> &'static str {
        "momentum"
    }

    fn outputs(&self, _: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &self.mutates
    }

    fn packs(&self) -> Vec<Range<usize>> {
        let k = self.parameters();
        if self.packed { vec![0..k, k..2 * k, 2 * k..3 * k] } else { Vec::new() }
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = |elements: usize, slots: Vec<Slot>| {
            let quads = elements.div_ceil(4);
            let call = KernelCall::new(&SHADER, "main").params(&Params { n: quads as u32 });
            call.binds(slots).elementwise("n", quads, 4)
        };
        for run in cx.runs() {
            cx.call(call(run.elements[0], run.slots.clone()));
        }
        if !self.packed {
            let k = self.parameters();
            for i in 0..k {
                cx.call(call(cx.inputs[i].numel(), [i, k + i, 2 * k + i].map(Slot::Input).to_vec()));
            }
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let k = self.parameters();
        let velocity = |i: usize, e: usize| 0.5 * cx.inputs[k + i].data[e] + cx.inputs[2 * k + i].data[e];
        let moved =
            |i: usize| Array::from_fn(cx.inputs[i].shape, |e| cx.inputs[i].data[e] - 0.125 * velocity(i, e));
        let velocities = (0..k).map(|i| Array::from_fn(cx.inputs[i].shape, |e| velocity(i, e)));
        (0..k).map(moved).chain(velocities).collect()
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        results.iter().map(|r| r.data.iter().map(|v| 1e-5 * (1.0 + v.abs())).collect()).collect()
    }
}

/// The optimiser: one operator per group, packed or not.
#[derive(Debug)]
pub struct Momentum {
    pub packed: bool,
}

impl Optimizer for Momentum {
    fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        for group in update_groups(g, gradients) {
            record_group(g, &group, self.packed)?;
        }
        Ok(())
    }
}

/// One operator for these parameters and gradients.
pub fn record_group(g: &Graph, group: &[(Value, Value)], packed: bool) -> Result<()> {
    let velocities: Vec<Value> = group.iter().map(|&(w, _)| g.slot(w, "velocity")).collect::<Result<_>>()?;
    let parameters = group.iter().map(|&(w, _)| w);
    let gradients = group.iter().map(|&(_, dw)| dw);
    let inputs: Vec<Value> = parameters.chain(velocities).chain(gradients).collect();
    g.apply(MomentumUpdate::new(group.len(), packed), &inputs).map(|_| ())
}

/// Sizes around those of vectors, alignments and workgroups.
pub const SIZES: [usize; 30] = [
    1, 3, 4, 5, 13, 16, 17, 31, 63, 64, 65, 127, 128, 255, 256, 257, 300, 509, 2, 7, 1021, 1, 1, 8, 64, 60,
    4, 100, 12, 33,
];

/// Parameters `w0, w1, ..` of these sizes beside an input each, and the loss
/// `sum of mean of (w_i x_i)^2`.
pub fn graph(sizes: &[usize]) -> Result<(Graph, Value, Vec<Value>)> {
    let mut g = Graph::new();
    let mut total = g.scalar_constant(0.0);
    let mut parameters = Vec::new();
    for (i, &n) in sizes.iter().enumerate() {
        let x = g.constant([n], &super::data::noise(n, i as u32, 0.5, 1.5))?;
        let w = g.parameter(&format!("w{i}"), [n], Init::Uniform { low: -1.0, high: 1.0 });
        total = g.add(total, g.mean(g.square(g.mul(w, x)?)?, &[], false)?)?;
        parameters.push(w);
    }
    Ok((g, total, parameters))
}

/// The dispatches of the update.
pub fn updates(plan: &Plan) -> Vec<&Dispatch> {
    plan.dispatches.iter().filter(|d| d.shader.name() == "momentum").collect()
}
