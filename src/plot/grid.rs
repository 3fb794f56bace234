//! Many small images in one picture: filters and samples.

use std::ops::Range;
use std::path::Path;

use plotters::data::fitting_range;
use plotters::style::text_anchor::HPos;

use super::chart::{bar_width, colour_bar, image, text};
use super::font::{fitting, widest, width};
use super::output::{Target, check_any};
use super::style::{self, BLACK, Colour, MARGIN, MISSING, SMALL, TITLE, WHITE, letters};
use crate::error::{Error, Result};

/// The width that images are enlarged to, by a whole number.
const TILE: usize = 84;
/// The width of a picture, unless one image alone is wider.
const WIDE: f64 = 960.0;
/// Between images, and from an image to its caption.
const GAP: f64 = 10.0;
const NEAR: f64 = 4.0;
/// The longest caption beside a narrow image.
const CAPTION: f64 = 120.0;
/// The most elements in one picture, as each is a rectangle of an SVG.
const MOST: usize = 1_000_000;

/// What the range of colours of a filter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterScale {
    /// That filter's own weights: shows every filter's shape.
    #[default]
    Each,
    /// The weights of all filters: shows which are strong.
    Common,
}

/// Colours of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColorMap {
    /// The least is black, the greatest white.
    #[default]
    Gray,
    /// Negative is blue, 0 white, positive orange; both ends are equally far from 0.
    Diverging,
}

/// How [`filters`] are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterOptions {
    /// What the range of colours is.
    pub scale: FilterScale,
    /// The colours, except of filters over three channels, which are drawn as red, green and blue.
    pub colors: ColorMap,
    /// Draws the weights of this input channel alone. Without it, filters over one or three channels
    /// are drawn as they are, others as the mean over their channels.
    pub channel: Option<usize>,
    /// The most filters to draw; the first ones are.
    pub limit: usize,
}

impl Default for FilterOptions {
    /// Each filter by itself in gray, at most 64 of them.
    fn default() -> Self {
        FilterOptions { scale: FilterScale::Each, colors: ColorMap::Gray, channel: None, limit: 64 }
    }
}

/// Draws convolution filters, `weights` of shape `[out, in, kh, kw]`, as small numbered images into a
/// file whose name ends in `.svg` or `.png`. A weight that is NaN or infinite is light grey.
///
/// ```
/// use retape::plot::{ColorMap, FilterOptions, filters};
///
/// let weights: Vec<f32> = (0..8 * 9).map(|i| (i as f32).sin()).collect();
/// let path = std::env::temp_dir().join(format!("filters-{}.png", std::process::id()));
/// let options = FilterOptions { colors: ColorMap::Diverging, ..FilterOptions::default() };
/// filters(&path, &weights, [8, 1, 3, 3], options)?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if the weights do not fill the shape, the channel is not there, or the filters
/// have more than a million weights in sight; [`Error::NothingToDraw`] if there are none or the limit
/// is 0; [`Error::PictureFormat`] for another ending of the name, [`Error::Io`] if the file cannot be
/// written; its folder must exist.
pub fn filters(
    path: impl AsRef<Path>,
    weights: &[f32],
    shape: [usize; 4],
    options: FilterOptions,
) -> Result<()> {
    let target = Target::new(path)?;
    let [out, channels, height, width] = shape;
    let count = out.min(options.limit);
    check_shape("weights", weights.len(), shape)?;
    check_any(!weights.is_empty() && count > 0, "filter")?;
    if let Some(channel) = options.channel {
        let value = format!("{channel} of {channels}");
        Error::expect(channel < channels, "channel", value, "it counts from 0")?;
    }
    check_size("weights", shape, count)?;
    let planes = weights.chunks_exact(channels * height * width).take(count);
    let planes: Vec<Vec<f64>> = planes.map(|filter| plane(filter, shape, options.channel)).collect();
    let colors = Some(options.colors).filter(|_| channels != 3 || options.channel.is_some());
    let common = range(planes.iter().flatten(), colors);
    let each = options.scale == FilterScale::Each;
    let drawn = planes.iter().map(|plane| {
        let range = if each { range(plane, colors) } else { common };
        colours(plane, range, colors)
    });
    let shown = if count < out { format!("the first {count} of {out}") } else { out.to_string() };
    let title = format!("{shown} filters, {height} x {width} x {channels}");
    let captions = (0..count).map(|number| number.to_string()).collect();
    let bar = colors.filter(|_| !each).map(|colors| (colors, common));
    save(&target, &title, [width, height], &drawn.collect::<Vec<_>>(), captions, bar)
}

