//! Files that are never half written, and read into memory that is asked for before it is filled.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
#[cfg(any(feature = "checkpoints", feature = "data"))]
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file through a temporary one in the same folder, which takes its place when all of it is on
/// the disk. Where anything fails, the temporary file is removed and what was there before stays. A link to a file
/// stays one: what it leads to is replaced.
///
/// # Errors
/// [`Error::Io`] with the path; also where there is something that is no regular file, such as a folder or a
/// device.
pub(crate) fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let to = place_of(path).map_err(Error::io(path))?;
    let written = (|| {
        let mut hidden = OsString::from(".");
        hidden.push(to.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        hidden.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&hidden).suffix(".tmp");
        // As readable as any new file: a temporary one is its owner's only.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temporary = builder.tempfile_in(folder_of(&to))?;
        write(temporary.as_file_mut())?;
        temporary.as_file().sync_all()?;
        temporary.persist(&to)?;
        Ok(())
    })();
    written.map_err(Error::io(path))?;
    sync_renaming(&to);
    Ok(())
}

/// Where a file of this path is, or is to be: at the end of all links.
///
/// # Errors
/// For what is no regular file.
pub(crate) fn place_of(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "there is something that is no regular file"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // Of a file, or of none yet. Only a link is gone after: a name stays as it was given.
        _ => match fs::read_link(path) {
            Ok(link) => place_of(&folder_of(path).join(link)),
            Err(_) => Ok(path.to_owned()),
        },
    }
}

/// Puts the renaming of a file to this path on the disk. Some file systems refuse to; then a crash may bring
/// the old file back, which is as whole as the new one.
pub(crate) fn sync_renaming(path: &Path) {
    if cfg!(unix) {
        let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    }
}

/// The bytes of a file, which must not be more than the limit.
///
/// # Errors
/// [`Error::Io`], [`Error::OutOfMemory`], [`Error::FileLimit`].
#[cfg(any(feature = "checkpoints", feature = "data"))]
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut file = Limited::new(file, limit);
    read_all(path, &mut file, length.min(limit) as usize, |e| e.to_string())
}

/// All that a source gives, for which there is room for as many bytes as are expected. `damage` says what an
/// error means that tells of a damaged stream.
#[cfg(any(feature = "checkpoints", feature = "data"))]
pub(crate) fn read_all(
    path: &Path,
    source: &mut dyn Read,
    expected: usize,
    damage: impl Fn(&io::Error) -> String,
) -> Result<Vec<u8>> {
    let mut bytes = reserve(path, expected)?;
    match source.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::OutOfMemory => Err(ungiven(path, e, bytes.capacity())),
        Err(e) => Err(broken(path, e, damage)),
    }
}

/// An error of a source that is no file of a known kind: there is no memory for more bytes than so many, or the
/// source fails.
#[cfg(any(feature = "checkpoints", feature = "data"))]
pub(crate) fn ungiven(path: &Path, error: io::Error, held: usize) -> Error {
    match error.kind() {
        io::ErrorKind::OutOfMemory => full(path, held.max(1).saturating_mul(2)),
        _ => Error::io(path)(error),
    }
}

/// What an error of a stream says of its file: that it holds more than is read of it, that it is damaged, or
/// that the system did not give it.
#[cfg(any(feature = "checkpoints", feature = "data"))]
pub(crate) fn broken(path: &Path, error: io::Error, damage: impl Fn(&io::Error) -> String) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            let limit =
                error.get_ref().and_then(|source| source.downcast_ref()).map_or(0, |&Beyond(limit)| limit);
            Error::file_limit(path, "bytes", limit.saturating_add(1), limit, "")
        }
        io::ErrorKind::OutOfMemory => full(path, 0),
        InvalidData | InvalidInput | Other | UnexpectedEof => Error::corrupt(path, damage(&error)),
        _ => Error::io(path)(error),
    }
}

