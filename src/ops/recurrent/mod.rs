//! Recurrent networks over `[batch, time, features]`: simple, LSTM and GRU cells, forward in time or
//! backward, with lengths, initial and final states, peepholes and dropout of the recurrence.

mod cells;
mod compute;
mod graph;
mod kernels;
mod operator;
mod options;
mod reference;

use super::common::*;

pub(super) use kernels::SHADERS;
pub(super) use operator::Recur;

pub use options::{CellActivation, GruReset, Recurrence, RecurrentOptions, RecurrentRoute, RecurrentWeights};

pub(super) static FAMILY: Family = Family {
    operators: &[
        OperatorInfo::new("simple_rnn", Gradient::Yes, "f32"),
        OperatorInfo::new("simple_rnn_grad", Gradient::None, "f32"),
        OperatorInfo::new("lstm", Gradient::Yes, "f32"),
        OperatorInfo::new("lstm_grad", Gradient::None, "f32"),
        OperatorInfo::new("gru", Gradient::Yes, "f32"),
        OperatorInfo::new("gru_grad", Gradient::None, "f32"),
    ],
    shaders: &SHADERS,
};

/// The cell of a recurrent network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Simple,
    Lstm,
    Gru(GruReset),
}

impl Cell {
    /// The operator's name.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Simple => "simple_rnn",
            Cell::Lstm => "lstm",
            Cell::Gru(_) => "gru",
        }
    }

    /// Products of a unit in a step, each with columns of its own in the weights.
    pub fn gates(self) -> usize {
        match self {
            Cell::Simple => 1,
            Cell::Lstm => 4,
            Cell::Gru(_) => 3,
        }
    }

    /// States that pass from step to step: h, and c of an LSTM.
    pub fn states(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }

    /// The shape of the bias: that of GRU's reset-after form has a row for the input and one for the
    /// recurrence, which the reset gate comes between.
    pub fn bias_shape(self, hidden: usize) -> Shape {
        match self {
            Cell::Gru(GruReset::After) => Shape::from([2, 3 * hidden]),
            _ => Shape::from([self.gates() * hidden]),
        }
    }
}

/// The sizes of a recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extents {
    pub batch: usize,
    pub time: usize,
    pub hidden: usize,
}

impl Extents {
    /// From the sequence, the weight of the input and that of the recurrence.
    fn new(cell: Cell, x: Shape, input: Shape, recurrent: Shape) -> Result<Self> {
        let [batch, time, features] = x.extents("3 ([batch, time, features])")?;
        let [hidden, columns] = recurrent.extents("2 ([hidden, gates * hidden])")?;
        let wanted = Shape::from([hidden, hidden.saturating_mul(cell.gates())]);
        let what = "recurrent weight and gates by hidden units";
        Error::agree(Some(columns) == hidden.checked_mul(cell.gates()), what, recurrent, wanted)?;
        let wanted = Shape::from([features, columns]);
        same_shape("input weight and features by gates", input, wanted)?;
        Ok(Extents { batch, time, hidden })
    }
}
