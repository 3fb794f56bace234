use super::Optimizer;
use super::rate::{Rate, check_decay, check_positive, settings};
use crate::error::Result;
use crate::graph::{Graph, Init, Value};
use crate::ops::{self, UpdateParams};

/// What the optimisers of this file share: the decays of their two moments, and epsilon.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moments {
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
}

impl Moments {
    fn check(&self) -> Result<()> {
        check_decay("beta_1", self.beta_1)?;
        check_decay("beta_2", self.beta_2)?;
        check_positive("epsilon", self.epsilon)
    }

    fn params(&self) -> UpdateParams {
        let &Moments { beta_1, beta_2, epsilon } = self;
        UpdateParams { beta_1, beta_2, epsilon, ..UpdateParams::default() }
    }
}

macro_rules! moments {
    ($optimizer:ident) => {
        impl $optimizer {
            /// Sets the decay of the mean gradient and of its size, each in `[0, 1)`.
            pub fn betas(mut self, beta_1: f32, beta_2: f32) -> Self {
                (self.moments.beta_1, self.moments.beta_2) = (beta_1, beta_2);
                self
            }

            /// Sets the number added to what is divided by.
            pub fn epsilon(mut self, epsilon: f32) -> Self {
                self.moments.epsilon = epsilon;
                self
            }
        }
    };
}

/// Adam (Kingma and Ba, ICLR 2015, algorithm 1):
///
/// ```text
/// g = dw + weight_decay w
/// m = beta_1 m + (1 - beta_1) g          v = beta_2 v + (1 - beta_2) g^2
/// w = w - lr m_hat / (sqrt(v_hat) + epsilon)
///     with m_hat = m / (1 - beta_1^t), v_hat = v / (1 - beta_2^t)
/// ```
///
/// `t` is the session's number of updates, from 1. `beta_1` is 0.9, `beta_2` 0.999, `epsilon` 1e-8 by
/// default, as in the paper and in PyTorch. Keras adds its epsilon, 1e-7, to `sqrt(v)` before the
/// correction (the paper's "epsilon hat"), where it counts as `epsilon / sqrt(1 - beta_2^t)`: 3.2e-6 at the
/// first update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    rate: Rate,
    moments: Moments,
    amsgrad: bool,
}

impl Adam {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        let moments = Moments { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
        Adam { rate: Rate::new(learning_rate), moments, amsgrad: false }
    }

    /// Takes the largest `v` so far for `v_hat` (AMSGrad: Reddi, Kale and Kumar, ICLR 2018), with the
    /// bias correction that PyTorch and Keras keep.
    pub fn amsgrad(mut self) -> Self {
        self.amsgrad = true;
        self
    }
}

settings!(Adam {});
moments!(Adam);

impl Optimizer for Adam {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        self.moments.check()?;
        let states = [("m", Init::Zeros), ("v", Init::Zeros), ("v_max", Init::Zeros)];
        let rule = ops::Adam { amsgrad: self.amsgrad };
        let states = &states[..2 + usize::from(self.amsgrad)];
        self.rate.record(graph, gradients, rule, self.moments.params(), states)
    }
}

/// AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019): [`Adam`] with
/// decoupled weight decay.
///
/// ```text
/// w = w - lr decay w
/// m, v and w as in Adam
/// ```
///
/// The decay is 0.004 by default, as in Keras; PyTorch has 0.01. Like both, and unlike the paper, which
/// has a schedule of its own for it, the decay is multiplied by the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW(Adam);

impl AdamW {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        AdamW(Adam::new(learning_rate).decoupled_weight_decay(0.004))
    }

    /// Sets the decay of the mean gradient and of its size, each in `[0, 1)`.
    pub fn betas(self, beta_1: f32, beta_2: f32) -> Self {
        AdamW(self.0.betas(beta_1, beta_2))
    }

    /// Sets the number added to the root.
    pub fn epsilon(self, epsilon: f32) -> Self {
        AdamW(self.0.epsilon(epsilon))
    }

    /// As [`Adam::amsgrad`].
    pub fn amsgrad(self) -> Self {
        AdamW(self.0.amsgrad())
    }

    /// Adds `weight_decay w` to the gradient, besides the decoupled decay; 0 by default.
    pub fn weight_decay(self, weight_decay: f32) -> Self {
        AdamW(self.0.weight_decay(weight_decay))
    }

    /// Takes `lr decay w` off each parameter before the step; 0.004 by default.
    pub fn decoupled_weight_decay(self, decay: f32) -> Self {
        AdamW(self.0.decoupled_weight_decay(decay))
    }
}

impl Optimizer for AdamW {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.0.record(graph, gradients)
    }
}

/// Adamax (Kingma and Ba, ICLR 2015, algorithm 2):
///
/// ```text
/// g = dw + weight_decay w
/// m = beta_1 m + (1 - beta_1) g          u = max(beta_2 u, |g|)
/// w = w - lr m_hat / (u + epsilon)       with m_hat = m / (1 - beta_1^t)
/// ```
///
/// `beta_1` is 0.9, `beta_2` 0.999, `epsilon` 1e-7 by default, as in Keras; PyTorch has 1e-8, and adds
/// it to `|g|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamax {
    rate: Rate,
    moments: Moments,
}

impl Adamax {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        let moments = Moments { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        Adamax { rate: Rate::new(learning_rate), moments }
    }
}

settings!(Adamax {});
moments!(Adamax);

impl Optimizer for Adamax {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        self.moments.check()?;
        let states = [("m", Init::Zeros), ("u", Init::Zeros)];
        self.rate.record(graph, gradients, ops::Adamax, self.moments.params(), &states)
    }
}

/// Nadam (Dozat, Incorporating Nesterov Momentum into Adam, ICLR workshop 2016):
///
/// ```text
/// g = dw + weight_decay w
/// m = beta_1 m + (1 - beta_1) g          v = beta_2 v + (1 - beta_2) g^2
/// m_hat = mu_(t+1) m / (1 - mu_1 .. mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 .. mu_t)
/// w = w - lr m_hat / (sqrt(v_hat) + epsilon)
///     with mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2), v_hat = v / (1 - beta_2^t)
/// ```
///
/// `beta_1` is 0.9, `beta_2` 0.999, `epsilon` 1e-7 and `momentum_decay` 1 by default, as in Keras;
/// PyTorch and the paper have a momentum decay of 0.004, PyTorch an epsilon of 1e-8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nadam {
    rate: Rate,
    moments: Moments,
    momentum_decay: f32,
}

impl Nadam {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        let moments = Moments { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
        Nadam { rate: Rate::new(learning_rate), moments, momentum_decay: 1.0 }
    }
}

settings!(Nadam {
    /// Sets how fast the momentum grows from half of `beta_1` to all of it, positive.
    momentum_decay,
});
moments!(Nadam);

impl Optimizer for Nadam {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        self.moments.check()?;
        check_positive("momentum_decay", self.momentum_decay)?;
        let states = [("m", Init::Zeros), ("v", Init::Zeros)];
        let params = UpdateParams { momentum_decay: self.momentum_decay, ..self.moments.params() };
        self.rate.record(graph, gradients, ops::Nadam, params, &states)
    }
}
