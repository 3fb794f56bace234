use super::{Number, Step, UpdateRule, correction, numbers, optimizer};

optimizer! {
    /// Adamax (Kingma and Ba, ICLR 2015, algorithm 2):
    ///
    /// ```text
    /// g = dw + weight_decay w
    /// m = beta_1 m + (1 - beta_1) g          u = max(beta_2 u, |g|)
    /// w = w - lr m_hat / (u + epsilon)       with m_hat = m / (1 - beta_1^t)
    /// ```
    ///
    /// `beta_1` is 0.9, `beta_2` 0.999, `epsilon` 1e-7 by default, all as in Keras.
    Adamax
    pair {
        /// Sets the decay of the mean gradient and of its size, each in `[0, 1)`.
        betas(beta_1: decay = 0.9, beta_2: decay = 0.999)
    }
    set {
        /// Sets the number added to what is divided by.
        epsilon: positive = 1e-7,
    }
    form { pytorch }
}

impl Adamax {
    /// PyTorch's: `u = max(beta_2 u, |g| + epsilon)` and `w = w - lr m_hat / u`, with an `epsilon` of 1e-8.
    pub fn pytorch(learning_rate: f32) -> Self {
        Adamax { epsilon: 1e-8, pytorch: true, ..Adamax::new(learning_rate) }
    }
}

/// Over `w, m, u, dw`.
impl UpdateRule for Adamax {
    const NAME: &'static str = "adamax";
    const COUNTS_UPDATES: bool = true;
    const SLOTS: &'static [&'static str] = &["m", "u"];

    fn factors<N: Number>(&self, t: f64) -> [N; 3] {
        [correction(self.beta_1, t); 3]
    }

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let [epsilon, beta_2]: [N; 2] = numbers([self.epsilon, self.beta_2]);
        let (g, w) = step.decayed(x);
        x[1] = x[1].towards(g, self.beta_1);
        let zero = N::exact(0.0);
        let (within, beside) = if self.pytorch { (epsilon, zero) } else { (zero, epsilon) };
        x[2] = (beta_2 * x[2]).max(g.abs() + within);
        x[0] = w - step.lr * (x[1] / step.factors[0]) / (x[2] + beside);
    }
}
