//! What layers with a weight and a bias share.

use super::{Activation, LayerContext};
use crate::error::{Error, Result};
use crate::graph::{Init, Value};

#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub weight_init: Init,
    pub bias_init: Init,
    pub has_bias: bool,
    pub activation: Activation,
}

impl Default for Weights {
    fn default() -> Self {
        Weights {
            weight_init: Init::GlorotUniform,
            bias_init: Init::Zeros,
            has_bias: true,
            activation: Activation::Linear,
        }
    }
}

impl Weights {
    /// The bias, if the layer has one.
    pub fn bias(&self, cx: &mut LayerContext<'_>, units: usize) -> Option<Value> {
        self.has_bias.then(|| cx.parameter("bias", [units], self.bias_init.clone()))
    }
}

/// The options of a layer with a field `weights`.
macro_rules! weight_methods {
    ($layer:ident) => {
        impl $layer {
            /// The function applied to the result; none by default.
            pub fn activation(mut self, activation: crate::nn::Activation) -> Self {
                self.weights.activation = activation;
                self
            }

            /// Whether a bias is added; it is by default.
            pub fn bias(mut self, bias: bool) -> Self {
                self.weights.has_bias = bias;
                self
            }

            /// How the weight starts: Glorot uniform by default.
            pub fn weight_init(mut self, init: crate::graph::Init) -> Self {
                self.weights.weight_init = init;
                self
            }

            /// How the bias starts: zeros by default.
            pub fn bias_init(mut self, init: crate::graph::Init) -> Self {
                self.weights.bias_init = init;
                self
            }
        }
    };
}
pub(super) use weight_methods;

/// Refuses a layer of no units.
pub(super) fn at_least_one(argument: &'static str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::Argument { argument, value: "0".to_owned(), expected: "at least 1" })
}
