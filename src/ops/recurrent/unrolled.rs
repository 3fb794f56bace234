//! A recurrence as elementary operators on the tape, step by step: what the fused forms are compared
//! with.

use super::{Cell, CellActivation, Extents, GruReset, Recurrence, RecurrentOptions, RecurrentWeights};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::shape::Shape;

#[track_caller]
pub(super) fn record(
    g: &Graph,
    cell: Cell,
    extents: Extents,
    x: Value,
    weights: &RecurrentWeights,
    options: &RecurrentOptions,
    valid: Option<Value>,
) -> Result<Recurrence> {
    let Extents { batch, time, hidden, .. } = extents;
    let unrolled = Unrolled::new(g, cell, extents, weights, options)?;
    let projected = unrolled.project(x)?;
    let mut states = unrolled.initial(cell, options)?;
    let mut outputs = vec![states[0]; time];
    for taken in 0..time {
        let t = if options.reverse { time - 1 - taken } else { taken };
        if options.truncate.is_some_and(|steps| taken > 0 && taken % steps == 0) {
            cut(g, &mut states)?;
        }
        let inputs = step_of(g, projected, t)?;
        let mut after = unrolled.step(cell, inputs, &states)?;
        if let Some(valid) = valid {
            let valid = g.slice_axis(valid, 1, t..t + 1)?;
            hold(g, valid, &states, &mut after)?;
        }
        outputs[t] = g.reshape(after[0], [batch, 1, hidden])?;
        states = after;
    }
    Ok(Recurrence { outputs: g.concat(&outputs, 1)?, states })
}

/// 1 for the steps of each sequence and 0 for its padding, `[batch, time]`.
#[track_caller]
pub(super) fn valid_steps(g: &Graph, lengths: Value, batch: usize, time: usize) -> Result<Value> {
    // The table turns u32 into f32, which is exact far beyond any tape that could be unrolled.
    let numbers: Vec<f32> = (0..=time).map(|t| t as f32).collect();
    let table = g.constant([time + 1], &numbers)?;
    let lengths = g.reshape(g.gather(table, lengths, 0)?, [batch, 1])?;
    let steps = g.constant([1, time], &numbers[..time])?;
    g.less(steps, lengths)
}

/// Makes constants of the states for differentiation.
#[track_caller]
fn cut(g: &Graph, states: &mut [Value]) -> Result<()> {
    for state in states {
        *state = g.stop_gradient(*state)?;
    }
    Ok(())
}

/// Puts the states before a step back where the step is padding.
#[track_caller]
fn hold(g: &Graph, valid: Value, before: &[Value], after: &mut [Value]) -> Result<()> {
    for (after, &before) in after.iter_mut().zip(before) {
        *after = g.select(valid, *after, before)?;
    }
    Ok(())
}

/// Step `t` of `[batch, time, n]`, as `[batch, n]`.
#[track_caller]
fn step_of(g: &Graph, x: Value, t: usize) -> Result<Value> {
    let shape = g.shape(x)?;
    let (batch, columns) = (shape.dims()[0], shape.dims()[2]);
    g.reshape(g.slice_axis(x, 1, t..t + 1)?, [batch, columns])
}

/// Row `index` of a matrix.
#[track_caller]
fn row(g: &Graph, matrix: Value, index: usize) -> Result<Value> {
    let columns = g.shape(matrix)?.dims()[1];
    g.reshape(g.slice_axis(matrix, 0, index..index + 1)?, [columns])
}

#[track_caller]
fn activate(g: &Graph, activation: CellActivation, x: Value) -> Result<Value> {
    match activation {
        CellActivation::Tanh => g.tanh(x),
        CellActivation::Sigmoid => g.sigmoid(x),
        CellActivation::HardSigmoid => g.hard_sigmoid(x),
        CellActivation::Relu => g.relu(x),
        CellActivation::Linear => Ok(x),
    }
}

