//! CIFAR-10 in its binary format: records of a label and 32 x 32 pixels in three planes. See
//! <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::path::{Path, PathBuf};

use super::{Dataset, TrainTest, check_labels, subfolder};
use crate::error::{Error, Result};

/// The class names of CIFAR-10, by label.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Colour, height and width of an image.
const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];
/// A label and an image.
const RECORD: usize = 1 + PIXELS;

const SOURCE: &str = "the binary version of CIFAR-10 is at https://www.cs.toronto.edu/~kriz/cifar.html";

/// Reads CIFAR-10 in its binary format from the folder `cifar-10-batches-bin` in `folder`, or from
/// `folder` itself where it has none: those of `data_batch_1.bin` to `data_batch_5.bin` that are
/// there, in this order, to learn from, and `test_batch.bin` to judge by.
///
/// Samples have shape `[3, 32, 32]`, red, green and blue; pixels are divided by 255 and lie in
/// `[0, 1]`. The names of the classes are [`CIFAR10_CLASSES`].
///
/// # Errors
/// [`Error::Io`] with the names looked for if there is no training file or no test file;
/// [`Error::Corrupt`] if a file does not consist of whole records or holds none;
/// [`Error::LabelOutOfRange`] for a label above 9.
pub fn cifar10(folder: impl AsRef<Path>) -> Result<TrainTest> {
    let folder = subfolder(folder.as_ref(), "cifar-10-batches-bin");
    let missing = |what: &str| {
        let message = format!("no file {what} in this folder; {SOURCE}");
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, message);
        Error::Io { path: folder.clone(), source }
    };
    let batches = (1..=5).map(|i| folder.join(format!("data_batch_{i}.bin")));
    let batches: Vec<PathBuf> = batches.filter(|path| path.is_file()).collect();
    if batches.is_empty() {
        return Err(missing("`data_batch_1.bin` to `data_batch_5.bin`"));
    }
    let test = folder.join("test_batch.bin");
    if !test.is_file() {
        return Err(missing("`test_batch.bin`"));
    }
    Ok(TrainTest { train: read(&batches)?, test: read(&[test])? })
}

/// The records of all files, one after the other.
fn read(paths: &[PathBuf]) -> Result<Dataset> {
    let files: Vec<Vec<u8>> = paths.iter().map(|path| read_records(path)).collect::<Result<_>>()?;
    let count = files.iter().map(Vec::len).sum::<usize>() / RECORD;
    let mut inputs = Vec::with_capacity(count * PIXELS);
    let mut labels = Vec::with_capacity(count);
    for record in files.iter().flat_map(|file| file.chunks_exact(RECORD)) {
        labels.push(u32::from(record[0]));
        inputs.extend(record[1..].iter().map(|&pixel| f32::from(pixel) / 255.0));
    }
    Dataset::new(SHAPE, inputs, labels, CIFAR10_CLASSES.len() as u32)
}

/// The bytes of one file: whole records with labels in range, at least one.
fn read_records(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let corrupt = |message: String| Err(Error::Corrupt { path: path.to_owned(), message });
    if bytes.is_empty() {
        return corrupt("it is empty".to_owned());
    }
    let (records, rest) = (bytes.len() / RECORD, bytes.len() % RECORD);
    if rest != 0 {
        return corrupt(format!(
            "truncated: {rest} bytes after {records} whole records, {RECORD} expected in a record"
        ));
    }
    let labels: Vec<u32> = bytes.iter().step_by(RECORD).map(|&label| u32::from(label)).collect();
    check_labels(&path.display().to_string(), &labels, CIFAR10_CLASSES.len() as u32)?;
    Ok(bytes)
}
