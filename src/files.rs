//! Files that are never half written.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file through a temporary one in the same folder, which takes its place when all of it is on
/// the disk. Where anything fails, the temporary file is removed and what was there before stays.
///
/// # Errors
/// [`Error::Io`] with the path.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let written = (|| {
        let mut hidden = OsString::from(".");
        hidden.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        hidden.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&hidden).suffix(".tmp");
        // As readable as any new file: a temporary one is its owner's only.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temporary = builder.tempfile_in(folder_of(path))?;
        write(temporary.as_file_mut())?;
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(())
    })();
    written.map_err(Error::io(path))?;
    sync_renaming(path);
    Ok(())
}

/// Puts the renaming of a file to this path on the disk. Some file systems refuse to; then a crash may bring
/// the old file back, which is as whole as the new one.
pub(crate) fn sync_renaming(path: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        tempfile::tempdir().expect("the temporary folder can be written")
    }

    fn names(folder: &TempDir) -> Vec<OsString> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        entries.map(|e| e.expect("it can be listed").file_name()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = folder();
        let path = folder.path().join("a");
        for text in ["one", "two"] {
            write_atomically(&path, |file| file.write_all(text.as_bytes())).expect("it can be written");
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some(text));
        }
        assert_eq!(names(&folder), ["a"]);
    }

    /// As where the disk is full in the middle.
    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = folder();
        let path = folder.path().join("a");
        fs::write(&path, "old").expect("the folder can be written");
        let error = write_atomically(&path, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let Err(Error::Io { path: named, source }) = error else { panic!("the disk is full") };
        assert_eq!((named, source.kind()), (path.clone(), io::ErrorKind::StorageFull));
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("old"));
        assert_eq!(names(&folder), ["a"]);
    }

    /// As of a process that was killed while it wrote.
    #[test]
    fn the_temporary_file_is_beside_hidden_and_no_other() {
        let folder = folder();
        let (path, stale) = (folder.path().join("a"), folder.path().join(".a.000000.tmp"));
        fs::write(&stale, "half").expect("the folder can be written");
        write_atomically(&path, |file| {
            let mut names = names(&folder);
            names.retain(|name| *name != ".a.000000.tmp");
            let [name] = &names[..] else { panic!("{names:?}") };
            let name = name.to_str().unwrap_or_default();
            assert!(name.starts_with(".a.") && name.ends_with(".tmp"), "{name}");
            file.write_all(b"new")
        })
        .expect("it can be written");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("new"));
        assert_eq!(fs::read_to_string(&stale).ok().as_deref(), Some("half"));
        assert_eq!(names(&folder).len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_as_readable_as_any_new_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        let [path, plain] = ["a", "b"].map(|name| folder.path().join(name));
        write_atomically(&path, |file| file.write_all(b"new")).expect("it can be written");
        fs::write(&plain, "new").expect("the folder can be written");
        let mode = |path| fs::metadata(path).map(|found| found.permissions().mode()).ok();
        assert_eq!(mode(path), mode(plain));
    }

    #[test]
    fn a_folder_in_the_way_or_missing_is_refused() {
        let folder = folder();
        fs::create_dir(folder.path().join("a")).expect("the folder can be written");
        fs::write(folder.path().join("a/b"), "kept").expect("the folder can be written");
        for path in [folder.path().join("a"), folder.path().join("none/c"), PathBuf::from("/")] {
            let error = write_atomically(&path, |file| file.write_all(b"new"));
            assert!(matches!(&error, Err(Error::Io { path: named, .. }) if *named == path), "{error:?}");
        }
        assert_eq!(names(&folder), ["a"]);
        assert_eq!(fs::read_to_string(folder.path().join("a/b")).ok().as_deref(), Some("kept"));
    }
}
