use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body, ResponseExt};

use super::Progress;
use crate::error::{Error, FetchError, Result};
use crate::files::sync_renaming;

/// How often an address is asked before the next one: broken connections are resumed.
const ATTEMPTS: usize = 5;

/// How long a server may take to be reached, to answer, and to send the next piece.
const CONNECT: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(60);

/// Bytes from one report of progress to the next.
const PIECE: usize = 64 << 10;

/// Why an address gave no file.
enum Failure {
    /// The network or the server: the next address may do better.
    Remote(String),
    /// The connection broke off, or the part did not fit: the same address may do better.
    Broken(String),
    /// The file is another one; its SHA-256 sum.
    Checksum(String),
    /// The disk: no address will do better.
    Local(Error),
}

/// Fetches one file from the first of these addresses that gives it, unless it is there already. `sha256` is
/// its SHA-256 sum in hexadecimal digits; of what is longer than `limit` bytes, no more is fetched. An address
/// with `https` leads to none without. The [module](super) says what becomes of parts, and how processes keep
/// out of each other's way.
///
/// # Errors
/// [`Error::Io`] if the file or its folder cannot be read or written; [`FetchError::Checksum`] if what was fetched
/// has another sum, of the last such address, and nothing is left of it; [`FetchError::Failed`] with what every
/// address said otherwise, as it is without a network.
pub fn fetch(
    urls: &[&str],
    destination: &Path,
    sha256: &str,
    limit: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    if is_right(destination, sha256)? {
        return Ok(());
    }
    if let Some(folder) = destination.parent() {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    let _lock = lock(&destination.with_added_extension("lock"))?;
    // Another process may have had the lock, and fetched the file.
    if is_right(destination, sha256)? {
        return Ok(());
    }
    let mut transfer =
        Transfer { destination, part: destination.with_added_extension("part"), sha256, limit, progress };
    let (mut failures, mut wrong) = (Vec::new(), None);
    for &url in urls {
        match transfer.complete_from(url) {
            // The part is on the disk already.
            Ok(()) => {
                fs::rename(&transfer.part, destination).map_err(Error::io(destination))?;
                sync_renaming(destination);
                return Ok(());
            }
            Err(Failure::Local(error)) => return Err(error),
            Err(Failure::Remote(reason) | Failure::Broken(reason)) => {
                failures.push(format!("{url}: {reason}"))
            }
            Err(Failure::Checksum(found)) => {
                let (path, expected) = (destination.to_owned(), sha256.to_owned());
                wrong =
                    Some(Error::Fetch(FetchError::Checksum { path, url: url.to_owned(), found, expected }));
            }
        }
    }
    Err(wrong.unwrap_or_else(|| Error::Fetch(FetchError::Failed { path: destination.to_owned(), failures })))
}

/// A file on its way.
struct Transfer<'a> {
    destination: &'a Path,
    part: PathBuf,
    sha256: &'a str,
    limit: u64,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Transfer<'_> {
    /// Completes the part from one address, and checks its sum.
    fn complete_from(&mut self, url: &str) -> Result<(), Failure> {
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let mut start = if_there(&self.part, fs::metadata(&self.part))?.map_or(0, |found| found.len());
            if start > self.limit {
                self.discard()?;
                start = 0;
            }
            // A part may be whole: its process ended before it got its name.
            if start > 0 && is_right(&self.part, self.sha256)? {
                return Ok(());
            }
            let begun = match self.attempt(url, start) {
                Err(Failure::Broken(why)) => {
                    reason = why;
                    continue;
                }
                outcome => outcome?,
            };
            let found = sum_of(&self.part).map_err(Error::io(&self.part))?;
            if found.eq_ignore_ascii_case(self.sha256) {
                return Ok(());
            }
            self.discard()?;
            // What was resumed may have been the part of another file.
            if begun == 0 {
                return Err(Failure::Checksum(found));
            }
            reason = format!("it does not continue the part that was there: SHA-256 {found}");
        }
        Err(Failure::Broken(format!("{reason} (asked {ATTEMPTS} times)")))
    }

    /// Asks for what is missing past `start`, and writes it; says from which byte on the server gave it.
    fn attempt(&mut self, url: &str, start: u64) -> Result<u64, Failure> {
        let mut request = agent(url).get(url).header("Accept-Encoding", "identity");
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(|e| Failure::Remote(e.to_string()))?;
        match response.status().as_u16() {
            200 => self.write(response, 0).map(|()| 0),
            206 if continues(&response, start) => self.write(response, start).map(|()| start),
            206 | 416 if start > 0 => {
                self.discard()?;
                Err(Failure::Broken("the server has no such range".to_owned()))
            }
            status => Err(Failure::Remote(format!("HTTP status {status} from {}", response.get_uri()))),
        }
    }

    /// Writes a response's body from the byte `start` on, in place of what was there.
    fn write(&mut self, response: Response<Body>, start: u64) -> Result<(), Failure> {
        let mut body = response.into_body();
        let total = body.content_length().map(|length| start + length);
        if total.is_some_and(|total| total > self.limit) {
            return self.too_long();
        }
        let failed = Error::io(&self.part);
        let mut file = OpenOptions::new().create(true).append(true).open(&self.part).map_err(failed)?;
        file.set_len(start).map_err(failed)?;
        let (mut reader, mut bytes, mut piece) = (body.as_reader(), start, vec![0; PIECE]);
        let path = self.destination;
        (self.progress)(Progress { path, bytes, total });
        loop {
            let n = match reader.read(&mut piece) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(Failure::Broken(format!("broken off after {bytes} bytes: {e}"))),
                Ok(0) => break,
                Ok(n) => n,
            };
            bytes += n as u64;
            if bytes > self.limit {
                return self.too_long();
            }
            file.write_all(&piece[..n]).map_err(failed)?;
            (self.progress)(Progress { path, bytes, total });
        }
        match total {
            Some(total) if bytes < total => {
                Err(Failure::Broken(format!("broken off after {bytes} bytes of {total}")))
            }
            _ => Ok(file.sync_all().map_err(failed)?),
        }
    }

    /// Gives up what an address sends that goes on past the limit.
    fn too_long(&self) -> Result<(), Failure> {
        self.discard()?;
        Err(Failure::Remote(format!(
            "it has more than {} bytes, the most that the file may have",
            self.limit
        )))
    }

    fn discard(&self) -> Result<(), Failure> {
        if_there(&self.part, fs::remove_file(&self.part))?;
        Ok(())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Local(error)
    }
}

