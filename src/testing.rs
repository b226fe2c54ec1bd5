//! Temporary trees for unit tests; gone when the test ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of its own for one test, removed on drop.
pub struct TempTree(PathBuf);

impl TempTree {
    /// A fresh, empty, world-searchable directory.
    pub fn new() -> TempTree {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("thttpd-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("temporary directory");
        TempTree(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and the directories above it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).expect("directory");
        }
        std::fs::write(path, content).expect("file");
    }
}

impl Drop for TempTree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
