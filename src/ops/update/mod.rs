//! Operators that overwrite state: assignment, running sums and averages, and the optimisers' update
//! rules. A rule is its formula in [`rules_descent`], [`rules_moments`] or [`rules_state`], and an entry
//! point of the shader; [`Update`] makes an operator of it. Shader: `update.wgsl`.

mod count;
mod graph;
mod number;
mod rules_descent;
mod rules_moments;
mod rules_state;

pub(crate) use number::{Approximate, Number};
pub(crate) use rules_descent::{Adadelta, Adagrad, Ftrl, Lion, RmsProp, Sgd};
pub(crate) use rules_moments::{Adam, Adamax, Nadam};
pub(crate) use rules_state::MovingAverage;

use std::fmt;
use std::ops::Range;

use super::{Gradient, Lowering, Op, OperatorInfo, Reference, expect_dtype, word};
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::Scalar;
use crate::kernel::{KernelCall, Shader};
use crate::shape::TensorType;

pub(super) static SHADER: Shader = built_in!("update", "../../../shaders/update.wgsl");

crate::params! {
    /// The numbers of a rule, all of them together; a rule reads its own.
    #[derive(Default)]
    pub(crate) struct UpdateParams {
        pub n: u32,
        pub updates: u32,
        pub lr: f32,
        pub weight_decay: f32,
        pub decoupled_decay: f32,
        pub nesterov: u32,
        pub momentum: f32,
        pub momentum_decay: f32,
        pub rho: f32,
        pub beta_1: f32,
        pub beta_2: f32,
        pub epsilon: f32,
        pub power: f32,
        pub l1: f32,
        pub l2: f32,
        pub beta: f32,
        pub l2_shrinkage: f32,
    }
}

pub(super) const OPERATORS: [OperatorInfo; 13] = [
    OperatorInfo::new("assign", Gradient::None, "f32, u32"),
    OperatorInfo::new("accumulate", Gradient::None, "f32"),
    OperatorInfo::new("moving_average", Gradient::None, "f32"),
    OperatorInfo::new("update_count", Gradient::Zero, "f32"),
    OperatorInfo::new("sgd", Gradient::None, "f32"),
    OperatorInfo::new("adagrad", Gradient::None, "f32"),
    OperatorInfo::new("adadelta", Gradient::None, "f32"),
    OperatorInfo::new("rmsprop", Gradient::None, "f32"),
    OperatorInfo::new("adam", Gradient::None, "f32"),
    OperatorInfo::new("adamax", Gradient::None, "f32"),
    OperatorInfo::new("nadam", Gradient::None, "f32"),
    OperatorInfo::new("lion", Gradient::None, "f32"),
    OperatorInfo::new("ftrl", Gradient::None, "f32"),
];

/// The most operands that a parameter has: itself, three states and its gradient.
const OPERANDS: usize = 5;

/// The new contents of a parameter's element and of its states; those it does not have are not looked at.
pub(crate) type Overwritten<N> = [N; OPERANDS - 1];

/// How an element of a parameter and of its states is overwritten.
pub(crate) trait UpdateRule: fmt::Debug + Copy + Send + Sync + 'static {
    /// The operator's name.
    fn name(&self) -> &'static str;

    /// The entry point of the shader.
    fn entry(&self) -> &'static str {
        self.name()
    }

    /// How many states a parameter has.
    fn states(&self) -> usize;

    /// Whether the operands are copied as they are, whatever their dtype; all else needs f32.
    fn takes_any_dtype(&self) -> bool {
        false
    }

    /// Whether the formula counts the updates.
    fn counts_updates(&self) -> bool {
        false
    }

    /// Loop iterations of an invocation.
    fn loops(&self) -> usize {
        0
    }

    /// Numbers that depend on the update alone, worked out once for all elements.
    fn factors<N: Number>(&self, p: &UpdateParams) -> [N; 3] {
        let _ = p;
        [N::exact(0.0); 3]
    }

    /// The new contents, given the [`factors`](UpdateRule::factors) and the element of each operand: the
    /// parameter, its states, its gradient.
    fn formula<N: Number>(&self, p: &UpdateParams, factors: &[N; 3], x: &[N]) -> Overwritten<N>;
}

