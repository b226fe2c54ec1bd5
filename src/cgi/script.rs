//! One script's process: started in its own directory and group, signalled, heard, reaped.
//!
//! Only the watching thread ([`watch`](super::watch)) has [`Script`]s. What makes its signals safe: a
//! process number, and with it that of the group, is free for others to get only once the process
//! has been reaped, and whoever signals here is who reaps. Before it is reaped its group gets KILL,
//! so nothing that it left behind outlives it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::complaint::{Complaints, printable};
use super::job::{End, Job};
use super::note::{Note, Why};
use crate::sys::process;

/// Added to the niceness of scripts (thttpd's CGI_NICE).
const NICE: i32 = 10;
/// From INT to KILL (thttpd).
pub(super) const KILL_AFTER: Duration = Duration::from_secs(5);

/// A script that has not been reaped.
pub(super) struct Script {
    child: Child,
    /// Its file, printable.
    name: String,
    stderr: Option<OwnedFd>,
    complaints: Complaints,
    /// Why it was sent INT, if it was.
    ended_by: Option<Why>,
    /// When the next signal is due.
    due: Option<Instant>,
}

impl Script {
    /// Forks and executes `job`, its standard output going to `output`. After `limit` it is to be
    /// ended; zero is no limit.
    ///
    /// The file is named relative to its own directory, so that no link swapped in on the way there
    /// leads to another script.
    pub(super) fn start(job: Job, output: OwnedFd, limit: Duration) -> io::Result<Script> {
        let (dir, file) = split(&job.name);
        let mut command = Command::new(Path::new(".").join(OsStr::from_bytes(file)));
        command
            .arg0(OsStr::from_bytes(file))
            .args(job.arguments)
            .current_dir(OsStr::from_bytes(dir))
            .env_clear()
            .envs(job.variables)
            .stdin(job.input)
            .stdout(output)
            .stderr(Stdio::piped())
            .process_group(0);
        process::start_clean(&mut command, NICE);
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        let mut script = Script {
            name: printable(&job.name),
            stderr: None,
            complaints: Complaints::default(),
            ended_by: None,
            due: (!limit.is_zero()).then(|| Instant::now() + limit),
            child,
        };
        match piped(stderr) {
            Ok(stderr) => {
                script.stderr = Some(stderr);
                Ok(script)
            }
            Err(error) => {
                script.reap();
                Err(error)
            }
        }
    }

    /// Its process number.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Our end of its standard error, while it is open.
    pub(super) fn stderr(&self) -> Option<&OwnedFd> {
        self.stderr.as_ref()
    }

    /// A descriptor that is readable once the script has ended, where the kernel has such.
    pub(super) fn pidfd(&self) -> Option<OwnedFd> {
        process::pidfd(self.pid().as_raw()).ok()
    }

    /// When the next signal is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Why it was sent INT, if it was.
    pub(super) fn ended_by(&self) -> Option<Why> {
        self.ended_by
    }

    /// INT to the group, once, which lets it clean up; KILL follows after `kill_after`.
    pub(super) fn interrupt(&mut self, why: Why, kill_after: Duration, notes: &mut Vec<Note>) {
        let due = Instant::now() + kill_after;
        if self.ended_by.is_some() {
            self.due = self.due.map(|sooner| sooner.min(due));
            return;
        }
        self.ended_by = Some(why);
        self.due = Some(due);
        if self.signal(Signal::SIGINT) {
            notes.push(Note::Interrupted { pid: self.pid().as_raw(), why });
        }
    }

    /// KILL to the group, after INT has not helped.
    pub(super) fn kill(&mut self, notes: &mut Vec<Note>) {
        self.due = None;
        if self.signal(Signal::SIGKILL) {
            notes.push(Note::Killed { pid: self.pid().as_raw() });
        }
    }

    /// Reads what there is of its standard error. At the end, gives it back to be let go.
    ///
    /// Reads a bounded amount: whoever writes without end must not keep us here.
    pub(super) fn listen(&mut self, notes: &mut Vec<Note>) -> Option<OwnedFd> {
        let stderr = self.stderr.as_ref()?;
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            match nix::unistd::read(stderr, &mut buffer) {
                Ok(n) if n > 0 => self.complaints.take(&buffer[..n], &mut |line| {
                    notes.push(Note::Said { name: self.name.clone(), line });
                }),
                Err(Errno::EAGAIN | Errno::EINTR) => return None,
                Ok(_) | Err(_) => return self.stderr.take(),
            }
        }
        None
    }

    /// Hears the last words of an ended script.
    pub(super) fn hear_out(&mut self, notes: &mut Vec<Note>) -> Option<OwnedFd> {
        let stderr = self.listen(notes);
        let name = &self.name;
        self.complaints.finish(&mut |line| notes.push(Note::Said { name: name.clone(), line }));
        stderr
    }

    /// Has it ended, though nobody has waited for it yet?
    pub(super) fn has_ended(&self) -> bool {
        // An end that nix cannot express (a real-time signal) comes as an error.
        !matches!(self.peek(), Ok(WaitStatus::StillAlive))
    }

    /// Its state, without waiting and without reaping it.
    fn peek(&self) -> nix::Result<WaitStatus> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.pid()), flags)
    }

    /// Ends what is left of the group, waits for the script, and says how it ended. Waits for long
    /// only if it has not [ended](Script::has_ended).
    pub(super) fn reap(&mut self) -> End {
        // Were it not our child any more, its number could be anybody's.
        if self.peek() != Err(Errno::ECHILD) {
            self.signal(Signal::SIGKILL);
        }
        let status = self.child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0));
        End { status, by: self.ended_by }
    }

    /// To the whole group: the script has not been reaped, so the number is still its own.
    fn signal(&self, signal: Signal) -> bool {
        killpg(self.pid(), signal).is_ok()
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

/// Directory and file name.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&b| b == b'/') {
        Some(0) => (b"/", &name[1..]),
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (b".", name),
    }
}

/// Our end of a pipe, non-blocking. The flag belongs to our end alone.
fn piped(end: Option<impl Into<OwnedFd>>) -> io::Result<OwnedFd> {
    let end = end.ok_or(io::ErrorKind::BrokenPipe)?.into();
    fcntl(end.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(end)
}
