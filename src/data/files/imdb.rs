//! The Large Movie Review Dataset: one text file per review, in a folder or in the archive that it comes
//! in. See <https://ai.stanford.edu/~amaas/data/sentiment/>.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::archive::Kept;
use super::{Texts, TrainTestTexts, missing, read_archive};
use crate::error::{Error, Result};
use crate::files::{push, read};

/// The class names of [`imdb`], by label.
pub const IMDB_CLASSES: [&str; 2] = ["negative", "positive"];

/// The folders of the two splits, and within them those of the classes by label.
const SPLITS: [&str; 2] = ["train", "test"];
const CLASSES: [&str; 2] = ["neg", "pos"];

const FOLDER: &str = "aclImdb";
const SOURCE: &str = "the Large Movie Review Dataset is at https://ai.stanford.edu/~amaas/data/sentiment/";

/// What a review may hold: the longest has some 14 thousand bytes.
const LIMIT: u64 = 1 << 20;

/// The split, the class and the file's name of a review.
type Place = (usize, usize, String);
/// Reviews with their places, their paths and their bytes.
type Files = Vec<(Place, PathBuf, Vec<u8>)>;

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
/// that has no reviews of a class; [`Error::FileLimit`] for a review of more than 1 MiB, for more than 1 GiB
/// of reviews, for an archive of more than a million entries, and for one that unpacks to more than 4 GiB;
/// [`Error::OutOfMemory`].
pub fn imdb(path: impl AsRef<Path>) -> Result<TrainTestTexts> {
    let (found, files) = find(path.as_ref())?;
    // By the names of their files: in one order, wherever they were read from.
    let mut reviews: [[BTreeMap<String, String>; 2]; 2] = Default::default();
    for ((split, class, name), path, bytes) in files {
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            let message = format!("it is not UTF-8: byte {at} is 0x{:02x}", e.as_bytes()[at]);
            if !found.is_file() {
                return Error::corrupt(&path, message);
            }
            Error::corrupt(&found, format!("`{}`: {message}", path.display()))
        })?;
        reviews[split][class].insert(name, text);
    }
    let [train, test] = reviews;
    let texts = |split: usize, reviews: [BTreeMap<String, String>; 2]| {
        if let Some(class) = reviews.iter().position(BTreeMap::is_empty) {
            let message = format!("it has no reviews (`{}/{}/*.txt`)", SPLITS[split], CLASSES[class]);
            return Err(Error::corrupt(&found, message));
        }
        let labelled = reviews.into_iter().zip(0..);
        let labelled = labelled.flat_map(|(class, label)| class.into_values().map(move |text| (text, label)));
        let (texts, labels) = labelled.unzip();
        Texts::new(texts, labels, 2)
    };
    Ok(TrainTestTexts { train: texts(0, train)?, test: texts(1, test)? })
}

/// Where the reviews were found, and they.
fn find(path: &Path) -> Result<(PathBuf, Files)> {
    let is_set = |folder: &PathBuf| SPLITS.iter().all(|split| folder.join(split).is_dir());
    if let Some(folder) = [path.join(FOLDER), path.to_owned()].into_iter().find(is_set) {
        let reviews = read_folder(&folder)?;
        return Ok((folder, reviews));
    }
    let archive = if path.is_file() { Some(path.to_owned()) } else { find_archive(path) };
    let Some(archive) = archive else {
        let message = format!(
            "no folder `{FOLDER}` that holds `train` and `test`, and no archive `{FOLDER}_v1.tar.gz` or \
             `{FOLDER}*.tar.gz`, in this folder; {SOURCE}"
        );
        return Err(missing(path, message));
    };
    let reviews = read_archive(&archive, LIMIT, place)?;
    Ok((archive, reviews))
}

/// The archive in a folder that may have several, or none.
fn find_archive(folder: &Path) -> Option<PathBuf> {
    let whole = folder.join(format!("{FOLDER}_v1.tar.gz"));
    let is_archive = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(FOLDER) && name.ends_with(".tar.gz") && path.is_file()
    };
    let archives =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()).filter(is_archive));
    archives.min_by_key(|path| (*path != whole, path.clone()))
}

fn read_folder(folder: &Path) -> Result<Files> {
    let (mut reviews, mut kept) = (Vec::new(), Kept::default());
    for (split, class) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let folder = folder.join(SPLITS[split]).join(CLASSES[class]);
        let entries = match std::fs::read_dir(&folder) {
            // `imdb` says that there are no reviews.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(Error::io(&folder))?,
        };
        for entry in entries {
            let path = entry.map_err(Error::io(&folder))?.path();
            let Some(place) = place(&path).filter(|_| path.is_file()) else { continue };
            let bytes = read(&path, LIMIT)?;
            kept.add(&folder, &path, &bytes)?;
            push(&folder, &mut reviews, (place, path, bytes))?;
        }
    }
    Ok(reviews)
}

/// The place of a file, if it is a review: its last two folders say. Names that begin with a dot are other
/// programs' notes.
fn place(path: &Path) -> Option<Place> {
    let mut folders = path.parent()?.components().rev().map(Component::as_os_str);
    let class = folders.next()?;
    let split = folders.next()?;
    let class = CLASSES.iter().position(|c| class == *c)?;
    let split = SPLITS.iter().position(|s| split == *s)?;
    let name = path.file_name()?.to_str()?;
    (name.ends_with(".txt") && !name.starts_with('.')).then(|| (split, class, name.to_owned()))
}
