use super::{Number, Step, UpdateRule, numbers, optimizer};

optimizer! {
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
    /// `rho` is 0.95 and `epsilon` 1e-7 by default, as in Keras. The paper's learning rate is 1.
    Adadelta
    set {
        /// Sets the decay of both mean squares, in `[0, 1)`.
        rho: decay = 0.95,
        /// Sets the number added under both roots.
        epsilon: positive = 1e-7,
    }
}

impl Adadelta {
    /// PyTorch's, of the same formula: a `rho` of 0.9 and an `epsilon` of 1e-6.
    pub fn pytorch(learning_rate: f32) -> Self {
        Adadelta { rho: 0.9, epsilon: 1e-6, ..Adadelta::new(learning_rate) }
    }
}

/// Over `w, accumulated_gradient, accumulated_delta, dw`.
impl UpdateRule for Adadelta {
    const NAME: &'static str = "adadelta";
    const SLOTS: &'static [&'static str] = &["accumulated_gradient", "accumulated_delta"];

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let [epsilon] = numbers([self.epsilon]);
        let (g, w) = step.decayed(x);
        x[1] = x[1].towards_square(g, self.rho);
        let delta = (x[2] + epsilon).sqrt() / (x[1] + epsilon).sqrt() * g;
        x[2] = x[2].towards_square(delta, self.rho);
        x[0] = w - step.lr * delta;
    }
}
