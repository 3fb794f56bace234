//! Recurrences on the CPU device: some sequences at a time, whose products of a step are one matrix product.

use std::ops::Range;

use super::operator::{Part, RecurGrad, Spec};
use super::{Cell, CellActivation, Extents, GruReset};
use crate::array::{Matrix, sgemm, spread};
use crate::graph::{Compute, Operands};
use crate::ops::float::sigmoid;

/// Sequences that one thread goes through together.
const TOGETHER: usize = 16;

impl CellActivation {
    fn of(self, x: f32) -> f32 {
        match self {
            CellActivation::Tanh => x.tanh(),
            CellActivation::Sigmoid => sigmoid(x),
            CellActivation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
            CellActivation::Relu if x <= 0.0 => 0.0,
            CellActivation::Relu | CellActivation::Linear => x,
        }
    }

    /// The derivative where the value is `y`.
    fn slope_at(self, y: f32) -> f32 {
        match self {
            CellActivation::Tanh => 1.0 - y * y,
            CellActivation::Sigmoid => y * (1.0 - y),
            CellActivation::HardSigmoid if y <= 0.0 || y >= 1.0 => 0.0,
            CellActivation::HardSigmoid => 1.0 / 6.0,
            CellActivation::Relu if y <= 0.0 => 0.0,
            CellActivation::Relu | CellActivation::Linear => 1.0,
        }
    }
}

/// The operands that not every recurrence has, among the inputs.
struct Parts<'a> {
    spec: &'a Spec,
    inputs: Operands<'a>,
    /// The input of the first.
    first: usize,
    extents: Extents,
}

impl<'a> Parts<'a> {
    fn part(&self, part: Part) -> Option<&'a [f32]> {
        let at = self.spec.parts.iter().position(|&p| p == part)?;
        Some(self.inputs.f32(self.first + at))
    }

    /// Some rows of a part `[.., hidden]`, zeros where there is none.
    fn rows(&self, part: Part, rows: Range<usize>, to: &mut [f32]) {
        let h = self.extents.hidden;
        match self.part(part) {
            Some(part) => to.copy_from_slice(&part[rows.start * h..rows.end * h]),
            None => to.fill(0.0),
        }
    }

    /// Whether a step belongs to a sequence, and is not its padding.
    fn takes(&self, sequence: usize, t: usize) -> bool {
        self.part(Part::Steps).is_none_or(|steps| steps[sequence * self.extents.time + t] != 0.0)
    }

    fn time_of(&self, s: usize) -> usize {
        if self.spec.reverse { self.extents.time - 1 - s } else { s }
    }
}

/// An element of an operand, 0 where there is none.
fn number(part: Option<&[f32]>, at: usize) -> f32 {
    part.map_or(0.0, |part| part[at])
}

/// The forward pass.
pub(super) fn forward(spec: &Spec, extents: Extents, cx: &mut Compute<'_>) {
    let Extents { batch, time, hidden } = extents;
    let (wide, kept) = (spec.previous() * hidden, spec.saved() * hidden);
    let columns = spec.cell.gates() * hidden;
    let parts = Parts { spec, inputs: cx.inputs, first: 2, extents };
    let states = spec.cell.states();
    // States, what a step multiplies, and the products.
    let each = (2 + spec.previous()) * hidden + columns;
    let room = cx.scratch.f32(batch * each);
    let mut results = cx.results.iter_mut();
    let mut next = || results.next().map_or(&mut [][..], |result| &mut result[..]);
    let (y, last, previous, saved) = (next(), next(), next(), next());
    let widths = [time * hidden, time * wide, time * kept, each];
    spread(
        0..batch,
        TOGETHER,
        widths,
        [y, previous, saved, &mut *room],
        &|range, [y, previous, saved, room]| {
            Forward { parts: &parts, range, y, previous, saved }.run(room);
        },
    );
    // The states of some sequences lie together in their room.
    for first in (0..batch).step_by(TOGETHER) {
        let n = TOGETHER.min(batch - first);
        for state in 0..states {
            let from = &room[first * each + state * n * hidden..][..n * hidden];
            last[(state * batch + first) * hidden..][..n * hidden].copy_from_slice(from);
        }
    }
}

