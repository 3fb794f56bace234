//! The newest checkpoint of a folder, and the one before it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::Checkpoint;
use crate::error::{Error, Result};
use crate::files::{place_of, write_atomically};

/// The name of the newest checkpoint in its folder.
pub(crate) const LAST: &str = "last.safetensors";
/// The name of the one before it.
pub(crate) const PREVIOUS: &str = "previous.safetensors";

impl Checkpoint {
    /// [`open`](Checkpoint::open), or where that is the newest checkpoint of a folder and damaged or not there, the
    /// one before it, which the log is warned of.
    pub(crate) fn open_newest(path: &Path) -> Result<Checkpoint> {
        let error = match Checkpoint::open(path) {
            Ok(checkpoint) => return Ok(checkpoint),
            Err(error) => error,
        };
        let is_damaged = match &error {
            Error::Corrupt { .. } | Error::NotACheckpoint { .. } => true,
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        };
        if !is_damaged || !is_newest(path) {
            return Err(error);
        }
        // The error of the newest one is the one that says more.
        let Ok(previous) = Checkpoint::open(path.with_file_name(PREVIOUS)) else { return Err(error) };
        log::warn!("{error}; training goes on from {}, the checkpoint before it", previous.path().display());
        Ok(previous)
    }

    /// [`save`](Checkpoint::save); the newest checkpoint of a folder keeps the one that it takes the place of.
    pub(crate) fn save_newest(&self, path: &Path) -> Result<()> {
        if !is_newest(path) {
            return self.save(path);
        }
        write_atomically(path, |file| {
            file.write_all(self.bytes())?;
            file.sync_all()?;
            keep(path)
        })
    }
}

fn is_newest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == LAST)
}

/// Gives a file that is about to be replaced its second name, at which there is always a whole file.
fn keep(path: &Path) -> io::Result<()> {
    let link = path.with_file_name(format!(".{PREVIOUS}.tmp"));
    let remove = || fs::remove_file(&link).or_else(|e| ignore(e, io::ErrorKind::NotFound));
    remove()?;
    let previous = place_of(&path.with_file_name(PREVIOUS))?;
    // A second name of a link would lead to what takes the place of the file.
    match fs::hard_link(place_of(path)?, &link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Not every file system has links.
        Err(_) => fs::copy(path, &link).map(drop)?,
        Ok(()) => {}
    }
    fs::rename(&link, previous)?;
    // A link to what has that name already stays where it was.
    remove()
}

fn ignore(error: io::Error, kind: io::ErrorKind) -> io::Result<()> {
    if error.kind() == kind { Ok(()) } else { Err(error) }
}
