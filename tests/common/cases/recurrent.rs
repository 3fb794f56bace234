//! Recurrences: every cell by every fused route, with every option.

use retape::ops::{CellActivation, GruReset, Recurrence, RecurrentRoute, RecurrentWeights};
use retape::prelude::*;

use super::super::data::noise;
use super::super::unrolled::{Form, Settings};
use super::super::{Case, Input};

/// The cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    Simple,
    Lstm,
    Gru(GruReset),
}

impl Cell {
    /// Columns of the weights to a unit.
    pub fn gates(self) -> usize {
        match self {
            Cell::Simple => 1,
            Cell::Lstm => 4,
            Cell::Gru(_) => 3,
        }
    }
}

/// A recurrence and its options; prints itself as the name of its case.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    pub cell: Cell,
    /// Batch, time, features and hidden units.
    pub sizes: [usize; 4],
    pub form: Form,
    pub reverse: bool,
    pub lengths: bool,
    /// Whether a mask says which steps count, in place of lengths.
    pub steps: bool,
    pub bias: bool,
    pub initial: bool,
    pub mask: bool,
    pub peepholes: bool,
    pub truncate: Option<usize>,
    pub activation: CellActivation,
    pub gate: CellActivation,
    /// What the loss sees: the sequence, the last states.
    pub sees: [bool; 2],
}

impl Problem {
    pub fn new(cell: Cell, sizes: [usize; 4]) -> Self {
        Problem {
            cell,
            sizes,
            form: Form::Fused(RecurrentRoute::Sequence),
            reverse: false,
            lengths: false,
            steps: false,
            bias: true,
            initial: false,
            mask: false,
            peepholes: false,
            truncate: None,
            activation: CellActivation::Tanh,
            gate: CellActivation::Sigmoid,
            sees: [true, true],
        }
    }

    /// The operands in the order that `build` takes them.
    pub fn inputs(&self) -> Vec<Input> {
        let [batch, time, features, hidden] = self.sizes;
        let columns = self.cell.gates() * hidden;
        let scale = 1.0 / (hidden as f32).sqrt();
        let mut seed = 0;
        let mut input = |dims: &[usize], low: f32, high: f32| {
            seed += 1;
            let shape = Shape::new(dims).expect("the rank fits");
            Input::F32(shape, noise(shape.numel(), seed, low, high))
        };
        let mut all = vec![
            input(&[batch, time, features], -1.0, 1.0),
            input(&[features, columns], -0.8, 0.8),
            input(&[hidden, columns], -scale, scale),
        ];
        if self.bias && self.cell == Cell::Gru(GruReset::After) {
            all.push(input(&[2, columns], -0.5, 0.5));
        } else if self.bias {
            all.push(input(&[columns], -0.5, 0.5));
        }
        if self.peepholes {
            all.push(input(&[3, hidden], -0.7, 0.7));
        }
        if self.initial {
            let states = if self.cell == Cell::Lstm { 2 } else { 1 };
            all.extend((0..states).map(|_| input(&[batch, hidden], -0.9, 0.9)));
        }
        if self.mask {
            // Dropped units among them, and factors that a dropout scales by.
            let Input::F32(shape, drawn) = input(&[batch, hidden], 0.0, 2.0) else { unreachable!() };
            let factors = drawn.into_iter().map(|v| if v < 0.6 { 0.0 } else { v }).collect();
            all.push(Input::F32(shape, factors));
        }
        if self.lengths {
            // No step at all, all of them, and some in between.
            let all_steps = |b: usize| [time, 0, time / 2, time.div_ceil(3)][b % 4] as u32;
            all.push(Input::U32(Shape::from([batch]), (0..batch).map(all_steps).collect()));
        }
        if self.steps {
            // Padding in front, in between, all of the steps, none of them, behind.
            let counts = |b: usize, t: usize| [2 * t >= time, t % 3 != 1, false, true, 3 * t < time][b % 5];
            let mask = (0..batch * time).map(|i| if counts(i / time, i % time) { 1.0 } else { 0.0 });
            all.push(Input::F32(Shape::from([batch, time]), mask.collect()));
        }
        all
    }

    pub fn build(&self, g: &mut Graph, x: &[Value]) -> retape::Result<Recurrence> {
        let mut rest = x[3..].iter().copied();
        let mut take = |wanted: bool| if wanted { rest.next() } else { None };
        let mut weights = RecurrentWeights::new(x[1], x[2]);
        weights.bias = take(self.bias);
        weights.peepholes = take(self.peepholes);
        let states = [take(self.initial), take(self.initial && self.cell == Cell::Lstm)];
        let settings = Settings {
            initial: states.into_iter().flatten().collect(),
            mask: take(self.mask),
            lengths: take(self.lengths),
            steps: take(self.steps),
            reverse: self.reverse,
            truncate: self.truncate,
            activation: self.activation,
            gate: self.gate,
        };
        settings.record(g, self.cell, x[0], weights, self.form)
    }

