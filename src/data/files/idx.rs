//! IDX files, the format of MNIST: two zero bytes, a dtype code, the number of dimensions, each
//! dimension as a big-endian u32, then the elements. See the format's description on the MNIST
//! page of LeCun, Cortes and Burges.

use std::io::Read;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

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
/// is damaged.
pub fn read_idx(path: impl AsRef<Path>) -> Result<IdxArray> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let parsed = match bytes[..] {
        [0x1f, 0x8b, ..] => parse(&mut MultiGzDecoder::new(&bytes[..])),
        _ => parse(&mut &bytes[..]),
    };
    parsed.map_err(|message| Error::corrupt(path, message))
}

fn parse(source: &mut dyn Read) -> Result<IdxArray, String> {
    let magic = header(source, 4)?;
    let &[0, 0, dtype, rank] = &magic[..] else {
        return Err(format!("not an IDX file: it begins with {magic:02x?}, two zero bytes expected"));
    };
    if dtype != U8 {
        return Err(format!("its elements have dtype code 0x{dtype:02x}, 0x{U8:02x} (u8) expected"));
    }
    if rank == 0 {
        return Err("it has 0 dimensions, at least 1 expected".to_owned());
    }
    let sizes = header(source, 4 * usize::from(rank))?;
    let dims: Vec<u32> = sizes.as_chunks().0.iter().map(|&bytes| u32::from_be_bytes(bytes)).collect();
    if dims.contains(&0) {
        return Err(format!("its header says {dims:?}: it holds no elements"));
    }
    let product = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(u64::from(d)));
    let expected = product
        .filter(|&n| n < u64::MAX && usize::try_from(n).is_ok())
        .ok_or_else(|| format!("its header says {dims:?}: more elements than can be counted"))?;

    // One byte more than announced tells a longer file from one that fits, and reaching the end
    // of a gzip stream checks its checksum.
    let mut data = Vec::new();
    source.take(expected + 1).read_to_end(&mut data).map_err(|e| damaged(&e))?;
    let found = data.len() as u64;
    if found < expected {
        return Err(format!("truncated: {found} elements, {expected} expected for {dims:?}"));
    }
    if found > expected {
        return Err(format!("trailing bytes: more than the {expected} elements expected for {dims:?}"));
    }
    Ok(IdxArray { dims: dims.into_iter().map(|d| d as usize).collect(), data })
}

/// The next `n` bytes of the header.
fn header(source: &mut dyn Read, n: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(n);
    source.take(n as u64).read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    if bytes.len() < n {
        return Err(format!("truncated: {} bytes where the header needs {n}", bytes.len()));
    }
    Ok(bytes)
}

/// The bytes are in memory, so that reading them fails only where gzip does.
fn damaged(error: &std::io::Error) -> String {
    format!("its gzip stream is damaged: {error}")
}
