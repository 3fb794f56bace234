//! Tensors by name in a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorInfo, TensorView};

use super::header::{self, Header, NO_CHECKSUM, Stamp};
use crate::dtype::StoredType;
use crate::error::{Error, Result};
use crate::files::{read, write_atomically};

/// The key of this crate's own entry in the metadata of a file.
const KEY: &str = "retape";

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// Numbers in one of the three types that this crate writes: F32, F64, U32.
    pub fn new(dtype: Dtype, shape: &[usize], data: &[f64]) -> Tensor {
        let bytes = match dtype {
            Dtype::F32 => data.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            Dtype::U32 => data.iter().flat_map(|&v| (v as u32).to_le_bytes()).collect(),
            _ => data.iter().flat_map(|&v| v.to_le_bytes()).collect(),
        };
        Tensor { dtype, shape: shape.to_vec(), bytes }
    }
}

/// The file of these tensors: a checkpoint's with its header, otherwise of weights.
pub(super) fn bytes(tensors: &BTreeMap<String, Tensor>, header: Option<&Header>) -> io::Result<Vec<u8>> {
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|(name, t)| Ok((name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
        .collect();
    let metadata = HashMap::from([(KEY.to_owned(), header::metadata(header)?)]);
    let file = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    let mut file = file.map_err(io::Error::other)?;
    seal(&mut file);
    Ok(file)
}

/// Writes a file that is whole or not there.
pub(super) fn write(path: &Path, file: &[u8]) -> Result<()> {
    write_atomically(path, |to| to.write_all(file))
}

/// Where the checksum of a file stands, which is JSON in JSON.
fn place_of_checksum(file: &[u8]) -> Option<Range<usize>> {
    const BEFORE: &[u8] = br#"\"checksum\":\""#;
    let header: [u8; 8] = file.get(..8)?.try_into().ok()?;
    let end = usize::try_from(u64::from_le_bytes(header)).ok()?.checked_add(8)?;
    let start = file.get(..end)?.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let place = start..start + NO_CHECKSUM.len();
    (place.end < end).then_some(place)
}

/// The checksum of a file: CRC-32 of all its bytes, those at its own place aside.
fn checksum(file: &[u8], place: Range<usize>) -> String {
    let mut sum = crc32fast::Hasher::new();
    for part in [&file[..place.start], NO_CHECKSUM.as_bytes(), &file[place.end..]] {
        sum.update(part);
    }
    format!("{:08x}", sum.finalize())
}

/// Puts the checksum of a file into it, if it has a place for one.
pub(crate) fn seal(file: &mut [u8]) {
    if let Some(place) = place_of_checksum(file) {
        let sum = checksum(file, place.clone());
        file[place].copy_from_slice(sum.as_bytes());
    }
}

/// A file that was read, its tensors still as they are stored.
pub(super) struct TensorFile {
    pub path: PathBuf,
    pub bytes: Arc<Vec<u8>>,
    /// Where the tensors begin.
    start: usize,
    pub stored: BTreeMap<String, TensorInfo>,
    /// This crate's own entry, and the part of it that every file has.
    pub metadata: Option<(String, Stamp)>,
}

impl TensorFile {
    /// Reads a file and checks that its tensors lie within it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::OutOfMemory`]; [`Error::Corrupt`] for a file that is no safetensors file, cut off, or
    /// not what its checksum is of; [`Error::CheckpointVersion`].
    pub fn open(path: &Path) -> Result<TensorFile> {
        TensorFile::of(path, read(path, u64::MAX)?)
    }

    /// The same of the bytes of a file.
    pub fn of(path: &Path, bytes: impl Into<Arc<Vec<u8>>>) -> Result<TensorFile> {
        let bytes = bytes.into();
        let (header, info) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| Error::corrupt(path, format!("not a whole safetensors file: {error}")))?;
        let stored = info.tensors().into_iter().map(|(name, tensor)| (name, tensor.clone())).collect();
        let own = info.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let metadata = own.map(|text| Ok((text.clone(), Stamp::read(text, path)?))).transpose()?;
        if let Some((_, Stamp { checksum: Some(written), .. })) = &metadata {
            let found = place_of_checksum(&bytes).map(|place| checksum(&bytes, place)).unwrap_or_default();
            if found != *written {
                let message = format!(
                    "it was damaged or changed after it was written: its checksum is {found}, {written} was \
                     written. Take an older file, or write this one again"
                );
                return Err(Error::corrupt(path, message));
            }
        }
        // Eight bytes of length stand before the header.
        Ok(TensorFile { path: path.to_owned(), bytes, start: 8 + header, stored, metadata })
    }

    /// What a tensor is.
    pub fn stored_type(&self, name: &str) -> Option<StoredType> {
        let stored = self.stored.get(name)?;
        Some(StoredType { dtype: stored.dtype.to_string(), shape: stored.shape.clone() })
    }

    /// The numbers of a tensor, without loss; `None` for types other than the floating-point ones and
    /// U32.
    pub fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        let stored = self.stored.get(name)?;
        let (from, to) = stored.data_offsets;
        let bytes = &self.bytes[self.start + from..self.start + to];
        Some(match stored.dtype {
            Dtype::F32 => decode(bytes, |b| f64::from(f32::from_le_bytes(b))),
            Dtype::F64 => decode(bytes, f64::from_le_bytes),
            Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f64()),
            Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f64()),
            Dtype::U32 => decode(bytes, |b| f64::from(u32::from_le_bytes(b))),
            _ => return None,
        })
    }
}

