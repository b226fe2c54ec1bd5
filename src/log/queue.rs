//! The access log's lines on their way from the recorders to the writer thread.
//!
//! [`access`](super::access) appends, under a short lock; [`writer`](super::writer) takes all that has
//! gathered. What does not fit is lost, and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of unwritten lines that are kept while the log cannot be written; beyond them lines are lost.
pub const CAPACITY: usize = 4 << 20;
/// Bytes at which the writer is woken before its pause is over.
pub(super) const HASTE: usize = 1 << 20;
/// How long the end of the server waits for a log that does not take its lines.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// At most one message about lost lines in this time.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// State that recorders and the writer thread share.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    queue: Mutex<Queue>,
    /// Something is there for the writer.
    pub(super) changed: Condvar,
    /// The writer is done for good.
    finished: Condvar,
    lost: AtomicU64,
    report: Mutex<Report>,
}

/// Lines waiting for the writer, and what it is asked to do.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Whole lines.
    pub(super) lines: Vec<u8>,
    /// The writer waits for the first line.
    pub(super) asleep: bool,
    /// Open the file anew.
    pub(super) reopen: bool,
    /// Write what is there and end.
    pub(super) stop: bool,
    /// The writer has ended.
    pub(super) finished: bool,
}

#[derive(Debug, Default)]
struct Report {
    at: Option<Instant>,
    lost: u64,
}

impl QueueState {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends one whole line.
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

    /// Lines lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Counts lines that will never be written.
    pub(super) fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Says how many lines were lost, when that is news; `now` whatever was said a moment ago.
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

    /// The writer has ended.
    pub(super) fn finish(&self) {
        self.lock().finished = true;
        self.finished.notify_all();
    }

    /// Returns when the writer has ended, or when the log has not taken its lines for some seconds.
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

/// Lines in a run of whole lines.
pub(super) fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}
