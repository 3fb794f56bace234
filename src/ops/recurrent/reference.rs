//! Recurrences in f64, a sequence at a time, and the error that f32 kernels may make.

use std::cmp::Ordering;

use crate::ops::common::*;
use rayon::prelude::*;

use super::operator::{Part, RecurGrad, Spec};
use super::{Cell, CellActivation, Extents, GruReset};
use crate::random::pcg4d;

/// Disturbs what f32 arithmetic would round, by as much as it may be off, in directions drawn at
/// random. A bound worked out by adding up magnitudes would grow without limit over the steps of a
/// recurrence, whose weights' signs keep the true error small.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jitter {
    seed: Option<u32>,
    count: u32,
}

impl Jitter {
    fn seeded(seed: u32) -> Self {
        Jitter { seed: Some(seed), count: 0 }
    }

    fn of_sequence(self, number: usize) -> Self {
        Jitter { seed: self.seed.map(|s| pcg4d([s, number as u32, 1, 2])[0]), count: 0 }
    }

    /// The value, off by up to `ulps` units of `magnitude`.
    fn apply(&mut self, value: f64, ulps: f64, magnitude: f64) -> f64 {
        let Some(seed) = self.seed else { return value };
        self.count += 1;
        let up = pcg4d([seed, self.count, 3, 4])[0] & 1 == 0;
        let off = ulps * EPS * magnitude.abs();
        if up { value + off } else { value - off }
    }
}

/// Errors allowed to `results`: four times what two disturbed runs are off by, the largest among the
/// `hidden` neighbours of an element, and some units of the element itself.
pub(super) fn bounds(results: &[Array], hidden: usize, run: impl Fn(Jitter) -> Vec<Array>) -> Vec<Vec<f64>> {
    let disturbed = [run(Jitter::seeded(1)), run(Jitter::seeded(2))];
    let of = |(number, result): (usize, &Array)| {
        let neighbours = |(group, exact): (usize, &[f64])| {
            let off = disturbed.iter().flat_map(|run| exact.iter().zip(&run[number].data[group * hidden..]));
            let gap = off.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            exact.iter().map(move |r| 4.0 * gap + 4.0 * EPS * r.abs() + 4.0 * FLUSH).collect::<Vec<_>>()
        };
        result.data.chunks(hidden).enumerate().flat_map(neighbours).collect()
    };
    results.iter().enumerate().map(of).collect()
}

impl CellActivation {
    fn value(self, x: f64) -> f64 {
        match self {
            CellActivation::Tanh => x.tanh(),
            CellActivation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            CellActivation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
            CellActivation::Relu => {
                if x <= 0.0 {
                    0.0
                } else {
                    x
                }
            }
            CellActivation::Linear => x,
        }
    }

    /// The derivative where the value is `y`.
    fn slope(self, y: f64) -> f64 {
        match self {
            CellActivation::Tanh => 1.0 - y * y,
            CellActivation::Sigmoid => y * (1.0 - y),
            CellActivation::HardSigmoid => {
                if y <= 0.0 || y >= 1.0 {
                    0.0
                } else {
                    1.0 / 6.0
                }
            }
            CellActivation::Relu => {
                if y <= 0.0 {
                    0.0
                } else {
                    1.0
                }
            }
            CellActivation::Linear => 1.0,
        }
    }

    /// The value as a kernel may compute it.
    fn rounded(self, x: f64, jitter: &mut Jitter) -> f64 {
        let y = self.value(x);
        // An exponential is good to 3 + 2 |x| units.
        jitter.apply(y, 8.0, y.abs() + self.slope(y) * x.abs() * 2.0)
    }
}

/// The parts of a recurrence among the operands from `first` on.
struct Parts<'a> {
    spec: &'a Spec,
    operands: &'a [&'a Array],
    extents: Extents,
}

