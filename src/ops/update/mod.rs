//! Operators that overwrite state: assignment, running sums and averages, and what the optimisers'
//! updates are made of. An [`UpdateRule`] is a formula and an entry point of the shader; [`Update`] makes
//! an operator of it. Shader: `update.wgsl`.

mod compute;
mod count;
mod number;
mod rules;

pub(super) use count::UpdateCount;
pub(crate) use number::{Approximate, Number, numbers};
pub(super) use rules::{Accumulate, Assign, MovingAverage};

use std::fmt;
use std::ops::Range;

use super::clip;
use super::common::*;
use crate::error::Setting;
use crate::graph::{Init, Scalar};

pub(super) static SHADER: Shader = built_in!(
    "update",
    "../../../shaders/update.wgsl",
    "../../../shaders/two_sum.wgsl",
    "../../../shaders/whole_gradient.wgsl"
);
/// The same on gradients that are clipped by a norm.
pub(super) static LIMITED: Shader = built_in!(
    "update",
    "../../../shaders/update.wgsl",
    "../../../shaders/two_sum.wgsl",
    "../../../shaders/limited_gradient.wgsl",
    "../../../shaders/limit.wgsl"
);

crate::params! {
    /// What kernels read: settings of rules under their names, each rule its own.
    #[derive(Default)]
    struct UpdateParams {
        n: u32,
        updates: u32,
        lr: f32,
        weight_decay: f32,
        decoupled_weight_decay: f32,
        nesterov: f32,
        pytorch: f32,
        momentum: f32,
        momentum_decay: f32,
        rho: f32,
        beta_1: f32,
        beta_2: f32,
        epsilon: f32,
        learning_rate_power: f32,
        l1: f32,
        l2: f32,
        beta: f32,
        l2_shrinkage: f32,
        limit: f32,
    }
}

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("assign", Gradient::None, "f32, u32"),
        OperatorInfo::new("accumulate", Gradient::None, "f32"),
        OperatorInfo::new("moving_average", Gradient::None, "f32"),
        OperatorInfo::new("update_count", Gradient::Zero, "f32"),
    ],
    shaders: &[&SHADER, &LIMITED],
};

/// The most operands that a parameter has: itself, three states and its gradient.
const OPERANDS: usize = 5;

/// States of a parameter: their names, and what they begin with.
pub(crate) type Slots = Vec<(&'static str, Init)>;

/// States of these names that begin with zeros.
pub(crate) fn zeros(names: &[&'static str]) -> Slots {
    names.iter().map(|&name| (name, Init::Zeros)).collect()
}

/// How an element of a parameter and of its states is overwritten.
pub(crate) trait UpdateRule: fmt::Debug + Copy + Send + Sync + 'static {
    /// The operator's name.
    const NAME: &'static str;
    /// Whether the operands are copied as they are, whatever their dtype; all else needs f32.
    const ANY_DTYPE: bool = false;
    /// Whether the formula counts the updates.
    const COUNTS_UPDATES: bool = false;
    /// Loop iterations of an invocation.
    const LOOPS: usize = 0;
    /// The names of the states of a parameter, where they begin with zeros.
    const SLOTS: &'static [&'static str] = &[];

    /// The entry point of the shader.
    fn entry(&self) -> &'static str {
        Self::NAME
    }

    /// The states of a parameter.
    fn slots(&self) -> Slots {
        zeros(Self::SLOTS)
    }

    /// Fails unless the settings go together.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Numbers that depend on the update alone, worked out once for all elements.
    fn factors<N: Number>(&self, t: f64) -> [N; 3] {
        let _ = t;
        numbers([0.0; 3])
    }

    /// Overwrites an element of each operand: the parameter and its states, which its gradient follows.
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]);
}

/// The two ways in which weights decay: through the gradient, and beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Decay {
    pub weight_decay: f32,
    pub decoupled: f32,
}

impl Decay {
    pub fn settings(&self) -> [Setting; 2] {
        [("weight_decay", self.weight_decay), ("decoupled_weight_decay", self.decoupled)]
            .map(|(name, value)| Setting::not_negative(name, value))
    }
}

/// What a formula has besides its operands and settings.
pub(crate) struct Step<N> {
    /// The number of the update, from 1.
    pub t: f64,
    pub learning_rate: f32,
    pub lr: N,
    /// Those of the rule.
    pub factors: [N; 3],
    /// How the weights decay, through the gradient and beside it.
    decay: [N; 2],
}

impl<N: Number> Step<N> {
    pub fn new(scalar: impl Fn(Scalar) -> f64, lr: Option<Scalar>, decay: Decay) -> Self {
        let learning_rate = lr.map_or(0.0, |lr| scalar(lr) as f32);
        let [lr, through, beside] = numbers([learning_rate, decay.weight_decay, decay.decoupled]);
        let t = scalar(Scalar::UPDATES) + 1.0;
        Step { t, learning_rate, lr, factors: numbers([0.0; 3]), decay: [through, beside] }
    }

    /// The gradient with what decays the weights through it, and the parameter decayed beside it, given
    /// all operands or the first and last.
    #[inline(always)]
    pub fn decayed(&self, x: &[N]) -> (N, N) {
        let (w, dw) = (x[0], x[x.len() - 1]);
        let [through, beside] = self.decay;
        (dw + through * w, w - self.lr * beside * w)
    }
}

/// `1 - beta^t`, as the kernels compute it without cancellation.
pub(crate) fn correction<N: Number>(beta: f32, t: f64) -> N {
    let rest = -(t * f64::from(beta).ln()).exp_m1();
    N::within(rest, 12.0 * EPS * rest)
}

