use super::Optimizer;
use super::rate::{Rate, check, check_decay, check_not_negative, check_positive, settings};
use crate::error::Result;
use crate::graph::{Graph, Init, Value};
use crate::ops::{self, UpdateParams};

/// Stochastic gradient descent, with momentum if asked:
///
/// ```text
/// g = dw + weight_decay w
/// u = momentum u + g
/// w = w - lr u                     w = w - lr (g + momentum u) in Nesterov's form
/// ```
///
/// The form of Sutskever et al., ICML 2013, as PyTorch writes it. Keras keeps `lr u` in its velocity:
/// the same until the rate changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    rate: Rate,
    momentum: f32,
    nesterov: bool,
}

impl Sgd {
    /// Plain descent: no momentum, no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Sgd { rate: Rate::new(learning_rate), momentum: 0.0, nesterov: false }
    }

    /// Uses Nesterov's form of momentum.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }
}

settings!(Sgd {
    /// Sets the momentum, in `[0, 1)`.
    momentum,
});

impl Optimizer for Sgd {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        check_decay("momentum", self.momentum)?;
        let needs_momentum = !self.nesterov || self.momentum > 0.0;
        check("momentum", self.momentum, needs_momentum, "Nesterov's form needs it to be positive")?;
        let &Sgd { momentum, nesterov, .. } = self;
        let params = UpdateParams { momentum, nesterov: u32::from(nesterov), ..UpdateParams::default() };
        let rule = ops::Sgd { momentum: momentum > 0.0 };
        let states = [("velocity", Init::Zeros)];
        self.rate.record(graph, gradients, rule, params, &states[..usize::from(rule.momentum)])
    }
}

/// Adagrad (Duchi, Hazan and Singer, JMLR 12, 2011):
///
/// ```text
/// g = dw + weight_decay w
/// s = s + g^2
/// w = w - lr g / (sqrt(s) + epsilon)
/// ```
///
/// `s` begins with `initial_accumulator`, 0.1 by default, and `epsilon` is 1e-7, as in Keras, which adds
/// it under the root. PyTorch begins with 0 and has 1e-10.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    rate: Rate,
    initial_accumulator: f32,
    epsilon: f32,
}

impl Adagrad {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Adagrad { rate: Rate::new(learning_rate), initial_accumulator: 0.1, epsilon: 1e-7 }
    }
}

settings!(Adagrad {
    /// Sets what the sums of squares begin with, not negative.
    initial_accumulator,
    /// Sets the number added to the root.
    epsilon,
});

impl Optimizer for Adagrad {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        check_not_negative("initial_accumulator", self.initial_accumulator)?;
        check_positive("epsilon", self.epsilon)?;
        let params = UpdateParams { epsilon: self.epsilon, ..UpdateParams::default() };
        let states = [("accumulator", Init::Constant(self.initial_accumulator))];
        self.rate.record(graph, gradients, ops::Adagrad, params, &states)
    }
}

/// Adadelta (Zeiler, arXiv:1212.5701, algorithm 1):
///
/// ```text
/// g = dw + weight_decay w
/// s = rho s + (1 - rho) g^2
/// z = sqrt(d + epsilon) / sqrt(s + epsilon) g
/// d = rho d + (1 - rho) z^2
/// w = w - lr z
/// ```
///
/// `rho` is 0.95 and `epsilon` 1e-7 by default, as in Keras; PyTorch has 0.9 and 1e-6. The paper's
/// learning rate is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adadelta {
    rate: Rate,
    rho: f32,
    epsilon: f32,
}

impl Adadelta {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Adadelta { rate: Rate::new(learning_rate), rho: 0.95, epsilon: 1e-7 }
    }
}

settings!(Adadelta {
    /// Sets the decay of both mean squares, in `[0, 1)`.
    rho,
    /// Sets the number added under both roots.
    epsilon,
});

impl Optimizer for Adadelta {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        check_decay("rho", self.rho)?;
        check_positive("epsilon", self.epsilon)?;
        let params = UpdateParams { rho: self.rho, epsilon: self.epsilon, ..UpdateParams::default() };
        let states = [("accumulated_gradient", Init::Zeros), ("accumulated_delta", Init::Zeros)];
        self.rate.record(graph, gradients, ops::Adadelta, params, &states)
    }
}

/// RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e):
///
/// ```text
/// g = dw + weight_decay w
/// v = rho v + (1 - rho) g^2
/// step = lr g / (sqrt(v) + epsilon)          / (sqrt(v - m^2) + epsilon) if centred (Graves,
///                                            arXiv:1308.0850), m = rho m + (1 - rho) g
/// w = w - step                               w = w - u with momentum, u = momentum u + step
/// ```
///
/// `rho` is 0.9 and `epsilon` 1e-7 by default, as in Keras, which adds it under the root; PyTorch has
/// 0.99 and 1e-8. With momentum, the velocity holds steps of the rate they were made with, as in Keras;
/// PyTorch multiplies by the rate afterwards.
///
/// Centred, the state is the variance `v - m^2` itself, which follows
/// `rho (variance + (1 - rho) (g - m)^2)`: the difference would cancel in f32, and end below 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    rate: Rate,
    rho: f32,
    epsilon: f32,
    momentum: f32,
    centered: bool,
}

impl RmsProp {
    /// The defaults with this learning rate: neither centred nor with momentum.
    pub fn new(learning_rate: f32) -> Self {
        let rate = Rate::new(learning_rate);
        RmsProp { rate, rho: 0.9, epsilon: 1e-7, momentum: 0.0, centered: false }
    }

