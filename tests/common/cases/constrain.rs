//! Constraints and masks, which overwrite parameters.

use retape::Result;
use retape::prelude::*;

use super::super::data;
use super::SIZES;

/// Contents whose units have norms on both sides of any limit around 1: even ones are small.
fn contents(shape: Shape) -> Init {
    let numbers = data::noise(shape.numel(), 11, -1.0, 1.0).into_iter().enumerate();
    Init::Values(numbers.map(|(i, v)| if i % 2 == 0 { v * 0.01 } else { v }).collect())
}

fn constraint(dims: &[usize], constraint: Constraint, axes: &[isize]) -> Result<Tape> {
    let mut g = Graph::new();
    let shape = Shape::new(dims)?;
    let w = g.parameter("w", shape, contents(shape));
    g.apply_constraint(w, constraint, axes)?;
    g.forward(Vec::new())
}

fn mask(n: usize) -> Result<Tape> {
    let mut g = Graph::new();
    let w = g.parameter("w", [n], Init::Normal { mean: 0.0, std: 1.0 });
    let bits = (0..n).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
    let mask = g.state("mask", [n], Init::Values(bits));
    g.apply_mask(w, mask)?;
    g.forward(Vec::new())
}

/// Units as columns, rows, filters, slices of four dimensions and everything; as long as a thread
/// takes, and longer.
const UNITS: [(&[usize], &[isize]); 19] = [
    (&[1], &[]),
    (&[7], &[]),
    (&[5], &[0]),
    (&[], &[]),
    (&[1, 1], &[0]),
    (&[3, 65], &[0]),
    (&[65, 64], &[0]),
    (&[257, 63], &[0]),
    (&[63, 257], &[1]),
    (&[1021, 2], &[0]),
    (&[2, 1021], &[-1]),
    (&[9, 5, 3, 3], &[1, 2, 3]),
    (&[5, 9, 1, 3], &[0, 2, 3]),
    (&[2, 3, 5, 1, 3], &[1, 3, 4]),
    (&[3, 2, 5, 2, 3, 7], &[1, 3, 5]),
    (&[3, 2, 5, 2, 3, 7], &[0, 2, 4]),
    (&[8193, 3], &[0]),
    (&[3, 20_011], &[1]),
    (&[5, 9001, 2], &[1]),
];

pub fn tapes() -> Vec<(String, Tape)> {
    let mut tapes = Vec::new();
    let kinds = [
        Constraint::MaxNorm { limit: 0.75 },
        Constraint::UnitNorm,
        Constraint::MinMaxNorm { min: 0.5, max: 1.5, rate: 0.75 },
    ];
    for kind in kinds {
        for (dims, axes) in UNITS {
            let tape = constraint(dims, kind, axes).expect("the step records");
            tapes.push((format!("{kind:?} of {dims:?} over {axes:?}"), tape));
        }
    }
    for n in SIZES {
        let tape = constraint(&[n], Constraint::NonNegative, &[]).expect("the step records");
        tapes.push((format!("non-negative [{n}]"), tape));
        tapes.push((format!("mask of [{n}]"), mask(n).expect("the step records")));
    }
    tapes.push(("constraints of hostile numbers".to_owned(), hostile().expect("the step records")));
    tapes
}

/// Zeros, numbers whose squares are flushed, and numbers whose squares overflow, a row of each; one of large and
/// small numbers, one whose norm overflows, and one that is not finite.
fn hostile() -> Result<Tape> {
    let rows = [
        [0.0; 5],
        [-1e-25; 5],
        [1e-20; 5],
        [1e18; 5],
        [-1e30; 5],
        [399.5, -0.0, 1e-40, 1.0, -88.0],
        [1e20, 1e-3, -2.0, 1e5, 3e19],
        [3e38; 5],
        [f32::INFINITY, 1.0, 2.0, 3.0, 4.0],
    ];
    let mut g = Graph::new();
    let kinds = [
        Constraint::MaxNorm { limit: 2.0 },
        Constraint::UnitNorm,
        Constraint::MinMaxNorm { min: 0.5, max: 1.5, rate: 1.0 },
        Constraint::MinMaxNorm { min: 0.5, max: 1e19, rate: 0.25 },
        Constraint::NonNegative,
    ];
    for (i, kind) in kinds.into_iter().enumerate() {
        let w = g.parameter(&format!("w{i}"), [9, 5], Init::Values(rows.concat()));
        g.apply_constraint(w, kind, &[1])?;
    }
    g.forward(Vec::new())
}
