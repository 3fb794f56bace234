//! Recurrences on the CPU device: some sequences at a time, whose products of a step are one matrix product.

use std::ops::Range;

use super::cells::{Slopes, Unit};
use super::operator::{Part, RecurGrad, Spec};
use super::{Cell, Extents, GruReset};
use crate::array::{Matrix, sgemm, spread, wide};
use crate::graph::{Compute, Operands};

/// Sequences that one thread goes through together.
const TOGETHER: usize = 16;

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
        let [bias, peepholes] = [Part::Bias, Part::Peepholes].map(|part| self.parts.part(part));
        let mut unit = Unit { spec, bias, peepholes, xw, takes: true };
        for t in (0..time).map(|s| self.parts.time_of(s)) {
            match mask {
                Some(mask) => {
                    let terms = h.iter().zip(mask);
                    wide(|| masked.iter_mut().zip(terms).for_each(|(to, (&h, &m))| *to = h * m));
                }
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
                let kept = spec.saved() * hidden;
                let saved = &mut self.saved[step * kept..][..kept];
                unit.xw = &xw[(sequence * time + t) * columns..][..columns];
                unit.takes = self.parts.takes(sequence, t);
                let states = [&mut h[row.clone()], &mut c[row.clone()]];
                unit.step(&mut sums[own * columns..][..columns], states, saved);
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

/// The backward pass.
pub(super) fn backward(op: &RecurGrad, extents: Extents, cx: &mut Compute<'_>) {
    let (spec, Extents { batch, time, hidden }) = (&op.spec, extents);
    let columns = spec.cell.gates() * hidden;
    let parts = Parts { spec, inputs: cx.inputs, first: 2 + usize::from(op.has_dy), extents };
    // Gradients of the states, and two products with the weight.
    let each = 4 * hidden + columns;
    let (room, turned) = cx.scratch.f32(batch * each + hidden * columns).split_at_mut(batch * each);
    for (j, row) in cx.inputs.f32(0).chunks_exact(columns).enumerate() {
        row.iter().enumerate().for_each(|(column, &u)| turned[column * hidden + j] = u);
    }
    let turned = &*turned;
    let mut results = cx.results.iter_mut();
    let mut next = |there: bool| match there {
        true => results.next().map_or(&mut [][..], |result| &mut result[..]),
        false => &mut [][..],
    };
    let (input, recurrent, initial) = (next(true), next(spec.splits()), next(op.initial));
    let widths = [time * columns, if spec.splits() { time * columns } else { 0 }, each];
    spread(0..batch, TOGETHER, widths, [input, recurrent, &mut *room], &|range, [input, recurrent, room]| {
        Back { op, parts: &parts, turned, range, input, recurrent }.run(room);
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
    /// The weight with its columns one after the other.
    turned: &'a [f32],
    range: Range<usize>,
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
                    wide(|| dh.iter_mut().zip(dy).for_each(|(dh, &dy)| *dh += dy));
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
            let peepholes = self.parts.part(Part::Peepholes);
            let mut of = Slopes { spec, peepholes, saved: at(t), c_before, dh, dc, input, recurrent };
            of.step();
            slopes.copy_from_slice(if spec.splits() { of.recurrent } else { of.input });
        }
    }

    /// Takes the gradients through the product with the weight, to the state before the step.
    fn through(&mut self, t: usize, dh: &mut [f32], [product, scaled, slopes]: [&mut [f32]; 3]) {
        let Parts { spec, inputs, extents: Extents { time, hidden, .. }, .. } = *self.parts;
        let (n, columns) = (self.range.len(), spec.cell.gates() * hidden);
        let before = spec.cell == Cell::Gru(GruReset::Before);
        let (saved, kept) = (inputs.f32(1), spec.saved().max(1) * hidden);
        let mask = self.parts.part(Part::Mask);
        let weights = |first: usize| Matrix { data: &self.turned[first * hidden..], row: hidden, column: 1 };
        // Those of the sequences that take the step: their numbers here, what they saved, and their masks.
        let taking = (self.range.clone().enumerate()).filter(|&(_, sequence)| self.parts.takes(sequence, t));
        let taking = taking.map(|(own, sequence)| {
            let saved = &saved[(sequence * time + t) * kept..][..kept];
            (own, saved, mask.map(|mask| &mask[sequence * hidden..][..hidden]))
        });
        if before {
            let candidate = Matrix { data: &slopes[2 * hidden..], row: columns, column: 1 };
            sgemm([n, hidden, hidden], candidate, weights(2 * hidden), 0.0, scaled, hidden);
            for (own, saved, mask) in taking.clone() {
                let scaled = &scaled[own * hidden..][..hidden];
                for (j, &scaled) in scaled.iter().enumerate() {
                    let masked = saved[3 * hidden + j] * mask.map_or(1.0, |mask| mask[j]);
                    let d = scaled * masked * spec.gate.slope_at(saved[j]);
                    self.input[(own * time + t) * columns + j] = d;
                    slopes[own * columns + j] = d;
                }
            }
        }
        let depth = if before { 2 * hidden } else { columns };
        let gates = Matrix { data: slopes, row: columns, column: 1 };
        sgemm([n, depth, hidden], gates, weights(0), 0.0, product, hidden);
        for (own, saved, mask) in taking {
            let row = own * hidden..(own + 1) * hidden;
            let (dh, product, scaled) = (&mut dh[row.clone()], &mut product[row.clone()], &scaled[row]);
            if before {
                let terms = scaled.iter().zip(saved);
                wide(|| product.iter_mut().zip(terms).for_each(|(sum, (&term, &r))| *sum += term * r));
            }
            if let Some(mask) = mask {
                wide(|| product.iter_mut().zip(mask).for_each(|(term, &mask)| *term *= mask));
            }
            match spec.cell {
                Cell::Simple | Cell::Lstm => dh.copy_from_slice(product),
                Cell::Gru(_) => {
                    let terms = saved[hidden..].iter().zip(&*product);
                    wide(|| dh.iter_mut().zip(terms).for_each(|(dh, (&z, &term))| *dh = *dh * z + term));
                }
            }
        }
    }
}
