//! stat(2) by statx(2), whose fields have 64 bits in programs of 32 bits too.

use std::ffi::{CStr, c_int, c_long};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc;
use nix::sys::stat as narrow;
use nix::{NixPath, Result};

/// Metadata of a file, under the names of stat(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Device.
    pub st_dev: u64,
    /// Inode number.
    pub st_ino: u64,
    /// Type and permissions.
    pub st_mode: u32,
    /// Number of hard links.
    pub st_nlink: u64,
    /// Owner.
    pub st_uid: u32,
    /// Group.
    pub st_gid: u32,
    /// Length in bytes.
    pub st_size: i64,
    /// Last change of the content, in seconds since the epoch.
    pub st_mtime: i64,
    /// Nanoseconds of `st_mtime`.
    pub st_mtime_nsec: i64,
    /// Last change of content or attributes, in seconds since the epoch.
    pub st_ctime: i64,
    /// Nanoseconds of `st_ctime`.
    pub st_ctime_nsec: i64,
}

/// Metadata of an open file.
///
/// # Errors
/// Those of fstat(2).
pub fn fstat(fd: impl AsFd) -> Result<FileStat> {
    match ask(fd.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH) {
        Err(Errno::ENOSYS | Errno::EPERM) => narrow::fstat(fd).map(FileStat::from),
        answer => answer,
    }
}

/// Metadata of the file `name` in the open directory `dir`.
///
/// # Errors
/// Those of fstatat(2).
pub fn fstatat<P: ?Sized + NixPath>(dir: impl AsFd, name: &P, flags: AtFlags) -> Result<FileStat> {
    match name.with_nix_path(|name| ask(dir.as_fd().as_raw_fd(), name, flags.bits()))? {
        Err(Errno::ENOSYS | Errno::EPERM) => narrow::fstatat(dir, name, flags).map(FileStat::from),
        answer => answer,
    }
}

/// Metadata of the file at `path`.
///
/// # Errors
/// Those of stat(2).
pub fn stat<P: ?Sized + NixPath>(path: &P) -> Result<FileStat> {
    fstatat(AT_FDCWD, path, AtFlags::empty())
}

/// Calls statx(2). Linux before 4.11 has no such call, and a sandbox may refuse calls that it does not know.
fn ask(dir: c_int, name: &CStr, flags: c_int) -> Result<FileStat> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let wanted = libc::STATX_BASIC_STATS;
    // SAFETY: the name ends with a NUL; the call fills the structure, which lives through it, and keeps neither.
    let answer: c_long = unsafe {
        let flags = flags | libc::AT_STATX_SYNC_AS_STAT;
        libc::syscall(libc::SYS_statx, dir, name.as_ptr(), flags, wanted, found.as_mut_ptr())
    };
    Errno::result(answer)?;
    // SAFETY: all of the structure's fields are integers, for which zero is a value.
    Ok(FileStat::from(unsafe { found.assume_init() }))
}

impl From<libc::statx> for FileStat {
    fn from(found: libc::statx) -> FileStat {
        FileStat {
            st_dev: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
            st_ino: found.stx_ino,
            st_mode: found.stx_mode.into(),
            st_nlink: found.stx_nlink.into(),
            st_uid: found.stx_uid,
            st_gid: found.stx_gid,
            st_size: i64::try_from(found.stx_size).unwrap_or(i64::MAX),
            st_mtime: found.stx_mtime.tv_sec,
            st_mtime_nsec: found.stx_mtime.tv_nsec.into(),
            st_ctime: found.stx_ctime.tv_sec,
            st_ctime_nsec: found.stx_ctime.tv_nsec.into(),
        }
    }
}

impl From<narrow::FileStat> for FileStat {
    fn from(found: narrow::FileStat) -> FileStat {
        FileStat {
            st_dev: unsigned(found.st_dev),
            st_ino: unsigned(found.st_ino),
            st_mode: found.st_mode,
            st_nlink: unsigned(found.st_nlink),
            st_uid: found.st_uid,
            st_gid: found.st_gid,
            st_size: signed(found.st_size),
            st_mtime: signed(found.st_mtime),
            st_mtime_nsec: signed(found.st_mtime_nsec),
            st_ctime: signed(found.st_ctime),
            st_ctime_nsec: signed(found.st_ctime_nsec),
        }
    }
}

/// A number of the system's structure, whose type has 32 or 64 bits.
fn signed(number: impl Into<i64>) -> i64 {
    number.into()
}

/// A number without a sign, whose type has 32 or 64 bits.
fn unsigned(number: impl Into<u64>) -> u64 {
    number.into()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::process::Command;

    use super::*;
    use crate::testing::TempTree;

    /// The fields, as the standard library reads them.
    fn expected(meta: &std::fs::Metadata) -> String {
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        let ids = (meta.mode(), meta.nlink(), meta.uid(), meta.gid());
        format!("{} {} {ids:?} {} {times:?}", meta.dev(), meta.ino(), meta.len())
    }

    fn told(found: FileStat) -> String {
        let times = [found.st_mtime, found.st_mtime_nsec, found.st_ctime, found.st_ctime_nsec];
        let ids = (found.st_mode, found.st_nlink, found.st_uid, found.st_gid);
        format!("{} {} {ids:?} {} {times:?}", found.st_dev, found.st_ino, found.st_size)
    }

    #[test]
    fn sizes_and_times_beyond_32_bits_are_read_as_they_are() {
        let tree = TempTree::new();
        let path = tree.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_len((5 << 30) + 7).unwrap();
        // In the year 2096; the standard library sets no such time in a program of 32 bits.
        let touched = Command::new("touch").arg("-d@4000000000.000000005").arg(&path).status().unwrap();
        assert!(touched.success());
        symlink("file", tree.path().join("link")).unwrap();
        let dir = File::open(tree.path()).unwrap();
        let (followed, link) =
            (file.metadata().unwrap(), tree.path().join("link").symlink_metadata().unwrap());
        let later = fstat(&file).unwrap();
        assert_eq!((later.st_mtime, later.st_mtime_nsec), (4_000_000_000, 5));
        assert_eq!(told(fstat(&file).unwrap()), expected(&followed));
        assert_eq!(told(stat(&path).unwrap()), expected(&followed));
        assert_eq!(told(fstatat(&dir, "link", AtFlags::empty()).unwrap()), expected(&followed));
        assert_eq!(told(fstatat(&dir, "link", AtFlags::AT_SYMLINK_NOFOLLOW).unwrap()), expected(&link));
        assert_eq!(stat(&tree.path().join("none")).unwrap_err(), Errno::ENOENT);
    }

    #[test]
    fn an_old_kernels_answer_has_the_same_fields() {
        let tree = TempTree::new();
        let file = File::create(tree.path().join("file")).unwrap();
        assert_eq!(told(narrow::fstat(&file).unwrap().into()), told(fstat(&file).unwrap()));
    }
}
