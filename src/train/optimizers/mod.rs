//! Optimisers: how parameters move, given their gradients.

mod average;
mod rate;
mod settings;

pub use average::{AVERAGE, Averaged};
pub use rate::LEARNING_RATE;

use std::fmt;

use rate::Rate;
use settings::{optimizer, settings};

use super::{Clip, Clipped};
use crate::error::{Result, Setting};
use crate::graph::{Graph, Init, Value};
use crate::kernel::Shader;
use crate::ops::{EPS, Number, OperatorInfo, Slots, Step, UpdateRule, correction, numbers, zeros};

/// Registers the optimisers, each with the file that holds all of it but its kernel.
macro_rules! optimizers {
    ($($file:ident: $($optimizer:ident),+;)+) => {
        $(mod $file;)+

        /// The optimisers alone, for the prelude.
        pub(crate) mod all {
            $(pub use super::$file::{$($optimizer),+};)+
        }
        pub use all::*;

        /// The rows of the table of operators that the optimisers have.
        pub(crate) fn operators() -> Vec<OperatorInfo> {
            [$(&$file::OPERATORS[..]),+].concat()
        }
    };
}

/// Their shaders besides that of [`ops`](crate::ops).
pub(crate) fn shaders() -> Vec<&'static Shader> {
    vec![&adafactor::SHADER]
}

optimizers! {
    sgd: Sgd;
    adagrad: Adagrad;
    adadelta: Adadelta;
    rmsprop: RmsProp;
    adam: Adam, AdamW;
    adamax: Adamax;
    nadam: Nadam;
    lion: Lion;
    ftrl: Ftrl;
    adafactor: Adafactor;
}

