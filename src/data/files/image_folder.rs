//! Images in files as samples: one of them, or a folder of folders, one for each class.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Dataset;
use super::picture::{Canvas, Picture, Placement};
use crate::data::Samples;
use crate::error::{Error, Result};
use crate::files::{push, reserve};

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

impl ImageChannels {
    pub(super) fn count(self) -> usize {
        match self {
            ImageChannels::Grayscale => 1,
            ImageChannels::Rgb => 3,
        }
    }
}

/// How an image comes to a size of other proportions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageFit {
    /// All of it is resized, whatever becomes of its proportions: Keras's default.
    #[default]
    Stretch,
    /// The largest part from its middle that has the proportions of the size is resized, and the rest left
    /// out: Keras's `crop_to_aspect_ratio`.
    Crop,
    /// All of it is resized, in its proportions, and put in the middle of a ground of one colour:
    /// [`ImageOptions::fill`].
    Letterbox,
}

/// Names of classes, by label, that [`ImageOptions::classes`] takes: slices of `String` or `&str`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClassNames<'a> {
    /// As data sets have them.
    Owned(&'a [String]),
    /// As programs write them.
    Borrowed(&'a [&'a str]),
}

impl ClassNames<'_> {
    fn to_vec(self) -> Vec<String> {
        match self {
            ClassNames::Owned(names) => names.to_vec(),
            ClassNames::Borrowed(names) => names.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

impl<'a> From<&'a [String]> for ClassNames<'a> {
    fn from(names: &'a [String]) -> Self {
        ClassNames::Owned(names)
    }
}

impl<'a> From<&'a [&'a str]> for ClassNames<'a> {
    fn from(names: &'a [&'a str]) -> Self {
        ClassNames::Borrowed(names)
    }
}

impl<'a, const N: usize> From<&'a [&'a str; N]> for ClassNames<'a> {
    fn from(names: &'a [&'a str; N]) -> Self {
        ClassNames::Borrowed(names)
    }
}

/// How [`image_folder`] and [`image`] read images: in colour, all of one size, of at most 64 million pixels, and
/// nothing else beside them, unless set.
///
/// ```
/// use retape::data::{ImageChannels, ImageFit, ImageOptions};
/// let digits = ImageOptions::new().size(28, 28).channels(ImageChannels::Grayscale).fit(ImageFit::Letterbox);
/// # let _ = digits;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ImageOptions<'a> {
    size: Option<[usize; 2]>,
    fit: ImageFit,
    fill: [u8; 3],
    channels: ImageChannels,
    max_pixels: u64,
    classes: Option<ClassNames<'a>>,
    skip_others: bool,
    skip_corrupt: bool,
}

impl Default for ImageOptions<'_> {
    fn default() -> Self {
        ImageOptions::new()
    }
}

impl<'a> ImageOptions<'a> {
    /// The defaults.
    pub fn new() -> Self {
        ImageOptions {
            size: None,
            fit: ImageFit::Stretch,
            fill: [0; 3],
            channels: ImageChannels::Rgb,
            max_pixels: 64_000_000,
            classes: None,
            skip_others: false,
            skip_corrupt: false,
        }
    }

    /// Resizes every image to this many pixels with a triangle filter: bilinear interpolation to enlarge, and
    /// averages over the pixels that become one to reduce. An image is resized while it is decoded, so that
    /// a large one takes little memory.
    pub fn size(mut self, height: usize, width: usize) -> Self {
        self.size = Some([height, width]);
        self
    }

    /// The classes, by label, instead of those that are found: a folder that lacks one of them gives the same
    /// numbers as one that has all. A folder of another class is one of the others.
    ///
    /// ```no_run
    /// use retape::data::{ImageOptions, image_folder};
    /// let options = ImageOptions::new().size(64, 64);
    /// let train = image_folder("flowers/train", &options)?;
    /// let test = image_folder("flowers/test", &options.classes(train.class_names().unwrap()))?; // or `&["rose", "tulip"]`
    /// # let _ = test;
    /// # Ok::<(), retape::Error>(())
    /// ```
    pub fn classes(mut self, names: impl Into<ClassNames<'a>>) -> Self {
        self.classes = Some(names.into());
        self
    }

    setters! {
        /// What is done about proportions other than those of the size; without a size, nothing is.
        fit: ImageFit => fit;
        /// The colour of the ground, red, green and blue, that [`ImageFit::Letterbox`] puts an image on; black
        /// unless set.
        fill: [u8; 3] => fill;
        /// What becomes of colours.
        channels: ImageChannels => channels;
        /// The pixels that an image may have; one of more is not decoded. The file says how many it has, and a
        /// small file may say many.
        max_pixels: u64 => max_pixels;
        /// Whether to pass by what is no image, or not in the folder of a class, instead of failing.
        skip_others: bool => skip_others;
        /// Whether to leave out images that are damaged, cut off or of too many pixels, instead of failing.
        /// [`ImageFolder::skipped`] lists them, and the log warns of each.
        skip_corrupt: bool => skip_corrupt;
    }

