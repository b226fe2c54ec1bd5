//! One script's process: started in its own directory and group, signalled, heard, reaped.
//!
//! Only the watching thread ([`supervisor_thread`](super::watch)) has [`ScriptProcess`]s. What makes its signals safe: a
//! process number, and with it that of the group, is free for others to get only once the process
//! has been reaped, and the thread that signals is the one that reaps. A script that was ended by force
//! takes its group with it; one that ended by itself leaves its background jobs alone, as thttpd did.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::event::{KillReason, ScriptEvent};
use super::job::{Job, ScriptExit};
use super::stderr_lines::{StderrLines, printable};
use crate::sys::process::{self, Program, Streams};

/// Added to the niceness of scripts (thttpd's CGI_NICE).
const NICE: i32 = 10;
/// From INT to KILL (thttpd).
pub(super) const KILL_AFTER: Duration = Duration::from_secs(5);

/// A script that has not been reaped.
pub(super) struct ScriptProcess {
    pid: Pid,
    /// Its file, printable.
    name: String,
    /// When its process was made.
    begun: Instant,
    /// Tells whether its file could be executed; none once that is known.
    status: Option<OwnedFd>,
    /// Readable once it has ended, where the kernel has such a descriptor.
    pidfd: Option<Arc<OwnedFd>>,
    stderr: Option<OwnedFd>,
    complaints: StderrLines,
    /// KillReason it was sent INT, if it was.
    ended_by: Option<KillReason>,
    /// When it was sent KILL, if it was.
    killed: Option<Instant>,
    /// When the next signal is due.
    due: Option<Instant>,
}

impl ScriptProcess {
    /// Forks a process for `job`, its standard output going to `output`. At `due` it is to be ended.
    /// Whether its file could be executed is told later: see [`ScriptProcess::exec_result`].
    ///
    /// The file is named relative to its own directory, so that no link swapped in on the way there
    /// leads to another script.
    ///
    /// # Errors
    /// No room for another process, or an argument that cannot be one.
    pub(super) fn start(
        job: &Job,
        output: BorrowedFd<'_>,
        due: Option<Instant>,
    ) -> io::Result<ScriptProcess> {
        let (stderr, error) = io::pipe()?;
        let stderr = OwnedFd::from(stderr);
        // The flag belongs to our end alone.
        fcntl(stderr.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let name = printable(&job.name);
        let program = program(job)?;
        let forked =
            process::spawn(&program, Streams { input: job.input.as_fd(), output, error: error.as_fd() })?;
        Ok(ScriptProcess {
            pid: Pid::from_raw(forked.pid),
            name,
            begun: Instant::now(),
            status: Some(forked.status),
            pidfd: process::pidfd(forked.pid).ok().map(Arc::new),
            stderr: Some(stderr),
            complaints: StderrLines::default(),
            ended_by: None,
            killed: None,
            due,
        })
    }

    /// Its process number.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Our end of its standard error, while it is open.
    pub(super) fn stderr(&self) -> Option<&OwnedFd> {
        self.stderr.as_ref()
    }

    /// A descriptor that is readable once the script has ended, where the kernel has such.
    pub(super) fn pidfd(&self) -> Option<&Arc<OwnedFd>> {
        self.pidfd.as_ref()
    }

    /// A descriptor that is readable once [`ScriptProcess::exec_result`] is known; none after that.
    pub(super) fn status(&self) -> Option<&OwnedFd> {
        self.status.as_ref()
    }

    /// Has its file not been executed yet, as far as is known?
    pub(super) fn is_starting(&self) -> bool {
        self.status.is_some()
    }

    /// How long it has been starting; none if it is not, or goes by another name.
    pub(super) fn starting_as(&self, name: &str) -> Option<Duration> {
        (self.is_starting() && self.name == name).then(|| self.begun.elapsed())
    }

    /// Whether its file could be executed, once, when that becomes known. The status descriptor is given
    /// back, to be let go.
    pub(super) fn exec_result(&mut self) -> Option<(io::Result<()>, OwnedFd)> {
        let result = process::exec_result(self.status.as_ref()?)?;
        self.status.take().map(|status| (result, status))
    }

    /// When the next signal is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// KillReason it was sent INT, if it was.
    pub(super) fn ended_by(&self) -> Option<KillReason> {
        self.ended_by
    }

    /// INT to the group, once, which lets it clean up; KILL follows after `kill_after`.
    pub(super) fn interrupt(&mut self, why: KillReason, kill_after: Duration, notes: &mut Vec<ScriptEvent>) {
        let due = Instant::now() + kill_after;
        if self.ended_by.is_some() {
            self.due = self.due.map(|sooner| sooner.min(due));
            return;
        }
        self.ended_by = Some(why);
        self.due = Some(due);
        if self.signal(Signal::SIGINT) {
            notes.push(ScriptEvent::Interrupted { pid: self.pid().as_raw(), why });
        }
    }

    /// When it was sent KILL, if it was.
    pub(super) fn killed(&self) -> Option<Instant> {
        self.killed
    }

    /// KILL to the group, after INT has not helped.
    pub(super) fn kill(&mut self, notes: &mut Vec<ScriptEvent>) {
        self.due = None;
        self.killed = Some(Instant::now());
        if self.signal(Signal::SIGKILL) {
            notes.push(ScriptEvent::Killed { pid: self.pid().as_raw() });
        }
    }

    /// Reads from the standard error of the script; returns the descriptor at its end.
    ///
    /// Reads a bounded amount, so that a script that writes without end does not hold the thread.
    pub(super) fn listen(&mut self, notes: &mut Vec<ScriptEvent>) -> Option<OwnedFd> {
        let stderr = self.stderr.as_ref()?;
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            match nix::unistd::read(stderr, &mut buffer) {
                Ok(n) if n > 0 => self.complaints.take(&buffer[..n], &mut |line| {
                    notes.push(ScriptEvent::Said { name: self.name.clone(), line });
                }),
                Err(Errno::EAGAIN | Errno::EINTR) => return None,
                Ok(_) | Err(_) => return self.stderr.take(),
            }
        }
        None
    }

