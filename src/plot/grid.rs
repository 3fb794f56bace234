//! Many small images in one picture: filters and samples.

use std::path::Path;

use plotters::style::text_anchor::HPos;

use super::chart::{bar_width, colour_bar, image, text};
use super::font::{fitting, widest, width};
use super::output::{Area, Drawn, Target};
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
    fills("weights", weights.len(), shape)?;
    let count = out.min(options.limit);
    if weights.is_empty() || count == 0 {
        return Err(Error::NothingToDraw { what: "filter".to_owned() });
    }
    if let Some(channel) = options.channel.filter(|&channel| channel >= channels) {
        let value = format!("{channel} of {channels}");
        return Err(Error::Argument { argument: "channel", value, expected: "it counts from 0" });
    }
    in_sight("weights", count, [height, width])?;
    let planes = weights.chunks_exact(channels * height * width).take(count);
    let planes: Vec<Vec<f64>> = planes.map(|filter| plane(filter, shape, options.channel)).collect();
    let drawn = FilterColours { options, rgb: channels == 3 && options.channel.is_none() };
    let common = drawn.range(planes.iter().flatten());
    let each = options.scale == FilterScale::Each;
    let tile = |(number, plane): (usize, &Vec<f64>)| {
        let range = if each { drawn.range(plane.iter()) } else { common };
        Tile { pixels: drawn.pixels(plane, range), caption: number.to_string() }
    };
    let shown = if count < out { format!("the first {count} of {out}") } else { out.to_string() };
    let mut grid = Grid::new((width, height), planes.iter().enumerate().map(tile).collect());
    grid.title = format!("{shown} filters, {height} x {width} x {channels}");
    if !each && !drawn.rgb {
        grid.bar = Some((options.colors, common));
    }
    target.save(grid.size(), |page| grid.draw(page))
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
    fills("pixels", pixels.len(), shape)?;
    if pixels.is_empty() {
        return Err(Error::NothingToDraw { what: "image".to_owned() });
    }
    if ![1, 3].contains(&channels) {
        let value = channels.to_string();
        return Err(Error::Argument { argument: "channels", value, expected: "images have 1 or 3" });
    }
    if !captions.is_empty() && captions.len() != count {
        let value = format!("{} texts for {count} images", captions.len());
        return Err(Error::Argument { argument: "captions", value, expected: "one for each is needed" });
    }
    in_sight("pixels", count, [height, width])?;
    let options = FilterOptions { scale: FilterScale::Common, ..FilterOptions::default() };
    let drawn = FilterColours { options, rgb: channels == 3 };
    let tile = |(number, image): (usize, &[f32])| {
        let caption = captions.get(number).map_or_else(String::new, |text| (*text).to_owned());
        Tile { pixels: drawn.pixels(&plane(image, shape, None), [0.0, 1.0]), caption }
    };
    let tiles = pixels.chunks_exact(channels * height * width).enumerate().map(tile).collect();
    let grid = Grid::new((width, height), tiles);
    target.save(grid.size(), |page| grid.draw(page))
}

fn fills(argument: &'static str, found: usize, shape: [usize; 4]) -> Result<()> {
    let needed = shape.iter().try_fold(1, |product: usize, &extent| product.checked_mul(extent));
    if needed == Some(found) {
        return Ok(());
    }
    let value = format!("{found} numbers for shape {shape:?}");
    Err(Error::Argument { argument, value, expected: "they must fill the shape" })
}

fn in_sight(argument: &'static str, count: usize, [height, width]: [usize; 2]) -> Result<()> {
    if count.saturating_mul(height).saturating_mul(width) <= MOST {
        return Ok(());
    }
    let value = format!("{count} images of {height} x {width}");
    Err(Error::Argument { argument, value, expected: "a picture holds at most 1,000,000 elements" })
}

/// What is drawn of a filter: all of it, of one or three channels; else one number for each place.
fn plane(filter: &[f32], [_, channels, height, width]: [usize; 4], channel: Option<usize>) -> Vec<f64> {
    let size = height * width;
    let numbers = |channel: usize| filter[channel * size..][..size].iter().copied().map(f64::from);
    match (channel, channels) {
        (Some(channel), _) => numbers(channel).collect(),
        (None, 1 | 3) => filter.iter().copied().map(f64::from).collect(),
        (None, _) => (0..size)
            .map(|at| filter[at..].iter().step_by(size).map(|&w| f64::from(w)).sum::<f64>() / channels as f64)
            .collect(),
    }
}

/// How the numbers of a plane become colours.
struct FilterColours {
    options: FilterOptions,
    rgb: bool,
}

