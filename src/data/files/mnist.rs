//! MNIST and the sets that took over its format: four IDX files in a folder.

use std::path::{Path, PathBuf};

use super::idx::IdxData;
use super::mnist_files::{self, Files, Set};
use super::public::MNIST_URL;
use super::{Dataset, TrainTest, check_labels, read_idx, subfolder};
use crate::error::{Error, Result};
use crate::files::reserve;

/// The class names of Fashion-MNIST, by label.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The number of classes of MNIST, Fashion-MNIST and QMNIST.
const MNIST_CLASSES: u32 = 10;

/// How the names of a set's files begin, where it is asked for by [`mnist`].
const NAMED_AS_MNIST: [&str; 4] = ["", "qmnist-", "emnist-mnist-", "emnist-digits-"];

/// A part of EMNIST (Cohen, Afshar, Tapson and van Schaik, 2017), each a set of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmnistSplit {
    /// Digits, capitals and small letters: 62 classes, as frequent as they were written.
    ByClass,
    /// Those whose small letters look like their capitals as one: 47 classes.
    ByMerge,
    /// The 47 classes of [`ByMerge`](EmnistSplit::ByMerge), equally frequent.
    Balanced,
    /// The 26 letters, small ones and capitals as one. The files count them from 1, labels from 0.
    Letters,
    /// The ten digits.
    Digits,
    /// The ten digits, as many of them as in MNIST.
    Mnist,
}

impl EmnistSplit {
    fn prefix(self) -> &'static str {
        match self {
            EmnistSplit::ByClass => "emnist-byclass-",
            EmnistSplit::ByMerge => "emnist-bymerge-",
            EmnistSplit::Balanced => "emnist-balanced-",
            EmnistSplit::Letters => "emnist-letters-",
            EmnistSplit::Digits => "emnist-digits-",
            EmnistSplit::Mnist => "emnist-mnist-",
        }
    }

    /// The names of the classes, by label.
    pub fn class_names(self) -> Vec<String> {
        let characters = match self {
            EmnistSplit::ByClass => "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            EmnistSplit::ByMerge | EmnistSplit::Balanced => "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt",
            EmnistSplit::Letters => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            EmnistSplit::Digits | EmnistSplit::Mnist => "0123456789",
        };
        characters.chars().map(String::from).collect()
    }
}

/// Reads MNIST, or a set in its format, from a folder that holds
/// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte`, each plain or with `.gz`, or from a folder within that folder, at most two deep.
///
/// A dot may stand before `idx` (`train-images.idx3-ubyte`), `test` in place of `t10k`,
/// `idx1-int` for labels of 32 bits, and each file may lie in a folder of its name, or those to judge by in another
/// than the rest (`train` and `test`). Where there are none of
/// these, those of [`qmnist`] and of EMNIST's digits ([`emnist`]) are taken.
///
/// Several sets go by these names. Of folders within, one that is called as this set is comes before others, and
/// one that is called as another is (`FashionMNIST`, `kmnist`) is not taken; the folder given is, whatever its name.
///
/// Samples have shape `[1, height, width]`; pixels are divided by 255 and lie in `[0, 1]`.
///
/// # Errors
/// [`Error::Io`] with all names looked for, and where MNIST is to be had, if a file is missing;
/// [`Error::Corrupt`] as for [`read_idx`], if a file has the wrong number of dimensions or elements of the
/// wrong type, if the files do not fit together, and for several folders within that hold a set;
/// [`Error::LabelOutOfRange`] for a label above 9; [`Error::OutOfMemory`] if there
/// is no room for the samples, and [`Error::FileLimit`] as for [`read_idx`].
pub fn mnist(folder: impl AsRef<Path>) -> Result<TrainTest> {
    let source = format!("; MNIST is at {MNIST_URL}, each file by its name with .gz");
    let files = mnist_files::find(folder.as_ref(), Set::Mnist, &NAMED_AS_MNIST, &source)?;
    read_set(&files, &Format { is_turned: files.prefix.starts_with("emnist"), ..MNIST })
}

/// Reads Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017) as [`mnist`] does, from the folder
/// `fashion-mnist` in `folder`, or where it has none from `folder` itself or a folder within that is not called as
/// another set is. The names of the classes are
/// [`FASHION_MNIST_CLASSES`].
///
/// # Errors
/// As for [`mnist`].
pub fn fashion_mnist(folder: impl AsRef<Path>) -> Result<TrainTest> {
    let source = "; Fashion-MNIST is at https://github.com/zalandoresearch/fashion-mnist";
    let files = mnist_files::find(&subfolder(folder.as_ref(), "fashion-mnist"), Set::Fashion, &[""], source)?;
    read_set(&files, &MNIST)?.with_class_names(&FASHION_MNIST_CLASSES)
}

/// Reads QMNIST (Yadav and Bottou, 2019), MNIST with 60,000 images to judge by, as [`mnist`] does, from
/// `qmnist-train-images-idx3-ubyte`, `qmnist-train-labels-idx2-int` and those of `qmnist-test`. Of the eight
/// numbers that its files have for each image, the first is the label.
///
/// # Errors
/// As for [`mnist`].
pub fn qmnist(folder: impl AsRef<Path>) -> Result<TrainTest> {
    let source = "; QMNIST is at https://github.com/facebookresearch/qmnist";
    read_set(&mnist_files::find(folder.as_ref(), Set::Qmnist, &["qmnist-"], source)?, &MNIST)
}

