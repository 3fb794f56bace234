//! A step of one sequence on the CPU device: what comes between the products, in loops that are vectorised.

use super::operator::Spec;
use super::{Cell, CellActivation, GruReset};
use crate::array::wide;
use crate::ops::float::{Float, sigmoid};

impl CellActivation {
    pub(super) fn of(self, x: f32) -> f32 {
        match self {
            CellActivation::Tanh => Float::tanh(x),
            CellActivation::Sigmoid => sigmoid(x),
            CellActivation::HardSigmoid => (x / 6.0 + 0.5).clamp(0.0, 1.0),
            CellActivation::Relu if x <= 0.0 => 0.0,
            CellActivation::Relu | CellActivation::Linear => x,
        }
    }

    /// The derivative where the value is `y`.
    pub(super) fn slope_at(self, y: f32) -> f32 {
        match self {
            CellActivation::Tanh => 1.0 - y * y,
            CellActivation::Sigmoid => y * (1.0 - y),
            CellActivation::HardSigmoid if y <= 0.0 || y >= 1.0 => 0.0,
            CellActivation::HardSigmoid => 1.0 / 6.0,
            CellActivation::Relu if y <= 0.0 => 0.0,
            CellActivation::Relu | CellActivation::Linear => 1.0,
        }
    }

    /// Writes the values at `x`.
    fn apply(self, x: &[f32], y: &mut [f32]) {
        match self {
            CellActivation::Tanh => each(y, x, |_, x| Float::tanh(x)),
            CellActivation::Sigmoid => each(y, x, |_, x| sigmoid(x)),
            other => each(y, x, |_, x| other.of(x)),
        }
    }

    /// Multiplies by the derivatives where the values are `y`.
    fn times_slope(self, y: &[f32], d: &mut [f32]) {
        match self {
            CellActivation::Tanh => each(d, y, |d, y| d * (1.0 - y * y)),
            CellActivation::Sigmoid => each(d, y, |d, y| d * (y * (1.0 - y))),
            other => each(d, y, |d, y| d * other.slope_at(y)),
        }
    }
}

/// Overwrites each number with `f` of it and of the one at its place. Loops over more slices than these are not
/// vectorised, for what they write might overlap with what they read.
#[inline(always)]
fn each(y: &mut [f32], x: &[f32], f: impl Fn(f32, f32) -> f32) {
    let x = &x[..y.len()];
    wide(|| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(*y, x);
        }
    });
}

/// The same with two at its place.
#[inline(always)]
fn each_pair(y: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) {
    let (a, b) = (&a[..y.len()], &b[..y.len()]);
    wide(|| {
        for (y, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
            *y = f(*y, a, b);
        }
    });
}

fn add(sums: &mut [f32], terms: &[f32]) {
    each(sums, terms, |sum, term| sum + term);
}

fn add_products(sums: &mut [f32], a: &[f32], b: &[f32]) {
    each_pair(sums, a, b, |sum, a, b| sum + a * b);
}

/// Parts of so many numbers each.
fn parts<const K: usize>(x: &[f32], n: usize) -> [&[f32]; K] {
    std::array::from_fn(|part| &x[part * n..][..n])
}

/// The same to write to.
fn parts_mut<const K: usize>(mut x: &mut [f32], n: usize) -> [&mut [f32]; K] {
    std::array::from_fn(|_| {
        let (part, rest) = std::mem::take(&mut x).split_at_mut(n);
        x = rest;
        part
    })
}

/// A step forward: what its gates have besides the state.
pub(super) struct Unit<'a> {
    pub spec: &'a Spec,
    pub bias: Option<&'a [f32]>,
    pub peepholes: Option<&'a [f32]>,
    /// The input's product.
    pub xw: &'a [f32],
    /// Whether the sequence takes the step.
    pub takes: bool,
}