    /// Hears the last words of an ended script.
    pub(super) fn drain_stderr(&mut self, notes: &mut Vec<ScriptEvent>) -> Option<OwnedFd> {
        let stderr = self.listen(notes);
        let name = &self.name;
        self.complaints.finish(&mut |line| notes.push(ScriptEvent::Said { name: name.clone(), line }));
        stderr
    }

    /// True when the process has ended and is not yet reaped.
    pub(super) fn has_ended(&self) -> bool {
        // An end that nix cannot express (a real-time signal) comes as an error.
        !matches!(self.peek(), Ok(WaitStatus::StillAlive))
    }

    /// Its state, without waiting and without reaping it.
    fn peek(&self) -> nix::Result<WaitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.pid), flags)
    }

    /// Waits for the script, and says how it ended. What is left of the group of one that was ended by
    /// force gets KILL first. Waits for long only if it has not [ended](ScriptProcess::has_ended).
    pub(super) fn reap(&mut self) -> ScriptExit {
        // Were it not our child any more, its number could be anybody's.
        if self.ended_by.is_some() && self.peek() != Err(Errno::ECHILD) {
            self.signal(Signal::SIGKILL);
        }
        let status = process::wait_for(self.pid.as_raw()).unwrap_or_else(|| ExitStatus::from_raw(0));
        ScriptExit { status, by: self.ended_by }
    }

    /// To the whole group: the script has not been reaped, so the number is still its own.
    fn signal(&self, signal: Signal) -> bool {
        killpg(self.pid, signal).is_ok()
    }

    /// Its file, printable.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// How the process of `pidfd`, a child of ours, ended; none while it runs, and none once it has been
/// waited for. Leaves it to be waited for.
pub(super) fn status_of(pidfd: &OwnedFd) -> Option<ExitStatus> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::PIDFd(pidfd.as_fd()), flags) {
        Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
        Ok(WaitStatus::Signaled(_, signal, core)) => {
            Some(ExitStatus::from_raw(signal as i32 | if core { 0x80 } else { 0 }))
        }
        _ => None,
    }
}

/// Arguments of execve(2) for the script `name`.
fn program(job: &Job) -> io::Result<Program> {
    let (directory, file) = split(&job.name);
    // The kernel hands the name on to a script's interpreter, which would take `-x.sh` for an option.
    let shown = if file.starts_with(b"-") { [b"./", file].concat() } else { file.to_vec() };
    let mut words = vec![CString::new(file)?];
    for argument in &job.arguments {
        words.push(CString::new(argument.as_bytes())?);
    }
    let mut environment = Vec::with_capacity(job.variables.len());
    for (name, value) in &job.variables {
        environment.push(CString::new([name.as_bytes(), value.as_bytes()].join(&b'='))?);
    }
    Ok(Program {
        directory: CString::new(directory)?,
        file: CString::new(shown)?,
        arguments: words,
        variables: environment,
        nice: NICE,
    })
}

/// Directory and file name.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&b| b == b'/') {
        Some(0) => (b"/", &name[1..]),
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (b".", name),
    }
}
