//! What layers with a weight and a bias share.

use super::{Activation, Constraint, LayerContext, Penalty};
use crate::error::{Error, Result};
use crate::graph::{Init, Value};
use crate::shape::Shape;

/// What a layer asks of one of its parameters: how it starts, and what holds in training.
#[derive(Clone, Debug, Default)]
pub(super) struct Trained {
    /// `None` for the layer's default.
    pub init: Option<Init>,
    pub penalty: Option<Penalty>,
    pub constraint: Option<Constraint>,
}

impl Trained {
    /// The parameter, in which a unit lies along `axes`.
    pub fn declare(
        &self,
        cx: &mut LayerContext<'_>,
        name: &str,
        shape: impl Into<Shape>,
        default: Init,
        axes: &[isize],
    ) -> Result<Value> {
        let shape = shape.into();
        let parameter = cx.parameter(name, shape, self.init.clone().unwrap_or(default));
        self.restrain(cx, parameter, shape, axes)?;
        Ok(parameter)
    }

    /// Records what a parameter is held to in training: its penalty and its constraint. The norms of its units
    /// are over `axes` of `view`, a shape of its elements in their order.
    pub fn restrain(
        &self,
        cx: &mut LayerContext<'_>,
        parameter: Value,
        view: impl Into<Shape>,
        axes: &[isize],
    ) -> Result<()> {
        if let Some(penalty) = self.penalty {
            cx.penalize(parameter, penalty)?;
        }
        let Some(constraint) = self.constraint else { return Ok(()) };
        cx.constrain_view(parameter, constraint, view.into(), axes)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub weight: Trained,
    pub bias: Trained,
    pub has_bias: bool,
    pub activation: Activation,
}

impl Default for Weights {
    fn default() -> Self {
        let (weight, bias) = (Trained::default(), Trained::default());
        Weights { weight, bias, has_bias: true, activation: Activation::Linear }
    }
}

impl Weights {
    /// The weight, in which a unit lies along `axes`.
    pub fn weight(
        &self,
        cx: &mut LayerContext<'_>,
        shape: impl Into<Shape>,
        axes: &[isize],
    ) -> Result<Value> {
        self.weight.declare(cx, "weight", shape, Init::GlorotUniform, axes)
    }

    /// The bias, if the layer has one.
    pub fn bias(&self, cx: &mut LayerContext<'_>, units: usize) -> Result<Option<Value>> {
        self.has_bias.then(|| self.bias.declare(cx, "bias", [units], Init::Zeros, &[])).transpose()
    }
}

/// The options of a layer with a field `weights`.
macro_rules! weight_methods {
    ($($layer:ident)+) => {$(
        setters! {
            $layer,
            /// The function applied to the result; none by default.
            activation: crate::nn::Activation => weights.activation;
            /// Whether a bias is added; it is by default.
            bias: bool => weights.has_bias;
            /// How the weight starts: Glorot uniform by default.
            weight_init: crate::graph::Init => weights.weight.init;
            /// How the bias starts: zeros by default.
            bias_init: crate::graph::Init => weights.bias.init;
        }

        $crate::nn::weights::restraint_methods! {
            $layer, weights.weight, weight_penalty, weight_constraint, "the weight",
            "A norm is that of the weights of one unit or filter, all its inputs together."
        }
        $crate::nn::weights::restraint_methods! {
            $layer, weights.bias, bias_penalty, bias_constraint, "the bias",
            "A norm is that of the whole bias, as in Keras."
        }
    )+};
}
pub(super) use weight_methods;

/// A penalty and a constraint of the parameter whose [`Trained`] is the field `$field`.
macro_rules! restraint_methods {
    (
        $layer:ident, $($field:tt).+, $penalty:ident, $constraint:ident, $what:literal, $units:literal
    ) => {
        setters! {
            $layer,
            #[doc = concat!("A penalty of ", $what, " in training; none by default. The program adds it to")]
            /// its loss, as one of [`Graph::penalties`](crate::Graph::penalties).
            $penalty: crate::nn::Penalty => $($field).+.penalty;
            #[doc = concat!("What ", $what, " is held to after every update; nothing by default.")]
            #[doc = $units]
            $constraint: crate::nn::Constraint => $($field).+.constraint;
        }
    };
}
pub(super) use restraint_methods;

/// Refuses a layer of no units.
pub(super) fn at_least_one(argument: &'static str, value: usize) -> Result<()> {
    Error::expect(value > 0, argument, value, "at least 1")
}