impl UpdateParams {
    /// The number of this update, from 1.
    fn t(&self) -> f64 {
        f64::from(self.updates) + 1.0
    }

    /// The gradient with what decays the weights through it, and the parameter decayed beside it.
    fn decayed<N: Number>(&self, w: N, dw: N) -> (N, N) {
        let [l2, lr, decoupled]: [N; 3] = numbers([self.weight_decay, self.lr, self.decoupled_decay]);
        (dw + l2 * w, w - lr * decoupled * w)
    }

    /// `1 - beta^t`, as the kernels compute it without cancellation.
    fn correction<N: Number>(&self, beta: f32) -> N {
        let rest = -(self.t() * f64::from(beta).ln()).exp_m1();
        N::within(rest, 12.0 * super::EPS * rest)
    }

    /// The numbers that are not 0, with their names.
    fn attributes(&self) -> String {
        let numbers = [
            ("momentum", self.momentum),
            ("momentum_decay", self.momentum_decay),
            ("rho", self.rho),
            ("beta_1", self.beta_1),
            ("beta_2", self.beta_2),
            ("epsilon", self.epsilon),
            ("learning_rate_power", self.power),
            ("l1", self.l1),
            ("l2", self.l2),
            ("beta", self.beta),
            ("l2_shrinkage", self.l2_shrinkage),
            ("weight_decay", self.weight_decay),
            ("decoupled_weight_decay", self.decoupled_decay),
        ];
        let given = numbers.iter().filter(|(_, number)| *number != 0.0);
        let mut text: Vec<String> = given.map(|(name, number)| format!("{name}={number:?}")).collect();
        if self.nesterov != 0 {
            text.push("nesterov".to_owned());
        }
        text.join(", ")
    }
}

/// Parameters of a kernel as numbers.
fn numbers<N: Number, const K: usize>(parameters: [f32; K]) -> [N; K] {
    parameters.map(|p| N::exact(f64::from(p)))
}

/// The operator of a rule, over one or several parameters: `w_1 .. w_k`, then the first state of each,
/// then the second and so on, then the gradients `dw_1 .. dw_k`.
#[derive(Clone, Debug)]
pub(crate) struct Update<R> {
    rule: R,
    params: UpdateParams,
    lr: Option<Scalar>,
    mutates: Vec<usize>,
}

impl<R: UpdateRule> Update<R> {
    /// The rule for so many parameters at once.
    pub fn new(rule: R, params: UpdateParams, lr: Option<Scalar>, parameters: usize) -> Self {
        Update { rule, params, lr, mutates: (0..parameters * (1 + rule.states())).collect() }
    }

    /// Operands of a parameter.
    fn operands(&self) -> usize {
        self.rule.states() + 2
    }

    fn parameters(&self) -> usize {
        self.mutates.len() / (1 + self.rule.states())
    }

    /// The parameter block of the update being computed.
    fn current(&self, cx: &Reference<'_>) -> UpdateParams {
        let lr = self.lr.map_or(0.0, |lr| cx.scalar(lr) as f32);
        UpdateParams { lr, updates: cx.scalar(Scalar::UPDATES) as u32, ..self.params }
    }

    /// For each overwritten operand of each parameter, in the order of the operator's inputs, `pick` of
    /// every element's new content.
    fn each<N: Number>(&self, cx: &Reference<'_>, pick: impl Fn(N) -> f64 + Sync) -> Vec<Array> {
        let (count, operands) = (self.parameters(), self.operands());
        let params = self.current(cx);
        let factors: [N; 3] = self.rule.factors(&params);
        let new = |class: usize, parameter: usize| {
            let of = |operand: usize| cx.inputs[operand * count + parameter];
            Array::from_fn(of(0).shape, |i| {
                let mut x = [N::exact(0.0); OPERANDS];
                for (operand, x) in x.iter_mut().enumerate().take(operands) {
                    *x = N::exact(of(operand).data[i]);
                }
                pick(self.rule.formula(&params, &factors, &x[..operands])[class])
            })
        };
        let classes = (0..operands - 1).flat_map(|class| (0..count).map(move |k| (class, k)));
        classes.map(|(class, k)| new(class, k)).collect()
    }
}