    fn check(&self) -> Result<()> {
        let fits = |&side: &usize| (1..=u32::MAX as usize).contains(&side);
        let Some(size) = self.size else { return Ok(()) };
        let expected = "height and width must be at least 1, and fit 32 bits";
        Error::expect(size.iter().all(fits), "size", format!("{size:?}"), expected)
    }

    fn check_classes(&self) -> Result<()> {
        let names = self.classes.map(ClassNames::to_vec).unwrap_or_default();
        match (1..names.len()).find(|&index| names[..index].contains(&names[index])) {
            Some(twice) => Err(Error::DuplicateName { name: names[twice].clone(), cure: "" }),
            None => Ok(()),
        }
    }

    /// Channels, height and width of what becomes of a picture of this size.
    fn shape(&self, picture: [usize; 2]) -> [usize; 3] {
        let [height, width] = self.size.unwrap_or(picture);
        [self.channels.count(), height, width]
    }

    /// Whether an image for which this is said is one to leave out.
    fn skips(&self, error: &Error) -> bool {
        self.skip_corrupt && matches!(error, Error::Corrupt { .. } | Error::FileLimit { .. })
    }
}

/// Reads PNG and JPEG images from the folders within `folder`: each is a class, called by its name and
/// numbered in the order of the names, and its images follow in the order of theirs.
/// [`class_names`](Dataset::class_names) has the names.
///
/// Samples have shape `[channels, height, width]`; pixels lie in `[0, 1]`, of 8 bits or 16. An alpha channel
/// is dropped, and orientations in EXIF data are not followed, as by torchvision and Keras: a photo that was taken
/// with the camera turned lies on its side, and is turned by a program that knows such data. Files are images if their names end with
/// `.png`, `.jpg` or `.jpeg`, in small letters or capitals; the format is told by the contents. Names that
/// begin with a dot are passed by.
///
/// A JPEG that is cut off is told by the end marker that it lacks. Where a program has closed what was cut with such
/// a marker, the file may be whole by all that it says, and is read with what the decoder fills in.
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
/// damaged or cut off anywhere, for a folder without classes, for a class without images, and, unless they are
/// to be skipped, for anything else that is there; [`Error::FileLimit`] for an image of more pixels than
/// [`ImageOptions::max_pixels`], or with more than 64 MiB of other data that a decoder keeps whole; [`Error::ImageSize`] if images differ in size and none was asked for;
/// [`Error::Argument`] for a size of 0; [`Error::OutOfMemory`] if there is no room for all images.
pub fn image_folder(folder: impl AsRef<Path>, options: &ImageOptions<'_>) -> Result<Dataset> {
    Ok(ImageFolder::read(folder, options)?.data)
}

/// Reads one PNG or JPEG image as a sample, to predict for: an input of shape `[channels, height, width]` as
/// [`image_folder`] makes them, turned as it is stored, and nothing else. Its name may be any.
///
/// ```no_run
/// # use retape::prelude::*;
/// # fn show(mut trainer: Trainer) -> retape::Result<()> {
/// use retape::data::{ImageOptions, image};
/// let photo = image("photo.jpg", &ImageOptions::new().size(64, 64))?;
/// println!("{:?}", trainer.predict_classes(photo)?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`image_folder`] of the image.
pub fn image(path: impl AsRef<Path>, options: &ImageOptions<'_>) -> Result<Samples<'static>> {
    options.check()?;
    let path = path.as_ref();
    let picture = Picture::open(path, options.max_pixels)?;
    let shape = options.shape(picture.size);
    let mut planes = zeros(path, &[1], shape)?;
    draw(picture, path, options, shape, &mut planes)?;
    Ok(Samples::new().input(shape, planes))
}

/// A folder of images, and what was left out of it.
///
/// ```no_run
/// use retape::data::{ImageFolder, ImageOptions};
/// let flowers = ImageFolder::read("flowers", &ImageOptions::new().size(64, 64).skip_corrupt(true))?;
/// for image in &flowers.skipped {
///     println!("left out: {}", image.reason); // names the file
/// }
/// let train = flowers.data;
/// # let _ = train;
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ImageFolder {
    /// The images that could be read.
    pub data: Dataset,
    /// Those that [`ImageOptions::skip_corrupt`] left out, in order.
    pub skipped: Vec<SkippedImage>,
}

/// An image that was left out.
#[derive(Debug)]
#[non_exhaustive]
pub struct SkippedImage {
    /// The file.
    pub path: PathBuf,
    /// Why: [`Error::Corrupt`] or [`Error::FileLimit`].
    pub reason: Error,
}

impl ImageFolder {
    /// Reads a folder as [`image_folder`] does.
    ///
    /// # Errors
    /// As for [`image_folder`]; with [`ImageOptions::skip_corrupt`], [`Error::Corrupt`] for a class all of
    /// whose images would be left out.
    pub fn read(folder: impl AsRef<Path>, options: &ImageOptions<'_>) -> Result<ImageFolder> {
        options.check()?;
        options.check_classes()?;
        let folder = folder.as_ref();
        let (classes, mut files) = list(folder, options)?;
        let Some((shape, first)) = common_shape(&files, options)? else {
            let message = format!("none of its {} images can be read", files.len());
            return Err(Error::corrupt(folder, message));
        };
        let first = first.to_owned();
        let present: BTreeSet<u32> = files.iter().map(|&(_, class)| class).collect();
        let mut inputs = zeros(folder, &files, shape)?;
        let size = shape.iter().product();
        let results: Vec<Result<()>> = inputs
            .par_chunks_mut(size)
            .zip(&files)
            .map(|(planes, (path, _))| {
                let picture = Picture::open(path, options.max_pixels)?;
                let found = options.shape(picture.size);
                if found == shape {
                    return draw(picture, path, options, shape, planes);
                }
                let ([_, found @ ..], [_, expected @ ..]) = (found, shape);
                if options.skip_corrupt {
                    // Its size may be what is damaged.
                    picture.read(&mut |_| ())?;
                }
                Err(Error::ImageSize { path: path.clone(), found, expected, first: first.clone() })
            })
            .collect();

        let (mut skipped, mut kept) = (Vec::new(), 0);
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(()) => {
                    inputs.copy_within(index * size..(index + 1) * size, kept * size);
                    files.swap(index, kept);
                    kept += 1;
                }
                Err(reason) if options.skips(&reason) => {
                    log::warn!("left out: {reason}");
                    skipped.push(SkippedImage { path: files[index].0.clone(), reason });
                }
                Err(error) => return Err(error),
            }
        }
        inputs.truncate(kept * size);
        let labels: Vec<u32> = files[..kept].iter().map(|&(_, class)| class).collect();
        for (class, name) in
            classes.iter().enumerate().filter(|(class, _)| present.contains(&(*class as u32)))
        {
            let message = "none of the images of the class can be read";
            Error::expect_intact(labels.contains(&(class as u32)), &folder.join(name), message)?;
        }
        let data = Dataset::new(shape, inputs, labels, classes.len() as u32)?.with_class_names(&classes)?;
        Ok(ImageFolder { data, skipped })
    }
}

