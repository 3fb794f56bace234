use super::{
    Number, Optimizer, Slots, Step, UpdateRule, correction, numbers, optimizer, settings, zeros,
};
use crate::error::Result;
use crate::graph::{Graph, Value};

optimizer! {
    /// Adam (Kingma and Ba, ICLR 2015, algorithm 1):
    ///
    /// ```text
    /// g = dw + weight_decay w
    /// m = beta_1 m + (1 - beta_1) g          v = beta_2 v + (1 - beta_2) g^2
    /// w = w - lr m_hat / (sqrt(v_hat) + epsilon / sqrt(1 - beta_2^t))
    ///     with m_hat = m / (1 - beta_1^t), v_hat = v / (1 - beta_2^t)
    /// ```
    ///
    /// `t` is the session's number of updates, from 1. `beta_1` is 0.9, `beta_2` 0.999, `epsilon` 1e-7 by
    /// default. All of it is as in Keras, which adds epsilon to `sqrt(v)` before the correction, the paper's
    /// "epsilon hat": it counts as 3.2e-6 at the first update. [`Adam::pytorch`] has the algorithm itself.
    Adam
    pair {
        /// Sets the decay of the mean gradient and of its size, each in `[0, 1)`.
        betas(beta_1: decay = 0.9, beta_2: decay = 0.999)
    }
    set {
        /// Sets the number added to what is divided by.
        epsilon: positive = 1e-7,
    }
    flag {
        /// Takes the largest `v` so far for `v_hat` (AMSGrad: Reddi, Kale and Kumar, ICLR 2018), with the
        /// bias correction that PyTorch and Keras keep.
        amsgrad,
    }
    form { pytorch }
}

impl Adam {
    /// PyTorch's: the paper's `w = w - lr m_hat / (sqrt(v_hat) + epsilon)`, with an `epsilon` of 1e-8.
    pub fn pytorch(learning_rate: f32) -> Self {
        Adam { epsilon: 1e-8, pytorch: true, ..Adam::new(learning_rate) }
    }
}

/// Over `w, m, v, dw`; with AMSGrad over `w, m, v, v_max, dw`.
impl UpdateRule for Adam {
    const NAME: &'static str = "adam";
    const COUNTS_UPDATES: bool = true;

    fn entry(&self) -> &'static str {
        if self.amsgrad { "adam_amsgrad" } else { "adam" }
    }

    fn slots(&self) -> Slots {
        zeros(if self.amsgrad { &["m", "v", "v_max"] } else { &["m", "v"] })
    }

    fn factors<N: Number>(&self, t: f64) -> [N; 3] {
        [correction(self.beta_1, t), correction(self.beta_2, t), N::exact(0.0)]
    }

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let [epsilon] = numbers([self.epsilon]);
        let (g, w) = step.decayed(x);
        (x[1], x[2]) = (x[1].towards(g, self.beta_1), x[2].towards_square(g, self.beta_2));
        if self.amsgrad {
            x[3] = x[3].max(x[2]);
        }
        let v = if self.amsgrad { x[3] } else { x[2] };
        let [first, second, _] = step.factors;
        let epsilon = if self.pytorch { epsilon } else { epsilon / second.sqrt() };
        x[0] = w - step.lr * (x[1] / first) / ((v / second).sqrt() + epsilon);
    }
}

settings! {
    /// AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019): [`Adam`] with
    /// decoupled weight decay.
    ///
    /// ```text
    /// w = w - lr decay w
    /// m, v and w as in Adam
    /// ```
    ///
    /// The decay is 0.004 by default, as in Keras. Like there and in PyTorch, and unlike the paper, which has a
    /// schedule of its own for it, the decay is multiplied by the learning rate.
    AdamW
    pair {
        /// Sets the decay of the mean gradient and of its size, each in `[0, 1)`.
        betas(beta_1: decay = 0.9, beta_2: decay = 0.999)
    }
    set {
        /// Sets the number added to the root.
        epsilon: positive = 1e-7,
    }
    flag {
        /// As [`Adam::amsgrad`].
        amsgrad,
    }
    form { pytorch }
    decoupled 0.004
}

impl AdamW {
    /// PyTorch's: [`Adam::pytorch`] with a decoupled weight decay of 0.01.
    pub fn pytorch(learning_rate: f32) -> Self {
        AdamW { epsilon: 1e-8, pytorch: true, ..AdamW::new(learning_rate) }.decoupled_weight_decay(0.01)
    }
}

impl Optimizer for AdamW {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        let &AdamW { rate, beta_1, beta_2, epsilon, amsgrad, pytorch } = self;
        let rule = Adam { rate, beta_1, beta_2, epsilon, amsgrad, pytorch };
        rate.record(graph, gradients, rule, self.settings())
    }
}
