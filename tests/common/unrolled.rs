//! A recurrence as elementary operators on the tape, step by step: what the operators are compared with.

use retape::Result;
use retape::nn::LayerContext;
use retape::ops::{CellActivation, GruReset, Recurrence, RecurrentOptions, RecurrentRoute, RecurrentWeights};
use retape::prelude::*;

use super::cases::recurrent::Cell;

/// How a recurrence is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// As one operator, by this route.
    Fused(RecurrentRoute),
    /// As elementary operators.
    Unrolled,
}

pub const FORMS: [Form; 4] = [
    Form::Fused(RecurrentRoute::Auto),
    Form::Unrolled,
    Form::Fused(RecurrentRoute::Steps),
    Form::Fused(RecurrentRoute::Sequence),
];

/// The options of a recurrence.
#[derive(Clone, Debug)]
pub struct Settings {
    pub initial: Vec<Value>,
    pub lengths: Option<Value>,
    /// Which steps count.
    pub steps: Option<Value>,
    pub mask: Option<Value>,
    pub reverse: bool,
    pub truncate: Option<usize>,
    pub activation: CellActivation,
    pub gate: CellActivation,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            initial: Vec::new(),
            lengths: None,
            steps: None,
            mask: None,
            reverse: false,
            truncate: None,
            activation: CellActivation::Tanh,
            gate: CellActivation::Sigmoid,
        }
    }
}

impl Settings {
    /// Records a recurrence.
    pub fn record(
        &self,
        g: &Graph,
        cell: Cell,
        x: Value,
        weights: RecurrentWeights,
        form: Form,
    ) -> Result<Recurrence> {
        let Form::Fused(route) = form else { return unrolled(g, cell, x, &weights, self) };
        let mut options = RecurrentOptions::new()
            .initial(self.initial.clone())
            .reverse(self.reverse)
            .activation(self.activation)
            .recurrent_activation(self.gate)
            .route(route);
        if let Some(mask) = self.mask {
            options = options.recurrent_mask(mask);
        }
        if let Some(lengths) = self.lengths {
            options = options.lengths(lengths);
        }
        if let Some(steps) = self.steps {
            options = options.mask(steps);
        }
        if let Some(steps) = self.truncate {
            options = options.truncate(steps);
        }
        match cell {
            Cell::Simple => g.simple_rnn(x, weights, &options),
            Cell::Lstm => g.lstm(x, weights, &options),
            Cell::Gru(reset) => g.gru(x, weights, reset, &options),
        }
    }
}

/// A recurrent layer of elementary operators, with the parameters of the crate's layer of its kind, that
/// gives the last output.
#[derive(Clone, Debug)]
pub struct UnrolledLayer {
    pub cell: Cell,
    pub units: usize,
    pub recurrent_init: Init,
    pub bias_init: Init,
    pub settings: Settings,
}

impl UnrolledLayer {
    /// The layer with the settings that the crate's start with.
    pub fn new(cell: Cell, units: usize) -> Self {
        let forget = |i: usize| if cell == Cell::Lstm && i / units == 1 { 1.0 } else { 0.0 };
        UnrolledLayer {
            cell,
            units,
            recurrent_init: Init::Orthogonal { gain: 1.0 },
            bias_init: Init::Values((0..cell.gates() * units).map(forget).collect()),
            settings: Settings::default(),
        }
    }
}

impl Layer for UnrolledLayer {
    fn kind(&self) -> &'static str {
        match self.cell {
            Cell::Simple => "simple_rnn",
            Cell::Lstm => "lstm",
            Cell::Gru(_) => "gru",
        }
    }

    fn record(&self, cx: &mut LayerContext<'_>, inputs: &[Value]) -> Result<Value> {
        let features = cx.graph().shape(inputs[0])?.dims()[2];
        let columns = self.cell.gates() * self.units;
        let input = cx.parameter("weight", [features, columns], Init::GlorotUniform);
        let recurrent = cx.parameter("recurrent_weight", [self.units, columns], self.recurrent_init.clone());
        let bias = cx.parameter("bias", [columns], self.bias_init.clone());
        let weights = RecurrentWeights::new(input, recurrent).bias(bias);
        Ok(self.settings.record(cx.graph(), self.cell, inputs[0], weights, Form::Unrolled)?.states[0])
    }
}

