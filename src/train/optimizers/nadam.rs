use super::{EPS, Number, Step, UpdateRule, correction, numbers, optimizer};

optimizer! {
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
    /// `beta_1` is 0.9, `beta_2` 0.999, `epsilon` 1e-7 and `momentum_decay` 1 by default, as in Keras.
    Nadam
    pair {
        /// Sets the decay of the mean gradient and of its size, each in `[0, 1)`.
        betas(beta_1: decay = 0.9, beta_2: decay = 0.999)
    }
    set {
        /// Sets how fast the momentum grows from half of `beta_1` to all of it, positive.
        momentum_decay: positive = 1.0,
        /// Sets the number added to what is divided by.
        epsilon: positive = 1e-7,
    }
}

impl Nadam {
    /// PyTorch's, of the same formula: a `momentum_decay` of 0.004, the paper's, and an `epsilon` of 1e-8.
    pub fn pytorch(learning_rate: f32) -> Self {
        Nadam { momentum_decay: 0.004, epsilon: 1e-8, ..Nadam::new(learning_rate) }
    }
}

/// Over `w, m, v, dw`.
impl UpdateRule for Nadam {
    const NAME: &'static str = "nadam";
    const COUNTS_UPDATES: bool = true;
    /// Terms of the series for the product.
    const LOOPS: usize = 24;
    const SLOTS: &'static [&'static str] = &["m", "v"];

    /// What `m` and `g` are weighted with, and `1 - beta_2^t`. The momenta are good to a few units of 1,
    /// and what is divided by is at least a half.
    fn factors<N: Number>(&self, t: f64) -> [N; 3] {
        let (now, next, product) = (self.momentum(t), self.momentum(t + 1.0), self.product(t));
        let of_m = next / (1.0 - product * next);
        let of_g = (1.0 - now) / (1.0 - product);
        [N::within(of_m, 64.0 * EPS * of_m), N::within(of_g, 64.0 * EPS), correction(self.beta_2, t)]
    }

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let [epsilon] = numbers([self.epsilon]);
        let ((g, w), [of_m, of_g, second]) = (step.decayed(x), step.factors);
        (x[1], x[2]) = (x[1].towards(g, self.beta_1), x[2].towards_square(g, self.beta_2));
        x[0] = w - step.lr * (of_m * x[1] + of_g * g) / ((x[2] / second).sqrt() + epsilon);
    }
}

impl Nadam {
    /// `mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)`.
    fn momentum(&self, t: f64) -> f64 {
        f64::from(self.beta_1) * (1.0 - 0.5 * 0.96f64.powf(t * f64::from(self.momentum_decay)))
    }

    /// `mu_1 mu_2 .. mu_t`, as far as f64 holds it.
    fn product(&self, t: f64) -> f64 {
        let mut product = 1.0;
        for i in 1..=t as u64 {
            product *= self.momentum(i as f64);
            if product < f64::MIN_POSITIVE {
                break;
            }
        }
        product
    }
}
