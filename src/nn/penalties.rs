use super::UnitFlow;
use super::macros::one_input;
use crate::error::{Result, Setting};
use crate::graph::{Graph, Value};

/// A term of the loss that keeps weights small: `l1 sum |w| + l2 sum w^2`, without a half, as Keras's
/// `L1`, `L2` and `L1L2`.
///
/// The first term, the lasso's (Tibshirani, Journal of the Royal Statistical Society B 58(1), 1996),
/// draws weights to 0; its slope is `l1 sign(w)`, 0 at 0. The second, that of ridge regression (Hoerl and
/// Kennard, Technometrics 12(1), 1970), shrinks them; its slope is `2 l2 w`, so with plain SGD it is the
/// weight decay `2 l2`. With other optimisers, decay and penalty differ. Both together are the elastic
/// net (Zou and Hastie, Journal of the Royal Statistical Society B 67(2), 2005).
///
/// Layers take one as `weight_penalty` and `bias_penalty` and record it in training mode; the program
/// adds what they recorded to its loss:
///
/// ```
/// use retape::prelude::*;
/// let model = Sequential::new().add(Dense::new(3).weight_penalty(Penalty::l2(1e-4)));
/// let mut g = Graph::new();
/// let (x, labels) = (g.input("x", [8, 4]), g.labels("labels", [8]));
/// let y = model.record(&mut g, x, Mode::Training)?;
/// let mut losses = vec![g.softmax_cross_entropy(y, labels)?];
/// losses.extend(g.penalties());
/// let tape = g.training_step(losses, &Adam::new(1e-3))?;
/// assert_eq!(tape.losses().len(), 2);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Penalty {
    l1: f32,
    l2: f32,
}

impl Penalty {
    /// `l1 sum |w|`.
    pub fn l1(l1: f32) -> Self {
        Penalty { l1, l2: 0.0 }
    }

    /// `l2 sum w^2`.
    pub fn l2(l2: f32) -> Self {
        Penalty { l1: 0.0, l2 }
    }

    /// `l1 sum |w| + l2 sum w^2`.
    pub fn elastic_net(l1: f32, l2: f32) -> Self {
        Penalty { l1, l2 }
    }

    pub(super) fn check(self) -> Result<()> {
        Setting::not_negative("l1", self.l1).check()?;
        Setting::not_negative("l2", self.l2).check()
    }

    /// The penalty of a value, a scalar; none where both factors are 0.
    pub(super) fn record(self, g: &Graph, value: Value) -> Result<Option<Value>> {
        let term = |factor: f32, kind: fn(&Graph, Value) -> Result<Value>| {
            if factor == 0.0 {
                return Ok(None);
            }
            let sum = g.sum(kind(g, value)?, &[], false)?;
            g.mul(sum, g.scalar_constant(factor)).map(Some)
        };
        match (term(self.l1, Graph::abs)?, term(self.l2, Graph::square)?) {
            (Some(l1), Some(l2)) => g.add(l1, l2).map(Some),
            (one, other) => Ok(one.or(other)),
        }
    }
}

/// Leaves its input as it is and adds a penalty of it to the loss: Keras's `ActivityRegularization`. The
/// terms of all elements of the batch are added up; those of padded steps
/// ([`LayerContext::mask`](super::LayerContext::mask)) are left out.
///
/// | shapes | parameters |
/// |---|---|
/// | any, unchanged | none |
///
/// ```
/// use retape::prelude::*;
/// let model = Sequential::new()
///     .add(Dense::new(32).activation(Activation::Relu))
///     .add(ActivityPenalty::new(Penalty::l1(1e-5)))
///     .add(Dense::new(10));
/// # let _ = model;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivityPenalty(Penalty);

impl ActivityPenalty {
    /// This penalty of what passes.
    pub fn new(penalty: Penalty) -> Self {
        ActivityPenalty(penalty)
    }
}

one_input! {
    ActivityPenalty, "activity_penalty",
    units: |_| UnitFlow::Kept,
    keeps_steps: |_| true,
    |layer, cx, x| {
        layer.0.check()?;
        cx.penalize(x, layer.0)?;
        Ok(x)
    };
}