/// Reads a part of EMNIST as [`mnist`] does, from `emnist-letters-train-images-idx3-ubyte`,
/// `emnist-letters-train-labels-idx1-ubyte` and those of `emnist-letters-test`, for letters. Its files hold
/// images lying on their sides and mirrored; they are turned upright, as those of MNIST are.
/// [`class_names`](Dataset::class_names) has the characters.
///
/// ```no_run
/// use retape::data::{EmnistSplit, emnist};
/// let letters = emnist("data/emnist", EmnistSplit::Letters)?;
/// assert_eq!(letters.train.class_names().unwrap()[25], "Z");
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// As for [`mnist`].
pub fn emnist(folder: impl AsRef<Path>, split: EmnistSplit) -> Result<TrainTest> {
    let source = "; EMNIST is at https://www.nist.gov/itl/products-and-services/emnist-dataset";
    let files = mnist_files::find(folder.as_ref(), Set::Emnist, &[split.prefix()], source)?;
    let names = split.class_names();
    let first = u32::from(split == EmnistSplit::Letters);
    read_set(&files, &Format { classes: names.len() as u32, first, is_turned: true })?
        .with_class_names(&names)
}

/// Whether a folder, or one within, holds any file of MNIST or a set named as it is.
pub(super) fn any_file(folder: &Path) -> bool {
    mnist_files::any_file(folder, Set::Mnist, &NAMED_AS_MNIST)
}

/// Whether a folder, or one within, holds any file of Fashion-MNIST.
pub(super) fn any_file_of_fashion(folder: &Path) -> bool {
    mnist_files::any_file(&subfolder(folder, "fashion-mnist"), Set::Fashion, &[""])
}

/// What a set makes of its files.
struct Format {
    classes: u32,
    /// The number that the files have for the first class.
    first: u32,
    /// Whether rows of the files are columns of the images.
    is_turned: bool,
}

const MNIST: Format = Format { classes: MNIST_CLASSES, first: 0, is_turned: false };

/// The four files of a set in MNIST's format.
fn read_set(files: &Files<'_>, format: &Format) -> Result<TrainTest> {
    let train = read_images(&files.pair(false)?, format)?;
    let judged = files.pair(true)?;
    let test = read_images(&judged, format)?;
    let (found, expected) = (test.input_shape(), train.input_shape());
    let message = format!("its samples are {found}, {expected} expected as in training");
    Error::expect_intact(found == expected, &judged[0], message)?;
    Ok(TrainTest { train, test })
}

/// The labels in a file: `[n]`, or of QMNIST the first of each row of integers.
fn read_labels(path: &Path) -> Result<Vec<u32>> {
    let array = read_idx(path)?;
    let each = match (&array.dims[..], &array.data) {
        ([_], _) => 1,
        (&[_, each], IdxData::I32(_)) => each,
        _ => {
            let message = format!("its dimensions are {:?}, 1 expected for labels", array.dims);
            return Err(Error::corrupt(path, message));
        }
    };
    let numbers: Box<dyn Iterator<Item = i64>> = match &array.data {
        IdxData::U8(data) => Box::new(data.iter().copied().map(i64::from)),
        IdxData::I8(data) => Box::new(data.iter().copied().map(i64::from)),
        IdxData::I16(data) => Box::new(data.iter().copied().map(i64::from)),
        IdxData::I32(data) => Box::new(data.iter().step_by(each).copied().map(i64::from)),
        _ => return Err(Error::corrupt(path, "its elements are no integers, as labels are")),
    };
    let mut labels = reserve(path, array.data.len() / each)?;
    for (index, number) in numbers.enumerate() {
        let negative = |_| Error::corrupt(path, format!("label {index} is {number}, below 0"));
        labels.push(u32::try_from(number).map_err(negative)?);
    }
    Ok(labels)
}

/// A pair of IDX files: images `[n, height, width]` and labels `[n]`.
fn read_images([images, labels]: &[PathBuf; 2], format: &Format) -> Result<Dataset> {
    let pixels = read_idx(images)?;
    let &[count, height, width] = &pixels.dims[..] else {
        let message = format!("its dimensions are {:?}, 3 expected for images", pixels.dims);
        return Err(Error::corrupt(images, message));
    };
    let bytes = pixels.data.as_u8();
    let bytes =
        bytes.ok_or_else(|| Error::corrupt(images, "its elements are no unsigned bytes, as pixels are"))?;
    let given = read_labels(labels)?;
    let found = given.len();
    let message = format!("{found} labels, {count} expected for the images of {}", images.display());
    Error::expect_intact(found == count, labels, message)?;
    let first = format.first;
    check_labels(&labels.display().to_string(), &given, first + format.classes)?;
    let message = format!("a label is below {first}, the first of this set");
    Error::expect_intact(given.iter().all(|&label| label >= first), labels, message)?;
    let classes: Vec<u32> = given.into_iter().map(|label| label - first).collect();
    let mut inputs = reserve(images, bytes.len())?;
    let float = |&pixel: &u8| f32::from(pixel) / 255.0;
    if format.is_turned {
        for image in bytes.chunks_exact(height * width) {
            inputs.extend((0..width).flat_map(|row| image[row..].iter().step_by(width).map(float)));
        }
        return Dataset::new([1, width, height], inputs, classes, format.classes);
    }
    inputs.extend(bytes.iter().map(float));
    Dataset::new([1, height, width], inputs, classes, format.classes)
}
