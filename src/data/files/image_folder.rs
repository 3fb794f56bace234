//! A folder of images as a data set: one folder for each class.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

use image::imageops::{FilterType, resize};
use image::{ColorType, DynamicImage, ImageReader, Rgb, Rgb32FImage};
use rayon::prelude::*;

use super::Dataset;
use crate::error::{Error, Result};

/// What becomes of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageChannels {
    /// One channel: `0.2126 red + 0.7152 green + 0.0722 blue`, the luma of Rec. 709.
    Grayscale,
    /// Three channels: red, green and blue.
    #[default]
    Rgb,
}

/// How [`image_folder`] reads images: in colour, all of one size, and nothing else beside them, unless set.
///
/// ```
/// use retape::data::{ImageChannels, ImageOptions};
/// let digits = ImageOptions::new().size(28, 28).channels(ImageChannels::Grayscale);
/// # let _ = digits;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct ImageOptions {
    size: Option<[usize; 2]>,
    channels: ImageChannels,
    skip_others: bool,
}

impl ImageOptions {
    /// The defaults.
    pub fn new() -> Self {
        ImageOptions::default()
    }

    /// Resizes every image to this many pixels, whatever its proportions, with a triangle filter: bilinear
    /// interpolation to enlarge, and averages over the pixels that become one to reduce.
    pub fn size(mut self, height: usize, width: usize) -> Self {
        self.size = Some([height, width]);
        self
    }

    setters! {
        /// What becomes of colours.
        channels: ImageChannels => channels;
        /// Whether to pass by what is no image, or not in the folder of a class, instead of failing.
        skip_others: bool => skip_others;
    }
}

/// Reads PNG and JPEG images from the folders within `folder`: each is a class, called by its name and
/// numbered in the order of the names, and its images follow in the order of theirs.
/// [`class_names`](Dataset::class_names) has the names.
///
/// Samples have shape `[channels, height, width]`; pixels lie in `[0, 1]`, of 8 bits or 16. An alpha channel
/// is dropped, and orientations in EXIF data are not followed. Files are images if their names end with
/// `.png`, `.jpg` or `.jpeg`, in small letters or capitals; the format is told by the contents. Names that
/// begin with a dot are passed by.
///
/// ```no_run
/// use retape::data::{ImageOptions, image_folder};
/// let flowers = image_folder("flowers", &ImageOptions::new().size(64, 64))?;
/// let (train, validation) = flowers.stratified_split(0.2, 42)?;
/// # let _ = (train, validation);
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] if a folder or file cannot be read; [`Error::Corrupt`] with the path for an image that is
/// damaged, for a folder without classes, for a class without images, and, unless they are to be skipped,
/// for anything else that is there; [`Error::ImageSize`] if images differ in size and none was asked for;
/// [`Error::Argument`] for a size of 0.
pub fn image_folder(folder: impl AsRef<Path>, options: &ImageOptions) -> Result<Dataset> {
    check_size(options)?;
    let folder = folder.as_ref();
    let (classes, files) = list(folder, options.skip_others)?;
    let images: Vec<Result<Planes>> = files.par_iter().map(|(path, _)| decode(path, options)).collect();
    let mut inputs = Vec::new();
    let mut first: Option<([usize; 3], &Path)> = None;
    for (image, (path, _)) in images.into_iter().zip(&files) {
        let image = image?;
        let (expected, first) = *first.get_or_insert((image.shape, path));
        if image.shape != expected {
            let [[_, found @ ..], [_, expected @ ..]] = [image.shape, expected];
            let (path, first) = (path.clone(), first.to_owned());
            return Err(Error::ImageSize { path, found, expected, first });
        }
        inputs.extend(image.data);
    }
    let shape = first.map_or([0; 3], |(shape, _)| shape);
    let labels = files.iter().map(|&(_, class)| class).collect();
    Dataset::new(shape, inputs, labels, classes.len() as u32)?.with_class_names(&classes)
}

fn check_size(options: &ImageOptions) -> Result<()> {
    let fits = |&side: &usize| (1..=u32::MAX as usize).contains(&side);
    let Some(size) = options.size else { return Ok(()) };
    let expected = "height and width must be at least 1, and fit 32 bits";
    Error::expect(size.iter().all(fits), "size", format!("{size:?}"), expected)
}

/// The names of the classes, and every image with the number of its class.
type Listing = (Vec<String>, Vec<(PathBuf, u32)>);

fn list(folder: &Path, skip_others: bool) -> Result<Listing> {
    let (mut classes, mut files) = (Vec::new(), Vec::new());
    for path in entries(folder)? {
        if !path.is_dir() {
            Error::expect_intact(skip_others, &path, "it is not in the folder of a class")?;
            continue;
        }
        let name = path.file_name().and_then(OsStr::to_str);
        let name = name.ok_or_else(|| Error::corrupt(&path, "the name of the class is not UTF-8"))?;
        let before = files.len();
        for file in entries(&path)? {
            if is_image(&file) {
                files.push((file, classes.len() as u32));
            } else {
                Error::expect_intact(skip_others, &file, "it is no PNG or JPEG file by its name")?;
            }
        }
        Error::expect_intact(files.len() > before, &path, "the class has no images")?;
        classes.push(name.to_owned());
    }
    let message = "it has no folders: each class needs one of its own";
    Error::expect_intact(!classes.is_empty(), folder, message)?;
    Ok((classes, files))
}

/// What is in a folder, by name, without what begins with a dot.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(Error::io(folder))?;
    entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<PathBuf> = entries.iter().map(DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| ending.eq_ignore_ascii_case(known)) && path.is_file()
}

/// An image as planes of numbers.
struct Planes {
    /// Channels, height and width.
    shape: [usize; 3],
    data: Vec<f32>,
}

/// An image in the channels and the size asked for.
fn decode(path: &Path, options: &ImageOptions) -> Result<Planes> {
    let reader =
        ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(Error::io(path))?;
    let decoded = reader.decode();
    let decoded = decoded.map_err(|e| Error::corrupt(path, format!("it cannot be decoded: {e}")))?;
    let mut image = floats(decoded);
    if let Some([height, width]) = options.size {
        // The size fits 32 bits: it was checked.
        image = resize(&image, width as u32, height as u32, FilterType::Triangle);
    }
    let (height, width) = (image.height() as usize, image.width() as usize);
    let planes = (0..3).flat_map(|c| image.pixels().map(move |pixel| pixel.0[c].clamp(0.0, 1.0)));
    let (channels, data) = match options.channels {
        ImageChannels::Grayscale => (1, image.pixels().map(|pixel| luma(pixel.0)).collect()),
        ImageChannels::Rgb => (3, planes.collect()),
    };
    Ok(Planes { shape: [channels, height, width], data })
}

/// The colours in `[0, 1]`: of 8 bits, exactly what dividing by 255 gives.
fn floats(decoded: DynamicImage) -> Rgb32FImage {
    match decoded.color() {
        ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8 => {
            let bytes = decoded.into_rgb8();
            let float = |x, y| Rgb(bytes.get_pixel(x, y).0.map(|value| f32::from(value) / 255.0));
            Rgb32FImage::from_fn(bytes.width(), bytes.height(), float)
        }
        _ => decoded.into_rgb32f(),
    }
}

/// Summed in f64, so that grey stays what it is.
fn luma(rgb: [f32; 3]) -> f32 {
    let [red, green, blue] = rgb.map(f64::from);
    (0.2126 * red + 0.7152 * green + 0.0722 * blue).clamp(0.0, 1.0) as f32
}
