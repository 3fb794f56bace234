//! IDX files, the format of MNIST: two zero bytes, a dtype code, the number of dimensions, each
//! dimension as a big-endian u32, then the elements. See the format's description on the MNIST
//! page of LeCun, Cortes and Burges.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::archive::UNPACKED;
use crate::error::{Error, Result};
use crate::files::{Limited, read_all};

/// The dtype code of unsigned bytes, the only one that MNIST and its relatives use.
const U8: u8 = 0x08;

/// The contents of an IDX file of unsigned bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    /// The dimensions, outermost first; at least one, and none of them 0.
    pub dims: Vec<usize>,
    /// The elements, row-major.
    pub data: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes. A gzip file is told by its contents, whatever its name.
///
/// Memory grows with the bytes that are there, never with the sizes that the header claims.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read. [`Error::Corrupt`] if it is no IDX file, if it holds
/// another dtype, if it has fewer or more bytes than its header announces, or if its gzip stream
/// is damaged. [`Error::OutOfMemory`] if there is no room for the elements; [`Error::FileLimit`] if a gzip
/// stream unpacks to more than 4 GiB.
pub fn read_idx(path: impl AsRef<Path>) -> Result<IdxArray> {
    let path = path.as_ref();
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut file = BufReader::new(file);
    if file.fill_buf().map_err(Error::io(path))?.starts_with(&[0x1f, 0x8b]) {
        // Deflate packs no more than 1032 bytes into one.
        let most = length.saturating_mul(1032);
        return parse(path, &mut Limited::new(MultiGzDecoder::new(file), UNPACKED), most);
    }
    parse(path, &mut file, length)
}

/// The array in a source of at most so many bytes.
fn parse(path: &Path, source: &mut dyn Read, most: u64) -> Result<IdxArray> {
    let corrupt = |message| Error::corrupt(path, message);
    let magic = header(path, source, 4)?;
    let &[0, 0, dtype, rank] = &magic[..] else {
        let message = format!("not an IDX file: it begins with {magic:02x?}, two zero bytes expected");
        return Err(corrupt(message));
    };
    if dtype != U8 {
        let message = format!("its elements have dtype code 0x{dtype:02x}, 0x{U8:02x} (u8) expected");
        return Err(corrupt(message));
    }
    Error::expect_intact(rank > 0, path, "it has 0 dimensions, at least 1 expected")?;
    let sizes = header(path, source, 4 * usize::from(rank))?;
    let dims: Vec<u32> = sizes.as_chunks().0.iter().map(|&bytes| u32::from_be_bytes(bytes)).collect();
    if dims.contains(&0) {
        return Err(corrupt(format!("its header says {dims:?}: it holds no elements")));
    }
    let product = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(u64::from(d)));
    let uncounted = || corrupt(format!("its header says {dims:?}: more elements than can be counted"));
    let countable = |&n: &u64| n < u64::MAX && usize::try_from(n).is_ok();
    let expected = product.filter(countable).ok_or_else(uncounted)?;

    // One byte more than announced tells a longer file from one that fits, and reaching the end
    // of a gzip stream checks its checksum.
    let room = expected.min(most) as usize;
    let data = read_all(path, &mut source.take(expected + 1), room, damage)?;
    let found = data.len() as u64;
    if found < expected {
        let message = format!("truncated: {found} elements, {expected} expected for {dims:?}");
        return Err(corrupt(message));
    }
    if found > expected {
        let message = format!("trailing bytes: more than the {expected} elements expected for {dims:?}");
        return Err(corrupt(message));
    }
    Ok(IdxArray { dims: dims.into_iter().map(|d| d as usize).collect(), data })
}

/// The next `n` bytes of the header.
fn header(path: &Path, source: &mut dyn Read, n: usize) -> Result<Vec<u8>> {
    let bytes = read_all(path, &mut source.take(n as u64), n, damage)?;
    let message = format!("truncated: {} bytes where the header needs {n}", bytes.len());
    Error::expect_intact(bytes.len() == n, path, message)?;
    Ok(bytes)
}

/// What an error says that is of the stream, and not of the system that gives it.
fn damage(error: &io::Error) -> String {
    format!("its gzip stream is damaged: {error}")
}
