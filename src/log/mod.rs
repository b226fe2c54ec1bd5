//! Logs for the administrator: access log, system log, statistics.
//!
//! Every module may use the macros here. `conn/` calls [`access`], `conn/` and `net/` call [`stats`], and
//! `control/` requests reopening and reports. No call in this module waits for a disk or a log daemon in
//! the caller's thread.

pub mod access;
pub mod decimal;
mod file;
pub mod json;
mod line;
mod queue;
pub mod stats;
pub mod syslog;
mod writer;

pub use line::MONTHS;

use std::fmt;
use std::panic;

/// Severity of a message in the system log, named as in syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Failure in the server or a script.
    Error,
    /// Condition that an administrator should know, while the server works.
    Warning,
    /// Normal event worth a line.
    Notice,
    /// Information about one request.
    Info,
    /// Detail for finding a fault.
    Debug,
}

/// One message for the system log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Severity, equal to thttpd's if thttpd has the message.
    pub level: Level,
    /// One line of text.
    pub text: String,
}

/// Sends a message of severity `level` to the system log.
pub fn send(level: Level, text: fmt::Arguments<'_>) {
    syslog::send(level.severity(), text);
}

/// Logs `text` at `level`, and in the foreground also shows it on standard error.
pub fn send_shown(level: Level, text: fmt::Arguments<'_>) {
    syslog::send_shown(level.severity(), text);
}

/// Sends the place and the text of every panic to the system log.
///
/// Rust's own hook writes to standard error in the thread that panics, which would wait for a pipe that is not
/// read. In the background its text would be lost.
pub fn report_panics() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let owned = || payload.downcast_ref::<String>().map(String::as_str);
        let text = payload.downcast_ref::<&str>().copied().or_else(owned).unwrap_or_default();
        match info.location() {
            Some(place) => error!("panicked at {place}: {text}"),
            None => error!("panicked: {text}"),
        }
    }));
}

impl Level {
    fn severity(self) -> ::syslog::Severity {
        match self {
            Level::Error => ::syslog::Severity::LOG_ERR,
            Level::Warning => ::syslog::Severity::LOG_WARNING,
            Level::Notice => ::syslog::Severity::LOG_NOTICE,
            Level::Info => ::syslog::Severity::LOG_INFO,
            Level::Debug => ::syslog::Severity::LOG_DEBUG,
        }
    }
}

/// Logs a critical condition, which ends the server or prevents its start.
macro_rules! critical {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_CRIT, format_args!($($text)*)) };
}

/// Logs an error: a failure after which the server continues.
macro_rules! error {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_ERR, format_args!($($text)*)) };
}

/// Logs a warning: the server works, but an administrator should know.
#[allow(unused_macros)] // each level exists whether or not the code uses it today
macro_rules! warning {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_WARNING, format_args!($($text)*)) };
}

/// Logs a notice: a normal event worth a line.
macro_rules! notice {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_NOTICE, format_args!($($text)*)) };
}

/// Logs information about one request.
#[allow(unused_macros)]
macro_rules! info {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_INFO, format_args!($($text)*)) };
}

/// Logs a detail that helps to find a fault.
#[allow(unused_macros)]
macro_rules! debug {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_DEBUG, format_args!($($text)*)) };
}

#[allow(unused_imports)]
pub(crate) use {critical, debug, error, info, notice, warning};
