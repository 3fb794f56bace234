//! Data: readers for files of samples, what they become in memory, texts as numbers, splits, scaling.
//!
//! | from | read by | as |
//! |---|---|---|
//! | MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 | [`mnist`], [`fashion_mnist`], [`cifar10`], [`cifar100`], or by name [`PublicDataset`] | [`TrainTest`] |
//! | QMNIST, EMNIST | [`qmnist`], [`emnist`] | [`TrainTest`] |
//! | CSV | [`Table`] | [`Dataset`] or [`Samples`] |
//! | a folder of images, or one | `image_folder`, `image`, with the feature `images` | [`Dataset`], [`Samples`] |
//! | the Large Movie Review Dataset | [`imdb`] | [`TrainTestTexts`] |
//! | slices and vectors | [`Dataset::new`], [`Samples::new`]; [`channels_first`] for pixels whose channels are last | |
//!
//! What reads files needs the feature `data`, which is on by default; the rest is always there. With the feature
//! `download`, the module `download` fetches the sets of the first row and the film reviews.

mod channels;
mod dataset;
#[cfg(feature = "data")]
mod files;
mod samples;
mod scale;
mod sequences;
mod split;
mod texts;
mod vocabulary;

pub use channels::channels_first;
pub use dataset::{Dataset, TrainTest, one_hot};
#[cfg(feature = "data")]
pub use files::*;
pub use samples::{Column, ColumnData, Samples};
pub use scale::{MinMax, Standardize};
pub use sequences::{Characters, Side, Windows, pad_sequences, unigram_entropy, windows};
pub(crate) use split::{SplitBy, warn_of_classes};
pub use split::{split_indices, stratified_indices};
pub use texts::{Texts, TrainTestTexts};
pub use vocabulary::{Vocabulary, words};

use crate::error::{Error, Result};

fn check_labels(name: &str, labels: &[u32], classes: u32) -> Result<()> {
    let Some(index) = labels.iter().position(|&label| label >= classes) else { return Ok(()) };
    Err(Error::LabelOutOfRange { name: name.to_owned(), index, label: labels[index], limit: classes })
}

fn check_finite(name: &str, values: &[f32]) -> Result<()> {
    let Some(index) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    Err(Error::NonFinite { name: name.to_owned(), index, value: values[index] })
}

/// Copies the rows of `size` elements at `indices` into a buffer that is cleared first.
fn gather<T: Copy>(data: &[T], size: usize, indices: &[usize], batch: &mut Vec<T>) {
    batch.clear();
    batch.reserve(indices.len() * size);
    for &index in indices {
        batch.extend_from_slice(&data[index * size..][..size]);
    }
}
