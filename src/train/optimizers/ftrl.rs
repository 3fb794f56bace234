use super::{Init, Number, Slots, Step, UpdateRule, numbers, optimizer};

optimizer! {
    /// FTRL-Proximal (McMahan et al., Ad Click Prediction, KDD 2013, algorithm 1), which leaves weights of
    /// little use at exactly 0 if `l1` asks for it, as Keras has it:
    ///
    /// ```text
    /// g = dw + weight_decay w
    /// n = s + g^2
    /// z = z + g + 2 l2_shrinkage w - (n^-p - s^-p) / lr w          p = learning_rate_power
    /// w = (clamp(z, -l1, l1) - z) / ((n^-p + beta) / lr + 2 l2)
    /// s = n
    /// ```
    ///
    /// `s` begins with `initial_accumulator`, 0.1 by default; `learning_rate_power` is -0.5, the others 0.
    /// The weights' initial values count for the first update only, through `z`. At a rate of 0 an update
    /// changes nothing. PyTorch has no FTRL.
    Ftrl
    set {
        /// Sets how the rate falls with the sum of squares: at most 0, and 0 for a rate that does not.
        learning_rate_power: not_positive = -0.5,
        /// Sets what the sums of squares begin with, positive.
        initial_accumulator: positive = 0.1,
        /// Sets the weight of the L1 penalty, which makes weights exactly 0.
        l1: not_negative = 0.0,
        /// Sets the weight of the L2 penalty, which stabilises.
        l2: not_negative = 0.0,
        /// Sets the number added to the root of the sum of squares.
        beta: not_negative = 0.0,
        /// Sets the weight of the L2 penalty on the weights as they are, by way of the gradient.
        l2_shrinkage: not_negative = 0.0,
    }
}

/// Over `w, accumulator, linear, dw`.
impl UpdateRule for Ftrl {
    const NAME: &'static str = "ftrl";

    fn slots(&self) -> Slots {
        vec![("accumulator", Init::Constant(self.initial_accumulator)), ("linear", Init::Zeros)]
    }

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        // Everything is divided by the rate; at a rate of 0 nothing moves.
        if step.learning_rate == 0.0 {
            return;
        }
        let [l2, beta, shrinkage, two] = numbers([self.l2, self.beta, self.l2_shrinkage, 2.0]);
        let (g, w) = step.decayed(x);
        let sum = x[1] + g * g;
        let (before, after) = (self.root(x[1]), self.root(sum));
        let linear = x[2] + (g + two * shrinkage * w) - (after - before) / step.lr * w;
        let quadratic = (after + beta) / step.lr + two * l2;
        (x[0], x[1], x[2]) = ((linear.clamp(self.l1) - linear) / quadratic, sum, linear);
    }
}

impl Ftrl {
    /// `sum^-learning_rate_power`.
    fn root<N: Number>(&self, sum: N) -> N {
        match self.learning_rate_power {
            -0.5 => sum.sqrt(),
            0.0 => N::exact(1.0),
            power => sum.pow(-f64::from(power)),
        }
    }
}
