//! Process of one script: start in its own directory and group, signals, standard error, reaping.
//!
//! Only the supervisor thread (`supervisor_thread`) has [`ScriptProcess`]es.
//! This makes signals safe: a process number, also that of the group, can be reused only after the process
//! was reaped, and one thread both signals and reaps. A script that is ended by force takes its group with
//! it. A script that ends by itself leaves its background jobs alone, as in thttpd.

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
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpgid};

use super::event::{KillReason, ScriptEvent};
use super::job::{Job, ScriptExit};
use super::stderr_lines::StderrLines;
use crate::config::printable::printable;
use crate::sys::process::{self, Program, Streams};

/// Increment of the niceness of scripts (thttpd's CGI_NICE).
const NICE: i32 = 10;
/// Time from INT to KILL (thttpd).
pub(super) const KILL_AFTER: Duration = Duration::from_secs(5);

/// Script process that has not been reaped.
pub(super) struct ScriptProcess {
    pid: Pid,
    /// File name, printable.
    name: String,
    /// Time of the fork.
    begun: Instant,
    /// Pipe that reports the result of exec; `None` once the result is known.
    status: Option<OwnedFd>,
    /// pidfd, readable once the process has ended; `None` if the kernel lacks it.
    pidfd: Option<Arc<OwnedFd>>,
    stderr: Option<OwnedFd>,
    stderr_lines: StderrLines,
    /// Reason for sending INT, if INT was sent.
    ended_by: Option<KillReason>,
    /// Time of sending KILL, if KILL was sent.
    killed: Option<Instant>,
    /// Time of the next signal.
    due: Option<Instant>,
}