    /// Scales by the variance of the gradient in place of its mean square.
    pub fn centered(mut self) -> Self {
        self.centered = true;
        self
    }
}

settings!(RmsProp {
    /// Sets the decay of the mean square, in `[0, 1)`.
    rho,
    /// Sets the number added to the root.
    epsilon,
    /// Sets the momentum, in `[0, 1)`.
    momentum,
});

impl Optimizer for RmsProp {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        check_decay("rho", self.rho)?;
        check_positive("epsilon", self.epsilon)?;
        check_decay("momentum", self.momentum)?;
        let &RmsProp { rho, epsilon, momentum, centered, .. } = self;
        let params = UpdateParams { rho, epsilon, momentum, ..UpdateParams::default() };
        let mut states = vec![(if centered { "variance" } else { "mean_square" }, Init::Zeros)];
        if centered {
            states.push(("mean_gradient", Init::Zeros));
        }
        if momentum > 0.0 {
            states.push(("velocity", Init::Zeros));
        }
        let rule = ops::RmsProp { centered, momentum: momentum > 0.0 };
        self.rate.record(graph, gradients, rule, params, &states)
    }
}

/// Lion (Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023, algorithm 2):
///
/// ```text
/// g = dw + weight_decay w
/// w = w - lr sign(beta_1 m + (1 - beta_1) g)
/// m = beta_2 m + (1 - beta_2) g
/// ```
///
/// `beta_1` is 0.9 and `beta_2` 0.99 by default, as in Keras and the paper; PyTorch has no Lion. Every
/// element moves by the rate itself, so that rates are 3 to 10 times smaller than Adam's, and decays as
/// much larger. The paper decays the weights decoupled from the gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    rate: Rate,
    beta_1: f32,
    beta_2: f32,
}

impl Lion {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Lion { rate: Rate::new(learning_rate), beta_1: 0.9, beta_2: 0.99 }
    }

    /// Sets the share of the momentum in the direction, and the decay of the momentum, each in
    /// `[0, 1)`.
    pub fn betas(mut self, beta_1: f32, beta_2: f32) -> Self {
        (self.beta_1, self.beta_2) = (beta_1, beta_2);
        self
    }
}

settings!(Lion {});

impl Optimizer for Lion {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        check_decay("beta_1", self.beta_1)?;
        check_decay("beta_2", self.beta_2)?;
        let params = UpdateParams { beta_1: self.beta_1, beta_2: self.beta_2, ..UpdateParams::default() };
        self.rate.record(graph, gradients, ops::Lion, params, &[("m", Init::Zeros)])
    }
}

/// FTRL-Proximal (McMahan et al., Ad Click Prediction, KDD 2013, algorithm 1), which leaves weights of
/// little use at exactly 0 if `l1` asks for it, as Keras has it:
///
/// ```text
/// g = dw + weight_decay w
/// n = s + g^2
/// z = z + g + 2 l2_shrinkage w - (n^-p - s^-p) / lr w          p = learning_rate_power
/// w = (clamp(z, -l1, l1) - z) / ((n^-p + beta) / lr + 2 l2)
/// s = n
/// ```
///
/// `s` begins with `initial_accumulator`, 0.1 by default; `learning_rate_power` is -0.5, the others 0.
/// The weights' initial values count for the first update only, through `z`. At a rate of 0 an update
/// changes nothing. PyTorch has no FTRL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ftrl {
    rate: Rate,
    learning_rate_power: f32,
    initial_accumulator: f32,
    l1: f32,
    l2: f32,
    beta: f32,
    l2_shrinkage: f32,
}

impl Ftrl {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Ftrl {
            rate: Rate::new(learning_rate),
            learning_rate_power: -0.5,
            initial_accumulator: 0.1,
            l1: 0.0,
            l2: 0.0,
            beta: 0.0,
            l2_shrinkage: 0.0,
        }
    }
}

settings!(Ftrl {
    /// Sets how the rate falls with the sum of squares: at most 0, and 0 for a rate that does not.
    learning_rate_power,
    /// Sets what the sums of squares begin with, positive.
    initial_accumulator,
    /// Sets the weight of the L1 penalty, which makes weights exactly 0.
    l1,
    /// Sets the weight of the L2 penalty, which stabilises.
    l2,
    /// Sets the number added to the root of the sum of squares.
    beta,
    /// Sets the weight of the L2 penalty on the weights as they are, by way of the gradient.
    l2_shrinkage,
});

impl Optimizer for Ftrl {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        let &Ftrl { learning_rate_power: power, l1, l2, beta, l2_shrinkage, .. } = self;
        let falls = power.is_finite() && power <= 0.0;
        check("learning_rate_power", power, falls, "it must be finite and at most 0")?;
        check_positive("initial_accumulator", self.initial_accumulator)?;
        check_not_negative("l1", l1)?;
        check_not_negative("l2", l2)?;
        check_not_negative("beta", beta)?;
        check_not_negative("l2_shrinkage", l2_shrinkage)?;
        let params = UpdateParams { power, l1, l2, beta, l2_shrinkage, ..UpdateParams::default() };
        let states = [("accumulator", Init::Constant(self.initial_accumulator)), ("linear", Init::Zeros)];
        self.rate.record(graph, gradients, ops::Ftrl, params, &states)
    }
}
