//! Normalisation on the CPU device. Statistics and sums are in f64, and so is what is computed with them.

use super::backward::{ChannelGrad, NormGrad};
use super::forward::{FAR, FAR_MEAN, Form, Normalize, ROWS, RunningStats};
use super::geometry::{DOWN, Geometry};
use crate::array::{PART, spread, wide};
use crate::graph::{Compute, Operands};

/// Numbers that are added up in turn.
const LANES: usize = 4;

/// The sums of two numbers of each of so many elements.
fn sums(n: usize, of: impl Fn(usize) -> [f64; 2]) -> [f64; 2] {
    wide(|| {
        let mut lanes = [[0.0; 2]; LANES];
        let mut add = |lane: usize, i: usize| {
            let [a, b] = of(i);
            lanes[lane] = [lanes[lane][0] + a, lanes[lane][1] + b];
        };
        let whole = n / LANES * LANES;
        (0..whole).step_by(LANES).for_each(|i| (0..LANES).for_each(|lane| add(lane, i + lane)));
        (whole..n).for_each(|i| add(0, i));
        lanes.iter().fold([0.0; 2], |[a, b], lane| [a + lane[0], b + lane[1]])
    })
}

impl Geometry {
    /// Where the elements of a channel in a sample begin.
    fn plane(&self, sample: usize, channel: usize) -> usize {
        (sample * self.channels() + channel) * self.space
    }

    /// The group of a channel in a sample.
    fn group(&self, sample: usize, channel: usize) -> usize {
        let section = channel / self.width;
        if self.batch { section } else { sample * self.sections + section }
    }

    /// The planes of a group: samples and channels.
    fn planes(&self, group: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Geometry { batch, samples, sections, width, .. } = *self;
        let (samples, section) = match batch {
            true => (0..samples, group),
            false => (group / sections..group / sections + 1, group % sections),
        };
        samples.flat_map(move |sample| (section * width..(section + 1) * width).map(move |c| (sample, c)))
    }

    /// The sums of two numbers of each element of a group: `of` gets its place.
    fn group_sums(&self, group: usize, of: impl Fn(usize, usize) -> [f64; 2]) -> [f64; 2] {
        // Neighbours of a group without space between them are one run.
        if !self.batch && self.space == 1 {
            let first = self.plane(group / self.sections, group % self.sections * self.width);
            return sums(self.width, |i| of(first + i, group % self.sections * self.width + i));
        }
        self.planes(group).fold([0.0; 2], |[a, b], (sample, channel)| {
            let first = self.plane(sample, channel);
            let [c, d] = sums(self.space, |i| of(first + i, channel));
            [a + c, b + d]
        })
    }

    /// Overwrites the elements of a result, sample by sample: `f` gets the elements of a channel with where they
    /// begin, the channel and the group.
    fn each_plane(&self, y: &mut [f32], f: impl Fn(&mut [f32], usize, usize, usize) + Sync) {
        let width = self.channels() * self.space;
        spread(0..self.samples, (PART / width).max(1), [width], [y], &|samples, [y]| {
            for (sample, y) in samples.zip(y.chunks_mut(width)) {
                for (channel, y) in y.chunks_mut(self.space).enumerate() {
                    f(y, self.plane(sample, channel), channel, self.group(sample, channel));
                }
            }
        });
    }

    /// Mean, variance, anchor and size of a group.
    fn statistics(&self, x: &[f32], group: usize) -> [f64; 4] {
        let count = self.count() as f64;
        let x = |at: usize| f64::from(x[at]);
        let [sum, _] = self.group_sums(group, |at, _| [x(at), 0.0]);
        let mean = sum / count;
        if !mean.is_finite() {
            return [f64::NAN; 4];
        }
        let [a, b, c] = [0, self.count() / 2, self.count() - 1].map(|place| {
            let (plane, within) = (place / self.space, place % self.space);
            let (sample, channel) = match self.batch {
                true => (plane, group),
                false => (group / self.sections, group % self.sections * self.width + plane),
            };
            x(self.plane(sample, channel) + within)
        });
        let anchor = f64::max(a.min(b), a.max(b).min(c));
        let far = |at: usize| f64::from(u8::from(f64::from((x(at) - anchor).abs() as f32) >= FAR));
        let [squares, far] = self.group_sums(group, |at, _| [(x(at) - mean).powi(2), far(at)]);
        [mean, squares / count, anchor, if far > 0.0 { DOWN } else { 1.0 }]
    }
}

impl Form {
    /// Scale and shift of a channel.
    fn scales<'a>(&self, inputs: Operands<'a>) -> impl Fn(usize) -> [f64; 2] + Sync + use<'a> {
        let [scale, shift] = self.affine().map(|input| input.map(|input| inputs.f32(input)));
        let of = |part: Option<&[f32]>, channel: usize, none: f64| {
            part.map_or(none, |part| f64::from(part[channel]))
        };
        move |channel| [of(scale, channel, 1.0), of(shift, channel, 0.0)]
    }
}