impl ScriptProcess {
    /// Forks a process for `job`, with standard output to `output`, to be ended at `due`.
    ///
    /// The result of exec is known later ([`ScriptProcess::exec_result`]). The file is named in its own
    /// directory, which is open, so that a name exchanged on the way there cannot lead to another script.
    ///
    /// # Errors
    /// The system lacks a process, or an argument is not valid.
    pub(super) fn start(
        job: &Job,
        output: BorrowedFd<'_>,
        due: Option<Instant>,
    ) -> io::Result<ScriptProcess> {
        let (stderr, error) = io::pipe()?;
        let stderr = OwnedFd::from(stderr);
        // O_NONBLOCK applies to the server's end of the pipe alone.
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
            stderr_lines: StderrLines::default(),
            ended_by: None,
            killed: None,
            due,
        })
    }

    /// Process number.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Server's end of standard error, while open.
    pub(super) fn stderr(&self) -> Option<&OwnedFd> {
        self.stderr.as_ref()
    }

    /// pidfd, readable once the process has ended, if the kernel supports that.
    pub(super) fn pidfd(&self) -> Option<&Arc<OwnedFd>> {
        self.pidfd.as_ref()
    }

    /// Descriptor that is readable once [`ScriptProcess::exec_result`] is known; `None` after that.
    pub(super) fn status(&self) -> Option<&OwnedFd> {
        self.status.as_ref()
    }

    /// Tells whether the result of exec is not known yet.
    pub(super) fn is_starting(&self) -> bool {
        self.status.is_some()
    }

    /// Time since the fork, if a script called `name` has not finished exec; else `None`.
    pub(super) fn starting_as(&self, name: &str) -> Option<Duration> {
        (self.is_starting() && self.name == name).then(|| self.begun.elapsed())
    }

    /// Result of exec, returned once when it becomes known, with the status pipe for removal from epoll.
    pub(super) fn exec_result(&mut self) -> Option<(io::Result<()>, OwnedFd)> {
        let result = process::exec_result(self.status.as_ref()?)?;
        self.status.take().map(|status| (result, status))
    }

    /// Time of the next signal.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Reason for sending INT, if INT was sent.
    pub(super) fn ended_by(&self) -> Option<KillReason> {
        self.ended_by
    }

    /// Sends INT to the group once, so that the script can clean up; KILL follows after `kill_after`.
    ///
    /// Processes of the group that are stopped (SIGSTOP, SIGTTIN) are continued.
    pub(super) fn interrupt(
        &mut self,
        why: KillReason,
        kill_after: Duration,
        script_events: &mut Vec<ScriptEvent>,
    ) {
        let due = Instant::now() + kill_after;
        if self.ended_by.is_some() {
            self.due = self.due.map(|sooner| sooner.min(due));
            return;
        }
        self.ended_by = Some(why);
        self.due = Some(due);
        if self.signal(Signal::SIGINT) {
            script_events.push(ScriptEvent::Interrupted { pid: self.pid().as_raw(), why });
        }
        // A stopped process takes INT when it goes on.
        self.signal(Signal::SIGCONT);
    }

    /// Time of sending KILL, if KILL was sent.
    pub(super) fn killed(&self) -> Option<Instant> {
        self.killed
    }

    /// Sends KILL to the group, after INT has not ended the script.
    pub(super) fn kill(&mut self, script_events: &mut Vec<ScriptEvent>) {
        self.due = None;
        self.killed = Some(Instant::now());
        if self.signal(Signal::SIGKILL) {
            script_events.push(ScriptEvent::Killed { pid: self.pid().as_raw() });
        }
    }

    /// Reads from the standard error of the script; returns the descriptor at its end.
    ///
    /// Reads a bounded amount, so that a script that writes without end does not hold the thread.
    pub(super) fn read_stderr(&mut self, script_events: &mut Vec<ScriptEvent>) -> Option<OwnedFd> {
        let stderr = self.stderr.as_ref()?;
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            match nix::unistd::read(stderr, &mut buffer) {
                Ok(n) if n > 0 => self.stderr_lines.take(&buffer[..n], &mut |line| {
                    script_events.push(ScriptEvent::StderrLine { name: self.name.clone(), line });
                }),
                Err(Errno::EAGAIN | Errno::EINTR) => return None,
                Ok(_) | Err(_) => return self.stderr.take(),
            }
        }
        None
    }

    /// Reads the rest of standard error of an ended script.
    pub(super) fn drain_stderr(&mut self, script_events: &mut Vec<ScriptEvent>) -> Option<OwnedFd> {
        let stderr = self.read_stderr(script_events);
        let name = &self.name;
        self.stderr_lines
            .finish(&mut |line| script_events.push(ScriptEvent::StderrLine { name: name.clone(), line }));
        stderr
    }

    /// Tells whether the process has ended and is not yet reaped.
    pub(super) fn has_ended(&self) -> bool {
        // nix returns an error for statuses that it cannot express (a real-time signal): the process has
        // ended.
        !matches!(self.peek(), Ok(WaitStatus::StillAlive))
    }

    /// State of the process, without waiting or reaping.
    fn peek(&self) -> nix::Result<WaitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.pid), flags)
    }

    /// Waits for the process and returns its exit. A script ended by force takes its group with it (KILL).
    ///
    /// This waits for long only if the process has not [ended](ScriptProcess::has_ended).
    pub(super) fn reap(&mut self) -> ScriptExit {
        // With ECHILD the process is no child any more, and its number may belong to another process.
        if self.ended_by.is_some() && self.peek() != Err(Errno::ECHILD) {
            self.signal(Signal::SIGKILL);
        }
        let status = process::wait_for(self.pid.as_raw()).unwrap_or_else(|| ExitStatus::from_raw(0));
        ScriptExit { status, by: self.ended_by }
    }

    /// Sends a signal to the whole group, and to the script if it has left the group.
    ///
    /// The script is not reaped, so that the number is still its own.
    fn signal(&self, signal: Signal) -> bool {
        let is_sent = killpg(self.pid, signal).is_ok();
        let has_left = getpgid(Some(self.pid)).is_ok_and(|group| group != self.pid);
        is_sent | (has_left && kill(self.pid, signal).is_ok())
    }

    /// File name, printable.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Exit status of the child of `pidfd`, without reaping it; `None` while it runs or after it was reaped.
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
fn program(job: &Job) -> io::Result<Program<'_>> {
    let file = job.name.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let directory = job.dir.file().ok_or(Errno::EBADF)?.as_fd();
    // The kernel passes the name to a script's interpreter, which would read `-x.sh` as an option.
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
        directory,
        file: CString::new(shown)?,
        arguments: words,
        variables: environment,
        nice: NICE,
    })
}