    /// Everything that the loss sees, side by side.
    pub fn result(&self, g: &Graph, made: &Recurrence) -> retape::Result<Value> {
        let flat = |v: Value| g.reshape(v, [g.shape(v)?.numel()]);
        let mut seen = Vec::new();
        if self.sees[0] {
            seen.push(flat(made.outputs)?);
        }
        if self.sees[1] {
            for &state in &made.states {
                seen.push(flat(state)?);
            }
        }
        if seen.len() == 1 { Ok(seen[0]) } else { g.concat(&seen, 0) }
    }

    pub fn case(self) -> Case {
        let smooth = |a: CellActivation| !matches!(a, CellActivation::Relu | CellActivation::HardSigmoid);
        let case = Case::new(format!("{self:?}"), self.inputs(), move |g, x| {
            let made = self.build(g, x)?;
            self.result(g, &made)
        });
        // Finite differences do not see where the way back is cut.
        let smooth = smooth(self.activation) && smooth(self.gate) && self.truncate.is_none() && !self.mask;
        let smooth = smooth && !self.steps;
        if smooth { case } else { case.rough() }
    }
}

pub const CELLS: [Cell; 4] =
    [Cell::Simple, Cell::Lstm, Cell::Gru(GruReset::After), Cell::Gru(GruReset::Before)];

/// Every size of a cell with and without lengths, in both directions.
pub fn grid(cell: Cell) -> Vec<Problem> {
    let mut all = Vec::new();
    for batch in [1, 3] {
        for time in [1, 2, 7, 50] {
            for hidden in [1, 5, 32, 65] {
                for (lengths, reverse) in [(false, false), (false, true), (true, false), (true, true)] {
                    all.push(Problem { lengths, reverse, ..Problem::new(cell, [batch, time, 3, hidden]) });
                }
            }
        }
    }
    all
}

/// Every option once, on top of a plain problem.
pub fn with_options(plain: Problem) -> Vec<Problem> {
    let mut all = vec![
        Problem { bias: false, ..plain },
        Problem { initial: true, ..plain },
        Problem { initial: true, lengths: true, reverse: true, ..plain },
        Problem { initial: true, steps: true, lengths: false, ..plain },
        Problem { steps: true, lengths: false, reverse: true, mask: true, ..plain },
        Problem { mask: true, ..plain },
        Problem { truncate: Some(3), initial: true, ..plain },
        Problem { truncate: Some(2), reverse: true, lengths: true, ..plain },
        Problem { sees: [true, false], ..plain },
        Problem { sees: [false, true], lengths: true, initial: true, mask: true, ..plain },
    ];
    let others = CellActivation::ALL.iter().cycle().skip(1);
    for (&activation, &gate) in CellActivation::ALL.iter().zip(others) {
        all.push(Problem { activation, gate, ..plain });
    }
    if plain.cell == Cell::Lstm {
        all.push(Problem { peepholes: true, ..plain });
        all.push(Problem { peepholes: true, initial: true, mask: true, lengths: true, ..plain });
        all.push(Problem { peepholes: true, initial: true, reverse: true, ..plain });
    }
    all
}

/// The kernels' cases: few combinations of options at a time, since each is compiled on its own.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for cell in CELLS {
        // A tile of units and part of one, several workgroups, one unit alone, one step alone.
        for (batch, time, hidden) in [(1, 1, 1), (9, 2, 32), (3, 50, 65), (33, 3, 33)] {
            let plain = Problem::new(cell, [batch, time, 4, hidden]);
            all.push(plain);
            all.push(Problem { reverse: true, lengths: true, ..plain });
            all.push(Problem { form: Form::Fused(RecurrentRoute::Steps), ..plain });
        }
        all.extend(with_options(Problem::new(cell, [3, 7, 3, 5])));
        let steps = Problem { form: Form::Fused(RecurrentRoute::Steps), ..Problem::new(cell, [17, 7, 3, 5]) };
        let peepholes = cell == Cell::Lstm;
        all.push(Problem { initial: true, lengths: true, reverse: true, mask: true, peepholes, ..steps });
        all.push(Problem { truncate: Some(3), initial: true, ..steps });
        all.push(Problem { initial: true, steps: true, reverse: true, mask: true, peepholes, ..steps });
        // More units than a workgroup takes, and a weight that is put into panels where that pays.
        all.push(Problem { form: Form::Fused(RecurrentRoute::Auto), ..Problem::new(cell, [2, 4, 3, 365]) });
    }
    all.into_iter().map(Problem::case).collect()
}
