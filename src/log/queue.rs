//! Queue of access-log lines between recorders and the writer thread.
//!
//! [`access`](super::access) appends under a short lock; [`writer`](super::writer) takes all collected
//! lines. Lines beyond the capacity are lost and counted.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::atomic::AtomicU64;

/// Maximum size of unwritten lines in bytes; further lines are lost.
pub const CAPACITY: usize = 4 << 20;
/// Size in bytes at which the writer is woken early.
pub(super) const HASTE: usize = 1 << 20;
/// Maximum time that the shutdown waits for a log that accepts no lines.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Minimum interval between two messages about lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// State that recorders and the writer thread share.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    queue: Mutex<Queue>,
    /// Signals lines or requests to the writer.
    pub(super) changed: Condvar,
    /// Signals the end of the writer.
    finished: Condvar,
    lost: AtomicU64,
    report: Mutex<Report>,
}

/// Lines for the writer, and requests to it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Complete lines.
    pub(super) lines: Vec<u8>,
    /// Set while the writer waits for the first line.
    pub(super) asleep: bool,
    /// Request to reopen the file.
    pub(super) reopen: bool,
    /// Request to write the remaining lines and end.
    pub(super) stop: bool,
    /// Set when the writer has ended.
    pub(super) finished: bool,
}

#[derive(Debug, Default)]
struct Report {
    at: Option<Instant>,
    lost: u64,
}

impl Queue {
    fn has_request(&self) -> bool {
        self.stop || self.reopen
    }
}

impl QueueState {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one complete line.
    pub(super) fn append(&self, line: &[u8]) {
        let mut queue = self.lock();
        let before = queue.lines.len();
        if queue.stop || before + line.len() > CAPACITY {
            drop(queue);
            self.lose(1);
            return;
        }
        queue.lines.extend_from_slice(line);
        let hurry = before < HASTE && queue.lines.len() >= HASTE;
        let wake = std::mem::take(&mut queue.asleep) || hurry;
        drop(queue);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Waits without a limit until there is a line or a request.
    pub(super) fn wait_for_first<'a>(&self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        while queue.lines.is_empty() && !queue.has_request() {
            queue.asleep = true;
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.asleep = false;
        queue
    }

    /// Waits while lines are collected: for `limit`, or until there are many or a request.
    pub(super) fn wait_until_due<'a>(
        &self,
        queue: MutexGuard<'a, Queue>,
        limit: Duration,
    ) -> MutexGuard<'a, Queue> {
        let is_early = |queue: &mut Queue| queue.lines.len() < HASTE && !queue.has_request();
        let wait = self.changed.wait_timeout_while(queue, limit, is_early);
        wait.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Number of lines lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts lines that will never be written.
    pub(super) fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Logs the number of newly lost lines; `now` overrides the minimum interval.
    pub(super) fn report_lost(&self, now: bool) {
        let lost = self.lost();
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let due = now || report.at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if lost > report.lost && due {
            let new = lost - report.lost;
            *report = Report { at: Some(Instant::now()), lost };
            drop(report);
            super::error!("access log: {new} lines lost, the log did not take them");
        }
    }

    /// Records that the writer has ended.
    pub(super) fn finish(&self) {
        self.lock().finished = true;
        self.finished.notify_all();
    }

    /// Waits until the writer has ended, or the log has accepted no lines for some seconds.
    pub(super) fn wait_finished(&self) {
        let queue = self.lock();
        let (queue, _) = self
            .finished
            .wait_timeout_while(queue, CLOSE_LIMIT, |queue| !queue.finished)
            .unwrap_or_else(PoisonError::into_inner);
        if !queue.finished {
            self.lose(count_lines(&queue.lines));
        }
    }
}

/// Number of lines in `lines`, which are complete.
pub(super) fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}
