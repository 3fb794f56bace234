//! Operators that overwrite state: assignment and the optimisers' update rules. Shader:
//! `update.wgsl`.

use super::{EPS, FLUSH, Gradient, Lowering, Op, OperatorInfo, Reference, word};
use crate::cpu::Array;
use crate::error::{Error, Result};
use crate::graph::{Graph, Scalar, Source, Value};
use crate::kernel::{KernelCall, Params, Shader, Slot};
use crate::shape::TensorType;

pub(super) static SHADER: Shader = built_in!("update", "../../shaders/update.wgsl");

crate::params! {
    struct AssignParams { n: u32 }
}

crate::params! {
    struct SgdParams { n: u32, lr: f32, momentum: f32, weight_decay: f32, nesterov: u32 }
}

crate::params! {
    struct RmsPropParams { n: u32, lr: f32, rho: f32, epsilon: f32, weight_decay: f32 }
}

crate::params! {
    struct AdamParams { n: u32, step: u32, lr: f32, beta_1: f32, beta_2: f32, epsilon: f32, weight_decay: f32 }
}

pub(super) const OPERATORS: [OperatorInfo; 4] = [
    OperatorInfo::new("assign", Gradient::None, "f32"),
    OperatorInfo::new("sgd", Gradient::None, "f32"),
    OperatorInfo::new("rmsprop", Gradient::None, "f32"),
    OperatorInfo::new("adam", Gradient::None, "f32"),
];

/// `state = value`.
#[derive(Clone, Copy, Debug)]
struct Assign;

/// SGD without momentum over `w, dw`, or with it over `w, velocity, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdUpdate {
    pub lr: Scalar,
    pub momentum: f32,
    pub weight_decay: f32,
    pub nesterov: bool,
}

/// RMSprop over `w, mean_square, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RmsPropUpdate {
    pub lr: Scalar,
    pub rho: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
}

/// Adam over `w, m, v, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamUpdate {
    pub lr: Scalar,
    pub beta_1: f32,
    pub beta_2: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
}

/// All operands of an update have the parameter's type.
fn no_outputs(inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    match inputs.iter().find(|t| **t != inputs[0]) {
        None => Ok(Vec::new()),
        Some(other) if other.dtype != inputs[0].dtype => Err(Error::DTypeMismatch {
            what: "the new value".to_owned(),
            found: other.dtype,
            expected: inputs[0].dtype,
        }),
        Some(other) => {
            let what = "an update needs the shape of what it overwrites";
            Err(Error::shape_mismatch(what, inputs[0].shape, other.shape))
        }
    }
}

/// A call over vectors of four, with all inputs bound in order: the overwritten ones come first.
fn call(cx: &Lowering<'_>, entry: &'static str, params: &impl Params) -> KernelCall {
    KernelCall::new(&SHADER, entry).binds((0..cx.inputs.len()).map(Slot::Input)).params(params).elementwise(
        "n",
        cx.inputs[0].numel().div_ceil(4),
        4,
    )
}

fn quads(cx: &Lowering<'_>) -> u32 {
    word(cx.inputs[0].numel().div_ceil(4))
}

/// `f` of corresponding elements of all inputs.
fn elementwise(cx: &Reference<'_>, f: impl Fn(&dyn Fn(usize) -> f64) -> f64 + Sync) -> Array {
    Array::from_fn(cx.inputs[0].shape, |i| f(&|operand| cx.inputs[operand].data[i]))
}

impl Op for Assign {
    fn name(&self) -> &'static str {
        "assign"
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        no_outputs(inputs)
    }

    fn mutates(&self) -> &[usize] {
        &[0]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let call = call(cx, "assign", &AssignParams { n: quads(cx) });
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        vec![cx.inputs[1].clone()]
    }

    fn error_bound(&self, _: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        vec![vec![FLUSH; results[0].data.len()]]
    }
}

impl SgdUpdate {
    /// The gradient with decay, then the new velocity and parameter.
    fn formula(&self, lr: f64, w: f64, velocity: f64, dw: f64) -> (f64, f64) {
        let momentum = f64::from(self.momentum);
        let g = dw + f64::from(self.weight_decay) * w;
        let velocity = momentum * velocity + g;
        let direction = if self.nesterov { g + momentum * velocity } else { velocity };
        (w - lr * direction, velocity)
    }

    fn has_momentum(&self) -> bool {
        self.momentum != 0.0
    }
}

impl Op for SgdUpdate {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn attributes(&self) -> String {
        let mut text = Vec::new();
        if self.has_momentum() {
            text.push(format!("momentum={}", self.momentum));
        }
        if self.nesterov {
            text.push("nesterov".to_owned());
        }
        if self.weight_decay != 0.0 {
            text.push(format!("weight_decay={}", self.weight_decay));
        }
        text.join(", ")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        no_outputs(inputs)
    }

