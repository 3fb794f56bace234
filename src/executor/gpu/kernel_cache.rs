//! Compiled kernels that outlive the process: wgpu's pipeline cache, in a file of the user's cache folder.
//!
//! Whatever is wrong with the file or the folder, kernels are compiled as without them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::context::GpuContext;
use crate::files::{place_of, write_atomically};

/// The most bytes that a file may have: drivers' caches only grow, and one of more starts anew.
const LIMIT: u64 = 256 << 20;

/// What a device has of kernels that earlier processes compiled; nothing where its driver or the user keeps none.
#[derive(Default)]
pub(crate) struct KernelCache {
    kept: Option<Kept>,
}

struct Kept {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// The head of the file as it was last read or written.
    head: Mutex<String>,
}

impl KernelCache {
    /// The cache of a device, from its file if there is one.
    pub fn open(context: &GpuContext, info: &wgpu::AdapterInfo) -> KernelCache {
        let folder = folder_in(std::env::var_os("RETAPE_KERNEL_CACHE"), dirs::cache_dir);
        let is_possible = context.device.features().contains(wgpu::Features::PIPELINE_CACHE);
        let path = folder.zip(file_name(info)).map(|(folder, name)| folder.join(name));
        KernelCache { kept: path.filter(|_| is_possible).and_then(|path| Kept::open(context, path)) }
    }

    /// What pipelines are made with.
    pub fn get(&self) -> Option<&wgpu::PipelineCache> {
        self.kept.as_ref().map(|kept| &kept.cache)
    }

    /// Writes the file, if there is more to keep than it holds. Of several processes, the last one's is kept.
    pub fn save(&self) {
        if let Some(kept) = &self.kept
            && let Some(data) = kept.cache.get_data()
        {
            kept.save(&data);
        }
    }
}

impl Kept {
    fn open(context: &GpuContext, path: PathBuf) -> Option<Kept> {
        let file = read(&path).unwrap_or_else(|error| {
            log::debug!("no kernels are kept in {}: {error}", path.display());
            Vec::new()
        });
        let data = data_of(&file);
        let make = |data: Option<&[u8]>| {
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("retape"), data, fallback: true };
            // SAFETY: the data is what wgpu gave to this version of this crate for an adapter of this name, as its
            // checksum says; wgpu and the driver look at their own heads for a driver of another version.
            context.scoped(0, || unsafe { context.device.create_pipeline_cache(&descriptor) })
        };
        // What is of another device is refused where it is not replaced.
        let cache = make(data).or_else(|_| make(None)).ok()?;
        let head = Mutex::new(data.map_or_else(String::new, head_of));
        Some(Kept { cache, path, head })
    }

    fn save(&self, data: &[u8]) {
        let head = head_of(data);
        let mut known = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == head {
            return;
        }
        let folder = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        let write = |file: &mut File| {
            file.write_all(head.as_bytes())?;
            file.write_all(data)
        };
        let written = folder
            .map_err(|e| e.to_string())
            .and_then(|()| write_atomically(&self.path, write).map_err(|error| error.to_string()));
        if let Err(error) = written {
            log::warn!("compiled kernels are not kept for the next start: {error}");
        }
        *known = head;
    }
}

/// The folder that the variable names, else one in the system's cache folder; none for `0`.
fn folder_in(variable: Option<OsString>, system: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    match variable.filter(|folder| !folder.is_empty()) {
        Some(folder) => (folder != "0").then(|| folder.into()),
        None => system().map(|folder| folder.join("retape").join("kernels")),
    }
}

/// A name for each adapter, driver and version of this crate; none where wgpu keeps nothing.
fn file_name(info: &wgpu::AdapterInfo) -> Option<String> {
    let adapter = wgpu::util::pipeline_cache_key(info)?;
    let driver: String = info.driver.chars().filter(char::is_ascii_alphanumeric).collect();
    Some(format!("{adapter}_{driver}_{}", env!("CARGO_PKG_VERSION")))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    File::open(place_of(path)?)?.take(LIMIT + 1).read_to_end(&mut file)?;
    if file.len() as u64 > LIMIT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(file) }
}

/// The line before the data: whose it is, and a checksum.
fn head_of(data: &[u8]) -> String {
    format!("retape {} kernels {} {:08x}\n", env!("CARGO_PKG_VERSION"), data.len(), crc32fast::hash(data))
}

/// The data of a whole file of this version.
fn data_of(file: &[u8]) -> Option<&[u8]> {
    let line = file.iter().position(|&byte| byte == b'\n')?;
    let (head, data) = file.split_at(line + 1);
    (head == head_of(data).as_bytes()).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_a_folder_or_switches_off() {
        let system = || Some(PathBuf::from("system"));
        let chosen = |variable: Option<&str>| folder_in(variable.map(OsString::from), system);
        assert_eq!(chosen(None), Some(Path::new("system").join("retape").join("kernels")));
        assert_eq!(chosen(Some("")), chosen(None));
        assert_eq!(chosen(Some("here")), Some(PathBuf::from("here")));
        assert_eq!(chosen(Some("0")), None);
        assert_eq!(folder_in(None, || None), None);
    }

    #[test]
    fn only_whole_files_of_this_version_have_data() {
        let data = b"compiled\nkernels";
        let file = [head_of(data).as_bytes(), data].concat();
        assert_eq!(data_of(&file), Some(&data[..]));
        for length in 0..file.len() {
            assert_eq!(data_of(&file[..length]), None, "{length} bytes");
        }
        assert_eq!(data_of(&[&file[..], b"\n"].concat()), None);
        for byte in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[byte] ^= 1 << bit;
                assert_eq!(data_of(&damaged), None, "bit {bit} of byte {byte}");
            }
        }
        let foreign = head_of(data).replace(env!("CARGO_PKG_VERSION"), "0.0.1");
        assert_eq!(data_of(&[foreign.as_bytes(), data].concat()), None);
    }
}