/// Some sequences forward, with their parts of the results.
struct Forward<'a> {
    parts: &'a Parts<'a>,
    range: Range<usize>,
    y: &'a mut [f32],
    previous: &'a mut [f32],
    saved: &'a mut [f32],
}

impl Forward<'_> {
    fn run(&mut self, room: &mut [f32]) {
        let Parts { spec, inputs, extents: Extents { time, hidden, .. }, .. } = *self.parts;
        let (n, columns) = (self.range.len(), spec.cell.gates() * hidden);
        let (xw, u) = (inputs.f32(0), inputs.f32(1));
        let (h, room) = room.split_at_mut(n * hidden);
        let (c, room) = room.split_at_mut(n * hidden);
        let (masked, room) = room.split_at_mut(n * spec.previous() * hidden);
        let (masked, scaled) = masked.split_at_mut(n * hidden);
        let sums = &mut room[..n * columns];
        self.parts.rows(Part::Hidden, self.range.clone(), h);
        self.parts.rows(Part::Cell, self.range.clone(), c);
        let mask = self.parts.part(Part::Mask).map(|mask| &mask[self.range.start * hidden..]);
        // The candidate's product comes later where the reset gate acts before it.
        let early = if spec.cell == Cell::Gru(GruReset::Before) { 2 * hidden } else { columns };
        for t in (0..time).map(|s| self.parts.time_of(s)) {
            match mask {
                Some(mask) => masked.iter_mut().zip(&*h).zip(mask).for_each(|((to, h), m)| *to = h * m),
                None => masked.copy_from_slice(h),
            }
            let weights = Matrix { data: u, row: columns, column: 1 };
            sgemm([n, hidden, early], Matrix::new(masked, n, hidden, false), weights, 0.0, sums, columns);
            if early < columns {
                self.reset(t, xw, sums, masked, scaled);
                let weights = Matrix { data: &u[early..], row: columns, column: 1 };
                let to = &mut sums[early..];
                sgemm([n, hidden, hidden], Matrix::new(scaled, n, hidden, false), weights, 0.0, to, columns);
            }
            for own in 0..n {
                let (sequence, row) = (self.range.start + own, own * hidden..(own + 1) * hidden);
                let step = own * time + t;
                let wide = spec.previous() * hidden;
                let previous = &mut self.previous[step * wide..][..wide];
                previous[..hidden].copy_from_slice(&masked[row.clone()]);
                if wide > hidden {
                    previous[hidden..].copy_from_slice(&scaled[row.clone()]);
                }
                let xw = &xw[(sequence * time + t) * columns..][..columns];
                let kept = spec.saved() * hidden;
                let cell = Unit { parts: self.parts, xw, sums: &sums[own * columns..][..columns] };
                let saved = &mut self.saved[step * kept..][..kept];
                let takes = self.parts.takes(sequence, t);
                cell.step(takes, &mut h[row.clone()], &mut c[row.clone()], saved);
                self.y[step * hidden..][..hidden].copy_from_slice(&h[row]);
            }
        }
    }

    /// The operand of the candidate's product: the state times the reset gate.
    fn reset(&self, t: usize, xw: &[f32], sums: &[f32], masked: &[f32], scaled: &mut [f32]) {
        let Parts { spec, extents: Extents { time, hidden, .. }, .. } = *self.parts;
        let bias = self.parts.part(Part::Bias);
        for (i, scaled) in scaled.iter_mut().enumerate() {
            let (own, j) = (i / hidden, i % hidden);
            let x = xw[((self.range.start + own) * time + t) * 3 * hidden + j] + number(bias, j);
            *scaled = spec.gate.of(sums[own * 3 * hidden + j] + x) * masked[i];
        }
    }
}

/// A step of one sequence: what its gates have from the input and from the state.
struct Unit<'a> {
    parts: &'a Parts<'a>,
    xw: &'a [f32],
    sums: &'a [f32],
}

