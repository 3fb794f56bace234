//! Data: readers for files of labelled samples, and the dataset they become; texts as numbers.

mod cifar;
mod idx;
mod imdb;
mod samples;
mod sequences;
mod texts;
mod vocabulary;

use std::path::{Path, PathBuf};

pub use cifar::{CIFAR10_CLASSES, cifar10};
pub use idx::{IdxArray, read_idx};
pub use imdb::{IMDB_CLASSES, imdb};
pub use samples::{Column, ColumnData, Samples};
pub use sequences::{Characters, Side, Windows, pad_sequences, unigram_entropy, windows};
pub use texts::{Texts, TrainTestTexts};
pub use vocabulary::{Vocabulary, words};

use crate::error::{Error, Result};
use crate::shape::Shape;

/// Labelled samples in memory: inputs of one shape and a class for each.
///
/// ```
/// use retape::data::Dataset;
/// # fn main() -> retape::Result<()> {
/// let data = Dataset::new([2], vec![0.0, 0.1, 1.0, 1.1, 2.0, 2.1], vec![0, 1, 0], 2)?;
/// let (mut inputs, mut labels) = (Vec::new(), Vec::new());
/// data.gather(&[2, 0], &mut inputs, &mut labels);
/// assert_eq!(inputs, [2.0, 2.1, 0.0, 0.1]);
/// assert_eq!(labels, [0, 0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    inputs: Vec<f32>,
    shape: Shape,
    labels: Vec<u32>,
    classes: u32,
}

impl Dataset {
    /// Samples of `shape`, one after the other in `inputs`, with one label each.
    ///
    /// # Errors
    /// [`Error::EmptyDimension`] if a sample has no elements, [`Error::DatasetLength`] if inputs and
    /// labels do not make the same number of samples, [`Error::LabelOutOfRange`].
    pub fn new(shape: impl Into<Shape>, inputs: Vec<f32>, labels: Vec<u32>, classes: u32) -> Result<Self> {
        let shape = shape.into();
        let size = shape.numel();
        if size == 0 {
            return Err(Error::EmptyDimension { name: "sample".to_owned(), shape });
        }
        if labels.len().checked_mul(size) != Some(inputs.len()) {
            return Err(Error::DatasetLength { sample: shape, inputs: inputs.len(), labels: labels.len() });
        }
        check_labels("labels", &labels, classes)?;
        Ok(Dataset { inputs, shape, labels, classes })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of one sample, without the batch.
    pub fn input_shape(&self) -> Shape {
        self.shape
    }

    /// The number of classes; every label is below it.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// All inputs, sample by sample, each row-major.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// The class of each sample.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// One sample's input.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn input(&self, index: usize) -> &[f32] {
        let size = self.shape.numel();
        &self.inputs[index * size..][..size]
    }

    /// Copies the samples of a batch into buffers of the caller's, which are cleared first and keep
    /// their capacity: from the second batch of a size on, nothing is allocated. An index may occur
    /// more than once, as when the last batch is filled up.
    ///
    /// # Panics
    /// If an index is not below [`len`](Dataset::len).
    pub fn gather(&self, indices: &[usize], inputs: &mut Vec<f32>, labels: &mut Vec<u32>) {
        inputs.clear();
        labels.clear();
        for &index in indices {
            inputs.extend_from_slice(self.input(index));
            labels.push(self.labels[index]);
        }
    }

    /// A dataset of the samples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Dataset::len).
    pub fn select(&self, indices: &[usize]) -> Dataset {
        let mut chosen = Dataset { inputs: Vec::new(), labels: Vec::new(), ..*self };
        chosen.inputs.reserve_exact(indices.len() * self.shape.numel());
        self.gather(indices, &mut chosen.inputs, &mut chosen.labels);
        chosen
    }

    /// The first `n` samples, or all if there are fewer.
    pub fn take(mut self, n: usize) -> Dataset {
        self.labels.truncate(n);
        self.inputs.truncate(self.labels.len() * self.shape.numel());
        self
    }

    /// Splits off the last `fraction` of the samples, as Keras does for validation: what is left and
    /// what was split off. Each side has at least one sample.
    ///
    /// # Errors
    /// [`Error::Argument`] if the fraction is not strictly between 0 and 1, or if there are fewer
    /// than two samples.
    pub fn split_last(mut self, fraction: f64) -> Result<(Dataset, Dataset)> {
        let argument = |argument, value: String, expected| Error::Argument { argument, value, expected };
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(argument("fraction", fraction.to_string(), "it must be between 0 and 1"));
        }
        let len = self.len();
        if len < 2 {
            return Err(argument("number of samples", len.to_string(), "a split needs at least two"));
        }
        let last = ((len as f64 * fraction).round() as usize).clamp(1, len - 1);
        let labels = self.labels.split_off(len - last);
        let inputs = self.inputs.split_off((len - last) * self.shape.numel());
        let split_off = Dataset { inputs, labels, ..self };
        Ok((self, split_off))
    }
}

