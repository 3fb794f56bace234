//! What the recurrent layers share.

use crate::dtype::DType;
use crate::error::{Error, Result, Setting};
use crate::graph::{Init, Value};
use crate::nn::context::without_padding;
use crate::nn::weights::{Trained, at_least_one};
use crate::nn::{LayerContext, Mode};
use crate::ops::{RecurrentCell, RecurrentOptions, RecurrentWeights, expect_dtype};
use crate::shape::Shape;

/// A recurrent layer of any cell.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub cell: RecurrentCell,
    pub units: usize,
    pub options: RecurrentOptions,
    pub has_bias: bool,
    pub unit_forget_bias: bool,
    pub peepholes: bool,
    pub return_sequences: bool,
    pub return_state: bool,
    pub stateful: bool,
    pub dropout: f32,
    pub recurrent_dropout: f32,
    pub ignore_mask: bool,
    pub zero_output_for_mask: bool,
    pub weight: Trained,
    pub recurrent: Trained,
    pub bias: Trained,
}

impl Settings {
    pub fn new(cell: RecurrentCell, units: usize) -> Self {
        Settings {
            cell,
            units,
            options: RecurrentOptions::new(),
            has_bias: true,
            unit_forget_bias: true,
            peepholes: false,
            return_sequences: false,
            return_state: false,
            stateful: false,
            dropout: 0.0,
            recurrent_dropout: 0.0,
            ignore_mask: false,
            zero_output_for_mask: false,
            weight: Trained::default(),
            recurrent: Trained::default(),
            bias: Trained::default(),
        }
    }

    pub fn outputs(&self) -> usize {
        if self.return_state { 1 + self.cell.states() } else { 1 }
    }

    /// Records the layer: the output, then the last states if they are returned.
    pub fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Vec<Value>> {
        let (&x, initial) = sequence(inputs)?;
        at_least_one("units", self.units)?;
        Setting::decay("dropout", self.dropout).check()?;
        Setting::decay("recurrent_dropout", self.recurrent_dropout).check()?;
        let ty = cx.graph().ty(x)?;
        if !ty.dtype.is_float() {
            expect_dtype("the sequence, which an embedding makes of indices,", ty, DType::F32)?;
        }
        let expected = "3 ([batch, time, features], as return_sequences gives it to the next layer)";
        let [batch, _, features] = ty.shape.extents(expected)?;
        let steps = cx.mask(x).filter(|_| !self.ignore_mask);
        let weights = self.declare(cx, features)?;
        let states = self.states(cx, batch, initial)?;
        let dropped = match mask(cx, self.dropout, [batch, 1, features].into())? {
            Some(mask) => cx.graph().mul(x, mask)?,
            None => x,
        };
        let carried: Vec<Value> = states.iter().map(|&state| cx.carried(state)).collect();
        let initial = if states.is_empty() { initial } else { &carried };
        let recurrent_mask = mask(cx, self.recurrent_dropout, [batch, self.units].into())?;
        let initial = initial.iter().map(|&state| cx.graph().widened(state)).collect::<Result<_>>()?;
        let options = RecurrentOptions { initial, mask: steps, recurrent_mask, ..self.options.clone() };
        let made = cx.graph().recurrence(self.cell, dropped, weights, &options)?;
        for (&state, &last) in states.iter().zip(&made.states) {
            cx.carry(state, last)?;
        }
        let mut output = if self.return_sequences { made.outputs } else { made.states[0] };
        if let Some(steps) = steps.filter(|_| self.return_sequences) {
            if self.zero_output_for_mask {
                output = without_padding(cx.graph(), output, steps, 0.0)?;
            }
            cx.set_mask(output, steps)?;
        }
        let more = if self.return_state { made.states } else { Vec::new() };
        Ok([vec![output], more].concat())
    }

    fn declare(&self, cx: &mut LayerContext<'_>, features: usize) -> Result<RecurrentWeights> {
        let (units, gates) = (self.units, self.cell.gates());
        let columns = units.saturating_mul(gates);
        // The largest of the parameters when it comes to the units: those that follow fit too.
        let recurrent = Shape::new(&[units, columns])?;
        recurrent.check_size("recurrent_weight")?;
        let input = self.weight.declare(cx, "weight", [features, columns], Init::GlorotUniform, &[0])?;
        let start = Init::Orthogonal { gain: 1.0 };
        let recurrent = self.recurrent.declare(cx, "recurrent_weight", recurrent, start, &[0])?;
        let (shape, start) = (self.cell.bias_shape(units), self.start_of_bias());
        let bias = self.has_bias.then(|| self.bias.declare(cx, "bias", shape, start, &[])).transpose()?;
        let peepholes = self.peepholes.then(|| cx.parameter("peepholes", [3, units], Init::Zeros));
        Ok(RecurrentWeights { input, recurrent, bias, peepholes })
    }

    fn start_of_bias(&self) -> Init {
        if self.cell == RecurrentCell::Lstm && self.unit_forget_bias {
            return Init::Values([0.0, 1.0, 0.0, 0.0].map(|start| vec![start; self.units]).concat());
        }
        Init::Zeros
    }

    /// The states that are carried from replay to replay, named after the batch too: a session of
    /// another batch size shares what is trained.
    fn states(&self, cx: &mut LayerContext<'_>, batch: usize, initial: &[Value]) -> Result<Vec<Value>> {
        if !self.stateful {
            return Ok(Vec::new());
        }
        let expected = "a stateful layer starts from its own";
        Error::expect(initial.is_empty(), "initial states", initial.len(), expected)?;
        let names = ["h", "c"].iter().take(self.cell.states());
        Ok(names
            .map(|n| cx.carried_state(&format!("{n}_{batch}"), [batch, self.units], Init::Zeros))
            .collect())
    }
}

/// A sequence and the initial states that follow it among the inputs.
pub(super) fn sequence(inputs: &[Value]) -> Result<(&Value, &[Value])> {
    let expected = "a sequence, then its initial states if there are any";
    inputs.split_first().ok_or_else(|| Error::argument("inputs", 0, expected))
}

/// Factors that drop with this probability, `0` or `1 / (1 - rate)`; none where nothing is dropped.
fn mask(cx: &LayerContext<'_>, rate: f32, shape: Shape) -> Result<Option<Value>> {
    if rate == 0.0 || cx.mode() == Mode::Evaluation {
        return Ok(None);
    }
    let g = cx.graph();
    let ones = g.broadcast_to(g.scalar_constant(1.0), shape)?;
    g.dropout(ones, rate).map(Some)
}
