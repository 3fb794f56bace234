//! Keras's augmentation layers, on the device: each image of a batch is changed at random in
//! training, and left alone in evaluation. What an image draws follows from the seed, the step, the
//! layer and its place in the batch.

use super::macros::one_input;
use super::{LayerContext, Mode, image};
use crate::error::{Error, Result, Setting};
use crate::graph::{Graph, Value};
use crate::ops::{AffineOptions, FillMode, check_crop};

/// Mirrors half of the images, as Keras's `RandomFlip`.
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, channels, h, w]`, unchanged | none |
///
/// ```
/// use retape::prelude::*;
///
/// let model = Sequential::new()
///     .add(RandomCrop::new([32, 32]).padding(4))
///     .add(RandomFlip::horizontal())
///     .add(Conv2d::new(16, 3))
///     .add(GlobalAvgPool2d)
///     .add(Dense::new(10));
/// let mut g = Graph::new();
/// let (x, labels) = (g.input("x", [8, 3, 32, 32]), g.labels("labels", [8]));
/// let logits = model.record(&mut g, x, Mode::Training)?;
/// let loss = g.softmax_cross_entropy(logits, labels)?;
/// let tape = g.training_step(loss, &Sgd::new(0.1))?;
/// # let _ = tape;
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RandomFlip(AffineOptions);

/// Moves images by whole pixels, each distance as likely as any other. Keras's `RandomTranslation`
/// draws fractions of pixels and interpolates; whole ones keep every pixel as it is.
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, channels, h, w]`, unchanged | none |
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RandomTranslation {
    distance: Distance,
    fill: FillMode,
}

#[derive(Clone, Copy, Debug)]
enum Distance {
    Share([f32; 2]),
    Pixels([usize; 2]),
}

/// Cuts a part out of images, anywhere in training and in the middle in evaluation, as Keras's
/// `RandomCrop`; with padding, as torchvision's.
///
/// | | shape |
/// |---|---|
/// | input | `[batch, channels, h, w]` |
/// | output | `[batch, channels, height, width]` |
///
/// No parameters. In evaluation the crop begins at row `(h - height) / 2`, rounded down, and likewise
/// at a column; what it shows outside the image is 0, as the padding.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RandomCrop {
    size: [usize; 2],
    padding: usize,
}

/// Turns images about their middle, with bilinear interpolation, as Keras's `RandomRotation`.
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, channels, h, w]`, unchanged | none |
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RandomRotation(AffineOptions);

/// Zooms into and out of the middle of images, height and width alike, with bilinear interpolation,
/// as Keras's `RandomZoom`.
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, channels, h, w]`, unchanged | none |
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RandomZoom(AffineOptions);

/// Several of flips, shift, rotation and zoom in one kernel call:
/// [`Graph::random_affine`](crate::Graph::random_affine).
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, channels, h, w]`, unchanged | none |
#[derive(Clone, Copy, Debug)]
pub struct RandomAffine(AffineOptions);

