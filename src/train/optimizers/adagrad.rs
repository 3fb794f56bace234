use super::{Init, Number, Slots, Step, UpdateRule, numbers, optimizer};

optimizer! {
    /// Adagrad (Duchi, Hazan and Singer, JMLR 12, 2011):
    ///
    /// ```text
    /// g = dw + weight_decay w
    /// s = s + g^2
    /// w = w - lr g / sqrt(s + epsilon)
    /// ```
    ///
    /// `s` begins with `initial_accumulator`, 0.1 by default, and `epsilon` is 1e-7, all as in Keras.
    Adagrad
    set {
        /// Sets what the sums of squares begin with, not negative.
        initial_accumulator: not_negative = 0.1,
        /// Sets the number added under the root.
        epsilon: positive = 1e-7,
    }
    form { pytorch }
}

impl Adagrad {
    /// PyTorch's: `w = w - lr g / (sqrt(s) + epsilon)`, with an `epsilon` of 1e-10 and sums that begin with 0.
    /// Its `lr_decay` is the schedule [`InverseTimeDecay`](crate::train::schedules::InverseTimeDecay).
    pub fn pytorch(learning_rate: f32) -> Self {
        Adagrad { initial_accumulator: 0.0, epsilon: 1e-10, pytorch: true, ..Adagrad::new(learning_rate) }
    }
}

/// Over `w, accumulator, dw`.
impl UpdateRule for Adagrad {
    const NAME: &'static str = "adagrad";

    fn slots(&self) -> Slots {
        vec![("accumulator", Init::Constant(self.initial_accumulator))]
    }

    #[inline(always)]
    fn formula<N: Number>(&self, step: &Step<N>, x: &mut [N]) {
        let [epsilon] = numbers([self.epsilon]);
        let (g, w) = step.decayed(x);
        x[1] = x[1] + g * g;
        let root = if self.pytorch { x[1].sqrt() + epsilon } else { (x[1] + epsilon).sqrt() };
        x[0] = w - step.lr * g / root;
    }
}