impl<'a> Parts<'a> {
    fn part(&self, part: Part) -> Option<&'a [f64]> {
        let at = self.spec.parts.iter().position(|&p| p == part)?;
        Some(&self.operands[at].data)
    }

    /// A row `[hidden]` of a part `[batch, hidden]`, all `otherwise` where there is none.
    fn row(&self, part: Part, number: usize, otherwise: f64) -> Vec<f64> {
        let h = self.extents.hidden;
        self.part(part).map_or(vec![otherwise; h], |p| p[number * h..][..h].to_vec())
    }

    /// Whether a step belongs to a sequence, and is not its padding.
    fn takes(&self, number: usize, t: usize) -> bool {
        self.part(Part::Steps).is_none_or(|steps| steps[number * self.extents.time + t] != 0.0)
    }

    /// An element of a part, 0 where there is none.
    fn number(&self, part: Part, at: usize) -> f64 {
        self.part(part).map_or(0.0, |p| p[at])
    }

    fn time_of(&self, s: usize) -> usize {
        if self.spec.reverse { self.extents.time - 1 - s } else { s }
    }
}

/// `operand` by columns `columns` of a matrix of `width` columns, and the sum of the magnitudes.
fn product(
    operand: &[f64],
    matrix: &[f64],
    width: usize,
    columns: std::ops::Range<usize>,
    jitter: &mut Jitter,
) -> Vec<f64> {
    let mut sum = vec![0.0; columns.len()];
    let mut magnitude = vec![0.0; if jitter.seed.is_some() { columns.len() } else { 0 }];
    for (x, row) in operand.iter().zip(matrix.chunks(width)) {
        let row = &row[columns.clone()];
        sum.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
        magnitude.iter_mut().zip(row).for_each(|(m, w)| *m += (x * w).abs());
    }
    if jitter.seed.is_some() {
        let ulps = 2.0 + 0.5 * operand.len() as f64;
        sum.iter_mut().zip(&magnitude).for_each(|(sum, &m)| *sum = jitter.apply(*sum, ulps, m));
    }
    sum
}

/// What a sequence leaves: what there is of every step, in the order of the results, and states.
struct Trace {
    steps: Vec<Vec<f64>>,
    states: [Vec<f64>; 2],
}

/// The results of all sequences, among which the states `[count, batch, hidden]` are number `states_at`.
fn results(
    parts: &Parts<'_>,
    types: &[TensorType],
    states_at: usize,
    one: impl Fn(usize) -> Trace + Sync + Send,
) -> Vec<Array> {
    let traces: Vec<Trace> = (0..parts.extents.batch).into_par_iter().map(one).collect();
    let of = |number: usize| match number.cmp(&states_at) {
        Ordering::Less => traces.iter().map(|t| &t.steps[number][..]).collect::<Vec<_>>().concat(),
        Ordering::Greater => traces.iter().map(|t| &t.steps[number - 1][..]).collect::<Vec<_>>().concat(),
        Ordering::Equal => {
            let states = |number: usize| traces.iter().map(move |t| &t.states[number][..]);
            (0..parts.spec.cell.states()).flat_map(states).collect::<Vec<_>>().concat()
        }
    };
    types.iter().enumerate().map(|(number, ty)| Array::new(ty.shape, of(number))).collect()
}

/// The bytes that references have in use beside operands and results: the results once more, sequence by
/// sequence, and a few rows of each thread.
pub(super) fn scratch(Extents { batch, hidden, .. }: Extents, results: &[TensorType]) -> u64 {
    const ROWS: usize = 40;
    let rows = hidden.saturating_mul(2 * batch + ROWS * batch.min(rayon::current_num_threads()));
    results.iter().fold(8 * rows as u64, |sum, ty| sum.saturating_add(8 * ty.numel() as u64))
}

pub(super) fn forward(
    spec: &Spec,
    extents: Extents,
    inputs: &[&Array],
    types: &[TensorType],
    jitter: Jitter,
) -> Vec<Array> {
    let parts = Parts { spec, operands: &inputs[2..], extents };
    let line = extents.time * spec.cell.gates() * extents.hidden;
    results(&parts, types, 1, |b| {
        let xw = &inputs[0].data[b * line..][..line];
        sequence(&parts, b, xw, &inputs[1].data, jitter.of_sequence(b))
    })
}

