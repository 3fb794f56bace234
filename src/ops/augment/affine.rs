use std::f64::consts::TAU;

use super::super::stream_at;
use super::options::Whole;
use super::{AffineOptions, FillMode, SHADER};
use crate::graph::Scalar;
use crate::ops::common::*;
use crate::random::Stream;

crate::params! {
    struct AffineParams {
        n: u32, channels: u32, height: u32, width: u32, out_height: u32, out_width: u32, mode: u32, value: f32,
        flips: u32, row_low: i32, row_count: u32, column_low: i32, column_count: u32, turn_low: i32,
        turn_count: u32, zoom_low: f32, zoom_span: f32, stream: u32, step: u32, seed: u32,
    }
}

/// Images under a map drawn for each.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct RandomAffine {
    pub options: AffineOptions,
    pub stream: u32,
}

/// What a sample drew.
#[derive(Clone, Copy, Debug)]
struct Draw {
    /// Whether rows, and columns, are mirrored.
    mirrored: [bool; 2],
    offset: [i64; 2],
    cosine: f64,
    sine: f64,
    zoom: f64,
}

/// Cosine and sine of `k` 2^-24 turns, exact at quarter turns.
fn cosine_sine(k: u32) -> (f64, f64) {
    let quarter = (k + (1 << 21)) >> 22;
    let rest = f64::from(k) - f64::from(quarter << 22);
    let (sine, cosine) = (TAU * rest / f64::from(1u32 << 24)).sin_cos();
    match quarter % 4 {
        0 => (cosine, sine),
        1 => (-sine, cosine),
        2 => (-cosine, -sine),
        _ => (sine, -cosine),
    }
}

/// One of the numbers, by a word.
fn one_of(whole: Whole, word: u32) -> i64 {
    i64::from(whole.low) + ((u64::from(word) * u64::from(whole.count)) >> 32) as i64
}

impl FillMode {
    /// What pixels outside the image are where none stands for them, and its number in the shader.
    pub(super) fn parameters(self) -> (f32, u32) {
        match self {
            FillMode::Constant(value) => (value, 0),
            FillMode::Nearest => (0.0, 1),
            FillMode::Reflect => (0.0, 2),
            FillMode::Wrap => (0.0, 3),
        }
    }
}

/// `[samples, channels, height, width]`.
fn image(shape: Shape) -> Result<[usize; 4]> {
    shape.extents("4 ([batch, channels, height, width])")
}

/// One image while the reference works on it.
struct Plane<'a> {
    data: &'a [f64],
    size: [usize; 2],
    fill: FillMode,
}

impl Plane<'_> {
    /// The pixel that a row and a column stand for.
    fn at(&self, [row, column]: [i64; 2]) -> f64 {
        match (self.tap(row, self.size[0]), self.tap(column, self.size[1])) {
            (Some(row), Some(column)) => self.data[row * self.size[1] + column],
            _ => f64::from(self.fill.parameters().0),
        }
    }

    fn tap(&self, i: i64, size: usize) -> Option<usize> {
        let n = size as i64;
        let within = match self.fill {
            FillMode::Constant(_) => return (0..n).contains(&i).then_some(i as usize),
            FillMode::Nearest => i.clamp(0, n - 1),
            FillMode::Reflect => {
                let m = i.rem_euclid(2 * n);
                if m < n { m } else { 2 * n - 1 - m }
            }
            FillMode::Wrap => i.rem_euclid(n),
        };
        Some(within as usize)
    }

    /// Bilinear between the four pixels around a position.
    fn between(&self, [row, column]: [f64; 2]) -> f64 {
        let (top, left) = (row.floor(), column.floor());
        let (down, right) = (row - top, column - left);
        let line = |row: i64| {
            let (a, b) = (self.at([row, left as i64]), self.at([row, left as i64 + 1]));
            a + right * (b - a)
        };
        let (above, below) = (line(top as i64), line(top as i64 + 1));
        above + down * (below - above)
    }

    /// The error at a position that is off by up to `distance` along each axis: the function is
    /// continuous, and nowhere in reach steeper than the span of the pixels around.
    fn error(&self, [row, column]: [f64; 2], distance: f64) -> f64 {
        let around = |center: f64| {
            let first = (center - distance).floor() as i64;
            first..=(center + distance).floor() as i64 + 1
        };
        let pixels = around(row).flat_map(|r| around(column).map(move |c| self.at([r, c])));
        let both = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let (low, high) = pixels.fold((f64::INFINITY, f64::NEG_INFINITY), both);
        2.0 * distance * (high - low) + 8.0 * EPS * low.abs().max(high.abs()) + 4.0 * FLUSH
    }
}

impl RandomAffine {
    fn draw(&self, stream: Stream, sample: usize, image: [usize; 2]) -> Draw {
        let options = &self.options;
        let words = stream.operator_words(2 * word(sample));
        let [zoom, ..] = stream.operator_words(2 * word(sample) + 1);
        let turn = one_of(options.turns(), words[3]).rem_euclid(1 << 24) as u32;
        let (cosine, sine) = cosine_sine(turn);
        let [least, span] = options.zooms().map(f64::from);
        Draw {
            mirrored: [
                options.vertical && words[0] >> 30 & 1 == 1,
                options.horizontal && words[0] >> 31 == 1,
            ],
            offset: [0, 1].map(|axis| one_of(options.offsets(image, axis), words[1 + axis])),
            cosine,
            sine,
            zoom: least + span * f64::from(zoom >> 8) / f64::from(1u32 << 24),
        }
    }

