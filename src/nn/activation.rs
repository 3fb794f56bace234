use super::{Layer, LayerContext, UnitFlow};
use crate::error::Result;
use crate::graph::{Graph, Value};

/// A row: the variant with its numbers, the method of [`Graph`], after which the layer is called, and what
/// there is to say about the two.
macro_rules! activations {
    ($($variant:ident $(($($number:ident: $ty:ty),+))?, $method:ident $note:literal;)+) => {
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
        #[non_exhaustive]
        pub enum Activation {
            /// None: `x`.
            #[default]
            Linear,
            $(
                #[doc = concat!("[`Graph::", stringify!($method), "`]", $note)]
                $variant $(($($ty),+))?,
            )+
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
                    $(Activation::$variant $(($($number),+))? => g.$method(x $($(, $number)+)?),)+
                    Activation::Softmax => g.softmax(x, axis),
                    Activation::LogSoftmax => g.log_softmax(x, axis),
                }
            }

        }

        impl Layer for Activation {
            fn kind(&self) -> &'static str {
                match self {
                    Activation::Linear => "linear",
                    $(Activation::$variant { .. } => stringify!($method),)+
                    Activation::Softmax => "softmax",
                    Activation::LogSoftmax => "log_softmax",
                }
            }

            fn units(&self) -> UnitFlow {
                UnitFlow::Kept
            }

            fn keeps_steps(&self) -> bool {
                true
            }

            fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
                let x = cx.one(inputs)?;
                self.apply(cx.graph(), x, -1)
            }
        }
    };
}

activations! {
    Relu, relu ".";
    LeakyRelu(slope: f32), leaky_relu " with this slope below 0.";
    Elu(alpha: f32), elu " with this `alpha`.";
    Selu, selu ".";
    Gelu, gelu ".";
    GeluTanh, gelu_tanh ".";
    Sigmoid, sigmoid ".";
    HardSigmoid, hard_sigmoid ".";
    Tanh, tanh ".";
    Softplus, softplus ".";
    Softsign, softsign ".";
    Swish, swish ".";
    Exp, exp ".";
    Step, step ", whose gradient is 0.";
    Clip(min: f32, max: f32), clip " to this range; `Clip(0.0, 6.0)` is ReLU6.";
}