/// One sequence forward in the order its steps are taken.
fn sequence(parts: &Parts<'_>, number: usize, xw: &[f64], u: &[f64], mut jitter: Jitter) -> Trace {
    let Extents { time, hidden, .. } = parts.extents;
    let (spec, columns) = (parts.spec, parts.spec.cell.gates() * hidden);
    let mut h = parts.row(Part::Hidden, number, 0.0);
    let mut c = parts.row(Part::Cell, number, 0.0);
    let mask = parts.row(Part::Mask, number, 1.0);
    let (wide, kept) = (spec.previous() * hidden, spec.saved() * hidden);
    let [mut y, mut previous, mut saved] = [hidden, wide, kept].map(|width| vec![0.0; time * width]);
    for t in (0..time).map(|s| parts.time_of(s)) {
        let masked = h.iter().zip(&mask).map(|(h, m)| jitter.apply(h * m, 0.5, h * m));
        let masked: Vec<f64> = masked.collect();
        let (operand, scaled) = previous[t * wide..][..wide].split_at_mut(hidden);
        operand.copy_from_slice(&masked);
        let saved = &mut saved[t * kept..][..kept];
        let step = Step { parts, xw: &xw[t * columns..][..columns], u, masked: &masked, h: &h, c: &c };
        let (new_h, new_c) = match spec.cell {
            Cell::Simple => (step.simple(&mut jitter), c.clone()),
            Cell::Lstm => step.lstm(saved, &mut jitter),
            Cell::Gru(reset) => (step.gru(reset, saved, scaled, &mut jitter), c.clone()),
        };
        if parts.takes(number, t) {
            (h, c) = (new_h, new_c);
        } else if spec.cell == Cell::Lstm {
            saved[4 * hidden..].copy_from_slice(&c);
        }
        y[t * hidden..][..hidden].copy_from_slice(&h);
    }
    Trace { steps: vec![y, previous, saved], states: [h, c] }
}

/// A step forward.
struct Step<'a> {
    parts: &'a Parts<'a>,
    xw: &'a [f64],
    u: &'a [f64],
    masked: &'a [f64],
    h: &'a [f64],
    c: &'a [f64],
}

