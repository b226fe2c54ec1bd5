//! The root of the served tree, and views of it.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, openat, openat2};
use nix::sys::stat::Mode;

use crate::sys::filesystem;
use crate::sys::stat::fstat;

/// Root of the served tree.
#[derive(Debug)]
pub struct DocRoot {
    pub(super) dir: OwnedFd,
    /// Absolute path of `dir` with a trailing slash.
    ///
    /// Absolute symbolic links that begin with this path lead into the tree, as in thttpd.
    path: Vec<u8>,
    /// Path by which `dir` was opened, relative to the working directory, which never changes while
    /// serving.
    at: PathBuf,
    /// Set if the root's file system is local, so that calls on it return in bounded time.
    pub(super) is_local: bool,
    /// Cleared when the kernel reports that `openat2` is unknown.
    pub(super) has_openat2: AtomicBool,
}

/// Treatment of symbolic links in a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Any link is an error (ELOOP), as the name was expanded before.
    Refuse,
    /// Links are followed as long as they stay inside the tree, absolute ones too.
    Within,
    /// Links are followed to any target (`-nos`).
    Follow,
}

impl Links {
    /// Treatment of links in a name that was expanded, with or without `symlinkcheck`.
    pub fn in_expanded(is_checked: bool) -> Links {
        if is_checked { Links::Refuse } else { Links::Follow }
    }
}

impl DocRoot {
    /// Opens the directory `at` as the root; `path` is its absolute path as seen in link targets.
    ///
    /// # Errors
    /// `at` is not a directory or may not be searched.
    pub fn open(at: &Path, path: &[u8]) -> nix::Result<DocRoot> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::open(at, flags, Mode::empty())?;
        let mut path = path.to_vec();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        let is_local = filesystem::is_local(dir.as_fd());
        Ok(DocRoot { dir, path, at: at.into(), is_local, has_openat2: AtomicBool::new(true) })
    }

    /// Checks that the directory still exists and may be opened.
    ///
    /// # Errors
    /// The error of the failed call; ENOENT for a removed directory.
    pub fn check(&self) -> nix::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(&self.dir, ".", flags, Mode::empty())?;
        // A directory that was removed can still be opened through a descriptor of it.
        if fstat(&dir)?.st_nlink == 0 { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// Tells whether `openat2` opens the root itself, without reading it.
    pub(super) fn can_openat2(&self) -> bool {
        openat2(&self.dir, ".", OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC)).is_ok()
    }

    /// Absolute path with a trailing slash.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of `name` for system calls that take no directory descriptor.
    pub fn path_of(&self, name: &[u8]) -> PathBuf {
        self.at.join(OsStr::from_bytes(name))
    }
}

/// View of the tree for one look-up: the whole tree, or the part that answers in bounded time.
///
/// A system call on a network file system may hang as long as the server does not answer. A local view
/// never enters another file system than the root's own (openat2(2), RESOLVE_NO_XDEV): a name beyond a
/// mount point is EXDEV, and the mounted file system is not accessed.
#[derive(Debug)]
pub struct View<'r> {
    pub(super) root: &'r DocRoot,
    pub(super) local: bool,
    /// Set when a name led to another file system: results found so far are not valid.
    pub(super) crossed: Cell<bool>,
}

impl<'r> View<'r> {
    /// View of the root's file system alone; empty if that may hang itself.
    pub fn local(root: &'r DocRoot) -> View<'r> {
        View { root, local: true, crossed: Cell::new(false) }
    }

    /// View of all file systems, for a thread that may block.
    pub fn anywhere(root: &'r DocRoot) -> View<'r> {
        View { root, local: false, crossed: Cell::new(false) }
    }

    /// Root of the tree.
    pub fn root(&self) -> &'r DocRoot {
        self.root
    }

    /// Tells whether the view is a local one.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Takes back that a name led out of a local view, where no result depends on that name.
    pub fn forget_crossing(&self) {
        self.crossed.set(false);
    }

    /// Tells whether a name led out of a local view, which makes every result invalid.
    pub fn has_crossed(&self) -> bool {
        self.crossed.get()
    }
}
