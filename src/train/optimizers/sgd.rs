use super::{Number, Result, Setting, Slots, Step, UpdateRule, numbers, optimizer, zeros};

optimizer! {
    /// Stochastic gradient descent, with momentum if asked:
    ///
    /// ```text
    /// g = dw + weight_decay w
    /// u = momentum u + g
    /// w = w - lr u                     w = w - lr (g + momentum u) in Nesterov's form
    /// ```
    ///
    /// The form of Sutskever et al., ICML 2013, as PyTorch writes it. Keras keeps `lr u` in its velocity:
    /// the same until the rate changes.
    Sgd
    set {
        /// Sets the momentum, in `[0, 1)`.
        momentum: decay = 0.0,
    }
    flag {
        /// Uses Nesterov's form of momentum.
        nesterov,
    }
}

/// Over `w, dw`, or with momentum over `w, velocity, dw`.
impl UpdateRule for Sgd {
    const NAME: &'static str = "sgd";

    fn entry(&self) -> &'static str {
        if self.momentum > 0.0 { "sgd_momentum" } else { "sgd" }
    }

    fn slots(&self) -> Slots {
        zeros(if self.momentum > 0.0 { &["velocity"] } else { &[] })
    }

    fn check(&self) -> Result<()> {
        let moves = !self.nesterov || self.momentum > 0.0;
        let expected = "Nesterov's form needs it to be positive";
        Setting::new("momentum", self.momentum, moves, expected).check()
    }

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let (mut direction, w) = step.decayed(x);
        if self.momentum > 0.0 {
            let (g, [momentum]): (_, [N; 1]) = (direction, numbers([self.momentum]));
            x[1] = momentum * x[1] + g;
            direction = if self.nesterov { g + momentum * x[1] } else { x[1] };
        }
        x[0] = w - step.lr * direction;
    }
}