fn decode<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| number(chunk)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Takes so many bytes and no more.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn tensors() -> BTreeMap<String, Tensor> {
        let one = |dtype, data: &[f64]| Tensor::new(dtype, &[data.len()], data);
        BTreeMap::from([
            ("single".to_owned(), one(Dtype::F32, &[1.5, -0.0, f64::INFINITY])),
            ("double".to_owned(), one(Dtype::F64, &[0.1, 1e-320])),
            ("counts".to_owned(), one(Dtype::U32, &[4_294_967_295.0])),
        ])
    }

    #[test]
    fn a_writer_that_is_full_is_an_error_at_every_byte() {
        let whole = bytes(&tensors(), None).expect("memory takes it");
        for room in 0..whole.len() {
            let written = Full(room).write_all(&whole);
            assert_eq!(written.err().map(|e| e.kind()), Some(io::ErrorKind::StorageFull), "{room} bytes");
        }
        assert!(Full(whole.len()).write_all(&whole).is_ok());
    }

    #[test]
    fn the_same_tensors_make_the_same_file() {
        let make = || bytes(&tensors(), None).expect("memory takes it");
        assert_eq!(make(), make());
    }

    /// CRC-32 finds every change of a few bits in a row, wherever it is.
    #[test]
    fn no_byte_of_a_file_changes_unseen() {
        let path = Path::new("a");
        let whole = bytes(&tensors(), None).expect("memory takes it");
        assert!(TensorFile::of(path, whole.clone()).is_ok());
        let key = whole.windows(KEY.len()).position(|w| w == KEY.as_bytes()).expect("its own entry");
        for (index, bit) in (0..whole.len()).flat_map(|index| (0..8).map(move |bit| (index, 1u8 << bit))) {
            let mut changed = whole.clone();
            changed[index] ^= bit;
            let read = TensorFile::of(path, changed);
            // An entry of another name is somebody else's, and has no checksum of ours.
            let is_foreign =
                (key..key + KEY.len()).contains(&index) && read.as_ref().is_ok_and(|f| f.metadata.is_none());
            let newer = matches!(read, Err(Error::CheckpointVersion { .. }));
            assert!(
                is_foreign || newer || matches!(read, Err(Error::Corrupt { .. })),
                "byte {index}, bit {bit}"
            );
        }
    }

    #[test]
    fn numbers_come_back_bit_by_bit() {
        let folder = std::env::temp_dir().join(format!("retape-file-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let path = folder.join("numbers.safetensors");
        write(&path, &bytes(&tensors(), None).expect("memory takes it")).expect("it can be written");
        let file = TensorFile::open(&path);
        let removed = fs::remove_dir_all(&folder);
        let file = file.expect("it is whole");
        let bits = |name| file.numbers(name).map(|n| n.into_iter().map(f64::to_bits).collect::<Vec<_>>());
        let want = |data: &[f64]| Some(data.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        assert_eq!(bits("single"), want(&[1.5, -0.0, f64::INFINITY]));
        assert_eq!(bits("double"), want(&[0.1, 1e-320]));
        assert_eq!(bits("counts"), want(&[4_294_967_295.0]));
        assert_eq!(file.stored_type("double").map(|t| t.shape), Some(vec![2]));
        assert!(removed.is_ok());
    }
}
