//! Local file systems: those that answer without another machine or program.
//!
//! A call on any other file system may take as long as that machine or program, possibly forever.
//! inotify(7) reports all changes in local file systems, but not changes by other machines in remote ones.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC, Statfs,
    TMPFS_MAGIC, fstatfs, statfs,
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

/// Types of file systems whose data is with another machine or a program: FUSE, NFS, 9P, SMB (three
/// generations), Ceph, AFS (two kinds), Coda and Lustre; see statfs(2).
const REMOTE: [i128; 11] = [
    0x6573_5546,
    0x6969,
    0x0102_1997,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x00c3_6400,
    0x5346_414f,
    0x6b41_4653,
    0x7375_7245,
    0x0bd0_0bd0,
];

/// Tells whether the directory at `path` is in a file system known to be with another machine or a program.
///
/// The call itself may hang.
pub fn is_remote(path: &Path) -> bool {
    // The type has another width and sign on each platform; four bytes of it count.
    let kind = |system: Statfs| i128::from(system.filesystem_type().0).rem_euclid(1 << 32);
    statfs(path).is_ok_and(|system| REMOTE.contains(&kind(system)))
}

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
    pub fn open(path: &Path) -> nix::Result<OpenDirectory> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let file = File::from(open(path, flags, Mode::empty())?);
        let is_local = is_local(file.as_fd());
        Ok(OpenDirectory { file, is_local })
    }
}
