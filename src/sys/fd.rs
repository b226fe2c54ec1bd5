//! Descriptors known by number.

use std::os::fd::{BorrowedFd, RawFd};

/// Names an open descriptor by its number, for a system call that only looks at it.
pub fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: the number is only handed to the kernel, which answers EBADF if it is not open; no
    // ownership is taken. -1, which BorrowedFd forbids, is never passed: callers hold an open pipe.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
