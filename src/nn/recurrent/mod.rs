//! Recurrent layers.

mod bidirectional;
mod settings;

pub use bidirectional::{Bidirectional, Merge};
use settings::Settings;

use super::weights::restraint_methods;
use super::{Layer, LayerContext};
use crate::error::Result;
use crate::graph::{Init, Value};
use crate::ops::{CellActivation, GruReset, RecurrentCell, RecurrentRoute};

/// A simple recurrent network, `h[t] = tanh(x[t] W + h[t-1] U + b)`:
/// [`Graph::simple_rnn`](crate::Graph::simple_rnn).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]`, and an initial state h `[batch, units]` if the program has one |
/// | output | `[batch, units]` after the last step; `[batch, time, units]` with `return_sequences` |
/// | more outputs | with `return_state`: h `[batch, units]` after the last step |
/// | `weight` | `[features, units]` |
/// | `recurrent_weight` | `[units, units]` |
/// | `bias` | `[units]` |
///
/// Defaults: tanh, a bias, the last output only, forward in time, Glorot uniform weights,
/// orthogonal recurrent weights, zero biases, zero states, no dropout.
#[derive(Clone, Debug)]
#[must_use]
pub struct SimpleRnn(Settings);

/// Long short-term memory (Hochreiter and Schmidhuber, Neural Computation 9(8), 1997):
/// [`Graph::lstm`](crate::Graph::lstm).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]`, and initial states h and c `[batch, units]` if the program has them |
/// | output | `[batch, units]` after the last step; `[batch, time, units]` with `return_sequences` |
/// | more outputs | with `return_state`: h and c `[batch, units]` after the last step |
/// | `weight` | `[features, 4 units]`, gates i, f, g, o |
/// | `recurrent_weight` | `[units, 4 units]` |
/// | `bias` | `[4 units]` |
/// | `peepholes` | `[3, units]`, from the cell to i, f and o |
///
/// Defaults: tanh, sigmoid gates, a bias that starts at 1 for the forget gate and at 0 for the
/// others, no peepholes, and those of [`SimpleRnn`].
///
/// ```
/// use retape::prelude::*;
///
/// let model = Sequential::new()
///     .add(Lstm::new(64).return_sequences(true))
///     .add(Bidirectional::new(Lstm::new(32)))
///     .add(Dense::new(5));
/// let summary = model.summary([20, 10])?;
/// assert_eq!(summary.layers[0].outputs, [Shape::from([20, 64])]);
/// assert_eq!(summary.layers[0].trainable, 4 * (10 * 64 + 64 * 64 + 64));
/// assert_eq!(summary.layers[1].outputs, [Shape::from([64])]);
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Lstm(Settings);

/// Gated recurrent units (Cho et al., EMNLP 2014): [`Graph::gru`](crate::Graph::gru).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]`, and an initial state h `[batch, units]` if the program has one |
/// | output | `[batch, units]` after the last step; `[batch, time, units]` with `return_sequences` |
/// | more outputs | with `return_state`: h `[batch, units]` after the last step |
/// | `weight` | `[features, 3 units]`, gates r, z, n |
/// | `recurrent_weight` | `[units, 3 units]` |
/// | `bias` | `[2, 3 units]`, input and recurrence; `[3 units]` with [`GruReset::Before`] |
///
/// Defaults: tanh, sigmoid gates, [`GruReset::After`], and those of [`SimpleRnn`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Gru(Settings);

/// A recurrent layer of any cell: what [`Bidirectional`] is made of. [`SimpleRnn`], [`Lstm`] and
/// [`Gru`] turn into it.
#[derive(Clone, Debug)]
pub struct RecurrentLayer(Settings);

setters! {
    Lstm,
    /// The function of the gates: sigmoid by default.
    recurrent_activation: CellActivation => 0.options.recurrent_activation;
    /// Whether the bias of the forget gate starts at 1 (Jozefowicz et al., ICML 2015); it does by
    /// default. Where the program says how the bias starts, that alone counts.
    unit_forget_bias: bool => 0.unit_forget_bias;
    /// Whether the gates see the cell (Gers and Schmidhuber, IJCNN 2000), through weights that start
    /// at 0; they do not by default.
    peepholes: bool => 0.peepholes;
}

setters! {
    Gru,
    /// The function of the gates: sigmoid by default.
    recurrent_activation: CellActivation => 0.options.recurrent_activation;
    /// Where the reset gate acts: [`GruReset::After`] by default.
    reset: GruReset => 0.cell = RecurrentCell::Gru(reset);
}

