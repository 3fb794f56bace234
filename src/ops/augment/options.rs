use crate::error::Setting;
use crate::ops::common::*;

/// What an image under an affine map shows outside its borders: Keras's fill modes, here for a row
/// `a b c d`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum FillMode {
    /// `k k k | a b c d | k k k`.
    Constant(f32),
    /// `a a a | a b c d | d d d`.
    Nearest,
    /// `c b a | a b c d | d c b`.
    Reflect,
    /// `b c d | a b c d | a b c`.
    Wrap,
}

/// The maps that [`Graph::random_affine`](crate::Graph::random_affine) draws from; none by default,
/// and [`FillMode::Reflect`].
///
/// They apply to an image in this order, whatever the order of the calls: flips; shift and crop, in
/// whole pixels; zoom and rotation about the middle of the result.
///
/// ```
/// use retape::prelude::*;
/// // Pad by 4, crop 32 by 32 again, and mirror half of the images.
/// let cifar = AffineOptions::new().flip_horizontal().crop([32, 32], 4).fill(FillMode::Constant(0.0));
/// # let _ = cifar;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct AffineOptions {
    pub(super) horizontal: bool,
    pub(super) vertical: bool,
    pub(super) shift: [usize; 2],
    pub(crate) crop: Option<([usize; 2], usize)>,
    pub(super) rotation: Option<[f32; 2]>,
    pub(super) zoom: Option<[f32; 2]>,
    pub(super) fill: FillMode,
}

impl Default for AffineOptions {
    fn default() -> Self {
        AffineOptions::new()
    }
}

/// The largest image side that positions in f32 and i32 have room for.
const MAX_SIDE: usize = 1 << 24;

/// Numbers one apart that a sample draws one of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Whole {
    pub low: i32,
    pub count: u32,
}

impl AffineOptions {
    /// The identity.
    pub fn new() -> Self {
        AffineOptions {
            horizontal: false,
            vertical: false,
            shift: [0, 0],
            crop: None,
            rotation: None,
            zoom: None,
            fill: FillMode::Reflect,
        }
    }

    setters! {
        /// Left and right change places in half of the images.
        flip_horizontal => horizontal = true;
        /// Top and bottom change places in half of the images.
        flip_vertical => vertical = true;
        /// Moves images by up to so many pixels up or down, and left or right: each distance is as likely
        /// as any other.
        shift: [usize; 2] => shift;
        /// What the result shows outside the image.
        fill: FillMode => fill;
    }

    /// Cuts out `[height, width]` pixels anywhere in the image with `padding` pixels on each side, as
    /// the [`fill`](AffineOptions::fill) has them.
    pub fn crop(mut self, size: [usize; 2], padding: usize) -> Self {
        self.crop = Some((size, padding));
        self
    }

    /// Turns images by an angle between these, in full turns, positive ones counter-clockwise, with
    /// bilinear interpolation. Angles are multiples of 2^-24.
    pub fn rotate(mut self, low: f32, high: f32) -> Self {
        self.rotation = Some([low, high]);
        self
    }

    /// Zooms, with bilinear interpolation, by a factor between these as Keras counts them: above 0
    /// out, so that 0.5 shows one and a half times the height and width; below 0 in.
    pub fn zoom(mut self, low: f32, high: f32) -> Self {
        self.zoom = Some([low, high]);
        self
    }

    /// Whether every pixel of the result is a pixel of the image.
    pub(super) fn is_whole(&self) -> bool {
        self.rotation.is_none() && self.zoom.is_none()
    }

    /// The height and width of the results of images of this size.
    pub(super) fn output(&self, image: [usize; 2]) -> [usize; 2] {
        self.crop.map_or(image, |(size, _)| size)
    }

    /// The offsets of the result's first row, or column, from the image's.
    pub(super) fn offsets(&self, image: [usize; 2], axis: usize) -> Whole {
        let (size, padding) = self.crop.unwrap_or((image, 0));
        let before = (padding + self.shift[axis]) as i32;
        let places = image[axis] + 2 * padding - size[axis] + 2 * self.shift[axis];
        Whole { low: -before, count: places as u32 + 1 }
    }

    /// The angles in units of 2^-24 turns.
    pub(super) fn turns(&self) -> Whole {
        let [low, high] =
            self.rotation.unwrap_or_default().map(|t| (f64::from(t) * f64::from(1u32 << 24)).round() as i32);
        Whole { low, count: high.abs_diff(low) + 1 }
    }

    /// The shortest step in the image for one in the result, and the f32 by how much the longest one
    /// is longer.
    pub(super) fn zooms(&self) -> [f32; 2] {
        let [low, high] = self.zoom.unwrap_or_default();
        [1.0 + low, high - low]
    }

    /// Refuses what does not fit images of this size.
    pub(crate) fn check(&self, image: [usize; 2]) -> Result<()> {
        let fits = image.into_iter().all(|side| side <= MAX_SIDE);
        let expected = "an image has at most 2^24 rows and columns";
        Error::expect(fits, "image", format!("{image:?}"), expected)?;
        let fits = (0..2).all(|axis| self.shift[axis] <= image[axis]);
        let value = format!("{:?} for images of {image:?}", self.shift);
        Error::expect(fits, "shift", value, "an image moves by its own size at most")?;
        let (outside, _) = self.fill.parameters();
        Setting::new("fill", outside, outside.is_finite(), "a fill value is finite").check()?;
        if let Some((size, padding)) = self.crop {
            check_crop(image, size, padding)?;
        }
        let between = |argument, range: Option<[f32; 2]>, least: f32, expected| match range {
            Some([low, high]) if !(least <= low && low <= high && high <= 1.0) => {
                Err(Error::argument(argument, format!("{:?}", [low, high]), expected))
            }
            _ => Ok(()),
        };
        let angles = "angles are between -1 and 1 turns, the smaller one first";
        between("rotation", self.rotation, -1.0, angles)?;
        between("zoom", self.zoom, -0.99, "a zoom is between -0.99 and 1, the smaller one first")
    }
}

/// Refuses a crop that is empty or larger than the padded image.
pub(crate) fn check_crop(image: [usize; 2], size: [usize; 2], padding: usize) -> Result<()> {
    Error::expect(!size.contains(&0), "size", format!("{size:?}"), "a crop has at least one pixel")?;
    Error::expect(padding <= MAX_SIDE, "padding", padding, "padding is at most 2^24 pixels")?;
    for (axis, (extent, input)) in ["height", "width"].into_iter().zip(size.into_iter().zip(image)) {
        let padded = input + 2 * padding;
        if extent > padded {
            return Err(Error::Window { axis, extent, input, padded, hint: "" });
        }
    }
    Ok(())
}