impl Unit<'_> {
    /// Overwrites the states `h` and `c` where the sequence takes the step, and writes what the way back needs.
    /// `sums` holds the state's product, and anything after.
    pub fn step(&self, sums: &mut [f32], [h, c]: [&mut [f32]; 2], saved: &mut [f32]) {
        match self.spec.cell {
            Cell::Simple if self.takes => {
                self.add_input(sums);
                self.spec.activation.apply(sums, h);
            }
            Cell::Simple => {}
            Cell::Lstm => self.lstm(sums, h, c, saved),
            Cell::Gru(reset) => self.gru(reset, sums, h, saved),
        }
    }

    /// Adds what comes from the input to the sums of the first gates.
    fn add_input(&self, sums: &mut [f32]) {
        add(sums, self.xw);
        self.bias.iter().for_each(|bias| add(sums, bias));
    }

    fn lstm(&self, sums: &mut [f32], h: &mut [f32], c: &mut [f32], saved: &mut [f32]) {
        let (n, Spec { gate, activation, .. }) = (h.len(), self.spec);
        self.add_input(sums);
        if let Some(peepholes) = self.peepholes {
            let [i, f] = parts_mut(sums, n);
            add_products(i, &peepholes[..n], c);
            add_products(f, &peepholes[n..], c);
        }
        let [i, f, g, o, new] = parts_mut(saved, n);
        let [si, sf, sg, so] = parts_mut(sums, n);
        gate.apply(si, i);
        gate.apply(sf, f);
        activation.apply(sg, g);
        each_pair(new, f, c, |_, f, c| f * c);
        add_products(new, i, g);
        if let Some(peepholes) = self.peepholes {
            add_products(so, &peepholes[2 * n..], new);
        }
        gate.apply(so, o);
        if !self.takes {
            return new.copy_from_slice(c);
        }
        c.copy_from_slice(new);
        activation.apply(new, h);
        each(h, o, |h, o| h * o);
    }

    fn gru(&self, reset: GruReset, sums: &mut [f32], h: &mut [f32], saved: &mut [f32]) {
        let (n, Spec { gate, activation, .. }) = (h.len(), self.spec);
        let bias = |part: usize| self.bias.map(|bias| &bias[part * n..]);
        let (gates, candidate) = sums.split_at_mut(2 * n);
        self.add_input(gates);
        let (made, kept) = saved.split_at_mut(3 * n);
        let [r, z, new] = parts_mut(made, n);
        let is_after = reset == GruReset::After;
        if is_after {
            bias(3).iter().for_each(|bias| add(gates, bias));
            bias(5).iter().for_each(|bias| add(candidate, bias));
        }
        gate.apply(&gates[..n], r);
        gate.apply(&gates[n..], z);
        match is_after {
            true => each_pair(new, r, candidate, |_, r, q| r * q),
            false => new.copy_from_slice(candidate),
        }
        add(new, &self.xw[2 * n..]);
        bias(2).iter().for_each(|bias| add(new, bias));
        if is_after {
            kept[..n].copy_from_slice(candidate);
        }
        candidate.copy_from_slice(new);
        activation.apply(candidate, new);
        if let Some(before) = kept.chunks_exact_mut(n).last() {
            before.copy_from_slice(h);
        }
        if self.takes {
            each_pair(h, z, new, |h, z, new| (1.0 - z) * new + z * h);
        }
    }
}

/// A step backward.
pub(super) struct Slopes<'a> {
    pub spec: &'a Spec,
    pub peepholes: Option<&'a [f32]>,
    pub saved: &'a [f32],
    pub c_before: Option<&'a [f32]>,
    pub dh: &'a mut [f32],
    pub dc: &'a mut [f32],
    /// The gradients of the input's and of the recurrence's products.
    pub input: &'a mut [f32],
    pub recurrent: &'a mut [f32],
}

impl Slopes<'_> {
    pub fn step(&mut self) {
        match self.spec.cell {
            Cell::Simple => {
                self.input.copy_from_slice(self.dh);
                self.spec.activation.times_slope(self.saved, self.input);
            }
            Cell::Lstm => self.lstm(),
            Cell::Gru(reset) => self.gru(reset),
        }
    }

    fn lstm(&mut self) {
        let (n, Spec { gate, activation, .. }) = (self.dh.len(), self.spec);
        let [i, f, g, o, c] = parts(self.saved, n);
        let [d_i, d_f, d_g, d_o] = parts_mut(self.input, n);
        let (dh, dc) = (&*self.dh, &mut *self.dc);
        let (shown, through) = (&mut *d_g, &mut *d_f);
        activation.apply(c, shown);
        each_pair(d_o, dh, shown, |_, dh, shown| dh * shown);
        gate.times_slope(o, d_o);
        each_pair(through, dh, o, |_, dh, o| dh * o);
        activation.times_slope(shown, through);
        add(dc, through);
        if let Some(peepholes) = self.peepholes {
            add_products(dc, d_o, &peepholes[2 * n..]);
        }
        each_pair(d_i, dc, g, |_, dc, g| dc * g);
        gate.times_slope(i, d_i);
        each_pair(d_g, dc, i, |_, dc, i| dc * i);
        activation.times_slope(g, d_g);
        match self.c_before {
            Some(before) => each_pair(d_f, dc, before, |_, dc, before| dc * before),
            None => d_f.fill(0.0),
        }
        gate.times_slope(f, d_f);
        each(dc, f, |dc, f| dc * f);
        if let Some(peepholes) = self.peepholes {
            add_products(dc, d_i, peepholes);
            add_products(dc, d_f, &peepholes[n..]);
        }
    }

    fn gru(&mut self, reset: GruReset) {
        let (n, Spec { gate, activation, .. }) = (self.dh.len(), self.spec);
        let [r, z, new] = parts(self.saved, n);
        let h = &self.saved[(self.spec.saved() - 1) * n..];
        let [d_r, d_z, d_n] = parts_mut(self.input, n);
        let dh = &*self.dh;
        each_pair(d_n, dh, z, |_, dh, z| dh * (1.0 - z));
        activation.times_slope(new, d_n);
        each_pair(d_z, h, new, |_, h, new| h - new);
        each(d_z, dh, |d, dh| d * dh);
        gate.times_slope(z, d_z);
        if reset == GruReset::After {
            each_pair(d_r, d_n, &self.saved[3 * n..], |_, d_n, q| d_n * q);
            gate.times_slope(r, d_r);
            let [of_r, of_z, of_q] = parts_mut(self.recurrent, n);
            of_r.copy_from_slice(d_r);
            of_z.copy_from_slice(d_z);
            each_pair(of_q, d_n, r, |_, d_n, r| d_n * r);
        }
    }
}
