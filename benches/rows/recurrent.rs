//! Recurrences: the forward pass, and the forward pass with all gradients. `rnn.rs` compares their forms.

use retape::ops::{GruReset, Recurrence, RecurrentOptions, RecurrentWeights};
use retape::prelude::*;

use super::{Data, Row, Step, uniform};

/// Batch, time, features and hidden units.
const SIZES: [usize; 4] = [32, 50, 32, 64];

#[derive(Clone, Copy, Debug)]
enum Cell {
    Simple,
    Lstm,
    Gru(GruReset),
}

pub fn rows() -> Vec<Row> {
    let cells = [Cell::Simple, Cell::Lstm, Cell::Gru(GruReset::After), Cell::Gru(GruReset::Before)];
    cells.into_iter().flat_map(pair).collect()
}

fn pair(cell: Cell) -> [Row; 2] {
    let [batch, time, features, hidden] = SIZES;
    let gates = match cell {
        Cell::Simple => 1,
        Cell::Lstm => 4,
        Cell::Gru(_) => 3,
    };
    let flops = (2 * batch * time * (features + hidden) * gates * hidden) as u64;
    let name = format!("{cell:?} {SIZES:?}").to_lowercase();
    let forward = Row::arithmetic(name.clone(), flops, move |g| {
        let (made, inputs) = record(g, cell, gates)?;
        Ok(Step { outputs: vec![made.outputs], inputs })
    });
    let backward = Row::arithmetic(format!("{name} with gradients"), 3 * flops, move |g| {
        let (made, inputs) = record(g, cell, gates)?;
        let loss = g.sum(g.square(made.outputs)?, &[], false)?;
        let operands: Vec<Value> = inputs.iter().map(|&(value, _)| value).collect();
        Ok(Step { outputs: g.differentiate(loss, &operands)?, inputs })
    });
    [forward, backward]
}

fn record(g: &mut Graph, cell: Cell, gates: usize) -> retape::Result<(Recurrence, Vec<(Value, Data)>)> {
    let [batch, time, features, hidden] = SIZES;
    let columns = gates * hidden;
    let x = uniform(g, "x", [batch, time, features], [-1.0, 1.0]);
    let w = uniform(g, "w", [features, columns], [-0.2, 0.2]);
    let u = uniform(g, "u", [hidden, columns], [-0.2, 0.2]);
    let weights = RecurrentWeights::new(w.0, u.0);
    let options = RecurrentOptions::new();
    let made = match cell {
        Cell::Simple => g.simple_rnn(x.0, weights, &options)?,
        Cell::Lstm => g.lstm(x.0, weights, &options)?,
        Cell::Gru(reset) => g.gru(x.0, weights, reset, &options)?,
    };
    Ok((made, vec![x, w, u]))
}
