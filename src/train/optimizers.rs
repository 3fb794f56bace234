use std::fmt;

use super::{Clip, Clipped};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::{AdamUpdate, RmsPropUpdate, SgdUpdate};

/// Records how parameters move, given their gradients.
///
/// Built-in optimisers record one fused operator per parameter. One outside the crate may compose
/// graph operators, keep its moments in [`Graph::slot`]s and write with [`Graph::assign`].
///
/// ```
/// use retape::prelude::*;
///
/// /// w -= lr sign(dw)
/// #[derive(Debug)]
/// struct SignSgd { learning_rate: f32 }
///
/// impl Optimizer for SignSgd {
///     fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> retape::Result<()> {
///         let rate = g.scalar_value(g.scalar("learning_rate", self.learning_rate))?;
///         for &(w, dw) in gradients {
///             g.assign(w, g.sub(w, g.mul(rate, g.sign(dw)?)?)?)?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Optimizer: fmt::Debug {
    /// Records the updates of all parameters; `gradients` holds each with its gradient.
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()>;

    /// The same optimiser on clipped gradients: `Adam::new(1e-3).clip(Clip::GlobalNorm(1.0))`. The tape
    /// clips them on the device; nothing is read back. Clipped twice, gradients go through the limit
    /// named last first. [`Tape::gradient`](crate::Tape::gradient) is the gradient before, and
    /// [`Tape::gradient_norm`](crate::Tape::gradient_norm) the norm that it is clipped by.
    ///
    /// A limit that is not positive, not finite or subnormal is an [`Error::Argument`] of the training
    /// step.
    fn clip(self, clip: Clip) -> Clipped<Self>
    where
        Self: Sized,
    {
        Clipped::new(self, clip)
    }
}

/// An optimiser chosen at run time is one.
impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        (**self).record(graph, gradients)
    }
}

/// The name of the learning rate among a session's scalars:
/// `session.set_scalar(LEARNING_RATE, 0.01)`.
pub const LEARNING_RATE: &str = "learning_rate";

fn check(argument: &'static str, value: f32, valid: bool, expected: &'static str) -> Result<()> {
    if valid { Ok(()) } else { Err(Error::Argument { argument, value: value.to_string(), expected }) }
}

fn check_rate(rate: f32, weight_decay: f32) -> Result<()> {
    check("learning_rate", rate, rate.is_finite() && rate >= 0.0, "it must be finite and not negative")?;
    let decay_fits = weight_decay.is_finite() && weight_decay >= 0.0;
    check("weight_decay", weight_decay, decay_fits, "it must be finite and not negative")
}

fn check_decay(argument: &'static str, value: f32) -> Result<()> {
    check(argument, value, (0.0..1.0).contains(&value), "it must be at least 0 and below 1")
}

fn check_epsilon(epsilon: f32) -> Result<()> {
    check("epsilon", epsilon, epsilon.is_finite() && epsilon > 0.0, "it must be positive")
}

/// Stochastic gradient descent, with momentum if asked:
///
/// ```text
/// g = dw + weight_decay w
/// u = momentum u + g
/// w = w - lr u                     w = w - lr (g + momentum u) in Nesterov's form
/// ```
///
/// The form of Sutskever et al., ICML 2013, as PyTorch writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    nesterov: bool,
}

impl Sgd {
    /// Plain descent: no momentum, no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        Sgd { learning_rate, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// Sets the momentum, in `[0, 1)`.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Uses Nesterov's form of momentum.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// Adds `weight_decay * w` to the gradient.
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Optimizer for Sgd {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        check_rate(self.learning_rate, self.weight_decay)?;
        check_decay("momentum", self.momentum)?;
        let needs_momentum = !self.nesterov || self.momentum > 0.0;
        check("momentum", self.momentum, needs_momentum, "Nesterov's form needs it to be positive")?;
        let &Sgd { momentum, weight_decay, nesterov, .. } = self;
        let lr = graph.scalar(LEARNING_RATE, self.learning_rate);
        let update = SgdUpdate { lr, momentum, weight_decay, nesterov };
        for &(w, dw) in gradients {
            if momentum == 0.0 {
                graph.apply(update, &[w, dw])?;
            } else {
                graph.apply(update, &[w, graph.slot(w, "velocity")?, dw])?;
            }
        }
        Ok(())
    }
}

/// RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e):
///
/// ```text
/// g = dw + weight_decay w
/// v = rho v + (1 - rho) g^2
/// w = w - lr g / (sqrt(v) + epsilon)
/// ```
///
/// `rho` is 0.9 and `epsilon` 1e-7 by default, as in Keras.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    learning_rate: f32,
    rho: f32,
    epsilon: f32,
    weight_decay: f32,
}

impl RmsProp {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        RmsProp { learning_rate, rho: 0.9, epsilon: 1e-7, weight_decay: 0.0 }
    }

    /// Sets the decay of the mean square, in `[0, 1)`.
    pub fn rho(mut self, rho: f32) -> Self {
        self.rho = rho;
        self
    }

    /// Sets the number added to the root.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Adds `weight_decay * w` to the gradient.
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Optimizer for RmsProp {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        check_rate(self.learning_rate, self.weight_decay)?;
        check_decay("rho", self.rho)?;
        check_epsilon(self.epsilon)?;
        let &RmsProp { rho, epsilon, weight_decay, .. } = self;
        let lr = graph.scalar(LEARNING_RATE, self.learning_rate);
        for &(w, dw) in gradients {
            let update = RmsPropUpdate { lr, rho, epsilon, weight_decay };
            graph.apply(update, &[w, graph.slot(w, "mean_square")?, dw])?;
        }
        Ok(())
    }
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
/// `t` is the session's step count, from 1. `beta_1` is 0.9, `beta_2` 0.999, `epsilon` 1e-8 by
/// default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    learning_rate: f32,
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    weight_decay: f32,
}

impl Adam {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Adam { learning_rate, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }

    /// Sets the decay of the mean gradient and of the mean square, each in `[0, 1)`.
    pub fn betas(mut self, beta_1: f32, beta_2: f32) -> Self {
        (self.beta_1, self.beta_2) = (beta_1, beta_2);
        self
    }

    /// Sets the number added to the root.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Adds `weight_decay * w` to the gradient.
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Optimizer for Adam {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        check_rate(self.learning_rate, self.weight_decay)?;
        check_decay("beta_1", self.beta_1)?;
        check_decay("beta_2", self.beta_2)?;
        check_epsilon(self.epsilon)?;
        let &Adam { beta_1, beta_2, epsilon, weight_decay, .. } = self;
        let lr = graph.scalar(LEARNING_RATE, self.learning_rate);
        for &(w, dw) in gradients {
            let update = AdamUpdate { lr, beta_1, beta_2, epsilon, weight_decay };
            graph.apply(update, &[w, graph.slot(w, "m")?, graph.slot(w, "v")?, dw])?;
        }
        Ok(())
    }
}
