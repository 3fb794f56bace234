//! How much memory there is.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Fails where so many bytes would not fit into memory.
pub(super) fn reserve(device: &str, bytes: u64) -> Result<()> {
    let reserved = usize::try_from(bytes).is_ok_and(|all| Vec::<u8>::new().try_reserve_exact(all).is_ok());
    // Systems promise more than they have.
    if reserved && available().is_none_or(|available| bytes <= available) {
        return Ok(());
    }
    Err(Error::OutOfMemory { device: device.to_owned(), bytes })
}

/// The bytes of memory that are free, where the system tells.
fn available() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
    };
    let free = field("MemAvailable:")?.saturating_add(field("SwapFree:").unwrap_or(0));
    // A container may have less.
    let groups = [
        free_of_group(Path::new("/sys/fs/cgroup"), "memory.max", "memory.current"),
        free_of_group(Path::new("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ];
    groups.into_iter().flatten().chain([free]).min()
}

/// The bytes that a control group may still take, if it has a limit. What it uses counts the files that the
/// system remembers, which make room when there is need.
fn free_of_group(folder: &Path, limit: &str, used: &str) -> Option<u64> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| text(name)?.trim().parse::<u64>().ok();
    let statistics = text("memory.stat").unwrap_or_default();
    let of_files = |line: &str| {
        let (name, bytes) = line.split_once(' ')?;
        matches!(name, "active_file" | "inactive_file").then(|| bytes.parse::<u64>().ok()).flatten()
    };
    let remembered = statistics.lines().filter_map(of_files).fold(0, u64::saturating_add);
    Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(remembered)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_remembered_make_room() {
        let folder = std::env::temp_dir().join(format!("retape-group-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temporary folders can be made");
        let free = |files: [(&str, &str); 3]| {
            files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("it is written"));
            free_of_group(&folder, "memory.max", "memory.current")
        };
        let statistics = ("memory.stat", "anon 300\nfile 650\ninactive_file 500\nactive_file 100\n");
        assert_eq!(free([("memory.max", "1000\n"), ("memory.current", "950\n"), statistics]), Some(650));
        assert_eq!(free([("memory.max", "max\n"), ("memory.current", "950\n"), statistics]), None);
        let none = ("memory.stat", "");
        assert_eq!(free([("memory.max", "1000\n"), ("memory.current", "1200\n"), none]), Some(0));
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
