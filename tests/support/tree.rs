//! Temporary directory with a document tree, and the server's own files beside it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use super::exclusive::Share;

/// Removed on drop, whatever modes a test has given its files.
pub struct Tree {
    dir: PathBuf,
    _share: Share,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    pub fn new() -> Tree {
        let share = Share::take();
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("thttpd-e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(dir.join("www")).unwrap();
        for made in [&dir, &dir.join("www")] {
            fs::set_permissions(made, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Tree { dir, _share: share }
    }

    /// Directory for logs and configuration of the test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The document root.
    pub fn www(&self) -> PathBuf {
        self.dir.join("www")
    }

    /// A world-readable file, old enough to be cached.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.www().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.mode(name, 0o644);
        let old = SystemTime::now() - Duration::from_secs(86_400);
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        path
    }

    pub fn dir_in(&self, name: &str) -> PathBuf {
        let path = self.www().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.www().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.www().join(name)).unwrap();
    }

    /// A file beside the document root.
    pub fn beside(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
