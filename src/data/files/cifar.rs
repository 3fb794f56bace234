//! CIFAR-10 and CIFAR-100 in their binary format: records of one or two labels and 32 x 32 pixels in three
//! planes, in files or in the archive that they come in. See <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Dataset, TrainTest, check_labels, missing, read_archive, subfolder};
use crate::error::{Error, Result};
use crate::files::{read, reserve};

/// The class names of CIFAR-10, by label.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The names of CIFAR-100's fine classes, by label.
#[rustfmt::skip]
pub const CIFAR100_CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

/// The names of CIFAR-100's coarse classes, by label: each stands for five fine ones.
pub const CIFAR100_SUPERCLASSES: [&str; 20] = [
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

/// Which of the two labels of each image of CIFAR-100 to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cifar100Labels {
    /// One of the 100 [`CIFAR100_CLASSES`].
    #[default]
    Fine,
    /// One of the 20 [`CIFAR100_SUPERCLASSES`].
    Coarse,
}

/// Colour, height and width of an image.
const SHAPE: [usize; 3] = [3, 32, 32];
/// What one of the files may hold: more than twice what the largest does.
const LIMIT: u64 = 1 << 29;
const PIXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];

/// One of the two sets in its binary format.
pub(super) struct Format {
    /// What the archive unpacks to.
    folder: &'static str,
    archive: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// The classes of each label byte of a record.
    labels: &'static [&'static [&'static str]],
}

pub(super) const CIFAR10: Format = Format {
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    labels: &[&CIFAR10_CLASSES],
};

pub(super) const CIFAR100: Format = Format {
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    train: &["train.bin"],
    test: "test.bin",
    labels: &[&CIFAR100_SUPERCLASSES, &CIFAR100_CLASSES],
};

/// Reads CIFAR-10 in its binary format: those of `data_batch_1.bin` to `data_batch_5.bin` that are there, in
/// this order, to learn from, and `test_batch.bin` to judge by.
///
/// `path` is the folder `cifar-10-batches-bin`, or one that holds it, or the archive
/// `cifar-10-binary.tar.gz`, or a folder that holds that. The folder comes first; the archive is read as it
/// is, and nothing is unpacked to the disk.
///
/// Samples have shape `[3, 32, 32]`, red, green and blue; pixels are divided by 255 and lie in `[0, 1]`. The
/// names of the classes are [`CIFAR10_CLASSES`].
///
/// # Errors
/// [`Error::Io`] with the names looked for if there is no training file or no test file;
/// [`Error::Corrupt`] if a file does not consist of whole records or holds none, and for a damaged or
/// truncated archive; [`Error::LabelOutOfRange`] for a label above 9; [`Error::FileLimit`] for a file of more
/// than 512 MiB and an archive that unpacks to more than 4 GiB; [`Error::OutOfMemory`].
pub fn cifar10(path: impl AsRef<Path>) -> Result<TrainTest> {
    CIFAR10.read(path.as_ref(), 0)
}

/// Reads CIFAR-100 in its binary format, `train.bin` to learn from and `test.bin` to judge by, with the
/// labels asked for; see [`cifar10`]. `path` is the folder `cifar-100-binary`, or one that holds it, or the
/// archive `cifar-100-binary.tar.gz`, or a folder that holds that.
///
/// ```no_run
/// use retape::data::{Cifar100Labels, cifar100};
/// let data = cifar100("data", Cifar100Labels::Fine)?;
/// assert_eq!(data.train.classes(), 100);
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// As for [`cifar10`]; [`Error::LabelOutOfRange`] for either label of an image.
pub fn cifar100(path: impl AsRef<Path>, labels: Cifar100Labels) -> Result<TrainTest> {
    // The coarse label comes first in a record.
    CIFAR100.read(path.as_ref(), usize::from(labels == Cifar100Labels::Fine))
}

/// A file: where it was found, and its bytes.
type Contents = (PathBuf, Vec<u8>);

impl Format {
    /// The set, with the labels of this byte of each record.
    fn read(&self, path: &Path, label: usize) -> Result<TrainTest> {
        let (place, mut files) = self.files(path)?;
        let missing = |what: &[&str]| {
            let message = format!(
                "no file `{}` in this folder, and no archive `{}`; the binary version of the CIFAR sets is at \
                 https://www.cs.toronto.edu/~kriz/cifar.html",
                what.join("` to `"),
                self.archive
            );
            missing(&place, message)
        };
        let train: Vec<Contents> = self.train.iter().filter_map(|name| files.remove(*name)).collect();
        if train.is_empty() {
            let mut names = vec![self.train[0], self.train[self.train.len() - 1]];
            names.dedup();
            return Err(missing(&names));
        }
        let test = files.remove(self.test).ok_or_else(|| missing(&[self.test]))?;
        Ok(TrainTest { train: self.dataset(&train, label)?, test: self.dataset(&[test], label)? })
    }

