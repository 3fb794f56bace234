//! Rules that follow moving averages of the gradient and of its size. Throughout,
//! `g = dw + weight_decay w`, and `w` is first reduced by `lr decoupled_decay w`.

use super::{Number, Overwritten, UpdateParams, UpdateRule, numbers};
use crate::ops::EPS;

/// Over `w, m, v, dw`; with AMSGrad over `w, m, v, v_max, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adam {
    pub amsgrad: bool,
}

/// `m` and `v` moved towards `g` and its square.
fn moments<N: Number>(p: &UpdateParams, m: N, v: N, g: N) -> (N, N) {
    let [beta_1, beta_2, one]: [N; 3] = numbers([p.beta_1, p.beta_2, 1.0]);
    (beta_1 * m + (one - beta_1) * g, beta_2 * v + (one - beta_2) * g * g)
}

impl UpdateRule for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn entry(&self) -> &'static str {
        if self.amsgrad { "adam_amsgrad" } else { "adam" }
    }

    fn states(&self) -> usize {
        2 + usize::from(self.amsgrad)
    }

    fn counts_updates(&self) -> bool {
        true
    }

    /// `1 - beta_1^t, 1 - beta_2^t`.
    fn factors<N: Number>(&self, p: &UpdateParams) -> [N; 3] {
        let second = p.correction(p.beta_2);
        [p.correction(p.beta_1), second, second]
    }

    fn formula<N: Number>(&self, p: &UpdateParams, factors: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, epsilon]: [N; 2] = numbers([p.lr, p.epsilon]);
        let (g, w) = p.decayed(x[0], x[x.len() - 1]);
        let (m, v) = moments(p, x[1], x[2], g);
        let most = if self.amsgrad { x[3].max(v) } else { v };
        let (m_hat, v_hat) = (m / factors[0], most / factors[1]);
        [w - lr * m_hat / (v_hat.sqrt() + epsilon), m, v, most]
    }
}

/// Over `w, m, u, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adamax;

impl UpdateRule for Adamax {
    fn name(&self) -> &'static str {
        "adamax"
    }

    fn states(&self) -> usize {
        2
    }

    fn counts_updates(&self) -> bool {
        true
    }

    /// `1 - beta_1^t`.
    fn factors<N: Number>(&self, p: &UpdateParams) -> [N; 3] {
        [p.correction(p.beta_1); 3]
    }

    fn formula<N: Number>(&self, p: &UpdateParams, factors: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, epsilon, beta_1, beta_2, one]: [N; 5] = numbers([p.lr, p.epsilon, p.beta_1, p.beta_2, 1.0]);
        let (g, w) = p.decayed(x[0], x[3]);
        let m = beta_1 * x[1] + (one - beta_1) * g;
        let u = (beta_2 * x[2]).max(g.abs());
        [w - lr * (m / factors[0]) / (u + epsilon), m, u, u]
    }
}

/// Over `w, m, v, dw`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nadam;

impl Nadam {
    /// `mu_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)`.
    fn momentum(p: &UpdateParams, t: f64) -> f64 {
        f64::from(p.beta_1) * (1.0 - 0.5 * 0.96f64.powf(t * f64::from(p.momentum_decay)))
    }

    /// `mu_1 mu_2 .. mu_t`, as far as f64 holds it.
    fn product(p: &UpdateParams) -> f64 {
        let mut product = 1.0;
        for i in 1..=u64::from(p.updates) + 1 {
            product *= Self::momentum(p, i as f64);
            if product < f64::MIN_POSITIVE {
                break;
            }
        }
        product
    }
}

impl UpdateRule for Nadam {
    fn name(&self) -> &'static str {
        "nadam"
    }

    fn states(&self) -> usize {
        2
    }

    fn counts_updates(&self) -> bool {
        true
    }

    /// Terms of the series for the product.
    fn loops(&self) -> usize {
        24
    }

    /// What `m` and `g` are weighted with, and `1 - beta_2^t`. The momenta are good to a few units of 1,
    /// and what is divided by is at least a half.
    fn factors<N: Number>(&self, p: &UpdateParams) -> [N; 3] {
        let (now, next) = (Self::momentum(p, p.t()), Self::momentum(p, p.t() + 1.0));
        let product = Self::product(p);
        let of_m = next / (1.0 - product * next);
        let of_g = (1.0 - now) / (1.0 - product);
        [N::within(of_m, 64.0 * EPS * of_m), N::within(of_g, 64.0 * EPS), p.correction(p.beta_2)]
    }

    fn formula<N: Number>(&self, p: &UpdateParams, factors: &[N; 3], x: &[N]) -> Overwritten<N> {
        let [lr, epsilon]: [N; 2] = numbers([p.lr, p.epsilon]);
        let (g, w) = p.decayed(x[0], x[3]);
        let (m, v) = moments(p, x[1], x[2], g);
        let m_hat = factors[0] * m + factors[1] * g;
        let v_hat = v / factors[2];
        [w - lr * m_hat / (v_hat.sqrt() + epsilon), m, v, v]
    }
}