/// What all steps share.
struct Unrolled<'a> {
    g: &'a Graph,
    extents: Extents,
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
    #[track_caller]
    fn new(
        g: &'a Graph,
        cell: Cell,
        extents: Extents,
        weights: &RecurrentWeights,
        options: &RecurrentOptions,
    ) -> Result<Self> {
        let (bias, recurrent_bias) = match (cell, weights.bias) {
            (Cell::Gru(GruReset::After), Some(bias)) => (Some(row(g, bias, 0)?), Some(row(g, bias, 1)?)),
            (_, bias) => (bias, None),
        };
        let peepholes = match weights.peepholes {
            Some(p) => Some([row(g, p, 0)?, row(g, p, 1)?, row(g, p, 2)?]),
            None => None,
        };
        let mask = match options.recurrent_mask {
            Some(mask) => Some(g.stop_gradient(mask)?),
            None => None,
        };
        Ok(Unrolled {
            g,
            extents,
            input: weights.input,
            recurrent: weights.recurrent,
            bias,
            recurrent_bias,
            peepholes,
            mask,
            activation: options.activation,
            gate: options.recurrent_activation,
        })
    }

    /// The products of the input with their bias, `[batch, time, gates * hidden]`.
    #[track_caller]
    fn project(&self, x: Value) -> Result<Value> {
        let (g, Extents { batch, time, features, .. }) = (self.g, self.extents);
        let rows = g.reshape(x, Shape::new(&[batch * time, features])?)?;
        let mut y = g.matmul(rows, self.input)?;
        if let Some(bias) = self.bias {
            y = g.add(y, bias)?;
        }
        let columns = g.shape(y)?.dims()[1];
        g.reshape(y, [batch, time, columns])
    }

    #[track_caller]
    fn initial(&self, cell: Cell, options: &RecurrentOptions) -> Result<Vec<Value>> {
        if !options.initial.is_empty() {
            return Ok(options.initial.clone());
        }
        let Extents { batch, hidden, .. } = self.extents;
        let zero = self.g.broadcast_to(self.g.scalar_constant(0.0), [batch, hidden])?;
        Ok(vec![zero; cell.states()])
    }

    /// The states after a step, from the products of its input and the states before it.
    #[track_caller]
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

    #[track_caller]
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
    #[track_caller]
    fn looking(&self, sum: Value, gate: usize, c: Value) -> Result<Value> {
        match self.peepholes {
            Some(peepholes) => self.g.add(sum, self.g.mul(peepholes[gate], c)?),
            None => Ok(sum),
        }
    }

    #[track_caller]
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

    #[track_caller]
    fn gru_before(&self, inputs: Value, h: Value, before: Value) -> Result<Vec<Value>> {
        let (g, hidden) = (self.g, self.extents.hidden);
        let gates = g.matmul(h, g.slice_axis(self.recurrent, 1, 0..2 * hidden)?)?;
        let gate = |k| activate(g, self.gate, g.add(self.part(inputs, k)?, self.part(gates, k)?)?);
        let (r, z) = (gate(0)?, gate(1)?);
        let candidate = g.slice_axis(self.recurrent, 1, 2 * hidden..3 * hidden)?;
        let n = g.add(self.part(inputs, 2)?, g.matmul(g.mul(r, h)?, candidate)?)?;
        self.blend(z, n, before)
    }

    /// A GRU's new state `(1 - z) a(n) + z h`.
    #[track_caller]
    fn blend(&self, z: Value, n: Value, h: Value) -> Result<Vec<Value>> {
        let g = self.g;
        let fresh = g.mul(g.sub(g.scalar_constant(1.0), z)?, activate(g, self.activation, n)?)?;
        Ok(vec![g.add(fresh, g.mul(z, h)?)?])
    }

    /// The columns of one gate.
    #[track_caller]
    fn part(&self, x: Value, gate: usize) -> Result<Value> {
        let hidden = self.extents.hidden;
        self.g.slice_axis(x, 1, gate * hidden..(gate + 1) * hidden)
    }
}
