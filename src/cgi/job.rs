//! Job: a script to run, its limits, and its possible results.

use std::ffi::OsString;
use std::fs::File;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use super::event::KillReason;
use crate::sys::fd::OpenFile;

/// Script to run.
#[derive(Debug)]
pub struct Job {
    /// Directory of the script.
    pub dir: Arc<OpenFile>,
    /// File of the script, relative to the process's working directory.
    pub name: Vec<u8>,
    /// Arguments without the program's name.
    pub arguments: Vec<OsString>,
    /// Complete environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Standard input, positioned at the start.
    pub input: File,
}

/// Limits for scripts. They belong to a configuration, and may change while scripts run.
#[derive(Debug, Clone, Copy)]
pub struct ScriptBounds {
    /// Maximum number of simultaneous scripts (`cgilimit`); 0 = no limit.
    pub scripts: usize,
    /// Maximum run time of a script (`cgi_timeout`), counted from the request; zero = no limit.
    pub time: Duration,
    /// Maximum time that a start waits for descriptors, memory or processes.
    pub room: Duration,
}

/// Reason why a script does not run. The log has more details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// The limit on scripts is reached, or the server stops.
    Busy,
    /// The system lacks a process, memory or descriptors.
    NoRoom,
    /// The script cannot be executed.
    Unrunnable,
    /// The time limit passed before exec returned: the storage of the script does not answer.
    TooSlow,
}

/// Exit of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptExit {
    /// Exit status from the kernel.
    pub status: ExitStatus,
    /// Reason for ending the script, if the server ended it.
    pub by: Option<KillReason>,
}
