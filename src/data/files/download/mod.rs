//! Fetches public data sets, each once, into a folder that is looked into first: a set that is there is read
//! as it is, packed or not, wherever it came from.
//!
//! ```no_run
//! use retape::data::download;
//! let data = download::mnist()?;
//! # let _ = data;
//! # Ok::<(), retape::Error>(())
//! ```
//!
//! Files go to the folder that the environment variable `RETAPE_DATA` names, else to `retape` in the system's
//! cache folder, or to one that is given to [`Download`]. A set is fetched if none of its files is there, or
//! if fetching it broke off; files of another origin are left alone, and what is wrong with them is the
//! reader's error. What [`fetch`] finds in a file's place counts if it has the published MD5 sum, and is
//! replaced if not. The sums tell damaged files from sound ones; they do not protect against forgery.
//!
//! What is fetched grows in a file that ends with `.part`, and takes its name once its sum is right. A part
//! left by an earlier run, or by a connection that broke, is resumed where the server allows it. A lock on a
//! file that ends with `.lock`, which stays, lets one process at a time fetch a file: the others wait, then
//! find it there. File systems without locks are used without.

mod fetch;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use fetch::fetch;
use fetch::is_right;

use super::public::{MNIST_URL, named_folder};
use super::{Cifar100Labels, PublicDataset, TrainTest};
use crate::error::{Error, Result};

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Where the file is to go.
    pub path: &'a Path,
    /// The bytes that are there.
    pub bytes: u64,
    /// The bytes of the whole file, if the server says.
    pub total: Option<u64>,
}

/// Reads MNIST as [`mnist`](super::mnist) does, once it is there.
///
/// # Errors
/// As for [`fetch`] and the reader.
pub fn mnist() -> Result<TrainTest> {
    Download::new().mnist()
}

/// Reads Fashion-MNIST as [`fashion_mnist`](super::fashion_mnist) does, once it is there.
///
/// # Errors
/// As for [`fetch`] and the reader.
pub fn fashion_mnist() -> Result<TrainTest> {
    Download::new().fashion_mnist()
}

/// Reads CIFAR-10 as [`cifar10`](super::cifar10) does, once it is there; what is fetched is its archive.
///
/// # Errors
/// As for [`fetch`] and the reader.
pub fn cifar10() -> Result<TrainTest> {
    Download::new().cifar10()
}

/// Reads CIFAR-100 as [`cifar100`](super::cifar100) does, once it is there; what is fetched is its archive.
///
/// # Errors
/// As for [`fetch`] and the reader.
pub fn cifar100(labels: Cifar100Labels) -> Result<TrainTest> {
    Download::new().cifar100(labels)
}

/// What a set consists of: files with their MD5 sums, the servers that have them, and its folder among
/// other sets.
struct Set<'a> {
    dataset: PublicDataset,
    folder: &'a str,
    mirrors: &'a [&'a str],
    files: &'a [(&'a str, &'a str)],
}

impl Set<'_> {
    /// Whether fetching into `base` ended between two files: some are there, all of them as published, and
    /// of the others there is nothing, not even unpacked. Other files are not for [`fetch`] to replace.
    fn is_begun(&self, base: &Path) -> Result<bool> {
        let folder = base.join(self.folder);
        let (there, missing): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(name, _)| folder.join(name).exists());
        let unpacked = |name: &str| folder.join(name.trim_end_matches(".gz")).exists();
        if there.is_empty() || missing.is_empty() || missing.iter().any(|(name, _)| unpacked(name)) {
            return Ok(false);
        }
        there.into_iter().try_fold(true, |all, (name, md5)| Ok(all && is_right(&folder.join(name), md5)?))
    }

    /// The set as it is in `base`; nothing where it is not, or where fetching it broke off.
    fn found(&self, base: &Path, labels: Cifar100Labels) -> Result<Option<TrainTest>> {
        if self.is_begun(base)? {
            return Ok(None);
        }
        match self.dataset.read_labelled(base, labels) {
            Err(Error::MissingData { .. }) => Ok(None),
            read => read.map(Some),
        }
    }
}

const MNIST: Set = Set {
    dataset: PublicDataset::Mnist,
    folder: "mnist",
    mirrors: &[MNIST_URL, "https://storage.googleapis.com/cvdf-datasets/mnist/"],
    files: &[
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ],
};

