//! Pictures of one size from pictures of any: rows come in from the top, planes of numbers come out, and
//! nothing of the picture is held beside them.

use std::ops::Range;
use std::path::Path;

use super::Row;
use crate::data::{ImageChannels, ImageFit};
use crate::error::Result;
use crate::files::reserve;

/// What part of a picture is taken, and what part of the result it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data::files) struct Placement {
    /// Rows and columns of the picture.
    pub from: [Range<usize>; 2],
    /// Rows and columns of the result.
    pub to: [Range<usize>; 2],
}

impl Placement {
    /// Of a picture in a result, each height by width.
    pub fn new(fit: ImageFit, picture: [usize; 2], result: [usize; 2]) -> Placement {
        let whole = |[height, width]: [usize; 2]| [0..height, 0..width];
        let (mut from, mut to) = (whole(picture), whole(result));
        match fit {
            ImageFit::Stretch => {}
            ImageFit::Crop => from = inscribe(result, picture, |side| side as usize),
            ImageFit::Letterbox => to = inscribe(picture, result, |side| side.round() as usize),
        }
        Placement { from, to }
    }
}

/// The largest part of `outer` in the proportions of `inner`, in its middle; an odd row or column is left over
/// at the bottom or on the right.
fn inscribe(inner: [usize; 2], outer: [usize; 2], to_pixels: fn(f64) -> usize) -> [Range<usize>; 2] {
    let [[h, w], [height, width]] = [inner, outer].map(|size| size.map(|side| side as f64));
    let largest = [height.min(width * h / w), width.min(height * w / h)];
    let centred = |axis: usize| {
        let side = to_pixels(largest[axis]).clamp(1, outer[axis]);
        let start = (outer[axis] - side) / 2;
        start..start + side
    };
    [centred(0), centred(1)]
}

/// How much of each sample of a line goes into each of another: a triangle around its place, which is bilinear
/// interpolation to enlarge, and averages over what becomes one to reduce.
struct Taps {
    /// The first sample that counts, and the place of its weight.
    starts: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

impl Taps {
    fn new(path: &Path, from: usize, to: usize) -> Result<Taps> {
        let ratio = from as f64 / to as f64;
        let support = ratio.max(1.0);
        let mut starts = reserve(path, to + 1)?;
        let mut weights = reserve(path, (2 * from).saturating_add(3 * to))?;
        for index in 0..to {
            let centre = (index as f64 + 0.5) * ratio - 0.5;
            let near = ((centre - support).ceil().max(0.0) as usize).min(from - 1);
            let far = ((centre + support).floor().max(0.0) as usize).clamp(near, from - 1);
            let weight = |at: usize| (1.0 - (at as f64 - centre).abs() / support).max(0.0);
            // What lies at the very edge of a triangle counts nothing.
            let (near, far) = match (weight(near), weight(far)) {
                (0.0, _) if near < far => (near + 1, far),
                _ => (near, far),
            };
            let far = if far > near && weight(far) == 0.0 { far - 1 } else { far };
            let sum: f64 = (near..=far).map(weight).sum();
            starts.push((near, weights.len()));
            weights.extend((near..=far).map(|at| (weight(at) / sum) as f32));
        }
        starts.push((from, weights.len()));
        Ok(Taps { starts, weights })
    }

    /// The first sample that counts for one of the line, and the weights from it on.
    fn of(&self, index: usize) -> (usize, &[f32]) {
        let (near, at) = self.starts[index];
        (near, &self.weights[at..self.starts[index + 1].1])
    }
}

/// Where a picture is put: planes `[channels, height, width]`.
pub(in crate::data::files) struct Canvas<'a> {
    planes: &'a mut [f32],
    /// Height and width of a plane.
    size: [usize; 2],
    channels: ImageChannels,
    placement: Placement,
    rows: Taps,
    columns: Taps,
    /// What becomes of a row of the picture, colour by colour.
    narrowed: Vec<f32>,
    /// The next row of the picture, and the first of the result that is not complete.
    next: usize,
    open: usize,
}

