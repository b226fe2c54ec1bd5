//! Access log: one line per exchange, to a file, standard output or syslog.
//!
//! Workers call [`AccessLog::record`] for every request. It formats the line into a buffer of the calling
//! thread and appends the buffer to a shared one ([`queue`](super::queue)). One writer thread
//! ([`writer`](super::writer)) writes the collected lines at most 50 ms after they came, and sleeps while
//! there are none. A failing log loses lines, which are counted, but never delays requests.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::file::LogFile;
use super::json::{self, TimeText};
use super::line::DateText;
use super::queue::QueueState;
use super::writer::{Sink, Writer};
use crate::config::LogTarget;
use crate::config::choice::LogFormat;
use crate::sys::ids::User;
use crate::sys::thread;

pub use super::json::Details;
pub use super::line::AccessEntry;

/// Access log, shared by reference with all threads.
#[derive(Debug)]
pub struct AccessLog {
    kind: SinkKind,
    format: LogFormat,
    shared: Arc<QueueState>,
    /// Destination, until the writer thread takes it.
    sink: Mutex<Option<Sink>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SinkKind {
    Off,
    Dated,
    Undated,
}

/// Line buffer, with the date text of the current second.
struct Draft {
    line: Vec<u8>,
    date: DateText,
    json_time: TimeText,
}

thread_local! {
    /// One draft per thread, so that formatting takes no lock.
    static DRAFT: RefCell<Draft> =
        const { RefCell::new(Draft { line: Vec::new(), date: DateText::new(), json_time: TimeText::new() }) };
}

impl AccessLog {
    /// Opens `target`; a new file gets the owner `owner` (`None` = no change of user ahead).
    ///
    /// Lines are kept in memory until [`AccessLog::start`].
    ///
    /// # Errors
    /// Those of [`LogFile::open`].
    pub fn open(target: &LogTarget, owner: Option<&User>) -> io::Result<AccessLog> {
        let (kind, sink) = match target {
            LogTarget::Off => (SinkKind::Off, None),
            LogTarget::Syslog => (SinkKind::Undated, Some(Sink::Syslog)),
            LogTarget::Stdout => (SinkKind::Dated, Some(Sink::File(LogFile::stdout()?))),
            LogTarget::File(path) => (SinkKind::Dated, Some(Sink::File(LogFile::open(path, owner)?))),
        };
        Ok(AccessLog { kind, format: LogFormat::Combined, shared: Arc::default(), sink: Mutex::new(sink) })
    }

    /// Starts the writer thread; call this after the last fork and the change of user.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(&self) -> io::Result<()> {
        let Some(sink) = self.take_sink() else { return Ok(()) };
        let mut writer = Writer::new(sink, Arc::clone(&self.shared));
        let started = thread::start("access-log", 256 * 1024, Box::new(move || writer.run()));
        // Without a writer, the close of the log has nothing to wait for.
        started.map(drop).inspect_err(|_| self.shared.finish())
    }

    /// Records one exchange that ended at `time`: no system call, no allocation, and one short lock.
    pub fn record(&self, entry: &AccessEntry<'_>, details: &Details<'_>, time: SystemTime) {
        if self.kind == SinkKind::Off {
            return;
        }
        DRAFT.with_borrow_mut(|Draft { line, date, json_time }| {
            line.clear();
            match self.kind {
                _ if self.format == LogFormat::Json => json::write(entry, details, json_time.at(time), line),
                SinkKind::Dated => entry.write(date.at(unix(time)), line),
                _ => entry.write(b"", line),
            }
            self.shared.append(line);
        });
    }

    /// Sets the format of the lines.
    pub fn in_format(mut self, format: LogFormat) -> AccessLog {
        self.format = format;
        self
    }

    /// Tells whether the format uses [`Details`].
    pub fn has_details(&self) -> bool {
        self.format == LogFormat::Json && self.kind != SinkKind::Off
    }

    /// Requests that the file be reopened (HUP); every line goes to either the old or the new file.
    ///
    /// The result is logged. Standard output and syslog are not reopened.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.changed.notify_one();
    }

    /// Number of lines lost since the start because the log could not be written.
    pub fn lost(&self) -> u64 {
        self.shared.lost()
    }

    /// Logs the number of newly lost lines, at most once a minute.
    pub fn report_lost(&self) {
        self.shared.report_lost(false);
    }

    /// Waits until all recorded lines are written, or the log has failed for some seconds.
    ///
    /// Lines recorded afterwards are lost.
    pub fn close(&self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        match self.take_sink() {
            Some(sink) => Writer::new(sink, Arc::clone(&self.shared)).run(),
            None if self.kind != SinkKind::Off => self.shared.wait_finished(),
            None => {}
        }
        self.shared.report_lost(true);
    }

    /// Directories of the log file, until [`AccessLog::start`].
    pub fn directories(&self) -> Vec<OwnedFd> {
        match &*self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Sink::File(log)) => log.directories(),
            _ => Vec::new(),
        }
    }

    fn take_sink(&self) -> Option<Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells whether [`AccessLog::open`] would open the file `path`, without creating it.
///
/// # Errors
/// Those of [`AccessLog::open`].
pub fn try_open(path: &Path, as_root: bool) -> io::Result<()> {
    LogFile::try_open(path, as_root)
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}

#[cfg(test)]
mod tests;
