//! Directories of the files that the server writes: the log, the pid file, sockets.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, faccessat};

/// Opens the directory of `path` (O_PATH).
///
/// # Errors
/// Those of open(2).
pub fn open_parent(path: &Path) -> nix::Result<OwnedFd> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Tells whether this process may create a file in `dir`.
///
/// # Errors
/// The reason why not.
pub fn may_create_in(dir: impl AsFd) -> nix::Result<()> {
    faccessat(dir, ".", AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::empty())
}