impl<'a> Canvas<'a> {
    /// The planes are filled with a colour, of which the picture covers what its placement says.
    pub fn new(
        path: &Path,
        planes: &'a mut [f32],
        size: [usize; 2],
        channels: ImageChannels,
        placement: Placement,
        fill: [u8; 3],
    ) -> Result<Canvas<'a>> {
        let colour = fill.map(|value| f32::from(value) / 255.0);
        let colour = if channels == ImageChannels::Grayscale { [luma(colour); 3] } else { colour };
        for (plane, colour) in planes.chunks_exact_mut(size[0] * size[1]).zip(colour) {
            plane.fill(colour);
            for row in plane.chunks_exact_mut(size[1]).skip(placement.to[0].start).take(placement.to[0].len())
            {
                row[placement.to[1].clone()].fill(0.0);
            }
        }
        let taps = |axis: usize| Taps::new(path, placement.from[axis].len(), placement.to[axis].len());
        let (rows, columns) = (taps(0)?, taps(1)?);
        let narrowed = reserve(path, 3 * placement.to[1].len())?;
        Ok(Canvas { planes, size, channels, placement, rows, columns, narrowed, next: 0, open: 0 })
    }

    /// Takes the next row of the picture.
    pub fn row(&mut self, row: Row<'_>) {
        let at = self.next;
        self.next += 1;
        if !self.placement.from[0].contains(&at) {
            return;
        }
        let at = at - self.placement.from[0].start;
        self.narrow(&row);
        while self.open < self.placement.to[0].len() {
            let (near, weights) = self.rows.of(self.open);
            if near + weights.len() > at {
                break;
            }
            self.open += 1;
        }
        for index in self.open..self.placement.to[0].len() {
            let (near, weights) = self.rows.of(index);
            if near > at {
                break;
            }
            let Some(&weight) = weights.get(at - near) else { continue };
            self.add(index, weight);
        }
    }

    /// The columns of the result in the row given: as many colours as it has, then as many as are asked for.
    fn narrow(&mut self, row: &Row<'_>) {
        let width = self.placement.to[1].len();
        self.narrowed.clear();
        for colour in 0..row.colours() {
            for index in 0..width {
                let (near, weights) = self.columns.of(index);
                self.narrowed.push(row.sum(self.placement.from[1].start + near, colour, weights));
            }
        }
        let grey = self.channels == ImageChannels::Grayscale;
        match (row.colours() == 1, grey) {
            (true, false) => {
                self.narrowed.extend_from_within(..);
                self.narrowed.extend_from_within(..width);
            }
            (false, true) => {
                for index in 0..width {
                    self.narrowed[index] =
                        luma([0, 1, 2].map(|colour| self.narrowed[colour * width + index]));
                }
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Adds the row to one of the result.
    fn add(&mut self, index: usize, weight: f32) {
        let [height, width] = self.size;
        let [rows, columns] = &self.placement.to;
        let start = (rows.start + index) * width;
        let planes = self.planes.chunks_exact_mut(height * width);
        for (plane, narrowed) in planes.zip(self.narrowed.chunks_exact(columns.len())) {
            let row = &mut plane[start..start + width][columns.clone()];
            row.iter_mut().zip(narrowed).for_each(|(sum, value)| *sum += weight * value);
        }
    }

    /// Ends the picture: sums of weights that are 1 but for rounding leave no number outside `[0, 1]`.
    pub fn finish(self) {
        self.planes.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
    }
}

/// Summed in f64, so that grey stays what it is.
fn luma(rgb: [f32; 3]) -> f32 {
    let [red, green, blue] = rgb.map(f64::from);
    (0.2126 * red + 0.7152 * green + 0.0722 * blue).clamp(0.0, 1.0) as f32
}
