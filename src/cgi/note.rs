//! What the administrator is told about scripts. The texts that thttpd has are thttpd's.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Why a script is ended before it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It ran longer than `cgi_timeout`.
    TimeLimit,
    /// It wrote more than `cgi_output_limit`.
    OutputLimit,
    /// Nobody waits for its output any more: the client left, or the output was of no use.
    Unwanted,
    /// The server stops.
    ServerStop,
}

/// How urgent a [`Note`] is, in syslog's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something of ours, or a script, failed.
    Error,
    /// A script was ended by force or died.
    Warning,
    /// What scripts say themselves.
    Notice,
    /// For whoever looks for a fault.
    Debug,
}

/// One event in a script's life. `name` is the script's file name below the root, made printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// It was started.
    Spawned {
        /// Process id.
        pid: i32,
        /// Script.
        name: String,
    },
    /// It could not be started.
    NotStarted {
        /// Script.
        name: String,
        /// Why not.
        reason: String,
    },
    /// It wrote a line to its standard error, made printable.
    Said {
        /// Script.
        name: String,
        /// The line.
        line: String,
    },
    /// Its process group was sent INT.
    Interrupted {
        /// Process id.
        pid: i32,
        /// Why.
        why: Why,
    },
    /// Its process group was sent KILL, for INT had not ended it.
    Killed {
        /// Process id.
        pid: i32,
    },
    /// It ended by itself.
    Ended {
        /// Process id.
        pid: i32,
        /// Script.
        name: String,
        /// How.
        status: ExitStatus,
    },
    /// Its output could not be made into a response.
    BadOutput {
        /// Script.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Note {
    /// Its urgency.
    pub fn level(&self) -> Level {
        match self {
            Note::NotStarted { .. } | Note::BadOutput { .. } => Level::Error,
            Note::Interrupted { why: Why::TimeLimit | Why::OutputLimit, .. } | Note::Killed { .. } => {
                Level::Warning
            }
            Note::Ended { status, .. } if status.signal().is_some() => Level::Warning,
            Note::Said { .. } => Level::Notice,
            Note::Spawned { .. } | Note::Interrupted { .. } | Note::Ended { .. } => Level::Debug,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Spawned { pid, name } => write!(f, "spawned CGI process {pid} for file '{name}'"),
            Note::NotStarted { name, reason } => write!(f, "execve {name} - {reason}"),
            Note::Said { name, line } => write!(f, "CGI {name}: {line}"),
            Note::Interrupted { pid, why: Why::TimeLimit } => write!(f, "killed CGI process {pid}"),
            Note::Interrupted { pid, why } => write!(f, "ended CGI process {pid} - {why}"),
            Note::Killed { pid } => write!(f, "hard-killed CGI process {pid}"),
            Note::Ended { pid, name, status } => {
                write!(f, "CGI process {pid} for file '{name}' ended - {status}")
            }
            Note::BadOutput { name, reason } => write!(f, "CGI {name} failed - {reason}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::TimeLimit => "it ran too long",
            Why::OutputLimit => "it wrote too much",
            Why::Unwanted => "nobody waits for its output",
            Why::ServerStop => "the server stops",
        })
    }
}