    fn mutates(&self) -> &[usize] {
        if self.has_momentum() { &[0, 1] } else { &[0] }
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let entry = if self.has_momentum() { "sgd_momentum" } else { "sgd" };
        let params = SgdParams {
            n: quads(cx),
            lr: 0.0,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            nesterov: u32::from(self.nesterov),
        };
        let call = call(cx, entry, &params).scalar("lr", self.lr);
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let lr = cx.scalar(self.lr);
        if self.has_momentum() {
            let step = |at: &dyn Fn(usize) -> f64| self.formula(lr, at(0), at(1), at(2));
            vec![elementwise(cx, |at| step(at).0), elementwise(cx, |at| step(at).1)]
        } else {
            vec![elementwise(cx, |at| self.formula(lr, at(0), 0.0, at(1)).0)]
        }
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        sums_bound(cx, results, cx.scalar(self.lr))
    }
}

/// The bound for sums of the operands whose terms may cancel: each result against the magnitudes
/// of everything that went into it.
fn sums_bound(cx: &Reference<'_>, results: &[Array], lr: f64) -> Vec<Vec<f64>> {
    let scale = |i: usize, r: f64| r.abs() + cx.inputs.iter().skip(1).map(|x| x.data[i].abs()).sum::<f64>();
    let w = &cx.inputs[0].data;
    let moments = results.iter().skip(1).map(|m| {
        m.data.iter().enumerate().map(|(i, &r)| 4.0 * EPS * (scale(i, r) + w[i].abs()) + FLUSH).collect()
    });
    let parameter = results[0].data.iter().enumerate().map(|(i, &r)| {
        let step = (r - w[i]).abs() + lr.abs() * (scale(i, 0.0) + w[i].abs());
        EPS * (2.0 * (r.abs() + w[i].abs()) + 8.0 * step) + FLUSH
    });
    std::iter::once(parameter.collect()).chain(moments).collect()
}

impl Op for RmsPropUpdate {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn attributes(&self) -> String {
        format!("rho={}", self.rho)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        no_outputs(inputs)
    }

    fn mutates(&self) -> &[usize] {
        &[0, 1]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let &RmsPropUpdate { rho, epsilon, weight_decay, .. } = self;
        let params = RmsPropParams { n: quads(cx), lr: 0.0, rho, epsilon, weight_decay };
        let call = call(cx, "rmsprop", &params).scalar("lr", self.lr);
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let lr = cx.scalar(self.lr);
        let (rho, epsilon, decay) =
            (f64::from(self.rho), f64::from(self.epsilon), f64::from(self.weight_decay));
        let step = |at: &dyn Fn(usize) -> f64| {
            let g = at(2) + decay * at(0);
            let v = rho * at(1) + (1.0 - rho) * g * g;
            (at(0) - lr * g / (v.sqrt() + epsilon), v)
        };
        vec![elementwise(cx, |at| step(at).0), elementwise(cx, |at| step(at).1)]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let lr = cx.scalar(self.lr);
        let (rho, epsilon, decay) =
            (f64::from(self.rho), f64::from(self.epsilon), f64::from(self.weight_decay));
        let errors = |i: usize| {
            let [w, mean, dw] = [0, 1, 2].map(|k| cx.inputs[k].data[i]);
            let (g, dg) = (dw + decay * w, gradient_error(dw, decay * w));
            let d_square = moment_error(rho, mean, g, dg, 2);
            [step_error(w, lr, (g, dg), (results[1].data[i], d_square), epsilon), d_square]
        };
        bounds(cx, errors)
    }
}

/// One bound per result from the errors of each element's results.
fn bounds<const N: usize>(cx: &Reference<'_>, errors: impl Fn(usize) -> [f64; N]) -> Vec<Vec<f64>> {
    let all: Vec<[f64; N]> = (0..cx.inputs[0].data.len()).map(errors).collect();
    (0..N).map(|k| all.iter().map(|e| e[k]).collect()).collect()
}

/// The error of `g = dw + decay w` in f32: of its terms, which may cancel.
fn gradient_error(dw: f64, decayed: f64) -> f64 {
    EPS * (dw.abs() + 2.0 * decayed.abs())
}

/// The error of `rho mean + (1 - rho) g^power` for a gradient that is off by `dg`.
fn moment_error(rho: f64, mean: f64, g: f64, dg: f64, power: i32) -> f64 {
    let fresh = (1.0 - rho) * g.abs().powi(power);
    let slope = (1.0 - rho) * f64::from(power) * g.abs().powi(power - 1);
    4.0 * EPS * (rho * mean.abs() + fresh) + slope * dg + FLUSH
}

