//! Training and weights in files: safetensors, with what is not a tensor as JSON in its metadata.
//!
//! A *weights file* holds a model's parameters and running statistics by name; a *checkpoint* holds
//! everything that training goes on from. Both are written beside their place and renamed, so that at
//! every moment there is the old file or the new one, whole; and both have a checksum.

mod file;
mod header;
mod numbers;
mod options;
mod previous;
mod states;
mod weights;

pub(crate) use file::seal;
pub(crate) use header::Header;
pub(crate) use numbers::{Epochs, Numbers};
pub use options::{LoadOptions, LoadReport, SkippedTensor};
pub(crate) use previous::{LAST, PREVIOUS};
pub use states::Checkpoint;
pub(crate) use states::take;
