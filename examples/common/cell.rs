//! The choice of a recurrent layer.

use retape::nn::LayerSpec;
use retape::prelude::*;

/// The recurrent layer that `--cell` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cell {
    Simple,
    Lstm,
    Gru,
}

impl Cell {
    /// As `--cell` has it.
    pub fn flag(self) -> &'static str {
        match self {
            Cell::Simple => "simple",
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }

    /// A layer of so many units that gives its last output.
    pub fn layer(self, units: usize) -> LayerSpec {
        match self {
            Cell::Simple => SimpleRnn::new(units).into(),
            Cell::Lstm => Lstm::new(units).into(),
            Cell::Gru => Gru::new(units).into(),
        }
    }
}