impl Unit<'_> {
    /// Overwrites the states where the sequence takes the step, and writes what the way back needs.
    fn step(&self, takes: bool, h: &mut [f32], c: &mut [f32], saved: &mut [f32]) {
        let Parts { spec, extents: Extents { hidden, .. }, .. } = *self.parts;
        let bias = self.parts.part(Part::Bias);
        let input = |gate: usize, j: usize| self.xw[gate * hidden + j] + number(bias, gate * hidden + j);
        match spec.cell {
            Cell::Simple if takes => {
                for (j, h) in h.iter_mut().enumerate() {
                    *h = spec.activation.of(self.sums[j] + input(0, j));
                }
            }
            Cell::Simple => {}
            Cell::Lstm => self.lstm(takes, input, h, c, saved),
            Cell::Gru(reset) => self.gru(reset, takes, input, h, saved),
        }
    }

    fn lstm(
        &self,
        takes: bool,
        input: impl Fn(usize, usize) -> f32,
        h: &mut [f32],
        c: &mut [f32],
        saved: &mut [f32],
    ) {
        let Parts { spec, .. } = *self.parts;
        let (hidden, peepholes) = (h.len(), self.parts.part(Part::Peepholes));
        for j in 0..hidden {
            let sum = |gate: usize| self.sums[gate * hidden + j] + input(gate, j);
            let peep = |gate: usize| number(peepholes, gate * hidden + j);
            let i = spec.gate.of(sum(0) + peep(0) * c[j]);
            let f = spec.gate.of(sum(1) + peep(1) * c[j]);
            let g = spec.activation.of(sum(2));
            let new = f * c[j] + i * g;
            let o = spec.gate.of(sum(3) + peep(2) * new);
            if takes {
                (h[j], c[j]) = (o * spec.activation.of(new), new);
            }
            for (place, value) in [i, f, g, o, c[j]].into_iter().enumerate() {
                saved[place * hidden + j] = value;
            }
        }
    }

    fn gru(
        &self,
        reset: GruReset,
        takes: bool,
        input: impl Fn(usize, usize) -> f32,
        h: &mut [f32],
        saved: &mut [f32],
    ) {
        let Parts { spec, .. } = *self.parts;
        let (hidden, bias, is_after) = (h.len(), self.parts.part(Part::Bias), reset == GruReset::After);
        for j in 0..hidden {
            let recurrent = |gate: usize| {
                let own = if is_after { number(bias, (3 + gate) * hidden + j) } else { 0.0 };
                self.sums[gate * hidden + j] + own
            };
            let r = spec.gate.of(recurrent(0) + input(0, j));
            let z = spec.gate.of(recurrent(1) + input(1, j));
            let q = recurrent(2);
            let n = spec.activation.of(input(2, j) + if is_after { r * q } else { q });
            let all = [r, z, n, if is_after { q } else { h[j] }, h[j]];
            for (place, value) in all.into_iter().take(spec.saved()).enumerate() {
                saved[place * hidden + j] = value;
            }
            if takes {
                h[j] = (1.0 - z) * n + z * h[j];
            }
        }
    }
}

/// The backward pass.
pub(super) fn backward(op: &RecurGrad, extents: Extents, cx: &mut Compute<'_>) {
    let (spec, Extents { batch, time, hidden }) = (&op.spec, extents);
    let columns = spec.cell.gates() * hidden;
    let parts = Parts { spec, inputs: cx.inputs, first: 2 + usize::from(op.has_dy), extents };
    // Gradients of the states, and two products with the weight.
    let each = 4 * hidden + columns;
    let room = cx.scratch.f32(batch * each);
    let mut results = cx.results.iter_mut();
    let mut next = |there: bool| match there {
        true => results.next().map_or(&mut [][..], |result| &mut result[..]),
        false => &mut [][..],
    };
    let (input, recurrent, initial) = (next(true), next(spec.splits()), next(op.initial));
    let widths = [time * columns, if spec.splits() { time * columns } else { 0 }, each];
    spread(0..batch, TOGETHER, widths, [input, recurrent, &mut *room], &|range, [input, recurrent, room]| {
        Back { op, parts: &parts, range, input, recurrent }.run(room);
    });
    for first in (0..if op.initial { batch } else { 0 }).step_by(TOGETHER) {
        let n = TOGETHER.min(batch - first);
        for state in 0..spec.cell.states() {
            let from = &room[first * each + state * n * hidden..][..n * hidden];
            initial[(state * batch + first) * hidden..][..n * hidden].copy_from_slice(from);
        }
    }
}

/// Some sequences backward, with their parts of the gradients of the products.
struct Back<'a> {
    op: &'a RecurGrad,
    parts: &'a Parts<'a>,
    range: Range<usize>,
    input: &'a mut [f32],
    recurrent: &'a mut [f32],
}

