//! Folders for tests that read files.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for each test, removed when the test ends, failed or not.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("retape-test-{}-{unique}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder can be made");
        Folder(path)
    }

    /// Its path as a flag.
    #[allow(dead_code, reason = "some test binaries have no use for it")]
    pub fn path(&self) -> &str {
        self.0.to_str().expect("the temporary folder is UTF-8")
    }

    /// Writes a file, in folders that are made for it.
    #[allow(dead_code, reason = "some test binaries have no use for it")]
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        let parent = path.parent().expect("the file lies in the folder");
        fs::create_dir_all(parent).expect("the temporary folder can be written");
        fs::write(&path, bytes).expect("the temporary folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
