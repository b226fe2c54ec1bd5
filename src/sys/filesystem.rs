//! Local file systems: those that answer without another machine or program.
//!
//! A call on any other file system may take as long as that machine or program, possibly forever.
//! inotify(7) reports all changes in local file systems, but not changes by other machines in remote ones.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
    fstatfs,
};

/// Value of `XFS_SUPER_MAGIC`, which nix lacks for musl.
const XFS_SUPER_MAGIC: FsType = FsType(0x5846_5342);

/// File systems whose every change passes through this kernel's own directory entries.
const LOCAL: [FsType; 6] = [
    EXT4_SUPER_MAGIC,
    XFS_SUPER_MAGIC,
    BTRFS_SUPER_MAGIC,
    F2FS_SUPER_MAGIC,
    TMPFS_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
];

/// Tells whether the open `file` is in a local file system.
pub fn is_local(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|system| LOCAL.contains(&system.filesystem_type()))
}

/// Directory held open, from which files are read while serving.
#[derive(Debug)]
pub struct OpenDirectory {
    /// Open directory.
    pub file: File,
    /// Set if the directory is in a local file system; determined on opening, as the call itself may hang.
    pub is_local: bool,
}

impl OpenDirectory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<OpenDirectory> {
        let file = File::open(path)?;
        let is_local = is_local(file.as_fd());
        Ok(OpenDirectory { file, is_local })
    }
}
