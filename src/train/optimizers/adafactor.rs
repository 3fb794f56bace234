use super::Optimizer;
use super::rate::{LEARNING_RATE, Rate, check, check_not_negative, check_positive, settings};
use crate::error::Result;
use crate::graph::{Graph, Init, Value};
use crate::shape::Shape;

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
/// It is made of graph operators, a score of them for each parameter.
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

/// What all parameters of an update share.
struct Step {
    lr: Value,
    /// `rho_t`.
    rho: Value,
    /// `1 - beta_t = t^beta_2_decay`.
    fresh: Value,
}

impl Optimizer for Adafactor {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        self.rate.check()?;
        let decays = self.beta_2_decay.is_finite() && self.beta_2_decay < 0.0;
        check("beta_2_decay", self.beta_2_decay, decays, "it must be finite and below 0")?;
        let normal = self.epsilon_1.is_normal() && self.epsilon_1 > 0.0;
        check("epsilon_1", self.epsilon_1, normal, "it must be positive and not subnormal")?;
        check_not_negative("epsilon_2", self.epsilon_2)?;
        check_positive("clip_threshold", self.clip_threshold)?;
        let lr = graph.scalar_value(graph.scalar(LEARNING_RATE, self.rate.learning_rate))?;
        let t = graph.update_count()?;
        let rho = if self.relative_step {
            graph.minimum(lr, graph.div(graph.scalar_constant(1.0), graph.sqrt(t)?)?)?
        } else {
            lr
        };
        let fresh = graph.pow(t, graph.scalar_constant(self.beta_2_decay))?;
        let step = Step { lr, rho, fresh };
        gradients.iter().try_for_each(|&(w, dw)| self.update(graph, &step, w, dw))
    }
}

impl Adafactor {
    fn update(&self, graph: &Graph, step: &Step, w: Value, dw: Value) -> Result<()> {
        let number = |value: f32| graph.scalar_constant(value);
        let mut gradient = dw;
        if self.rate.weight_decay > 0.0 {
            gradient = graph.add(dw, graph.mul(w, number(self.rate.weight_decay))?)?;
        }
        let mut decayed = w;
        if self.rate.decoupled_decay > 0.0 {
            let share = graph.mul(step.lr, number(self.rate.decoupled_decay))?;
            decayed = graph.sub(w, graph.mul(w, share)?)?;
        }
        let squares = graph.add(graph.square(gradient)?, number(self.epsilon_1))?;
        let root = if graph.shape_of(w).rank() >= 2 {
            self.factored(graph, step, w, squares)?
        } else {
            graph.sqrt(follow(graph, step, graph.slot(w, "v")?, squares)?)?
        };
        let direction = graph.div(gradient, root)?;
        let excess = graph.div(rms(graph, direction)?, number(self.clip_threshold))?;
        let size = graph.maximum(rms(graph, decayed)?, number(self.epsilon_2))?;
        let factor = graph.div(graph.mul(size, step.rho)?, graph.maximum(excess, number(1.0))?)?;
        graph.assign(w, graph.sub(decayed, graph.mul(direction, factor)?)?)
    }

    /// The root of `r c / (mean of r)`, by the roots of its factors: where gradients are zero in a whole row
    /// and a whole column, their product is below the smallest f32.
    fn factored(&self, graph: &Graph, step: &Step, w: Value, squares: Value) -> Result<Value> {
        let dims = graph.shape_of(w).dims().to_vec();
        let without = |axis: usize| {
            let kept = dims.iter().enumerate().filter(|&(i, _)| i != axis).map(|(_, &d)| d);
            Shape::new(&kept.collect::<Vec<_>>())
        };
        let (rows, columns) = (without(dims.len() - 1)?, without(dims.len() - 2)?);
        let r = graph.slot_of(w, "r", rows, Init::Zeros)?;
        let c = graph.slot_of(w, "c", columns, Init::Zeros)?;
        let r = follow(graph, step, r, graph.mean(squares, &[-1], false)?)?;
        let c = follow(graph, step, c, graph.mean(squares, &[-2], false)?)?;
        let share = graph.div(r, graph.mean(r, &[-1], true)?)?;
        let (mut tall, mut wide) = (dims.clone(), dims);
        let rank = tall.len();
        (tall[rank - 1], wide[rank - 2]) = (1, 1);
        let (share, c) = (graph.sqrt(share)?, graph.sqrt(c)?);
        graph.mul(graph.reshape(share, Shape::new(&tall)?)?, graph.reshape(c, Shape::new(&wide)?)?)
    }
}

/// Moves a slot by `1 - beta_t` towards a value; its new contents.
fn follow(graph: &Graph, step: &Step, slot: Value, value: Value) -> Result<Value> {
    let moved = graph.add(slot, graph.mul(step.fresh, graph.sub(value, slot)?)?)?;
    graph.assign(slot, moved)?;
    Ok(moved)
}

fn rms(graph: &Graph, x: Value) -> Result<Value> {
    graph.sqrt(graph.mean(graph.square(x)?, &[], false)?)
}
