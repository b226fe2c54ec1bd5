//! Descriptors known by number, and how many there may be.

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

use super::thread;

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
    /// Present until it is dropped.
    open: Option<Counting>,
    is_remote: bool,
}

#[derive(Debug)]
struct Counting {
    file: File,
    _guard: FdGuard,
}

impl OpenFile {
    /// A file of a file system that may not answer: it is closed by a thread of its own, since even that
    /// can hang (FUSE asks its program at each close).
    pub fn remote(file: File) -> OpenFile {
        OpenFile { open: Some(Counting::from(file)), is_remote: true }
    }

    /// May reading it hang?
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// The file, if it has not been taken out.
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

/// Files for the thread that closes them.
static TO_CLOSE: Mutex<Vec<Counting>> = Mutex::new(Vec::new());
/// Wakes that thread.
static HAS_FILES: Condvar = Condvar::new();

/// Closes a file in a thread that nobody waits for; here only where the system has no thread for it.
fn close_elsewhere(open: Counting) {
    static HAS_THREAD: OnceLock<bool> = OnceLock::new();
    let has_thread =
        HAS_THREAD.get_or_init(|| thread::start("closer", 64 * 1024, Box::new(close_all)).is_ok());
    if *has_thread {
        TO_CLOSE.lock().unwrap_or_else(PoisonError::into_inner).push(open);
        HAS_FILES.notify_one();
    }
}

/// Closes what there is to close, for the life of the process.
fn close_all() {
    loop {
        let files = TO_CLOSE.lock().unwrap_or_else(PoisonError::into_inner);
        let files = HAS_FILES.wait_while(files, |files| files.is_empty());
        let taken = std::mem::take(&mut *files.unwrap_or_else(PoisonError::into_inner));
        // Closing may take long, so the lock is free meanwhile.
        drop(taken);
    }
}

/// Names an open descriptor by its number, for a system call that only looks at it.
pub fn borrow<'fd>(fd: RawFd) -> BorrowedFd<'fd> {
    // SAFETY: the number is only handed to the kernel, which answers EBADF if it is not open; no
    // ownership is taken. -1, which BorrowedFd forbids, is never passed: callers hold an open pipe.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