const FASHION_MNIST: Set = Set {
    dataset: PublicDataset::FashionMnist,
    folder: "fashion-mnist",
    mirrors: &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
    files: &[
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
};

const CIFAR10: Set = Set {
    dataset: PublicDataset::Cifar10,
    folder: "",
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    files: &[("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
};

const CIFAR100: Set = Set {
    dataset: PublicDataset::Cifar100,
    folder: "",
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    files: &[("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
};

/// What is told how far a file has come.
type Watcher<'a> = Box<dyn FnMut(Progress<'_>) + 'a>;

/// Fetches data sets into a folder, from servers, with a report of progress, all three as chosen.
///
/// ```no_run
/// use retape::data::download::Download;
/// let data = Download::new()
///     .folder("data")
///     .progress(|file| eprintln!("{}: {} bytes of {:?}", file.path.display(), file.bytes, file.total))
///     .cifar10()?;
/// # let _ = data;
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct Download<'a> {
    folder: Option<PathBuf>,
    mirrors: Option<Vec<String>>,
    progress: Option<Watcher<'a>>,
}

impl fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Download");
        debug.field("folder", &self.folder).field("mirrors", &self.mirrors).finish_non_exhaustive()
    }
}

impl<'a> Download<'a> {
    /// Into the folder that the [module](self) names, from the servers that publish the sets.
    pub fn new() -> Self {
        Download::default()
    }

    setters! {
        /// Where files go. The files of MNIST and Fashion-MNIST have the same names and go to the folders
        /// `mnist` and `fashion-mnist` in it; the archives of the CIFAR sets go to the folder itself.
        folder: impl Into<PathBuf> => folder = Some(folder.into());
        /// The addresses to which the files' names are added, in the order in which they are tried, instead
        /// of those that publish the sets.
        mirrors: &[&str] => mirrors = Some(mirrors.iter().map(|&address| address.to_owned()).collect());
        /// What is called while a file is fetched: when it begins, and after each piece of it.
        progress: impl FnMut(Progress<'_>) + 'a => progress = Some(Box::new(progress));
    }

    /// [`mnist`] with these choices.
    ///
    /// # Errors
    /// As for [`mnist`].
    pub fn mnist(self) -> Result<TrainTest> {
        self.read_or_fetch(&MNIST, Cifar100Labels::Fine)
    }

    /// [`fashion_mnist`] with these choices.
    ///
    /// # Errors
    /// As for [`fashion_mnist`].
    pub fn fashion_mnist(self) -> Result<TrainTest> {
        self.read_or_fetch(&FASHION_MNIST, Cifar100Labels::Fine)
    }

    /// [`cifar10`] with these choices.
    ///
    /// # Errors
    /// As for [`cifar10`].
    pub fn cifar10(self) -> Result<TrainTest> {
        self.read_or_fetch(&CIFAR10, Cifar100Labels::Fine)
    }

    /// [`cifar100`] with these choices.
    ///
    /// # Errors
    /// As for [`cifar100`].
    pub fn cifar100(self, labels: Cifar100Labels) -> Result<TrainTest> {
        self.read_or_fetch(&CIFAR100, labels)
    }

    /// [`load`] of a set with these choices.
    fn load(self, set: &Set<'_>, base: &Path) -> Result<TrainTest> {
        let labels = Cifar100Labels::Fine;
        if self.folder.as_deref() != Some(base)
            && let Some(data) = set.found(base, labels)?
        {
            return Ok(data);
        }
        self.read_or_fetch(set, labels)
    }

    /// Reads a set from the folder that files go to, fetched if it is not there.
    fn read_or_fetch(mut self, set: &Set<'_>, labels: Cifar100Labels) -> Result<TrainTest> {
        let base = self.folder.take().map_or_else(default_folder, Ok)?;
        if let Some(data) = set.found(&base, labels)? {
            return Ok(data);
        }
        self.fetch(set, &base)?;
        set.dataset.read_labelled(&base, labels)
    }

    /// Fetches the files of a set into its folder in `base`.
    fn fetch(mut self, set: &Set<'_>, base: &Path) -> Result<()> {
        let folder = base.join(set.folder);
        let published = || set.mirrors.iter().map(|&mirror| mirror.to_owned()).collect();
        let mirrors: Vec<String> = self.mirrors.take().unwrap_or_else(published);
        let mut silent = |_: Progress<'_>| {};
        let progress = self.progress.as_deref_mut().unwrap_or(&mut silent);
        for (name, md5) in set.files {
            let urls: Vec<String> =
                mirrors.iter().map(|mirror| format!("{}/{name}", mirror.trim_end_matches('/'))).collect();
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            fetch(&urls, &folder.join(name), md5, progress)?;
        }
        Ok(())
    }
}

/// Reads a set from where it is in `base`, else in the folder that files go to. One that is in neither, or
/// whose fetching broke off, is fetched.
pub(super) fn load(dataset: PublicDataset, base: &Path, folder: Option<&Path>) -> Result<TrainTest> {
    let set = match dataset {
        PublicDataset::Mnist => &MNIST,
        PublicDataset::FashionMnist => &FASHION_MNIST,
        PublicDataset::Cifar10 => &CIFAR10,
        PublicDataset::Cifar100 => &CIFAR100,
    };
    Download { folder: folder.map(Path::to_owned), ..Download::default() }.load(set, base)
}

/// The folder that `RETAPE_DATA` names, else `retape` in the system's cache folder.
///
/// # Errors
/// [`Error::Argument`] if there is neither.
pub fn default_folder() -> Result<PathBuf> {
    default_folder_in(|name| std::env::var_os(name), dirs::cache_dir)
}

/// [`default_folder`] in an environment and with a system's cache folder.
fn default_folder_in(
    environment: impl Fn(&str) -> Option<OsString>,
    cache: impl FnOnce() -> Option<PathBuf>,
) -> Result<PathBuf> {
    let cache = || cache().map(|cache| cache.join("retape"));
    let expected = "it must name a folder, for the system has no cache folder";
    let neither = || Error::argument("RETAPE_DATA", "not set", expected);
    named_folder(environment).or_else(cache).ok_or_else(neither)
}