/// The operator of a rule, over one or several parameters: `w_1 .. w_k`, then the first state of each,
/// then the second and so on, then the gradients `dw_1 .. dw_k`; last, if it has a limit, the norm that these are
/// clipped by.
#[derive(Clone, Debug)]
pub(crate) struct Update<R> {
    rule: R,
    lr: Option<Scalar>,
    decay: Decay,
    /// What the norm of the gradients is held to.
    limit: Option<f32>,
    /// What listings show and the kernel reads.
    settings: Vec<Setting>,
    parameters: usize,
    /// Operands of a parameter.
    operands: usize,
    mutates: Vec<usize>,
}

impl<R: UpdateRule> Update<R> {
    /// A rule with its settings, for so many parameters at once.
    pub fn new(rule: R, settings: Vec<Setting>, parameters: usize) -> Self {
        let overwritten = 1 + rule.slots().len();
        let mutates = (0..parameters * overwritten).collect();
        let (lr, decay, operands) = (None, Decay::default(), overwritten + 1);
        Update { rule, lr, decay, limit: None, settings, parameters, operands, mutates }
    }

    /// The same at this rate, of weights that decay.
    pub fn at_rate(mut self, lr: Scalar, decay: Decay) -> Self {
        self.settings.extend(decay.settings());
        Update { lr: Some(lr), decay, ..self }
    }

    /// The same with gradients that are clipped by a norm, if there is a limit: its last operand.
    pub fn limited(mut self, limit: Option<f32>) -> Self {
        self.settings.extend(limit.map(|limit| Setting::normal("limit", limit)));
        Update { limit, ..self }
    }

    /// Operands of all parameters.
    fn of_parameters(&self) -> usize {
        self.parameters * self.operands
    }

    /// For each overwritten operand of each parameter, in the order of the operator's inputs, `pick` of
    /// every element's new content.
    fn each<N: Number>(&self, cx: &Reference<'_>, pick: impl Fn(N) -> f64 + Sync) -> Vec<Array> {
        let mut step = Step::<N>::new(|scalar| cx.scalar(scalar), self.lr, self.decay);
        step.factors = self.rule.factors(step.t);
        let norm = self.limit.map(|limit| (cx.inputs[self.of_parameters()].data[0], f64::from(limit)));
        let gradient = |dw: f64| {
            let Some((norm, limit)) = norm.filter(|&(norm, limit)| !clip::is_within(norm, limit)) else {
                return N::exact(dw);
            };
            let (dw, error) = clip::limited(dw, norm, limit);
            N::within(dw, error)
        };
        let new = |operand: usize| {
            let (class, parameter) = (operand / self.parameters, operand % self.parameters);
            let of = |class: usize| cx.inputs[class * self.parameters + parameter];
            Array::from_fn(of(0).shape, |i| {
                let mut x = [N::exact(0.0); OPERANDS];
                let x = &mut x[..self.operands];
                x.iter_mut().enumerate().for_each(|(class, x)| *x = N::exact(of(class).data[i]));
                x[self.operands - 1] = gradient(of(self.operands - 1).data[i]);
                self.rule.formula(&step, x);
                pick(x[class])
            })
        };
        self.mutates.iter().map(|&operand| new(operand)).collect()
    }
}

impl<R: UpdateRule> Op for Update<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn attributes(&self) -> String {
        Setting::list(&self.settings)
    }

    /// All operands of a parameter have its type.
    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let count = self.of_parameters();
        debug_assert_eq!(inputs.len(), count + usize::from(self.limit.is_some()), "operands of {}", R::NAME);
        for (index, ty) in inputs.iter().take(count).enumerate() {
            let parameter = inputs[index % self.parameters];
            if !R::ANY_DTYPE {
                expect_dtype("the operand", *ty, DType::F32)?;
            }
            expect_dtype("the new value", *ty, parameter.dtype)?;
            same_shape("an update needs the shape of what it overwrites", parameter.shape, ty.shape)?;
        }
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &self.mutates
    }

    /// Parameters, each state and gradients side by side.
    fn packs(&self) -> Vec<Range<usize>> {
        let count = self.parameters;
        (0..self.operands).map(|class| class * count..(class + 1) * count).collect()
    }

    /// A call for each run of parameters that lie side by side, over vectors of four.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        for run in cx.runs() {
            let quads = run.elements[0].div_ceil(4);
            let norm = self.limit.map(|_| Slot::Input(self.of_parameters()));
            let mut call =
                KernelCall::new(if norm.is_some() { &LIMITED } else { &SHADER }, self.rule.entry())
                    .binds(run.slots.iter().copied().chain(norm))
                    .params(&UpdateParams { n: word(quads), ..UpdateParams::default() })
                    .settings(&self.settings)
                    .loops(R::LOOPS)
                    .elementwise("n", quads, 4);
            if let Some(lr) = self.lr {
                call = call.scalar("lr", lr);
            }
            if R::COUNTS_UPDATES {
                call = call.scalar("updates", Scalar::UPDATES);
            }
            cx.call(call);
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        self.each::<f64>(cx, |new| new)
    }

    fn routine(&self, _: &[TensorType], _: &[TensorType]) -> Option<Routine> {
        let update = self.clone();
        Some(Box::new(move |cx| update.run(cx)))
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        self.each::<Approximate>(cx, |new| new.error).into_iter().map(|bound| bound.data).collect()
    }
}