/// Draws images of shape `[n, channels, height, width]` with one channel (gray) or three (red, green,
/// blue), 0 dark and 1 bright, into a file whose name ends in `.svg` or `.png`. `captions` has a text
/// for each image, or none at all.
///
/// # Errors
/// [`Error::Argument`] if the pixels do not fill the shape, there are two or more than three channels,
/// the captions are not as many as the images, or there are more than a million pixels;
/// [`Error::NothingToDraw`] without images; otherwise as [`filters`].
pub fn images(path: impl AsRef<Path>, pixels: &[f32], shape: [usize; 4], captions: &[&str]) -> Result<()> {
    let target = Target::new(path)?;
    let [count, channels, height, width] = shape;
    check_shape("pixels", pixels.len(), shape)?;
    check_any(!pixels.is_empty(), "image")?;
    Error::expect([1, 3].contains(&channels), "channels", channels, "images have 1 or 3")?;
    let value = format!("{} texts for {count} images", captions.len());
    Error::expect([0, count].contains(&captions.len()), "captions", value, "one for each is needed")?;
    check_size("pixels", shape, count)?;
    let colors = (channels == 1).then_some(ColorMap::Gray);
    let images = pixels.chunks_exact(channels * height * width);
    let drawn = images.map(|image| colours(&plane(image, shape, None), [0.0, 1.0], colors));
    let captions = captions.iter().map(|&text| text.to_owned()).collect();
    save(&target, "", [width, height], &drawn.collect::<Vec<_>>(), captions, None)
}

/// Refuses numbers that do not fill their shape.
fn check_shape(argument: &'static str, found: usize, shape: [usize; 4]) -> Result<()> {
    let needed = shape.iter().try_fold(1, |product: usize, &extent| product.checked_mul(extent));
    let value = format!("{found} numbers for shape {shape:?}");
    Error::expect(needed == Some(found), argument, value, "they must fill the shape")
}

/// Refuses more elements than a picture holds.
fn check_size(argument: &'static str, [.., height, width]: [usize; 4], count: usize) -> Result<()> {
    let fits = count.saturating_mul(height).saturating_mul(width) <= MOST;
    let value = format!("{count} images of {height} x {width}");
    Error::expect(fits, argument, value, "a picture holds at most 1,000,000 elements")
}

/// What is drawn of a filter: all of it, of one or three channels; else one number for each place.
fn plane(filter: &[f32], [_, channels, height, width]: [usize; 4], channel: Option<usize>) -> Vec<f64> {
    let size = height * width;
    let shown = channel.map_or(filter, |channel| &filter[channel * size..][..size]);
    if [size, 3 * size].contains(&shown.len()) {
        return shown.iter().copied().map(f64::from).collect();
    }
    let sum = |at: usize| filter[at..].iter().step_by(size).copied().map(f64::from).sum::<f64>();
    (0..size).map(|at| sum(at) / channels as f64).collect()
}

/// The ends of the colours for these numbers; without a map they are red, green and blue.
fn range<'a>(numbers: impl IntoIterator<Item = &'a f64>, colors: Option<ColorMap>) -> [f64; 2] {
    let Range { start, end } = fitting_range(numbers.into_iter().filter(|v| v.is_finite()));
    if colors == Some(ColorMap::Diverging) {
        let far = start.abs().max(end.abs());
        return if far > 0.0 { [-far, far] } else { [-1.0, 1.0] };
    }
    // Equal numbers are in the middle.
    if start < end { [start, end] } else { [start - 0.5, end + 0.5] }
}

