//! File descriptors: access by number, limits, and counting.

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

use super::thread;

/// Maximum number of descriptors of the process; `boot` raises the limit before other modules ask.
pub fn limit() -> usize {
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// Number of descriptors in use beside those of connections.
static NON_CONNECTION_FDS: AtomicUsize = AtomicUsize::new(0);

/// Guard that counts descriptors as in use.
#[derive(Debug)]
pub struct FdGuard(usize);

impl FdGuard {
    /// Counts `n` descriptors as in use.
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

/// Number of counted descriptors. A connection may keep descriptors open across its turns.
pub fn non_connection_fds() -> usize {
    NON_CONNECTION_FDS.load(SeqCst)
}

/// Open file that counts as a descriptor in use.
#[derive(Debug)]
pub struct OpenFile {
    /// File, present until drop.
    open: Option<Counting>,
    is_remote: bool,
}

#[derive(Debug)]
struct Counting {
    file: File,
    _guard: FdGuard,
}

impl OpenFile {
    /// File of a file system that may not answer.
    ///
    /// Another thread closes the file, since even `close` can hang (FUSE asks its program at each close).
    pub fn remote(file: File) -> OpenFile {
        OpenFile { open: Some(Counting::from(file)), is_remote: true }
    }

    /// Tells whether reading the file may hang.
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Returns the file, unless it was taken out.
    pub fn file(&self) -> Option<&File> {
        self.open.as_ref().map(|open| &open.file)
    }
}

impl From<File> for OpenFile {
    fn from(file: File) -> OpenFile {
        OpenFile { open: Some(Counting::from(file)), is_remote: false }
    }
}

impl From<File> for Counting {
    fn from(file: File) -> Counting {
        Counting { file, _guard: FdGuard::new(1) }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let (true, Some(open)) = (self.is_remote, self.open.take()) {
            close_elsewhere(open);
        }
    }
}

/// Files for the closing thread.
static TO_CLOSE: Mutex<Vec<Counting>> = Mutex::new(Vec::new());
/// Wakes the closing thread.
static HAS_FILES: Condvar = Condvar::new();

/// Closes a file in the closing thread; in the calling thread only if no thread can be started.
fn close_elsewhere(open: Counting) {
    static HAS_THREAD: OnceLock<bool> = OnceLock::new();
    let has_thread =
        HAS_THREAD.get_or_init(|| thread::start("closer", 64 * 1024, Box::new(close_all)).is_ok());
    if *has_thread {
        TO_CLOSE.lock().unwrap_or_else(PoisonError::into_inner).push(open);
        HAS_FILES.notify_one();
    }
}

/// Closes queued files, for the life of the process.
fn close_all() {
    loop {
        let files = TO_CLOSE.lock().unwrap_or_else(PoisonError::into_inner);
        let files = HAS_FILES.wait_while(files, |files| files.is_empty());
        let taken = std::mem::take(&mut *files.unwrap_or_else(PoisonError::into_inner));
        // Closing may take long, so the lock is released first.
        drop(taken);
    }
}

/// Borrows an open descriptor by its number, for a system call that only inspects it.
pub fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: the number is only handed to the kernel, which answers EBADF if it is not open; no
    // ownership is taken. -1, which BorrowedFd forbids, is never passed: callers hold an open pipe.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