/// The shape of all samples, and the file that it is of; nothing where no file can be read.
fn common_shape<'a>(
    files: &'a [(PathBuf, u32)],
    options: &ImageOptions<'_>,
) -> Result<Option<([usize; 3], &'a Path)>> {
    for (path, _) in files {
        if options.size.is_some() {
            return Ok(Some((options.shape([1, 1]), path)));
        }
        let measured = Picture::open(path, options.max_pixels).and_then(|picture| {
            let shape = options.shape(picture.size);
            // One that is left out says nothing of the others.
            if options.skip_corrupt { picture.read(&mut |_| ()).map(|()| shape) } else { Ok(shape) }
        });
        match measured {
            Err(error) if options.skips(&error) => {}
            measured => return measured.map(|shape| Some((shape, path.as_path()))),
        }
    }
    Ok(None)
}

/// Room for an image of this shape for each of some.
fn zeros<T>(path: &Path, images: &[T], shape: [usize; 3]) -> Result<Vec<f32>> {
    let all = shape.iter().fold(images.len(), |n, &side| n.saturating_mul(side));
    let mut numbers = reserve(path, all)?;
    numbers.resize(all, 0.0);
    Ok(numbers)
}

/// The pixels of a picture as planes of this shape.
fn draw(
    picture: Picture,
    path: &Path,
    options: &ImageOptions<'_>,
    [_, height, width]: [usize; 3],
    planes: &mut [f32],
) -> Result<()> {
    let placement = Placement::new(options.fit, picture.size, [height, width]);
    let mut canvas = Canvas::new(path, planes, [height, width], options.channels, placement, options.fill)?;
    picture.read(&mut |row| canvas.row(row))?;
    canvas.finish();
    Ok(())
}

/// The names of the classes, and every image with the number of its class.
type Listing = (Vec<String>, Vec<(PathBuf, u32)>);

fn list(folder: &Path, options: &ImageOptions<'_>) -> Result<Listing> {
    let skip_others = options.skip_others;
    let (mut classes, mut files) = (options.classes.map(ClassNames::to_vec).unwrap_or_default(), Vec::new());
    for path in entries(folder)? {
        if !path.is_dir() {
            Error::expect_intact(skip_others, &path, "it is not in the folder of a class")?;
            continue;
        }
        let name = path.file_name().and_then(OsStr::to_str);
        let name = name.ok_or_else(|| Error::corrupt(&path, "the name of the class is not UTF-8"))?;
        let known = classes.iter().position(|class| class == name);
        if options.classes.is_some() && known.is_none() {
            Error::expect_intact(skip_others, &path, "it is the folder of none of the classes")?;
            continue;
        }
        let class = known.unwrap_or(classes.len()) as u32;
        let before = files.len();
        for file in entries(&path)? {
            if is_image(&file) {
                push(folder, &mut files, (file, class))?;
            } else {
                Error::expect_intact(skip_others, &file, "it is no PNG or JPEG file by its name")?;
            }
        }
        Error::expect_intact(files.len() > before, &path, "the class has no images")?;
        if known.is_none() {
            classes.push(name.to_owned());
        }
    }
    let message = "it has no folders: each class needs one of its own";
    Error::expect_intact(!files.is_empty(), folder, message)?;
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
