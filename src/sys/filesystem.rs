//! Which file systems answer from this machine alone.
//!
//! A look at any other one may take as long as another machine, or a program, takes to answer, which may
//! be for ever. inotify(7) sees what happens in the local ones, and not what others do in the rest.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
    fstatfs,
};

/// `XFS_SUPER_MAGIC`, which nix does not have for musl.
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

/// Does the open `file` lie in a local file system?
pub fn is_local(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|system| LOCAL.contains(&system.filesystem_type()))
}

/// A directory that stays open, of which files are read while requests are served.
#[derive(Debug)]
pub struct OpenDirectory {
    /// The directory.
    pub file: File,
    /// It lies in a local file system. Asked when it is opened: the question itself may hang.
    pub is_local: bool,
}

impl OpenDirectory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path) -> io::Result<OpenDirectory> {
        let file = File::open(path)?;
        let is_local = is_local(file.as_fd());
        Ok(OpenDirectory { file, is_local })
    }
}
