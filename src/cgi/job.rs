//! Order to run a script, and its possible results.

use std::ffi::OsString;
use std::fs::File;
use std::process::ExitStatus;
use std::time::Duration;

use super::event::KillReason;

/// A script to run.
#[derive(Debug)]
pub struct Job {
    /// Its file, relative to the process's working directory.
    pub name: Vec<u8>,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Its standard input, positioned at the start.
    pub input: File,
}

/// ScriptBounds on scripts. They belong to a configuration, and so may change while scripts run.
#[derive(Debug, Clone, Copy)]
pub struct ScriptBounds {
    /// Scripts at once (`cgilimit`); 0 = no bound.
    pub scripts: usize,
    /// Run time of each (`cgi_timeout`), counted from the order; zero = no bound.
    pub time: Duration,
    /// How long a start waits for a descriptor, memory or a process that the system lacks.
    pub room: Duration,
}

/// KillReason a script does not run. The log has been told more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// As many run as may, or the server stops.
    Busy,
    /// There is no room for another process.
    NoRoom,
    /// The script cannot be executed.
    Unrunnable,
    /// Its time was over before its file could be executed: the storage that it lies on does not answer.
    TooSlow,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptExit {
    /// Exit status from the kernel.
    pub status: ExitStatus,
    /// KillReason we ended it, if we did.
    pub by: Option<KillReason>,
}