fn unrolled(
    g: &Graph,
    cell: Cell,
    x: Value,
    weights: &RecurrentWeights,
    settings: &Settings,
) -> Result<Recurrence> {
    let [batch, time, _] = g.shape(x)?.dims().try_into().expect("[batch, time, features]");
    let unrolled = Unrolled::new(g, cell, weights, settings)?;
    let hidden = unrolled.hidden;
    let (mut x, mut valid) = (x, None);
    let of_lengths = settings.lengths.map(|lengths| valid_steps(g, lengths, batch, time));
    if let Some(steps) = of_lengths.transpose()?.or(settings.steps) {
        // Padding may hold anything.
        x = g.select(g.reshape(steps, [batch, time, 1])?, x, g.scalar_constant(0.0))?;
        valid = Some(steps);
    }
    let projected = unrolled.project(x)?;
    let mut states = settings.initial.clone();
    if states.is_empty() {
        let zero = g.broadcast_to(g.scalar_constant(0.0), [batch, hidden])?;
        states = vec![zero; if cell == Cell::Lstm { 2 } else { 1 }];
    }
    let mut outputs = vec![states[0]; time];
    for taken in 0..time {
        let t = if settings.reverse { time - 1 - taken } else { taken };
        if settings.truncate.is_some_and(|steps| taken > 0 && taken % steps == 0) {
            for state in &mut states {
                *state = g.stop_gradient(*state)?;
            }
        }
        let mut after = unrolled.step(cell, step_of(g, projected, t)?, &states)?;
        if let Some(valid) = valid {
            // The states before a step stay where the step is padding.
            let valid = g.slice_axis(valid, 1, t..t + 1)?;
            for (after, &before) in after.iter_mut().zip(&states) {
                *after = g.select(valid, *after, before)?;
            }
        }
        outputs[t] = g.reshape(after[0], [batch, 1, hidden])?;
        states = after;
    }
    Ok(Recurrence { outputs: g.concat(&outputs, 1)?, states })
}

/// 1 for the steps of each sequence and 0 for its padding, `[batch, time]`.
fn valid_steps(g: &Graph, lengths: Value, batch: usize, time: usize) -> Result<Value> {
    // The table turns u32 into f32, which is exact far beyond any sequence.
    let numbers: Vec<f32> = (0..=time).map(|t| t as f32).collect();
    let table = g.constant([time + 1], &numbers)?;
    let lengths = g.reshape(g.gather(table, lengths, 0)?, [batch, 1])?;
    let steps = g.constant([1, time], &numbers[..time])?;
    g.less(steps, lengths)
}

/// Step `t` of `[batch, time, n]`, as `[batch, n]`.
fn step_of(g: &Graph, x: Value, t: usize) -> Result<Value> {
    let shape = g.shape(x)?;
    let (batch, columns) = (shape.dims()[0], shape.dims()[2]);
    g.reshape(g.slice_axis(x, 1, t..t + 1)?, [batch, columns])
}

/// Row `index` of a matrix.
fn row(g: &Graph, matrix: Value, index: usize) -> Result<Value> {
    let columns = g.shape(matrix)?.dims()[1];
    g.reshape(g.slice_axis(matrix, 0, index..index + 1)?, [columns])
}

fn activate(g: &Graph, activation: CellActivation, x: Value) -> Result<Value> {
    match activation {
        CellActivation::Tanh => g.tanh(x),
        CellActivation::Sigmoid => g.sigmoid(x),
        CellActivation::HardSigmoid => g.hard_sigmoid(x),
        CellActivation::Relu => g.relu(x),
        CellActivation::Linear => Ok(x),
        other => panic!("{other:?} is not unrolled"),
    }
}

/// What all steps share.
struct Unrolled<'a> {
    g: &'a Graph,
    hidden: usize,
    input: Value,
    recurrent: Value,
    /// Added to the products of the input.
    bias: Option<Value>,
    /// Added to the products of the state: that of a GRU whose reset gate acts on them.
    recurrent_bias: Option<Value>,
    /// From the cell to i, f and o.
    peepholes: Option<[Value; 3]>,
    mask: Option<Value>,
    activation: CellActivation,
    gate: CellActivation,
}

impl<'a> Unrolled<'a> {
    fn new(g: &'a Graph, cell: Cell, weights: &RecurrentWeights, settings: &Settings) -> Result<Self> {
        let (bias, recurrent_bias) = match (cell, weights.bias) {
            (Cell::Gru(GruReset::After), Some(bias)) => (Some(row(g, bias, 0)?), Some(row(g, bias, 1)?)),
            (_, bias) => (bias, None),
        };
        let peepholes = match weights.peepholes {
            Some(p) => Some([row(g, p, 0)?, row(g, p, 1)?, row(g, p, 2)?]),
            None => None,
        };
        let mask = match settings.mask {
            Some(mask) => Some(g.stop_gradient(mask)?),
            None => None,
        };
        Ok(Unrolled {
            g,
            hidden: g.shape(weights.recurrent)?.dims()[0],
            input: weights.input,
            recurrent: weights.recurrent,
            bias,
            recurrent_bias,
            peepholes,
            mask,
            activation: settings.activation,
            gate: settings.gate,
        })
    }

