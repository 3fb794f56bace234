//! IDX files, the format of MNIST: two zero bytes, a dtype code, the number of dimensions, each
//! dimension as a big-endian u32, then the elements. See the format's description on the MNIST
//! page of LeCun, Cortes and Burges.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::archive::UNPACKED;
use crate::error::{Error, Result};
use crate::files::{Limited, read_all, reserve};

/// The contents of an IDX file.
#[derive(Clone, Debug, PartialEq)]
pub struct IdxArray {
    /// The dimensions, outermost first; at least one, and none of them 0.
    pub dims: Vec<usize>,
    /// The elements, row-major.
    pub data: IdxData,
}

/// Elements of every type that the format has, a row each: its code, its name and its Rust type.
macro_rules! elements {
    ($($code:literal $variant:ident $type:ty;)+) => {
        /// The elements of an IDX file.
        #[derive(Clone, Debug, PartialEq)]
        pub enum IdxData {
            $(
                #[doc = concat!("Elements of ", stringify!($type), ", of code ", stringify!($code), ".")]
                $variant(Vec<$type>),
            )+
        }

        impl IdxData {
            /// The number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(IdxData::$variant(data) => data.len(),)+
                }
            }

            /// The codes with the types they stand for, and the bytes of an element.
            const KNOWN: &[(u8, &str, u64)] =
                &[$(($code, stringify!($type), size_of::<$type>() as u64),)+];

            /// The elements of a known code in these bytes.
            fn read(path: &Path, code: u8, bytes: Vec<u8>) -> Result<IdxData> {
                match code {
                    $($code => {
                        let elements = bytes.as_chunks().0;
                        let mut data = reserve(path, elements.len())?;
                        data.extend(elements.iter().map(|&element| <$type>::from_be_bytes(element)));
                        Ok(IdxData::$variant(data))
                    })+
                    _ => Err(Error::corrupt(path, format!("dtype code 0x{code:02x}"))),
                }
            }
        }
    };
}

elements! {
    0x08 U8 u8;
    0x09 I8 i8;
    0x0b I16 i16;
    0x0c I32 i32;
    0x0d F32 f32;
    0x0e F64 f64;
}

impl IdxData {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are unsigned bytes, as those of MNIST are.
    pub fn as_u8(&self) -> Option<&[u8]> {
        if let IdxData::U8(data) = self { Some(data) } else { None }
    }
}

/// Reads an IDX file. A gzip file is told by its contents, whatever its name.
///
/// Memory grows with the bytes that are there, never with the sizes that the header claims.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read. [`Error::Corrupt`] if it is no IDX file, if its elements
/// are of an unknown type, if it has fewer or more bytes than its header announces, or if its gzip stream
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
    let Some(&(_, _, size)) = IdxData::KNOWN.iter().find(|known| known.0 == dtype) else {
        let known: Vec<String> =
            IdxData::KNOWN.iter().map(|(code, ty, _)| format!("0x{code:02x} ({ty})")).collect();
        let known = known.join(", ");
        return Err(corrupt(format!("its elements have dtype code 0x{dtype:02x}, one of {known} expected")));
    };
    Error::expect_intact(rank > 0, path, "it has 0 dimensions, at least 1 expected")?;
    let sizes = header(path, source, 4 * usize::from(rank))?;
    let dims: Vec<u32> = sizes.as_chunks().0.iter().map(|&bytes| u32::from_be_bytes(bytes)).collect();
    if dims.contains(&0) {
        return Err(corrupt(format!("its header says {dims:?}: it holds no elements")));
    }
    let product = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(u64::from(d)));
    let uncounted = || corrupt(format!("its header says {dims:?}: more elements than can be counted"));
    let countable = |&n: &u64| n < u64::MAX && usize::try_from(n).is_ok();
    let bytes = product.and_then(|n| n.checked_mul(size)).filter(countable).ok_or_else(uncounted)?;

    // One byte more than announced tells a longer file from one that fits, and reaching the end
    // of a gzip stream checks its checksum.
    let room = bytes.min(most) as usize;
    let data = read_all(path, &mut source.take(bytes + 1), room, damage)?;
    let (found, expected) = (data.len() as u64 / size, bytes / size);
    if (data.len() as u64) < bytes {
        let message = format!("truncated: {found} elements, {expected} expected for {dims:?}");
        return Err(corrupt(message));
    }
    if data.len() as u64 > bytes {
        let message = format!("trailing bytes: more than the {expected} elements expected for {dims:?}");
        return Err(corrupt(message));
    }
    // Bytes are what they are.
    let data = if dtype == 0x08 { IdxData::U8(data) } else { IdxData::read(path, dtype, data)? };
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
