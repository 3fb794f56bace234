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
//! reader's error. What [`fetch`] finds in a file's place counts if it has the published SHA-256 sum, and is
//! replaced if not. No more bytes are fetched than the published file has.
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
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use fetch::fetch;
use fetch::is_right;

use super::imdb as imdb_reader;
use super::public::{MNIST_URL, named_folder};
use super::{Cifar100Labels, PublicDataset, TrainTest, TrainTestTexts};
use crate::error::{Error, FetchError, Result};

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

/// Reads the Large Movie Review Dataset as [`imdb`](super::imdb) does, once it is there; what is fetched is its
/// archive.
///
/// # Errors
/// As for [`fetch`] and the reader.
pub fn imdb() -> Result<TrainTestTexts> {
    Download::new().imdb()
}

/// What a set consists of: files with their SHA-256 sums and lengths in bytes, the servers that have them, those
/// with https first, and its folder among other sets.
struct Set<'a> {
    folder: &'a str,
    mirrors: &'a [&'a str],
    files: &'a [(&'a str, &'a str, u64)],
}

impl Set<'_> {
    /// Whether fetching into `base` ended between two files: some are there, all of them as published, and
    /// of the others there is nothing, not even unpacked. Other files are not for [`fetch`] to replace.
    fn is_begun(&self, base: &Path) -> Result<bool> {
        let folder = base.join(self.folder);
        let (there, missing): (Vec<&(&str, &str, u64)>, Vec<_>) =
            self.files.iter().partition(|file| folder.join(file.0).exists());
        let unpacked = |name: &str| folder.join(name.trim_end_matches(".gz")).exists();
        if there.is_empty() || missing.is_empty() || missing.iter().any(|file| unpacked(file.0)) {
            return Ok(false);
        }
        there.into_iter().try_fold(true, |all, (name, sum, _)| Ok(all && is_right(&folder.join(name), sum)?))
    }

    /// The set as it is in `base`; nothing where it is not, or where fetching it broke off.
    fn found<T>(&self, base: &Path, read: &impl Fn(&Path) -> Result<T>) -> Result<Option<T>> {
        if self.is_begun(base)? {
            return Ok(None);
        }
        match read(base) {
            Err(Error::Fetch(FetchError::Missing { .. })) => Ok(None),
            read => read.map(Some),
        }
    }
}

const MNIST: Set<'_> = Set {
    folder: "mnist",
    mirrors: &[MNIST_URL, "https://storage.googleapis.com/cvdf-datasets/mnist/"],
    files: &[
        (
            "train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9_912_422,
        ),
        (
            "train-labels-idx1-ubyte.gz",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            28_881,
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            1_648_877,
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            4_542,
        ),
    ],
};

const FASHION_MNIST: Set<'_> = Set {
    folder: "fashion-mnist",
    mirrors: &[
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
    files: &[
        (
            "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            26_421_880,
        ),
        (
            "train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            29_515,
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            4_422_102,
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            5_148,
        ),
    ],
};

const CIFAR10: Set<'_> = Set {
    folder: "",
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    files: &[(
        "cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        170_052_171,
    )],
};

const CIFAR100: Set<'_> = Set {
    folder: "",
    mirrors: &["https://www.cs.toronto.edu/~kriz/"],
    files: &[(
        "cifar-100-binary.tar.gz",
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        168_513_733,
    )],
};

const IMDB: Set<'_> = Set {
    folder: "imdb",
    mirrors: &["https://ai.stanford.edu/~amaas/data/sentiment/"],
    files: &[(
        "aclImdb_v1.tar.gz",
        "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
        84_125_825,
    )],
};

/// What reads a set of images from where it is among others.
fn reader(dataset: PublicDataset, labels: Cifar100Labels) -> impl Fn(&Path) -> Result<TrainTest> {
    move |base| dataset.read_labelled(base, labels)
}

/// Reads the film reviews from where they are among other sets, in a folder called `imdb` or in `base` itself.
fn read_imdb(base: &Path) -> Result<TrainTestTexts> {
    let folder = base.join(IMDB.folder);
    let is_missing =
        |e: &Error| matches!(e, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound);
    match imdb_reader(&folder) {
        Err(error) if is_missing(&error) => imdb_reader(base).map_err(|error| match error {
            error if is_missing(&error) => Error::Fetch(FetchError::Missing {
                set: "the Large Movie Review Dataset",
                folder,
                files: "aclImdb_v1.tar.gz, or the folder aclImdb that is in it,",
                url: IMDB.mirrors[0],
            }),
            error => error,
        }),
        read => read,
    }
}

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
        /// `mnist` and `fashion-mnist` in it, the archive of film reviews to `imdb`; those of the CIFAR sets go to
        /// the folder itself.
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
        self.read_or_fetch(&MNIST, reader(PublicDataset::Mnist, Cifar100Labels::Fine))
    }

    /// [`fashion_mnist`] with these choices.
    ///
    /// # Errors
    /// As for [`fashion_mnist`].
    pub fn fashion_mnist(self) -> Result<TrainTest> {
        self.read_or_fetch(&FASHION_MNIST, reader(PublicDataset::FashionMnist, Cifar100Labels::Fine))
    }

    /// [`cifar10`] with these choices.
    ///
    /// # Errors
    /// As for [`cifar10`].
    pub fn cifar10(self) -> Result<TrainTest> {
        self.read_or_fetch(&CIFAR10, reader(PublicDataset::Cifar10, Cifar100Labels::Fine))
    }

    /// [`cifar100`] with these choices.
    ///
    /// # Errors
    /// As for [`cifar100`].
    pub fn cifar100(self, labels: Cifar100Labels) -> Result<TrainTest> {
        self.read_or_fetch(&CIFAR100, reader(PublicDataset::Cifar100, labels))
    }

    /// [`imdb`] with these choices.
    ///
    /// # Errors
    /// As for [`imdb`].
    pub fn imdb(self) -> Result<TrainTestTexts> {
        self.read_or_fetch(&IMDB, read_imdb)
    }

    /// [`load`] of a set with these choices.
    fn load<T>(self, set: &Set<'_>, base: &Path, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
        if self.folder.as_deref() != Some(base)
            && let Some(data) = set.found(base, &read)?
        {
            return Ok(data);
        }
        self.read_or_fetch(set, read)
    }

    /// Reads a set from the folder that files go to, fetched if it is not there.
    fn read_or_fetch<T>(mut self, set: &Set<'_>, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
        let base = self.folder.take().map_or_else(default_folder, Ok)?;
        if let Some(data) = set.found(&base, &read)? {
            return Ok(data);
        }
        self.fetch(set, &base)?;
        read(&base)
    }

    /// Fetches the files of a set into its folder in `base`.
    fn fetch(mut self, set: &Set<'_>, base: &Path) -> Result<()> {
        let folder = base.join(set.folder);
        let published = || set.mirrors.iter().map(|&mirror| mirror.to_owned()).collect();
        let mirrors: Vec<String> = self.mirrors.take().unwrap_or_else(published);
        let mut silent = |_: Progress<'_>| {};
        let progress = self.progress.as_deref_mut().unwrap_or(&mut silent);
        for &(name, sha256, bytes) in set.files {
            let urls: Vec<String> =
                mirrors.iter().map(|mirror| format!("{}/{name}", mirror.trim_end_matches('/'))).collect();
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            fetch(&urls, &folder.join(name), sha256, bytes, progress)?;
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
    Download { folder: folder.map(Path::to_owned), ..Download::default() }.load(
        set,
        base,
        reader(dataset, Cifar100Labels::Fine),
    )
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