/// Records how parameters move, given their gradients.
///
/// Built-in optimisers record one fused operator for many parameters, of up to 2^21 elements together
/// ([`update_groups`](crate::train::update_groups); Adafactor one for matrices and one for others).
/// One outside the crate may compose graph operators, keep its moments in [`Graph::slot`]s, count its
/// updates with [`Graph::update_count`] and write with [`Graph::assign`].
///
/// ```
/// use retape::prelude::*;
///
/// /// w -= lr sign(dw)
/// #[derive(Debug)]
/// struct SignSgd { learning_rate: f32 }
///
/// impl Optimizer for SignSgd {
///     fn record(&self, g: &Graph, gradients: &[(Value, Value)]) -> retape::Result<()> {
///         let rate = g.scalar_value(g.rate("learning_rate", self.learning_rate))?;
///         for &(w, dw) in gradients {
///             g.assign(w, g.sub(w, g.mul(rate, g.sign(dw)?)?)?)?;
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// # Keras and PyTorch
///
/// `new` has Keras's formula and defaults, `pytorch` PyTorch's, where they differ. What they divide by makes
/// the difference for small gradients: of 1e-6, RMSprop's first step is 2,900 times as long in PyTorch as in
/// Keras.
///
/// | | Keras: divided by | its defaults | PyTorch: divided by | its defaults |
/// |---|---|---|---|---|
/// | [`Sgd`] | | momentum 0 | the same, but for the rate of a velocity | momentum 0 |
/// | [`Adagrad`] | `sqrt(s + epsilon)` | epsilon 1e-7, `s` from 0.1 | `sqrt(s) + epsilon` | epsilon 1e-10, `s` from 0 |
/// | [`Adadelta`] | `sqrt(s + epsilon)` | rho 0.95, epsilon 1e-7 | `sqrt(s + epsilon)` | rho 0.9, epsilon 1e-6 |
/// | [`RmsProp`] | `sqrt(v + epsilon)` | rho 0.9, epsilon 1e-7 | `sqrt(v) + epsilon` | rho 0.99, epsilon 1e-8 |
/// | [`Adam`] | `sqrt(v_hat) + epsilon / sqrt(1 - beta_2^t)` | epsilon 1e-7 | `sqrt(v_hat) + epsilon` | epsilon 1e-8 |
/// | [`AdamW`] | as Adam | epsilon 1e-7, decay 0.004 | as Adam | epsilon 1e-8, decay 0.01 |
/// | [`Adamax`] | `max(beta_2 u, abs g) + epsilon` | epsilon 1e-7 | `max(beta_2 u, abs g + epsilon)` | epsilon 1e-8 |
/// | [`Nadam`] | `sqrt(v_hat) + epsilon` | epsilon 1e-7, momentum decay 1 | `sqrt(v_hat) + epsilon` | epsilon 1e-8, momentum decay 0.004 |
/// | [`Adafactor`] | `sqrt(v)`, `v` of `g^2 + epsilon_1` | epsilons 1e-30, 1e-3 | `max(sqrt(v), epsilon_1)` | epsilons 1.2e-7, 1e-3 |
/// | [`Lion`] | nothing | betas 0.9, 0.99 | none there | |
/// | [`Ftrl`] | `sqrt(n) + beta` | beta 0, `n` from 0.1 | none there | |
///
/// Betas of Adam's kin are 0.9 and 0.999 in both. `Sgd` is PyTorch's, whose velocity is multiplied by the
/// rate afterwards.
///
/// # Range
///
/// All but [`Sgd`], [`Adamax`] and [`Lion`] keep sums or means of squared gradients, which f32 holds up to
/// 3.4e38 as in Keras and PyTorch: gradients of 1.8e19, or 5.8e20 at once with Adam's `beta_2`. What is kept
/// is infinite from there on, and the weight stays where it is, or with [`Adafactor`] and [`Ftrl`] becomes
/// NaN; the reference, which computes in f64, goes on. [`Fit::nan_guard`](super::Fit::nan_guard) ends
/// training before such a step and names what became infinite, as
/// [`Session::find_non_finite`](crate::Session::find_non_finite) does; [`Clip`] keeps gradients small, and
/// targets of a smaller scale are the cure.
///
/// # Weight decay
///
/// Two kinds, which every built-in optimiser has:
///
/// - `weight_decay(x)` adds `x w` to the gradient, so that momentum and scaling apply to it: the
///   gradient of an L2 penalty `x w^2 / 2`, and PyTorch's `weight_decay` but for `AdamW`.
/// - `decoupled_weight_decay(x)` replaces `w` by `w - lr x w` before the step and leaves the gradient
///   alone (Loshchilov and Hutter, ICLR 2019): Keras's `weight_decay`, and PyTorch's in `AdamW`.
///
/// With both, the first reads `w` as it was before the second.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// Records the updates of all parameters; `gradients` holds each with its gradient. It is empty where all
    /// of a group are frozen: the [rate](Graph::rate) is declared all the same.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for a setting out of range, and what the operators refuse.
    #[track_caller]
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()>;

    /// The same optimiser on clipped gradients: `Adam::new(1e-3).clip(Clip::GlobalNorm(1.0))`. The tape
    /// clips them on the device; nothing is read back. Clipped twice, gradients go through the limit
    /// named last first. [`Tape::gradient`](crate::Tape::gradient) is the gradient before, and
    /// [`Tape::gradient_norm`](crate::Tape::gradient_norm) the norm that it is clipped by.
    ///
    /// A limit that is not positive, not finite or subnormal is an [`Error::Argument`] of the training
    /// step.
    ///
    /// [`Error::Argument`]: crate::Error::Argument
    fn clip(self, clip: Clip) -> Clipped<Self>
    where
        Self: Sized,
    {
        Clipped { inner: self, clip }
    }

    /// The same optimiser, with a moving average of every parameter beside it (Polyak and Juditsky,
    /// SIAM J. Control Optim. 30, 1992; Keras's `use_ema`): after each update, constraints and masks
    /// included,
    ///
    /// ```text
    /// average = decay average + (1 - decay) w
    /// ```
    ///
    /// and `average = w` after the first. It is the state named [`AVERAGE`] after the parameter:
    /// `dense.weight.average`. Keras's `ema_momentum` is 0.99 by default.
    ///
    /// A decay outside `[0, 1)` is an [`Error::Argument`] of the training step.
    ///
    /// [`Error::Argument`]: crate::Error::Argument
    fn ema(self, decay: f32) -> Averaged<Self>
    where
        Self: Sized,
    {
        Averaged { inner: self, decay }
    }
}

/// An optimiser chosen at run time is one.
impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn record(&self, graph: &Graph, gradients: &[(Value, Value)]) -> Result<()> {
        graph.composed("optimizer", || (**self).record(graph, gradients))
    }
}
