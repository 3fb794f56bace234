//! The archives that data sets come in, read as they are: nothing is unpacked to the disk.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::Archive;

use crate::error::{Error, Result};

/// The files in a `.tar.gz` that `wanted` takes: what it makes of their paths, those paths, and their bytes.
pub(super) fn read_archive<T>(
    path: &Path,
    wanted: impl Fn(&Path) -> Option<T>,
) -> Result<Vec<(T, PathBuf, Vec<u8>)>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let damaged = |e: io::Error| Error::corrupt(path, format!("the archive is damaged or truncated: {e}"));
    let mut archive = Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    let mut found = Vec::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let inner = entry.path().map_err(damaged)?.into_owned();
        let is_file = entry.header().entry_type().is_file();
        let Some(what) = wanted(&inner).filter(|_| is_file) else { continue };
        let size = entry.size();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        let message = format!("truncated within `{}`", inner.display());
        Error::expect_intact(bytes.len() as u64 >= size, path, message)?;
        found.push((what, inner, bytes));
    }
    // A tar archive ends before its gzip stream does; reaching the end checks the sum.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
    Ok(found)
}
