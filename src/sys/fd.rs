//! Descriptors known by number, and how many there may be.

use std::os::fd::{BorrowedFd, RawFd};

use nix::sys::resource::{Resource, getrlimit};

/// How many descriptors the process may have, as things stand: boot raises it before anybody asks.
pub fn limit() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// Names an open descriptor by its number, for a system call that only looks at it.
pub fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: the number is only handed to the kernel, which answers EBADF if it is not open; no
    // ownership is taken. -1, which BorrowedFd forbids, is never passed: callers hold an open pipe.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
