//! Data: readers for files of samples, what they become in memory, texts as numbers, splits, scaling.
//!
//! | from | read by | as |
//! |---|---|---|
//! | MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 | [`mnist`], [`fashion_mnist`], [`cifar10`], [`cifar100`], or by name [`PublicDataset`] | [`TrainTest`] |
//! | CSV | [`Table`] | [`Dataset`] or [`Samples`] |
//! | a folder of images | `image_folder`, with the feature `images` | [`Dataset`] |
//! | the Large Movie Review Dataset | [`imdb`] | [`TrainTestTexts`] |
//! | slices and vectors | [`Dataset::new`], [`Samples::new`]; [`channels_first`] for pixels whose channels are last | |
//!
//! With the feature `download`, the module `download` fetches the first four.

mod channels;
mod cifar;
mod dataset;
#[cfg(feature = "download")]
#[cfg_attr(docsrs, doc(cfg(feature = "download")))]
pub mod download;
mod idx;
#[cfg(feature = "images")]
mod image_folder;
mod imdb;
mod mnist;
mod public;
mod samples;
mod scale;
mod sequences;
mod split;
mod table;
mod texts;
mod vocabulary;

use std::path::{Path, PathBuf};

pub use channels::channels_first;
pub use cifar::{
    CIFAR10_CLASSES, CIFAR100_CLASSES, CIFAR100_SUPERCLASSES, Cifar100Labels, cifar10, cifar100,
};
pub use dataset::{Dataset, TrainTest, one_hot};
pub use idx::{IdxArray, read_idx};
#[cfg(feature = "images")]
#[cfg_attr(docsrs, doc(cfg(feature = "images")))]
pub use image_folder::{ImageChannels, ImageOptions, image_folder};
pub use imdb::{IMDB_CLASSES, imdb};
pub use mnist::{FASHION_MNIST_CLASSES, fashion_mnist, mnist};
pub use public::PublicDataset;
pub use samples::{Column, ColumnData, Samples};
pub use scale::{MinMax, Standardize};
pub use sequences::{Characters, Side, Windows, pad_sequences, unigram_entropy, windows};
pub use split::{split_indices, stratified_indices};
pub use table::{Table, TableOptions};
pub use texts::{Texts, TrainTestTexts};
pub use vocabulary::{Vocabulary, words};

use crate::error::{Error, Result};

/// The folder of this name in `folder`, or `folder` itself where it has none.
fn subfolder(folder: &Path, name: &str) -> PathBuf {
    let inner = folder.join(name);
    if inner.is_dir() { inner } else { folder.to_owned() }
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
