//! What happened, told to the administrator: the access log, the system log, the statistics.
//!
//! Everyone may call the macros here; [`access`] is fed by `conn/`, [`stats`] by `conn/` and `net/`,
//! and `control/` asks for reopening and reports. Nothing in this module ever waits for a disk or a
//! log daemon in the thread that calls it.

pub mod access;
mod file;
mod line;
mod queue;
pub mod stats;
pub mod syslog;
mod writer;

pub use line::MONTHS;

/// Logs a critical condition: what ends the server or keeps it from starting.
macro_rules! critical {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_CRIT, format_args!($($text)*)) };
}

/// Logs an error: something of ours failed, the server goes on.
macro_rules! error {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_ERR, format_args!($($text)*)) };
}

/// Logs a warning: it works, but somebody should know.
#[allow(unused_macros)] // each level exists whether or not somebody speaks at it today
macro_rules! warning {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_WARNING, format_args!($($text)*)) };
}

/// Logs a notice: normal, and worth a line.
macro_rules! notice {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_NOTICE, format_args!($($text)*)) };
}

/// Logs information about one request.
#[allow(unused_macros)]
macro_rules! info {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_INFO, format_args!($($text)*)) };
}

/// Logs a detail for whoever looks for a fault.
#[allow(unused_macros)]
macro_rules! debug {
    ($($text:tt)*) => { $crate::log::syslog::send(::syslog::Severity::LOG_DEBUG, format_args!($($text)*)) };
}

#[allow(unused_imports)]
pub(crate) use {critical, debug, error, info, notice, warning};