impl Step<'_> {
    fn input(&self, gate: usize, j: usize, jitter: &mut Jitter) -> f64 {
        let column = gate * self.parts.extents.hidden + j;
        let (x, b) = (self.xw[column], self.parts.number(Part::Bias, column));
        jitter.apply(x + b, 2.0, x.abs() + b.abs())
    }

    fn products(&self, jitter: &mut Jitter) -> Vec<f64> {
        let width = self.parts.spec.cell.gates() * self.parts.extents.hidden;
        product(self.masked, self.u, width, 0..width, jitter)
    }

    fn simple(&self, jitter: &mut Jitter) -> Vec<f64> {
        let sums = self.products(jitter);
        let unit = |(j, sum): (usize, &f64)| {
            let a = sum + self.input(0, j, jitter);
            self.parts.spec.activation.rounded(a, jitter)
        };
        sums.iter().enumerate().map(unit).collect()
    }

    fn lstm(&self, saved: &mut [f64], jitter: &mut Jitter) -> (Vec<f64>, Vec<f64>) {
        let (spec, hidden) = (self.parts.spec, self.parts.extents.hidden);
        let sums = self.products(jitter);
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        for j in 0..hidden {
            let mut sum = |gate: usize| sums[gate * hidden + j] + self.input(gate, j, jitter);
            let [i, f, g, o] = [sum(0), sum(1), sum(2), sum(3)];
            let peep = |gate: usize| self.parts.number(Part::Peepholes, gate * hidden + j);
            let i = spec.gate.rounded(i + peep(0) * self.c[j], jitter);
            let f = spec.gate.rounded(f + peep(1) * self.c[j], jitter);
            let g = spec.activation.rounded(g, jitter);
            c[j] = jitter.apply(f * self.c[j] + i * g, 2.0, (f * self.c[j]).abs() + (i * g).abs());
            let o = spec.gate.rounded(o + peep(2) * c[j], jitter);
            h[j] = o * spec.activation.rounded(c[j], jitter);
            for (place, value) in [i, f, g, o, c[j]].into_iter().enumerate() {
                saved[place * hidden + j] = value;
            }
        }
        (h, c)
    }

    fn gru(&self, reset: GruReset, saved: &mut [f64], scaled: &mut [f64], jitter: &mut Jitter) -> Vec<f64> {
        let (spec, hidden) = (self.parts.spec, self.parts.extents.hidden);
        let (width, is_after) = (3 * hidden, reset == GruReset::After);
        let recurrent = |gate: usize, j: usize| {
            if is_after { self.parts.number(Part::Bias, width + gate * hidden + j) } else { 0.0 }
        };
        let gates = product(self.masked, self.u, width, 0..2 * hidden, jitter);
        let mut gate = |number: usize, j: usize| {
            let sum = gates[number * hidden + j] + recurrent(number, j) + self.input(number, j, jitter);
            spec.gate.rounded(sum, jitter)
        };
        let r: Vec<f64> = (0..hidden).map(|j| gate(0, j)).collect();
        let z: Vec<f64> = (0..hidden).map(|j| gate(1, j)).collect();
        scaled.iter_mut().zip(r.iter().zip(self.masked)).for_each(|(s, (r, h))| *s = r * h);
        let operand = if is_after { self.masked } else { scaled };
        let q = product(operand, self.u, width, 2 * hidden..width, jitter);
        let mut h = vec![0.0; hidden];
        for j in 0..hidden {
            let q = q[j] + recurrent(2, j);
            let by = if is_after { r[j] } else { 1.0 };
            let n = spec.activation.rounded(self.input(2, j, jitter) + by * q, jitter);
            let (fresh, kept) = ((1.0 - z[j]) * n, z[j] * self.h[j]);
            h[j] = jitter.apply(fresh + kept, 2.0, fresh.abs() + kept.abs());
            let all = match reset {
                GruReset::After => vec![r[j], z[j], n, q, self.h[j]],
                GruReset::Before => vec![r[j], z[j], n, self.h[j]],
            };
            all.into_iter().enumerate().for_each(|(place, value)| saved[place * hidden + j] = value);
        }
        h
    }
}

pub(super) fn backward(
    op: &RecurGrad,
    extents: Extents,
    inputs: &[&Array],
    types: &[TensorType],
    jitter: Jitter,
) -> Vec<Array> {
    let spec = &op.spec;
    let parts = Parts { spec, operands: &inputs[2 + usize::from(op.has_dy)..], extents };
    let one = |b: usize| sequence_back(op, &parts, inputs, b, jitter.of_sequence(b));
    results(&parts, types, 1 + usize::from(spec.splits()), one)
}

/// One sequence backward.
fn sequence_back(
    op: &RecurGrad,
    parts: &Parts<'_>,
    inputs: &[&Array],
    number: usize,
    mut jitter: Jitter,
) -> Trace {
    let Extents { batch, time, hidden } = parts.extents;
    let (spec, columns) = (&op.spec, op.spec.cell.gates() * hidden);
    let (kept, is_lstm) = (spec.saved().max(1) * hidden, spec.cell == Cell::Lstm);
    let recorded = &inputs[1].data[number * time * kept..][..time * kept];
    let mut dh = parts.row(Part::Last, number, 0.0);
    let mut dc = if is_lstm { parts.row(Part::Last, batch + number, 0.0) } else { vec![0.0; hidden] };
    let mask = parts.row(Part::Mask, number, 1.0);
    let initial_cell = parts.row(Part::Cell, number, 0.0);
    let [mut input, mut recurrent] = [0, 1].map(|_| vec![0.0; time * columns]);
    for s in (0..time).rev() {
        let t = parts.time_of(s);
        if op.has_dy {
            let dy = &inputs[2].data[(number * time + t) * hidden..];
            dh.iter_mut().zip(dy).for_each(|(dh, dy)| *dh = jitter.apply(*dh + dy, 1.0, dh.abs() + dy.abs()));
        }
        if parts.takes(number, t) {
            let c_before = match s {
                1.. if is_lstm => &recorded[parts.time_of(s - 1) * kept..][4 * hidden..5 * hidden],
                _ => &initial_cell[..],
            };
            let saved = &recorded[t * kept..][..kept];
            let step = BackStep { parts, u: &inputs[0].data, saved, c_before, mask: &mask };
            let input = &mut input[t * columns..][..columns];
            let recurrent = &mut recurrent[t * columns..][..columns];
            match spec.cell {
                Cell::Simple => step.simple(&mut dh, input, &mut jitter),
                Cell::Lstm => step.lstm(&mut dh, &mut dc, input, &mut jitter),
                Cell::Gru(reset) => step.gru(reset, &mut dh, [input, recurrent], &mut jitter),
            }
        }
        if s > 0 && spec.truncate > 0 && s % spec.truncate == 0 {
            dh.fill(0.0);
            dc.fill(0.0);
        }
    }
    let steps = if spec.splits() { vec![input, recurrent] } else { vec![input] };
    Trace { steps, states: [dh, dc] }
}