/// Fills a buffer as far as the source goes.
#[cfg(feature = "images")]
pub(crate) fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut bytes = Vec::new();
    source.take(buffer.len() as u64).read_to_end(&mut bytes)?;
    buffer[..bytes.len()].copy_from_slice(&bytes);
    Ok(bytes.len())
}

/// Room for so many elements of what a file holds.
#[cfg(any(feature = "checkpoints", feature = "data"))]
pub(crate) fn reserve<T>(path: &Path, count: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    let reserved = room.try_reserve_exact(count);
    reserved.map_err(|_| full(path, count.saturating_mul(size_of::<T>())))?;
    Ok(room)
}

/// Adds an element of what a file holds.
#[cfg(feature = "data")]
pub(crate) fn push<T>(path: &Path, elements: &mut Vec<T>, element: T) -> Result<()> {
    elements.try_reserve(1).map_err(|_| full(path, elements.len().saturating_mul(2 * size_of::<T>())))?;
    elements.push(element);
    Ok(())
}

/// Fails unless there is memory for so many bytes, which something else will ask for.
#[cfg(feature = "data")]
pub(crate) fn probe(path: &Path, bytes: usize) -> Result<()> {
    reserve::<u8>(path, bytes).map(drop)
}

#[cfg(any(feature = "checkpoints", feature = "data"))]
fn full(path: &Path, bytes: usize) -> Error {
    Error::OutOfMemory { device: format!("cpu, reading {}", path.display()), bytes: bytes as u64 }
}

/// A source of which so many bytes are read and no more: it fails where there are more.
#[cfg(any(feature = "checkpoints", feature = "data"))]
pub(crate) struct Limited<R> {
    source: R,
    left: u64,
    limit: u64,
}

/// The limit that a source went beyond.
#[cfg(any(feature = "checkpoints", feature = "data"))]
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
struct Beyond(u64);

#[cfg(any(feature = "checkpoints", feature = "data"))]
impl<R: Read> Limited<R> {
    pub fn new(source: R, limit: u64) -> Self {
        Limited { source, left: limit, limit }
    }
}

#[cfg(any(feature = "checkpoints", feature = "data"))]
impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let found = self.source.read(buffer)?;
        let beyond = || io::Error::new(io::ErrorKind::FileTooLarge, Beyond(self.limit));
        self.left = self.left.checked_sub(found as u64).ok_or_else(beyond)?;
        Ok(found)
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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

    /// What is no file is not replaced, nor a link by a file.
    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_replaced_and_links_are_followed() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        use std::os::unix::net::UnixListener;
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).expect("the folder can be written");
        let _listener = UnixListener::bind(at("socket")).expect("a socket can be made");
        let link = |to: &str, name: &str| symlink(to, at(name)).expect("a link can be made");
        for (to, name) in [("inner", "to_folder"), ("socket", "to_socket"), ("circle", "circle")] {
            link(to, name);
        }
        for name in ["socket", "to_socket", "inner", "to_folder", "circle"] {
            let error = write_atomically(&at(name), |_| panic!("nothing is to be written"));
            assert!(matches!(&error, Err(Error::Io { path, .. }) if *path == at(name)), "{name}: {error:?}");
        }
        let kind = |name: &str| fs::symlink_metadata(at(name)).expect("it is there").file_type();
        assert!(kind("socket").is_socket() && kind("to_folder").is_symlink());

        fs::write(at("inner/file"), "old").expect("the folder can be written");
        for (to, name) in [("inner/file", "to_file"), ("to_file", "to_link"), ("inner/new", "to_none")] {
            link(to, name);
            write_atomically(&at(name), |file| file.write_all(name.as_bytes())).expect("it can be written");
            assert!(kind(name).is_symlink());
            assert_eq!(fs::read_to_string(at(name)).ok().as_deref(), Some(name));
        }
        assert_eq!(fs::read_to_string(at("inner/file")).ok().as_deref(), Some("to_link"));
        assert_eq!(fs::read_to_string(at("inner/new")).ok().as_deref(), Some("to_none"));
        assert_eq!(names(&folder).len(), 8, "nothing is left");
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