impl FilterColours {
    /// The ends of the colours for these numbers.
    fn range<'a>(&self, numbers: impl Iterator<Item = &'a f64>) -> [f64; 2] {
        let finite = numbers.filter(|v| v.is_finite());
        let [low, high] =
            finite.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &v| [low.min(v), high.max(v)]);
        if low > high {
            return [0.0, 1.0];
        }
        if self.options.colors == ColorMap::Diverging && !self.rgb {
            let far = low.abs().max(high.abs());
            return if far > 0.0 { [-far, far] } else { [-1.0, 1.0] };
        }
        // Equal numbers are in the middle.
        if low < high { [low, high] } else { [low - 0.5, high + 0.5] }
    }

    fn pixels(&self, plane: &[f64], [low, high]: [f64; 2]) -> Vec<Colour> {
        let share = |v: f64| v.is_finite().then(|| ((v - low) / (high - low)).clamp(0.0, 1.0));
        if !self.rgb {
            let colour = |&v: &f64| share(v).map_or(MISSING, |share| mapped(self.options.colors, share));
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
}

/// The colour at a share of a map.
fn mapped(colors: ColorMap, share: f64) -> Colour {
    match colors {
        ColorMap::Gray => style::mix(BLACK, WHITE, share),
        ColorMap::Diverging => style::diverging(2.0 * share - 1.0),
    }
}

/// An image with a text under it.
struct Tile {
    pixels: Vec<Colour>,
    caption: String,
}

/// Images of one size in rows.
struct Grid {
    title: String,
    /// How many pixels an image has in a row, and the side of one.
    across: usize,
    zoom: f64,
    /// The width and the height of an image.
    size: [f64; 2],
    tiles: Vec<Tile>,
    columns: usize,
    /// From one image to the next.
    pitch: [f64; 2],
    bar: Option<(ColorMap, [f64; 2])>,
}

impl Grid {
    fn new((across, down): (usize, usize), mut tiles: Vec<Tile>) -> Grid {
        let zoom = (TILE / across.max(down)).max(1) as f64;
        let size = [across, down].map(|extent| extent as f64 * zoom);
        tiles.iter_mut().for_each(|tile| tile.caption = fitting(&tile.caption, SMALL, size[0].max(CAPTION)));
        let captions = widest(tiles.iter().map(|tile| &*tile.caption), SMALL);
        let caption = if captions > 0.0 { NEAR + SMALL } else { 0.0 };
        let pitch = [size[0].max(captions) + GAP, size[1] + caption + GAP].map(f64::ceil);
        let square = (1.3 * (tiles.len() as f64).sqrt()).ceil();
        let columns = ((WIDE - 2.0 * MARGIN + GAP) / pitch[0]).floor().min(square).max(1.0) as usize;
        let columns = columns.min(tiles.len());
        Grid { title: String::new(), across, zoom, size, tiles, columns, pitch, bar: None }
    }

    fn top(&self) -> f64 {
        MARGIN + if self.title.is_empty() { 0.0 } else { TITLE + GAP }
    }

    /// Where the images are, without the bar beside them.
    fn extent(&self) -> [f64; 2] {
        let rows = self.tiles.len().div_ceil(self.columns);
        [self.columns as f64 * self.pitch[0] - GAP, rows as f64 * self.pitch[1] - GAP]
    }

    fn size(&self) -> [f64; 2] {
        let [wide, tall] = self.extent();
        let bar = self.bar.map_or(0.0, |(_, ends)| {
            let ends = ends.map(end);
            2.0 * GAP + bar_width(&[(0.0, &ends[0]), (1.0, &ends[1])])
        });
        let wide = (wide + bar).max(width(&self.title, TITLE)).ceil();
        [wide + 2.0 * MARGIN, self.top() + tall + MARGIN]
    }

    fn draw(&self, page: &Area) -> Drawn {
        let [whole, _] = self.size();
        let at = [whole / 2.0, MARGIN + TITLE / 2.0];
        text(page, &self.title, at, &letters(TITLE, HPos::Center))?;
        let [wide, tall] = self.extent();
        // Under a title that is wider, the images are in the middle.
        let left = if self.bar.is_some() { MARGIN } else { (whole - wide) / 2.0 }.floor();
        for (number, tile) in self.tiles.iter().enumerate() {
            let slot = left + (number % self.columns) as f64 * self.pitch[0];
            let left = slot + ((self.pitch[0] - GAP - self.size[0]) / 2.0).floor();
            let top = self.top() + (number / self.columns) as f64 * self.pitch[1];
            image(page, [left, top], [self.zoom; 2], self.across, &tile.pixels)?;
            let below = [left + self.size[0] / 2.0, top + self.size[1] + NEAR + SMALL / 2.0];
            text(page, &tile.caption, below, &letters(SMALL, HPos::Center))?;
        }
        let Some((colors, ends)) = self.bar else { return Ok(()) };
        let ends = ends.map(end);
        let labels = [(0.0, &*ends[0]), (1.0, &*ends[1])];
        colour_bar(page, [left + wide + 2.0 * GAP, self.top()], tall, |share| mapped(colors, share), &labels)
    }
}

/// A number at the end of a colour bar.
fn end(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e4).contains(&value.abs()) {
        format!("{value:.2e}")
    } else {
        format!("{value:.3}")
    }
}
