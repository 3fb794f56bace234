use super::Optimizer;
use super::rate::{LEARNING_RATE, Rate, check, check_not_negative, check_positive, settings};
use crate::error::Result;
use crate::graph::{Graph, Init, Scalar, Value};
use crate::ops::{self, AdafactorParams};
use crate::shape::Shape;
use crate::train::groups::update_groups;

/// Adafactor (Shazeer and Stern, ICML 2018, algorithms 4 and 5), whose second moments of a matrix take
/// the memory of a row and a column. Of a parameter of two dimensions and more, over the last two:
///
/// ```text
/// g = dw + weight_decay w                rho_t = min(lr, 1 / sqrt(t))
/// s = g^2 + epsilon_1                    beta_t = 1 - t^beta_2_decay
/// r = beta_t r + (1 - beta_t) mean of s over the columns
/// c = beta_t c + (1 - beta_t) mean of s over the rows
/// v = r c / (mean of r)
/// u = g / sqrt(v)
/// w = w - max(epsilon_2, rms(w)) rho_t u / max(1, rms(u) / clip_threshold)
/// ```
///
/// with `rms` the root mean square over all elements. Other parameters keep
/// `v = beta_t v + (1 - beta_t) s` itself. Without [`relative_step`](Adafactor::relative_step),
/// `rho_t = lr`.
///
/// By default `beta_2_decay` is -0.8, `epsilon_1` 1e-30, `epsilon_2` 1e-3 and `clip_threshold` 1, as in
/// Keras. PyTorch has f32's epsilon (1.2e-7) for `epsilon_1` and a learning rate of 0.01. Keras keeps
/// `rho_t` below `1 / sqrt(t)` without relative steps too.
///
/// The last two dimensions of a convolution's weight `[out, in / groups, kh, kw]` are its kernel, as in
/// PyTorch: for one of 3 x 3 the moments take two thirds of the parameter's memory, for 1 x 1 twice as much.
/// Keras, whose kernels come first, has rows of inputs and columns of outputs there.
///
/// A parameter must fit what the device binds at once: it is not worked on in ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adafactor {
    rate: Rate,
    beta_2_decay: f32,
    epsilon_1: f32,
    epsilon_2: f32,
    clip_threshold: f32,
    relative_step: bool,
}

impl Adafactor {
    /// The defaults with this learning rate.
    pub fn new(learning_rate: f32) -> Self {
        Adafactor {
            rate: Rate::new(learning_rate),
            beta_2_decay: -0.8,
            epsilon_1: 1e-30,
            epsilon_2: 1e-3,
            clip_threshold: 1.0,
            relative_step: true,
        }
    }

    /// Whether the rate is at most `1 / sqrt(t)`; it is by default.
    pub fn relative_step(mut self, relative_step: bool) -> Self {
        self.relative_step = relative_step;
        self
    }

    /// Sets the number added to squares of gradients, and the least size that a parameter counts as;
    /// 1e-30 and 1e-3 by default.
    pub fn epsilons(mut self, epsilon_1: f32, epsilon_2: f32) -> Self {
        (self.epsilon_1, self.epsilon_2) = (epsilon_1, epsilon_2);
        self
    }
}

settings!(Adafactor {
    /// Sets how the decay of the second moments nears 1: below 0.
    beta_2_decay,
    /// Sets the root mean square that updates are scaled down to, positive.
    clip_threshold,
});

impl Optimizer for Adafactor {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        let decays = self.beta_2_decay.is_finite() && self.beta_2_decay < 0.0;
        check("beta_2_decay", self.beta_2_decay, decays, "it must be finite and below 0")?;
        let normal = self.epsilon_1.is_normal() && self.epsilon_1 > 0.0;
        check("epsilon_1", self.epsilon_1, normal, "it must be positive and not subnormal")?;
        check_not_negative("epsilon_2", self.epsilon_2)?;
        check_positive("clip_threshold", self.clip_threshold)?;
        let lr = graph.scalar(LEARNING_RATE, self.rate.learning_rate);
        for group in update_groups(graph, gradients) {
            let (mut matrices, mut others) = (Vec::new(), Vec::new());
            for (w, dw) in group {
                let shape = graph.operand_shape("adafactor", w)?;
                if shape.rank() >= 2 { &mut matrices } else { &mut others }.push((w, dw, shape));
            }
            self.update(graph, lr, true, &matrices)?;
            self.update(graph, lr, false, &others)?;
        }
        Ok(())
    }
}

impl Adafactor {
    /// Records one operator for parameters of one kind, with their gradients and shapes.
    fn update(
        &self,
        graph: &Graph,
        lr: Scalar,
        factored: bool,
        parameters: &[(Value, Value, Shape)],
    ) -> Result<()> {
        if parameters.is_empty() {
            return Ok(());
        }
        let mut operands: Vec<Value> = parameters.iter().map(|&(w, ..)| w).collect();
        let names: &[&str] = if factored { &["r", "c"] } else { &["v"] };
        for (class, name) in names.iter().enumerate() {
            for &(w, _, shape) in parameters {
                let state = ops::Adafactor::states(factored, shape)?[class];
                operands.push(graph.slot_of(w, name, state, Init::Zeros)?);
            }
        }
        operands.extend(parameters.iter().map(|&(_, dw, _)| dw));
        let shapes: Vec<Shape> = parameters.iter().map(|&(.., shape)| shape).collect();
        let update = ops::Adafactor::new(self.params(), lr, factored, &shapes);
        let (shape, table) = update.table();
        operands.push(graph.constant(shape, &table)?);
        graph.apply(update, &operands).map(|_| ())
    }

    fn params(&self) -> AdafactorParams {
        AdafactorParams {
            weight_decay: self.rate.weight_decay,
            decoupled_decay: self.rate.decoupled_decay,
            beta_2_decay: self.beta_2_decay,
            epsilon_1: self.epsilon_1,
            epsilon_2: self.epsilon_2,
            clip_threshold: self.clip_threshold,
            relative: u32::from(self.relative_step),
            ..AdafactorParams::default()
        }
    }
}
