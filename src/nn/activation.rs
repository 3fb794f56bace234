use super::{Layer, LayerContext, UnitFlow};
use crate::error::Result;
use crate::graph::{Graph, Value};

/// An elementwise function, or a softmax; an option of [`Dense`](super::Dense) and the
/// convolutions, and a layer itself, whose kind is the name of the function.
///
/// | shapes | parameters |
/// |---|---|
/// | any, unchanged | none |
///
/// As a layer and as the option of a dense layer, the two softmaxes run over the last axis; as the
/// option of a convolution, over the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// None: `x`.
    #[default]
    Linear,
    /// [`Graph::relu`].
    Relu,
    /// [`Graph::leaky_relu`] with this slope below 0.
    LeakyRelu(f32),
    /// [`Graph::elu`] with this `alpha`.
    Elu(f32),
    /// [`Graph::selu`].
    Selu,
    /// [`Graph::gelu`].
    Gelu,
    /// [`Graph::gelu_tanh`].
    GeluTanh,
    /// [`Graph::sigmoid`].
    Sigmoid,
    /// [`Graph::hard_sigmoid`].
    HardSigmoid,
    /// [`Graph::tanh`].
    Tanh,
    /// [`Graph::softplus`].
    Softplus,
    /// [`Graph::softsign`].
    Softsign,
    /// [`Graph::swish`].
    Swish,
    /// [`Graph::exp`].
    Exp,
    /// [`Graph::step`], whose gradient is 0.
    Step,
    /// [`Graph::clip`] to this range; `Clip(0.0, 6.0)` is ReLU6.
    Clip(f32, f32),
    /// [`Graph::softmax`]. The cross-entropy losses take logits: they need none.
    Softmax,
    /// [`Graph::log_softmax`].
    LogSoftmax,
}

impl Activation {
    /// Records the function; `axis` is that of the softmaxes.
    ///
    /// # Errors
    /// Those of the function's method of [`Graph`].
    #[track_caller]
    pub fn apply(self, g: &Graph, x: Value, axis: isize) -> Result<Value> {
        match self {
            Activation::Linear => Ok(x),
            Activation::Relu => g.relu(x),
            Activation::LeakyRelu(slope) => g.leaky_relu(x, slope),
            Activation::Elu(alpha) => g.elu(x, alpha),
            Activation::Selu => g.selu(x),
            Activation::Gelu => g.gelu(x),
            Activation::GeluTanh => g.gelu_tanh(x),
            Activation::Sigmoid => g.sigmoid(x),
            Activation::HardSigmoid => g.hard_sigmoid(x),
            Activation::Tanh => g.tanh(x),
            Activation::Softplus => g.softplus(x),
            Activation::Softsign => g.softsign(x),
            Activation::Swish => g.swish(x),
            Activation::Exp => g.exp(x),
            Activation::Step => g.step(x),
            Activation::Clip(min, max) => g.clip(x, min, max),
            Activation::Softmax => g.softmax(x, axis),
            Activation::LogSoftmax => g.log_softmax(x, axis),
        }
    }
}

impl Layer for Activation {
    fn kind(&self) -> &'static str {
        match self {
            Activation::Linear => "linear",
            Activation::Relu => "relu",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Elu(_) => "elu",
            Activation::Selu => "selu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::Tanh => "tanh",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Swish => "swish",
            Activation::Exp => "exp",
            Activation::Step => "step",
            Activation::Clip(..) => "clip",
            Activation::Softmax => "softmax",
            Activation::LogSoftmax => "log_softmax",
        }
    }

    fn units(&self) -> UnitFlow {
        UnitFlow::Kept
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let x = cx.one(inputs)?;
        self.apply(cx.graph(), x, -1)
    }

    fn keeps_steps(&self) -> bool {
        true
    }
}
