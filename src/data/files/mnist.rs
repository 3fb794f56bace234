//! MNIST and the sets that took over its format: four IDX files in a folder.

use std::path::{Path, PathBuf};

use super::public::MNIST_URL;
use super::{Dataset, TrainTest, check_labels, missing, read_idx, subfolder};
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

/// The number of classes of MNIST and of the sets that took over its format.
const MNIST_CLASSES: u32 = 10;

/// The files of images and labels.
const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Reads MNIST, or a set in its format, from a folder that holds
/// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte`, each plain or with `.gz`.
///
/// Samples have shape `[1, height, width]`; pixels are divided by 255 and lie in `[0, 1]`.
///
/// # Errors
/// [`Error::Io`] with the names looked for, and where MNIST is to be had, if a file is missing;
/// [`Error::Corrupt`] as for [`read_idx`], and if a file has the wrong number of dimensions or the
/// files do not fit together; [`Error::LabelOutOfRange`] for a label above 9; [`Error::OutOfMemory`] if there
/// is no room for the samples, and [`Error::FileLimit`] as for [`read_idx`].
pub fn mnist(folder: impl AsRef<Path>) -> Result<TrainTest> {
    let source = format!("; MNIST is at {MNIST_URL}, each file by its name with .gz");
    read_set(folder.as_ref(), &source)
}

/// Reads Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017) as [`mnist`] does, from the folder
/// `fashion-mnist` in `folder`, or from `folder` itself where it has none. The names of the classes are
/// [`FASHION_MNIST_CLASSES`].
///
/// # Errors
/// As for [`mnist`].
pub fn fashion_mnist(folder: impl AsRef<Path>) -> Result<TrainTest> {
    let source = "; Fashion-MNIST is at https://github.com/zalandoresearch/fashion-mnist";
    let data = read_set(&subfolder(folder.as_ref(), "fashion-mnist"), source)?;
    data.with_class_names(&FASHION_MNIST_CLASSES)
}

/// The four files of a set in MNIST's format; `source` ends the message about a missing one.
fn read_set(folder: &Path, source: &str) -> Result<TrainTest> {
    let part = |names: [&str; 2]| {
        let [images, labels] = names.map(|name| find(folder, name, source));
        let images = images?;
        read_images(&images, &labels?, MNIST_CLASSES).map(|data| (data, images))
    };
    let ((train, _), (test, test_images)) = (part(TRAIN)?, part(TEST)?);
    let (found, expected) = (test.input_shape(), train.input_shape());
    let message = format!("its samples are {found}, {expected} expected as in training");
    Error::expect_intact(found == expected, &test_images, message)?;
    Ok(TrainTest { train, test })
}

/// Whether a folder holds any of the four files.
pub(super) fn any_file(folder: &Path) -> bool {
    [TRAIN, TEST].as_flattened().iter().any(|name| find(folder, name, "").is_ok())
}

/// The file of this name, plain or else packed.
fn find(folder: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let names = [name.to_owned(), format!("{name}.gz")];
    let found = names.iter().map(|n| folder.join(n)).find(|path| path.is_file());
    let message = || format!("no file `{}` in this folder{source}", names.join("` or `"));
    found.ok_or_else(|| missing(folder, message()))
}

/// A pair of IDX files: images `[n, height, width]` and labels `[n]`.
fn read_images(images: &Path, labels: &Path, classes: u32) -> Result<Dataset> {
    let pixels = read_idx(images)?;
    let &[count, height, width] = &pixels.dims[..] else {
        let message = format!("its dimensions are {:?}, 3 expected for images", pixels.dims);
        return Err(Error::corrupt(images, message));
    };
    let given = read_idx(labels)?;
    let message = format!("its dimensions are {:?}, 1 expected for labels", given.dims);
    Error::expect_intact(given.dims.len() == 1, labels, message)?;
    let found = given.data.len();
    let message = format!("{found} labels, {count} expected for the images of {}", images.display());
    Error::expect_intact(found == count, labels, message)?;
    let classes_of: Vec<u32> = given.data.into_iter().map(u32::from).collect();
    check_labels(&labels.display().to_string(), &classes_of, classes)?;
    let mut inputs = reserve(images, pixels.data.len())?;
    inputs.extend(pixels.data.into_iter().map(|pixel| f32::from(pixel) / 255.0));
    Dataset::new([1, height, width], inputs, classes_of, classes)
}