    /// Every element of the result by `f`, which gets its plane and the row and column that it has
    /// there, and half a result's size.
    fn each(
        &self,
        cx: &Reference<'_>,
        f: impl Fn(&Plane<'_>, &Draw, [usize; 2], [usize; 2]) -> f64 + Sync,
    ) -> Array {
        let x = cx.inputs[0];
        let [n, channels, size @ ..] = [0, 1, 2, 3].map(|axis| x.shape.dims()[axis]);
        let [rows, columns] = self.options.output(size);
        let stream = stream_at(|scalar| cx.scalar(scalar), self.stream);
        let draws: Vec<Draw> = (0..n).map(|sample| self.draw(stream, sample, size)).collect();
        let pixels = size[0] * size[1];
        Array::from_fn(cx.outputs[0].shape, |e| {
            let (plane, row, column) = (e / (rows * columns), e / columns % rows, e % columns);
            let data = &x.data[plane * pixels..][..pixels];
            let own = Plane { data, size, fill: self.options.fill };
            f(&own, &draws[plane / channels], [row, column], [rows, columns])
        })
    }
}

impl Draw {
    /// Where a pixel of the result lies in the image, for whole pixels.
    fn pixel(&self, plane: &Plane<'_>, to: [usize; 2]) -> [i64; 2] {
        [0, 1].map(|axis| {
            let from = to[axis] as i64 + self.offset[axis];
            if self.mirrored[axis] { plane.size[axis] as i64 - 1 - from } else { from }
        })
    }

    /// The same between pixels, and by how much it may be off in f32.
    fn position(&self, plane: &Plane<'_>, to: [usize; 2], output: [usize; 2]) -> ([f64; 2], f64) {
        let middle = output.map(|side| (side as f64 - 1.0) / 2.0);
        let [v, u] = [0, 1].map(|axis| to[axis] as f64 - middle[axis]);
        let turned = [u * self.sine + v * self.cosine, u * self.cosine - v * self.sine];
        let at = [0, 1].map(|axis| {
            let from = self.zoom * turned[axis] + middle[axis] + self.offset[axis] as f64;
            if self.mirrored[axis] { plane.size[axis] as f64 - 1.0 - from } else { from }
        });
        let reach = self.zoom * (u.abs() + v.abs());
        let size = |axis: usize| (plane.size[axis] + output[axis]) as f64 + self.offset[axis].abs() as f64;
        let sizes = size(0) + size(1);
        // Cosine, sine and zoom are good to 4 units each; the rest are roundings on the way.
        (at, EPS * (12.0 * reach + 2.0 * sizes))
    }
}

impl Op for RandomAffine {
    fn name(&self) -> &'static str {
        "random_affine"
    }

    fn attributes(&self) -> String {
        let AffineOptions { horizontal, vertical, shift, crop, rotation, zoom, fill } = self.options;
        let mut text = Vec::new();
        text.extend(horizontal.then(|| "horizontal".to_owned()));
        text.extend(vertical.then(|| "vertical".to_owned()));
        text.extend((shift != [0, 0]).then(|| format!("shift={shift:?}")));
        text.extend(crop.map(|(size, padding)| format!("crop={size:?}, padding={padding}")));
        text.extend(rotation.map(|range| format!("rotation={range:?}")));
        text.extend(zoom.map(|range| format!("zoom={range:?}")));
        text.push(format!("fill={fill:?}, stream={}", self.stream).to_lowercase());
        text.join(", ")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        expect_dtype("the image", inputs[0], DType::F32)?;
        let [_, _, height, width] = image(inputs[0].shape)?;
        self.options.check([height, width])?;
        let [rows, columns] = self.options.output([height, width]);
        Ok(vec![TensorType::f32(inputs[0].shape.with_dim(2, rows).with_dim(3, columns))])
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let options = &self.options;
        let [samples, channels, height, width] = image(cx.inputs[0].shape)?;
        let [out_height, out_width] = options.output([height, width]);
        let [rows, columns] = [0, 1].map(|axis| options.offsets([height, width], axis));
        let (value, mode) = options.fill.parameters();
        let turns = options.turns();
        let [zoom_low, zoom_span] = options.zooms();
        let n = samples * out_height * out_width;
        let params = AffineParams {
            n: word(n),
            channels: word(channels),
            height: word(height),
            width: word(width),
            out_height: word(out_height),
            out_width: word(out_width),
            mode,
            value,
            flips: u32::from(options.horizontal) | u32::from(options.vertical) << 1,
            row_low: rows.low,
            row_count: rows.count,
            column_low: columns.low,
            column_count: columns.count,
            turn_low: turns.low,
            turn_count: turns.count,
            zoom_low,
            zoom_span,
            stream: self.stream,
            step: 0,
            seed: 0,
        };
        let entry = if options.is_whole() { "random_affine" } else { "random_affine_bilinear" };
        let call = KernelCall::new(&SHADER, entry).binds([Slot::Input(0), Slot::Output(0)]).params(&params);
        let call = call.scalar("step", Scalar::STEP).scalar("seed", Scalar::SEED);
        cx.only(call.grid(Grid::linear(n, 64)).loops(channels))
    }

    fn reference(&self, cx: &Reference<'_>) -> Vec<Array> {
        let whole = self.options.is_whole();
        let pixel = |plane: &Plane<'_>, draw: &Draw, to, output| match whole {
            true => plane.at(draw.pixel(plane, to)),
            false => plane.between(draw.position(plane, to, output).0),
        };
        vec![self.each(cx, pixel)]
    }

    fn error_bound(&self, cx: &Reference<'_>, results: &[Array]) -> Vec<Vec<f64>> {
        if self.options.is_whole() {
            return within(0.0, results);
        }
        let bound = |plane: &Plane<'_>, draw: &Draw, to, output| {
            let (at, distance) = draw.position(plane, to, output);
            plane.error(at, distance)
        };
        vec![self.each(cx, bound).data]
    }
}