impl Normalize {
    pub(super) fn run(&self, geometry: Geometry, cx: &mut Compute<'_>) {
        let (form, inputs, x) = (self.0, cx.inputs, cx.inputs.f32(0));
        let groups = geometry.groups();
        let all = cx.scratch.f64(4 * groups);
        let some = (PART / geometry.count()).max(1);
        spread(0..groups, some, [4], [&mut *all], &|range, [all]| {
            for (group, all) in range.zip(all.chunks_mut(4)) {
                let found = match form.is_given() {
                    true => {
                        let [mean, variance] = [1, 2].map(|input| f64::from(inputs.f32(input)[group]));
                        [mean, variance, mean, if mean.abs() >= FAR_MEAN { 0.5 } else { 1.0 }]
                    }
                    false => geometry.statistics(x, group),
                };
                all.copy_from_slice(&found);
            }
        });
        let rstd = |variance: f64| 1.0 / (variance + f64::from(form.epsilon)).sqrt();
        let [y, stats] = cx.results else { return };
        for (group, all) in all.chunks(4).enumerate() {
            let (mean, rstd) = (all[0], rstd(all[1]));
            let shift = if form.is_given() { 0.0 } else { (all[2] - mean) * rstd };
            let rows = [mean, all[1], all[2] * all[3], shift, rstd / all[3], all[3]];
            rows.iter().enumerate().for_each(|(row, &number)| stats[row * groups + group] = number as f32);
        }
        let (scales, all) = (form.scales(inputs), &*all);
        geometry.each_plane(y, |y, first, channel, group| {
            let (mean, [scale, shift]) = (all[4 * group], scales(channel));
            let factor = rstd(all[4 * group + 1]) * scale;
            let x = &x[first..][..y.len()];
            let of = |x: f32| ((f64::from(x) - mean) * factor + shift) as f32;
            wide(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = of(x)));
        });
    }
}

impl RunningStats {
    pub(super) fn run(&self, cx: &mut Compute<'_>) {
        let (stats, momentum) = (cx.inputs.f32(2), f64::from(self.momentum));
        let groups = stats.len() / ROWS;
        for (number, factor) in [(0, 1.0), (1, self.unbiased())] {
            let new = stats[number * groups..].iter().map(|&new| f64::from(new) * factor);
            let mixed = |old: f32, new: f64| (1.0 - momentum) * f64::from(old) + momentum * new;
            cx.results[number].iter_mut().zip(new).for_each(|(old, new)| *old = mixed(*old, new) as f32);
        }
    }
}

/// Anchor, shift and rstd of a group of x itself.
fn of_group(stats: &[f32], group: usize) -> [f64; 3] {
    let groups = stats.len() / ROWS;
    let row = |row: usize| f64::from(stats[row * groups + group]);
    let size = row(5);
    [row(2) / size, row(3), row(4) * size]
}

impl NormGrad {
    pub(super) fn run(&self, geometry: Geometry, cx: &mut Compute<'_>) {
        let [x, stats, dy] = [0, 1, 2].map(|input| cx.inputs.f32(input));
        let scale = self.0.scale.then(|| cx.inputs.f32(3));
        let scale = |channel: usize| scale.map_or(1.0, |scale| f64::from(scale[channel]));
        let (groups, is_given, count) = (geometry.groups(), self.0.is_given(), geometry.count() as f64);
        let weighted = self.weighted(geometry);
        let totals = cx.scratch.f64(2 * groups);
        let some = (PART / geometry.count()).max(1);
        match is_given {
            true => totals.fill(0.0),
            false => spread(0..groups, some, [2], [&mut *totals], &|range, [totals]| {
                for (group, totals) in range.zip(totals.chunks_mut(2)) {
                    let [anchor, shift, rstd] = of_group(stats, group);
                    let term = |at: usize, channel: usize| {
                        let g = f64::from(dy[at]) * if weighted { scale(channel) } else { 1.0 };
                        [g, g * ((f64::from(x[at]) - anchor) * rstd + shift)]
                    };
                    totals.copy_from_slice(&geometry.group_sums(group, term));
                }
            }),
        }
        let (dx, rest) = cx.results.split_at_mut(1);
        for (number, sum) in rest.iter_mut().enumerate() {
            let totals = totals.iter().skip(number).step_by(2);
            sum.iter_mut().zip(totals).for_each(|(sum, &total)| *sum = total as f32);
        }
        let totals = &*totals;
        geometry.each_plane(&mut dx[0], |dx, first, channel, group| {
            let ([anchor, shift, rstd], scale) = (of_group(stats, group), scale(channel));
            // A scale that a whole group shares is left out of the sums.
            let shared = if weighted { 1.0 } else { scale };
            let [a, b] = [0, 1].map(|number| totals[2 * group + number] * shared / count);
            let elements = x[first..].iter().zip(&dy[first..]);
            let of = |x: f32, dy: f32| {
                let xhat = (f64::from(x) - anchor) * rstd + shift;
                (rstd * (f64::from(dy) * scale - a - xhat * b)) as f32
            };
            wide(|| dx.iter_mut().zip(elements).for_each(|(dx, (&x, &dy))| *dx = of(x, dy)));
        });
    }
}

impl ChannelGrad {
    pub(super) fn run(&self, geometry: Geometry, cx: &mut Compute<'_>) {
        let [x, stats, dy] = [0, 1, 2].map(|input| cx.inputs.f32(input));
        let [of_shift, of_scale] = cx.results else { return };
        let some = (PART / (geometry.samples * geometry.space)).max(1);
        spread(0..geometry.channels(), some, [1; 2], [of_shift, of_scale], &|range, [of_shift, of_scale]| {
            for (channel, (of_shift, of_scale)) in range.zip(of_shift.iter_mut().zip(of_scale)) {
                let total = (0..geometry.samples).fold([0.0; 2], |[a, b], sample| {
                    let [anchor, shift, rstd] = of_group(stats, geometry.group(sample, channel));
                    let first = geometry.plane(sample, channel);
                    let [c, d] = sums(geometry.space, |i| {
                        let (x, dy) = (f64::from(x[first + i]), f64::from(dy[first + i]));
                        [dy, dy * ((x - anchor) * rstd + shift)]
                    });
                    [a + c, b + d]
                });
                [*of_shift, *of_scale] = total.map(|sum| sum as f32);
            }
        });
    }
}
