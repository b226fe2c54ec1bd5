//! Log events of scripts, in thttpd's words where thttpd has the message.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::log::Level;

/// Reason why the server ends a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// The script ran longer than `cgi_timeout`.
    TimeLimit,
    /// The script wrote more than `cgi_output_limit`.
    OutputLimit,
    /// The output is no longer needed: the client left, or the output was invalid.
    Unwanted,
    /// The server stops.
    ServerStop,
}

/// Event in a script's life. `name` is the script's file name below the root, made printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptEvent {
    /// The script was started.
    Spawned {
        /// Process id.
        pid: i32,
        /// Script.
        name: String,
    },
    /// The script could not be started.
    NotStarted {
        /// Script.
        name: String,
        /// Error of the start.
        reason: String,
    },
    /// The script wrote a line to its standard error, made printable.
    StderrLine {
        /// Script.
        name: String,
        /// The line.
        line: String,
    },
    /// INT was sent to the script's process group.
    Interrupted {
        /// Process id.
        pid: i32,
        /// Reason for ending the script.
        why: KillReason,
    },
    /// KILL was sent to the script's process group, since INT had not ended it.
    Killed {
        /// Process id.
        pid: i32,
    },
    /// The script ended by itself.
    Ended {
        /// Process id.
        pid: i32,
        /// Script.
        name: String,
        /// Exit status.
        status: ExitStatus,
    },
    /// The output was not a valid response.
    BadOutput {
        /// Script.
        name: String,
        /// Reason why the output is invalid.
        reason: String,
    },
}

impl ScriptEvent {
    /// Log level of the event.
    pub fn level(&self) -> Level {
        match self {
            ScriptEvent::NotStarted { .. } | ScriptEvent::BadOutput { .. } => Level::Error,
            ScriptEvent::Interrupted { why: KillReason::TimeLimit | KillReason::OutputLimit, .. }
            | ScriptEvent::Killed { .. } => Level::Warning,
            ScriptEvent::Ended { status, .. } if status.signal().is_some() => Level::Warning,
            ScriptEvent::StderrLine { .. } => Level::Notice,
            ScriptEvent::Spawned { .. } | ScriptEvent::Interrupted { .. } | ScriptEvent::Ended { .. } => {
                Level::Debug
            }
        }
    }
}

impl fmt::Display for ScriptEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptEvent::Spawned { pid, name } => write!(f, "spawned CGI process {pid} for file '{name}'"),
            ScriptEvent::NotStarted { name, reason } => write!(f, "execve {name} - {reason}"),
            ScriptEvent::StderrLine { name, line } => write!(f, "CGI {name}: {line}"),
            ScriptEvent::Interrupted { pid, why: KillReason::TimeLimit } => {
                write!(f, "killed CGI process {pid}")
            }
            ScriptEvent::Interrupted { pid, why } => write!(f, "ended CGI process {pid} - {why}"),
            ScriptEvent::Killed { pid } => write!(f, "hard-killed CGI process {pid}"),
            ScriptEvent::Ended { pid, name, status } => {
                write!(f, "CGI process {pid} for file '{name}' ended - {status}")
            }
            ScriptEvent::BadOutput { name, reason } => write!(f, "CGI {name} failed - {reason}"),
        }
    }
}

impl fmt::Display for KillReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KillReason::TimeLimit => "it ran too long",
            KillReason::OutputLimit => "it wrote too much",
            KillReason::Unwanted => "nobody waits for its output",
            KillReason::ServerStop => "the server stops",
        })
    }
}
