use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cifar::{CIFAR10, CIFAR100};
use super::mnist::{any_file, any_file_of_fashion};
use super::{Cifar100Labels, TrainTest, cifar10, cifar100, fashion_mnist, mnist};
use crate::error::{Error, FetchError, Result};

/// The public data sets of images that the crate knows, for programs that take them from wherever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicDataset {
    /// [`mnist`].
    Mnist,
    /// [`fashion_mnist`].
    FashionMnist,
    /// [`cifar10`].
    Cifar10,
    /// [`cifar100`] with fine labels.
    Cifar100,
}

/// What is known about one of the sets.
struct Facts {
    name: &'static str,
    /// Its folder among other sets.
    folder: &'static str,
    /// What holds it where that folder does not.
    archive: Option<&'static str>,
    files: &'static str,
    url: &'static str,
}

/// Where MNIST is to be had: a mirror that the feature `download` uses too.
pub(super) const MNIST_URL: &str = "https://ossci-datasets.s3.amazonaws.com/mnist/";

const IDX_FILES: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                         t10k-labels-idx1-ubyte (plain or .gz)";

impl PublicDataset {
    /// The name that the set is known by: `Fashion-MNIST`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Reads the set from where it is among others in `folder`: in a folder called `mnist`, `fashion-mnist`,
    /// `cifar-10-batches-bin` or `cifar-100-binary`, or for the CIFAR sets in their archive.
    ///
    /// # Errors
    /// [`FetchError::Missing`] if none of the set's files is there, whatever else its folder holds; otherwise
    /// as for its reader.
    pub fn read(self, folder: impl AsRef<Path>) -> Result<TrainTest> {
        self.read_labelled(folder.as_ref(), Cifar100Labels::Fine)
    }

    /// [`read`](PublicDataset::read) with these labels of CIFAR-100.
    pub(super) fn read_labelled(self, base: &Path, labels: Cifar100Labels) -> Result<TrainTest> {
        let facts = self.facts();
        let folder = base.join(facts.folder);
        let archive = facts.archive.map(|name| base.join(name)).filter(|path| path.is_file());
        let Some(path) = Some(&folder).filter(|path| self.any_file(path)).or(archive.as_ref()) else {
            let Facts { name, files, url, .. } = facts;
            return Err(Error::Fetch(FetchError::Missing { set: name, folder, files, url }));
        };
        match self {
            PublicDataset::Mnist => mnist(path),
            PublicDataset::FashionMnist => fashion_mnist(path),
            PublicDataset::Cifar10 => cifar10(path),
            PublicDataset::Cifar100 => cifar100(path, labels),
        }
    }

    /// Whether any of the files that the set's reader looks for is in this folder.
    fn any_file(self, folder: &Path) -> bool {
        match self {
            PublicDataset::Mnist => any_file(folder),
            PublicDataset::FashionMnist => any_file_of_fashion(folder),
            PublicDataset::Cifar10 => CIFAR10.is_near(folder),
            PublicDataset::Cifar100 => CIFAR100.is_near(folder),
        }
    }

    /// Reads the set as [`read`](PublicDataset::read) does, from the folder given, else from the one that
    /// the environment variable `RETAPE_DATA` names, else from `data`.
    ///
    /// With the feature `download`, a set that is not there is fetched: into that folder if one was given,
    /// else as the functions of the module `download` do. One whose fetching broke off is completed, by file
    /// and by byte. Files of another origin are left alone: where they are damaged, or some are missing, the
    /// reader's error says so.
    ///
    /// ```no_run
    /// use retape::data::PublicDataset;
    /// let data = PublicDataset::Mnist.load(None)?;
    /// # let _ = data;
    /// # Ok::<(), retape::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`read`](PublicDataset::read), and for fetching.
    pub fn load(self, folder: Option<&Path>) -> Result<TrainTest> {
        let named = || named_folder(|name| std::env::var_os(name));
        let base = folder.map(Path::to_owned).or_else(named).unwrap_or_else(|| "data".into());
        #[cfg(feature = "download")]
        let data = super::download::load(self, &base, folder);
        #[cfg(not(feature = "download"))]
        let data = self.read(&base);
        data
    }

    fn facts(self) -> Facts {
        const CIFAR: &str = "https://www.cs.toronto.edu/~kriz/cifar.html";
        match self {
            PublicDataset::Mnist => {
                Facts { name: "MNIST", folder: "mnist", archive: None, files: IDX_FILES, url: MNIST_URL }
            }
            PublicDataset::FashionMnist => Facts {
                name: "Fashion-MNIST",
                folder: "fashion-mnist",
                archive: None,
                files: IDX_FILES,
                url: "https://github.com/zalandoresearch/fashion-mnist",
            },
            PublicDataset::Cifar10 => Facts {
                name: "CIFAR-10",
                folder: "cifar-10-batches-bin",
                archive: Some("cifar-10-binary.tar.gz"),
                files: "data_batch_1.bin to data_batch_5.bin and test_batch.bin (the binary version)",
                url: CIFAR,
            },
            PublicDataset::Cifar100 => Facts {
                name: "CIFAR-100",
                folder: "cifar-100-binary",
                archive: Some("cifar-100-binary.tar.gz"),
                files: "train.bin and test.bin (the binary version)",
                url: CIFAR,
            },
        }
    }
}

/// The folder that `RETAPE_DATA` names in this environment; an empty value names none.
pub(super) fn named_folder(environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    environment("RETAPE_DATA").filter(|value| !value.is_empty()).map(PathBuf::from)
}
