use super::{Number, Slots, Step, UpdateRule, numbers, optimizer, zeros};

optimizer! {
    /// RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e):
    ///
    /// ```text
    /// g = dw + weight_decay w
    /// v = rho v + (1 - rho) g^2
    /// step = lr g / sqrt(v + epsilon)            / sqrt(v - m^2 + epsilon) if centred (Graves,
    ///                                            arXiv:1308.0850), m = rho m + (1 - rho) g
    /// w = w - step                               w = w - u with momentum, u = momentum u + step
    /// ```
    ///
    /// `rho` is 0.9 and `epsilon` 1e-7 by default. All of it is as in Keras: the velocity holds steps of the
    /// rate they were made with.
    ///
    /// Centred, the state is the variance `v - m^2` itself, which follows
    /// `rho (variance + (1 - rho) (g - m)^2)`: the difference would cancel in f32, and end below 0.
    RmsProp
    set {
        /// Sets the decay of the mean square, in `[0, 1)`.
        rho: decay = 0.9,
        /// Sets the number added under the root.
        epsilon: positive = 1e-7,
        /// Sets the momentum, in `[0, 1)`.
        momentum: decay = 0.0,
    }
    flag {
        /// Scales by the variance of the gradient in place of its mean square.
        centered,
    }
    form { pytorch }
}

impl RmsProp {
    /// PyTorch's: `u = momentum u + g / (sqrt(v) + epsilon)` and `w = w - lr u`, with a `rho` of 0.99, which
    /// PyTorch calls alpha, and an `epsilon` of 1e-8.
    pub fn pytorch(learning_rate: f32) -> Self {
        RmsProp { rho: 0.99, epsilon: 1e-8, pytorch: true, ..RmsProp::new(learning_rate) }
    }
}

/// Over `w, mean_square, dw`; centred over `w, variance, mean_gradient, dw`; with momentum, `velocity`
/// comes before `dw`.
impl UpdateRule for RmsProp {
    const NAME: &'static str = "rmsprop";

    fn entry(&self) -> &'static str {
        match (self.centered, self.momentum > 0.0) {
            (false, false) => "rmsprop",
            (false, true) => "rmsprop_momentum",
            (true, false) => "rmsprop_centered",
            (true, true) => "rmsprop_centered_momentum",
        }
    }

    fn slots(&self) -> Slots {
        let mut names = if self.centered { vec!["variance", "mean_gradient"] } else { vec!["mean_square"] };
        names.extend((self.momentum > 0.0).then_some("velocity"));
        zeros(&names)
    }

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let [rho, epsilon, momentum, one] = numbers([self.rho, self.epsilon, self.momentum, 1.0]);
        let (g, w) = step.decayed(x);
        if self.centered {
            let distance = g - x[2];
            x[1] = rho * (x[1] + (one - rho) * distance * distance);
            x[2] = x[2] + (one - rho) * distance;
        } else {
            x[1] = x[1].towards_square(g, self.rho);
        }
        // The rate is part of what the velocity holds, or of the step alone.
        let (inside, outside, root) = match self.pytorch {
            false => (step.lr, one, (x[1] + epsilon).sqrt()),
            true => (one, step.lr, x[1].sqrt() + epsilon),
        };
        let mut moved = inside * g / root;
        if self.momentum > 0.0 {
            let velocity = x.len() - 2;
            moved = momentum * x[velocity] + moved;
            x[velocity] = moved;
        }
        x[0] = w - outside * moved;
    }
}