impl<R: UpdateRule> Op for Update<R> {
    fn name(&self) -> &'static str {
        self.rule.name()
    }

    fn attributes(&self) -> String {
        self.params.attributes()
    }

    /// All operands of a parameter have its type.
    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let count = self.parameters();
        debug_assert_eq!(inputs.len(), count * self.operands(), "operands of {}", self.rule.name());
        for (index, ty) in inputs.iter().enumerate() {
            let parameter = inputs[index % count];
            if !self.rule.takes_any_dtype() {
                expect_dtype("the operand", *ty, DType::F32)?;
            }
            if ty.dtype != parameter.dtype {
                let (what, found) = ("the new value".to_owned(), ty.dtype);
                return Err(Error::DTypeMismatch { what, found, expected: parameter.dtype });
            }
            if ty.shape != parameter.shape {
                let what = "an update needs the shape of what it overwrites";
                return Err(Error::shape_mismatch(what, parameter.shape, ty.shape));
            }
        }
        Ok(Vec::new())
    }

    fn mutates(&self) -> &[usize] {
        &self.mutates
    }

    /// Parameters, each state and gradients side by side.
    fn packs(&self) -> Vec<Range<usize>> {
        let count = self.parameters();
        (0..self.operands()).map(|operand| operand * count..(operand + 1) * count).collect()
    }

    /// A call for each run of parameters that lie side by side, over vectors of four.
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        for run in cx.runs() {
            let quads = run.elements[0].div_ceil(4);
            let mut call = KernelCall::new(&SHADER, self.rule.entry())
                .binds(run.slots.iter().copied())
                .params(&UpdateParams { n: word(quads), ..self.params })
                .loops(self.rule.loops())
                .elementwise("n", quads, 4);
            if let Some(lr) = self.lr {
                call = call.scalar("lr", lr);
            }
            if self.rule.counts_updates() {
                call = call.scalar("updates", Scalar::UPDATES);
            }
            cx.call(call);
        }
        Ok(())
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        self.each::<f64>(cx, |new| new)
    }

    fn error_bound(&self, cx: &Reference<'_>, _: &[Array]) -> Vec<Vec<f64>> {
        self.each::<Approximate>(cx, |new| new.error).into_iter().map(|bound| bound.data).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Adam, Update, UpdateParams};
    use crate::graph::{Graph, Init, Value};
    use crate::kernel::DeviceProfile;
    use crate::{Device, Tape};

    /// Parameters, moments and gradients of two shapes; the moments and what moves them.
    fn record(at_once: bool) -> (Tape, [[Value; 2]; 4]) {
        let mut g = Graph::new();
        let shapes = [crate::Shape::from([3]), [2, 5].into()];
        let mut class = |name: &str, low: f32| {
            [0, 1].map(|i| {
                let init = Init::Uniform { low, high: low + 1.0 };
                g.parameter(&format!("{name}{i}"), shapes[i], init)
            })
        };
        let all = [class("w", 0.0), class("m", -0.5), class("v", 0.5), class("dw", -1.0)];
        let lr = Some(g.scalar("lr", 0.1));
        let params = UpdateParams { beta_1: 0.9, beta_2: 0.99, epsilon: 1e-8, ..UpdateParams::default() };
        let rule = Adam { amsgrad: false };
        if at_once {
            g.apply(Update::new(rule, params, lr, 2), all.as_flattened()).expect("it records");
        } else {
            for i in [0, 1] {
                g.apply(Update::new(rule, params, lr, 1), &all.map(|class| class[i])).expect("it records");
            }
        }
        (g.forward(Vec::new()).expect("it records"), all)
    }

    #[test]
    fn several_parameters_at_once_move_as_one_by_one() {
        let contents = |at_once: bool| {
            let (tape, all) = record(at_once);
            let mut session = tape.session(&Device::cpu()).expect("it builds");
            session.replay_n(3).expect("it replays");
            all.map(|class| class.map(|value| session.read_f64(value).expect("it is a parameter")))
        };
        assert_eq!(contents(true), contents(false));
        let dispatches = |at_once: bool| {
            record(at_once).0.plan(&DeviceProfile::baseline()).expect("it plans").dispatches.len()
        };
        assert_eq!([dispatches(true), dispatches(false)], [1, 2]);
    }
}