/// A dataset that comes in two parts.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainTest {
    /// The samples to learn from.
    pub train: Dataset,
    /// The samples to judge by.
    pub test: Dataset,
}

impl TrainTest {
    /// The shape of one sample, without the batch.
    pub fn input_shape(&self) -> Shape {
        self.train.input_shape()
    }
}

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

/// Reads MNIST, or a set in its format, from a folder that holds
/// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte`, each plain or with `.gz`.
///
/// Samples have shape `[1, height, width]`; pixels are divided by 255 and lie in `[0, 1]`.
///
/// # Errors
/// [`Error::Io`] with the names looked for if a file is missing; [`Error::Corrupt`] as for
/// [`read_idx`], and if a file has the wrong number of dimensions or the files do not fit
/// together; [`Error::LabelOutOfRange`] for a label above 9.
pub fn mnist(folder: impl AsRef<Path>) -> Result<TrainTest> {
    read_set(folder.as_ref(), "")
}

/// Reads Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017) as [`mnist`] does, from the folder
/// `fashion-mnist` in `folder`, or from `folder` itself where it has none. The names of the classes are
/// [`FASHION_MNIST_CLASSES`].
///
/// # Errors
/// As for [`mnist`].
pub fn fashion_mnist(folder: impl AsRef<Path>) -> Result<TrainTest> {
    let source = "; Fashion-MNIST is at https://github.com/zalandoresearch/fashion-mnist";
    read_set(&subfolder(folder.as_ref(), "fashion-mnist"), source)
}

/// The folder of this name in `folder`, or `folder` itself where it has none.
fn subfolder(folder: &Path, name: &str) -> PathBuf {
    let inner = folder.join(name);
    if inner.is_dir() { inner } else { folder.to_owned() }
}

/// The four files of a set in MNIST's format; `source` ends the message about a missing one.
fn read_set(folder: &Path, source: &str) -> Result<TrainTest> {
    let part = |prefix: &str| {
        let images = find(folder, &format!("{prefix}-images-idx3-ubyte"), source)?;
        let labels = find(folder, &format!("{prefix}-labels-idx1-ubyte"), source)?;
        read_images(&images, &labels, MNIST_CLASSES).map(|data| (data, images))
    };
    let ((train, _), (test, test_images)) = (part("train")?, part("t10k")?);
    if train.shape != test.shape {
        let message = format!("its samples are {}, {} expected as in training", test.shape, train.shape);
        return Err(Error::Corrupt { path: test_images, message });
    }
    Ok(TrainTest { train, test })
}

/// The file of this name, plain or compressed.
fn find(folder: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let names = [name.to_owned(), format!("{name}.gz")];
    let found = names.iter().map(|n| folder.join(n)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let message = format!("no file `{}` or `{}` in this folder{source}", names[0], names[1]);
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, message);
        Error::Io { path: folder.to_owned(), source }
    })
}

/// A pair of IDX files: images `[n, height, width]` and labels `[n]`.
fn read_images(images: &Path, labels: &Path, classes: u32) -> Result<Dataset> {
    let corrupt = |path: &Path, message: String| Error::Corrupt { path: path.to_owned(), message };
    let pixels = read_idx(images)?;
    let &[count, height, width] = &pixels.dims[..] else {
        return Err(corrupt(images, format!("its dimensions are {:?}, 3 expected for images", pixels.dims)));
    };
    let given = read_idx(labels)?;
    if given.dims.len() != 1 {
        return Err(corrupt(labels, format!("its dimensions are {:?}, 1 expected for labels", given.dims)));
    }
    if given.data.len() != count {
        let message =
            format!("{} labels, {count} expected for the images of {}", given.data.len(), images.display());
        return Err(corrupt(labels, message));
    }
    let classes_of: Vec<u32> = given.data.into_iter().map(u32::from).collect();
    check_labels(&labels.display().to_string(), &classes_of, classes)?;
    let inputs = pixels.data.into_iter().map(|pixel| f32::from(pixel) / 255.0).collect();
    Dataset::new([1, height, width], inputs, classes_of, classes)
}

fn check_labels(name: &str, labels: &[u32], classes: u32) -> Result<()> {
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(()),
        Some(index) => {
            let label = labels[index];
            Err(Error::LabelOutOfRange { name: name.to_owned(), index, label, limit: classes })
        }
    }
}