    /// The products of the input with their bias, `[batch, time, gates * hidden]`.
    fn project(&self, x: Value) -> Result<Value> {
        let g = self.g;
        let [batch, time, features] = g.shape(x)?.dims().try_into().expect("[batch, time, features]");
        let rows = g.reshape(x, [batch * time, features])?;
        let mut y = g.matmul(rows, self.input)?;
        if let Some(bias) = self.bias {
            y = g.add(y, bias)?;
        }
        let columns = g.shape(y)?.dims()[1];
        g.reshape(y, [batch, time, columns])
    }

    /// The states after a step, from the products of its input and the states before it.
    fn step(&self, cell: Cell, inputs: Value, states: &[Value]) -> Result<Vec<Value>> {
        let g = self.g;
        let h = match self.mask {
            Some(mask) => g.mul(states[0], mask)?,
            None => states[0],
        };
        match cell {
            Cell::Simple => {
                let sum = g.add(inputs, g.matmul(h, self.recurrent)?)?;
                Ok(vec![activate(g, self.activation, sum)?])
            }
            Cell::Lstm => self.lstm(inputs, h, states[1]),
            Cell::Gru(GruReset::After) => self.gru_after(inputs, h, states[0]),
            Cell::Gru(GruReset::Before) => self.gru_before(inputs, h, states[0]),
        }
    }

    fn lstm(&self, inputs: Value, h: Value, c: Value) -> Result<Vec<Value>> {
        let g = self.g;
        let sum = g.add(inputs, g.matmul(h, self.recurrent)?)?;
        let i = self.looking(self.part(sum, 0)?, 0, c)?;
        let f = self.looking(self.part(sum, 1)?, 1, c)?;
        let (i, f) = (activate(g, self.gate, i)?, activate(g, self.gate, f)?);
        let candidate = activate(g, self.activation, self.part(sum, 2)?)?;
        let c = g.add(g.mul(f, c)?, g.mul(i, candidate)?)?;
        let o = self.looking(self.part(sum, 3)?, 2, c)?;
        let o = activate(g, self.gate, o)?;
        Ok(vec![g.mul(o, activate(g, self.activation, c)?)?, c])
    }

    /// A gate's sum with what it sees of the cell.
    fn looking(&self, sum: Value, gate: usize, c: Value) -> Result<Value> {
        match self.peepholes {
            Some(peepholes) => self.g.add(sum, self.g.mul(peepholes[gate], c)?),
            None => Ok(sum),
        }
    }

    fn gru_after(&self, inputs: Value, h: Value, before: Value) -> Result<Vec<Value>> {
        let g = self.g;
        let mut products = g.matmul(h, self.recurrent)?;
        if let Some(bias) = self.recurrent_bias {
            products = g.add(products, bias)?;
        }
        let gate = |k| activate(g, self.gate, g.add(self.part(inputs, k)?, self.part(products, k)?)?);
        let (r, z) = (gate(0)?, gate(1)?);
        let n = g.add(self.part(inputs, 2)?, g.mul(r, self.part(products, 2)?)?)?;
        self.blend(z, n, before)
    }

    fn gru_before(&self, inputs: Value, h: Value, before: Value) -> Result<Vec<Value>> {
        let (g, hidden) = (self.g, self.hidden);
        let gates = g.matmul(h, g.slice_axis(self.recurrent, 1, 0..2 * hidden)?)?;
        let gate = |k| activate(g, self.gate, g.add(self.part(inputs, k)?, self.part(gates, k)?)?);
        let (r, z) = (gate(0)?, gate(1)?);
        let candidate = g.slice_axis(self.recurrent, 1, 2 * hidden..3 * hidden)?;
        let n = g.add(self.part(inputs, 2)?, g.matmul(g.mul(r, h)?, candidate)?)?;
        self.blend(z, n, before)
    }

    /// A GRU's new state `(1 - z) a(n) + z h`.
    fn blend(&self, z: Value, n: Value, h: Value) -> Result<Vec<Value>> {
        let g = self.g;
        let fresh = g.mul(g.sub(g.scalar_constant(1.0), z)?, activate(g, self.activation, n)?)?;
        Ok(vec![g.add(fresh, g.mul(z, h)?)?])
    }

    /// The columns of one gate.
    fn part(&self, x: Value, gate: usize) -> Result<Value> {
        let hidden = self.hidden;
        self.g.slice_axis(x, 1, gate * hidden..(gate + 1) * hidden)
    }
}
