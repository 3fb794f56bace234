mod op;

pub(super) use op::{OPERATORS, SHADER};

use super::{Optimizer, settings};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::train::groups::update_groups;

settings! {
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
    /// Keras, which keeps `rho_t` below `1 / sqrt(t)` without relative steps too.
    ///
    /// The last two dimensions of a convolution's weight `[out, in / groups, kh, kw]` are its kernel, as in
    /// PyTorch: for one of 3 x 3 the moments take two thirds of the parameter's memory, for 1 x 1 twice as
    /// much. Keras, whose kernels come first, has rows of inputs and columns of outputs there.
    ///
    /// A parameter must fit what the device binds at once: it is not worked on in ranges.
    Adafactor
    pair {
        /// Sets the number added to squares of gradients, and the least size that a parameter counts as;
        /// 1e-30 and 1e-3 by default.
        epsilons(epsilon_1: normal = 1e-30, epsilon_2: not_negative = 1e-3)
    }
    set {
        /// Sets how the decay of the second moments nears 1: below 0.
        beta_2_decay: negative = -0.8,
        /// Sets the root mean square that updates are scaled down to, positive.
        clip_threshold: positive = 1.0,
    }
    form { pytorch }
    choice {
        /// Whether the rate is at most `1 / sqrt(t)`; it is by default.
        relative_step = true
    }
}

impl Adafactor {
    /// PyTorch's: nothing is added to squares, the mean of `r` and the root of `v` count as at least `epsilon_1`,
    /// 1.2e-7, and `rms(w)` is that before a decoupled decay.
    pub fn pytorch(learning_rate: f32) -> Self {
        Adafactor { epsilon_1: f32::EPSILON, pytorch: true, ..Adafactor::new(learning_rate) }
    }
}

impl Optimizer for Adafactor {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        graph.composed("adafactor", || {
            let lr = self.rate.declare(graph, &self.settings())?;
            for group in update_groups(graph, gradients) {
                let with_shape = |(w, dw)| Ok((w, dw, graph.operand_shape("adafactor", w)?));
                let group: Vec<_> = group.into_iter().map(with_shape).collect::<Result<_>>()?;
                let (matrices, others): (Vec<_>, Vec<_>) = group.into_iter().partition(|w| w.2.rank() >= 2);
                op::record(graph, self, lr, true, &matrices)?;
                op::record(graph, self, lr, false, &others)?;
            }
            Ok(())
        })
    }
}
