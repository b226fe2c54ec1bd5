//! Directories: the names in one, and those of the files that the server writes (the log, the pid file, sockets).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, faccessat};

#[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
pub use nix::dir::{Dir, Type};
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
pub use {entries::Dir, nix::dir::Type};

#[cfg(any(all(target_env = "gnu", target_pointer_width = "32"), test))]
mod entries;

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
