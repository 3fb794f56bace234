//! Files that are never half written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// Writes a file through a temporary one in the same folder, which takes its place when all of it is on
/// the disk. Where anything fails, the temporary file is removed and what was there before stays.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let io_error = |source| Error::Io { path: path.to_owned(), source };
    let temporary = beside(path).map_err(io_error)?;
    let written = write_and_rename(&temporary, path, write);
    if written.is_err() {
        // There may be none; the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(io_error)
}

fn write_and_rename(
    temporary: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
    write(&mut file)?;
    file.flush()?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    sync_folder(path);
    Ok(())
}

/// A name of this process's own, for a file in the same folder.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    hidden.push(format!(".{}.{count}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

/// Puts the renaming itself on the disk. Some file systems refuse to; then a crash may bring the old
/// file back, which is as whole as the new one.
fn sync_folder(path: &Path) {
    if cfg!(unix) {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(parent).and_then(|folder| folder.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of the test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("retape-atomic-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("the temporary folder can be written");
            Folder(path)
        }

        fn names(&self) -> Vec<OsString> {
            let entries = fs::read_dir(&self.0).expect("the folder is there");
            entries.map(|e| e.expect("it can be listed").file_name()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = Folder::new("whole");
        let path = folder.0.join("a");
        for text in ["one", "two"] {
            write_atomically(&path, |file| file.write_all(text.as_bytes())).expect("it can be written");
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some(text));
        }
        assert_eq!(folder.names(), ["a"]);
    }

    /// As where the disk is full in the middle.
    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = Folder::new("fails");
        let path = folder.0.join("a");
        fs::write(&path, "old").expect("the folder can be written");
        let error = write_atomically(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        let Err(Error::Io { path: named, source }) = error else { panic!("the disk is full") };
        assert_eq!((named, source.kind()), (path.clone(), io::ErrorKind::StorageFull));
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("old"));
        assert_eq!(folder.names(), ["a"]);
    }

    #[test]
    fn a_folder_in_the_way_or_missing_is_refused() {
        let folder = Folder::new("in-the-way");
        fs::create_dir(folder.0.join("a")).expect("the folder can be written");
        fs::write(folder.0.join("a/b"), "kept").expect("the folder can be written");
        for path in [folder.0.join("a"), folder.0.join("none/c"), PathBuf::from("/")] {
            let error = write_atomically(&path, |file| file.write_all(b"new"));
            assert!(matches!(&error, Err(Error::Io { path: named, .. }) if *named == path), "{error:?}");
        }
        assert_eq!(folder.names(), ["a"]);
        assert_eq!(fs::read_to_string(folder.0.join("a/b")).ok().as_deref(), Some("kept"));
    }
}
