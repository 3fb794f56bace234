use super::{Init, Number, Slots, Step, UpdateRule, numbers, optimizer};

optimizer! {
    /// Adagrad (Duchi, Hazan and Singer, JMLR 12, 2011):
    ///
    /// ```text
    /// g = dw + weight_decay w
    /// s = s + g^2
    /// w = w - lr g / (sqrt(s) + epsilon)
    /// ```
    ///
    /// `s` begins with `initial_accumulator`, 0.1 by default, and `epsilon` is 1e-7, as in Keras, which adds
    /// it under the root. PyTorch begins with 0 and has 1e-10.
    Adagrad
    set {
        /// Sets what the sums of squares begin with, not negative.
        initial_accumulator: not_negative = 0.1,
        /// Sets the number added to the root.
        epsilon: positive = 1e-7,
    }
}

/// Over `w, accumulator, dw`.
impl UpdateRule for Adagrad {
    const NAME: &'static str = "adagrad";

    fn slots(&self) -> Slots {
        vec![("accumulator", Init::Constant(self.initial_accumulator))]
    }

    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let [epsilon] = numbers([self.epsilon]);
        let (g, w) = step.decayed(x);
        x[1] = x[1] + g * g;
        x[0] = w - step.lr * g / (x[1].sqrt() + epsilon);
    }
}
