//! Descriptors known by number, and how many there may be.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use nix::sys::resource::{Resource, getrlimit};

/// How many descriptors the process may have, as things stand: boot raises it before anybody asks.
pub fn limit() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// Descriptors in use beside those of connections.
static NON_CONNECTION_FDS: AtomicUsize = AtomicUsize::new(0);

/// Some descriptors that are in use as long as this lives.
#[derive(Debug)]
pub struct FdGuard(usize);

impl FdGuard {
    /// Counts `n` descriptors in.
    pub fn new(n: usize) -> FdGuard {
        NON_CONNECTION_FDS.fetch_add(n, SeqCst);
        FdGuard(n)
    }
}

impl Drop for FdGuard {
    fn drop(&mut self) {
        NON_CONNECTION_FDS.fetch_sub(self.0, SeqCst);
    }
}

/// How many are counted now: what a connection has open may outlast any one turn of it.
pub fn non_connection_fds() -> usize {
    NON_CONNECTION_FDS.load(SeqCst)
}

/// An open file that counts.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    _guard: FdGuard,
}

impl From<File> for OpenFile {
    fn from(file: File) -> OpenFile {
        OpenFile { file, _guard: FdGuard::new(1) }
    }
}

impl From<OpenFile> for File {
    fn from(open: OpenFile) -> File {
        open.file
    }
}

impl Deref for OpenFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// Names an open descriptor by its number, for a system call that only looks at it.
pub fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: the number is only handed to the kernel, which answers EBADF if it is not open; no
    // ownership is taken. -1, which BorrowedFd forbids, is never passed: callers hold an open pipe.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
