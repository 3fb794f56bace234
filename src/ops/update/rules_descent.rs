//! Rules that scale the gradient by what squares of gradients add up to, or not at all. Throughout,
//! `g = dw + weight_decay w`, and `w` is first reduced by `lr decoupled_decay w`.

use super::{Number, Overwritten, UpdateParams, UpdateRule, numbers};

/// Over `w, dw`, or with momentum over `w, velocity, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sgd {
    pub momentum: bool,
}

impl UpdateRule for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn entry(&self) -> &'static str {
        if self.momentum { "sgd_momentum" } else { "sgd" }
    }

    fn states(&self) -> usize {
        usize::from(self.momentum)
    }

    fn formula<N: Number>(&self, p: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, momentum]: [N; 2] = numbers([p.lr, p.momentum]);
        let (g, w) = p.decayed(x[0], x[x.len() - 1]);
        if !self.momentum {
            return [w - lr * g; 4];
        }
        let velocity = momentum * x[1] + g;
        let direction = if p.nesterov != 0 { g + momentum * velocity } else { velocity };
        [w - lr * direction, velocity, velocity, velocity]
    }
}

/// Over `w, accumulator, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adagrad;

impl UpdateRule for Adagrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn states(&self) -> usize {
        1
    }

    fn formula<N: Number>(&self, p: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, epsilon]: [N; 2] = numbers([p.lr, p.epsilon]);
        let (g, w) = p.decayed(x[0], x[2]);
        let sum = x[1] + g * g;
        [w - lr * g / (sum.sqrt() + epsilon), sum, sum, sum]
    }
}

/// Over `w, accumulated_gradient, accumulated_delta, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adadelta;

impl UpdateRule for Adadelta {
    fn name(&self) -> &'static str {
        "adadelta"
    }

    fn states(&self) -> usize {
        2
    }

    fn formula<N: Number>(&self, p: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, rho, epsilon, one]: [N; 4] = numbers([p.lr, p.rho, p.epsilon, 1.0]);
        let (g, w) = p.decayed(x[0], x[3]);
        let squares = rho * x[1] + (one - rho) * g * g;
        let delta = (x[2] + epsilon).sqrt() / (squares + epsilon).sqrt() * g;
        let deltas = rho * x[2] + (one - rho) * delta * delta;
        [w - lr * delta, squares, deltas, deltas]
    }
}

/// Over `w, mean_square, dw`; centred over `w, variance, mean_gradient, dw`; with momentum, `velocity`
/// comes before `dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RmsProp {
    pub centered: bool,
    pub momentum: bool,
}

impl UpdateRule for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn entry(&self) -> &'static str {
        match (self.centered, self.momentum) {
            (false, false) => "rmsprop",
            (false, true) => "rmsprop_momentum",
            (true, false) => "rmsprop_centered",
            (true, true) => "rmsprop_centered_momentum",
        }
    }

    fn states(&self) -> usize {
        1 + usize::from(self.centered) + usize::from(self.momentum)
    }

    fn formula<N: Number>(&self, p: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, rho, epsilon, momentum, one]: [N; 5] = numbers([p.lr, p.rho, p.epsilon, p.momentum, 1.0]);
        let (g, w) = p.decayed(x[0], x[x.len() - 1]);
        let (square, mean) = if self.centered {
            // The variance itself is kept: the mean square less the squared mean would cancel.
            let distance = g - x[2];
            (rho * (x[1] + (one - rho) * distance * distance), x[2] + (one - rho) * distance)
        } else {
            (rho * x[1] + (one - rho) * g * g, g)
        };
        let step = lr * g / (square.sqrt() + epsilon);
        match (self.centered, self.momentum) {
            (centered, false) => [w - step, square, if centered { mean } else { square }, square],
            (false, true) => {
                let velocity = momentum * x[2] + step;
                [w - velocity, square, velocity, velocity]
            }
            (true, true) => {
                let velocity = momentum * x[3] + step;
                [w - velocity, square, mean, velocity]
            }
        }
    }
}

/// Over `w, m, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lion;

impl UpdateRule for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn states(&self) -> usize {
        1
    }

    fn formula<N: Number>(&self, p: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, beta_1, beta_2, one]: [N; 4] = numbers([p.lr, p.beta_1, p.beta_2, 1.0]);
        let (g, w) = p.decayed(x[0], x[2]);
        let direction = (beta_1 * x[1] + (one - beta_1) * g).sign();
        let m = beta_2 * x[1] + (one - beta_2) * g;
        [w - lr * direction, m, m, m]
    }
}

/// Over `w, accumulator, linear, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ftrl;

impl UpdateRule for Ftrl {
    fn name(&self) -> &'static str {
        "ftrl"
    }

    fn states(&self) -> usize {
        2
    }

    fn formula<N: Number>(&self, p: &UpdateParams, _: &[N; 3], x: &[N]) -> Overwritten<N> {
        // Everything is divided by the rate; at a rate of 0 nothing moves.
        if p.lr == 0.0 {
            return [x[0], x[1], x[2], x[2]];
        }
        let [lr, l2, beta, shrinkage, two]: [N; 5] = numbers([p.lr, p.l2, p.beta, p.l2_shrinkage, 2.0]);
        let (g, w) = p.decayed(x[0], x[3]);
        let sum = x[1] + g * g;
        let (before, after) = (Self::root(p, x[1]), Self::root(p, sum));
        let linear = x[2] + (g + two * shrinkage * w) - (after - before) / lr * w;
        let quadratic = (after + beta) / lr + two * l2;
        [(linear.clamp(p.l1) - linear) / quadratic, sum, linear, linear]
    }
}

impl Ftrl {
    /// `sum^-power`.
    fn root<N: Number>(p: &UpdateParams, sum: N) -> N {
        match p.power {
            -0.5 => sum.sqrt(),
            0.0 => N::exact(1.0),
            power => sum.pow(-f64::from(power)),
        }
    }
}
