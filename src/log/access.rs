//! The access log: one line an exchange, to a file, standard output or syslog.
//!
//! Workers call [`AccessLog::record`], at up to the rate of requests: it formats into a buffer of
//! the calling thread and appends that to a shared one ([`queue`](super::queue)). One writer thread
//! ([`writer`](super::writer)) takes what has gathered, every few milliseconds while there is
//! anything, and sleeps while there is not. A log that cannot be written costs lines, which are
//! counted; it never costs requests.

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

/// Where exchanges are recorded. QueueState by reference from every thread.
#[derive(Debug)]
pub struct AccessLog {
    kind: SinkKind,
    format: LogFormat,
    shared: Arc<QueueState>,
    /// Waits here for the writer thread, which takes it.
    sink: Mutex<Option<Sink>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SinkKind {
    Off,
    Dated,
    Undated,
}

/// One line, and the texts of the current second.
struct Draft {
    line: Vec<u8>,
    date: DateText,
    json_time: TimeText,
}

thread_local! {
    /// One draft per thread: formatting takes no lock.
    static DRAFT: RefCell<Draft> =
        const { RefCell::new(Draft { line: Vec::new(), date: DateText::new(), json_time: TimeText::new() }) };
}

impl AccessLog {
    /// Opens `target`; a file is created for, and given to, `owner` (none = no change of user ahead).
    /// Lines are kept until [`AccessLog::start`].
    ///
    /// # Errors
    ///
    /// As [`LogFile::open`].
    pub fn open(target: &LogTarget, owner: Option<&User>) -> io::Result<AccessLog> {
        let (kind, sink) = match target {
            LogTarget::Off => (SinkKind::Off, None),
            LogTarget::Syslog => (SinkKind::Undated, Some(Sink::Syslog)),
            LogTarget::Stdout => (SinkKind::Dated, Some(Sink::File(LogFile::stdout()?))),
            LogTarget::File(path) => (SinkKind::Dated, Some(Sink::File(LogFile::open(path, owner)?))),
        };
        Ok(AccessLog { kind, format: LogFormat::Combined, shared: Arc::default(), sink: Mutex::new(sink) })
    }

    /// Starts the writer thread; call it after the last fork and change of user.
    ///
    /// # Errors
    ///
    /// The system has no thread for us.
    pub fn start(&self) -> io::Result<()> {
        let Some(sink) = self.take_sink() else { return Ok(()) };
        let mut writer = Writer::new(sink, Arc::clone(&self.shared));
        thread::start("access-log", 256 * 1024, Box::new(move || writer.run())).map(drop)
    }

    /// Records one exchange, over at `time`: no system call, no allocation, no wait but for another
    /// recorder.
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

    /// The same log with lines of another format.
    pub fn in_format(mut self, format: LogFormat) -> AccessLog {
        self.format = format;
        self
    }

    /// Do lines tell what [`Details`] holds?
    pub fn has_details(&self) -> bool {
        self.format == LogFormat::Json && self.kind != SinkKind::Off
    }

    /// Asks for the file to be opened anew (HUP). Every line goes to the old file or the new one.
    /// How it went is logged; standard output and syslog have nothing to reopen.
    pub fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.changed.notify_one();
    }

    /// Lines lost since the start because the log could not be written.
    pub fn lost(&self) -> u64 {
        self.shared.lost()
    }

    /// Logs how many lines are lost, if any were since the last report, once in a minute at most.
    pub fn report_lost(&self) {
        self.shared.report_lost(false);
    }

    /// Returns when all that was recorded is written, or when the log has not taken it for some
    /// seconds. What is recorded afterwards is lost.
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

    /// The directory in which the file is opened anew, until [`AccessLog::start`].
    pub fn directory(&self) -> Option<OwnedFd> {
        match &*self.sink.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Sink::File(log)) => log.directory(),
            _ => None,
        }
    }

    fn take_sink(&self) -> Option<Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether `path` is a name of standard output or error, which is not opened but used as it is.
pub fn is_standard_stream(path: &Path) -> bool {
    super::file::standard_stream(path).is_some()
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
