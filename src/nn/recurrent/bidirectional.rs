use super::RecurrentLayer;
use super::settings::{Settings, sequence};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::nn::{Layer, LayerContext, LayerSpec};

/// How [`Bidirectional`] joins the outputs of its two directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Merge {
    /// Side by side: twice as many features.
    #[default]
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Average,
}

/// Two recurrent layers on one sequence, one forward in time and one backward (Schuster and
/// Paliwal, IEEE Transactions on Signal Processing 45(11), 1997).
///
/// | | shape |
/// |---|---|
/// | input | `[batch, time, features]`, and the initial states of both directions if the program has them |
/// | output | that of the layer, with `2 units` features under [`Merge::Concat`] |
/// | more outputs | with `return_state`: the forward layer's states, then the backward one's |
/// | parameters | `forward_lstm.weight` .., `backward_lstm.weight` .., as the layer is called |
///
/// A step's outputs in both directions are joined with each other. Default: [`Merge::Concat`].
///
/// Both directions skip the padding of an input with a mask ([`LayerContext::mask`]), in front and behind.
/// Their outputs at steps of padding are zeros, as in Keras, whatever the layer says of itself: the states
/// there would be the last ones of one direction beside the initial ones of the other.
/// [`zero_output_for_mask(false)`](Bidirectional::zero_output_for_mask) leaves them.
#[derive(Clone, Debug)]
#[must_use]
pub struct Bidirectional {
    layer: Settings,
    merge: Merge,
    zero_output_for_mask: bool,
}

impl Bidirectional {
    /// This layer, and one like it that goes the other way.
    pub fn new(layer: impl Into<RecurrentLayer>) -> Self {
        Bidirectional { layer: layer.into().0, merge: Merge::Concat, zero_output_for_mask: true }
    }

    setters! {
        /// How the outputs are joined: [`Merge::Concat`] by default.
        merge: Merge => merge;
        /// Whether the outputs at steps of padding are zeros; they are by default. Otherwise each direction
        /// gives the state that passes the step.
        zero_output_for_mask: bool => zero_output_for_mask;
    }

    fn directions(&self) -> [LayerSpec; 2] {
        let zero_output_for_mask = self.zero_output_for_mask;
        let layer = Settings { zero_output_for_mask, ..self.layer.clone() };
        let [forward, mut backward] = [layer.clone(), layer];
        backward.options.reverse ^= true;
        [("forward", forward), ("backward", backward)].map(|(direction, layer)| {
            let name = format!("{direction}_{}", layer.cell.name());
            RecurrentLayer(layer).named(&name)
        })
    }
}

impl Merge {
    fn apply(self, g: &Graph, forward: Value, backward: Value) -> Result<Value> {
        match self {
            Merge::Concat => g.concat(&[forward, backward], -1),
            Merge::Sum => g.add(forward, backward),
            Merge::Mul => g.mul(forward, backward),
            Merge::Average => g.mul(g.add(forward, backward)?, g.scalar_constant(0.5)),
        }
    }
}

impl Layer for Bidirectional {
    fn kind(&self) -> &'static str {
        "bidirectional"
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        self.record_all(cx, inputs).map(|outputs| outputs[0])
    }

    fn outputs(&self) -> usize {
        2 * self.layer.outputs() - 1
    }

    fn record_all(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
        let (&x, initial) = sequence(inputs)?;
        let states = self.layer.cell.states();
        let expected = "each direction has its own: h for each; h and c for each LSTM";
        Error::expect([0, 2 * states].contains(&initial.len()), "initial states", initial.len(), expected)?;
        let (first, second) = initial.split_at(initial.len() / 2);
        let [forward, backward] = self.directions();
        let forward = cx.add_all(forward, [&[x], first].concat())?;
        let backward = cx.add_all(backward, [&[x], second].concat())?;
        let merged = self.merge.apply(cx.graph(), forward[0], backward[0])?;
        if let Some(mask) = cx.mask(forward[0]) {
            cx.set_mask(merged, mask)?;
        }
        Ok([&[merged], &forward[1..], &backward[1..]].concat())
    }
}
