//! Fields of stat(2), in types that systems of 32 and 64 bits share.

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
        unsigned(self.st_ino)
    }

    fn bytes(&self) -> i64 {
        signed(self.st_size)
    }

    fn modified(&self) -> (i64, i64) {
        (signed(self.st_mtime), signed(self.st_mtime_nsec))
    }

    fn changed(&self) -> (i64, i64) {
        (signed(self.st_ctime), signed(self.st_ctime_nsec))
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
