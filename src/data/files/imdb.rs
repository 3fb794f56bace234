//! The Large Movie Review Dataset: one text file per review, in a folder or in the archive that it comes
//! in. See <https://ai.stanford.edu/~amaas/data/sentiment/>.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::Archive;

use super::{Texts, TrainTestTexts};
use crate::error::{Error, Result};

/// The class names of [`imdb`], by label.
pub const IMDB_CLASSES: [&str; 2] = ["negative", "positive"];

/// The folders of the two splits, and within them those of the classes by label.
const SPLITS: [&str; 2] = ["train", "test"];
const CLASSES: [&str; 2] = ["neg", "pos"];

const FOLDER: &str = "aclImdb";
const SOURCE: &str = "the Large Movie Review Dataset is at https://ai.stanford.edu/~amaas/data/sentiment/";

/// The reviews of each split and class by the names of their files: in one order, wherever they were
/// read from.
type Reviews = [[BTreeMap<String, String>; 2]; 2];

/// Reads the Large Movie Review Dataset (Maas, Daly, Pham, Huang, Ng and Potts, ACL 2011): film reviews
/// that are negative (label 0) or positive (1), from `train/neg`, `train/pos`, `test/neg` and `test/pos`.
///
/// `path` is the folder `aclImdb` as the archive unpacks, or the archive itself (`.tar.gz`), or a folder
/// that holds either: the folder comes first, then the archive `aclImdb_v1.tar.gz`, then the first
/// `aclImdb*.tar.gz` by name. The archive is read as it is; nothing is unpacked to the disk.
///
/// Only the `.txt` files of the four folders are read; reviews without a label (`train/unsup`), addresses
/// and bags of words are passed by. Negative reviews come first, each class in the order of its files'
/// names, so that folder and archive give the same. Shuffle them before training.
///
/// # Errors
/// [`Error::Io`] with the names looked for if neither is there, or if a file cannot be read;
/// [`Error::Corrupt`] for a damaged or truncated archive, for a review that is not UTF-8, and for a split
/// that has no reviews of a class.
pub fn imdb(path: impl AsRef<Path>) -> Result<TrainTestTexts> {
    let path = path.as_ref();
    let (found, [train, test]) = read(path)?;
    let texts = |split: usize, reviews: [BTreeMap<String, String>; 2]| {
        if let Some(class) = reviews.iter().position(BTreeMap::is_empty) {
            let message = format!("it has no reviews (`{}/{}/*.txt`)", SPLITS[split], CLASSES[class]);
            return Err(Error::Corrupt { path: found.clone(), message });
        }
        let [negative, positive] = reviews.map(|class| class.into_values().collect::<Vec<_>>());
        let labels = [vec![0; negative.len()], vec![1; positive.len()]].concat();
        Texts::new([negative, positive].concat(), labels, 2)
    };
    Ok(TrainTestTexts { train: texts(0, train)?, test: texts(1, test)? })
}

/// Where the reviews were found, and what they are.
fn read(path: &Path) -> Result<(PathBuf, Reviews)> {
    if path.is_file() {
        return Ok((path.to_owned(), read_archive(path)?));
    }
    let is_set = |folder: &Path| SPLITS.iter().all(|split| folder.join(split).is_dir());
    if let Some(folder) = [path.join(FOLDER), path.to_owned()].into_iter().find(|f| is_set(f)) {
        let reviews = read_folder(&folder)?;
        return Ok((folder, reviews));
    }
    let Some(archive) = find_archive(path) else {
        let message = format!(
            "no folder `{FOLDER}` that holds `train` and `test`, and no archive `{FOLDER}_v1.tar.gz` or \
             `{FOLDER}*.tar.gz`, in this folder; {SOURCE}"
        );
        let source = std::io::Error::new(ErrorKind::NotFound, message);
        return Err(Error::Io { path: path.to_owned(), source });
    };
    let reviews = read_archive(&archive)?;
    Ok((archive, reviews))
}

/// The archive in a folder that may have several, or none.
fn find_archive(folder: &Path) -> Option<PathBuf> {
    let whole = folder.join(format!("{FOLDER}_v1.tar.gz"));
    if whole.is_file() {
        return Some(whole);
    }
    let is_archive = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(FOLDER) && name.ends_with(".tar.gz") && path.is_file()
    };
    std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_archive).min()
}

fn read_folder(folder: &Path) -> Result<Reviews> {
    let failed = |path: &Path, source| Error::Io { path: path.to_owned(), source };
    let mut reviews = Reviews::default();
    for (split, class) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let folder = folder.join(SPLITS[split]).join(CLASSES[class]);
        let entries = match std::fs::read_dir(&folder) {
            // `imdb` says that there are no reviews.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(|e| failed(&folder, e))?,
        };
        for entry in entries {
            let path = entry.map_err(|e| failed(&folder, e))?.path();
            let Some(name) = review_name(&path).filter(|_| path.is_file()) else { continue };
            let bytes = std::fs::read(&path).map_err(|e| failed(&path, e))?;
            let text = decode(bytes).map_err(|message| Error::Corrupt { path, message })?;
            reviews[split][class].insert(name, text);
        }
    }
    Ok(reviews)
}

/// The name of a file that holds a review. Those that begin with a dot are other programs' notes.
fn review_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    (name.ends_with(".txt") && !name.starts_with('.')).then(|| name.to_owned())
}

fn decode(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        format!("it is not UTF-8: byte {at} is 0x{:02x}", e.as_bytes()[at])
    })
}

fn read_archive(path: &Path) -> Result<Reviews> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let corrupt = |message: String| Error::Corrupt { path: path.to_owned(), message };
    let damaged = |e: std::io::Error| corrupt(format!("the archive is damaged or truncated: {e}"));
    let mut archive = Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    let mut reviews = Reviews::default();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let inner = entry.path().map_err(damaged)?.into_owned();
        let Some((split, class, name)) = place(&inner) else { continue };
        let size = entry.size();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        if (bytes.len() as u64) < size {
            return Err(corrupt(format!("truncated within `{}`", inner.display())));
        }
        let text = decode(bytes).map_err(|e| corrupt(format!("`{}`: {e}", inner.display())))?;
        reviews[split][class].insert(name, text);
    }
    // A tar archive ends before its gzip stream does; reaching the end checks the sum.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(damaged)?;
    Ok(reviews)
}

/// The split, the class and the name of an archive's file, if it is a review: its last two folders say.
fn place(path: &Path) -> Option<(usize, usize, String)> {
    let mut folders = path.parent()?.components().rev().map(Component::as_os_str);
    let class = folders.next()?;
    let split = folders.next()?;
    let class = CLASSES.iter().position(|c| class == *c)?;
    let split = SPLITS.iter().position(|s| split == *s)?;
    Some((split, class, review_name(path)?))
}