/// Adds one number to every pixel of an image, as Keras's `RandomBrightness`.
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, ..]`, unchanged | none |
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RandomBrightness {
    between: [f32; 2],
    range: Option<[f32; 2]>,
}

/// Scales the differences of each channel of an image from its mean, as Keras's `RandomContrast`:
/// `(x - mean) f + mean`.
///
/// | shapes | parameters |
/// |---|---|
/// | `[batch, channels, ..]`, unchanged | none |
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RandomContrast {
    between: [f32; 2],
    range: Option<[f32; 2]>,
}

impl RandomFlip {
    /// Left and right change places.
    pub fn horizontal() -> Self {
        RandomFlip(AffineOptions::new().flip_horizontal())
    }

    /// Top and bottom change places.
    pub fn vertical() -> Self {
        RandomFlip(AffineOptions::new().flip_vertical())
    }

    /// Either, each in half of the images.
    pub fn both() -> Self {
        RandomFlip(AffineOptions::new().flip_horizontal().flip_vertical())
    }
}

impl RandomTranslation {
    /// Moves by up to these shares of the height, up or down, and of the width, left or right; from 0
    /// to 1, and rounded to whole pixels.
    pub fn new(height_factor: f32, width_factor: f32) -> Self {
        let distance = Distance::Share([height_factor, width_factor]);
        RandomTranslation { distance, fill: FillMode::Reflect }
    }

    /// Moves by up to so many pixels up or down, and left or right.
    pub fn pixels(pixels: [usize; 2]) -> Self {
        RandomTranslation { distance: Distance::Pixels(pixels), fill: FillMode::Reflect }
    }

    setters! {
        /// What shows where the image has left: [`FillMode::Reflect`] by default.
        fill: FillMode => fill;
    }
}

impl RandomCrop {
    /// Cuts out `[height, width]` pixels.
    pub fn new(size: [usize; 2]) -> Self {
        RandomCrop { size, padding: 0 }
    }

    setters! {
        /// Adds so many zeros on each side of the image first, in training.
        padding: usize => padding;
    }

    /// The middle of `x`, with zeros where it is larger than the image.
    fn middle(&self, cx: &LayerContext<'_>, x: Value) -> Result<Value> {
        let [_, _, height, width] = image(cx.graph().shape(x)?)?;
        let mut middle = x;
        for (axis, has, wants) in [(2, height, self.size[0]), (3, width, self.size[1])] {
            if has < wants {
                let (missing, mut margins) = (wants - has, [(0, 0); 4]);
                // The first row, (has - wants) / 2 rounded down, is a negative one.
                margins[axis] = (missing.div_ceil(2), missing / 2);
                middle = cx.graph().pad(middle, &margins, 0.0)?;
            } else if has > wants {
                let first = (has - wants) / 2;
                middle = cx.graph().slice_axis(middle, axis as isize, first..first + wants)?;
            }
        }
        Ok(middle)
    }
}

impl RandomRotation {
    /// Turns by up to this share of a full turn either way: 0.1 is 36 degrees. From 0 to 1.
    pub fn new(factor: f32) -> Self {
        RandomRotation::between(-factor, factor)
    }

    /// Turns by an angle between these shares of a full turn, of which positive ones are
    /// counter-clockwise.
    pub fn between(low: f32, high: f32) -> Self {
        RandomRotation(AffineOptions::new().rotate(low, high))
    }

    /// What shows outside the image: [`FillMode::Reflect`] by default.
    pub fn fill(self, fill: FillMode) -> Self {
        RandomRotation(self.0.fill(fill))
    }
}

impl RandomZoom {
    /// Zooms by up to this either way: 0.2 shows from 0.8 to 1.2 times the height and width. From 0
    /// to 0.99.
    pub fn new(factor: f32) -> Self {
        RandomZoom::between(-factor, factor)
    }

    /// Zooms by a factor between these, of which positive ones zoom out: from -0.99 to 1.
    pub fn between(low: f32, high: f32) -> Self {
        RandomZoom(AffineOptions::new().zoom(low, high))
    }

    /// What shows outside the image: [`FillMode::Reflect`] by default.
    pub fn fill(self, fill: FillMode) -> Self {
        RandomZoom(self.0.fill(fill))
    }
}

impl RandomAffine {
    /// Maps that these options allow. A crop is [`RandomCrop`]'s, which has an evaluation of its own.
    pub fn new(options: AffineOptions) -> Self {
        RandomAffine(options)
    }
}

impl RandomBrightness {
    /// Adds up to this share of the value range, or takes away as much.
    pub fn new(factor: f32) -> Self {
        RandomBrightness::between(-factor, factor)
    }

    /// Adds between `low` and `high` times the value range.
    pub fn between(low: f32, high: f32) -> Self {
        RandomBrightness { between: [low, high], range: None }
    }

    /// The values that images have: the sum is clipped to them. Without it the range counts as 1 wide,
    /// and nothing is clipped; Keras's default is 0 to 255.
    pub fn value_range(mut self, low: f32, high: f32) -> Self {
        self.range = Some([low, high]);
        self
    }
}

impl RandomContrast {
    /// Draws `f` between `1 - factor` and `1 + factor`.
    pub fn new(factor: f32) -> Self {
        RandomContrast::between(1.0 - factor, 1.0 + factor)
    }

    /// Draws `f` between `low` and `high`, at least 0.
    pub fn between(low: f32, high: f32) -> Self {
        RandomContrast { between: [low, high], range: None }
    }

    /// The values that images have: results are clipped to them. Without it nothing is clipped;
    /// Keras's default is 0 to 255.
    pub fn value_range(mut self, low: f32, high: f32) -> Self {
        self.range = Some([low, high]);
        self
    }
}

/// Refuses a range without numbers in it. A mistake shows in evaluation too.
fn check_range(argument: &'static str, [low, high]: [f32; 2], least: f32) -> Result<()> {
    let fits = least <= low && low <= high && (high - low).is_finite();
    let expected = "its numbers must be finite, within the layer's limits, and the smaller one first";
    Error::expect(fits, argument, format!("[{low}, {high}]"), expected)
}

/// The map in training, the image as it is in evaluation.
fn affine(cx: &LayerContext<'_>, x: Value, options: &AffineOptions) -> Result<Value> {
    let [_, _, height, width] = image(cx.graph().shape(x)?)?;
    options.check([height, width])?;
    cx.in_training(x, |g| g.random_affine(x, options))
}

/// What a change of the values gives, clipped to a range if there is one.
fn clipped(g: &Graph, x: Value, range: Option<[f32; 2]>) -> Result<Value> {
    range.map_or(Ok(x), |[low, high]| g.clip(x, low, high))
}

one_input! {
    RandomFlip, "random_flip", keeps_steps: |_| true, |layer, cx, x| affine(cx, x, &layer.0);
    RandomRotation, "random_rotation", keeps_steps: |_| true, |layer, cx, x| affine(cx, x, &layer.0);
    RandomZoom, "random_zoom", keeps_steps: |_| true, |layer, cx, x| affine(cx, x, &layer.0);

    RandomAffine, "random_affine", keeps_steps: |_| true, |layer, cx, x| {
        Error::expect(layer.0.crop.is_none(), "options", "a crop", "a layer that crops is RandomCrop")?;
        affine(cx, x, &layer.0)
    };

    RandomTranslation, "random_translation", keeps_steps: |_| true, |layer, cx, x| {
        let [_, _, height, width] = image(cx.graph().shape(x)?)?;
        let pixels = match layer.distance {
            Distance::Pixels(pixels) => pixels,
            Distance::Share([up, left]) => {
                Setting::share("factor", up).check()?;
                Setting::share("factor", left).check()?;
                [(up, height), (left, width)].map(|(share, of)| (f64::from(share) * of as f64).round() as usize)
            }
        };
        affine(cx, x, &AffineOptions::new().shift(pixels).fill(layer.fill))
    };

    RandomCrop, "random_crop", keeps_steps: |_| true, |layer, cx, x| {
        let [_, _, height, width] = image(cx.graph().shape(x)?)?;
        check_crop([height, width], layer.size, layer.padding)?;
        let options = AffineOptions::new().crop(layer.size, layer.padding).fill(FillMode::Constant(0.0));
        match cx.mode() {
            Mode::Training => cx.graph().random_affine(x, &options),
            Mode::Evaluation => layer.middle(cx, x),
        }
    };

    RandomBrightness, "random_brightness", keeps_steps: |_| true, |layer, cx, x| {
        let [low, high] = layer.range.unwrap_or([0.0, 1.0]);
        check_range("value_range", [low, high], f32::MIN)?;
        check_range("factor", layer.between, -1.0)?;
        let [darkest, brightest] = layer.between.map(|share| share * (high - low));
        cx.in_training(x, |g| clipped(g, g.random_brightness(x, darkest, brightest)?, layer.range))
    };

    RandomContrast, "random_contrast", keeps_steps: |_| true, |layer, cx, x| {
        check_range("value_range", layer.range.unwrap_or_default(), f32::MIN)?;
        let [low, high] = layer.between;
        check_range("factor", [low, high], 0.0)?;
        cx.in_training(x, |g| clipped(g, g.random_contrast(x, low, high)?, layer.range))
    };
}
