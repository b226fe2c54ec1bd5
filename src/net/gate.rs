//! How many connections there may be: a permit each, from accept to close.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lot::MOST_DESCRIPTORS;
use crate::log::stats::Stats;
use crate::resource::cache::share_for_files;
use crate::sys::fd;

/// Descriptors kept back for logs, listeners, the readiness set and the like. (thttpd's SPARE_FDS is
/// 10; we hold a dozen before the first connection comes.)
const SPARE: usize = 24;

/// Admission bound and count.
#[derive(Debug)]
pub struct Gate {
    most: usize,
    open: AtomicUsize,
    /// Somebody waits for `open` to fall; only then does a closing connection notify.
    awaited: AtomicBool,
    lock: Mutex<()>,
    fell: Condvar,
    stats: Arc<Stats>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<Gate>);

/// How many connections fit: `wanted` if not zero, but never more than the descriptor limit leaves
/// beside cached files and what `workers` busy connections add (a file and a pipe each).
pub fn most_connections(wanted: usize, workers: usize) -> usize {
    let descriptors = fd::limit().min(MOST_DESCRIPTORS);
    let fit = descriptors.saturating_sub(SPARE + 2 * workers + share_for_files(descriptors)).max(1);
    if wanted == 0 { fit } else { wanted.min(fit) }
}

impl Gate {
    /// A gate that lets `most` connections in.
    pub fn new(most: usize, stats: Arc<Stats>) -> Arc<Gate> {
        Arc::new(Gate {
            most,
            open: AtomicUsize::new(0),
            awaited: AtomicBool::new(false),
            lock: Mutex::new(()),
            fell: Condvar::new(),
            stats,
        })
    }

    /// A place for one more connection; the caller has made sure that there is room.
    pub fn enter(self: &Arc<Gate>) -> Permit {
        self.open.fetch_add(1, SeqCst);
        self.stats.connected();
        Permit(Arc::clone(self))
    }

    /// Is there room for one more?
    pub fn has_room(&self) -> bool {
        self.open() < self.most
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    /// Waits until there is room, at most for `timeout`.
    pub fn wait_for_room(&self, timeout: Duration) {
        self.wait(Instant::now() + timeout, &|open| open < self.most);
    }

    /// Waits until nothing is open; false when the deadline passes first.
    pub fn wait_empty(&self, deadline: Instant) -> bool {
        self.wait(deadline, &|open| open == 0)
    }

    fn wait(&self, deadline: Instant, enough: &dyn Fn(usize) -> bool) -> bool {
        let mut guard = self.guard();
        loop {
            // Announced before looking, so that whoever leaves after the look does notify.
            self.awaited.store(true, SeqCst);
            if enough(self.open()) {
                self.awaited.store(false, SeqCst);
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            guard = self.fell.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn guard(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
        self.0.stats.disconnected();
        if self.0.awaited.load(SeqCst) {
            drop(self.0.guard());
            self.0.fell.notify_all();
        }
    }
}