macro_rules! recurrent_methods {
    ($layer:ident, $cell:expr) => {
        impl $layer {
            /// A layer of this many units.
            pub fn new(units: usize) -> Self {
                $layer(Settings::new($cell, units))
            }
        }

        setters! {
            $layer,
            /// The function of the candidate, and of an LSTM's cell: tanh by default.
            activation: CellActivation => 0.options.activation;
            /// Whether a bias is added; it is by default.
            bias: bool => 0.has_bias;
            /// Whether the output is that of every step; by default it is the last one's. Needed by a
            /// recurrent layer that follows.
            return_sequences: bool => 0.return_sequences;
            /// Whether the states after the last step taken follow as further outputs; not by
            /// default.
            return_state: bool => 0.return_state;
            /// Whether steps are taken from the last to the first; not by default. The output of a
            /// step stays at its place, as in PyTorch and ONNX, where Keras turns the sequence round.
            go_backwards: bool => 0.options.reverse;
            /// Whether each replay starts from the states that the one before ended with, on the
            /// device and without a gradient across; not by default.
            ///
            /// They are states of the layer, called `h_32` (and `c_32`) for a batch of 32, so that
            /// sessions of other batch sizes share the parameters and have states of their own;
            /// those of the same batch size share the states too. To begin anew, write zeros to those
            /// among
            /// [`Recorded::states`](crate::nn::Recorded::states).
            stateful: bool => 0.stateful;
            /// Dropout of the input in training, at least 0 and below 1: one draw for each example
            /// and feature, the same at all steps (Gal and Ghahramani, NeurIPS 2016). 0 by default.
            dropout: f32 => 0.dropout;
            /// Dropout of the state on its way into the products, as [`dropout`](Self::dropout)
            /// of the input: one draw for each example and unit. 0 by default.
            recurrent_dropout: f32 => 0.recurrent_dropout;
            /// Cuts the gradient's way back after every so many steps: truncated back-propagation
            /// through time. It goes all the way by default. Steps are counted from the first that is
            /// taken, those of padding too: padding before or within a sequence moves the cuts, and with them the
            /// gradient; padding behind it does where steps are taken backwards.
            truncate: usize => 0.options.truncate;
            /// Takes every step, though the input may have a mask ([`LayerContext::mask`]). By default its
            /// padding is skipped, in front, behind and in between: the states pass it as they are.
            ignore_mask: bool => 0.ignore_mask;
            /// Whether the output of a step of padding is zeros, as packed sequences have it in PyTorch and
            /// Keras's option of this name. By default it is the state that passes the step, as in Keras:
            /// that of the step taken before it, or the initial one.
            zero_output_for_mask: bool => 0.zero_output_for_mask;
            /// How the weight of the input starts: Glorot uniform by default.
            weight_init: Init => 0.weight.init;
            /// How the recurrent weight starts: orthogonal by default (Saxe et al., ICLR 2014).
            recurrent_init: Init => 0.recurrent.init;
            /// How the bias starts: zeros by default, but for an LSTM's forget gate.
            bias_init: Init => 0.bias.init;
            /// How the recurrence is computed: the numbers are the same to rounding.
            route: RecurrentRoute => 0.options.route;
        }

        restraint_methods! {
            $layer, 0.weight, weight_penalty, weight_constraint, "the weight of the input",
            "A norm is that of one column: what a unit's gate takes of the input."
        }
        restraint_methods! {
            $layer, 0.recurrent, recurrent_penalty, recurrent_constraint, "the recurrent weight",
            "A norm is that of one column: what a unit's gate takes of the state."
        }
        restraint_methods! {
            $layer, 0.bias, bias_penalty, bias_constraint, "the bias",
            "A norm is that of the whole bias."
        }

        impl From<$layer> for RecurrentLayer {
            fn from(layer: $layer) -> Self {
                RecurrentLayer(layer.0)
            }
        }
    };
}

recurrent_methods!(SimpleRnn, RecurrentCell::Simple);
recurrent_methods!(Lstm, RecurrentCell::Lstm);
recurrent_methods!(Gru, RecurrentCell::Gru(GruReset::After));

macro_rules! recurrent_layer {
    ($($layer:ident)+) => {$(
        impl Layer for $layer {
            fn kind(&self) -> &'static str {
                self.0.cell.name()
            }

            fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
                self.0.record(cx, inputs).map(|outputs| outputs[0])
            }

            fn outputs(&self) -> usize {
                self.0.outputs()
            }

            fn record_all(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
                self.0.record(cx, inputs)
            }
        }
    )+};
}

recurrent_layer! { SimpleRnn Lstm Gru RecurrentLayer }
