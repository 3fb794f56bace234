use super::{Number, Step, UpdateRule, optimizer};

optimizer! {
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
    Lion
    pair {
        /// Sets the share of the momentum in the direction, and the decay of the momentum, each in
        /// `[0, 1)`.
        betas(beta_1: decay = 0.9, beta_2: decay = 0.99)
    }
}

/// Over `w, m, dw`.
impl UpdateRule for Lion {
    const NAME: &'static str = "lion";
    const SLOTS: &'static [&'static str] = &["m"];

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let (g, w) = step.decayed(x);
        x[0] = w - step.lr * x[1].towards(g, self.beta_1).sign();
        x[1] = x[1].towards(g, self.beta_2);
    }
}
