//! stat(2), with the same fields on systems of 32 and 64 bits.
//!
//! The C library's structure for programs of 32 bits has no room for files of 2 GiB and more in glibc, nor for
//! inode numbers beyond 32 bits, nor for times after January 2038. statx(2) has room everywhere.

#[cfg(not(target_pointer_width = "32"))]
pub use nix::sys::stat::{FileStat, fstat, fstatat, stat};
#[cfg(target_pointer_width = "32")]
pub use statx::{FileStat, fstat, fstatat, stat};

#[cfg(any(target_pointer_width = "32", test))]
mod statx;

/// Fields whose types differ between systems.
pub trait StatFields {
    /// Inode number.
    fn inode(&self) -> u64;
    /// Number of hard links.
    fn links(&self) -> u64;
    /// Length in bytes.
    fn bytes(&self) -> i64;
    /// Time of the last change of the content: seconds since the epoch, nanoseconds.
    fn modified(&self) -> (i64, i64);
    /// Time of the last change of content or attributes: seconds since the epoch, nanoseconds.
    fn changed(&self) -> (i64, i64);
}

impl StatFields for FileStat {
    fn inode(&self) -> u64 {
        self.st_ino
    }

    fn links(&self) -> u64 {
        unsigned(self.st_nlink)
    }

    fn bytes(&self) -> i64 {
        self.st_size
    }

    fn modified(&self) -> (i64, i64) {
        (self.st_mtime, self.st_mtime_nsec)
    }

    fn changed(&self) -> (i64, i64) {
        (self.st_ctime, self.st_ctime_nsec)
    }
}

/// A number without a sign, whose type has 32 or 64 bits.
fn unsigned(number: impl Into<u64>) -> u64 {
    number.into()
}