    /// Whether any of the files, or the archive, is in this folder.
    pub(super) fn is_near(&self, folder: &Path) -> bool {
        let inner = subfolder(folder, self.folder);
        self.names().any(|name| inner.join(name).is_file()) || folder.join(self.archive).is_file()
    }

    /// Where the set was found, and those of its files that are there, by name: in the set's folder, else in
    /// the archive, which may be the path itself. Within the archive they may be anywhere.
    fn files(&self, path: &Path) -> Result<(PathBuf, BTreeMap<&'static str, Contents>)> {
        let inner = subfolder(path, self.folder);
        let archive = if path.is_file() { path.to_owned() } else { path.join(self.archive) };
        let there: Vec<&str> = self.names().filter(|name| inner.join(name).is_file()).collect();
        if there.is_empty() && archive.is_file() {
            let files =
                read_archive(&archive, LIMIT, |inner| self.names().find(|name| inner.ends_with(name)))?;
            let contents = |(name, inner, bytes)| (name, (archive.join::<PathBuf>(inner), bytes));
            let files = files.into_iter().map(contents).collect();
            return Ok((archive, files));
        }
        let file = |name| {
            let path = inner.join(name);
            let bytes = read(&path, LIMIT)?;
            Ok((name, (path, bytes)))
        };
        let files = there.into_iter().map(file).collect::<Result<_>>()?;
        Ok((inner, files))
    }

    /// The names of all files.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().copied().chain([self.test])
    }

    /// The length of a record.
    fn record(&self) -> usize {
        self.labels.len() + PIXELS
    }

    /// The records of all files, one after the other.
    fn dataset(&self, files: &[Contents], label: usize) -> Result<Dataset> {
        files.iter().try_for_each(|(path, bytes)| self.check(path, bytes))?;
        let count = files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() / self.record();
        let path = files.first().map_or(Path::new(""), |(path, _)| path);
        let mut inputs = reserve(path, count * PIXELS)?;
        let mut labels = reserve(path, count)?;
        for record in files.iter().flat_map(|(_, bytes)| bytes.chunks_exact(self.record())) {
            labels.push(u32::from(record[label]));
            inputs.extend(record[self.labels.len()..].iter().map(|&pixel| f32::from(pixel) / 255.0));
        }
        let names = self.labels[label];
        Dataset::new(SHAPE, inputs, labels, names.len() as u32)?.with_class_names(names)
    }

    /// Fails unless a file holds whole records with labels in range, at least one.
    fn check(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let expected = self.record();
        Error::expect_intact(!bytes.is_empty(), path, "it is empty")?;
        let (records, rest) = (bytes.len() / expected, bytes.len() % expected);
        let message =
            format!("truncated: {rest} bytes after {records} whole records, {expected} expected in a record");
        Error::expect_intact(rest == 0, path, message)?;
        for (offset, names) in self.labels.iter().enumerate() {
            let labels: Vec<u32> = bytes[offset..].iter().step_by(expected).map(|&b| u32::from(b)).collect();
            check_labels(&path.display().to_string(), &labels, names.len() as u32)?;
        }
        Ok(())
    }
}
