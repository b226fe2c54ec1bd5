//! Fields of stat(2), in types that systems of 32 and 64 bits share.

// The types of the system's structure differ: a conversion is none on most systems.
#![allow(clippy::useless_conversion)]

use nix::sys::stat::FileStat;

/// Fields whose types differ between systems.
pub trait StatFields {
    /// Inode number.
    fn inode(&self) -> u64;
    /// Length in bytes.
    fn bytes(&self) -> i64;
    /// Time of the last change of the content: seconds since the epoch, nanoseconds.
    fn modified(&self) -> (i64, i64);
    /// Time of the last change of content or attributes: seconds since the epoch, nanoseconds.
    fn changed(&self) -> (i64, i64);
}

impl StatFields for FileStat {
    fn inode(&self) -> u64 {
        self.st_ino.into()
    }

    fn bytes(&self) -> i64 {
        self.st_size.into()
    }

    fn modified(&self) -> (i64, i64) {
        (self.st_mtime.into(), self.st_mtime_nsec.into())
    }

    fn changed(&self) -> (i64, i64) {
        (self.st_ctime.into(), self.st_ctime_nsec.into())
    }
}
