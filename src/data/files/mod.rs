//! Readers for files of samples.

mod archive;
mod cifar;
#[cfg(feature = "download")]
pub mod download;
mod idx;
#[cfg(feature = "images")]
mod image_folder;
mod imdb;
mod mnist;
mod mnist_files;
#[cfg(feature = "images")]
mod picture;
mod public;
mod table;

use std::io;
use std::path::{Path, PathBuf};

pub use cifar::{
    CIFAR10_CLASSES, CIFAR100_CLASSES, CIFAR100_SUPERCLASSES, Cifar100Labels, cifar10, cifar100,
};
pub use idx::{IdxArray, IdxData, read_idx};
#[cfg(feature = "images")]
pub use image_folder::{
    ClassNames, ImageChannels, ImageFit, ImageFolder, ImageOptions, SkippedImage, image, image_folder,
};
pub use imdb::{IMDB_CLASSES, imdb};
pub use mnist::{EmnistSplit, FASHION_MNIST_CLASSES, emnist, fashion_mnist, mnist, qmnist};
pub use public::PublicDataset;
pub use table::{Fill, Fills, Table, TableOptions};

use super::{Dataset, Texts, TrainTest, TrainTestTexts, check_labels};
use crate::error::Error;
use archive::read_archive;

/// The folder of this name in `folder`, or `folder` itself where it has none.
fn subfolder(folder: &Path, name: &str) -> PathBuf {
    let inner = folder.join(name);
    if inner.is_dir() { inner } else { folder.to_owned() }
}

/// What is said of a folder that lacks what was looked for.
fn missing(folder: &Path, message: String) -> Error {
    Error::io(folder)(io::Error::new(io::ErrorKind::NotFound, message))
}
