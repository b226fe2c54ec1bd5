//! Writer thread of the access log: writes collected lines to a file, standard output or syslog.
//!
//! [`access`](super::access) starts the thread. Only this thread waits for disks, pipes and the log daemon.

use std::io::{self, Write};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::file::LogFile;
use super::queue::{HASTE, QueueState, count_lines};
use super::syslog;
use crate::sys::{reason, stdio};

/// Time for collecting more lines behind the first one after a pause.
const GATHER: Duration = Duration::from_millis(20);
/// Interval between two writes while lines keep coming. Each costs, with its wake-up, some 70 µs of processor time.
const INTERVAL: Duration = Duration::from_millis(50);
/// Time before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Time before writing to a full non-blocking pipe is tried again, the first time.
const PIPE_RETRY: Duration = Duration::from_millis(10);
/// Maximum time of retries during shutdown.
const LAST_TRIES: Duration = Duration::from_secs(2);
/// Minimum interval between two messages about a failing log.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);
/// Capacity in bytes that the buffer keeps after a burst.
const KEEP: usize = HASTE;

/// Destination of lines.
#[derive(Debug)]
pub(super) enum Sink {
    File(LogFile),
    Syslog,
}

/// The thread's state.
pub(super) struct Writer {
    sink: Sink,
    shared: Arc<QueueState>,
    /// The last wait brought lines: more are expected, so that their recorders need not wake this thread.
    is_busy: bool,
    /// Time of the last message about failing writes, while they fail.
    complained: Option<Instant>,
    /// Deadline for failing writes during shutdown.
    give_up: Option<Instant>,
    /// Time before the next try while the pipe is full.
    pipe_retry: Duration,
}

impl Writer {
    pub(super) fn new(sink: Sink, shared: Arc<QueueState>) -> Writer {
        Writer { sink, shared, is_busy: false, complained: None, give_up: None, pipe_retry: PIPE_RETRY }
    }

    /// Writes until asked to stop and no line is left.
    pub(super) fn run(&mut self) {
        let mut batch = Vec::new();
        while self.gather(&mut batch) {
            self.write(&batch);
            batch.clear();
            batch.shrink_to(KEEP);
        }
        self.shared.finish();
    }

    /// Waits for lines, collects more, and takes them all; false at the end.
    fn gather(&mut self, batch: &mut Vec<u8>) -> bool {
        let mut queue = self.shared.lock();
        if self.is_busy {
            queue = self.shared.wait_until_due(queue, INTERVAL);
        }
        if queue.lines.is_empty() {
            queue = self.shared.wait_until_due(self.shared.wait_for_first(queue), GATHER);
        }
        let reopen = std::mem::take(&mut queue.reopen);
        let ended = queue.stop && queue.lines.is_empty();
        std::mem::swap(&mut queue.lines, batch);
        drop(queue);
        self.is_busy = !batch.is_empty();
        if reopen {
            self.reopen();
        }
        !ended
    }

    fn write(&mut self, batch: &[u8]) {
        match &self.sink {
            Sink::Syslog => {
                for line in batch.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                    if !syslog::deliver_access(line) {
                        self.shared.lose(1);
                    }
                }
            }
            Sink::File(_) => self.write_file(batch),
        }
    }

    fn write_file(&mut self, batch: &[u8]) {
        let mut done = 0;
        let mut stream = None;
        while done < batch.len() {
            stream = stream.or_else(|| self.hold_stream());
            match self.write_some(&batch[done..]) {
                Ok(count) => {
                    done += count;
                    stream = stream.filter(|_| batch[done - 1] != b'\n');
                    self.recovered();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // A line cut by a full pipe is completed before any message.
                    let is_full = error.kind() == io::ErrorKind::WouldBlock;
                    stream = stream.filter(|_| is_full && done > 0 && batch[done - 1] != b'\n');
                    self.complain(&error);
                    if !self.wait(&error) {
                        self.shared.lose(count_lines(&batch[done..]));
                        return;
                    }
                    if self.reopen_if_asked() {
                        // A line that is partly in the old file is written whole to the new one.
                        done = batch[..done].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                    }
                }
            }
        }
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Sink::File(log) = &mut self.sink else { return Ok(bytes.len()) };
        match log.file.write(&bytes[..whole_lines(bytes, log.whole)])? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        }
    }

    /// Locks the stream that messages and the access log share.
    fn hold_stream(&self) -> Option<MutexGuard<'static, ()>> {
        matches!(&self.sink, Sink::File(log) if log.is_shared).then(stdio::hold_stream)
    }

    /// Waits until another try is useful; false if it never will be.
    fn wait(&mut self, error: &io::Error) -> bool {
        let pause = match error.kind() {
            io::ErrorKind::BrokenPipe => return false,
            // Longer each time, so that a reader that has stopped costs no processor.
            io::ErrorKind::WouldBlock => {
                let longer = RETRY.min(2 * self.pipe_retry);
                std::mem::replace(&mut self.pipe_retry, longer)
            }
            _ => RETRY,
        };
        let queue = self.shared.lock();
        if queue.stop {
            let end = *self.give_up.get_or_insert_with(|| Instant::now() + LAST_TRIES);
            if Instant::now() >= end {
                return false;
            }
        }
        let pause = if queue.stop { pause.min(Duration::from_millis(100)) } else { pause };
        let stopped = queue.stop;
        let wait = self
            .shared
            .changed
            .wait_timeout_while(queue, pause, |queue| !queue.reopen && queue.stop == stopped);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
        true
    }

    fn reopen_if_asked(&mut self) -> bool {
        let asked = std::mem::take(&mut self.shared.lock().reopen);
        asked && self.reopen()
    }

    /// Reopens the file; true if lines now go to a new file.
    fn reopen(&mut self) -> bool {
        let Sink::File(log) = &mut self.sink else { return false };
        match log.reopen() {
            Ok(reopened) => {
                if reopened {
                    super::notice!("re-opening logfile");
                }
                reopened
            }
            Err(error) => {
                super::critical!("re-opening {} - {}", log.shown.display(), reason(&error));
                false
            }
        }
    }

    fn complain(&mut self, error: &io::Error) {
        let said = self.complained.is_some_and(|at| at.elapsed() < COMPLAINT_INTERVAL);
        // A full pipe is ordinary; its effect shows in the count of lost lines.
        if said || error.kind() == io::ErrorKind::WouldBlock {
            return;
        }
        self.complained = Some(Instant::now());
        if let Sink::File(log) = &self.sink {
            super::error!("write {} - {}", log.shown.display(), reason(error));
        }
    }

    fn recovered(&mut self) {
        self.pipe_retry = PIPE_RETRY;
        if self.complained.take().is_some() {
            super::notice!("writing the access log again");
            self.shared.report_lost(true);
        }
    }
}

/// Length of the complete lines at the start of `bytes` within `most` bytes, or of the first line.
fn whole_lines(bytes: &[u8], most: usize) -> usize {
    if bytes.len() <= most {
        return bytes.len();
    }
    let is_end = |byte: &u8| *byte == b'\n';
    let last = bytes[..most].iter().rposition(is_end);
    let first = || bytes[most..].iter().position(is_end).map(|at| most + at);
    last.or_else(first).map_or(bytes.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_ends_where_a_line_does() {
        for (bytes, most, length) in
            [("a\nbb\n", 9, 5), ("a\nbb\n", 5, 5), ("a\nbb\n", 4, 2), ("aaaa\nb\n", 3, 5), ("aaaa", 2, 4)]
        {
            assert_eq!(whole_lines(bytes.as_bytes(), most), length, "{bytes:?} by {most}");
        }
    }
}
