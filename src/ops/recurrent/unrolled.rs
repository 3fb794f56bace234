//! A recurrence as elementary operators on the tape, step by step: what the fused forms are compared
//! with.

use super::{Cell, Extents, Recurrence, RecurrentOptions, RecurrentWeights};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};

pub(super) fn record(
    g: &Graph,
    cell: Cell,
    extents: Extents,
    x: Value,
    weights: &RecurrentWeights,
    options: &RecurrentOptions,
) -> Result<Recurrence> {
    let _ = (g, cell, extents, x, weights, options);
    Err(Error::Argument { argument: "route", value: "unrolled".to_owned(), expected: "a fused form" })
}