/// Whether the server sends what follows the first `start` bytes: `Content-Range: bytes 5-9/10`.
fn continues(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.trim().strip_prefix("bytes ")?.split('-').next());
    first.and_then(|first| first.trim().parse().ok()) == Some(start)
}

/// Proxies are those that the environment names; none stands between a machine and itself.
fn agent(url: &str) -> Agent {
    let config = Agent::config_builder()
        // Nothing that was asked for in secret is sent in the open.
        .https_only(url.starts_with("https:"))
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_per_read(Some(ANSWER));
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let own = host.is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str()));
    if own { config.proxy(None).build().into() } else { config.build().into() }
}

/// Waits until no other process has the lock; it ends with the file that is returned, or the process.
fn lock(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
    match file.lock() {
        Err(e) if e.kind() != ErrorKind::Unsupported => Err(Error::io(path)(e)),
        _ => Ok(file),
    }
}

/// Whether a file is there and has this sum.
pub(super) fn is_right(path: &Path, sha256: &str) -> Result<bool> {
    Ok(if_there(path, sum_of(path))?.is_some_and(|found| found.eq_ignore_ascii_case(sha256)))
}

/// What was asked of a file, or nothing if there is no such file.
fn if_there<T>(path: &Path, found: io::Result<T>) -> Result<Option<T>> {
    match found {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(Error::io(path)),
    }
}

fn sum_of(path: &Path) -> io::Result<String> {
    let mut sum = Sha256::new();
    io::copy(&mut File::open(path)?, &mut sum)?;
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