/// The error of `w - lr top / (sqrt(square) + epsilon)` whose parts are off by `d_top` and
/// `d_square`; a square too small for f32 counts as the smallest normal number.
fn step_error(
    w: f64,
    lr: f64,
    (top, d_top): (f64, f64),
    (square, d_square): (f64, f64),
    epsilon: f64,
) -> f64 {
    let root = square.max(FLUSH).sqrt();
    let (below, d_below) = (root + epsilon, d_square / (2.0 * root));
    let step = lr.abs() * top.abs() / below;
    let d_step = lr.abs() * d_top / below + step * d_below / below + 8.0 * EPS * step;
    d_step + EPS * (2.0 * w.abs() + step) + FLUSH
}

impl Op for AdamUpdate {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn attributes(&self) -> String {
        format!("beta_1={}, beta_2={}", self.beta_1, self.beta_2)
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        no_outputs(inputs)
    }

    fn mutates(&self) -> &[usize] {
        &[0, 1, 2]
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let &AdamUpdate { beta_1, beta_2, epsilon, weight_decay, .. } = self;
        let params = AdamParams { n: quads(cx), step: 0, lr: 0.0, beta_1, beta_2, epsilon, weight_decay };
        let call = call(cx, "adam", &params).scalar("lr", self.lr).scalar("step", Scalar::STEP);
        cx.call(call);
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let (lr, t) = (cx.scalar(self.lr), cx.scalar(Scalar::STEP) + 1.0);
        let (b1, b2) = (f64::from(self.beta_1), f64::from(self.beta_2));
        let (epsilon, decay) = (f64::from(self.epsilon), f64::from(self.weight_decay));
        let step = |at: &dyn Fn(usize) -> f64| {
            let g = at(3) + decay * at(0);
            let m = b1 * at(1) + (1.0 - b1) * g;
            let v = b2 * at(2) + (1.0 - b2) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - b1.powf(t)), v / (1.0 - b2.powf(t)));
            [at(0) - lr * m_hat / (v_hat.sqrt() + epsilon), m, v]
        };
        (0..3).map(|k| elementwise(cx, |at| step(at)[k])).collect()
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        let (lr, t) = (cx.scalar(self.lr), cx.scalar(Scalar::STEP) + 1.0);
        let (b1, b2) = (f64::from(self.beta_1), f64::from(self.beta_2));
        let (epsilon, decay) = (f64::from(self.epsilon), f64::from(self.weight_decay));
        let (c1, c2) = (1.0 - b1.powf(t), 1.0 - b2.powf(t));
        let errors = |i: usize| {
            let [w, m, v, dw] = [0, 1, 2, 3].map(|k| cx.inputs[k].data[i]);
            let (g, dg) = (dw + decay * w, gradient_error(dw, decay * w));
            let (dm, dv) = (moment_error(b1, m, g, dg, 1), moment_error(b2, v, g, dg, 2));
            // The correction itself is good to a few units.
            let corrected =
                |moment: f64, error: f64, c: f64| (moment / c, error / c + 8.0 * EPS * (moment / c).abs());
            let m_hat = corrected(results[1].data[i], dm, c1);
            let v_hat = corrected(results[2].data[i], dv, c2);
            [step_error(w, lr, m_hat, v_hat, epsilon), dm, dv]
        };
        bounds(cx, errors)
    }
}

impl Graph {
    /// Overwrites a state or a parameter with `value` at the end of the step: every operator of the
    /// step, other assignments included, reads the old contents.
    ///
    /// # Errors
    /// [`Error::NotWritable`] unless `state` is a state or a parameter; [`Error::ShapeMismatch`].
    #[track_caller]
    pub fn assign(&self, state: Value, value: Value) -> Result<()> {
        self.operand_shape("assign", state)?;
        self.operand_shape("assign", value)?;
        let (name, is_state, from_state) = {
            let recording = self.recording();
            let is_state = |v: Value| {
                matches!(recording.values[v.index()].source, Source::State(_) | Source::Parameter(_))
            };
            (recording.describe(state), is_state(state), is_state(recording.root(value)))
        };
        if !is_state {
            let error = Error::NotWritable { name, reason: "only states and parameters are assigned" };
            return self.located("assign", Err(error));
        }
        // Another update may overwrite the source first; a copy holds what the step began with.
        let value = if from_state { self.copy(value)? } else { value };
        self.apply(Assign, &[state, value]).map(|_| ())
    }
}