fn colours(plane: &[f64], [low, high]: [f64; 2], colors: Option<ColorMap>) -> Vec<Colour> {
    let share = |v: f64| v.is_finite().then(|| ((v - low) / (high - low)).clamp(0.0, 1.0));
    if let Some(colors) = colors {
        let colour = |&v: &f64| share(v).map_or(MISSING, |share| mapped(colors, share));
        return plane.iter().map(colour).collect();
    }
    let size = plane.len() / 3;
    let colour = |at: usize| {
        let shares = [0, 1, 2].map(|channel| share(plane[channel * size + at]));
        let [Some(r), Some(g), Some(b)] = shares else { return MISSING };
        [r, g, b].map(|share| (255.0 * share).round() as u8)
    };
    (0..size).map(colour).collect()
}

/// The colour at a share of a map.
fn mapped(colors: ColorMap, share: f64) -> Colour {
    match colors {
        ColorMap::Gray => style::mix(BLACK, WHITE, share),
        ColorMap::Diverging => style::diverging(2.0 * share - 1.0),
    }
}

/// Draws images of one size in rows, each with a text under it if there are any, and beside them a bar of
/// their colours with the numbers at its ends.
fn save(
    target: &Target,
    title: &str,
    [across, down]: [usize; 2],
    images: &[Vec<Colour>],
    mut captions: Vec<String>,
    bar: Option<(ColorMap, [f64; 2])>,
) -> Result<()> {
    let zoom = (TILE / across.max(down)).max(1) as f64;
    let size = [across, down].map(|extent| extent as f64 * zoom);
    captions.iter_mut().for_each(|caption| *caption = fitting(caption, SMALL, size[0].max(CAPTION)));
    let longest = widest(captions.iter().map(String::as_str), SMALL);
    let caption = if longest > 0.0 { NEAR + SMALL } else { 0.0 };
    // From one image to the next.
    let pitch = [size[0].max(longest) + GAP, size[1] + caption + GAP].map(f64::ceil);
    let square = (1.3 * (images.len() as f64).sqrt()).ceil();
    let columns = ((WIDE - 2.0 * MARGIN + GAP) / pitch[0]).floor().min(square).max(1.0) as usize;
    let columns = columns.min(images.len());
    let [wide, tall] = [columns, images.len().div_ceil(columns)].map(|count| count as f64);
    let [wide, tall] = [wide * pitch[0] - GAP, tall * pitch[1] - GAP];
    let (colors, ends) = bar.unwrap_or_default();
    let ends = ends.map(end);
    let labels = [(0.0, &*ends[0]), (1.0, &*ends[1])];
    let beside = if bar.is_some() { 2.0 * GAP + bar_width(&labels) } else { 0.0 };
    let whole = (wide + beside).max(width(title, TITLE)).ceil() + 2.0 * MARGIN;
    let over = MARGIN + if title.is_empty() { 0.0 } else { TITLE + GAP };
    target.save([whole, over + tall + MARGIN], |page| {
        text(page, title, [whole / 2.0, MARGIN + TITLE / 2.0], &letters(TITLE, HPos::Center))?;
        // Under a title that is wider, the images are in the middle.
        let first = if bar.is_some() { MARGIN } else { (whole - wide) / 2.0 }.floor();
        for (number, pixels) in images.iter().enumerate() {
            let slot = first + (number % columns) as f64 * pitch[0];
            let left = slot + ((pitch[0] - GAP - size[0]) / 2.0).floor();
            let top = over + (number / columns) as f64 * pitch[1];
            image(page, [left, top], [zoom; 2], across, pixels)?;
            let below = [left + size[0] / 2.0, top + size[1] + NEAR + SMALL / 2.0];
            let caption = captions.get(number).map_or("", String::as_str);
            text(page, caption, below, &letters(SMALL, HPos::Center))?;
        }
        if bar.is_none() {
            return Ok(());
        }
        colour_bar(page, [first + wide + 2.0 * GAP, over], tall, |share| mapped(colors, share), &labels)
    })
}

/// A number at the end of a colour bar.
fn end(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e4).contains(&value.abs()) {
        format!("{value:.2e}")
    } else {
        format!("{value:.3}")
    }
}
