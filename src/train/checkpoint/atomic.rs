//! Files that are never half written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// Names that are tried for a temporary file where others have left theirs.
const NAMES: u32 = 10_000;

/// The number in the name of the next temporary file.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Writes a file through a temporary one in the same folder, which takes its place when all of it is on
/// the disk. Where anything fails, the temporary file is removed and what was there before stays.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let io_error = |source| Error::Io { path: path.to_owned(), source };
    let (temporary, file) = create_beside(path).map_err(io_error)?;
    let written = write_and_rename(file, &temporary, path, write);
    if written.is_err() {
        // There may be none; the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(io_error)
}

fn write_and_rename(
    mut file: File,
    temporary: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    write(&mut file)?;
    file.flush()?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    sync_folder(path);
    Ok(())
}

/// A new file in the same folder. A process that was killed may have left one of any name, and in a
/// container the next process has its number: names that are taken are passed over.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAMES {
        let temporary = beside(path, NEXT.fetch_add(1, Ordering::Relaxed))?;
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// A name for a file in the same folder, of this process and number.
fn beside(path: &Path, number: u32) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.{number}.tmp", std::process::id()));
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

    /// As of a process of the same number that was killed while it wrote.
    #[test]
    fn temporary_files_of_others_are_passed_over_and_stay() {
        let folder = Folder::new("stale");
        let path = folder.0.join("a");
        let next = NEXT.load(Ordering::Relaxed);
        // Other tests may take some of the numbers meanwhile.
        let stale: Vec<PathBuf> =
            (next..next + 100).map(|n| beside(&path, n).expect("the path has a name")).collect();
        stale.iter().for_each(|path| fs::write(path, "half").expect("the folder can be written"));
        write_atomically(&path, |file| file.write_all(b"new")).expect("it can be written");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("new"));
        let full = write_atomically(&path, |_| Err(io::Error::from(io::ErrorKind::StorageFull)));
        assert!(full.is_err());
        assert_eq!(folder.names().len(), 101);
        assert!(stale.iter().all(|path| fs::read_to_string(path).is_ok_and(|text| text == "half")));
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
