//! The temporary directory of a run: the tree of files, and a directory for each started server.

use std::cell::Cell;
use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process;

use crate::Result;
use crate::load::head::Exchange;
use crate::server::running::Setting;
use crate::tree::{Pages, Tree};

/// The directory, removed when this is dropped.
pub struct Workplace {
    directory: PathBuf,
    /// Files that all servers serve.
    pub tree: Tree,
    /// First request to a server.
    first: Exchange,
    started: Cell<usize>,
}

impl Workplace {
    /// Makes the directory below `TMPDIR` (or `/tmp`) and writes the tree into it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn generate() -> Result<Self> {
        let directory = env::temp_dir().join(format!("thttpd-bench.{}", process::id()));
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
        let tree = Tree::generate(directory.join("tree"))?;
        let first = Exchange::of(&tree.pages(Pages::Kibibyte)[0]);
        Ok(Self { directory, tree, first, started: Cell::new(0) })
    }

    /// Values that the next start of a server fills in.
    pub fn setting(&self, connections: usize) -> Setting<'_> {
        let number = self.started.get() + 1;
        self.started.set(number);
        // A few more than the workload's own: the proof of life, and a listening socket or two.
        let connections = connections + 128;
        let work = self.directory.join(format!("server-{number}"));
        Setting { root: self.tree.root(), work, connections, first: &self.first }
    }

    /// A file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("{}: {error}", self.directory.display());
        }
    }
}