/// A step backward: turns the gradients of the states after it into those before it.
struct BackStep<'a> {
    parts: &'a Parts<'a>,
    u: &'a [f64],
    saved: &'a [f64],
    c_before: &'a [f64],
    mask: &'a [f64],
}

impl BackStep<'_> {
    fn saved(&self, part: usize, j: usize) -> f64 {
        self.saved[part * self.parts.extents.hidden + j]
    }

    /// What the gradients of the weight's columns from `first` on give to the state.
    fn through(&self, slopes: &[f64], first: usize, jitter: &mut Jitter) -> Vec<f64> {
        let width = self.parts.spec.cell.gates() * self.parts.extents.hidden;
        let unit = |row: &[f64]| {
            let terms = || slopes.iter().zip(&row[first..]).map(|(d, w)| d * w);
            let magnitude = if jitter.seed.is_some() { terms().map(f64::abs).sum() } else { 0.0 };
            jitter.apply(terms().sum(), 2.0 + 0.5 * slopes.len() as f64, magnitude)
        };
        self.u.chunks(width).map(unit).collect()
    }

    fn simple(&self, dh: &mut [f64], input: &mut [f64], jitter: &mut Jitter) {
        let activation = self.parts.spec.activation;
        for (j, d) in input.iter_mut().enumerate() {
            let y = self.saved[j];
            *d = jitter.apply(dh[j] * activation.slope(y), 4.0, dh[j] * (1.0 + y * y).min(2.0));
        }
        let product = self.through(input, 0, jitter);
        (0..dh.len()).for_each(|j| dh[j] = product[j] * self.mask[j]);
    }

    fn lstm(&self, dh: &mut [f64], dc: &mut [f64], input: &mut [f64], jitter: &mut Jitter) {
        let (spec, hidden) = (self.parts.spec, self.parts.extents.hidden);
        for j in 0..hidden {
            let [i, f, g, o, c] = [0, 1, 2, 3, 4].map(|part| self.saved(part, j));
            let peep = |gate: usize| self.parts.number(Part::Peepholes, gate * hidden + j);
            let shown = spec.activation.rounded(c, jitter);
            let d_o = dh[j] * shown * spec.gate.slope(o);
            let d_o = jitter.apply(d_o, 4.0, dh[j] * shown);
            let through = dh[j] * o * spec.activation.slope(shown);
            let slack = dc[j].abs() + (dh[j] * o).abs() + (d_o * peep(2)).abs();
            let total = jitter.apply(dc[j] + through + d_o * peep(2), 4.0, slack);
            let mut rounded = |d: f64, scale: f64| jitter.apply(d, 4.0, scale);
            let d_i = rounded(total * g * spec.gate.slope(i), total * g);
            let d_f = rounded(total * self.c_before[j] * spec.gate.slope(f), total * self.c_before[j]);
            let d_g = rounded(total * i * spec.activation.slope(g), total * i);
            dc[j] = total * f + d_i * peep(0) + d_f * peep(1);
            for (gate, d) in [d_i, d_f, d_g, d_o].into_iter().enumerate() {
                input[gate * hidden + j] = d;
            }
        }
        let product = self.through(input, 0, jitter);
        (0..hidden).for_each(|j| dh[j] = product[j] * self.mask[j]);
    }

    fn gru(&self, reset: GruReset, dh: &mut [f64], [input, recurrent]: [&mut [f64]; 2], jitter: &mut Jitter) {
        let (spec, hidden) = (self.parts.spec, self.parts.extents.hidden);
        let is_after = reset == GruReset::After;
        for j in 0..hidden {
            let [r, z, n, h] = [0, 1, 2, if is_after { 4 } else { 3 }].map(|part| self.saved(part, j));
            let mut rounded = |d: f64, scale: f64| jitter.apply(d, 4.0, scale);
            let d_n = rounded(dh[j] * (1.0 - z) * spec.activation.slope(n), dh[j]);
            let d_z = rounded(dh[j] * (h - n) * spec.gate.slope(z), dh[j] * (h.abs() + n.abs()));
            (input[hidden + j], input[2 * hidden + j]) = (d_z, d_n);
            if is_after {
                let q = self.saved(3, j);
                input[j] = rounded(d_n * q * spec.gate.slope(r), d_n * q);
                (recurrent[j], recurrent[hidden + j], recurrent[2 * hidden + j]) = (input[j], d_z, d_n * r);
            }
        }
        if is_after {
            let product = self.through(recurrent, 0, jitter);
            (0..hidden).for_each(|j| dh[j] = dh[j] * self.saved(1, j) + product[j] * self.mask[j]);
            return;
        }
        let scaled = self.through(&input[2 * hidden..], 2 * hidden, jitter);
        for j in 0..hidden {
            let (r, masked) = (self.saved(0, j), self.saved(3, j) * self.mask[j]);
            let d = scaled[j] * masked;
            input[j] = jitter.apply(d * spec.gate.slope(r), 4.0, d);
        }
        let product = self.through(&input[..2 * hidden], 0, jitter);
        for j in 0..hidden {
            let (r, z) = (self.saved(0, j), self.saved(1, j));
            dh[j] = dh[j] * z + (product[j] + scaled[j] * r) * self.mask[j];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::ops::{RecurrentOptions, RecurrentWeights, Reference};
    use crate::random::Stream;
    use crate::shape::Shape;

    /// The bounds that come from disturbed runs are of the size of rounding errors: far below what a
    /// wrong term would change.
    #[test]
    fn bounds_stay_small_over_many_steps() {
        let uniform = |shape: &[usize], stream: u32, scale: f64| {
            let draws = Stream { seed: 5, step: 0, stream };
            let shape = Shape::new(shape).unwrap();
            Array::from_fn(shape, |i| scale * (2.0 * draws.uniform(i as u32) - 1.0))
        };
        for (cell, columns) in [(Cell::Simple, 65), (Cell::Lstm, 260), (Cell::Gru(GruReset::After), 195)] {
            let mut g = Graph::new();
            let x = g.input("x", [3, 50, 4]);
            let weights = RecurrentWeights::new(g.input("w", [4, columns]), g.input("u", [65, columns]));
            let made = g.recurrence(cell, x, weights, &RecurrentOptions::new()).unwrap();
            let tape = g.forward([made.outputs]).unwrap();
            let node = tape.ops().iter().find(|node| node.outputs.contains(&made.outputs)).unwrap();
            let types: Vec<TensorType> = node.outputs.iter().map(|&v| tape.value(v).unwrap().ty).collect();
            let inputs = [uniform(&[3, 50, columns], 1, 1.0), uniform(&[65, columns], 2, 0.12)];
            let cx = Reference { inputs: inputs.iter().collect(), outputs: &types, scalars: &[] };
            let results = node.op.reference(&cx);
            for bound in node.op.error_bound(&cx, &results) {
                let largest = bound.iter().fold(0.0, |m: f64, &b| m.max(b));
                assert!(largest > 1e-8 && largest < 2e-4, "{cell:?}: {largest:e}");
            }
        }
    }
}
