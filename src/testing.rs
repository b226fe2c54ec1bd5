//! Temporary directory trees for unit tests, removed when the test ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of its own for one test, removed on drop.
pub struct TempTree(PathBuf);

impl TempTree {
    /// Makes an empty, world-searchable directory.
    pub fn new() -> TempTree {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("thttpd-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("temporary directory");
        TempTree(path)
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, with its parent directories.
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

/// Base64 with padding (RFC 4648 §4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = bytes.chunks(3).flat_map(|group| {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(word);
        (0..=group.len()).map(move |at| ALPHABET[(word >> (18 - 6 * at) & 63) as usize])
    });
    let mut text: String = letters.map(char::from).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