/// What a step backward works with, of one sequence.
struct Slopes<'a> {
    saved: &'a [f32],
    c_before: Option<&'a [f32]>,
    dh: &'a mut [f32],
    dc: &'a mut [f32],
    /// The gradients of the input's and of the recurrence's products.
    input: &'a mut [f32],
    recurrent: &'a mut [f32],
}

impl Back<'_> {
    fn run(&mut self, room: &mut [f32]) {
        let Parts { spec, inputs, extents: Extents { batch, time, hidden }, .. } = *self.parts;
        let (n, range) = (self.range.len(), self.range.clone());
        let [dh, dc, product, scaled] = {
            let (dh, room) = room.split_at_mut(n * hidden);
            let (dc, room) = room.split_at_mut(n * hidden);
            let (product, room) = room.split_at_mut(n * hidden);
            [dh, dc, product, room]
        };
        let (scaled, slopes) = scaled.split_at_mut(n * hidden);
        self.parts.rows(Part::Last, range.clone(), dh);
        match spec.cell {
            Cell::Lstm => self.parts.rows(Part::Last, batch + range.start..batch + range.end, dc),
            _ => dc.fill(0.0),
        }
        self.input.fill(0.0);
        self.recurrent.fill(0.0);
        for s in (0..time).rev() {
            let t = self.parts.time_of(s);
            if self.op.has_dy {
                let dy = inputs.f32(2);
                for (own, dh) in dh.chunks_mut(hidden).enumerate() {
                    let dy = &dy[((range.start + own) * time + t) * hidden..][..hidden];
                    dh.iter_mut().zip(dy).for_each(|(dh, dy)| *dh += dy);
                }
            }
            self.slopes(s, dh, dc, slopes);
            self.through(t, dh, [product, scaled, slopes]);
            if s > 0 && spec.truncate > 0 && s % spec.truncate == 0 {
                dh.fill(0.0);
                dc.fill(0.0);
            }
        }
    }

    /// The gradients of the gates, those of what the weight was multiplied to in `slopes` too, zeros where a
    /// sequence did not take the step.
    fn slopes(&mut self, s: usize, dh: &mut [f32], dc: &mut [f32], slopes: &mut [f32]) {
        let Parts { spec, inputs, extents: Extents { time, hidden, .. }, .. } = *self.parts;
        let (t, columns) = (self.parts.time_of(s), spec.cell.gates() * hidden);
        let (saved, kept) = (inputs.f32(1), spec.saved().max(1) * hidden);
        let initial = self.parts.part(Part::Cell);
        let own = dh.chunks_mut(hidden).zip(dc.chunks_mut(hidden)).zip(slopes.chunks_mut(columns));
        for (own, ((dh, dc), slopes)) in own.enumerate() {
            let sequence = self.range.start + own;
            let at = |t: usize| &saved[(sequence * time + t) * kept..][..kept];
            if !self.parts.takes(sequence, t) {
                slopes.fill(0.0);
                continue;
            }
            let c_before = match s {
                _ if spec.cell != Cell::Lstm => None,
                0 => initial.map(|c| &c[sequence * hidden..][..hidden]),
                _ => Some(&at(self.parts.time_of(s - 1))[4 * hidden..]),
            };
            let step = (own * time + t) * columns;
            let recurrent = match spec.splits() {
                true => &mut self.recurrent[step..][..columns],
                false => &mut [][..],
            };
            let input = &mut self.input[step..][..columns];
            let mut of = Slopes { saved: at(t), c_before, dh, dc, input, recurrent };
            match spec.cell {
                Cell::Simple => of.simple(spec),
                Cell::Lstm => of.lstm(spec, self.parts.part(Part::Peepholes)),
                Cell::Gru(reset) => of.gru(spec, reset),
            }
            slopes.copy_from_slice(if spec.splits() { of.recurrent } else { of.input });
        }
    }

    /// Takes the gradients through the product with the weight, to the state before the step.
    fn through(&mut self, t: usize, dh: &mut [f32], [product, scaled, slopes]: [&mut [f32]; 3]) {
        let Parts { spec, inputs, extents: Extents { time, hidden, .. }, .. } = *self.parts;
        let (n, columns, u) = (self.range.len(), spec.cell.gates() * hidden, inputs.f32(0));
        let before = spec.cell == Cell::Gru(GruReset::Before);
        let (saved, kept) = (inputs.f32(1), spec.saved().max(1) * hidden);
        let mask = self.parts.part(Part::Mask);
        let weights = |first: usize| Matrix { data: &u[first..], row: 1, column: columns };
        if before {
            let candidate = Matrix { data: &slopes[2 * hidden..], row: columns, column: 1 };
            sgemm([n, hidden, hidden], candidate, weights(2 * hidden), 0.0, scaled, hidden);
            for (i, &scaled) in scaled.iter().enumerate() {
                let (own, j) = (i / hidden, i % hidden);
                let sequence = self.range.start + own;
                if !self.parts.takes(sequence, t) {
                    continue;
                }
                let saved = &saved[(sequence * time + t) * kept..][..kept];
                let masked = saved[3 * hidden + j] * mask.map_or(1.0, |mask| mask[sequence * hidden + j]);
                let d = scaled * masked * spec.gate.slope_at(saved[j]);
                self.input[(own * time + t) * columns + j] = d;
                slopes[own * columns + j] = d;
            }
        }
        let depth = if before { 2 * hidden } else { columns };
        let gates = Matrix { data: slopes, row: columns, column: 1 };
        sgemm([n, depth, hidden], gates, weights(0), 0.0, product, hidden);
        for (i, dh) in dh.iter_mut().enumerate() {
            let (own, j) = (i / hidden, i % hidden);
            let sequence = self.range.start + own;
            if !self.parts.takes(sequence, t) {
                continue;
            }
            let mask = mask.map_or(1.0, |mask| mask[sequence * hidden + j]);
            let saved = |place: usize| saved[(sequence * time + t) * kept + place * hidden + j];
            *dh = match spec.cell {
                Cell::Simple | Cell::Lstm => product[i] * mask,
                Cell::Gru(GruReset::After) => *dh * saved(1) + product[i] * mask,
                Cell::Gru(GruReset::Before) => *dh * saved(1) + (product[i] + scaled[i] * saved(0)) * mask,
            };
        }
    }
}

