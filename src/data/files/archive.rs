//! The archives that data sets come in, read as they are: nothing is unpacked to the disk, and a small file
//! that unpacks to a large one is not believed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::error::{Error, Result};
use crate::files::{Limited, broken, push, read_all};

/// What a packed file may unpack to.
pub(super) const UNPACKED: u64 = 1 << 32;
/// What is kept of an archive or of a folder: contents, names, and what it takes to hold them.
const KEPT: u64 = 1 << 30;
/// The entries of an archive, the bytes of a name, and those of a header that is an entry of its own.
const ENTRIES: u64 = 1_000_000;
const NAME: u64 = 4096;
const HEADER: u64 = 1 << 16;

/// The files in a `.tar.gz` that `wanted` takes, each of at most `limit` bytes: what it makes of their paths,
/// those paths, and their bytes.
pub(super) fn read_archive<T>(
    path: &Path,
    limit: u64,
    wanted: impl Fn(&Path) -> Option<T>,
) -> Result<Vec<(T, PathBuf, Vec<u8>)>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let failed = |e: io::Error| broken(path, e, damage);
    let unpacked = Limited::new(MultiGzDecoder::new(BufReader::new(file)), UNPACKED);
    let mut archive = Archive::new(unpacked);
    let (mut found, mut kept) = (Vec::new(), Kept::default());
    let mut longer_name = None;
    // Raw, so that names which are entries of their own are read no further than names go.
    for (index, entry) in (0..).zip(archive.entries().map_err(failed)?.raw(true)) {
        if index == ENTRIES {
            return Err(Error::file_limit(path, "entries", index + 1, ENTRIES, ""));
        }
        let mut entry = entry.map_err(failed)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => longer_name = Some(long_name(path, &mut entry, NAME)?),
            EntryType::XHeader => {
                longer_name = pax_name(&long_name(path, &mut entry, HEADER)?).or(longer_name)
            }
            EntryType::XGlobalHeader | EntryType::GNULongLink => {}
            kind => {
                let inner = match longer_name.take() {
                    Some(name) => PathBuf::from(String::from_utf8_lossy(&name).into_owned()),
                    None => entry.path().map_err(failed)?.into_owned(),
                };
                let Some(what) = wanted(&inner).filter(|_| kind.is_file()) else { continue };
                let bytes = contents(path, &inner, &mut entry, limit)?;
                kept.add(path, &inner, &bytes)?;
                push(path, &mut found, (what, inner, bytes))?;
            }
        }
    }
    // A tar archive ends before its gzip stream does; reaching the end checks the sum.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(failed)?;
    Ok(found)
}

fn damage(error: &io::Error) -> String {
    format!("the archive is damaged or truncated: {error}")
}

/// The bytes of a file in an archive.
fn contents(path: &Path, inner: &Path, entry: &mut Entry<'_, impl Read>, limit: u64) -> Result<Vec<u8>> {
    let size = entry.size();
    if size > limit {
        return Err(Error::file_limit(&path.join(inner), "bytes", size, limit, ""));
    }
    // The size is a claim: room comes with the bytes.
    let bytes = read_all(path, entry, 0, damage)?;
    let message = format!("truncated within `{}`", inner.display());
    Error::expect_intact(bytes.len() as u64 >= size, path, message)?;
    Ok(bytes)
}

/// A name, or a header that has one, as an entry of its own.
fn long_name(path: &Path, entry: &mut Entry<'_, impl Read>, limit: u64) -> Result<Vec<u8>> {
    let size = entry.size();
    if size > limit {
        return Err(Error::file_limit(path, "bytes of a name in it", size, limit, ""));
    }
    let mut name = read_all(path, entry, 0, damage)?;
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    Ok(name)
}

/// The path that a header in the POSIX format gives.
fn pax_name(header: &[u8]) -> Option<Vec<u8>> {
    let mut records = PaxExtensions::new(header).flatten();
    let path = records.find(|record| record.key_bytes() == b"path")?;
    Some(path.value_bytes().to_vec())
}

/// How much of what was read is kept.
#[derive(Default)]
pub(super) struct Kept(u64);

impl Kept {
    pub fn add(&mut self, source: &Path, name: &Path, bytes: &[u8]) -> Result<()> {
        // Names are kept twice: where a file is, and what it is sorted by.
        const HOLDING: usize = 256;
        self.0 += (2 * name.as_os_str().len() + bytes.len() + HOLDING) as u64;
        if self.0 > KEPT {
            return Err(Error::file_limit(source, "bytes of names and contents", self.0, KEPT, ""));
        }
        Ok(())
    }
}