impl Slopes<'_> {
    fn saved(&self, place: usize, j: usize) -> f32 {
        self.saved[place * self.dh.len() + j]
    }

    fn simple(&mut self, spec: &Spec) {
        for j in 0..self.dh.len() {
            self.input[j] = self.dh[j] * spec.activation.slope_at(self.saved(0, j));
        }
    }

    fn lstm(&mut self, spec: &Spec, peepholes: Option<&[f32]>) {
        let hidden = self.dh.len();
        for j in 0..hidden {
            let [i, f, g, o, c] = [0, 1, 2, 3, 4].map(|place| self.saved(place, j));
            let peep = |gate: usize| number(peepholes, gate * hidden + j);
            let (shown, dh, before) = (spec.activation.of(c), self.dh[j], number(self.c_before, j));
            let d_o = dh * shown * spec.gate.slope_at(o);
            let through = dh * o * spec.activation.slope_at(shown);
            let total = self.dc[j] + through + d_o * peep(2);
            let d_i = total * g * spec.gate.slope_at(i);
            let d_f = total * before * spec.gate.slope_at(f);
            let d_g = total * i * spec.activation.slope_at(g);
            self.dc[j] = total * f + d_i * peep(0) + d_f * peep(1);
            for (gate, d) in [d_i, d_f, d_g, d_o].into_iter().enumerate() {
                self.input[gate * hidden + j] = d;
            }
        }
    }

    fn gru(&mut self, spec: &Spec, reset: GruReset) {
        let (hidden, is_after) = (self.dh.len(), reset == GruReset::After);
        for j in 0..hidden {
            let [r, z, n, h] = [0, 1, 2, spec.saved() - 1].map(|place| self.saved(place, j));
            let dh = self.dh[j];
            let d_n = dh * (1.0 - z) * spec.activation.slope_at(n);
            let d_z = dh * (h - n) * spec.gate.slope_at(z);
            (self.input[hidden + j], self.input[2 * hidden + j]) = (d_z, d_n);
            if is_after {
                let d_r = d_n * self.saved(3, j) * spec.gate.slope_at(r);
                self.input[j] = d_r;
                for (gate, d) in [d_r, d_z, d_n * r].into_iter().enumerate() {
                    self.recurrent[gate * hidden + j] = d;
                }
            }
        }
    }
}
